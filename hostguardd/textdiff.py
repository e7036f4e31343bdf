"""A short unified diff of two texts, for alerts whose watch asks for one. Pure.

The rule kept here: secrets stay home. Whatever looks like a private key or a password hash, in either
text, means no diff at all; the watch should not have asked for it, and this is the last gate.
"""

from __future__ import annotations

import difflib
import re

MOST_LINES = 40
"""Lines of a diff; the rest is counted."""

MOST_WIDTH = 200
"""Characters of one line."""

SECRET = re.compile(
    rb"PRIVATE KEY-----"
    rb"|\$(?:1|2[abxy]?|5|6|7|y|gy|md5|sha1|argon2(?:i|d|id))\$"
    rb"|\bpassw(?:or)?d\s*[=:]\s*\S{4}",
    re.IGNORECASE,
)


def unified(before: bytes, after: bytes) -> str:
    """The diff without file headers, or "" when there is nothing that can be shown."""
    if b"\0" in before or b"\0" in after or SECRET.search(before) or SECRET.search(after):
        return ""
    old = before.decode("utf-8", "backslashreplace").splitlines()
    new = after.decode("utf-8", "backslashreplace").splitlines()
    lines = [line[:MOST_WIDTH] for line in difflib.unified_diff(old, new, n=1, lineterm="")][2:]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"… {len(lines) - MOST_LINES} more lines"]
    return "\n".join(lines)
