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
from typing import Any

import pytest

from tests import ssh
from tests.bench.actors import rules
from tests.daemon import ROOT, Guard, guarding, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


class Door:
    """The server, and who comes in."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

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
    server = subprocess.Popen(
        ["unshare", "-m", "--propagation", "private", sys.executable, "-m", "tests.ssh", str(folder), str(port)],
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


def told(guard: Guard, path: Path, rung: str) -> dict[str, Any]:
    found = guard.hears(path)
    actor: dict[str, Any] = found["hostguard"]["actor"]
    assert "unattributed" not in actor, actor
    assert actor["rung"] == rung
    return found


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
        command = f"/bin/chmod 0640 {file}"
        command = f"su root -c 'echo $$; exec {command}'" if become else f"echo $$; exec {command}"
        done = door.run(command)
        assert done.returncode == 0, done.stderr
        alert = told(guard, file, rung)
        actor = alert["hostguard"]["actor"]
        assert actor["pid"] == int(done.stdout)
        assert actor["executable"] in ("/bin/chmod", "/usr/bin/chmod")
        assert actor["user"].startswith("root" if become else str(ssh.UID))
        # What root's programs have of their parents is not believed where su may have changed it.
        login = actor.get("login", str(ssh.UID) if become and rung == "fanotify" else "")
        assert str(ssh.UID) in login
        assert actor["source"] == "127.0.0.1"
        assert actor["session"] > 0
        assert any(one["executable"] == str(ssh.PROGRAM) for one in actor["parents"])
        assert alert["source"]["ip"] == "127.0.0.1"
