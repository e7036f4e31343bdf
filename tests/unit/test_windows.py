"""What a change window covers, and what it never does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hostguardd.control.calls import parse_request
from hostguardd.errors import UsageError
from hostguardd.model import Fact, Severity
from hostguardd.readers import path_of
from hostguardd.windows import Window, covers, lies_in, lowered, pack, unpack
from tests.alerts import ACCOUNT, HIDDEN, KEY, LISTENER, MODULE, NOW, PROCESS, SECOND, SETID, alert, finding
from tests.state import file, folder

OPEN = Window(
    "w0000001", "alice", "deploy 42", (), NOW - 60 * SECOND, NOW + 60 * SECOND, whole=True, boot="one"
)


def window(*paths: str, **more: object) -> Window:
    return replace(OPEN, paths=tuple(map(path_of, paths)), **more)  # type: ignore[arg-type]


def covered(
    window: Window,
    path: bytes = b"/srv/www/x",
    *,
    before: Fact | None = None,
    severity: Severity = Severity.HIGH,
    now: int = NOW,
    **more: object,
) -> bool:
    found = finding(before, file(path, **{"ctime": NOW, **more}), severity)
    return covers(window, found, now, [b"/var/lib/hostguardd"])


@pytest.mark.parametrize(
    ("named", "path", "inside"),
    [
        ("/srv/www", b"/srv/www", True),
        ("/srv/www", b"/srv/www/a/b", True),
        ("/srv/www/", b"/srv/www/a", True),
        ("/srv/www", b"/srv/www2", False),
        ("/srv/www", b"/srv", False),
        ("/srv/www", b"/srv/www\n/a", False),
        ("/srv/www", b"/srv/www/\n/etc/shadow", True),  # one name with a newline, and below the folder
        ("/srv/www", b"/x/srv/www/a", False),
        ("/srv/www", b"/x\n/srv/www/a", False),
        ("/srv/*/htdocs", b"/srv/a/htdocs/b", True),
        ("/srv/*/htdocs", b"/srv/a/b/htdocs/c", False),
        ("/srv/a?", b"/srv/a\n", True),
        ("/srv/a?", b"/srv/a/", False),
        ("/srv/a[1-2]", b"/srv/a2/x", True),
        ("/srv/a\\[1]", b"/srv/a[1]/x", True),
        ("/srv/a.b", b"/srv/aXb", False),
        ("/", b"/anything", True),
        ("/srv/\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), b"/srv/\xff", False),
    ],
)
def test_a_path_names_itself_and_what_lies_below(named: str, path: bytes, inside: bool) -> None:
    assert lies_in(window(named), path) is inside


@pytest.mark.parametrize(
    "path", ["srv", "", "/srv/../etc", "/srv/./a", "/srv//a", "/..", "/srv/**", "~/x", "/srv/[a", "/a\0", 7]
)
def test_paths_that_name_nothing_plain_are_refused(path: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        path_of(path)


@pytest.mark.parametrize(
    "args",
    [
        '"length": 0, "reason": "x"',
        '"length": 1.5, "reason": "x"',
        '"length": 60, "reason": "  "',
        '"length": 60',
        '"reason": "x"',
        '"length": 60, "reason": "x", "paths": ["/a\\nb"]',
        '"length": 60, "reason": "x", "paths": ["/a\\udcff"]',
        '"length": 60, "reason": "x", "paths": "/a"',
        '"length": 60, "reason": "x", "paths": [' + ",".join(f'"/{n}"' for n in range(101)) + "]",
    ],
)
def test_a_request_that_makes_no_sense_is_refused(args: str) -> None:
    with pytest.raises(UsageError, match="window-open"):
        parse_request(b'{"v": 1, "call": "window-open", "args": {%s}}' % args.encode())


def test_a_request_names_each_path_once() -> None:
    _, args = parse_request(
        b'{"v": 1, "call": "window-open", "args": {"length": 60, "reason": "x", "paths": ["/a/", "/a"]}}'
    )
    assert args["paths"] == (b"/a",)


def test_without_a_path_it_covers_files_everywhere() -> None:
    assert covered(OPEN)
    assert covered(OPEN, b"/usr/bin/ls", before=file(b"/usr/bin/ls"))


@pytest.mark.parametrize("fact", [LISTENER, PROCESS, ACCOUNT, KEY, MODULE, HIDDEN])
def test_it_covers_nothing_but_files(fact: Fact) -> None:
    assert not covers(OPEN, finding(None, fact, Severity.LOW), NOW)


@pytest.mark.parametrize(
    "path",
    [
        b"/etc/ld.so.preload", b"/etc/shadow", b"/etc/gshadow", b"/etc/passwd", b"/etc/sudoers",
        b"/etc/sudoers.d/x", b"/root/.ssh/authorized_keys", b"/root/.ssh", b"/etc/hostguardd/conf.d/x.toml",
        b"/usr/lib/hostguardd/lib/hostguardd/engine.py", b"/usr/bin/hostguardctl",
        b"/usr/lib/systemd/system/hostguardd.service", b"/var/lib/hostguardd/baseline.db",
    ],
)  # fmt: skip
def test_what_is_grave_is_covered_only_where_it_is_named(path: bytes) -> None:
    text = path.decode()
    for quiet in (OPEN, window("/"), window(text.rpartition("/")[0] or "/"), window(text[:-1] + "?")):
        assert not covered(quiet, path, severity=Severity.LOW)
    assert covered(window(text), path, severity=Severity.LOW)
    assert not covered(window(text + "x"), path, severity=Severity.LOW)


def test_what_the_policy_calls_critical_is_covered_only_where_it_is_named() -> None:
    assert not covered(OPEN, severity=Severity.CRITICAL)
    assert not covered(window("/srv/www"), severity=Severity.CRITICAL)
    assert covered(window("/srv/www/x"), severity=Severity.CRITICAL)


def test_what_gains_rights_is_covered_only_where_it_is_named() -> None:
    assert not covered(window("/srv"), mode=0o104755, severity=Severity.LOW)
    assert covered(window("/srv/www/x"), mode=0o104755, severity=Severity.LOW)
    new = finding(None, replace(SETID, path=b"/srv/x"), Severity.LOW)
    assert not covers(window("/srv"), new, NOW)
    assert covers(window("/srv/x"), new, NOW)
    had = file(b"/srv/www/x", mode=0o104755, size=1)
    assert covered(window("/srv"), before=had, mode=0o104755), "it had them before"


def test_only_what_came_about_while_it_was_open() -> None:
    before = file(b"/srv/www/x", size=1)
    early, edge = OPEN.opened - SECOND, OPEN.opened - SECOND // 200
    assert covered(OPEN, before=before, ctime=edge), "the kernel's clock is coarse"
    assert not covered(OPEN, before=before, ctime=early)
    assert not covered(OPEN, before=before, ctime=NOW + SECOND), "from the future"
    assert not covered(OPEN, before=before, now=OPEN.opened - 1), "the clock was set back"


def test_what_is_older_than_its_coming_counts_by_its_coming_if_nothing_was_unseen() -> None:
    early = OPEN.opened - SECOND
    moved = file(b"/srv/www/x", inode=5)
    assert covered(OPEN, ctime=early), "with a folder that was moved"
    assert covered(OPEN, before=moved, ctime=early, inode=6)
    for less in (replace(OPEN, whole=False), replace(OPEN, closed=NOW)):
        assert not covered(less, ctime=early)
        assert not covered(less, before=moved, ctime=early, inode=6)
        assert covered(less, ctime=NOW)


def test_what_is_gone_counts_if_nothing_was_unseen() -> None:
    gone = finding(file(b"/srv/www/x"), None)
    assert covers(OPEN, gone, NOW)
    assert not covers(replace(OPEN, whole=False), gone, NOW)
    assert not covers(replace(OPEN, closed=NOW), gone, NOW)


def test_while_it_is_being_closed_it_covers_what_came_about_before() -> None:
    closing = replace(OPEN, closed=NOW - SECOND)
    assert covered(closing, ctime=NOW - 2 * SECOND)
    assert not covered(closing, ctime=NOW)


def test_a_link_into_a_window_or_out_of_it_is_itself() -> None:
    """Facts name where things really lie; so a link to /etc brings nothing of /etc inside."""
    link = file(b"/srv/www/etc", mode=0o120777, target=b"/etc", ctime=NOW)
    assert covers(window("/srv/www"), finding(None, link), NOW)
    assert not covered(window("/srv/www/etc"), b"/etc/cron.d/x")
    assert covers(window("/srv"), finding(None, folder(b"/srv/new", ctime=NOW)), NOW)


def test_an_alert_says_quietly_all_that_it_would_have_said() -> None:
    loud = alert(severity=Severity.HIGH, data={"finding_severity": "high"})
    quiet = lowered(loud, OPEN)
    assert quiet.severity is Severity.INFO
    assert quiet.message == "Alert 0. (expected, window w0000001: deploy 42)"
    assert quiet.data == {
        "finding_severity": "high",
        "judged": "high",
        "window": {"id": "w0000001", "reason": "deploy 42"},
    }


def test_a_window_survives_being_written_down() -> None:
    one = window("/srv/www", "/etc/m\N{LATIN SMALL LETTER O WITH DIAERESIS}[a-z]?", closed=3, outside=2)
    assert unpack(pack(one)) == one


@pytest.mark.parametrize(
    "text",
    [
        None, 7, "", "[]", "{}", "[" * 100_000, pack(OPEN).replace("true", "1"),
        pack(window("/srv")).replace(b"/srv".hex(), b"/srv/../etc".hex()),
        pack(window("/srv")).replace(b"/srv".hex(), b"/[".hex()),
        pack(window("/srv")).replace(b"/srv".hex(), "zz"),
        pack(window("/srv")).replace(b"/srv".hex(), "ff"),
        pack(OPEN).replace('"paths": []', '"paths": 7'),
    ],
)  # fmt: skip
def test_what_is_damaged_announces_nothing(text: object) -> None:
    assert unpack(text) is None
