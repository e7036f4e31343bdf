"""Reading the alert log back: its files in order, and whether numbers and chain are whole.

Every line holds its number and the digest of the line before it. That makes a line that was
edited, cut, inserted or moved show, but only against a neighbour that was left alone; so the rule
here is to **blame a line only after looking at the one behind it**: a line whose successor carries
its digest is as it was written, whatever its predecessor says. What no neighbour can show, that the
end of the log was cut off or the last line edited, takes the head remembered elsewhere (the store
keeps it), and lines rotated away long ago are vouched for by the anchor left behind when they went.

Someone who may write the log, the anchor and the store can forge all three: against them only a
copy on another machine helps.

This room never writes, so it may run beside the daemon, as another user, on a copy.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import AlertLogError
from ..record import GENESIS, digest, parse, sequence_of

CURRENT = "alerts.jsonl"
ANCHOR = "alerts.pruned"
LONGEST = 16 * 1024 * 1024
"""Bytes of a line beyond which it cannot be ours; keeps a log of rubbish from filling memory."""

_BEGINNING = b'{"@timestamp":'
_ROTATED = re.compile(r"alerts-([0-9]{12,18})\.jsonl")

Head = tuple[int, str]
"""A line's number and digest."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found. `problem` is "" or one sentence; `file` and `line` (from 1) say where.

    `first` and `last` are the numbers of the first and last readable line up to the problem (0 if
    there is none), `digest` that of the last one, `lines` how many were read.
    """

    lines: int = 0
    first: int = 0
    last: int = 0
    digest: str = GENESIS
    problem: str = ""
    file: str = ""
    line: int = 0

    @property
    def ok(self) -> bool:
        """Whether every line is as it was written, as far as can be told from here."""
        return not self.problem

    @property
    def sentence(self) -> str:
        """All of it for a person."""
        if self.ok:
            return f"{self.lines} lines, numbers {self.first} to {self.last}, the chain is whole"
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}: {self.problem}" if place else self.problem


@dataclass(frozen=True, slots=True)
class _Link:
    """One line reduced to what its neighbours are held against."""

    file: str
    line: int
    sequence: int
    chain: str
    digest: str

    @property
    def head(self) -> Head:
        return self.sequence, self.digest

    def follows(self, head: Head) -> bool:
        return self.sequence == head[0] + 1 and self.chain == head[1]


class _Wrong(Exception):
    """Unwinds the walk at the first wrong line."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        self.file, self.line, self.problem = file, line, problem
        super().__init__(problem)


def rotated_name(first: int) -> str:
    """What the file whose first line has number `first` is called once it is full."""
    return f"alerts-{first:012d}.jsonl"


def rotated_files(folder: str) -> list[tuple[int, str]]:
    """(first number, name) of the full files, oldest first."""
    found = ((_ROTATED.fullmatch(name), name) for name in os.listdir(folder))
    return sorted((int(match[1]), name) for match, name in found if match)


def open_plain(path: str, flags: int, mode: int = 0o640) -> int:
    """open(2) that follows no link in the last component and waits for no FIFO."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)


def open_files(folder: str, keep: ExitStack) -> list[tuple[int, str, BinaryIO]]:
    """All files of the log in order, open, with the first number their name gives (0: none).

    A rotation may happen meanwhile. The current file is opened before the others are listed, so
    that it is at worst met twice, under its old and its new name, and is then taken once.
    """
    current = _open(folder, CURRENT, keep)
    files: list[tuple[int, str, BinaryIO]] = []
    for first, name in rotated_files(folder):
        file = _open(folder, name, keep)
        if file is None:
            continue
        if current is not None and os.path.sameopenfile(file.fileno(), current.fileno()):
            return [*files, (first, name, file)]
        files.append((first, name, file))
    return files if current is None else [*files, (0, CURRENT, current)]


def _open(folder: str, name: str, keep: ExitStack) -> BinaryIO | None:
    try:
        fd = open_plain(os.path.join(folder, name), os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        path = os.path.join(folder, name)
        raise AlertLogError(f"cannot read {path}: {error.strerror}", error.errno or 0) from error
    return keep.enter_context(os.fdopen(fd, "rb"))


def last_line(fd: int, size: int) -> tuple[int, bytes]:
    """(offset behind it, the line) of the last readable line in the first `size` bytes; (0, b"") if none.

    Reads backwards and looks only where a line of ours begins, so that megabytes of zeros or of
    rubbish cost no more than reading them.
    """
    window = 64 * 1024
    while True:
        start = max(0, size - window)
        data = os.pread(fd, size - start, start)
        at = len(data)
        while (at := data.rfind(_BEGINNING, 0, at)) >= 0:
            if at == 0 and start:
                break  # whether a line begins here is to be seen only in a larger window
            stop = data.find(b"\n", at)
            if stop >= 0 and (at == 0 or data[at - 1] == 0x0A) and _readable(data[at:stop]):
                return start + stop + 1, data[at:stop]
        if start == 0:
            return 0, b""
        window *= 8


def _readable(line: bytes) -> bool:
    try:
        parse(line)
    except AlertLogError:
        return False
    return True


def read(folder: str, after: int, until: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(number, line without newline) of every whole line behind number `after`, up to `until`.

    Works on the files as they are when the first line is asked for; rotation does not disturb it.
    Lines that carry no number are passed over: to name them is the task of `verify`.
    """
    with ExitStack() as keep:
        files = open_files(folder, keep)
        firsts = [first for first, _, _ in files[1:]]
        for (_, _, file), following in zip(files, [*firsts, 0], strict=False):
            if following and following <= after + 1:
                continue
            while line := file.readline(LONGEST):
                if not line.endswith(b"\n"):
                    break
                number = sequence_of(line)
                if number is None or number <= after:
                    continue
                if until is not None and number > until:
                    return
                yield number, line[:-1]


def read_anchor(folder: str) -> Head | None:
    """Number and digest of the last line that rotation removed for good; None if none ever was."""
    with ExitStack() as keep:
        file = _open(folder, ANCHOR, keep)
        if file is None:
            return None
        text = file.read(4096)
    try:
        anchor = json.loads(text)
        return int(anchor["sequence"]), str(anchor["digest"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise AlertLogError(f"what vouches for the lines rotated away is damaged: {error}") from None


def verify(folder: str, expected_head: Head | None = None) -> Verification:
    """Check every line of the log in `folder` and name the first one that is wrong.

    `expected_head` is the last line known to have been written (as the store remembers it); lines
    behind it are fine, a log that ends before it was cut. Given one, an unfinished line at the very
    end counts as being written at this moment; without one, as torn. Raises AlertLogError only when
    the files cannot be read at all.
    """
    seen: list[_Link] = []  # the last two links
    lines = first = 0
    problem = _Wrong("", 0, "")
    try:
        with ExitStack() as keep:
            for link in _checked(folder, keep, expected_head):
                lines += 1
                first = first or link.sequence
                seen = [*seen[-1:], link]
        _check_end(seen[-1] if seen else None, expected_head)
    except FileNotFoundError:
        problem = _Wrong(folder, 0, "there is no such folder")
    except OSError as error:
        raise AlertLogError(f"cannot read {folder}: {error.strerror}", error.errno or 0) from error
    except _Wrong as wrong:
        problem = wrong
    last = seen[-1].head if seen else (0, GENESIS)
    return Verification(lines, first, *last, problem.problem, problem.file, problem.line)


def _check_end(last: _Link | None, expected: Head | None) -> None:
    """The log must reach the line that is known to have been written."""
    if expected is None or expected[0] == 0:
        return
    if last is None:
        raise _Wrong(CURRENT, 0, f"the log is empty, but {expected[0]} lines were written")
    if last.sequence < expected[0]:
        missing = _numbers(last.sequence + 1, expected[0])
        raise _Wrong(last.file, last.line + 1, f"the end of the log is missing: {missing}")


def _checked(folder: str, keep: ExitStack, expected: Head | None) -> Iterator[_Link]:
    """Links of the log for as long as they are right; _Wrong at the first that is not."""
    try:
        anchor = read_anchor(folder)
    except AlertLogError as error:
        raise _Wrong(ANCHOR, 0, str(error)) from None
    before: _Link | None = None
    older: _Link | None = None
    links = _links(folder, keep, expected)
    for link in links:
        if before is None:
            _check_first(link, anchor)
        elif not link.follows(before.head):
            _blame(older, before, link, _peek(links), expected)
        for known in (expected, anchor):
            if known is not None and link.sequence == known[0] and link.digest != known[1]:
                raise _Wrong(link.file, link.line, f"number {link.sequence} is not the line that was written")
        yield link
        older, before = before, link


def _peek(links: Iterator[_Link]) -> _Link | None:
    """The next link, None also when what comes next is not even a line of ours."""
    try:
        return next(links, None)
    except _Wrong:
        return None


def _check_first(link: _Link, anchor: Head | None) -> None:
    """The oldest line left must be number 1, or go on where what rotation removed ended."""
    start = anchor or (0, GENESIS)
    # Killed between writing the anchor and removing the file it stands for: more is left than need be.
    if anchor is not None and 1 <= link.sequence <= anchor[0]:
        return
    if link.sequence != start[0] + 1:
        missing = _numbers(start[0] + 1, link.sequence - 1)
        raise _Wrong(link.file, link.line, f"the beginning is missing: {missing}")
    if link.chain != start[1]:
        raise _Wrong(link.file, link.line, "does not follow what was before it: edited, or put in its place")


def _blame(
    older: _Link | None, before: _Link, link: _Link, behind: _Link | None, expected: Head | None
) -> None:
    """Raise _Wrong for the break between `before` and `link`, judged by the line `behind` it."""
    if behind is not None:
        intact = behind.follows(link.head)
    else:
        intact = expected is None or expected[0] != link.sequence or expected == link.head
    number = before.sequence + 1
    if not intact:
        if link.sequence != number:
            raise _Wrong(link.file, link.line, f"has number {link.sequence} where {number} belongs")
        raise _Wrong(link.file, link.line, "does not follow the line before it: edited, or put in its place")
    if older is not None and link.follows(older.head):
        raise _Wrong(before.file, before.line, "was put in: the line behind it follows the one before it")
    if link.sequence > number:
        missing = _numbers(number, link.sequence - 1)
        raise _Wrong(link.file, link.line, f"lines are missing before it: {missing}")
    if link.sequence < number:
        raise _Wrong(link.file, link.line, f"has number {link.sequence} where {number} belongs")
    raise _Wrong(before.file, before.line, "was edited: the line behind it holds another digest of it")


def _links(folder: str, keep: ExitStack, expected: Head | None) -> Iterator[_Link]:
    """Every line as a link; _Wrong for one that is none."""
    reached = 0
    for named, name, file in open_files(folder, keep):
        number = 0
        while line := file.readline(LONGEST):
            number += 1
            if not line.endswith(b"\n"):
                being_written = name == CURRENT and expected is not None and reached >= expected[0]
                if being_written and len(line) < LONGEST:
                    return
                raise _Wrong(name, number, "is torn: it does not end")
            line = line[:-1]
            try:
                record = parse(line)
            except AlertLogError as error:
                raise _Wrong(name, number, str(error)) from None
            reached = record["event"]["sequence"]
            if number == 1 and named and reached != named:
                raise _Wrong(name, 1, f"has number {reached}, but the file is named for {named}")
            yield _Link(name, number, reached, record["hostguard"]["chain"], digest(line))


def _numbers(first: int, last: int) -> str:
    return f"number {first}" if first >= last else f"numbers {first} to {last}"
