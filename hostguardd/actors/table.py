"""Every process there is or just was, kept from the process connector's messages, in bounded memory.

The theory: between its fork and its exit a pid is one process, and the kernel tells of both in order. A deed
of a pid within a span of time is that process's whose life covers the span; when two lives share the span,
or the kernel's messages about it were lost and /proc cannot confirm, it is nobody's.

What a fork inherits, it has: the user, the login, the session, the terminal, the unit and the image of its
parent at that moment. After an exec /proc is read at once; when the process has already gone by then, it
keeps what it had, but not the command line. Two things a process inherits can be changed without a message:
the login (by root, through /proc, as PAM does in programs that log people in) and the unit. So what a
process of root inherits of these is not known until it was read, or until its parent shows that it could
have inherited no other. And the parent of a new process need not be who forked it (CLONE_PARENT): what is
gone before it was read has only inherited what every other child of that parent had, too.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from .lineage import logs_in
from .model import Details, Image, Link, Process, Who

SECOND: Final = 10**9
NOW: Final = 1 << 62
"""Later than any moment."""

LIVING: Final = 32_768
"""Processes known to live; beyond that the newest are not kept, and looked up in /proc when they matter."""
ENDED: Final = 1024
"""Processes that ended, kept for deeds of theirs that are still to be read."""
KEPT: Final = 10 * SECOND

SAME: Final = 25_000_000
"""Nanoseconds by which the beginning of a process in /proc (clock ticks) and by its fork may differ."""

DEPTH: Final = 16
"""Parents that are told."""

SCANS: Final = 100
"""Times in a second that all processes are looked through for the other children of a parent."""

COMMAND: Final = 1024
"""Bytes of a command line that are kept."""

MOST_OPENED: Final = 15
LOADER: Final = re.compile(rb"/ld(?:-linux[^/]*|-musl[^/]*|64|-[0-9.]+)?\.so[^/]*$")
"""What the kernel opens after a program that is linked dynamically."""

Read = Callable[[int], Details | None]


class Table:
    """The processes. `read` asks /proc of one."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._living: dict[int, Process] = {}
        self._ended: deque[Process] = deque()
        self._images: dict[bytes, bytes] = {}
        self._lines: dict[tuple[Link, ...], tuple[Link, ...]] = {}
        self.told = True
        """Whether messages come. Without them what was known a moment ago may be another, and all is asked of
        /proc."""
        self._lost = (0, 0)  # the span of time in which messages were last lost
        self._forgotten = 0  # when the latest of those that are no longer kept ended
        self._open = False  # nobody looked since who is there
        self._scans = (0, 0)  # since when, and how often

    def __len__(self) -> int:
        return len(self._living)

    # -- messages --------------------------------------------------------------------------------

    def fork(self, parent: int, child: int, at: int) -> None:
        """A new process."""
        old = self._living.get(child)
        if old is not None and not old.ended:
            self._end(old, at)
        begetter = self._living.get(parent)
        if begetter is None or begetter.ended:
            made = Process(child, at, None, Image(), parent_pid=parent)
        else:
            root = not begetter.uid or not begetter.euid
            made = Process(
                child,
                at,
                begetter,
                begetter.image,
                begetter.uid,
                begetter.euid,
                None if root else begetter.login,
                None if root else begetter.session,
                begetter.sid,
                begetter.tty,
                None if root else begetter.unit,
                parent_pid=parent,
                settled=0 if root else at,
            )
        if old is not None:
            made.previous = old
            old.previous = None
        elif len(self._living) >= LIVING:
            return
        self._living[child] = made

    def exec(self, pid: int, at: int, *, look: bool = True) -> Process | None:
        """It runs another program. `look`: ask /proc now, because it may be gone soon."""
        process = self._known(pid, at)
        if process is None:
            return None
        before = process.image
        own = process.seen or process.execs > 0  # else it is its parent's image, which stays
        if own and before.read > at:  # read too late: that was this program already, or neither of the two
            before.command = None
            if not before.told:
                before.exe = None
        process.before, process.image = before, Image()
        process.execed = at
        process.execs += 1
        process.unsettled += 1
        if look:
            self.fill(process)
        return process

    def opened(self, process: Process, path: bytes) -> None:
        """A file was opened to be executed by it."""
        process.opened = (*process.opened[-MOST_OPENED:], path)

    def settle(self, process: Process, until: int) -> None:
        """Find its image in what it opened, if /proc could not say. `until`: all that was opened before that
        moment is known.

        An exec opens the program, then the loader. Who opens them need not run them, and what is run need not
        be seen being opened; so only what fits exactly is taken, and even that is only likely.
        """
        groups: list[list[bytes]] = [[]]
        for path in process.opened:
            if LOADER.search(path) is None:
                groups[-1].append(path)
            else:
                groups.append([])
        rest = groups.pop()
        fits = len(groups) == process.unsettled and all(len(one) == 1 for one in groups)
        if not groups or rest or not fits or process.execed > until:
            return
        if process.image.exe is None:
            process.image.exe, process.image.told = self.same(groups[-1][0]), True
        process.opened, process.unsettled = (), 0

    def uid(self, pid: int, real: int, effective: int) -> None:
        """It is another user now."""
        process = self._living.get(pid)
        if process is not None:
            process.uid, process.euid = real, effective

    def sid(self, pid: int) -> None:
        """It leads a session of its own, and has no terminal yet."""
        process = self._living.get(pid)
        if process is not None:
            process.sid, process.tty = pid, None

    def exit(self, pid: int, at: int) -> None:
        """It is gone."""
        process = self._living.get(pid)
        if process is not None and not process.ended:
            self._end(process, at)

    def lost(self, since: int, until: int, pids: Iterable[int] | None) -> None:
        """The kernel could not tell us everything between the two. `pids` are those there are now: who is not
        among them is gone, and who is another one than we knew is met anew. None: nobody looked yet."""
        self._lost = (min(since, self._lost[0]) if self._open else since, until)
        self._open = pids is None
        if pids is None:
            return
        alive = set(pids)
        for pid, process in [*self._living.items()]:
            if process.ended:
                continue
            seen = self._read(pid) if pid in alive else None
            if seen is None or abs(seen.started - process.started) > SAME:
                self._end(process, until)
        self.scan(alive)

    def scan(self, pids: Iterable[int]) -> None:
        """Meet everybody who is not known yet."""
        for pid in pids:
            known = self._living.get(pid)
            if known is None or known.ended:
                self.meet(pid, NOW)

    def _end(self, process: Process, at: int) -> None:
        process.ended = max(at, 1)
        self._ended.append(process)
        while self._ended and (len(self._ended) > ENDED or at - self._ended[0].ended > KEPT):
            self._drop(self._ended.popleft())

    def _drop(self, process: Process) -> None:
        """Forget it; who descends from it keeps its name, but no line above it, or chains would grow for
        ever."""
        self._forgotten = max(self._forgotten, process.ended)
        now = self._living.get(process.pid)
        if now is process:
            del self._living[process.pid]
        elif now is not None and now.previous is process:
            now.previous = None
        process.parent = process.previous = None

    def _known(self, pid: int, at: int) -> Process | None:
        process = self._living.get(pid)
        if process is not None and not process.ended:
            return process
        return self.meet(pid, at)

    # -- /proc -----------------------------------------------------------------------------------

    def meet(self, pid: int, at: int) -> Process | None:
        """A process whose fork we did not see, if it lived already at `at`."""
        seen = self._read(pid)
        if seen is None or seen.started > at + SAME:
            return None
        old = self._living.get(pid) if self.told else None
        if old is None and len(self._living) >= LIVING:
            return None
        made = Process(pid, seen.started, None, Image(), parent_pid=seen.parent)
        if old is not None:
            if not old.ended:
                self._end(old, seen.started)
            made.previous, old.previous = old, None
        if self.told:
            self._living[pid] = made
        self._apply(made, seen)
        return made

    def fill(self, process: Process) -> bool:
        """Read what /proc says of it now; False when it is gone, or another has its pid."""
        seen = self._read(process.pid)
        if seen is None or abs(seen.started - process.started) > SAME:
            process.image.read = process.image.read or 1
            return False
        if not process.execs and not process.seen:
            process.image = Image()  # not its parent's: who names itself does not name that one
        self._apply(process, seen)
        return True

    def _apply(self, process: Process, seen: Details) -> None:
        image = process.image
        image.read = seen.at
        process.seen = True
        if image.exe is None and seen.exe is not None:
            image.exe = self.same(seen.exe)
        if seen.command is not None:
            image.command = seen.command[:COMMAND]
        if seen.unit is not None:
            process.unit = self.same(seen.unit)
        if seen.session is not None and (not process.settled or seen.session != process.session):
            process.settled = seen.at
        for name in ("uid", "euid", "login", "session"):
            value = getattr(seen, name)
            if value is not None:
                setattr(process, name, value)
        process.sid, process.tty, process.parent_pid = seen.sid, seen.tty, seen.parent

    def _inherit(self, process: Process) -> None:
        """The login of a program that was gone before it could be read: its parent's, if that one had the
        same session before the fork and has it still. A session's number is given once, so it had no other
        between the two. What logs others in is left out: its child may have been logged in by itself.
        """
        above = process.parent
        if above is None or not process.execs or above.ended or not 0 < above.settled <= process.started:
            return
        if above.session is None or above.session < 0 or logs_in(above.image.exe):
            return
        seen = self._read(above.pid)
        if seen is None or abs(seen.started - above.started) > SAME:
            return
        if (seen.login, seen.session) == (above.login, above.session):
            process.login, process.session = above.login, above.session

    def granted(self, process: Process, session: int) -> bool:
        """Whether the first process of the session, and whoever started that, are root's."""
        first: int | None = None
        for one in (process, *self.line(process)):
            seen = None if one.ended else self._read(one.pid)
            number, uid = (one.session, one.uid) if seen is None else (seen.session, seen.uid)
            if number is not None and number != session:
                return first == uid == 0
            first = uid
        return False

    def _heir(self, process: Process) -> bool:
        """Whether it has what its parent had: it was read, or whoever else could have forked it is the same
        in all that is inherited."""
        line = []
        while not process.seen and process.heir is None:
            line.append(process)
            if process.parent is None or self._other_heirs(process, process.parent):
                process.heir = False
            else:
                process = process.parent
        heir = process.seen or bool(process.heir)
        for one in line:
            one.heir = heir
        return heir

    def _other_heirs(self, process: Process, parent: Process) -> bool:
        """Whether that parent had another child at the time of the fork that is not as it is itself."""
        if self._forgotten >= process.started:
            return True
        since, count = self._scans
        if process.started - since > SECOND:
            since, count = process.started, 0
        self._scans = since, count + 1
        return count >= SCANS or any(
            one is not process
            and one.started <= process.started
            and not 0 < one.ended < process.started
            and self._may_be_below(one, parent)
            and not (one.seen and _alike(one, parent))
            for one in self._all()
        )

    def _all(self) -> Iterator[Process]:
        for process in self._living.values():
            yield process
            if process.previous is not None:
                yield process.previous

    def _may_be_below(self, process: Process, parent: Process) -> bool:
        """Whether it is a child of that parent, from its fork on or since its own parent ended."""
        above = process.parent
        if above is None:
            return process.parent_pid == parent.pid
        if above is parent or not above.ended:
            return above is parent
        seen = None if process.ended else self._read(process.pid)
        return seen is None or seen.parent == parent.pid

    def same(self, text: bytes) -> bytes:
        """One object for equal texts: a thousand processes run the same few programs."""
        if len(self._images) > 2048:
            self._images.clear()
        return self._images.setdefault(text, text)

    # -- questions -------------------------------------------------------------------------------

    def find(self, pid: int, begin: int, end: int) -> tuple[Process | None, str]:
        """The process that had this pid between `begin` and `end`, or why none can be named."""
        if pid <= 0:
            return None, "the kernel names no process for it (it belongs to a pid namespace we cannot see)"
        process = self._living.get(pid) if self.told else None
        if process is None:
            process = self.meet(pid, begin)
            return process, "" if process else "its process was gone before it could be looked at"
        if process.started > begin:
            before = process.previous
            if before is not None and before.ended >= begin:
                if process.started > end:
                    process = before
                else:
                    return None, "its pid was used by two processes at that time"
            elif process.started > end or (before is None and self._forgotten >= begin):
                return None, "its process was gone before it could be looked at"
        lost = end >= self._lost[0] and (self._open or begin < self._lost[1])
        if lost and not self._confirmed(process, begin):
            return None, "the kernel's reports of processes were lost at that time"
        return process, ""

    def _confirmed(self, process: Process, begin: int) -> bool:
        """Whether /proc says that it is this one that has the pid, and had it all along."""
        seen = None if process.ended else self._read(process.pid)
        return seen is not None and abs(seen.started - process.started) <= SAME and seen.started <= begin

    def line(self, process: Process) -> Iterator[Process]:
        """Its parents, the nearest first, as far as they are known, at most DEPTH."""
        current = process
        for _ in range(DEPTH):
            above = current.parent
            if above is None and current.parent_pid > 0:
                above = self._living.get(current.parent_pid) if self.told else None
                above = above or self.meet(current.parent_pid, current.started)
                if above is None or above.started > current.started + SAME:
                    return
                if not above.ended:
                    current.parent = above
            if above is None or above is current:
                return
            if not above.image.read and not above.ended:
                self.fill(above)
            yield above
            current = above

    def links(self, process: Process, until: int = 0) -> tuple[Link, ...]:
        """Its parents as they stood at `until`, or at its end, or now: a shell becomes its last command."""
        until = until or process.ended
        found = tuple(self.link(one, until) for one in self.line(process))
        if len(self._lines) > 512:
            self._lines.clear()
        return self._lines.setdefault(found, found)  # all programs of a shell share one line of parents

    @staticmethod
    def link(process: Process, until: int = 0) -> Link:
        """It as one of a line of parents, as it stood at `until` if that is over."""
        image = process.image
        if 0 < until < process.execed:
            before = process.before
            image = before if before is not None and 0 < before.read <= until else Image()
        return Link(process.pid, image.exe, image.command, process.uid)

    def meet_parent(self, pid: int, at: int) -> Process | None:
        """Whoever had that pid at `at`, if it can be told."""
        return self.find(pid, at, at)[0]

    def who(self, process: Process, tty: Callable[[int], bytes | None]) -> Who:
        """It as it stands now."""
        if not process.ended and not (
            process.seen and process.image.read and process.login is not None and process.unit is not None
        ):
            self.fill(process)
        image, links = process.image, self.links(process)
        if not self._heir(process):
            own = image if process.execs else Image()
            key = (process.pid, process.started)
            return Who(key, process.pid, own.exe, own.command, None, None, None, None, None, None, links)
        if process.login is None:
            self._inherit(process)
        return Who(
            (process.pid, process.started),
            process.pid,
            image.exe,
            image.command,
            process.uid,
            process.euid,
            process.login,
            process.session,
            None if process.tty is None else tty(process.tty),
            process.unit,
            links,
        )


def _alike(one: Process, parent: Process) -> bool:
    """Whether a child of either would be the same."""
    return one.image.exe == parent.image.exe and _identity(one) == _identity(parent)


def _identity(one: Process) -> tuple[object, ...]:
    return one.uid, one.euid, one.login, one.session, one.unit
