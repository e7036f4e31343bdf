"""What acts share: commands, files put back as they were, programs left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .table import Deed, NotHere, Shown, add

SAFE = Path("/var/lib/trial")
"""Where files wait to be put back."""


def run(*command: str, text: str = "", may_fail: bool = False) -> str:
    """What a command says. AssertionError when it fails, as the deed was not done then."""
    ran = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
    assert may_fail or ran.returncode == 0, f"{' '.join(command)}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def sh(*lines: str, may_fail: bool = False) -> str:
    """What some lines of shell say; the first that fails is the last that is run."""
    return run("/bin/sh", "-c" if may_fail else "-ec", "\n".join(lines), may_fail=may_fail)


def until(met: Callable[[], object], what: str, patience: float = 20.0) -> None:
    """Wait for something by asking."""
    deadline = time.monotonic() + patience
    while not met():
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.02)


def write(path: str, text: str | bytes, mode: int | None = None) -> None:
    """Write a file in place, its folders too."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(text.encode() if isinstance(text, str) else text)
    if mode is not None:
        Path(path).chmod(mode)


def append(path: str, text: str) -> None:
    with open(path, "a") as file:
        file.write(text)


@contextmanager
def kept(*paths: str) -> Iterator[None]:
    """Put these back at the end as they were: content, owner, mode, mtime and extended attributes."""
    SAFE.mkdir(mode=0o700, exist_ok=True)
    before = {path: SAFE / path.replace("/", "%") for path in paths}
    for path, safe in before.items():
        if os.path.lexists(path):
            sh(f"rm -rf '{safe}'; cp -a '{path}' '{safe}'")
    try:
        yield
    finally:
        for path, safe in before.items():
            if os.path.isdir(safe):
                sh(f"rm -rf '{path}'; mv '{safe}' '{path}'")
            elif os.path.lexists(safe):
                sh(f"mv -fT '{safe}' '{path}'")  # in one step: nobody is to find it missing
            else:
                sh(f"rm -rf '{path}'")


@contextmanager
def made(*paths: str) -> Iterator[None]:
    """Remove at the end what was not there before, the folders made for it included."""
    missing = []
    for path in paths:
        top = Path(path)
        while not os.path.lexists(top.parent):
            top = top.parent
        if not os.path.lexists(top):
            missing.append(top)
    try:
        yield
    finally:
        for top in missing:
            sh(f"chattr -R -ia '{top}' 2>/dev/null || true; rm -rf '{top}'")


def planted(
    name: str, technique: str, path: str, text: str | bytes, *, does: str = "", mode: int = 0o644
) -> None:
    """The row of a new file."""

    def deed() -> Deed:
        with made(path):
            write(path, text, mode)
            yield

    deed.__module__ = _family()
    add(name, deed, technique, does or f"writes {path}", path)


def extended(name: str, technique: str, path: str, text: str, *, does: str = "") -> None:
    """The row of a line added to a file that is there, as `echo … >>` does."""

    def deed() -> Deed:
        if not os.path.exists(path):
            raise NotHere(f"this host has no {path}")
        with kept(path):
            append(path, text)
            yield

    deed.__module__ = _family()
    add(name, deed, technique, does or f"adds a line to {path}", path)


def impossible(name: str, technique: str, does: str, thing: str, reason: str) -> None:
    """The row of what cannot be done on this host."""

    def deed() -> Deed:
        if reason:
            raise NotHere(reason)
        yield

    deed.__module__ = _family()
    add(name, deed, technique, does, thing)


def shown(sentence: str) -> None:
    """Say that somebody else than an alert told it."""
    raise Shown(sentence)


def _family() -> str:
    """The room that makes a row by one of the functions above."""
    return str(sys._getframe(2).f_globals["__name__"])


class Left:
    """A program left behind as intruders do: forked twice, in a session of its own, adopted by init."""

    def __init__(self, *argv: str, exe: str = "", env: dict[str, str] | None = None, cwd: str = "/") -> None:
        ours, theirs = os.pipe()  # which closes when the program is executed
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                try:
                    os.setsid()
                    os.chdir(cwd)
                    os.write(theirs, str(os.getpid()).encode())
                    null = os.open("/dev/null", os.O_RDWR)
                    for number in range(3):
                        os.dup2(null, number)
                    os.execve(exe or shutil.which(argv[0]) or argv[0], list(argv), env or dict(os.environ))
                finally:
                    os._exit(127)
            os._exit(0)
        os.close(theirs)
        os.waitpid(child, 0)
        with open(ours) as said:
            self.pid = int(said.read())

    def end(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended by itself


@contextmanager
def left(*argv: str, exe: str = "", env: dict[str, str] | None = None, cwd: str = "/") -> Iterator[Left]:
    """A program left behind, until the act is over."""
    one = Left(*argv, exe=exe, env=env, cwd=cwd)
    try:
        yield one
    finally:
        one.end()


def left_python(code: str, name: str = "python3") -> Left:
    """A Python program left behind, which says when it is ready by a file that is then taken away."""
    ready = SAFE / f"ready.{os.getpid()}.{time.monotonic_ns()}"
    SAFE.mkdir(mode=0o700, exist_ok=True)
    one = Left(
        name,
        "-c",
        f"{code}\nopen({str(ready)!r}, 'w').close()\nimport time\ntime.sleep(600)",
        exe="/usr/bin/python3",
    )
    until(ready.exists, "a program is ready")
    ready.unlink()
    return one


@contextmanager
def mounted(*command: str) -> Iterator[None]:
    """A mount, until the act is over; its point is the last word."""
    run("mount", *command)
    try:
        yield
    finally:
        run("umount", "--lazy", command[-1])
