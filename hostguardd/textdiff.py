"""A short unified diff of two texts, for alerts whose watch asks for one. Pure.

The rules kept here: secrets stay home. Whatever looks like a private key or a password hash, in either
text, means no diff at all; the watch should not have asked for it, and this is the last gate. And no
text, however odd, keeps the loop for long: who writes it may want just that.
"""

from __future__ import annotations

import difflib
import re

MOST_LINES = 40
"""Lines of a diff; the rest is counted."""

MOST_WIDTH = 200
"""Characters of one line."""

MOST_COMPARED = 500
"""Lines of either text that are compared, beginning and end that are the same left aside."""

SECRET = re.compile(
    rb"PRIVATE KEY-----"
    rb"|\$(?:1|2[abxy]?|5|6|7|y|gy|apr1|md5|sha1|argon2(?:i|d|id))\$"  # crypt(5)
    rb"|^[^:\n]*:(?:[./0-9a-z]{13}|_[./0-9a-z]{19}):"  # the older hashes, in a passwd without shadow
    rb"|\{(?:s?sha|smd5|ssha\d+|pbkdf2\S*)\}"
    rb"|(?<![a-z0-9])(?:passw(?:or)?d|passphrase|psk|secret|token|api_?key)\s*[=:]\s*\S{4}"
    rb"|://[^\s/:@]+:[^\s/@]+@",
    re.IGNORECASE | re.MULTILINE,
)


def unified(before: bytes, after: bytes) -> str:
    """The diff without file headers, or "" when there is nothing that can be shown."""
    if b"\0" in before or b"\0" in after or SECRET.search(before) or SECRET.search(after):
        return ""
    old = before.decode("utf-8", "backslashreplace").splitlines()
    new = after.decode("utf-8", "backslashreplace").splitlines()
    same = _same(old, new)
    tail = _same(old[same:][::-1], new[same:][::-1])
    if max(len(old), len(new)) - same - tail > MOST_COMPARED:
        return f"… {len(old) - same - tail} lines became {len(new) - same - tail}, from line {same + 1} on"
    lines = [line[:MOST_WIDTH] for line in difflib.unified_diff(old, new, n=1, lineterm="")][2:]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"… {len(lines) - MOST_LINES} more lines"]
    return "\n".join(lines)


def _same(old: list[str], new: list[str]) -> int:
    """How many lines at the beginning are the same."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(old), len(new)))
