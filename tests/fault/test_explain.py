"""hostguardctl explain, drift and accept of a real daemon: for an ordinary user, whom the kernel tells
nothing, and as root, with real processes that live for a moment, in a login session that the kernel believes
in."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.errors import Exit
from tests.daemon import Guard, guarding, until
from tests.fault.test_daemon import NOBODY, commons, everybodys_python

__all__ = ["commons"]

PAIRS = 6


def test_for_an_ordinary_user_it_is_said_why_nobody_is_named(commons: Path) -> None:
    guard = Guard(commons / "own")
    guard.python, guard.user = [everybodys_python(commons / "lib")], NOBODY
    guard.environ["PYTHONPATH"] = str(commons / "lib")
    guard.folder.chmod(0o777)
    (guard.tree / "file").write_text("x\n")
    with guarding(guard):
        guard.start()
        (guard.tree / "file").write_text("changed\n")
        told = guard.hears(guard.tree / "file", "opened")
        finding = guard.finds(guard.tree / "file")
        page = guard.ctl("explain", finding["id"]).stdout
        reason = told["hostguard"]["actor"]["unattributed"]
        assert f"Nobody is named: {reason}." in page
        assert "nothing that is known explains it" in page
        assert "+changed" in page
        guard.stop()


# -- as root -----------------------------------------------------------------------------------------


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    if os.geteuid() != 0:
        pytest.skip("file events need root")
    made = Guard(tmp_path, sections='[actors]\nrungs = ["fanotify"]\n')
    for name in ("bin", "other", *(f"{name}{n}" for name in ("one", "two") for n in range(PAIRS))):
        (made.tree / name).write_text(f"{name}\n")
    with guarding(made):
        made.start()
        missing = made.call("status")["actors"]["missing"]
        if missing:
            pytest.skip("; ".join(missing.values()))
        yield made


LOGIN = """
import os, pty, sys
pid, master = pty.fork()
if pid == 0:
    with open("/proc/self/loginuid", "w") as file:
        file.write(sys.argv[1])
    os.execv("/bin/sh", ["sh", "-c", f"sleep 0.6; {sys.argv[2]}; sleep 0.6"])
try:
    while os.read(master, 4096):
        pass
except OSError:  # EIO: it ended
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def by_somebody_logged_in(command: str) -> None:
    """Run it in a shell on a terminal of its own, as root whose login is that of `nobody`. The shell is there
    a while, as those of people are; and it is no child of ours, whose size makes a fork take long."""
    subprocess.run([sys.executable, "-I", "-c", LOGIN, str(NOBODY), command], check=True)


def slowly(mode: int, paths: Iterable[Path]) -> str:
    """A program that changes their mode, and that was seen to start before: of one that does it at once the
    name is only likely."""
    words = " ".join(map(str, paths))
    program = f"import os, sys, time; time.sleep(0.3); [os.chmod(one, {mode}) for one in sys.argv[1:]]"
    return f'{sys.executable} -I -c "{program}" {words}'


def login_can_be_set() -> bool:
    """Whether the kernel lets a process of ours say whose login it is."""
    said = subprocess.run(
        ["/bin/sh", "-c", f"echo {NOBODY} > /proc/self/loginuid && cat /proc/self/sessionid"],
        capture_output=True,
        check=False,
    )
    return said.returncode == 0 and said.stdout.strip() not in (b"", b"4294967295")


def test_a_process_that_lived_a_moment_is_explained(guard: Guard) -> None:
    child = subprocess.Popen(["/usr/bin/chmod", "0666", str(guard.tree / "bin")])
    assert child.wait() == 0
    told = guard.hears(guard.tree / "bin", "opened")["hostguard"]["actor"]
    finding = guard.finds(guard.tree / "bin")
    page = guard.ctl("explain", finding["id"]).stdout
    assert f"/usr/bin/chmod (pid {child.pid})" in page
    assert f"({os.getpid()})" in page, "who started it"
    assert told["confidence"] in ("certain", "likely"), "likely, when its start was not seen itself"
    assert f"{told['confidence']}: the kernel's file events told of this deed by this process" in page
    data = json.loads(guard.ctl("explain", finding["id"], "--json").stdout)
    assert data["story"]["last"]["actor"] == told
    assert 0 <= data["times"]["late"] < 60
    assert f"/usr/bin/chmod ({child.pid}) as root" in guard.ctl("drift").stdout


def test_changes_in_login_sessions_are_named_and_never_wrongly(guard: Guard) -> None:
    """Not all, of programs that live a millisecond and a host that does other things: how many of a thousand
    is measured by the bench of actors."""
    if not login_can_be_set():
        pytest.skip("a login cannot be set here")
    pairs = [pair_of(guard, number) for number in range(PAIRS)]
    for one, other in pairs:
        by_somebody_logged_in(f"/usr/bin/chmod 0600 {one} {other}")
    told = [last(guard, path)["actor"] for pair in pairs for path in pair]
    seen = [one for one in told if not one.get("unattributed")]
    assert all(one["executable"].endswith("/chmod") for one in seen), told
    assert len([one for one in seen if one.get("login")]) > len(told) // 2, told


def test_what_somebody_did_who_logged_in_is_accepted_in_one_stroke(guard: Guard) -> None:
    if not login_can_be_set():
        pytest.skip("a login cannot be set here")
    mine = pair_of(guard, 0)
    by_somebody_logged_in(slowly(0o600, mine))
    assert [last(guard, path)["cause"] for path in mine] == ["session", "session"]
    subprocess.run(["/usr/bin/chmod", "0600", str(guard.tree / "other")], check=True)
    guard.hears(guard.tree / "other", "opened")
    open_ones = guard.findings()
    stories = [open_ones[str(path)]["story"] for path in mine]
    assert open_ones[str(guard.tree / "other")]["story"]["cause"] == "unexplained"
    assert stories[0]["because"].startswith("root, logged in as nobody on pts")
    assert stories[0]["group"] == stories[1]["group"]
    group = stories[0]["group"]
    page = guard.ctl("explain", open_ones[str(mine[0])]["id"]).stdout
    assert f"{os.path.realpath(sys.executable)} (pid " in page
    assert f"same session  {open_ones[str(mine[1])]['id']}  changed {mine[1]}" in page
    drift = guard.ctl("drift").stdout
    assert f"hostguardctl accept --session {group}" in drift
    assert "  Explained by nothing" in drift
    done = guard.ctl("accept", "--session", group, "--yes", "-m", "my work")
    assert done.returncode == Exit.OK, done.stderr
    assert str(guard.tree / "other") in guard.findings()
    assert not {str(path) for path in mine} & guard.findings().keys()
    message = guard.told("baseline.accepted")["message"]
    assert "accepted 2 findings as normal (2 medium; 2 in login sessions)" in message


def test_what_nobody_explains_is_not_forgotten_when_somebody_edits_it(guard: Guard) -> None:
    """The content an intruder put there stays there, whoever changes the mode afterwards."""
    if not login_can_be_set():
        pytest.skip("a login cannot be set here")
    path = guard.tree / "one0"
    path.write_text("planted\n")
    guard.hears(path, "opened")
    by_somebody_logged_in(slowly(0o640, [path]))
    until(lambda: guard.findings()[str(path)]["story"]["earlier"], "it was told again")
    finding = guard.findings()[str(path)]
    assert finding["story"]["cause"] == "unexplained"
    page = guard.ctl("explain", finding["id"]).stdout
    assert "Of what was told last: it was made in a login session" in page, page
    assert f"({os.getpid()}) as root" in page, "who wrote it"
    refused = guard.ctl("accept", "--session", finding["story"]["group"], "--yes")
    assert refused.returncode == Exit.USAGE


def pair_of(guard: Guard, number: int) -> tuple[Path, Path]:
    return guard.tree / f"one{number}", guard.tree / f"two{number}"


def last(guard: Guard, path: Path) -> dict[str, Any]:
    """What is told of its last change: by that login or by nobody, never by another."""
    guard.hears(path)
    told: dict[str, Any] = guard.call("explain", id=guard.finds(path)["id"])["story"]["last"]
    assert told["cause"] in ("session", "unexplained")
    assert told["actor"].get("login") in (None, pwd.getpwuid(NOBODY).pw_name)
    return told
