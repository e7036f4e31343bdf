"""What a bundle holds and what it does not, kept while it is written: the manifest, and what was left out.

The rule kept: room for what is noted is taken at once, so that the list is never what has no room at the end.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

from ...record import clean, escape, timestamp
from .archive import Archive, TooLarge

KEPT: Final = 2000
"""Lines on what was left out that are kept; more are counted."""


class Books:
    """The books of one archive. `files` and `processes` are counted; `left` are the first of the things left
    out, as (what, why); `left_out` counts all."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.entries: list[dict[str, Any]] = []
        self.left: list[tuple[str, str]] = []
        self.left_out = 0
        self.files = 0
        self.processes = 0

    def text(self, name: str, text: str) -> None:
        """A text of our own, if there is room for it."""
        try:
            self.archive.add(name, text.encode())
        except TooLarge:
            self.leave(name, "there was no room for it")

    def note(self, path: bytes, name: str, seen: os.stat_result, more: dict[str, Any]) -> None:
        """An entry of the manifest: what lies at `path` on the host, and under which `name` it is stored (""
        if it is not)."""
        entry = {
            "path": escape(path),
            "stored": name,
            "mode": f"{seen.st_mode:o}",
            "uid": seen.st_uid,
            "gid": seen.st_gid,
            "size": seen.st_size,
            "inode": seen.st_ino,
            "device": seen.st_dev,
            "links": seen.st_nlink,
            "modified": timestamp(seen.st_mtime_ns, 9),
            "changed_at": timestamp(seen.st_ctime_ns, 9),
            "accessed": timestamp(seen.st_atime_ns, 9),
            **more,
        }
        self.entries.append(entry)
        self.archive.reserve(len(json.dumps(entry)) + 2)

    def leave(self, what: str, why: str) -> None:
        """Something was left out."""
        self.left_out += 1
        if len(self.left) < KEPT:
            self.left.append((clean(what), clean(why)))
            self.archive.reserve(len(json.dumps(self.left[-1])) + 64)

    def close(self, about: dict[str, Any]) -> tuple[int, str]:
        """Write the manifest, and what it is `about`; size and SHA-256 of the archive."""
        told = {
            "schema": 1,
            **about,
            "files": self.entries,
            "left_out": {
                "count": self.left_out,
                "first": [{"what": what, "why": why} for what, why in self.left],
            },
        }
        data = json.dumps(told).encode()
        self.archive.reserve(-len(data))
        self.archive.add("manifest.json", data)
        return self.archive.close()
