"""Each alert to a program of the administrator's (a pager, a chat), which gets the JSON line on its input.

One process for each alert, started without a shell, in a session of its own, with an environment made here:
HOSTGUARD_SEVERITY, _ID, _SEQUENCE and _KIND, a PATH, and nothing of ours. Exit code 0 means delivered.

The rule: an alert is text that an intruder had a part in (the name of a file, say), so that nothing of it is
ever an argument or a word of a shell; and no program can hold us up: at `timeout` its whole process group is
killed, and of what it says only the beginning is kept.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Final

from ..destinations import Destination
from ..envelope import Entry, shortened
from ..record import clean
from .at_once import AtOnce
from .interface import SinkError

ENVIRONMENT: Final[Mapping[str, str]] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
HEARD: Final = 4096
"""Bytes kept of what a program says on its standard error."""

LOOK: Final = 0.05
"""Seconds from one look at a program to the next, should it have left its output to a child of its own."""


class CommandSink(AtOnce):
    """`kind = "command"`. A batch runs as many processes, one after the other."""

    batch = 1  # what one alert meets is no concern of the others

    def __init__(self, to: Destination) -> None:
        self._to = to
        super().__init__()
        self._ready = False
        self._told: list[Entry] = []
        """Of a batch that failed half-way: when it comes again, the program need not hear these twice."""

    def open(self) -> None:
        self.close()
        program = self._to.command[0]
        if not os.path.isfile(program):
            raise SinkError(f"there is no program {clean(program)}")
        if not os.access(program, os.X_OK):
            raise SinkError(f"{clean(program)} may not be run: it is not executable for us")
        self._ready = True

    def send(self, batch: Sequence[Entry]) -> None:
        self._check()
        for one in batch:
            if one not in self._told:
                self._run(one)
                self._told.append(one)
        self._told.clear()
        self._sent += 1

    def close(self) -> None:
        self._ready = False
        super().close()

    def _check(self) -> None:
        if not self._ready:
            raise SinkError(f"{clean(self._to.command[0])} is not open")

    def _run(self, one: Entry) -> None:
        program = clean(self._to.command[0])
        try:
            process = subprocess.Popen(
                self._to.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment(one),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise SinkError(f"{program} cannot be run: {error.strerror}") from None
        ends = time.monotonic() + self._to.timeout
        try:
            heard = _attend(process, shortened(one.line, self._to.limit) + b"\n", ends)
        finally:
            if process.poll() is None:
                _kill(process)
            for pipe in (process.stdin, process.stderr):
                assert pipe is not None
                try:
                    pipe.close()
                except OSError:
                    pass  # what it did not want to read
        if heard is None:
            raise SinkError(f"{program} was killed: it did not end within {self._to.timeout:g} s")
        if process.returncode:
            raise SinkError(f"{program} {_ending(process.returncode)}{_first_line(heard)}")


def environment(one: Entry) -> dict[str, str]:
    """All that the program finds in its environment."""
    return {
        **ENVIRONMENT,
        "HOSTGUARD_SEVERITY": one.severity.label,
        "HOSTGUARD_ID": clean(one.id),
        "HOSTGUARD_SEQUENCE": str(one.sequence),
        "HOSTGUARD_KIND": clean(one.kind),
    }


def _attend(process: subprocess.Popen[bytes], told: bytes, ends: float) -> bytes | None:
    """Write, read and wait until it has ended: what it said; None when time was up before."""
    assert process.stdin is not None
    assert process.stderr is not None
    into, out = process.stdin.fileno(), process.stderr.fileno()
    os.set_blocking(into, False)
    os.set_blocking(out, False)
    rest, heard = memoryview(told), bytearray()
    poll = select.poll()
    poll.register(into, select.POLLOUT)
    poll.register(out, select.POLLIN)
    listening = True
    while (left := ends - time.monotonic()) > 0:
        if process.poll() is not None:
            _listen(out, heard)
            return bytes(heard)
        if not listening and not rest:
            try:
                process.wait(left)
            except subprocess.TimeoutExpired:
                pass
            continue
        # A program's end is its output's end as well, unless that is in other hands: hence the looks.
        for descriptor, _ in poll.poll(min(left, LOOK) * 1000):
            if descriptor == into:
                rest = _feed(into, rest)
                if not rest:
                    poll.unregister(into)
                    process.stdin.close()
            elif not _listen(out, heard):
                poll.unregister(out)
                listening = False
    return None


def _feed(into: int, rest: memoryview) -> memoryview:
    try:
        return rest[os.write(into, rest) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:
        return rest[:0]  # it does not want to know; its exit code says whether that is an error


def _listen(out: int, heard: bytearray) -> bool:
    """Read what there is, keeping the beginning; whether there may be more."""
    try:
        while data := os.read(out, 65536):
            heard += data[: HEARD - len(heard)]
            if len(data) == 65536:
                return True  # a program that talks without end may not keep us here
    except BlockingIOError:
        return True
    return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)  # not yet waited for, so that the number is still its own
    except ProcessLookupError:
        pass
    process.wait()


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by signal {-code}"
    return f"ended with code {code}"


def _first_line(heard: bytes) -> str:
    line = next((line for line in heard.decode("utf-8", "backslashreplace").splitlines() if line.strip()), "")
    return f": {clean(line.strip())[:200]}" if line else ""
