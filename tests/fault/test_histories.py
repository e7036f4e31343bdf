"""Histories of processes that are read late: whoever is named is right for the moment of the deed.

What cannot be told is left out, and nothing that could.
A history is made beforehand, with its times. What the witness reads is what the kernel had told by then, and
each reading takes its time, during which the history goes on.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostguardd.actors.fanevents import FanEvent, Mask
from hostguardd.actors.lineage import logs_in
from hostguardd.actors.model import Details, Link, Who
from hostguardd.actors.procevents import EXEC, EXIT, FORK, SID, UID, ProcEvent
from hostguardd.actors.table import SAME
from hostguardd.engine.witness import Witness
from tests.fakewitness import WALL, FakeFiles, FakeProcesses, FakeWitnesses

MICRO, MILLI, SECOND = 10**3, 10**6, 10**9
PROGRAMS = (b"/usr/bin/sh", b"/usr/bin/chmod", b"/usr/bin/sleep", b"/usr/sbin/cron", b"/usr/bin/su")
SETUID = b"/usr/bin/su"
T = TypeVar("T")


class Course(list[tuple[int, T]]):
    """A value and since when it is that."""

    def at(self, moment: int) -> T:
        """What it was then."""
        return self[max(0, bisect.bisect_right(self, moment, key=lambda one: one[0]) - 1)][1]


@dataclass(eq=False)
class Life:
    """One process as it really is."""

    pid: int
    started: int
    parent: Life | None
    image: Course[tuple[bytes, bytes]]
    uid: Course[int]
    login: Course[tuple[int, int]]
    above: Course[int]
    ended: int = 1 << 62

    def lives(self, moment: int) -> bool:
        """Whether it did then."""
        return self.started <= moment < self.ended


@dataclass
class Deed:
    """What was done, when and by whom."""

    path: bytes
    at: int
    life: Life


@dataclass
class History:
    """Made step by step; told as time goes by."""

    now: int = 1000 * SECOND
    lives: list[Life] = field(default_factory=list)
    living: list[Life] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    told: list[tuple[int, ProcEvent]] = field(default_factory=list)
    events: list[tuple[int, FanEvent]] = field(default_factory=list)
    sessions: int = 0
    execs: int = 0

    def __post_init__(self) -> None:
        init = self._add(1, None, (b"/usr/lib/systemd/systemd", b"init"), 0, (-1, -1), 0)
        cron = self._add(10, init, (b"/usr/sbin/cron", b"cron"), 0, (-1, -1), 1)
        child = self._add(11, cron, (b"/usr/sbin/cron", b"cron"), 0, (1000, 900), 10)
        self._add(12, child, (b"/usr/bin/sh", b"shell"), 1000, (1000, 900), 11)
        self._add(13, child, (b"/usr/bin/sh", b"root's shell"), 0, (1000, 900), 11)
        self.living.remove(init)
        self.now += SECOND

    def _add(
        self,
        pid: int,
        parent: Life | None,
        image: tuple[bytes, bytes],
        uid: int,
        login: tuple[int, int],
        above: int,
    ) -> Life:
        now = self.now
        made = Life(
            pid,
            now,
            parent,
            Course([(now, image)]),
            Course([(now, uid)]),
            Course([(now, login)]),
            Course([(now, above)]),
        )
        self.lives.append(made)
        self.living.append(made)
        return made

    def tell(self, what: int, pid: int, *more: int) -> None:
        """A message of the process connector."""
        self.told.append((self.now, ProcEvent(what, self.now, pid, *more)))

    def _pid(self) -> int:
        """The first that is free, and was for a while."""
        taken = {one.pid for one in self.lives if one.ended + 2 * SAME > self.now}
        return next(pid for pid in range(20, 1000) if pid not in taken)

    def step(self, what: str, who: int, number: int) -> None:
        """Something that one of the living does, as far as it can."""
        if not self.living:
            return
        one = self.living[who % len(self.living)]
        now = self.now
        root = one.uid.at(now) == 0
        match what:
            case "fork":
                pid = self._pid()
                self._add(pid, one, one.image.at(now), one.uid.at(now), one.login.at(now), one.pid)
                self.tell(FORK, pid, one.pid)
            case "sibling":  # CLONE_PARENT
                above = next((life for life in self.living if life.pid == one.above.at(now)), None)
                if above is not None and one.pid >= 20:
                    pid = self._pid()
                    self._add(pid, above, one.image.at(now), one.uid.at(now), one.login.at(now), above.pid)
                    self.tell(FORK, pid, above.pid)
            case "exec":
                self._exec(one, PROGRAMS[number % len(PROGRAMS)], number)
            case "exit":
                if one.pid < 20:
                    return
                one.ended = now
                self.living.remove(one)
                self.tell(EXIT, one.pid)
                for other in self.living:
                    if other.above.at(now) == one.pid and other.started >= one.started:
                        other.above.append((now, 1))
            case "uid":
                if root and one.pid > 20:
                    one.uid.append((now, 1000 + number % 2))
                    self.tell(UID, one.pid, *[1000 + number % 2] * 2)
            case "login":
                if root and logs_in(one.image.at(now)[0]) and one.pid > 20:
                    self.sessions += 1
                    one.login.append((now, (1000 + number % 2, self.sessions)))
            case "lead":
                self.tell(SID, one.pid)
            case "threads" if (
                one.pid >= 20
            ):  # a thread of it runs a program, and its first thread ends at that
                self.tell(EXIT, one.pid)
                self._exec(one, PROGRAMS[number % len(PROGRAMS)], number)
            case "deed":
                self._deed(one)

    def _deed(self, one: Life) -> None:
        path = b"/etc/%d" % len(self.deeds)
        self.deeds.append(Deed(path, self.now, one))
        self._event(int(Mask.ATTRIB), one.pid, path)

    def _event(self, mask: int, pid: int, path: bytes) -> None:
        folder, _, name = path.rpartition(b"/")
        self.events.append((self.now, FanEvent(mask, pid, (b"fs", 1, folder), name)))

    def _exec(self, one: Life, exe: bytes, number: int) -> None:
        self.execs += 1
        self._event(int(Mask.OPEN_EXEC), one.pid, exe)
        self._event(int(Mask.OPEN_EXEC), one.pid, b"/lib64/ld-linux-x86-64.so.2")
        self.now += MICRO
        one.image.append((self.now, (exe, b"%s\0%d\0" % (exe, self.execs))))
        if exe == SETUID and one.uid.at(self.now):
            one.uid.append((self.now, 0))
            self.tell(UID, one.pid, 0, 0)
        self.now += number * 10 * MICRO  # the loader is mapped
        self.tell(EXEC, one.pid)


class Files(FakeFiles):
    """Those that have come by now."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._kernel = kernel

    def read(self) -> list[FanEvent]:
        return self._kernel.waiting(self._kernel.history.events, "files")


class Processes(FakeProcesses):
    """Those that have come by now."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._kernel = kernel

    def read(self) -> tuple[list[ProcEvent], bool]:
        found = self._kernel.waiting(self._kernel.history.told, "processes")
        return ([], True) if found and self._kernel.loses() else (found, False)


@dataclass
class Kernel(FakeWitnesses):
    """Tells a history while time goes by. `costs`: how long what is asked takes, in turn."""

    history: History = field(default_factory=History)
    costs: Sequence[int] = (0,)
    losses: Sequence[bool] = (False,)
    _read: int = 0
    _asked: int = 0
    _given: dict[str, int] = field(default_factory=dict)

    def pass_time(self) -> int:
        self.clock.now += self.costs[self._asked % len(self.costs)]
        self._asked += 1
        return self.clock.now

    def mono(self) -> int:
        self.clock.now += MICRO
        return self.clock.now

    def wall(self) -> int:
        return WALL + self.clock.now

    def waiting(self, stream: list[tuple[int, Any]], name: str) -> list[Any]:
        now = self.pass_time()
        first = self._given.get(name, 0)
        last = bisect.bisect_right(stream, now, key=lambda one: one[0])
        self._given[name] = last
        return [one for _, one in stream[first:last]]

    def loses(self) -> bool:
        """Whether these messages are lost."""
        self._read += 1
        return self.losses[(self._read - 1) % len(self.losses)]

    def processes(self) -> FakeProcesses:
        return Processes(self)

    def files(self) -> FakeFiles:
        return Files(self)

    def details(self, pid: int) -> Details | None:
        now = self.pass_time()
        one = next((one for one in self.history.lives if one.pid == pid and one.lives(now)), None)
        if one is None:
            return None
        uid, (login, session), (exe, command) = one.uid.at(now), one.login.at(now), one.image.at(now)
        started = one.started // (10 * MILLI) * 10 * MILLI
        unit = scope(session)
        return Details(
            pid,
            one.above.at(now),
            started,
            0,
            0,
            uid,
            uid,
            login,
            session,
            exe,
            command,
            unit,
            now + 10 * MICRO,
        )

    def pids(self) -> Sequence[int]:
        return [one.pid for one in self.history.lives if one.lives(self.clock.now)]


def scope(session: int) -> bytes:
    """The unit of that session."""
    return b"" if session < 0 else b"session-%d.scope" % session


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "fork",
                "fork",
                "exec",
                "exec",
                "exit",
                "uid",
                "login",
                "lead",
                "sibling",
                "threads",
                "deed",
                "deed",
            )
        ),
        st.integers(0, 7),
        st.integers(0, 9),
        st.sampled_from((20 * MICRO, 200 * MICRO, MILLI, 10 * MILLI, 60 * MILLI)),
    ),
    min_size=3,
    max_size=30,
)
COSTS = st.lists(
    st.sampled_from((0, 100 * MICRO, 300 * MICRO, MILLI, 5 * MILLI, 50 * MILLI)), min_size=1, max_size=12
)
ROUNDS = st.lists(
    st.sampled_from((100 * MICRO, MILLI, 5 * MILLI, 50 * MILLI, 500 * MILLI)), min_size=1, max_size=12
)


def story(steps: Sequence[tuple[str, int, int, int]], gap: int = 0) -> History:
    made = History()
    for what, who, number, wait in steps:
        made.now += max(wait, gap)
        if gap:
            what = {"threads": "exec", "sibling": "fork"}.get(what, what)
        made.step(what, who, number)
    return made


@contextmanager
def reading(
    history: History, costs: Sequence[int], rounds: Sequence[int], losses: Sequence[bool] = (False,)
) -> Iterator[Witness]:
    """By somebody who comes now and then."""
    kernel = Kernel(history=history, costs=costs, losses=losses)
    kernel.clock.now = history.lives[0].started + SECOND // 2
    made = Witness(kernel, lambda folder, _: folder == b"/etc", kernel.mono, kernel.wall)
    made.open(["fanotify"], [b"/etc"])
    kernel.clock.now = max(kernel.clock.now, history.lives[0].started + SECOND)
    turn = 0
    while kernel.clock.now <= history.now:
        kernel.clock.now += rounds[turn % len(rounds)]
        turn += 1
        made.drain()
    for _ in range(3):
        kernel.clock.now += 10 * MILLI
        made.drain()
    yield made
    made.close()


def named(witness: Witness, deed: Deed) -> Who | None:
    touches = witness.touches.of([deed.path])
    assert len(touches) == 1, "each deed is noted"
    return touches[0].who


def wrong(who: Who, deed: Deed) -> str:
    """What is said of whoever did it and was not so then."""
    life, at = deed.life, deed.at
    exe, command = life.image.at(at)
    login, session = life.login.at(at)
    uid = life.uid.at(at)
    truth = {
        "pid": life.pid,
        "exe": exe,
        "command": command,
        "uid": uid,
        "euid": uid,
        "login": login,
        "session": session,
        "unit": scope(session),
    }
    for name, value in truth.items():
        said = getattr(who, name)
        if said is not None and said != value:
            return f"{name} {said!r} for {value!r}"
    if abs(who.key[1] - life.started) > SAME:
        return "another process"
    return next(filter(None, (wrong_above(link, life, at) for link in who.parents)), "")


def wrong_above(link: Link, life: Life, at: int) -> str:
    above = life.parent
    while above is not None and above.pid != link.pid:
        above = above.parent
    if above is None:
        return "" if link.pid == 1 else f"{link.pid} is not above"
    then = min(at, above.ended - 1)
    if link.exe not in (None, above.image.at(then)[0]):
        return f"above exe {link} for {above.image.at(then)}"
    if link.command not in (None, above.image.at(then)[1]):
        return f"above command {link} for {above.image.at(then)}"
    if link.uid not in (None, above.uid.at(then)):
        return f"above uid {link} for {above.uid.at(then)}"
    return ""


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, COSTS, ROUNDS, st.just([False]) | st.lists(st.booleans(), min_size=1, max_size=12))
def test_whoever_is_named_is_right_for_that_moment(
    steps: list[tuple[str, int, int, int]], costs: list[int], rounds: list[int], losses: list[bool]
) -> None:
    history = story(steps)
    with reading(history, costs, rounds, losses) as witness:
        for deed in history.deeds:
            who = named(witness, deed)
            if who is not None:
                assert not wrong(who, deed), (wrong(who, deed), deed.path, who)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_nothing_is_left_unknown_that_was_read_in_time(steps: list[tuple[str, int, int, int]]) -> None:
    """Whoever logs others in is left out: the login of such a one may change right after a deed."""
    history = story(steps, gap=5 * MILLI)
    with reading(history, [0], [100 * MICRO]) as witness:
        for deed in history.deeds:
            who = named(witness, deed)
            assert who is not None, deed.path
            assert not wrong(who, deed), (wrong(who, deed), deed.path, who)
            may_log_in = logs_in(deed.life.image.at(deed.at)[0]) and not deed.life.uid.at(deed.at)
            wanted = ["exe", "command", "uid", "euid"] + ([] if may_log_in else ["login", "session", "unit"])
            assert not [name for name in wanted if getattr(who, name) is None], (deed.path, who)
            assert who.parents, who
