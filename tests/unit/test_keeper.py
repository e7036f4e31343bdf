"""From sweeps to changes: what is told once, what is asked for, what is over, and what nobody can say."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hostguardd.engine.announcer import Announcer
from hostguardd.engine.keeper import Change, Keeper
from hostguardd.model import (
    Alert,
    Blind,
    Depth,
    Fact,
    FileFact,
    Finding,
    ListenerFact,
    ProcessFact,
    Row,
    SetIdFact,
    Severity,
    Sweep,
    Value,
)
from hostguardd.policy import Policy
from hostguardd.rules import Rule
from hostguardd.sensors.interface import Request
from hostguardd.watches import Watches
from hostguardd.watchlist import Watch
from tests.alerts import LISTENER, NAMES, NOW, PROCESS, SETID
from tests.state import State, file, folder

WATCHES = (
    Watch("etc", (b"/etc",)),
    Watch("log", (b"/etc/log",), growing=True),
    Watch("loose", (b"/etc/loose",), ignore=frozenset({"mtime", "ctime", "inode"})),
    Watch("text", (b"/etc/text", b"/etc/shadow"), diff=True),
)
RULES = (
    Rule("quiet", Severity.IGNORE, "file", where={"path": (b"/etc/quiet",)}),
    Rule("loud", Severity.CRITICAL, "file", where={"path": (b"/etc/passwd",)}),
    Rule("rest", Severity.MEDIUM),
)
APPROVED = [
    file(b"/etc/a"),
    file(b"/etc/passwd"),
    file(b"/etc/log", size=100, sha256=b"\x0a" * 32),
    file(b"/etc/loose"),
    folder(b"/etc/d"),
    file(b"/etc/d/x"),
    folder(b"/etc/d/e"),
    file(b"/etc/d/e/y"),
    folder(b"/etc/d/e/f"),
    file(b"/etc/d/e/f/z"),
]


class Log:
    """What was told."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def append(self, alerts: Sequence[Alert]) -> list[int]:
        self.alerts += alerts
        return list(range(len(alerts)))


class Bench:
    """A keeper, its announcer, and a clock."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.log = Log()
        self.now = NOW
        self.unwatched: set[bytes] = set()
        self.announcer = Announcer(
            state.database,
            state.baseline,
            state.findings,
            self.log,
            NAMES,
            lambda: self.now,
            lambda: self.now,
            storm=1000,
            diagnose=lambda what, about: pytest.fail(f"{what} {about}"),
        )
        self.keeper = Keeper(
            state.baseline,
            state.findings,
            Policy(RULES),
            Watches(WATCHES).find,
            self.left_out,
            self.announcer.add,
            self.announcer.pending,
            lambda: self.now,
        )

    def left_out(self, fact: type[Fact], key: Row) -> bool:
        return fact is FileFact and key[1] in self.unwatched

    def sweep(
        self,
        facts: Collection[Fact],
        scope: Value = b"/etc",
        *,
        depth: Depth = Depth.FULL,
        blinds: tuple[Blind, ...] = (),
        only: set[bytes] | None = None,
        **more: Any,
    ) -> list[Request]:
        """Judge a look that found `facts`."""
        fact = type(next(iter(facts))) if facts else more.pop("fact", FileFact)
        width = fact.QUICK if depth is Depth.QUICK else len(fact.columns())
        rows: list[Row] = sorted(one.row()[:width] for one in facts)
        chosen = None if only is None else frozenset(only)
        self.now += 1
        return self.keeper.handle(Sweep(fact, scope, depth, rows, blinds, chosen, **more))

    def told(self) -> list[str]:
        """What was told since this was last asked."""
        self.announcer.flush()
        said = [f"{alert.action} {alert.data['key']}" for alert in self.log.alerts]
        self.log.alerts.clear()
        return said

    def open(self) -> list[str]:
        return sorted(one.drift.subject.label.decode() for one in self.state.findings.open())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    state = State(tmp_path / "baseline.db", APPROVED)
    yield Bench(state)
    state.close()


def of(scope: bytes, *without: bytes) -> dict[bytes, FileFact]:
    return {one.name: one for one in APPROVED if one.folder == scope and one.name not in without}


def etc(*without: bytes, **changed: FileFact) -> list[FileFact]:
    """What lies in /etc, with some of it left out or otherwise."""
    found = of(b"/etc", *without) | {name.encode(): fact for name, fact in changed.items()}
    return list(found.values())


LOG = of(b"/etc")[b"log"]


# -- quick and full ----------------------------------------------------------------------------------


def test_an_unchanged_folder_is_silent(bench: Bench) -> None:
    for depth in Depth:
        assert bench.sweep(etc(), depth=depth) == []
    assert bench.told() == []


def test_a_quick_look_asks_for_a_closer_one_and_tells_nothing(bench: Bench) -> None:
    (request,) = bench.sweep(etc(a=file(b"/etc/a", mtime=5), new=file(b"/etc/new")), depth=Depth.QUICK)
    assert request.scope == b"/etc"
    assert request.keys == frozenset({b"a", b"new"})
    assert request.depth is Depth.FULL
    assert bench.told() == []


def test_a_quick_look_knows_what_is_gone(bench: Bench) -> None:
    assert bench.sweep(etc(b"a"), depth=Depth.QUICK) == []
    assert bench.told() == ["file-removed /etc/a"]
    (found,) = bench.state.findings.open()
    assert found.drift.before == file(b"/etc/a"), "with all that was approved of it"


def test_what_was_told_is_not_told_or_asked_for_again(bench: Bench) -> None:
    changed = file(b"/etc/a", mtime=5, sha256=b"\x05" * 32)
    now = etc(b"passwd", a=changed, new=file(b"/etc/new"))
    bench.sweep(now)
    assert sorted(bench.told()) == ["file-added /etc/new", "file-changed /etc/a", "file-removed /etc/passwd"]
    for depth in Depth:
        assert bench.sweep(now, depth=depth) == []
    assert bench.told() == []


def test_nor_while_it_still_waits(bench: Bench) -> None:
    now = etc(b"passwd", a=file(b"/etc/a", mtime=5))
    for _ in range(3):
        assert bench.sweep(now) == []
        assert bench.sweep(now, depth=Depth.QUICK) == []
    assert len(bench.told()) == 2


def test_what_changes_again_is_told_again_under_the_same_id(bench: Bench) -> None:
    bench.sweep(etc(a=file(b"/etc/a", sha256=b"\x05" * 32)))
    assert bench.told() == ["file-changed /etc/a"]
    (first,) = bench.state.findings.open()
    bench.sweep(etc(a=file(b"/etc/a", sha256=b"\x06" * 32)))
    assert bench.told() == ["file-changed /etc/a"]
    (second,) = bench.state.findings.open()
    assert (second.id, second.first_seen) == (first.id, first.first_seen)
    assert second.last_seen > first.last_seen


def test_several_changes_before_anything_was_told_are_one(bench: Bench) -> None:
    for version in range(1, 5):
        bench.sweep(etc(a=file(b"/etc/a", sha256=bytes([version]) * 32, size=version)))
    assert bench.told() == ["file-changed /etc/a"]
    (found,) = bench.state.findings.open()
    assert isinstance(found.drift.after, FileFact)
    assert found.drift.after.size == 4


def test_looking_at_one_key_says_nothing_of_the_others(bench: Bench) -> None:
    bench.sweep(etc(b"passwd"))
    bench.told()
    assert bench.sweep([file(b"/etc/a")], only={b"a"}) == []
    assert bench.sweep([], only={b"nothing"}) == []
    assert bench.told() == []
    assert bench.open() == ["/etc/passwd"]


def test_slices_say_nothing_of_each_other(bench: Bench) -> None:
    bench.sweep([*etc(b"a", b"passwd")])
    bench.told()
    assert bench.sweep([file(b"/etc/a")], span=(None, b"b")) == []
    assert bench.told() == ["file-cleared /etc/a"]
    assert bench.open() == ["/etc/passwd"]


# -- over --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", list(Depth))
def test_what_is_as_approved_again_is_over(bench: Bench, depth: Depth) -> None:
    bench.sweep(etc(b"passwd", a=file(b"/etc/a", uid=7), new=file(b"/etc/new")))
    bench.told()
    assert bench.sweep(etc(), depth=depth) == []
    assert sorted(bench.told()) == [
        "file-cleared /etc/a",
        "file-cleared /etc/new",
        "file-cleared /etc/passwd",
    ]
    assert bench.open() == []
    bench.sweep(etc(), depth=depth)
    assert bench.told() == []


def test_what_came_and_went_before_it_was_told_is_told(bench: Bench) -> None:
    bench.sweep(etc(new=file(b"/etc/new")))
    bench.sweep(etc())
    assert bench.told() == ["file-added /etc/new", "file-cleared /etc/new"]
    assert bench.open() == []
    bench.sweep(etc())
    assert bench.told() == []
    assert bench.state.baseline.seen(FileFact, b"/etc") == {}


def test_what_goes_and_comes_back_before_it_was_told(bench: Bench) -> None:
    for _ in range(3):
        bench.sweep(etc(new=file(b"/etc/new")))
        bench.sweep(etc())
    bench.sweep(etc(new=file(b"/etc/new", size=7)))
    assert bench.told() == ["file-added /etc/new", "file-added /etc/new"]
    assert bench.open() == ["/etc/new"]


def test_over_and_back_before_that_was_told_is_the_same_finding(bench: Bench) -> None:
    bench.sweep(etc(new=file(b"/etc/new")))
    bench.told()
    (first,) = bench.state.findings.open()
    bench.sweep(etc())
    bench.sweep(etc(new=file(b"/etc/new", size=7)))
    bench.told()
    (second,) = bench.state.findings.open()
    assert (second.id, second.first_seen) == (first.id, first.first_seen)


def test_a_second_time_is_another_finding(bench: Bench) -> None:
    ids = set()
    for _ in range(3):
        bench.sweep(etc(new=file(b"/etc/new")))
        assert bench.told() == ["file-added /etc/new"]
        ids |= {one.id for one in bench.state.findings.open()}
        bench.sweep(etc())
        assert bench.told() == ["file-cleared /etc/new"]
    assert len(ids) == 3


# -- what is not compared ------------------------------------------------------------------------------


def test_ignored_attributes_are_seen_once_and_never_told(bench: Bench) -> None:
    moved = file(b"/etc/loose", mtime=1, ctime=1, inode=1)
    (request,) = bench.sweep(etc(loose=moved), depth=Depth.QUICK)
    assert request.keys == frozenset({b"loose"})
    bench.sweep([moved], only={b"loose"})
    assert bench.sweep(etc(loose=moved), depth=Depth.QUICK) == []
    assert bench.told() == []


def test_what_moves_on_without_a_compared_difference_is_not_told_again(bench: Bench) -> None:
    bench.sweep(etc(d=folder(b"/etc/d", uid=7)))
    assert bench.told() == ["file-changed /etc/d"]
    for tick in range(3):
        bench.sweep(etc(d=folder(b"/etc/d", uid=7, mtime=tick, links=tick)))
    assert bench.told() == []
    assert bench.open() == ["/etc/d"]
    bench.sweep(etc(d=folder(b"/etc/d", uid=8)))
    assert bench.told() == ["file-changed /etc/d"]


def test_nor_is_the_first_word_of_it_lost(bench: Bench) -> None:
    bench.sweep(etc(d=folder(b"/etc/d", uid=7)))
    bench.sweep(etc(d=folder(b"/etc/d", uid=7, mtime=4)))
    assert bench.told() == ["file-changed /etc/d"]
    assert bench.open() == ["/etc/d"]


def test_a_restarted_program_behind_the_same_finding_is_not_told_again(tmp_path: Path) -> None:
    state = State(tmp_path / "l.db", [LISTENER])
    bench = Bench(state)
    for pid in (5, 6, 7):
        bench.sweep([replace(LISTENER, exe=b"/tmp/x", pid=pid, started=pid, inode=pid)], "tcp")
    assert len(bench.told()) == 1
    for pid in (8, 9):
        bench.sweep([replace(LISTENER, exe=b"/tmp/x", pid=pid, started=pid, inode=pid)], "tcp")
    assert bench.told() == []
    state.close()


def test_what_no_rule_wants_told_is_silent_and_not_read_again(bench: Bench) -> None:
    quiet = file(b"/etc/quiet")
    bench.sweep(etc(quiet=quiet))
    assert bench.told() == []
    assert bench.sweep(etc(quiet=quiet), depth=Depth.QUICK) == []


# -- blind -------------------------------------------------------------------------------------------


def test_what_cannot_be_seen_is_not_gone(bench: Bench) -> None:
    for depth in Depth:
        bench.sweep([], fact=FileFact, depth=depth, blinds=(Blind("file", b"/etc", "folder: closed"),))
        bench.sweep(etc(b"a"), depth=depth, blinds=(Blind("file", b"/etc/a", "closed"),))
    assert bench.told() == []


@pytest.mark.parametrize("depth", list(Depth))
def test_what_cannot_be_seen_is_not_over_either(bench: Bench, depth: Depth) -> None:
    bench.sweep(etc(b"passwd", a=file(b"/etc/a", uid=7), new=file(b"/etc/new")))
    bench.told()
    before = bench.open()
    assert len(before) == 3
    bench.sweep([], fact=FileFact, depth=depth, blinds=(Blind("file", b"/etc", "folder: closed"),))
    assert bench.told() == []
    assert bench.open() == before


def test_a_content_that_cannot_be_read_ends_no_finding(bench: Bench) -> None:
    bench.sweep(etc(loose=file(b"/etc/loose", sha256=b"\x05" * 32)))
    assert bench.told() == ["file-changed /etc/loose"]
    bench.sweep(etc(loose=file(b"/etc/loose", sha256=None)))
    assert bench.told() == []
    assert bench.open() == ["/etc/loose"]
    bench.sweep(etc())
    assert bench.told() == ["file-cleared /etc/loose"]


def test_a_content_that_cannot_be_read_is_no_change(bench: Bench) -> None:
    bench.sweep(etc(a=file(b"/etc/a", sha256=None)))
    assert bench.told() == []


# -- being written -----------------------------------------------------------------------------------


def test_who_keeps_writing_is_told_once_and_again_when_it_comes_to_rest(bench: Bench) -> None:
    for tick in range(3):
        bench.sweep(etc(a=file(b"/etc/a", unstable=1, mtime=tick, ctime=tick, sha256=bytes([tick]) * 32)))
    assert bench.told() == ["file-changed /etc/a"]
    bench.sweep(etc(a=file(b"/etc/a", mtime=9, ctime=9, sha256=b"\x09" * 32)))
    assert bench.told() == ["file-changed /etc/a"]
    (found,) = bench.state.findings.open()
    assert "sha256" in found.drift.changed


def test_what_was_unstable_when_approved_is_silent(tmp_path: Path) -> None:
    state = State(tmp_path / "u.db", [file(b"/etc/a", unstable=1, sha256=None)])
    bench = Bench(state)
    bench.sweep([file(b"/etc/a", mtime=9, size=9)])
    assert bench.told() == []
    bench.sweep([file(b"/etc/a", mtime=9, size=9, uid=4)])
    assert bench.told() == ["file-changed /etc/a"]
    state.close()


# -- append-only files ---------------------------------------------------------------------------------


def grown(size: int, **more: Any) -> FileFact:
    return file(b"/etc/log", **({"size": size, "mtime": size, "ctime": size, "sha256": b"\x0b" * 32} | more))


def test_what_only_grew_is_not_read_for_every_line(bench: Bench) -> None:
    assert bench.sweep([grown(150)], depth=Depth.QUICK, only={b"log"}) == []
    assert bench.told() == []


def test_a_quick_sweep_asks_for_its_beginning_if_that_is_short(bench: Bench) -> None:
    (request,) = bench.sweep(etc(log=grown(150)), depth=Depth.QUICK)
    assert request.prefixes == {b"log": 100}


def test_what_was_written_to_and_is_no_longer_is_looked_at(bench: Bench) -> None:
    (request,) = bench.sweep([grown(100)], depth=Depth.QUICK, only={b"log"})
    assert request.keys == frozenset({b"log"})
    assert not request.prefixes


def test_what_is_no_longer_watched_is_not_gone_and_leaves_with_the_next_approval(bench: Bench) -> None:
    bench.unwatched.add(b"a")
    bench.sweep([fact for fact in etc() if fact.name != b"a"])
    assert bench.told() == []
    bench.state.baseline.approve(NOW, "", "")
    assert bench.state.baseline.row(FileFact, (b"/etc", b"a")) is None


def test_a_full_look_asks_for_the_approved_beginning(bench: Bench) -> None:
    (request,) = bench.sweep(etc(log=grown(150)))
    assert request.keys == frozenset({b"log"})
    assert request.prefixes == {b"log": 100}
    bench.sweep([grown(100, sha256=LOG.sha256, mtime=150)], only={b"log"})
    assert bench.told() == []


def test_a_rewritten_beginning_is_told_once_however_it_grows(bench: Bench) -> None:
    bench.sweep([grown(100, mtime=150)], only={b"log"})
    assert bench.told() == ["file-changed /etc/log"]
    for size in (200, 300):
        (request,) = bench.sweep(etc(log=grown(size)))
        assert request.prefixes == {b"log": 100}
        bench.sweep([grown(100, mtime=size)], only={b"log"})
    assert bench.told() == []
    assert bench.open() == ["/etc/log"]


def test_the_beginning_put_back_is_over(bench: Bench) -> None:
    bench.sweep([grown(100, mtime=150)], only={b"log"})
    bench.told()
    bench.sweep([grown(100, sha256=LOG.sha256, mtime=200)], only={b"log"})
    assert bench.told() == ["file-cleared /etc/log"]


def test_what_was_cut_is_told(bench: Bench) -> None:
    (request,) = bench.sweep(etc(log=grown(60)), depth=Depth.QUICK)
    assert not request.prefixes
    bench.sweep([grown(60)], only={b"log"})
    assert bench.told() == ["file-changed /etc/log"]
    (found,) = bench.state.findings.open()
    assert {"size", "sha256"} <= set(found.drift.changed)


def test_so_is_another_owner_mode_or_file(bench: Bench) -> None:
    for more in ({"uid": 7}, {"mode": 0o100666}, {"inode": 4}):
        (request,) = bench.sweep(etc(log=grown(150, **more)), depth=Depth.QUICK)
        bench.sweep([grown(150, **more)], only={b"log"})
        assert request.keys == frozenset({b"log"})
        assert bench.told() == ["file-changed /etc/log"]


# -- folders -----------------------------------------------------------------------------------------

BELOW = ["/etc/d", "/etc/d/e", "/etc/d/e/f", "/etc/d/e/f/z", "/etc/d/e/y", "/etc/d/x"]


@pytest.mark.parametrize("depth", list(Depth))
def test_a_folder_that_is_gone_takes_everything_with_it_once(bench: Bench, depth: Depth) -> None:
    bench.sweep(etc(b"d"), depth=depth)
    assert sorted(bench.told()) == [f"file-removed {path}" for path in BELOW]
    bench.sweep(etc(b"d"), depth=depth)
    assert bench.told() == []


@pytest.mark.parametrize("mode", [0o100644, 0o120777])
def test_so_does_one_that_is_a_file_or_a_link_now(bench: Bench, mode: int) -> None:
    instead = file(b"/etc/d", mode=mode)
    (request,) = bench.sweep(etc(d=instead), depth=Depth.QUICK)
    assert request.keys == frozenset({b"d"})
    bench.sweep([instead], only={b"d"})
    assert sorted(bench.told()) == ["file-changed /etc/d", *(f"file-removed {path}" for path in BELOW[1:])]


def test_a_folder_that_cannot_be_seen_takes_nothing_with_it(bench: Bench) -> None:
    bench.sweep(etc(b"d"), blinds=(Blind("file", b"/etc/d", "nfs mount, not walked"),))
    assert bench.told() == []


def test_a_folder_that_came_and_went_takes_its_findings_with_it(bench: Bench) -> None:
    bench.sweep(etc(n=folder(b"/etc/n")))
    bench.sweep([file(b"/etc/n/x"), folder(b"/etc/n/m")], b"/etc/n")
    bench.sweep([file(b"/etc/n/m/y")], b"/etc/n/m")
    assert len(bench.told()) == 4
    bench.sweep(etc(), depth=Depth.QUICK)
    cleared = [f"file-cleared /etc/n{rest}" for rest in ("", "/m", "/m/y", "/x")]
    assert sorted(bench.told()) == cleared
    assert bench.open() == []
    assert bench.state.baseline.scopes(FileFact, b"/etc/n") == []


def test_also_when_none_of_it_was_told_yet(bench: Bench) -> None:
    bench.sweep(etc(n=folder(b"/etc/n")))
    bench.sweep([file(b"/etc/n/x")], b"/etc/n")
    bench.sweep(etc())
    assert sorted(bench.told()) == [
        "file-added /etc/n",
        "file-added /etc/n/x",
        "file-cleared /etc/n",
        "file-cleared /etc/n/x",
    ]
    assert bench.open() == []


def test_also_when_a_file_took_its_place(bench: Bench) -> None:
    bench.sweep(etc(n=folder(b"/etc/n")))
    bench.sweep([file(b"/etc/n/x")], b"/etc/n")
    bench.told()
    bench.sweep(etc(n=file(b"/etc/n")))
    assert sorted(bench.told()) == ["file-added /etc/n", "file-cleared /etc/n/x"]


def test_a_folder_that_comes_back_ends_it(bench: Bench) -> None:
    bench.sweep(etc(b"d"))
    bench.told()
    bench.sweep(etc())
    bench.sweep(of(b"/etc/d").values(), b"/etc/d")
    bench.sweep(of(b"/etc/d/e").values(), b"/etc/d/e")
    bench.sweep(of(b"/etc/d/e/f").values(), b"/etc/d/e/f")
    assert sorted(bench.told()) == [f"file-cleared {path}" for path in BELOW]


def test_a_very_deep_tree_that_is_gone(tmp_path: Path) -> None:
    paths = [b"/etc/d" + b"/d" * depth for depth in range(1200)]
    state = State(tmp_path / "deep.db")
    with state.database.transaction():
        state.capture(folder(path) for path in paths)
    bench = Bench(state)
    bench.sweep([], fact=FileFact)
    bench.announcer.flush()
    assert state.findings.counts() == {Severity.MEDIUM: 1200}
    state.close()


# -- what is said ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"select": frozenset({"program"})}, True),
        ({"select": frozenset({"odd"})}, False),
        ({"names": (b"*.sh",)}, False),
    ],
)
def test_set_id_files_that_a_selective_watch_passes_over_are_not_left_to_it(
    tmp_path: Path, limits: dict[str, Any], left: bool
) -> None:
    state = State(tmp_path / "s.db", [])
    bench = Bench(state)
    selective = Watches([Watch("some", (b"/tmp",), **limits)])
    bench.keeper = Keeper(
        state.baseline,
        state.findings,
        Policy(RULES),
        selective.find,
        bench.left_out,
        bench.announcer.add,
        bench.announcer.pending,
        lambda: bench.now,
    )
    bench.sweep([replace(SETID, path=b"/tmp/x")], b"/")
    assert bench.told() == ([] if left else ["setid-added /tmp/x"])
    state.close()


def test_set_id_files_that_the_files_sensor_watches_are_left_to_it(tmp_path: Path) -> None:
    state = State(tmp_path / "s.db", [])
    bench = Bench(state)
    both = [replace(SETID, path=path) for path in (b"/etc/x", b"/tmp/x")]
    bench.sweep(both, b"/")
    assert bench.told() == ["setid-added /tmp/x"]
    bench.sweep(both, b"/")
    assert bench.told() == []
    bench.sweep([], b"/", fact=SetIdFact)
    assert bench.told() == ["setid-cleared /tmp/x"]
    state.close()


def test_more_copies_than_one(tmp_path: Path) -> None:
    state = State(tmp_path / "p.db", [PROCESS])
    bench = Bench(state)
    for count in (1, 2, 2, 3, 1):
        bench.sweep([replace(PROCESS, instances=count, pid=count)], "host")
    told = bench.told()
    assert [line.split()[0] for line in told] == ["process-changed", "process-cleared"]
    assert bench.sweep([], "host", fact=ProcessFact) == []
    assert [line.split()[0] for line in bench.told()] == ["process-removed"]
    state.close()


def test_another_program_on_a_known_port(tmp_path: Path) -> None:
    state = State(tmp_path / "l.db", [LISTENER])
    bench = Bench(state)
    bench.sweep([replace(LISTENER, exe=b"/tmp/x")], "tcp")
    (found,) = bench.announcer.open()
    assert found.drift.fact is ListenerFact
    assert found.drift.changed == ("exe",)
    state.close()


def texts(*pairs: bytes) -> dict[bytes, bytes]:
    return {hashlib.sha256(text).digest(): text for text in pairs}


def test_texts_are_quoted_where_the_watch_says_so_but_never_secrets(tmp_path: Path) -> None:
    old, new = b"one\ntwo\n", b"one\nthree\n"
    before, after = (hashlib.sha256(text).digest() for text in (old, new))
    kept = [file(b"/etc/" + name, sha256=before) for name in (b"text", b"shadow", b"a")]
    state = State(tmp_path / "t.db", kept)
    state.baseline.keep_content(texts(old).items())
    bench = Bench(state)
    bench.sweep([replace(one, sha256=after) for one in kept], contents=texts(new))
    bench.told()
    diffs: dict[str, str] = {one.drift.subject.label.decode(): one.diff for one in state.findings.open()}
    assert "-two" in diffs["/etc/text"]
    assert "+three" in diffs["/etc/text"]
    assert (diffs["/etc/shadow"], diffs["/etc/a"]) == ("", "")
    assert state.baseline.content(after) == new, "kept, for when it is approved"
    state.close()


def test_findings_are_measured_against_the_generation_they_were_found_in(bench: Bench) -> None:
    bench.sweep(etc(a=file(b"/etc/a", uid=7)))
    bench.told()
    bench.state.baseline.approve(NOW, "", "", [(FileFact, (b"/etc", b"passwd"))])
    bench.sweep(etc(a=file(b"/etc/a", uid=8), new=file(b"/etc/new")))
    bench.told()
    found: list[Finding] = list(bench.state.findings.open())
    assert sorted(one.generation for one in found) == [1, 2]


def test_new_eyes_see_what_was_told_before(bench: Bench) -> None:
    now = etc(b"passwd", a=file(b"/etc/a", uid=7))
    bench.sweep(now)
    bench.told()
    changes: list[Change] = []
    again = Keeper(
        bench.state.baseline,
        bench.state.findings,
        Policy(RULES),
        Watches(WATCHES).find,
        lambda fact, key: False,
        changes.append,
        lambda fact, scope, /, *, below=False: {},
        lambda: NOW,
        fresh=True,
    )
    again.handle(Sweep(FileFact, b"/etc", Depth.FULL, sorted(one.row() for one in now)))
    assert {change.key[1] for change in changes if change.finding} == {b"a", b"passwd"}
