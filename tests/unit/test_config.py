"""The configuration: everything that is wrong is told at once, with its key and what was meant."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.config import Config, parse
from hostguardd.defaults import POLICIES
from hostguardd.errors import ConfigError, Exit
from hostguardd.model import Action, FileFact, ListenerFact, ProcessFact, SetIdFact, Severity
from hostguardd.vocabulary import TRAITS, comparable, matchable, number_range
from hostguardd.watchlist import Watch, secret
from tests.alerts import SAMPLES

WATCH = '[[watch]]\nname = "w"\npaths = ["/etc"]\n'
RULE = '[[rule]]\nname = "r"\nseverity = "low"\n'


def problems(*texts: str) -> tuple[str, ...]:
    """What is wrong with these sources, which are called a, b, …"""
    with pytest.raises(ConfigError) as caught:
        parse([(chr(ord("a") + number), text) for number, text in enumerate(texts)])
    assert caught.value.exit == Exit.CONFIG
    return caught.value.problems


def packaged(name: str) -> str:
    return (resources.files("hostguardd") / "etc" / name).read_text(encoding="utf-8")


def test_nothing_given_is_all_defaults() -> None:
    assert parse([]) == Config()
    assert parse([("a", "")]) == Config()


def test_the_packaged_files_have_no_mistake() -> None:
    config = parse([(name, packaged(name)) for name in (*POLICIES, "hostguardd.toml")])
    assert len(config.rules) > 50
    assert {watch.name for watch in config.watches} >= {"etc", "programs", "boot", "schedules"}


def test_the_commented_settings_are_all_there_are_and_show_the_defaults() -> None:
    shipped = packaged("hostguardd.toml")
    assert parse([("shipped", shipped)]) == Config(), "as shipped, nothing is set"
    uncommented = re.sub(r"(?m)^#(?=[a-z_]+ = )", "", shipped)
    assert parse([("uncommented", uncommented)]) == Config()
    section = {f.name for f in fields(Config)} - {"watches", "rules", "destinations"}
    for name in section:
        body = uncommented.split(f"[{name}]\n")[1].split("\n[")[0]
        keys = re.findall(r"(?m)^([a-z_]+) = ", body)
        assert keys == [f.name for f in fields(getattr(Config(), name))], name


def test_the_example_at_the_end_of_the_settings_works() -> None:
    example = packaged("hostguardd.toml").split("for instance:\n#\n")[1].split("\n#\n# An entry")[0]
    config = parse(
        [("a", "\n".join(line.removeprefix("# ") for line in example.splitlines()).replace("#\n", "\n"))]
    )
    assert [watch.name for watch in config.watches] == ["site"]
    assert [rule.name for rule in config.rules] == ["site-content"]


def test_the_example_of_a_destination_works() -> None:
    shown = packaged("hostguardd.toml").split("# [[destination]]\n")[1].split("\n#\n")[0]
    config = parse([("a", "[[destination]]\n" + "\n".join(line.lstrip("# ") for line in shown.splitlines()))])
    (one,) = config.destinations
    assert one.place == "relp+tls://logs.example.org:2514"
    assert (one.severity, one.limit, one.rate, one.heartbeat) == (Severity.INFO, 8192, 0, 60.0)


def test_a_destination_that_is_switched_off_is_none() -> None:
    table = '[[destination]]\nname = "a"\nkind = "relp"\naddress = "x:1"\n'
    assert len(parse([("a", table)]).destinations) == 1
    assert parse([("a", table), ("b", table + "enabled = false\n")]).destinations == ()


def test_only_some_tables_may_be_asked_for() -> None:
    text = '[[destination]]\nname = "a"\nkind = "journald"\n[[rule]]\nname = 7\n[swepes]\n'
    with pytest.raises(ConfigError):
        parse([("a", text)])
    assert len(parse([("a", text)], only=("destination",)).destinations) == 1


SEVERAL_MISTAKES = """
[swepes]
quick = 5

[sweeps]
quik = "10m"
full = "1 fortnight"
listeners = true
workers = 3.5
duty = "200%"

[alerts]
rotate = "64Mib"
keep = "16"

[paths]
state = "var/lib"

[[watch]]
name = "etc"
paths = ["etc", "/usr/[ab"]
ignore = ["sha265"]
diff = 1

[[watch]]
name = "etc"
paths = ["/etc"]

[[rule]]
name = "noisy"
severity = "hihg"
kind = "files"
technique = "T15"

[[rule]]
severity = "low"
kind = "file"
gained = ["setuidd"]
changed = ["sha"]
actions = ["add"]
where.pth = "/etc/*"
where.uid = "root"
"""


def test_many_mistakes_are_told_together_with_their_keys_and_a_suggestion() -> None:
    told = problems(SEVERAL_MISTAKES)
    expected = [
        'swepes: unknown key, allowed: .*; did you mean "sweeps"\\?',
        'sweeps.quik: unknown key, allowed: .*; did you mean "quick"\\?',
        'sweeps.full: "1 fortnight" has an unknown unit, allowed: seconds, or text such as "250ms", .*',
        "sweeps.listeners: true is a boolean, allowed: seconds, .*",
        "sweeps.workers: 3.5 is a number, allowed: a whole number from 1 to 64",
        'sweeps.duty: "200%" is out of range, allowed: a share .*, from 0.0001 to 1',
        'alerts.rotate: "64Mib" has an unknown unit, allowed: bytes, .*; did you mean "64MiB"\\?',
        'alerts.keep: "16" is text, allowed: a whole number from 1 to 10000',
        'paths.state: "var/lib" is relative, allowed: an absolute path.*',
        'watch "etc".paths\\[1\\]: "etc" is relative, allowed: .*',
        'watch "etc".paths\\[2\\]: "/usr/\\[ab" is a bad glob, it has a "\\[" without its "\\]"',
        'watch "etc".ignore\\[1\\]: "sha265" is unknown, allowed: .*; did you mean "sha256"\\?',
        'watch "etc".diff: 1 is a whole number, allowed: true or false',
        'watch "etc": this name is used twice .*',
        'rule "noisy".severity: "hihg" is unknown, allowed: critical, high, .*; did you mean "high"\\?',
        'rule "noisy".kind: "files" is unknown, allowed: .*; did you mean "file"\\?',
        'rule "noisy".technique: "T15" does not fit, allowed: .*',
        "rule\\[2\\].name: is missing",
        'rule\\[2\\].actions\\[1\\]: "add" is unknown, allowed: .*; did you mean "added"\\?',
    ]
    for pattern in expected:
        assert any(re.fullmatch("a: " + pattern, line) for line in told), f"{pattern}\nnot in\n" + "\n".join(
            told
        )
    assert len(told) == len(expected), "\n".join(told)


def test_the_words_of_a_rule_are_checked_against_its_kind() -> None:
    told = problems(
        RULE + 'kind = "file"\ngained = ["setuidd", "deleted"]\nchanged = ["sha25", "pid"]\n'
        'only = ["modes"]\nwhere.pth = "/etc/*"\nwhere.uid = ["root", 0]\nwhere.path = "/x/["\n'
    )
    rule = 'a: rule "r".'
    assert len(told) == 8, "\n".join(told)
    assert any(line.startswith(rule + 'gained: "setuidd"') and '"setuid"?' in line for line in told)
    assert any(line.startswith(rule + 'gained: "deleted" is no trait of file') for line in told)
    assert any(line.startswith(rule + 'changed: "sha25"') and '"sha256"?' in line for line in told)
    assert any(line.startswith(rule + 'changed: "pid" is no compared field of file') for line in told)
    assert any(line.startswith(rule + 'only: "modes"') and '"mode"?' in line for line in told)
    assert any(line.startswith(rule + 'where: "pth"') and '"path"?' in line for line in told)
    assert any(line.startswith(rule + 'where.uid: "root" is no number') for line in told)
    assert any(line.startswith(rule + 'where.path: "/x/[" is a bad glob') for line in told)


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ('actions = ["added"]\nkind = "file"\nchanged = ["mode"]', "asks for changed fields"),
        ('actions = ["removed"]\nkind = "file"\ngained = ["setuid"]', "gains nothing"),
        ('actions = ["added", "added"]', "is listed twice"),
        ("where = 5", "where: 5 is a whole number, allowed: a table"),
        ('kind = "file"\nwhere.path = []', "never match"),
        ('kind = "file"\nwhere.path = true', "true is a boolean"),
        ('kind = "listener"\nwhere.port = "9-1"', '"9-1" is no number'),
        ('advice = "a\\u001b[31m"', "cannot be printed"),
    ],
)
def test_rules_that_could_never_match_or_make_no_sense(conditions: str, said: str) -> None:
    (line,) = problems(RULE + conditions)
    assert said in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[sweeps]\nquick = \n", "line 2, column 9"),
        ("a = 1\na = 2\nb = 3", "line 2, column 6"),
        ("[sweeps", "line 1, column 8|end of document"),
    ],
)
def test_a_syntax_error_has_line_and_column(text: str, place: str) -> None:
    (line,) = problems(text)
    assert re.match(f"a: ({place}): is not TOML: ", line)


def test_a_syntax_error_in_one_file_hides_no_mistake_of_another() -> None:
    told = problems("[[[", "[sweeps]\nquick = -1\n")
    assert len(told) == 2
    assert told[1].startswith("b: sweeps.quick: -1 is out of range")


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 100_000, "x = " + "9" * 5000, "quick = 1\n", "watch = 5", "sweeps = 1"]
)
def test_odd_documents_are_mistakes_not_crashes(text: str) -> None:
    (line,) = problems(text)
    assert line.startswith("a: ")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ('"250ms"', 0.25),
        ('"10s"', 10),
        ('"10m"', 600),
        ('"1h"', 3600),
        ('"1d"', 86400),
        ("5", 5),
        ('"1.5h"', 5400),
    ],
)
def test_durations(value: str, seconds: float) -> None:
    found = parse([("a", f"[processes]\nmanaged = {value}")]).processes.managed
    assert found == pytest.approx(seconds)
    assert isinstance(found, float)


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "true", '"10"', '"ten"', '""', '"1h30m"', "[1]", "1979-05-27", "-1"]
)
def test_what_is_no_duration(value: str) -> None:
    (line,) = problems(f"[processes]\nmanaged = {value}")
    assert line.startswith("a: processes.managed: ")
    assert "from 0s to 1d" in line


def test_a_unit_written_out_is_understood_as_a_suggestion_only() -> None:
    (line,) = problems('[sweeps]\nquick = "10min"')
    assert line.endswith('did you mean "10m"?')


@pytest.mark.parametrize(
    ("value", "size"), [("65536", 65536), ('"64MiB"', 64 << 20), ('"100kB"', 100_000), ('"0.5GiB"', 1 << 29)]
)
def test_sizes(value: str, size: int) -> None:
    assert parse([("a", f"[alerts]\nrotate = {value}")]).alerts.rotate == size


@pytest.mark.parametrize(
    ("value", "said"), [("65536.0", "not a whole number"), ('"1B"', "out of range"), ("true", "boolean")]
)
def test_what_is_no_size(value: str, said: str) -> None:
    (line,) = problems(f"[alerts]\nrotate = {value}")
    assert said in line


@pytest.mark.parametrize(
    ("value", "share"), [('"0.15%"', 0.0015), ("0.5", 0.5), ("1", 1.0), ('"25 %"', 0.25)]
)
def test_shares(value: str, share: float) -> None:
    assert parse([("a", f"[sweeps]\nduty = {value}")]).sweeps.duty == pytest.approx(share)


def test_settle_may_not_be_longer_than_settle_max() -> None:
    (line,) = problems('[hints]\nsettle = "1s"')
    assert line == "a: hints.settle: 1s is more than hints.settle_max, allowed: up to 0.6s"
    assert problems("[hints]\nsettle_max = 0.1")[0].startswith("a: hints.settle: ")
    assert parse([("a", "[hints]\nsettle_max = 2"), ("b", "[hints]\nsettle = 1")]).hints.settle == 1


def test_the_socket_must_fit_into_its_address() -> None:
    (line,) = problems(f'[paths]\nrun = "/{"r" * 94}"')
    assert "95 bytes long, allowed: at most 94" in line


def test_later_sources_win_by_key_by_name_and_by_order() -> None:
    first = '[sweeps]\nquick = "1m"\nsetid = "2h"\n' + (
        '[[rule]]\nname = "one"\nseverity = "low"\n[[rule]]\nname = "two"\nseverity = "low"\n'
        '[[watch]]\nname = "w"\npaths = ["/etc"]\ndepth = 1\n[[watch]]\nname = "v"\npaths = ["/boot"]\n'
    )
    second = '[sweeps]\nquick = "2m"\n' + (
        '[[rule]]\nname = "new"\nseverity = "high"\n[[rule]]\nname = "two"\nseverity = "high"\n'
        '[[watch]]\nname = "site"\npaths = ["/srv"]\n[[watch]]\nname = "w"\npaths = ["/usr"]\n'
    )
    config = parse([("a", first), ("b", second)])
    assert (config.sweeps.quick, config.sweeps.setid) == (120, 7200)
    assert [(rule.name, rule.severity) for rule in config.rules] == [
        ("new", Severity.HIGH),
        ("one", Severity.LOW),
        ("two", Severity.HIGH),
    ]
    assert config.watches == (
        Watch("w", (b"/usr",)),
        Watch("v", (b"/boot",)),
        Watch("site", (b"/srv",)),
    )


def test_a_watch_without_paths_switches_an_earlier_one_off() -> None:
    assert parse([("a", WATCH), ("b", '[[watch]]\nname = "w"\npaths = []')]).watches == ()


@pytest.mark.parametrize(
    "watch",
    [
        'paths = ["/etc/shadow"]',
        'paths = ["/etc/shadow-"]',
        'paths = ["/etc/s*"]',
        'paths = ["/etc"]',
        'paths = ["/"]',
        'paths = ["/etc"]\ndepth = 1',
        'paths = ["/etc/ssh"]',
        'paths = ["/root"]',
        'paths = ["/srv/tls/server.key"]',
        'paths = ["/etc/gshadow"]\nexclude = ["shadow"]',
    ],
)
def test_secrets_are_never_quoted(watch: str) -> None:
    told = problems(f'[[watch]]\nname = "w"\ndiff = true\n{watch}')
    assert all(line.startswith('a: watch "w".diff: true would quote ') for line in told)
    parse([("a", f'[[watch]]\nname = "w"\n{watch}')])


def test_diffs_are_allowed_where_no_secret_is_reached() -> None:
    for paths in ('["/etc/passwd"]', '["/etc"]\ndepth = 0', '["/etc"]\nexclude = ["*shadow", "/etc/ssh/**"]'):
        assert parse([("a", f'[[watch]]\nname = "w"\ndiff = true\npaths = {paths}')]).watches[0].diff


@pytest.mark.parametrize(
    "path",
    [b"/etc/shadow", b"/etc/shadow-", b"/etc/ssh/ssh_host_rsa_key", b"/x/private/y", b"/root/.bash_history"],
)
def test_secret_paths(path: bytes) -> None:
    assert secret(path)


@pytest.mark.parametrize(
    "path", [b"/etc/passwd", b"/etc/pam.d/password-auth", b"/etc/ssh/sshd_config", b"/etc/sudoers"]
)
def test_texts_that_are_no_secret(path: bytes) -> None:
    assert not secret(path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/etc/../x", '".."'),
        ("/etc//x", "empty component"),
        ("/etc/**", '"**"'),
        ("", "empty"),
        ("/a\\u0007", "printed"),
    ],
)
def test_paths_to_watch_are_plain(path: str, said: str) -> None:
    (line,) = problems(f'[[watch]]\nname = "w"\npaths = ["{path}"]')
    assert said in line


def test_a_slash_at_the_end_of_a_path_means_nothing() -> None:
    assert parse([("a", '[[watch]]\nname = "w"\npaths = ["/etc/", "/"]')]).watches[0].paths == (b"/etc", b"/")


def test_every_part_of_a_rule_arrives() -> None:
    (rule,) = parse(
        [
            (
                "a",
                RULE + 'kind = "listener"\nactions = ["added", "changed"]\ngained = ["temporary"]\n'
                'technique = "T1571"\nadvice = "Look."\n'
                '[rule.where]\nport = ["1-1023", 8080]\nproto = "tcp*"\nuid = 0',
            )
        ]
    ).rules
    assert rule.actions == {Action.ADDED, Action.CHANGED}
    assert rule.where == {"port": (b"1-1023", b"8080"), "proto": (b"tcp*",), "uid": (b"0",)}
    assert (rule.technique, rule.advice) == ("T1571", "Look.")
    assert rule.gained == {"temporary"}


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [(b"22", 22, 23), (b"1-1023", 1023, 1024), (b"1024-", 2**63, 1023), (b"0o4755", 0o4755, 4755)],
)
def test_ranges_of_numbers(text: bytes, inside: int, outside: int) -> None:
    assert inside in number_range(text)
    assert outside not in number_range(text)


def test_what_rules_may_ask_of_each_kind() -> None:
    assert matchable(FileFact)["uid"] == "number"
    assert matchable(FileFact)["path"] == "path"
    assert matchable(FileFact)["type"] == "text"
    assert matchable(ListenerFact)["exe"] == "path"
    assert "sha256" not in matchable(SetIdFact)
    assert comparable(ProcessFact) == {"role", "instances", "state", "sha256", "kernel", "signs"}


@given(
    mode=st.integers(0, 0o177777),
    path=st.sampled_from([b"/tmp", b"/usr/bin", b"/home/a/.x", b"/dev/shm"]),
    caps=st.sampled_from([b"", b"security.capability=00"]),
    device=st.integers(0, 1),
    state=st.sampled_from(["running", "deleted", "replaced", "anonymous"]),
    role=st.sampled_from(["service", "helper", "session"]),
)
def test_every_trait_a_fact_can_have_may_be_asked_for(
    mode: int, path: bytes, caps: bytes, device: int, state: str, role: str
) -> None:
    exe = path + b"/x (deleted)"
    facts = [
        FileFact(path, b"x ", mode, 0, 0, 0, 0, 0, 0, 1, device, None, None, caps, 0, 0),
        SetIdFact(b"/", path + b"/x", mode, 0, 0, 0, 0, 0, None, caps),
        ListenerFact("tcp", b"*:1", 1, 0, exe, b"", None, 1, 1, 1),
        ProcessFact("host", exe, 0, b"", path + b"/s", role, 1, state, None, b"", b"", 0, 1, 1, 1, b""),
    ]
    for fact in (*facts, *SAMPLES):
        assert fact.traits() <= TRAITS[fact.KIND]


SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(st.text(max_size=6), v, max_size=3)),
    max_leaves=6,
)
KEYS = [
    (f.name, g.name)
    for f in fields(Config)
    if f.name not in ("watches", "rules", "destinations")
    for g in fields(getattr(Config(), f.name))
]


def toml(value: Any) -> str:
    """A value as TOML; hypothesis makes it, so that no writer is needed for six types."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value) if abs(value) != float("inf") else ("-inf" if value < 0 else "inf")
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08X}" for c in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return "{" + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + "}"


@given(st.sampled_from(KEYS), VALUES)
def test_any_value_of_a_setting_is_read_or_told_with_its_key(key: tuple[str, str], value: Any) -> None:
    """Never another exception, never another type than the default's, never a raw control character."""
    section, name = key
    config = Config()
    told: tuple[str, ...] = ()
    try:
        config = parse([("f", f"[{section}]\n{name} = {toml(value)}")])
    except ConfigError as error:
        told = error.problems
    assert all(line.startswith((f"f: {section}.{name}", "f: hints.settle")) for line in told)
    assert all(line.isprintable() for line in told)
    assert type(getattr(getattr(config, section), name)) is type(getattr(getattr(Config(), section), name))
