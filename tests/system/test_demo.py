"""`make demo` as a stranger meets it: without a terminal it proves itself, on one it talks."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd.host.ready import ready

DEMO = [sys.executable, "-m", "hostguardd.demo"]
PATIENCE = 600.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE)]


def leftovers() -> set[str]:
    """What a demo makes outside its folder: scratch folders, and programs that run from them."""
    folders = {str(path) for path in Path("/tmp").glob("hostguardd-demo-*")}
    programs = set()
    for link in Path("/proc").glob("[0-9]*/exe"):
        try:
            programs.add(os.readlink(link))
        except OSError:
            continue  # ended meanwhile, or not ours to see
    return folders | {program for program in programs if program.startswith("/tmp/hostguardd-demo-")}


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, and nothing left behind elsewhere."""
    monkeypatch.chdir(tmp_path)
    before = leftovers()
    yield
    assert leftovers() == before


@pytest.mark.usefixtures("clean")
def test_without_a_terminal_every_change_is_answered_by_an_alert() -> None:
    ran = subprocess.run(DEMO, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAILED" not in ran.stdout
    for word in ("motd", "127.0.0.1:", "/sleep", "/helper"):
        assert re.search(rf"^ +\d+\.\d\d s  \w+ +.*{re.escape(word)}", ran.stdout, re.MULTILINE), ran.stdout


@pytest.mark.usefixtures("clean")
def test_on_a_terminal_it_says_what_to_try_and_ends_at_control_c(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    demo = subprocess.Popen(
        DEMO,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    try:
        said = until(ours, "Ctrl-C ends the demo")
        assert f"hostguardd.cli --config {tmp_path}/.demo/hostguardd.toml drift" in said
        (tmp_path / ".demo/watched/motd").write_text("changed by the test\n")
        until(ours, "/.demo/watched/motd")
        os.killpg(demo.pid, 2)  # what the terminal does at Ctrl-C
        until(ours, "")
        assert demo.wait(30) == 0
    finally:
        demo.kill()
        demo.wait()
        os.close(ours)


def until(terminal: int, words: str) -> str:
    """What was said until `words` came, or until the end of all where they are empty."""
    said = b""
    deadline = time.monotonic() + PATIENCE
    while not words or words not in said.decode(errors="replace"):
        there = ready([terminal], deadline - time.monotonic())
        assert there, f"{words!r} did not come:\n{said.decode(errors='replace')}"
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # EIO: the other end is closed, pty(7)
            piece = b""
        if not piece:
            assert not words, f"ended before {words!r} came:\n{said.decode(errors='replace')}"
            break
        said += piece
    return said.decode(errors="replace")
