"""`~` in the configuration: every account's home, and no account can make us look away."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.config import Config, parse
from hostguardd.engine.parts import build, rehouse
from hostguardd.errors import ConfigError
from hostguardd.globs import compile_path
from hostguardd.homes import Homes, expand, plausible, tilde
from hostguardd.host.bundle import image
from hostguardd.host.clock import SystemClock
from hostguardd.model import Depth, MountFact, Severity
from hostguardd.policy import Policy
from hostguardd.rules import Rule
from hostguardd.watches import Watches
from hostguardd.watchlist import Watch
from tests.fakekernel import FakeKernel
from tests.verdicts.files import added, file


def test_homes_are_named_once_and_those_in_home_not_at_all() -> None:
    named = [b"/root", b"/var/www/", b"//root", b"/home/alice", b"/home/staff/bob", b"/srv/x"]
    assert plausible(named) == (b"/home/staff/bob", b"/root", b"/srv/x", b"/var/www")


@pytest.mark.parametrize(
    "home",
    [b"", b"/", b"//", b"relative", b"/x/../etc", b"/./x", b"/a\0b", b"/proc/1/root", b"/" + b"x" * 5000],
)
def test_what_is_no_home_stands_for_nothing(home: bytes) -> None:
    assert plausible([home]) == ()


def test_a_watch_is_expanded_and_others_stay() -> None:
    config = Config(
        watches=(
            Watch("a", (b"/etc", b"~/.ssh", b"/root/.ssh"), exclude=(b"known_hosts*", b"~/.ssh/x*")),
            Watch("b", (b"/usr",)),
        )
    )
    homes = Homes([b"/root", b"/srv/[x]"])
    one, other = expand(config, homes).watches
    assert one.paths == (b"/etc", b"/home/*/.ssh", b"/root/.ssh", b"/srv/\\[x]/.ssh")
    assert one.exclude == (b"known_hosts*", b"/home/*/.ssh/x*", b"/root/.ssh/x*", b"/srv/\\[x]/.ssh/x*")
    assert other is config.watches[1]
    watches = Watches([one])
    assert watches.find(b"/srv/[x]/.ssh/authorized_keys") is one
    assert watches.find(b"/srv/x/.ssh/authorized_keys") is None
    assert watches.find(b"/home/eve/.ssh/xy") is None


@pytest.mark.parametrize("path", ["~", "~/", "~/.ssh", "~/.config/*/x", "/etc"])
def test_paths_of_homes_are_read(path: str) -> None:
    (watch,) = parse([("a", f'[[watch]]\nname = "w"\npaths = ["{path}"]\nexclude = ["~/.x/**"]')]).watches
    assert watch.paths == (path.rstrip("/").encode(),)


@pytest.mark.parametrize("path", ["~alice/.ssh", "~/../x", "~/**", "~//x", "x/~/y"])
def test_other_paths_with_the_sign_are_mistakes(path: str) -> None:
    with pytest.raises(ConfigError):
        parse([("a", f'[[watch]]\nname = "w"\npaths = ["{path}"]')])


def test_no_diff_of_secrets_in_homes() -> None:
    with pytest.raises(ConfigError) as caught:
        parse([("a", '[[watch]]\nname = "w"\npaths = ["~/.ssh"]\ndiff = true')])
    assert "id_ed25519" in str(caught.value)


def test_rules_are_asked_with_the_homes() -> None:
    rule = Rule("r", Severity.LOW, where={"path": (b"~/.ssh/**", b"/opt/*")})
    policy = Policy([rule], Homes([b"/root", b"/var/www"]))

    def verdict(path: str) -> str:
        return policy.judge(added(file(path))).rule

    for path in ("/root/.ssh/id", "/var/www/.ssh/a/b", "/home/eve/.ssh/x", "/opt/y"):
        assert verdict(path) == "r", path
    for path in ("/root/.sshx/id", "/var/.ssh/x", "/home/.ssh/x", "/home/eve/x/.ssh/y", "/~/.ssh/x"):
        assert verdict(path) == "unmatched", path
    assert Policy([rule]).judge(added(file("/root/.ssh/id"))).rule == "unmatched"


def test_a_critical_rule_makes_what_lies_in_homes_urgent() -> None:
    rules = [Rule("r", Severity.CRITICAL, where={"path": (b"~/.ssh/**",)}), Rule("rest", Severity.LOW)]
    policy = Policy(rules, Homes([b"/root"]))
    assert policy.urgent(b"/root/.ssh/x")
    assert policy.urgent(b"/home/eve/.ssh/x")
    assert not policy.urgent(b"/srv/.ssh/x")


NAMES = st.sampled_from([b"a", b"*", b"[x]", b"b\\c", b".ssh", b"?", b"\xff"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: b"/" + b"/".join(parts))


@given(st.lists(PATHS, max_size=4), PATHS)
def test_a_rule_and_a_watch_mean_the_same_homes(named: list[bytes], path: bytes) -> None:
    homes = Homes(named)
    globs = [compile_path(glob) for glob in homes.globs(b"~/.ssh")]
    assert any(glob.fullmatch(path) for glob in globs) == (b"~/.ssh" in homes.within(path))
    watches = Watches([Watch("w", tuple(homes.paths(b"~/.ssh")), depth=0)])
    assert (watches.find(path) is not None) == (b"~/.ssh" in homes.within(path))


@given(st.lists(PATHS, max_size=4))
def test_what_leads_to_a_home_leads_to_what_is_named_in_it(named: list[bytes]) -> None:
    homes = Homes(named)
    watches = Watches([Watch("w", tuple(homes.paths(b"~/.config/x")))])
    for home in homes.plain | {b"/home/eve"}:
        assert watches.leads(home)
        assert watches.leads(home + b"/.config")
        assert not watches.leads(home + b"/.config/x") or any(
            other.startswith(home + b"/.config/x/") for other in homes.plain
        )
    assert watches.leads(b"/home")
    assert not watches.leads(b"/nowhere")


def test_what_is_mounted_over_a_home_that_came_later_covers_something_watched(tmp_path: Path) -> None:
    (tmp_path / "srv/robot/.ssh").mkdir(parents=True)
    kernel = FakeKernel()
    host = replace(image(os.fsencode(tmp_path)), kernel=kernel)
    config = Config(watches=(Watch("keys", (b"~/.ssh",)),))
    parts = build(config, host, SystemClock(), lambda folder: None)
    kernel.mount(b"/srv/robot/.ssh", fstype=b"tmpfs")

    def place() -> str:
        (mounts,) = (one for one in parts.polled if one.fact is MountFact)
        (sweep,) = mounts.sweep(Depth.FULL, lambda: False)
        return {fact.point: fact.place for fact in map(MountFact.of, sweep.rows)}[b"/srv/robot/.ssh"]

    assert place() == "other"
    parts = rehouse(parts, config, (b"/srv/robot",), host, SystemClock(), lambda folder: None)
    assert place() == "watched"


def test_the_sign() -> None:
    assert tilde(b"~")
    assert tilde(b"~/x")
    assert not tilde(b"~x")
    assert not tilde(b"/~")
