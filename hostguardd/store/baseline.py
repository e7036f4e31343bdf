"""The baseline: approved rows in numbered generations, and what is seen to differ from them.

The rule kept here: rows become part of the baseline only under a generation's number, and a
generation exists only from the one commit that writes its line in `generation`. Whatever a crash
left half done has a number nobody approved and is swept away at the next opening. Looking never
moves the baseline; `approve`, `rollback` and `finish_capture` do, and only an administrator's
request (or the first start) leads there.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from ..errors import BaselineDamaged, BaselineError, UsageError
from ..model import BY_KIND, FACTS, Blind, Drift, Fact, Generation, Row, Value
from .database import OPEN_END, Database

Key: TypeAlias = tuple[type[Fact], Row]
"""A fact's kind and its key fields."""

KEEP_CONTENT = 64 * 1024
"""Largest file text kept for diffs, in bytes."""


TRUST = "trust "
"""How the name of a kept value begins that belongs to the generation of that number."""


class Baseline:
    """Generations over a `Database`. All times are wall-clock nanoseconds, given by the caller."""

    def __init__(self, database: Database, *, readonly: bool = False) -> None:
        self._db = database
        self._run = database.connection.execute
        self.discarded = 0 if readonly else self.discard()
        self._seen_any: bool | None = None  # whether anything is seen to differ; None: ask

    # -- what is there ---------------------------------------------------------------------------

    def current(self) -> Generation | None:
        """The approved generation in force, None before the first."""
        row = self._run("SELECT * FROM generation ORDER BY number DESC LIMIT 1").fetchone()
        return _generation(row) if row else None

    def history(self) -> list[Generation]:
        """All kept generations, oldest first."""
        return [_generation(row) for row in self._run("SELECT * FROM generation ORDER BY number")]

    def generation(self, number: int) -> Generation:
        """Generation `number`, or an error that says which there are."""
        for found in self.history():
            if found.number == number:
                return found
        have = ", ".join(str(g.number) for g in self.history()) or "none"
        raise UsageError(f"there is no generation {number} (kept: {have})")

    def rows(
        self,
        fact: type[Fact],
        scope: Value,
        only: Collection[Value] | None = None,
        span: tuple[Value, Value] | None = None,
        *,
        quick: bool = False,
    ) -> list[Row]:
        """Approved rows of a scope (limited as `Sweep` describes), sorted by key; QUICK fields or all."""
        select, order = _select(fact.KIND, quick)
        found: list[Row] = []
        for where, values in _limits(fact, only, span):
            found += self._run(select + where + order, (scope, *values)).fetchall()
        if only is not None:
            width = len(fact.KEY)
            found.sort(key=lambda row: row[:width])
        return found

    def quick_rows(self, fact: type[Fact], scopes: Sequence[Value]) -> dict[Value, list[Row]]:
        """The QUICK fields of the approved rows of several scopes at once, each sorted by key."""
        found: dict[Value, list[Row]] = {scope: [] for scope in scopes}
        select = _select(fact.KIND, True)[0].replace("= ?", f"IN ({', '.join('?' * len(scopes))})", 1)
        rows = self._run(f"{select} ORDER BY {', '.join(fact.KEY)}", tuple(scopes)).fetchall()
        found.update((scope, list(group)) for scope, group in groupby(rows, itemgetter(0)))
        return found

    def row(self, fact: type[Fact], key: Row) -> Row | None:
        """The approved row of one key."""
        return self._one(f"{fact.KIND}_base", fact, key, f" AND until = {OPEN_END}")

    def seen(
        self,
        fact: type[Fact],
        scope: Value,
        only: Collection[Value] | None = None,
        span: tuple[Value, Value] | None = None,
    ) -> dict[Row, Row | None]:
        """Keys of a scope (limited as `Sweep` describes) that are not as approved, each with the row
        last seen, None where it is gone."""
        if self._seen_any is None:
            self._seen_any = any(
                self._run(f"SELECT EXISTS(SELECT 1 FROM {fact.KIND}_seen)").fetchone()[0] for fact in FACTS
            )
        if not self._seen_any:
            return {}
        query = f"SELECT {', '.join(fact.columns())}, gone FROM {fact.KIND}_seen WHERE {fact.KEY[0]} = ?"
        width = len(fact.KEY)
        found: dict[Row, Row | None] = {}
        for where, values in _limits(fact, only, span):
            for *row, gone in self._run(query + where, (scope, *values)):
                found[tuple(row[:width])] = None if gone else tuple(row)
        return found

    def nothing_seen(self, fact: type[Fact]) -> bool:
        """Whether everything of a kind is as approved, as far as was seen."""
        return self._run(f"SELECT 1 FROM {fact.KIND}_seen LIMIT 1").fetchone() is None

    def scopes(self, fact: type[Fact], below: bytes | None = None) -> list[Value]:
        """Scopes with approved or seen rows; `below`: only that path and what lies under it."""
        name = fact.KEY[0]
        where = ""
        values: tuple[bytes, ...] = ()
        if below is not None:
            top = below if below.endswith(b"/") else below + b"/"
            where = f" AND ({name} = ? OR ({name} >= ? AND {name} < ?))"
            values = (below, top, top[:-1] + b"0")
        found = self._run(
            f"SELECT DISTINCT {name} FROM {fact.KIND}_base WHERE until = {OPEN_END}{where}"
            f" UNION SELECT DISTINCT {name} FROM {fact.KIND}_seen WHERE 1{where}",
            values + values,
        ).fetchall()
        return [row[0] for row in found]

    def content(self, sha256: bytes | None) -> bytes | None:
        """The kept text of a file with this digest, if it was kept."""
        if sha256 is None:
            return None
        row = self._run("SELECT data FROM content WHERE sha256 = ?", (sha256,)).fetchone()
        return zlib.decompress(row[0]) if row else None

    def blinds(self) -> list[Blind]:
        """What could not be seen, as last written down."""
        return [
            Blind(*row) for row in self._run("SELECT kind, scope, reason FROM blind ORDER BY kind, scope")
        ]

    def blinds_of(self, kind: str) -> list[tuple[Blind, int]]:
        """What could not be seen of a kind, each with since when."""
        rows = self._run("SELECT kind, scope, reason, since FROM blind WHERE kind = ?", (kind,))
        return [(Blind(*row[:3]), row[3]) for row in rows]

    def recall(self, name: str) -> Value:
        """A value kept by `remember`, None if there is none."""
        row = self._run("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def remember(self, name: str, value: Value) -> None:
        """Keep a small value across restarts."""
        self.remember_all({name: value})

    def remember_all(self, values: Mapping[str, Value]) -> None:
        """Keep small values across restarts, all or none."""
        with self._db.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES(?, ?)", values.items())

    def trust(self, number: int) -> str:
        """How far the host could be trusted when that generation was approved, as a sentence; "" if nobody
        looked."""
        return str(self.recall(f"{TRUST}{number}") or "")

    def keep_trust(self, number: int, sentence: str) -> None:
        """Keep it with the generation."""
        self.remember(f"{TRUST}{number}", sentence)

    def doubtful(self, open_keys: Callable[[type[Fact], Row], bool]) -> Iterator[Key]:
        """Keys written down as seen to differ that have no open finding: quiet ones, and what somebody
        closed by hand."""
        for fact in FACTS:
            keys = self._run(f"SELECT {', '.join(fact.KEY)} FROM {fact.KIND}_seen").fetchall()
            yield from ((fact, key) for key in keys if not open_keys(fact, key))

    # -- what was seen ---------------------------------------------------------------------------

    def note(self, fact: type[Fact], key: Row, row: Row | None) -> None:
        """Write down that `key` is not as approved: `row` was seen, or (None) it is gone."""
        self._seen_any = None
        columns = fact.columns()
        marks = ", ".join("?" * (len(columns) + 1))
        full = (*row, 0) if row is not None else (*key, *(None,) * (len(columns) - len(key)), 1)
        self._run(f"INSERT OR REPLACE INTO {fact.KIND}_seen VALUES({marks})", full)

    def forget(self, fact: type[Fact], key: Row) -> None:
        """`key` is as approved again."""
        where = " AND ".join(f"{name} = ?" for name in fact.KEY)
        self._seen_any = None
        self._run(f"DELETE FROM {fact.KIND}_seen WHERE {where}", key)

    def keep_content(self, contents: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep file texts (digest, bytes) for later diffs."""
        self._db.connection.executemany(
            "INSERT OR IGNORE INTO content VALUES(?, ?)",
            ((digest, zlib.compress(data)) for digest, data in contents if len(data) <= KEEP_CONTENT),
        )

    def set_blinds(self, kind: str, blinds: Iterable[Blind], at: int) -> None:
        """Replace what is known to be unseen of one kind."""
        with self._db.transaction() as db:
            since = dict(db.execute("SELECT scope, since FROM blind WHERE kind = ?", (kind,)).fetchall())
            db.execute("DELETE FROM blind WHERE kind = ?", (kind,))
            db.executemany(
                "INSERT OR REPLACE INTO blind VALUES(?, ?, ?, ?)",
                ((kind, b.scope, b.reason, since.get(b.scope, at)) for b in blinds),
            )

    # -- moving the baseline ---------------------------------------------------------------------

    def begin_capture(self) -> int:
        """Start filling the next generation from nothing; returns its number."""
        current = self.current()
        return (current.number if current else 0) + 1

    def add(self, number: int, fact: type[Fact], rows: Iterable[Row]) -> None:
        """Add rows to a generation being captured (not visible until it is finished)."""
        marks = ", ".join("?" * (len(fact.columns()) + 2))
        self._db.connection.executemany(
            f"INSERT OR REPLACE INTO {fact.KIND}_base VALUES({marks})",
            ((*row, number, OPEN_END) for row in rows),
        )

    def finish_capture(self, number: int, at: int, actor: str, reason: str, *, reviewed: bool) -> Generation:
        """Make the captured rows generation `number`, in one commit."""
        with self._db.transaction():
            return self._write_generation(number, at, actor, reason, reviewed, number - 1)

    def approve(
        self,
        at: int,
        actor: str,
        reason: str,
        keys: Collection[Key] | None = None,
        dropped: Collection[tuple[type[Fact], Value]] = (),
    ) -> Generation:
        """Make what was seen the new truth: all of it, or (partial acceptance) only `keys`.

        `dropped` are whole scopes that are no longer watched and leave the baseline. Who accepts some has not
        reviewed the rest.
        """
        parent = self.verify()  # what nobody approved must not become approved along with the rest
        number = parent.number + 1
        with self._db.transaction() as db:
            if keys is None:
                for fact in FACTS:
                    self._fold(fact, number, "1", ())
            else:
                for fact, key in keys:
                    where = " AND ".join(f"{name} = ?" for name in fact.KEY)
                    self._fold(fact, number, where, key)
            for fact, scope in dropped:
                db.execute(
                    f"UPDATE {fact.KIND}_base SET until = ? WHERE {fact.KEY[0]} = ? AND until = {OPEN_END}",
                    (number, scope),
                )
            reviewed = keys is None or parent.reviewed
            return self._write_generation(number, at, actor, reason, reviewed, parent.number)

    def rollback(self, target: int, at: int, actor: str, reason: str) -> Generation:
        """A new generation with the rows of `target`. What was seen is forgotten: sweep again."""
        parent = self._needed()
        self.verify(target)
        number = parent.number + 1
        with self._db.transaction() as db:
            for fact in FACTS:
                base, columns = f"{fact.KIND}_base", ", ".join(fact.columns())
                span = f"since <= {target} AND until > {target}"
                db.execute(f"UPDATE {base} SET until = {number} WHERE until = {OPEN_END} AND NOT ({span})")
                db.execute(
                    f"INSERT INTO {base} SELECT {columns}, {number}, {OPEN_END} FROM {base}"
                    f" WHERE {span} AND until != {OPEN_END}"
                )
                db.execute(f"DELETE FROM {fact.KIND}_seen")
            self._seen_any = None
            return self._write_generation(number, at, actor, reason, True, target)

    def diff(self, old: int, new: int) -> Iterator[Drift]:
        """What generation `new` says otherwise than `old`, kind by kind, in key order."""
        self.generation(old), self.generation(new)
        for fact in FACTS:
            keys = ", ".join(fact.KEY)
            sides: list[dict[Row, Row]] = []
            for mine, other in ((old, new), (new, old)):
                inside = "since <= {0} AND until > {0}"
                rows = self._run(
                    f"SELECT {', '.join(fact.columns())} FROM {fact.KIND}_base"
                    f" WHERE {inside.format(mine)} AND NOT ({inside.format(other)}) ORDER BY {keys}"
                ).fetchall()
                sides.append({row[: len(fact.KEY)]: row for row in rows})
            before, after = sides
            for key in sorted(before.keys() | after.keys()):
                left, right = before.get(key), after.get(key)
                if left != right:
                    names = (
                        ()
                        if left is None or right is None
                        else tuple(
                            name for name, a, b in zip(fact.columns(), left, right, strict=True) if a != b
                        )
                    )
                    yield Drift(
                        fact, fact.of(left) if left else None, fact.of(right) if right else None, names
                    )

    def prune(self, keep: int) -> int:
        """Forget all but the newest `keep` generations besides the current one; returns how many."""
        numbers = [g.number for g in self.history()]
        doomed = numbers[: max(0, len(numbers) - 1 - keep)]
        if doomed:
            oldest = numbers[len(doomed)]
            with self._db.transaction() as db:
                db.execute("DELETE FROM generation WHERE number < ?", (oldest,))
                for number in doomed:
                    db.execute("DELETE FROM meta WHERE name = ?", (f"{TRUST}{number}",))
                for fact in FACTS:
                    db.execute(f"DELETE FROM {fact.KIND}_base WHERE until <= ?", (oldest,))
        self.forget_contents()
        return len(doomed)

    def forget_contents(self) -> None:
        """Forget kept texts that no generation holds and nobody sees any more."""
        with self._db.transaction() as db:
            if db.execute("SELECT EXISTS(SELECT 1 FROM content)").fetchone()[0]:
                db.execute(
                    "DELETE FROM content WHERE sha256 NOT IN (SELECT sha256 FROM file_base"
                    " WHERE sha256 NOT NULL UNION SELECT sha256 FROM file_seen WHERE sha256 NOT NULL)"
                )

    def digest(self, number: int) -> tuple[str, int]:
        """(hex SHA-256 over all rows of a generation in key order, how many rows)."""
        total, count = hashlib.sha256(), 0
        for fact in FACTS:
            total.update(fact.KIND.encode() + b"\n")
            keys = ", ".join(fact.KEY)
            cursor = self._run(
                f"SELECT {', '.join(fact.columns())} FROM {fact.KIND}_base"
                f" WHERE since <= {number} AND until > {number} ORDER BY {keys}"
            )
            while chunk := cursor.fetchmany(512):
                count += len(chunk)
                # repr of int, str, bytes and None is canonical and unambiguous across Pythons.
                total.update(repr(chunk).encode())
        return total.hexdigest(), count

    def verify(self, number: int = 0) -> Generation:
        """A generation (0: the current one), if its rows still have the digest they were approved with."""
        current = self.generation(number) if number else self._needed()
        digest, count = self.digest(current.number)
        if digest != current.digest:
            raise BaselineDamaged(
                f"{self._db.path}: the rows of generation {current.number} ({count} facts) do not have the"
                f" digest they were approved with: the file was changed by something else"
            )
        return current

    # -- inside ----------------------------------------------------------------------------------

    def _one(self, table: str, fact: type[Fact], key: Row, more: str = "") -> Row | None:
        where = " AND ".join(f"{name} = ?" for name in fact.KEY)
        found: Row | None = self._run(
            f"SELECT {', '.join(fact.columns())} FROM {table} WHERE {where}{more}", key
        ).fetchone()
        return found

    def _needed(self) -> Generation:
        current = self.current()
        if current is None:
            raise BaselineError(f"{self._db.path} holds no approved baseline yet")
        return current

    def _fold(self, fact: type[Fact], number: int, where: str, values: Row) -> None:
        """Move seen rows that match `where` (said of their key) into generation `number`."""
        base, seen = f"{fact.KIND}_base", f"{fact.KIND}_seen"
        same = " AND ".join(f"{base}.{name} = {seen}.{name}" for name in fact.KEY)
        self._run(
            f"UPDATE {base} SET until = {number} WHERE {where} AND until = {OPEN_END}"
            f" AND EXISTS (SELECT 1 FROM {seen} WHERE {same})",
            values,
        )
        self._run(
            f"INSERT INTO {base} SELECT {', '.join(fact.columns())}, {number}, {OPEN_END} FROM {seen}"
            f" WHERE gone = 0 AND {where}",
            values,
        )
        self._seen_any = None
        self._run(f"DELETE FROM {seen} WHERE {where}", values)

    def _write_generation(
        self, number: int, at: int, actor: str, reason: str, reviewed: bool, parent: int
    ) -> Generation:
        digest, facts = self.digest(number)
        made = Generation(number, at, actor, reason, reviewed, digest, facts, parent)
        self._run(
            "INSERT INTO generation VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (number, at, actor, reason, int(reviewed), digest, facts, parent),
        )
        return made

    def discard(self) -> int:
        """Remove rows of a generation that was never finished (a capture cut off); returns how many."""
        gone = 0
        with self._db.transaction() as db:
            current = self.current()
            last = current.number if current else 0
            for fact in FACTS:
                gone += db.execute(f"DELETE FROM {fact.KIND}_base WHERE since > ?", (last,)).rowcount
                db.execute(
                    f"UPDATE {fact.KIND}_base SET until = {OPEN_END} WHERE until > ? AND until < {OPEN_END}",
                    (last,),
                )
        return gone


@cache
def _select(kind: str, quick: bool) -> tuple[str, str]:
    """The query for a scope's approved rows, and its order."""
    fact = BY_KIND[kind]
    columns = ", ".join(fact.columns()[: fact.QUICK] if quick else fact.columns())
    where = f"{fact.KEY[0]} = ? AND until = {OPEN_END}"
    return f"SELECT {columns} FROM {fact.KIND}_base WHERE {where}", f" ORDER BY {', '.join(fact.KEY[1:])}"


def _limits(
    fact: type[Fact], only: Collection[Value | Row] | None, span: tuple[Value, Value] | None
) -> Iterator[tuple[str, Row]]:
    """Conditions, each with its values, that choose the keys of a scope as `Sweep` describes."""
    if only is None:
        low, high = span or (None, None)
        chosen = [(sign, bound) for sign, bound in ((">=", low), ("<", high)) if bound is not None]
        yield "".join(f" AND {fact.KEY[1]} {sign} ?" for sign, _ in chosen), tuple(b for _, b in chosen)
        return
    for key in only:
        rest: Row = key if isinstance(key, tuple) else (key,)
        yield "".join(f" AND {name} = ?" for name in fact.KEY[1 : 1 + len(rest)]), rest


def _generation(row: tuple[int, int, str, str, int, str, int, int]) -> Generation:
    number, at, actor, reason, reviewed, digest, facts, parent = row
    return Generation(number, at, actor, reason, bool(reviewed), digest, facts, parent)
