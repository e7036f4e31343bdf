"""The processes sensor: services as facts, so that restarts, workers, logins and jobs are silence.

Three ideas keep it both quiet and cheap:

* a process is examined when it is new, once more a moment later (a fork looks like its parent until
  it executes), when it comes of age, when its parent ends, when it executes something else in its place
  (`changed` compares the images every few seconds), and all of them once a minute. `changed` says in
  microseconds that none of this is due;
* what it runs besides its image (`sensors.signs`) is read at the second of these looks, when what it maps to
  be executed changes, and for a tenth of all once a minute;
* it is a fact only when it has lived as long as its standing asks (`sensors.standing`), but one that
  runs from memory, a deleted file or a temporary folder, or has a loud sign, is a fact at once;
* a key that was seen lately is still listed (`Glimpses`), and its next process needs no age: that is
  a restart.

Facts of the role `helper` and `session` come and go by nature: their absence is not worth an alert,
which is for the policy to say (`removed`, `role = "helper"`). `instances` counts copies of a service
that are not workers of one another and lasted `settings.instances` seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from typing import Final, NamedTuple

from ..host.live import REPLACED, STATES, LiveHost, Process
from ..model import Blind, Depth, ProcessFact, Row, Sweep
from ..sections import ProcessesConfig
from .commands import command, script
from .glimpses import Glimpses
from .images import AGAIN, read_images
from .interface import Request, answers
from .signs import LONGEST, LOUD, signs
from .standing import SERVICE, standing, suspicious, worker

HOST: Final = "host"
KIND: Final = ProcessFact.KIND
KEY: Final = len(ProcessFact.KEY)
SHA256: Final = ProcessFact.columns().index("sha256")
PID: Final = ProcessFact.columns().index("pid")

EVERYTHING: Final = 60.0
"""Seconds after which every process is examined again."""

SECOND_LOOK: Final = 0.2
"""Seconds after which a new process is examined again."""

YOUNG: Final = 2.0
"""Seconds that a service must have lived to be a fact in a FULL sweep. What is approved by that must hold
those that were started a moment ago, or each would be news half a minute later."""

ENOUGH_LOOKS: Final = 4
"""Looks at a process whose parent is not to be found (it ended between the two, or is hidden)."""

IMAGES: Final = 3.0
"""Seconds after which the images of all processes are compared with what they were: 2 ms for 500."""

ROUNDS: Final = 10
"""Looks at everything, in the course of which each process is looked into once."""

MOST_ANCESTORS: Final = 64
PACKAGERS: Final = frozenset(
    folder + name
    for folder in (b"/usr/bin/", b"/bin/", b"/usr/libexec/")
    for name in b"rpm rpmbuild dnf dnf-3 dnf5 yum microdnf zypper packagekitd dpkg apt-get".split()
)
"""Programs that run their packages' scripts from a temporary folder."""

NAMED: Final = 8
"""How many of many are named in a sentence."""

Stop = Callable[[], bool]


class Place(NamedTuple):
    """What follows from a process and its ancestors: the key of its fact, and how it stands."""

    key: Row
    role: str
    settle: float | None


class Entry:
    """What we know of one process: how it looked, when it was born and is to be looked at again
    (seconds of uptime), and its place as long as no ancestor changed."""

    __slots__ = (
        "again", "born", "command", "copied", "evidence", "image", "looks", "place", "process", "script",
        "signs", "words",
    )  # fmt: skip

    def __init__(self, process: Process, born: float) -> None:
        self.process = process
        self.script = script(process.exe or b"", process.argv, process.cwd)
        self.command = command(process.argv)
        self.born = born
        self.looks = 1
        self.again = 0.0
        self.place: Place | None = None
        self.image = b""
        self.copied = False  # a worker that was forked by a copy of itself, also when that has ended
        self.odd(None, b"")

    def odd(self, signs: bytes | None, evidence: bytes) -> None:
        """What is odd about how it runs, as in ProcessFact; `words` are its single signs."""
        self.signs, self.evidence = signs, evidence
        self.words = frozenset((signs or b"").decode().split())


class ProcessesSensor:
    """`Sensor` of ProcessFacts; the one scope is `host`. `wall` gives wall-clock nanoseconds.

    `changed` and `sweep` may be called from different threads. `own` is our own pid: a fact however young
    it is, or the first baseline would lack what captures it.
    """

    fact = ProcessFact

    def __init__(
        self, host: LiveHost, settings: ProcessesConfig, wall: Callable[[], int], own: int = 0
    ) -> None:
        self._host = host
        self._own = own
        self._settings = settings
        self._wall = wall
        self._lock = threading.Lock()
        self._table: dict[int, Entry] = {}
        self._seen = Glimpses(settings.missing, KEY)
        self._mark: bytes | None = None
        self._due = 0.0  # uptime at which something is to be done although nothing moved
        self._everything = 0.0
        self._images_due = 0.0
        self._round = 0
        self._timers: dict[bytes, bool] = {}

    # -- the sensor's contract -------------------------------------------------------------------

    def changed(self) -> bool:
        """Whether a sweep may find anything new. Reads one small file; cheap enough for a poll."""
        if self._host.blind:
            return False
        with self._lock:
            replaced = self._replaced_in_place()  # also where something forks all the time
        return replaced or self._mark != self._host.fork_mark() or self._host.uptime() >= self._due

    def expect(self, rows: Iterable[Row]) -> None:
        """Count the approved `rows` as seen just now: at our own start, what has not come up yet is
        not missing, and what is approved needs no age to be a fact."""
        with self._lock:
            self._seen.expect(rows, self._host.uptime())

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """The one sweep of all services. A FULL one examines every process again."""
        began = self._wall()
        with self._lock:
            rows = self._rows(depth, stop) if self._examine(depth is Depth.FULL, stop) else None
            blinds = self._blinds()
        if rows is not None:
            yield Sweep(ProcessFact, HOST, depth, rows, blinds, began=began, ended=self._wall())

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Keys are those of `fact.key_of`: (exe, uid, parent exe, script)."""
        return answers(requests, (HOST,), lambda host, depth: self.sweep(depth, stop))

    def _replaced_in_place(self) -> bool:
        """Whether a process runs another image than a few seconds ago; those are due then."""
        now = self._host.uptime()
        if now < self._images_due:
            return False
        self._images_due = now + IMAGES
        found = False
        for pid, entry in self._table.items():
            if not _is_outside(entry.process):
                image = self._host.image(pid)
                if image and entry.image and image != entry.image:
                    entry.again, found = 0.0, True
                entry.image = image
        return found

    # -- looking ---------------------------------------------------------------------------------

    def _examine(self, full: bool, stop: Stop) -> bool:
        """Bring the table up to date; False when stopped half-way, which loses nothing."""
        host = self._host
        if host.blind:
            return True
        mark = host.fork_mark()  # before the list: what forks after it moves the mark again
        now = host.uptime()
        everything = full or now >= self._everything
        pids = host.pids()
        ended = self._table.keys() - set(pids)
        for pid in ended:
            del self._table[pid]
        for entry in self._table.values():
            if entry.process.parent in ended:
                entry.again = now
        touched = set(ended)
        for pid in pids:
            known = self._table.get(pid)
            if known is None or everything or known.again <= now:
                if stop():
                    self._forget_places()
                    return False
                if self._look_at(pid, known, now):
                    touched.add(pid)
                self._look_into(pid, everything, full)
        self._mark = mark
        if everything:
            self._everything = now + EVERYTHING
            self._round = (self._round + 1) % ROUNDS
            self._timers.clear()
        if everything or any(entry.process.parent in touched for entry in self._table.values()):
            self._forget_places()
        return True

    def _forget_places(self) -> None:
        """Somebody's ancestor is not what it was: the places are to be found anew."""
        for entry in self._table.values():
            entry.place = None

    def _look_at(self, pid: int, entry: Entry | None, now: float) -> bool:
        """Examine a process; whether it is not what it was."""
        image = self._host.image(pid)  # before the rest, so that what is executed meanwhile differs from it
        process = self._host.process(pid)
        if process is None:
            self._table.pop(pid, None)
            return True
        changed = entry is None or _but_code(entry.process) != _but_code(process)
        if entry is None or entry.process.started != process.started:
            entry = self._table[pid] = Entry(process, self._host.seconds(process.started))
            entry.again, entry.image = now + SECOND_LOOK, image
            return changed
        same = _is_same_program(entry.process, process)
        if changed:
            old = entry
            entry = self._table[pid] = Entry(process, old.born)
            entry.looks = old.looks
            entry.copied = old.copied and old.process.exe == process.exe
            if same:
                entry.odd(old.signs, old.evidence)
        elif not same:
            entry.process = process
            entry.odd(None, entry.evidence)
        entry.looks += 1
        entry.image = image
        lost = process.parent and process.parent not in self._table and entry.looks < ENOUGH_LOOKS
        entry.again = now + SECOND_LOOK if lost else self._of_age(entry, now)
        return changed

    def _look_into(self, pid: int, everything: bool, full: bool) -> None:
        """Read what a process runs besides its image, if that is due.

        Not of what was born just now: it may be a fork that is about to execute. And two looks that
        differ saw a process in between: then a later one tells.
        """
        entry = self._table.get(pid)
        if entry is None or _is_outside(entry.process):
            return
        process = entry.process
        turn = full or (everything and pid % ROUNDS == self._round)
        young = self._host.uptime() - entry.born < SECOND_LOOK and entry.looks < 2
        if (entry.signs is not None and not turn) or (young and not suspicious(process)):
            return
        inside = self._host.inside(pid)
        if inside is None:
            return
        found = signs(process, inside, entry.script)
        if found[0]:
            again = self._host.process(pid)
            if again is None or _but_code(again) != _but_code(process):
                entry.again = min(entry.again, self._host.uptime() + SECOND_LOOK)
                return
        if found != (entry.signs, entry.evidence):
            entry.odd(*found)
            entry.place = None

    def _of_age(self, entry: Entry, now: float) -> float:
        """When a process that is not yet a fact may become one; never again when it is."""
        if _is_outside(entry.process):
            return float("inf")
        at = entry.born + (self._place(entry).settle or 0.0)
        return at if at > now else float("inf")

    # -- telling ---------------------------------------------------------------------------------

    def _rows(self, depth: Depth, stop: Stop) -> list[Row] | None:
        """The sorted rows; None when stopped."""
        now = self._host.uptime()
        due = min(self._everything, min((entry.again for entry in self._table.values()), default=now))
        groups: Groups = {}
        for entry in self._table.values():
            if not _is_outside(entry.process):
                place = entry.place or self._place(entry)
                if place.settle is not None:
                    groups.setdefault(place.key, []).append((entry, place))
        told: Groups = {}
        for key, group in groups.items():
            over = max(now - entry.born - _patience(place, depth) for entry, place in group)
            if over < 0 and key not in self._seen:
                due = min(due, now - over)
            else:
                told[key] = group
        rows, until = self._table_of(told, now)
        unread = [row[PID] for row in rows.values() if row[SHA256] is None]
        replaced = [one for group in told.values() for one, _ in group if one.process.state == REPLACED]
        if unread or replaced:
            pids = [*unread, *(one.process.pid for one in replaced)]
            if not read_images(self._host, pids, depth, stop):  # type: ignore[arg-type]
                until = min(until, self._host.uptime() + AGAIN)
            for entry in replaced:
                self._compared(entry)
            rows, later = self._table_of(told, now)
            until = min(until, later)
        if stop():
            return None
        due = min(due, until)
        found = self._seen.present(rows, now)
        self._due = due if self._seen.due is None else min(due, self._seen.due)
        return found

    def _compared(self, entry: Entry) -> None:
        """The file at the path of a replaced image may have proved to be the same program."""
        process = self._host.process(entry.process.pid)
        if process is not None and process._replace(state=REPLACED) == entry.process:
            entry.process = process

    def _table_of(self, groups: Groups, now: float) -> tuple[dict[Row, Row], float]:
        """The rows of these groups by key, and when the count of copies of one may next move."""
        made = {key: self._row(key, group, now) for key, group in groups.items()}
        return {key: row for key, (row, _) in made.items()}, min((at for _, at in made.values()), default=inf)

    def _row(self, key: Row, group: list[tuple[Entry, Place]], now: float) -> tuple[Row, float]:
        """The row of one key, and when its count of copies may next move."""
        entry, place = max(group, key=_bad_then_old)
        process = entry.process
        # What the copy before a restart left to finish its work (cron's jobs) is no further copy.
        ages = [now - one.born for one, _ in group if not one.copied]
        young = [age for age in ages if age < self._settings.instances]
        copies = max(1, len(ages) - len(young)) if place.role == SERVICE else 1
        until = now + self._settings.instances - max(young) if young else float("inf")
        return (
            *key,
            place.role,
            copies,
            process.state,
            self._host.digest(process.pid),
            process.unit,
            process.comm,
            0,
            process.pid,
            process.parent,
            process.started,
            entry.command,
            _all_signs(group),
            b", ".join(dict.fromkeys(one.evidence for one, _ in group if one.evidence))[:LONGEST],
        ), until

    def _place(self, entry: Entry) -> Place:
        """Where a process stands. A worker of its parent is no fact of its own: it never settles."""
        process = entry.process
        parent = self._table.get(process.parent)
        told = entry.words
        if "script-temporary" in told and parent is not None and _is_packager(parent):
            told -= {"script-temporary"}
        role, settle = standing(process, self._ancestors(process), self._settings, self._has_timer, told)
        copy = parent is not None and worker(process, parent.process, entry.script, parent.script)
        entry.copied |= copy
        if copy and parent is not None and told & LOUD <= parent.words:
            settle = None
        if process.pid == self._own:
            settle = 0.0
        exe = process.exe or b"[" + process.comm + b"]"
        entry.place = Place((HOST, exe, process.uid, _parent_exe(parent), entry.script), role, settle)
        return entry.place

    def _has_timer(self, unit: bytes) -> bool:
        if unit not in self._timers:
            self._timers[unit] = self._host.has_timer(unit)
        return self._timers[unit]

    def _ancestors(self, process: Process) -> list[Process]:
        chain: list[Process] = []
        entry = self._table.get(process.parent)
        while entry is not None and len(chain) < MOST_ANCESTORS:
            chain.append(entry.process)
            entry = self._table.get(entry.process.parent)
        return chain

    def _blinds(self) -> tuple[Blind, ...]:
        """What there is and cannot be told: containers' processes, and those we may not look into."""
        if self._host.blind:
            return (Blind(KIND, b"*", self._host.blind),)
        found = [entry.process for entry in self._table.values()]
        inside = [one for one in found if one.namespace]
        hidden = [one for one in found if one.exe is None and not one.namespace]
        blinds = []
        if inside:
            spaces = len({one.namespace for one in inside})
            within = f"{spaces} pid {'namespace' if spaces == 1 else 'namespaces'} below ours"
            text = f"{_processes(inside)} in {within} {'is' if len(inside) == 1 else 'are'} not looked into"
            blinds.append(Blind(KIND, b"pid namespaces", f"{text}: {_named(inside)}"))
        if hidden:
            text = f"the programs of {_processes(hidden)} may not be read with our rights"
            blinds.append(Blind(KIND, b"processes of others", f"{text}: {_named(hidden)}"))
        return tuple(blinds)


def _patience(place: Place, depth: Depth) -> float:
    """Seconds that a process must have lived to be a fact."""
    settle = place.settle or 0.0
    return min(settle, YOUNG) if depth is Depth.FULL and place.role == SERVICE else settle


Groups = dict[Row, list[tuple[Entry, Place]]]
"""The processes of each key."""


def _bad_then_old(member: tuple[Entry, Place]) -> tuple[int, int, int, int]:
    """Orders the copies of a service: the one that speaks for all is the worst, then the oldest."""
    process = member[0].process
    return (STATES.index(process.state), len(member[0].words & LOUD), -process.started, -process.pid)


def _all_signs(group: list[tuple[Entry, Place]]) -> bytes | None:
    """The signs of all copies; None while they are known of none."""
    known = [one.words for one, _ in group if one.signs is not None]
    return " ".join(sorted(frozenset().union(*known))).encode() if known else None


def _but_code(process: Process) -> tuple[object, ...]:
    """All columns but the last, `code`, which moves whenever a compiler inside makes some."""
    return process[:-1]


def _is_same_program(one: Process, other: Process) -> bool:
    """Whether two looks at a process saw the same program with the same code mapped, by the same name."""
    return (one.exe, one.argv, one.comm, one.code) == (other.exe, other.argv, other.comm, other.code)


def _is_packager(parent: Entry) -> bool:
    """Whether a package manager runs its packages' scripts: rpm writes those into /var/tmp."""
    name = parent.process.exe or b""
    return name in PACKAGERS or parent.script in PACKAGERS


def _is_outside(process: Process) -> bool:
    """Whether a process is never a fact: the kernel's own, a container's, or hidden from us."""
    return process.kernel or bool(process.namespace) or process.exe is None


def _parent_exe(parent: Entry | None) -> bytes:
    """b"" when the parent is outside our view; the kernel's threads are all one."""
    if parent is None:
        return b""
    return b"[kernel]" if parent.process.kernel else parent.process.exe or b""


def _processes(found: Sequence[Process]) -> str:
    return "1 process" if len(found) == 1 else f"{len(found)} processes"


def _named(processes: list[Process]) -> str:
    shown = [f"{one.comm.decode(errors='replace')} ({one.pid})" for one in processes[:NAMED]]
    more = len(processes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
