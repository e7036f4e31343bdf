"""Somebody who comes by ssh and changes a file: the alert names them, by a real sshd and a real login."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import ssh
from tests.bench.actors import rules
from tests.daemon import ROOT, Guard, guarding, until

PERL = "/usr/bin/perl"  # every Debian has it

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


class Door:
    """The server, and who comes in."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.slowly = folder / "slowly.pl"
        self.slowly.write_text(
            "select undef, undef, undef, 0.3; chmod $ARGV[0], $ARGV[1]; select undef, undef, undef, 0.3;"
        )

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """What the visitor does there."""
        return subprocess.run(
            ["ssh", "-F", "none", "-i", self.folder / "key", "-p", str(self.port), "-o", "BatchMode=yes",
             "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
             f"{ssh.USER}@127.0.0.1", command],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    if os.geteuid() != 0:
        pytest.skip("a server of one's own needs root")
    if not (ssh.BESIDE / "usr/sbin/sshd").exists() or shutil.which("ssh") is None:
        pytest.skip("sshd is not there (tools/system-packages test)")
    if ssh.PROGRAM.exists():
        pytest.skip(f"{ssh.PROGRAM} is there already")
    folder = Path(tempfile.mkdtemp(prefix="sshd-", dir="/var/tmp"))
    folder.chmod(0o755)
    ssh.prepare(folder)
    shutil.copy(ssh.BESIDE / "usr/sbin/sshd", ssh.PROGRAM)
    port = free_port()
    words = (folder / "words").open("wb")
    # Not below a login of whoever runs the tests: sshd is started by none.
    namespace = ["unshare", "-m", "--propagation", "private"]
    server = subprocess.Popen(
        [*namespace, sys.executable, "-m", "tests.ssh", str(folder), str(port)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True,
    )  # fmt: skip
    made = Door(folder, port)
    try:
        deadline = time.monotonic() + 20
        while (tried := made.run("cat /proc/self/loginuid")).returncode != 0:
            if time.monotonic() > deadline or server.poll() is not None:
                said = (folder / "words").read_text(errors="replace")[-600:]
                pytest.skip(f"sshd lets nobody in here: {said} {tried.stderr}")
            time.sleep(0.2)
        if tried.stdout.strip() != str(ssh.UID):
            pytest.skip(f"the login uid is not set here: {tried.stdout}")
        yield made
    finally:
        server.terminate()
        server.wait()
        words.close()
        ssh.PROGRAM.unlink()
        shutil.rmtree(folder)


@pytest.mark.parametrize("rung", ["audit", "fanotify"])
@pytest.mark.parametrize("become", [False, True])
def test_a_visitor_is_named(door: Door, rung: str, become: bool) -> None:
    tree = Path(tempfile.mkdtemp(prefix="watched-", dir="/var/tmp"))
    tree.chmod(0o777)
    file = tree / "file"
    file.write_text("before")
    os.chown(file, 0 if become else ssh.UID, 0)
    sections = f'[actors]\nrungs = ["{rung}"]'
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, tree)
        if rung == "audit":
            if shutil.which("auditctl") is None:
                pytest.skip("auditctl is not installed")
            stack.enter_context(rules(tree))
        state = Path(tempfile.mkdtemp(prefix="guard-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, state)
        guard = stack.enter_context(guarding(Guard(state, tree=tree, sections=sections)))
        guard.start()
        doctor = until(lambda: guard.call("doctor")["checks"], "an answer")
        (actors,) = (one for one in doctor if one["name"] == "actors")
        if "known from" not in str(actors):
            pytest.skip(str(actors))
        wanted = {
            "executable": PERL,
            "user": "root" if become else str(ssh.UID),
            "login": str(ssh.UID),
            "source": "127.0.0.1",
        }
        if become and rung == "fanotify":  # what su starts has a login of its own, as far as can be seen
            del wanted["login"]
        missing: list[set[str]] = []
        for visit, mode in enumerate((0o640, 0o600, 0o640, 0o600), 1):
            shell = "su root -c" if become else "sh -c"
            # It is there a while before and afterwards: whoever is gone in a millisecond is not always named.
            deed = f"{shell} 'echo $$; exec {PERL} {door.slowly} {mode} {file}'"
            # The shell stays what it is, as it would not if sleep were its last command.
            done = door.run(f"echo $SSH_CONNECTION; sleep 0.3; {deed}; sleep 1; true")
            assert done.returncode == 0, done.stderr
            ends, pid = done.stdout.splitlines()
            about = until(lambda visit=visit: guard.about(file)[visit - 1 :], "an alert")  # type: ignore[misc]
            actor = about[-1]["hostguard"]["actor"]
            assert actor["rung"] == rung
            assert actor["pid"] == int(pid), "nobody else is named, ever"
            for name, value in wanted.items():
                assert actor.get(name, value) == value, name
            lacks = set(wanted) - set(actor)
            if not any(one.get("executable") == str(ssh.PROGRAM) for one in actor.get("parents", ())):
                lacks.add("sshd")
            missing.append(lacks)
            if not lacks:
                assert actor["session"] > 0
                assert about[-1]["source"]["ip"] == "127.0.0.1"
                assert about[-1]["source"]["port"] == int(ends.split()[1])
                return
        raise AssertionError(f"never all of it: {missing}")
