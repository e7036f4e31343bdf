"""The stories of findings, beside the findings they belong to.

The rule kept here: as findings, they are written only after their alert is safely in the alert log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..story import Story, unpack
from .database import Database
from .findings import OPEN

NOTHING = Story()


class Stories:
    """The stories table over a `Database`; the caller wraps writes in a transaction. `heard` hears of all."""

    def __init__(self, database: Database) -> None:
        self._run = database.connection.execute
        self.heard: Callable[[str, Story], None] = lambda id, story: None

    def of(self, id: str) -> Story:
        """That of a finding, open or closed; one that explains nothing if there is none."""
        return self.find(id) or NOTHING

    def find(self, id: str) -> Story | None:
        """That of a finding, if there is one."""
        row = self._run("SELECT told FROM story WHERE finding = ?", (id,)).fetchone()
        return unpack(str(row[0])) if row else None

    def open(self) -> Iterator[tuple[str, Story]]:
        """Those of open findings, with the ids of these."""
        for id, told in self._run(
            "SELECT finding, told FROM story JOIN finding ON finding = id WHERE status = ?", (OPEN,)
        ):
            yield str(id), unpack(str(told))

    def mentioning(self, mark: str, most: int) -> Iterator[tuple[str, Story]]:
        """Up to so many of those in whose text `mark` stands ("": none), with the ids of their findings."""
        if not mark:
            return
        for id, told in self._run(
            "SELECT finding, told FROM story WHERE instr(told, ?) LIMIT ?", (mark, most)
        ):
            yield str(id), unpack(str(told))

    def put(self, id: str, story: Story) -> None:
        """Write, or write anew, that of a finding."""
        self._run("INSERT OR REPLACE INTO story VALUES(?, ?)", (id, story.pack()))
        self.heard(id, story)

    def of_act(self, act: str) -> list[str]:
        """The findings whose story is part of a transaction or a window, open or closed."""
        rows = self._run("SELECT finding, told FROM story WHERE instr(told, ?)", (f'"{act}"',))
        return [str(id) for id, told in rows if unpack(str(told)).act == act]

    def open_of_act(self, act: str) -> list[str]:
        """Those of them that are open, the loudest and oldest first."""
        rows = self._run(
            "SELECT id, told FROM finding JOIN story ON finding = id WHERE status = 'open' AND instr(told, ?)"
            " ORDER BY severity DESC, first_seen, id",
            (f'"{act}"',),
        )
        return [str(id) for id, told in rows if unpack(str(told)).act == act]

    def prune(self) -> None:
        """Forget those of forgotten findings."""
        self._run("DELETE FROM story WHERE finding NOT IN (SELECT id FROM finding)")
