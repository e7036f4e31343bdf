"""hostguardctl explain, drift and accept of a real daemon: for an ordinary user, whom the kernel tells
nothing, and as root, with real processes that live for a moment, in a login session that the kernel believes
in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd.errors import Exit
from tests.daemon import Guard, guarding, until
from tests.fault.test_daemon import NOBODY, commons, everybodys_python

__all__ = ["commons"]


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
    for name in ("bin", "conf", "other"):
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
    os.execv("/bin/sh", ["sh", "-c", f"sleep 0.3; {sys.argv[2]}; sleep 0.3"])
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
    assert "certain: the kernel's file events told of this deed by this process" in page
    data = json.loads(guard.ctl("explain", finding["id"], "--json").stdout)
    assert data["story"]["last"]["actor"] == told
    assert 0 <= data["times"]["late"] < 60
    assert f"/usr/bin/chmod ({child.pid}) as root" in guard.ctl("drift").stdout


def test_what_somebody_did_who_logged_in_is_accepted_in_one_stroke(guard: Guard) -> None:
    if not login_can_be_set():
        pytest.skip("a login cannot be set here")
    by_somebody_logged_in(f"/usr/bin/chmod 0600 {guard.tree / 'bin'} {guard.tree / 'conf'}")
    subprocess.run(["/usr/bin/chmod", "0600", str(guard.tree / "other")], check=True)
    for name in ("bin", "conf", "other"):
        guard.hears(guard.tree / name, "opened")
    until(lambda: len(guard.findings()) == 3, "all are open")
    open_ones = guard.findings()
    bin, conf, other = (open_ones[str(guard.tree / name)]["story"] for name in ("bin", "conf", "other"))
    assert (bin["cause"], other["cause"]) == ("session", "unexplained")
    assert bin["because"].startswith("root, logged in as nobody on pts")
    assert bin["group"] == conf["group"]
    page = guard.ctl("explain", open_ones[str(guard.tree / "bin")]["id"]).stdout
    assert "/usr/bin/chmod (pid " in page
    assert f"same session  {open_ones[str(guard.tree / 'conf')]['id']}  changed {guard.tree / 'conf'}" in page
    drift = guard.ctl("drift").stdout
    assert f"hostguardctl accept --session {bin['group']}" in drift
    assert "     1  Explained by nothing" in drift
    done = guard.ctl("accept", "--session", bin["group"], "--yes", "-m", "my work")
    assert done.returncode == Exit.OK, done.stderr
    assert guard.findings().keys() == {str(guard.tree / "other")}
    message = guard.told("baseline.accepted")["message"]
    assert "accepted 2 findings as normal (2 medium; 2 in login sessions)" in message


def test_what_nobody_explains_is_not_forgotten_when_somebody_edits_it(guard: Guard) -> None:
    """The content an intruder put there stays there, whoever changes the mode afterwards."""
    if not login_can_be_set():
        pytest.skip("a login cannot be set here")
    (guard.tree / "bin").write_text("planted\n")
    guard.hears(guard.tree / "bin", "opened")
    by_somebody_logged_in(f"/usr/bin/chmod 0640 {guard.tree / 'bin'}")
    guard.hears(guard.tree / "bin", "changed")
    until(lambda: guard.findings()[str(guard.tree / "bin")]["story"]["earlier"], "it was told again")
    finding = guard.findings()[str(guard.tree / "bin")]
    assert finding["story"]["cause"] == "unexplained"
    page = guard.ctl("explain", finding["id"]).stdout
    assert "Of what was told last: it was made in a login session" in page, page
    assert f"({os.getpid()}) as root" in page, "who wrote it"
    refused = guard.ctl("accept", "--session", finding["story"]["group"], "--yes")
    assert refused.returncode == Exit.USAGE
