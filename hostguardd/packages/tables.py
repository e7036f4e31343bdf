"""The ids of a host's accounts by name, as its own tables have them (an image's, below a mounted root)."""

from __future__ import annotations

from typing import Final

from ..accounts import group, passwd
from ..host.texts import TextHost

MOST: Final = 16 * 1024**2


class Ids:
    """uid and gid by name; None for a name that the tables do not have."""

    def __init__(self, texts: TextHost) -> None:
        self.users: dict[bytes, int] = {}
        self.groups: dict[bytes, int] = {}
        for user in passwd(texts.read(b"/etc/passwd", MOST).data or b"")[0]:
            if user.uid is not None:
                self.users.setdefault(user.name, user.uid)
        for one in group(texts.read(b"/etc/group", MOST).data or b"")[0]:
            if one.gid is not None:
                self.groups.setdefault(one.name, one.gid)
        self.users.setdefault(b"root", 0)
        self.groups.setdefault(b"root", 0)
