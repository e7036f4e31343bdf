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

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from . import standing
from .heirs import Heirs
from .lineage import logs_in
from .model import Details, Image, Link, Process

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

LOADING: Final = 10_000_000
"""Nanoseconds before the message about an exec in which /proc may know of it already."""

DEPTH: Final = 16
"""Parents that are told."""

COMMAND: Final = 1024
"""Bytes of a command line that are kept."""

Read = Callable[[int], Details | None]


class Table:
    """The processes. `read` asks /proc of one; `hear` takes in what the kernel has told meanwhile, by
    `ahead`, and says whether nothing was lost."""

    def __init__(self, read: Read, hear: Callable[[], bool] = lambda: True) -> None:
        self._read = read
        self._hear = hear
        self._coming: tuple[dict[int, int], dict[int, int]] = {}, {}
        self._applied = 0
        self._living: dict[int, Process] = {}
        self._ended: deque[Process] = deque()
        self._images: dict[bytes, bytes] = {}
        self._lines: dict[tuple[Link, ...], tuple[Link, ...]] = {}
        self.told = True
        """Whether messages come. Without them what was known a moment ago may be another, and all is asked of
        /proc."""
        self._lost = (0, 0)  # the span of time in which messages were last lost
        self._heirs = Heirs(read, self._living)
        self._open = False  # nobody looked since who is there

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
                uid_at=at,
            )
        if old is not None:
            self._follow(made, old)
        elif len(self._living) >= LIVING:
            return
        self._living[child] = made

    @staticmethod
    def _follow(made: Process, old: Process) -> None:
        made.previous = old
        if old.previous is not None:
            made.reused, old.previous = old.previous.ended, None

    def exec(self, pid: int, at: int, *, look: bool = True) -> Process | None:
        """It runs another program. `look`: ask /proc now, because it may be gone soon."""
        process = self._known(pid, at)
        if process is None:
            return None
        self._applied = max(self._applied, at)
        if standing.may_log_in(process, process.image):
            self._unsettle(process)
        before = process.image
        own = self._own(process)  # else it is its parent's image, which stays
        if own and before.read > at:  # read too late: that was this program already, or neither of the two
            before.command = None
            if not before.told:
                before.exe = None
        process.before, process.image = before, Image(since=at)
        process.execed, process.lent = at, not own
        process.execs += 1
        process.unsettled += 1
        if look:
            self.fill(process)
        doubtful = process.image.exe in (None, before.exe) and not before.told
        if own and doubtful and before.read > at - LOADING:
            before.exe = before.command = None  # read while the kernel was at it already, perhaps
        return process

    def uid(self, pid: int, real: int, effective: int, at: int = 0) -> None:
        """It is another user now."""
        process = self._living.get(pid)
        if process is not None:
            self._applied = max(self._applied, at)
            if standing.may_log_in(process, process.image):
                self._unsettle(process)
            process.uid, process.euid, process.uid_at = real, effective, at

    @staticmethod
    def _unsettle(process: Process) -> None:
        """It may have been given a login since it was read."""
        process.login = process.session = process.unit = None
        process.settled = process.checked = 0

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
        for process in self._ended:
            if process.ended >= since:
                self._blur(process)
        if pids is None:
            return
        alive = set(pids)
        for pid, process in [*self._living.items()]:
            if process.ended:
                continue
            seen = self._read(pid) if pid in alive else None
            if seen is None or abs(seen.started - process.started) > SAME:
                self._end(process, until)
                self._blur(process)
            else:
                self._renew(process, seen)
        self.scan(alive)

    @property
    def unlooked(self) -> bool:
        """Whether messages were lost and nobody looked since who is there."""
        return self._open

    @staticmethod
    def _blur(process: Process) -> None:
        """It may have become another before it ended."""
        process.before, process.image = None, Image(since=process.ended, found=True)
        process.execs, process.execed = process.execs + 1, process.ended
        process.uid = process.euid = None

    def _renew(self, process: Process, seen: Details) -> None:
        """It may have become another program and another user without a word."""
        image, session = process.image, process.session
        if seen.exe != image.exe or (seen.command or b"")[:COMMAND] != image.command:
            process.before, process.image = None, Image(since=seen.at, found=True)
            process.execs, process.execed = process.execs + 1, seen.at
            process.opened, process.unsettled = (), 0
        elif not self._own(process):
            process.image = replace(image)
        if (seen.uid, seen.euid) != (process.uid, process.euid):
            process.uid_at = seen.at
        self._hear()
        self._apply(process, seen, whole=True)
        if process.session != session:
            process.settled = seen.at

    def ahead(self, pid: int, at: int, *, uid: bool) -> None:
        """It will be told to be another program, or another user, since then: what /proc says of that is
        later than what is known of it otherwise."""
        self._coming[uid][pid] = at

    def caught_up(self) -> None:
        """All that was ahead is told."""
        for one in self._coming:
            one.clear()

    def _comes(self, pid: int, *, uid: bool) -> bool:
        return self._coming[uid].get(pid, 0) > self._applied

    def scan(self, pids: Iterable[int]) -> None:
        """Meet everybody who is not known yet."""
        for pid in pids:
            known = self._living.get(pid)
            if known is None or known.ended:
                self.meet(pid, NOW)

    def _end(self, process: Process, at: int) -> None:
        process.ended = max(at, 1)
        if self._open:
            self._blur(process)
        self._ended.append(process)
        while self._ended and (len(self._ended) > ENDED or at - self._ended[0].ended > KEPT):
            self._drop(self._ended.popleft())

    def _drop(self, process: Process) -> None:
        """Forget it; who descends from it keeps its name, but no line above it, or chains would grow for
        ever."""
        self._heirs.forget(process)
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
        if (
            process is not None
            and process in self._ended
            and process.ended > self._lost[1]
            and not self._open
        ):
            self._ended.remove(process)  # a thread took its place: the first one ends, the process does not
            process.ended = 0
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
        if at == NOW:  # what it was before is not known
            made.image.since = made.uid_at = seen.at
            made.image.found = True
        if old is not None:
            if not old.ended:
                self._end(old, seen.started)
            self._follow(made, old)
        if self.told:
            self._living[pid] = made
        self._apply(made, seen, whole=self._hear() or at == NOW)
        if at == NOW:
            made.settled = seen.at
        return made

    def fill(self, process: Process) -> bool:
        """Read what /proc says of it now; False when it is gone, or another has its pid."""
        seen = self._read(process.pid)
        if seen is None or abs(seen.started - process.started) > SAME:
            if self._own(process):  # else it is its parent's image, who may be there still
                process.image.read = process.image.read or 1
            return False
        if not self._own(process):  # not its parent's: who names itself does not name that one
            process.image = replace(process.image, read=0)
            if seen.exe != process.image.exe:  # another forked it, or it runs another program by now
                process.image.exe = process.image.command = None
                process.image.told = False
                if process.parent is not None and process.parent.image.exe is not None:
                    seen = seen._replace(exe=None, command=None)
        self._apply(process, seen, whole=self._hear())
        return True

    @staticmethod
    def _own(process: Process) -> bool:
        """Whether its image is its own: a fork has that of its parent."""
        return process.seen or process.execs > 0

    def _apply(self, process: Process, seen: Details, *, whole: bool) -> None:
        """`whole`: nothing was lost that could have told of another program or user."""
        image = process.image
        process.seen = True
        if whole and not self._comes(process.pid, uid=False) and image.exe in (None, seen.exe):
            if image.read <= 1:  # what is read later may be another program's
                image.read = seen.at
                image.exe = image.exe if seen.exe is None else self.same(seen.exe)
                image.command = image.command if seen.command is None else seen.command[:COMMAND]
        else:
            image.read = image.read or 1
        if seen.unit is not None:
            process.unit = self.same(seen.unit)
        if whole and not self._comes(process.pid, uid=True):
            process.uid = process.uid if seen.uid is None else seen.uid
            process.euid = process.euid if seen.euid is None else seen.euid
        if seen.session is not None:
            since = standing.settled(process, seen)
            same = process.settled and process.session == seen.session
            process.settled = min(since, process.settled) if same else since
            process.checked = seen.at
            process.login, process.session = seen.login, seen.session
        process.sid, process.tty, process.parent_pid = seen.sid, seen.tty, seen.parent

    def heir(self, process: Process) -> bool:
        """Whether it has what its parent had; its login is that one's then, if it is not known otherwise."""
        if not self._heirs.sure(process):
            return False
        if process.login is None:
            self._inherit(process)
        return True

    def had(self, process: Process, image: Image) -> bool:
        """Whether that was its program, and not only that of its parent."""
        return image is not process.before or not process.lent or self._heirs.lent(process)

    def _inherit(self, process: Process, depth: int = DEPTH) -> None:
        """The login of a program that was gone before it could be read: its parent's, if that one had the
        same session before the fork and has it still. A session's number is given once, so it had no other
        between the two. What logs others in is left out: its child may have been logged in by itself. Nor is
        a parent asked that was gone as early, but its own.
        """
        above = process.parent
        if above is None or not process.execs:
            return
        if depth and above.session is None and not above.seen and self._heirs.sure(above):
            self._inherit(above, depth - 1)
        if not 0 < above.settled <= process.started:
            return
        if above.session is None or above.session < 0 or logs_in(above.image.exe):
            return
        if process.image.exe is not None and standing.may_log_in(process, process.image):
            return
        session = above.session
        if above.seen and above.checked < process.started and (above.ended or not self.fill(above)):
            return
        if above.session == session and above.settled <= process.started:
            process.login, process.session, process.settled = above.login, session, process.started

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
                if process.started > end and process.reused < begin:
                    process = before
                else:
                    return None, "its pid was used by two processes at that time"
            elif process.started > end or (before is None and self._heirs.forgotten >= begin):
                return None, "its process was gone before it could be looked at"
        lost = end >= self._lost[0] and (self._open or begin < self._lost[1])
        if lost and not self._confirmed(process, begin):
            return None, "the kernel's reports of processes were lost at that time"
        return process, ""

    def _confirmed(self, process: Process, begin: int) -> bool:
        """Whether /proc says that it is this one that has the pid, and had it all along."""
        seen = None if process.ended else self._read(process.pid)
        if seen is None or abs(seen.started - process.started) > SAME or seen.started > begin:
            return False
        self._renew(process, seen)
        return True

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
            if not above.ended and not (above.image.read and above.seen):
                self.fill(above)
            yield above
            current = above

    def links(self, process: Process, begin: int = 0, end: int = 0) -> tuple[Link, ...]:
        """Its parents as they stood between the two, or at its end, or now: a shell becomes its last
        command."""
        if not end:
            begin = end = process.ended or NOW
        line = [*self.line(process)]  # first, as it reads them
        found = tuple(self.link(one, begin, end) for one in line)
        if len(self._lines) > 512:
            self._lines.clear()
        return self._lines.setdefault(found, found)  # all programs of a shell share one line of parents

    def link(self, process: Process, begin: int, end: int) -> Link:
        """It as one of a line of parents: with what it has from its own parent only where that is sure."""
        found = standing.link(process, begin, end)
        if self._heirs.sure(process):
            return found
        return found._replace(uid=None) if process.execs else Link(process.pid, None, None, None)

    def meet_parent(self, pid: int, at: int) -> Process | None:
        """Whoever had that pid at `at`, if it can be told."""
        return self.find(pid, at, at)[0]
