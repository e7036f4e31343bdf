"""What a process was at a moment, of which only later is known what it has become. Pure.

The theory: a process is read after its deed, and may have become another program and another user meanwhile;
of both the kernel tells. It does not tell of another login, which only root gives itself, in programs that
log people in; but the number of a session is given once, so who has that of its parent has had it since its
fork.
"""

from __future__ import annotations

from .lineage import logs_in
from .model import Details, Image, Link, Process


def is_root(process: Process) -> bool:
    """Whether it may be root."""
    return not process.uid or not process.euid


def may_log_in(process: Process, image: Image) -> bool:
    """Whether its login may become another without a word while it runs that image."""
    return is_root(process) and logs_in(image.exe)


def settled(process: Process, seen: Details) -> int:
    """Since when it has had the session that was seen, as early as it can be told."""
    if process.parent is not None and process.parent.session == seen.session:
        return process.started
    if not is_root(process):
        return process.uid_at or process.started
    if logs_in(process.image.exe):
        return seen.at
    return process.execed if process.execs else process.started


def _run(process: Process, image: Image) -> int:
    """When it ran that image, if it did so itself and that is known."""
    return process.execed if image is process.image and process.execs and not image.found else 0


def current(process: Process, begin: int, end: int) -> Image:
    """What it runs now, if it may have done so between the two already."""
    image = process.image
    return image if image.since <= begin or (image.since < end and not image.found) else Image()


def user_known(process: Process, image: Image, begin: int) -> bool:
    """Whether it was the user that it is at a deed after `begin` that it did as `image`."""
    return process.uid_at <= max(begin, process.started, _run(process, image))


def login_known(process: Process, image: Image, begin: int, end: int) -> bool:
    """Whether it had the login that it has at a deed between the two that it did as `image`."""
    if process.session is None:
        return False
    if may_log_in(process, image) and process.checked < end:
        return False
    return process.settled <= max(begin, process.started, _run(process, image))


def image_at(process: Process, begin: int, end: int) -> Image:
    """What it ran between the two, as far as it was one program."""
    image, before = process.image, process.before
    if process.execed <= begin:
        return image if image.since < end else Image()
    if process.execed > end:
        return before if before is not None and before.since <= begin else Image()
    same = before is not None and before.exe is not None and before.exe == image.exe
    return Image(image.exe) if same else Image()


def link(process: Process, begin: int, end: int) -> Link:
    """It as one of a line of parents, as it stood between the two."""
    image = image_at(process, begin, end)
    uid = process.uid if process.uid_at <= max(begin, process.started) else None
    return Link(process.pid, image.exe, image.command, uid)
