"""What the alert log tells, with the moment at which each line came."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .table import Act

LOG = Path("/var/log/hostguardd/alerts.jsonl")
GOOD_NEWS = ("cleared", "accepted")


@dataclass(frozen=True)
class Line:
    """One alert and the monotonic second at which it was seen."""

    at: float
    text: str
    record: dict[str, Any]

    @property
    def technique(self) -> str:
        return " ".join(self.record.get("threat", {}).get("technique", {}).get("id", []))

    @property
    def good_news(self) -> bool:
        return self.record["hostguard"].get("state") in GOOD_NEWS

    def holds(self, words: tuple[str, ...]) -> bool:
        return all(word in self.text for word in words)

    def carries(self, techniques: tuple[str, ...]) -> bool:
        told = self.technique.split()
        return any(its == one or its.startswith(one + ".") for its in told for one in techniques)

    def short(self) -> dict[str, Any]:
        """What the judge and the table need of it."""
        return {
            "message": self.record["message"],
            "severity": self.record["hostguard"]["severity"],
            "rule": self.record.get("rule", {}).get("name", ""),
            "technique": self.technique,
            "kind": self.record["hostguard"]["kind"],
            "sequence": self.record["event"]["sequence"],
            "diff": self.record["hostguard"].get("diff", [])[:3],
        }


class Told:
    """Follows the alert log from a thread, asking a hundred times a second."""

    def __init__(self, log: Path = LOG) -> None:
        self._log = log
        self.lines: list[Line] = []
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def mark(self) -> int:
        """How many lines there are, to tell those that come later."""
        with self._changed:
            return len(self.lines)

    def since(self, mark: int) -> list[Line]:
        with self._changed:
            return self.lines[mark:]

    def news(self, mark: int, words: tuple[str, ...], techniques: tuple[str, ...] = ()) -> Line | None:
        """The first bad news since `mark` that holds these words and carries one of the techniques."""
        for line in self.since(mark):
            if not line.good_news and line.holds(words) and (not techniques or line.carries(techniques)):
                return line
        return None

    def wait(self, mark: int, act: Act, deadline: float) -> Line | None:
        """The alert that an act asks for, or None when it has not come by the deadline (monotonic)."""
        while True:
            found = self.news(mark, act.names, act.techniques)
            rest = deadline - time.monotonic()
            if found or rest <= 0:
                return found
            with self._changed:
                self._changed.wait(min(rest, 0.1))

    def settle(self, quiet: float, most: float) -> None:
        """Wait until nothing was told for `quiet` seconds, at most `most` of them."""
        deadline = time.monotonic() + most
        mark, since = self.mark(), time.monotonic()
        while time.monotonic() < min(deadline, since + quiet):
            time.sleep(0.05)
            if self.mark() != mark:
                mark, since = self.mark(), time.monotonic()

    def _follow(self) -> None:
        rest, at, inode = b"", 0, 0
        while not self._over.wait(0.01):
            try:
                status = os.stat(self._log)
                if status.st_ino == inode and status.st_size == at:
                    continue
                if status.st_ino != inode or status.st_size < at:
                    rest, at, inode = b"", 0, status.st_ino
                with self._log.open("rb") as file:
                    file.seek(at)
                    fresh = file.read()
            except OSError:
                continue  # between two names: it is there again at once
            now = time.monotonic()
            at += len(fresh)
            *whole, rest = (rest + fresh).split(b"\n")
            lines = [Line(now, text.decode(), json.loads(text)) for text in whole]
            with self._changed:
                self.lines += lines
                self._changed.notify_all()
