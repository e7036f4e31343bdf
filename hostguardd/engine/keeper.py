"""Sweep in, changes out: compares with the baseline, asks for closer looks, judges what differs.

The rules kept here:

* the baseline never moves by looking; what differs is written down as *seen*, so that nothing is
  told twice and nothing is read twice;
* what could not be looked at is neither gone nor as approved again;
* a quick sweep only ever leads to a closer look (`Request`), never to a finding about a content;
* nothing is written here: changes go to the announcer, which writes them down only after their
  alerts are safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from .. import diff
from ..describe import Event
from ..model import (
    Action,
    Depth,
    Drift,
    Fact,
    FileFact,
    Finding,
    Row,
    SetIdFact,
    Severity,
    Sweep,
    Value,
    join,
)
from ..policy import Policy
from ..sensors.interface import Request
from ..store.baseline import Baseline
from ..store.findings import Findings
from ..story import Story
from ..textdiff import unified
from ..watchlist import Watch, secret

GROWS = frozenset({"mtime", "ctime", "links"})
"""Besides its size, what may move on an append-only file."""

BEGINNING = 64 * 1024**2
"""Bytes of an append-only file's beginning that a quick sweep has read again when the file grew."""

TOGETHER = 64
"""Folders compared by one query: it costs half of as many queries."""

Known = dict[Row, Row | None]
"""Keys that are not as approved, each with the row last seen; None: seen to be gone."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key whose state moved since it was last written down.

    `row` is what was seen (None: gone), `restored` that it is as approved again. `finding` is what
    to tell (None: nothing), `event` what became of it. `untold` is what is to be told of it before
    that. `contents` are texts to keep. `story` is how the finding came to be, where that is known.
    """

    fact: type[Fact]
    key: Row
    row: Row | None
    restored: bool = False
    finding: Finding | None = None
    event: Event = "opened"
    untold: tuple[tuple[Finding, Event], ...] = ()
    contents: dict[bytes, bytes] = field(default_factory=dict)
    story: Story | None = None


class Pending(Protocol):
    """What was emitted and is not yet written down, of one scope (`below`: and of those under it)."""

    def __call__(self, fact: type[Fact], scope: Value, /, *, below: bool = False) -> Mapping[Row, Change]: ...


class Keeper:
    """Judges sweeps against the current generation. `watch_of` tells the watch of a path, `left_out`
    whether the configuration leaves a key out of all looking.

    `emit` takes each change; `pending` tells what was emitted and is not yet written down. `fresh`
    looks with new eyes: as if nothing had been seen to differ before.
    """

    def __init__(
        self,
        baseline: Baseline,
        findings: Findings,
        policy: Policy,
        watch_of: Callable[[bytes], Watch | None],
        left_out: Callable[[type[Fact], Row], bool],
        emit: Callable[[Change], None],
        pending: Pending,
        wall: Callable[[], int],
        *,
        fresh: bool = False,
    ) -> None:
        self._baseline = baseline
        self._findings = findings
        self._policy = policy
        self._watch_of = watch_of
        self._left_out = left_out
        self._emit = emit
        self._pending = pending
        self._wall = wall
        self._fresh = fresh

    def handle(self, sweep: Sweep) -> list[Request]:
        """Judge one sweep; returns what must be looked at more closely."""
        return self._handle(sweep, above_gone=False)

    def handle_all(self, sweeps: Sequence[Sweep]) -> list[Request]:
        """Judge several. Whole folders that a quick sweep lists are compared with one query for many."""
        found: list[Request] = []
        for start in range(0, len(sweeps), TOGETHER):
            some = sweeps[start : start + TOGETHER]
            whole = [one.scope for one in some if _is_quick(one) and one.only is None and one.span is None]
            approved = self._baseline.quick_rows(some[0].fact, whole) if len(whole) == len(some) else None
            as_approved = approved is not None and self._baseline.nothing_seen(some[0].fact)
            for sweep in some:
                known = self._pending(sweep.fact, sweep.scope) if as_approved else self._known(sweep)
                if approved is None or known or sweep.rows != approved[sweep.scope]:
                    found += self.handle(sweep)
        return found

    # -- inside ----------------------------------------------------------------------------------

    def _handle(self, sweep: Sweep, *, above_gone: bool) -> list[Request]:
        """`above_gone`: a folder above is gone, and whoever found that looks after all below it."""
        quick = _is_quick(sweep)
        approved = self._baseline.rows(sweep.fact, sweep.scope, sweep.only, sweep.span, quick=quick)
        pairs = diff.compare(approved, sweep)
        known = self._known(sweep)
        width = len(sweep.fact.KEY)
        left: list[bytes] = []
        if known:
            left += self._restored(sweep, {(after or before or ())[:width] for before, after in pairs}, known)
        requests: dict[Value, int | None] = {}
        for before, after in pairs:
            key = (after or before or ())[:width]
            last = known.get(key)
            if key in known and last == after:
                continue
            if quick and after is not None:
                if last is None or last[: sweep.fact.QUICK] != after:
                    self._closer(sweep, before, after, requests)
                continue
            if quick and before is not None:
                before = self._baseline.row(sweep.fact, key)
            judged = self._judge(sweep, key, (before, after), known, requests)
            if judged and sweep.fact is FileFact:
                left += _folder_left((before, last), after)
        for folder in () if above_gone else left:
            self._emptied(sweep, folder)
        if not requests:
            return []
        prefixes = {name: length for name, length in requests.items() if length is not None}
        return [Request(sweep.scope, frozenset(requests), prefixes=prefixes)]

    def _known(self, sweep: Sweep) -> Known:
        """What is written down of the sweep's keys, or about to be."""
        fact, scope = sweep.fact, sweep.scope
        known = {} if self._fresh else self._baseline.seen(fact, scope, sweep.only, sweep.span)
        for key, change in self._pending(fact, scope).items():
            if change.restored:
                known.pop(key, None)
            elif _within(sweep, key):
                known[key] = change.row
        return known

    def _closer(
        self, sweep: Sweep, before: Row | None, after: Row, requests: dict[Value, int | None]
    ) -> None:
        """Ask for a closer look. An append-only file that grew is not read for every line of it: whether
        its beginning still holds is for the sweeps, and if that is long, for the full one."""
        watch = self._watch(sweep.fact, after)
        grew = before is not None and before[5] != after[5] and _only_grew(before, after)
        if watch is None or not watch.growing or before is None or not grew:
            requests[after[1]] = None
        elif sweep.only is None and before[5] <= BEGINNING:  # type: ignore[operator]
            requests[after[1]] = before[5]  # type: ignore[assignment]

    def _watch(self, fact: type[Fact], row: Row) -> Watch | None:
        if fact is not FileFact:
            return None
        return self._watch_of(join(row[0], row[1]))  # type: ignore[arg-type]

    def _judge(
        self, sweep: Sweep, key: Row, pair: diff.Pair, known: Known, requests: dict[Value, int | None]
    ) -> bool:
        """One key, both rows full (or None). False when it takes a closer look to say."""
        fact, (before, after) = sweep.fact, pair
        watch = self._watch(fact, after or before or ())
        if after is None and self._left_out(fact, key):
            self._emit(Change(fact, key, None))  # no longer looked at, which is not the same as gone
            return True
        ignore = watch.ignore if watch is not None else frozenset()
        growing = watch is not None and watch.growing and before is not None and after is not None
        if growing and before is not None and after is not None:
            if _only_grew(before, after) and before[5] != after[5]:
                requests[after[1]] = before[5]  # type: ignore[assignment]
                return False
            ignore |= GROWS
        drift = diff.drift(fact, pair, ignore)
        if drift is None and growing:
            if key in known:
                self._restore(fact, key)
            return True
        texts = {d: text for d, text in sweep.contents.items() if after is not None and after[12:13] == (d,)}
        self._change(Change(fact, key, after, contents=texts), pair, drift, watch, ignore)
        return True

    def _emptied(self, sweep: Sweep, folder: bytes) -> None:
        """A folder is gone: so is all that was below it, which no sweep will list any more."""
        scopes = dict.fromkeys(self._baseline.scopes(FileFact, folder))
        scopes |= dict.fromkeys(key[0] for key in self._pending(FileFact, folder, below=True))
        for scope in scopes:
            empty = replace(sweep, scope=scope, rows=[], only=None, span=None, contents={})
            for request in self._handle(empty, above_gone=True):
                raise AssertionError(f"an empty folder asks for {request}")

    def _change(
        self,
        change: Change,
        pair: diff.Pair,
        drift: Drift | None,
        watch: Watch | None,
        ignore: frozenset[str],
    ) -> None:
        """Find out what is to be told of a change, and emit it."""
        now = self._wall()
        open_one = self._open_finding(change.fact, change.key)
        if drift is not None and not self._left_to_files(drift):
            verdict = self._policy.judge(drift)
            if open_one is not None and open_one.verdict == verdict and _same(open_one.drift, drift, ignore):
                self._emit(change)  # only what is not compared moved on
                return
            if verdict.severity is not Severity.IGNORE:
                generation = self._baseline.current()
                number = generation.number if generation else 0
                finding = Finding(
                    open_one.id if open_one else self._findings.identify(change.fact, change.key, number),
                    drift,
                    verdict,
                    open_one.generation if open_one else number,
                    open_one.first_seen if open_one else now,
                    now,
                    self._text_diff(drift, watch, change.contents),
                )
                self._emit(replace(change, finding=finding, event="changed" if open_one else "opened"))
                return
        if drift is None and _less_known(pair):
            self._emit(change)  # nothing differs in what could be seen: that ends no finding
            return
        self._emit(_cleared(change, open_one, now))

    def _open_finding(self, fact: type[Fact], key: Row) -> Finding | None:
        waiting = self._pending(fact, key[0]).get(key)
        if waiting is not None and waiting.finding is not None:
            return waiting.finding if waiting.event != "cleared" else None
        return None if self._fresh else self._findings.of_key(fact, key)

    def _left_to_files(self, drift: Drift) -> bool:
        """A set-id file that the files sensor watches is told once, by the files sensor."""
        if not isinstance(drift.subject, SetIdFact):
            return False
        watch = self._watch_of(drift.subject.path)
        return watch is not None and watch.of_programs

    def _text_diff(self, drift: Drift, watch: Watch | None, contents: dict[bytes, bytes]) -> str:
        if watch is None or not watch.diff or drift.action is not Action.CHANGED:
            return ""
        before, after = drift.before, drift.after
        assert isinstance(before, FileFact)
        assert isinstance(after, FileFact)
        if secret(after.path):
            return ""
        old = self._baseline.content(before.sha256)
        new = contents.get(after.sha256) if after.sha256 else None
        if old is None or new is None or old == new:
            return ""
        return unified(old, new)

    def _restored(self, sweep: Sweep, differing: set[Row], known: Known) -> list[bytes]:
        """Keys written down as different that are as approved again; returns folders among them that
        are none any more."""
        width = len(sweep.fact.KEY)
        listed = {row[:width]: row for row in sweep.rows}
        left: list[bytes] = []
        for key, last in known.items():
            if key in differing or (key not in listed and diff.unseen(sweep, key)):
                continue
            self._restore(sweep.fact, key)
            if sweep.fact is FileFact:
                left += _folder_left((last,), listed.get(key))
        return left

    def _restore(self, fact: type[Fact], key: Row) -> None:
        """A key is as approved again."""
        change = Change(fact, key, None, restored=True)
        self._emit(_cleared(change, self._open_finding(fact, key), self._wall()))


def _is_quick(sweep: Sweep) -> bool:
    """Whether its rows hold less than everything."""
    return sweep.depth is Depth.QUICK and len(sweep.fact.columns()) > sweep.fact.QUICK


def _cleared(change: Change, finding: Finding | None, now: int) -> Change:
    """The change, telling that the finding (if there is one) is over."""
    if finding is None:
        return change
    return replace(change, finding=replace(finding, last_seen=now), event="cleared")


def _within(sweep: Sweep, key: Row) -> bool:
    """Whether the sweep's limits include the key."""
    name = key[1]
    if sweep.only is not None:
        return name in sweep.only
    if sweep.span is not None:
        low, high = sweep.span
        return (low is None or name >= low) and (high is None or name < high)  # type: ignore[operator]
    return True


def _only_grew(before: Row, after: Row) -> bool:
    """Same file (mode, owner, inode, device), at least as long."""
    same = all(before[i] == after[i] for i in (2, 3, 4, 8, 10))
    return same and after[5] >= before[5]  # type: ignore[operator]


def _folder_left(were: Iterable[Row | None], now: Row | None) -> list[bytes]:
    """The path of a folder that is gone, or has something in its place that is no folder."""
    if now is not None and FileFact.is_folder(now):
        return []
    return [join(row[0], row[1]) for row in were if row and FileFact.is_folder(row)][:1]  # type: ignore[arg-type]


def _same(told: Drift, now: Drift, ignore: frozenset[str]) -> bool:
    """Whether `now` says nothing that was not `told`."""
    if told.before != now.before or (told.after is None) != (now.after is None):
        return False
    if told.after is None or now.after is None:
        return True
    if _unstable(told.after) != _unstable(now.after):
        return False  # what was being written has come to rest, or the other way round
    return not diff.changed(now.fact, told.after.row(), now.after.row(), ignore)


def _unstable(fact: Fact) -> int:
    return fact.unstable if isinstance(fact, FileFact) else 0


def _less_known(pair: diff.Pair) -> bool:
    """Whether something could not be looked at that was known when it was approved."""
    before, after = pair
    return (
        before is not None
        and after is not None
        and any(new is None and old is not None for old, new in zip(before, after, strict=True))
    )
