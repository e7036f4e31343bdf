"""Histories of shells and their like: wiped, taken away, sent to nowhere, or kept from being written.

The theory. A shell that trims its history to HISTFILESIZE keeps most of it; programs replace their file by a
new one, in place or by rename, and for a moment it is empty. So a history was wiped when it lost most
of what it was *and* two looks in a row see that; which of its lines are there says nothing, as shells
drop duplicates. It has no archives: gone is gone, unless the account went too.

Homes on the network belong to other machines and may hang: they are Blind.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from functools import partial
from os import stat_result
from typing import Final, NamedTuple

from ..accounts import passwd
from ..host.files import FileHost
from ..host.mounts import MountMap
from ..host.texts import Mark, TextHost, mark, stamp
from ..model import Blind, LogFact, join, under
from .growing import Case, immutable
from .grown import KINDS

NAMES: Final = (
    b".bash_history", b".zsh_history", b".zhistory", b".histfile", b".sh_history", b".ash_history",
    b".ksh_history", b".history", b".python_history", b".mysql_history", b".psql_history",
    b".sqlite_history", b".rediscli_history", b".node_repl_history", b".lesshst", b".viminfo",
    b".local/share/fish/fish_history",
)  # fmt: skip

MINOR: Final = frozenset({b".lesshst", b".viminfo"})
"""Written anew with whatever was searched for last: only that they are gone or a link is told."""

KEPT: Final = 3
"""A history of which less than the third part is left was wiped."""

USUAL: Final = b"/home"
"""The folder whose entries are homes, whether or not passwd names them."""

PASSWD: Final = 4 * 1024**2
HOMES: Final = 5000

Stop = Callable[[], bool]


class User(NamedTuple):
    """An account, as far as histories go. `uid` None: only its home is known."""

    name: bytes
    uid: int | None
    home: bytes


def users(text: bytes) -> list[User]:
    """The accounts of a passwd(5) that have a home of their own; of several with the same, the first."""
    found: dict[bytes, User] = {}
    for one in passwd(text)[0]:
        home = one.home.rstrip(b"/")
        plain = home.startswith(b"/") and not {b"", b".", b".."} & set(home.split(b"/")[1:])
        if plain and b"\0" not in home and len(home) < 1024:
            found.setdefault(home, User(one.name, one.uid, home))
    return list(found.values())[:HOMES]


class History:
    """One file of one account."""

    def __init__(
        self,
        case: Case,
        uid: int | None,
        texts: TextHost,
        locked: Callable[[bytes], bool],
        *,
        known: bool,
    ) -> None:
        self.case = case
        self._locked = locked
        self.uid = uid
        self._texts = texts
        self._minor = case.path.rpartition(b"/")[2] in MINOR
        self._size = case.size if known else 0
        self._odd = case.state if known and case.state in ("linked", "replaced", "locked") else ""
        self.mark: Mark | None = None
        self._doubt: Mark | str | None = ""
        self._begun = False
        self.dirty = not known

    def moved(self) -> bool:
        """Whether a look may find anything new."""
        return not self._begun or self._doubt != "" or mark(self._texts.lstat(self.case.path)) != self.mark

    def look(self) -> None:
        """Find out what happened to it."""
        case = self.case
        seen = self._texts.lstat(case.path)
        now = mark(seen)
        if self._begun and now == self.mark and self._doubt == "":
            return
        self._begun, self.mark = True, now
        size = seen.st_size if seen is not None and stat.S_ISREG(seen.st_mode) else 0
        if seen is not None and not stat.S_ISREG(seen.st_mode):
            state = "linked" if stat.S_ISLNK(seen.st_mode) else "replaced"
            detail = self._texts.link(case.path) or KINDS.get(stat.S_IFMT(seen.st_mode), b"")
            self._strange(state, detail)
            return
        if size * KEPT < self._size and not (self._minor and seen is not None):
            if self._doubt == "" or self._doubt != now:
                self._doubt = now  # a shell may be just about to write it
                return
            state = "gone" if seen is None else "truncated" if size else "emptied"
            case.happened(state, lost=self._size - size)
            self.dirty = True
        self._doubt = ""
        self._size = size
        if seen is not None and (problem := self._unwritable(seen)):
            self._strange("locked", problem)
        else:
            self._odd = ""
        if abs(size - case.size) * 4 > case.size:
            self.dirty = True

    def checkpoint(self) -> None:
        """Bring the row up to what was seen last."""
        self.case.size, self.case.inode = self._size, self.mark[0] if self.mark else 0
        self.dirty = False

    def _strange(self, state: str, detail: bytes) -> None:
        if (state, detail) == (self._odd, self.case.detail):
            return
        self._odd, self._doubt = state, ""
        lost = 0 if state == "locked" else self._size
        self.case.happened(state, detail, lost)
        if state != "locked":
            self._size = 0
        self.dirty = True

    def _unwritable(self, seen: stat_result) -> bytes:
        """Why its owner cannot write to it; b"" when they can."""
        if not seen.st_mode & 0o200:
            return b"mode %04o" % stat.S_IMODE(seen.st_mode)
        if self.uid and seen.st_uid != self.uid and not seen.st_mode & 0o022:
            return b"owned by uid %d" % seen.st_uid
        return b"immutable" if self._locked(self.case.path) else b""


class Histories:
    """The histories of all accounts. `cases` are those there are, by path."""

    def __init__(self, texts: TextHost, files: FileHost, known: dict[bytes, Case]) -> None:
        self._texts = texts
        self._files = files
        self._known = known
        self._locked = partial(immutable, files)
        self._tables: tuple[Mark | None, int] | None = None
        self._homes: dict[bytes, int] = {}
        self._users: list[User] = []
        self._away: dict[bytes, Blind] = {}
        self.files: dict[bytes, History] = {}

    def moved(self) -> bool:
        """Whether an account, a home or a history is not as it was last seen."""
        if (mark(self._texts.lstat(b"/etc/passwd")), stamp(self._texts, USUAL)) != self._tables:
            return True
        if any(stamp(self._texts, home) != at for home, at in self._homes.items()):
            return True
        return any(one.moved() for one in self.files.values())

    def look(self, stop: Stop) -> list[Blind]:
        """Find out what happened to them."""
        tables = (mark(self._texts.lstat(b"/etc/passwd")), stamp(self._texts, USUAL))
        if tables != self._tables:
            text = self._texts.read(b"/etc/passwd", PASSWD)
            if text.data is None:
                return (
                    [Blind(LogFact.KIND, b"histories", f"/etc/passwd cannot be read: {text.problem}")]
                    if (text.problem)
                    else []
                )
            self._accounts(self._all(text.data))
            self._tables = tables
        for user in self._users:
            if stop():
                break
            at = stamp(self._texts, user.home)
            if at != self._homes.get(user.home):
                self._homes[user.home] = at
                self._home(user)
        for history in self.files.values():
            history.look()
        return sorted(self._away.values(), key=lambda blind: blind.scope)

    def _all(self, text: bytes) -> list[User]:
        """The accounts of passwd(5), and those of a directory service as far as their homes lie in /home."""
        found = users(text)
        homes = {user.home for user in found}
        for name in self._texts.names(USUAL, HOMES) or ():
            home = join(USUAL, name)
            seen = self._texts.lstat(home) if home not in homes else None
            if seen is not None and stat.S_ISDIR(seen.st_mode):
                found.append(User(name, None, home))
        return found

    def _accounts(self, found: list[User]) -> None:
        """Who has a home on this host. Files of accounts that are gone are no business of ours."""
        places = MountMap(self._files.mounts)
        away = {user: mount for user in found if (mount := places.away(user.home)) is not None}
        self._away = {
            mount.point: Blind(
                LogFact.KIND,
                user.home,
                f"it lies on another machine ({mount.fstype.decode('ascii', 'replace')} at "
                f"{mount.point.decode('utf-8', 'backslashreplace')})",
            )
            for user, mount in away.items()
        }
        self._users = [user for user in found if user not in away]
        homes = {user.home: user for user in self._users}
        self._homes = {home: at for home, at in self._homes.items() if home in homes}
        owners = sorted(homes, key=len, reverse=True)
        for path in list(self.files):
            if not any(under(path, home) for home in owners):
                del self.files[path]
        for path, case in self._known.items():
            if path not in self.files:
                home = next((home for home in owners if under(path, home)), None)
                if home is not None:
                    self.files[path] = History(case, homes[home].uid, self._texts, self._locked, known=True)

    def _home(self, user: User) -> None:
        """Something came to or left a home: which histories are there?"""
        for name in NAMES:
            path = join(user.home, name)
            if path not in self.files and self._texts.lstat(path) is not None:
                case = Case("histories", path, owner=user.name)
                self.files[path] = History(case, user.uid, self._texts, self._locked, known=False)
