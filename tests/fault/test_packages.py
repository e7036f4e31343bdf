"""A package manager's bad days: whoever is asked about it dies or hangs; somebody else holds its lock."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hostguardd.engine import judges
from hostguardd.engine.judges import Clerks
from hostguardd.host.atwork import PackageManagers
from hostguardd.packages.evidence import Answer, Question
from tests import packaged
from tests.daemon import until
from tests.updating import Watched

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")

HOLD = """
import fcntl, sys
lock = open(sys.argv[1], "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
print(1, flush=True)
input()
"""
QUESTION = Question(b"/", 0.0, [b"/usr/bin/x"], b"/nonexistent")


@pytest.fixture
def clerks() -> Iterator[Clerks]:
    made = Clerks(lambda: None)
    yield made
    made.stop()


def children() -> list[psutil.Process]:
    """Those that work for a clerk; other tests may have children of their own."""
    alive = (one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE)
    return [one for one in alive if any("other_clerk" in word for word in one.cmdline())]


def answer(clerks: Clerks) -> Answer:
    until(lambda: clerks.answered, "an answer")
    found = clerks.take()
    assert found is not None
    assert not clerks.busy
    return found


def clerk(monkeypatch: pytest.MonkeyPatch, folder: Path, work: str) -> None:
    """A clerk that does something else."""
    (folder / "other_clerk.py").write_text(f"def work():\n    {work}\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(judges, "CLERK", "other_clerk")


@pytest.mark.parametrize(
    "work",
    [
        "import os; os._exit(1)",
        "raise SystemExit",
        "import sys; sys.stdout.buffer.write(b'\\xff' * 100); sys.stdout.flush()",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_a_clerk_that_dies_is_an_answer_too(
    clerks: Clerks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: str
) -> None:
    clerk(monkeypatch, tmp_path, work)
    clerks.ask(QUESTION)
    found = answer(clerks)
    assert "could not be asked" in found.problem or "was silent" in found.problem
    assert children() == []


def test_a_clerk_that_hangs_is_ended(clerks: Clerks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clerk(monkeypatch, tmp_path, "import time; time.sleep(1000)")
    monkeypatch.setattr(judges, "PATIENCE", 0.5)
    clerks.ask(QUESTION)
    assert "was silent" in answer(clerks).problem
    assert children() == []


def test_none_outlives_the_daemon(clerks: Clerks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clerk(monkeypatch, tmp_path, "import time; time.sleep(1000)")
    clerks.ask(QUESTION)
    until(children, "it works")
    clerks.stop()
    assert children() == []


def test_the_real_one_says_why_it_knows_nothing(clerks: Clerks, tmp_path: Path) -> None:
    clerks.ask(QUESTION._replace(root=os.fsencode(tmp_path)))
    assert answer(clerks).problem == "neither rpm nor dpkg keeps packages on this host"
    clerks.ask(QUESTION._replace(root=b"/nonexistent"))
    assert answer(clerks).problem


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged.debian(tmp_path_factory.mktemp("debian"))


@pytest.fixture
def watched(made: Path, tmp_path: Path) -> Iterator[Watched]:
    time.sleep(1.1)
    found = Watched(packaged.copied(made, tmp_path / "root"), tmp_path)
    yield found
    found.close()


def test_a_lock_that_somebody_else_holds_for_ever_holds_nothing_back(
    watched: Watched, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    lock = root / "var/lib/dpkg/lock"
    watched.managers.at_work = PackageManagers(places={"dpkg": (str(lock),)}).at_work  # type: ignore[method-assign]
    watched.provenance._marks = watched.managers.marks()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        (root / "usr/bin/planted").write_text("#!/bin/sh\n")
        watched.look()
        assert not watched.provenance.held
        (one,) = watched.told()
        assert one["file"]["path"] == "/usr/bin/planted"


def test_a_manager_that_is_killed_in_the_middle_leaves_what_it_left(watched: Watched, tmp_path: Path) -> None:
    """As its database stands then: unpacked, and not to the end."""
    root = tmp_path / "root"
    files = {**packaged.FILES, "usr/bin/tool": (0o755, b"#!/bin/sh\necho new\n")}
    deb = packaged.deb(tmp_path, "tool", files, "/etc/tool.conf\n", version="2.0-1")
    ran = subprocess.run(
        ["dpkg", f"--root={root}", "--force-not-root", "--force-bad-path", "--log", root / "var/log/dpkg.log",
         "--path-exclude=/usr/share/doc/*", "--unpack", deb],
        capture_output=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    status = root / "var/lib/dpkg/status"
    status.write_bytes(status.read_bytes().replace(b"install ok unpacked", b"install ok half-installed"))
    (root / "usr/bin/planted").write_text("#!/bin/sh\n")
    watched.update()
    told = watched.told()
    alone = {
        one["file"]["path"]: one["hostguard"]["severity"]
        for one in told
        if one["hostguard"]["kind"] == "file"
    }
    assert alone["/usr/bin/planted"] == "high"
    assert alone["/usr/bin/tool"] == "high"
    packaged.install(root, deb)  # somebody finishes it
    watched.update()
    told = watched.told()
    assert [one["hostguard"]["kind"] for one in told if "/usr/bin/tool" in str(one)] == ["transaction"]
