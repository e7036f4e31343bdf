"""Findings: drifts that were judged, open until accepted or cleared by themselves.

The rule kept here: a finding is written only after its alert is safely in the alert log. A crash
between the two repeats the alert with the same id; it never loses one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from ..model import BY_KIND, Drift, Fact, Finding, Row, Severity, Value, Verdict
from .database import Database

OPEN, ACCEPTED, CLEARED = "open", "accepted", "cleared"
KEEP_CLOSED = 10_000
"""Closed findings kept for `explain`, newest first."""


def pack(values: Row | None) -> str:
    """A row or key as JSON text; bytes as {"x": hex}."""
    return json.dumps(
        None if values is None else [{"x": v.hex()} if isinstance(v, bytes) else v for v in values],
        separators=(",", ":"),
    )


def unpack(text: str) -> Row | None:
    """The inverse of `pack`."""
    data = json.loads(text)
    if data is None:
        return None
    return tuple(bytes.fromhex(v["x"]) if isinstance(v, dict) else v for v in data)


def key_blob(key: Row) -> bytes:
    """A key as one value for the index."""
    return pack(key).encode()


class Findings:
    """The findings table over a `Database`; the caller wraps writes in a transaction."""

    def __init__(self, database: Database) -> None:
        self._run = database.connection.execute

    def identify(self, fact: type[Fact], key: Row, generation: int) -> str:
        """The id the next finding of `key` gets: the same after a crash, another one next time."""
        blob = key_blob(key)
        # The last closing time besides their number, because old ones are forgotten.
        earlier = self._run(
            "SELECT count(*), max(closed) FROM finding WHERE kind = ? AND key = ? AND status != ?",
            (fact.KIND, blob, OPEN),
        ).fetchone()
        seed = b"\0".join((fact.KIND.encode(), blob, str(generation).encode(), repr(earlier).encode()))
        return hashlib.sha256(seed).hexdigest()[:10]

    def of_key(self, fact: type[Fact], key: Row) -> Finding | None:
        """The open finding about `key`."""
        row = self._run(
            "SELECT * FROM finding WHERE kind = ? AND key = ? AND status = ?",
            (fact.KIND, key_blob(key), OPEN),
        ).fetchone()
        return _finding(row) if row else None

    def get(self, id: str) -> tuple[Finding, str] | None:
        """(finding, status) by id, open or closed."""
        row = self._run("SELECT * FROM finding WHERE id = ?", (id,)).fetchone()
        return (_finding(row), row[3]) if row else None

    def closed(self, id: str) -> int:
        """When a finding was accepted or over, in wall-clock nanoseconds; 0 for one that is not."""
        row = self._run("SELECT closed FROM finding WHERE id = ?", (id,)).fetchone()
        return int(row[0]) if row else 0

    def open_one(self, id: str) -> Finding | None:
        """An open finding by id."""
        row = self._run("SELECT * FROM finding WHERE id = ? AND status = ?", (id, OPEN)).fetchone()
        return _finding(row) if row else None

    def open(self, least: Severity = Severity.INFO) -> Iterator[Finding]:
        """Open findings at least that loud, the loudest and oldest first."""
        for row in self._run(
            "SELECT * FROM finding WHERE status = ? AND severity >= ? ORDER BY severity DESC, first_seen, id",
            (OPEN, int(least)),
        ):
            yield _finding(row)

    def counts(self) -> dict[Severity, int]:
        """How many are open, by severity."""
        rows = self._run("SELECT severity, count(*) FROM finding WHERE status = ? GROUP BY severity", (OPEN,))
        return {Severity(level): count for level, count in rows}

    def put(self, finding: Finding) -> None:
        """Write an open finding, new or changed again."""
        drift, verdict = finding.drift, finding.verdict
        key = drift.subject.row()[: len(drift.fact.KEY)]
        self._run(
            "INSERT OR REPLACE INTO finding VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                finding.id,
                drift.fact.KIND,
                key_blob(key),
                OPEN,
                verdict.rule,
                int(verdict.severity),
                verdict.technique,
                verdict.advice,
                finding.generation,
                finding.first_seen,
                finding.last_seen,
                0,
                " ".join(drift.changed),
                pack(drift.before.row() if drift.before else None),
                pack(drift.after.row() if drift.after else None),
                finding.diff,
            ),
        )

    def close(self, id: str, status: str, at: int) -> None:
        """An open finding was accepted or cleared."""
        self._run(
            "UPDATE finding SET status = ?, closed = ? WHERE id = ? AND status = ?", (status, at, id, OPEN)
        )

    def close_all(self, status: str, at: int) -> None:
        """Every open finding was accepted (or is void after a rollback)."""
        self._run("UPDATE finding SET status = ?, closed = ? WHERE status = ?", (status, at, OPEN))

    def prune(self) -> None:
        """Forget the oldest closed findings."""
        self._run(
            "DELETE FROM finding WHERE status != ? AND id NOT IN (SELECT id FROM finding WHERE status != ?"
            f" ORDER BY closed DESC LIMIT {KEEP_CLOSED})",
            (OPEN, OPEN),
        )


def _finding(row: tuple[Value, ...]) -> Finding:
    (
        id,
        kind,
        _,
        _,
        rule,
        severity,
        technique,
        advice,
        generation,
        first,
        last,
        _,
        changed,
        before,
        after,
        diff,
    ) = row
    fact = BY_KIND[str(kind)]
    old, new = unpack(str(before)), unpack(str(after))
    drift = Drift(
        fact,
        None if old is None else fact.of(old),
        None if new is None else fact.of(new),
        tuple(str(changed).split()),
    )
    assert isinstance(generation, int)
    assert isinstance(first, int)
    assert isinstance(last, int)
    assert isinstance(severity, int)
    verdict = Verdict(str(rule), Severity(severity), str(technique), str(advice))
    return Finding(str(id), drift, verdict, generation, first, last, str(diff))
