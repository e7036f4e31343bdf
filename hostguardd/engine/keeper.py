"""Sweep in, changes out: compares with the baseline, asks for closer looks, judges what differs.

The rules kept here:

* the baseline never moves by looking; what differs is written down as *seen*, so that nothing is
  told twice and nothing is read twice;
* a quick sweep only ever leads to a closer look (`Request`), never to a finding about a content;
* nothing is written here: changes go to the announcer, which writes them down only after their
  alerts are safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from .. import diff
from ..config import Watch, secret
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
from ..textdiff import unified

GROWS = frozenset({"mtime", "ctime", "links"})
"""Besides its size, what may move on an append-only file."""

Known = tuple[bool, Row | None]
"""(whether anything is written down about the key, the row last seen; None: seen to be gone)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key whose state moved since it was last written down.

    `row` is what was seen (None: gone), `restored` that it is as approved again. `finding` is what
    to tell (None: nothing), `event` what became of it. `contents` are texts to keep.
    """

    fact: type[Fact]
    key: Row
    row: Row | None
    restored: bool = False
    finding: Finding | None = None
    event: Event = "opened"
    contents: dict[bytes, bytes] = field(default_factory=dict)


class Keeper:
    """Judges sweeps against the current generation.

    `emit` takes each change; `pending` tells what was emitted and is not yet written down. `fresh`
    looks with new eyes: as if nothing had been seen to differ before.
    """

    def __init__(
        self,
        baseline: Baseline,
        findings: Findings,
        policy: Policy,
        watch_of: Callable[[bytes], Watch | None],
        emit: Callable[[Change], None],
        pending: Callable[[type[Fact], Row], Change | None],
        wall: Callable[[], int],
        *,
        fresh: bool = False,
    ) -> None:
        self._baseline = baseline
        self._findings = findings
        self._policy = policy
        self._watch_of = watch_of
        self._emit = emit
        self._pending = pending
        self._wall = wall
        self._fresh = fresh

    def handle(self, sweep: Sweep) -> list[Request]:
        """Judge one sweep; returns what must be looked at more closely."""
        quick = sweep.depth is Depth.QUICK and len(sweep.fact.columns()) > sweep.fact.QUICK
        approved = self._baseline.rows(sweep.fact, sweep.scope, sweep.only, sweep.span, quick=quick)
        pairs = diff.compare(approved, sweep)
        seen = {} if self._fresh else self._baseline.seen(sweep.fact, sweep.scope, sweep.only)
        if seen:
            self._restored(sweep, approved, pairs, seen)
        if not pairs:
            return []
        width = len(sweep.fact.KEY)
        requests: dict[Value, int | None] = {}
        for before, after in pairs:
            key = (after or before or ())[:width]
            known = self._known(sweep.fact, key, seen)
            if known[0] and known[1] == after:
                continue
            if quick and after is not None:
                if known[1] is None or known[1][: sweep.fact.QUICK] != after:
                    self._closer(sweep.fact, before, after, requests)
                continue
            if quick and before is not None:
                before = self._baseline.row(sweep.fact, key)
            self._judge(sweep, key, (before, after), known, requests)
        if not requests:
            return []
        prefixes = {name: length for name, length in requests.items() if length is not None}
        return [Request(sweep.scope, frozenset(requests), prefixes=prefixes)]

    # -- inside ----------------------------------------------------------------------------------

    def _known(self, fact: type[Fact], key: Row, seen: dict[Value | Row, Row | None]) -> Known:
        waiting = self._pending(fact, key)
        if waiting is not None:
            return (not waiting.restored, waiting.row)
        short = diff.key_of(fact, key)
        return (short in seen, seen.get(short))

    def _closer(
        self, fact: type[Fact], before: Row | None, after: Row, requests: dict[Value, int | None]
    ) -> None:
        """Ask for a closer look, unless it is an append-only file that only grew."""
        watch = self._watch(fact, after)
        if watch is not None and watch.growing and before is not None and _only_grew(before, after):
            return  # whether its beginning still holds is for the full sweep
        requests[after[1]] = None

    def _watch(self, fact: type[Fact], row: Row) -> Watch | None:
        if fact is not FileFact:
            return None
        return self._watch_of(join(row[0], row[1]))  # type: ignore[arg-type]

    def _judge(
        self, sweep: Sweep, key: Row, pair: diff.Pair, known: Known, requests: dict[Value, int | None]
    ) -> None:
        """One key, both rows full (or None)."""
        fact, (before, after) = sweep.fact, pair
        watch = self._watch(fact, after or before or ())
        ignore = watch.ignore if watch is not None else frozenset()
        if watch is not None and watch.growing and before is not None and after is not None:
            if _only_grew(before, after) and before[5] != after[5]:
                requests[after[1]] = before[5]  # type: ignore[assignment]
                return
            ignore |= GROWS
        drift = diff.drift(fact, pair, ignore)
        if drift is None and watch is not None and watch.growing:
            return
        texts = {d: text for d, text in sweep.contents.items() if after is not None and after[12:13] == (d,)}
        self._change(Change(fact, key, after, contents=texts), drift, watch)
        if fact is FileFact and before is not None and _folder_left(before, after):
            self._emptied(sweep, join(before[0], before[1]))  # type: ignore[arg-type]

    def _emptied(self, sweep: Sweep, folder: bytes) -> None:
        """A folder is gone: so is all that was below it, which no sweep will list any more."""
        for scope in self._baseline.scopes(FileFact, folder):
            for request in self.handle(
                replace(sweep, scope=scope, rows=[], only=None, span=None, contents={})
            ):
                raise AssertionError(f"an empty folder asks for {request}")

    def _change(self, change: Change, drift: Drift | None, watch: Watch | None) -> None:
        """Find out what is to be told of a change, and emit it."""
        now = self._wall()
        open_one = self._open_finding(change.fact, change.key)
        if drift is not None and not self._left_to_files(drift):
            verdict = self._policy.judge(drift)
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
        self._emit(_cleared(change, open_one, now))

    def _open_finding(self, fact: type[Fact], key: Row) -> Finding | None:
        waiting = self._pending(fact, key)
        if waiting is not None and waiting.finding is not None:
            return waiting.finding if waiting.event != "cleared" else None
        return self._findings.of_key(fact, key)

    def _left_to_files(self, drift: Drift) -> bool:
        """A set-id file that the files sensor watches is told once, by the files sensor."""
        return isinstance(drift.subject, SetIdFact) and self._watch_of(drift.subject.path) is not None

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

    def _restored(
        self,
        sweep: Sweep,
        approved: list[Row],
        pairs: Iterable[diff.Pair],
        seen: dict[Value | Row, Row | None],
    ) -> None:
        """Keys written down as different that are as approved again."""
        fact, width = sweep.fact, len(sweep.fact.KEY)
        differing = {diff.key_of(fact, after or before or ()) for before, after in pairs}
        present = {diff.key_of(fact, row) for row in approved}
        for short in seen:
            key = (sweep.scope, short) if width == 2 else (sweep.scope, *short)  # type: ignore[misc]
            if short in differing or not _within(sweep, key):
                continue
            if short not in present and diff.unseen(sweep, key):
                continue
            if self._pending(fact, key) is not None:
                continue
            change = Change(fact, key, None, restored=True)
            self._emit(_cleared(change, self._findings.of_key(fact, key), self._wall()))


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


def _folder_left(before: Row, after: Row | None) -> bool:
    """A folder is gone, or something that is no folder stands in its place."""
    return FileFact.is_folder(before) and (after is None or not FileFact.is_folder(after))
