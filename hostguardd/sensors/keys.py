"""The keys sensor: who may come in by SSH without a password, into which account.

Looked at are the files that sshd would read for each account: what its configuration names, what it
would name by default, and everything in ~/.ssh that begins like it, as that is one line of configuration
away from being read. Accounts are those of /etc/passwd and, since a directory service may know more, every
folder in /home. What somebody else's machine answers for is not touched: it is Blind.

The rule: **the owner of a home lays no traps**: no FIFO is opened, no link followed onto a network mount,
nothing endless read; and of a file that holds no keys nothing is shown, as it may be anybody's.
"""

from __future__ import annotations

import errno
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from .. import authorized
from ..accounts import passwd
from ..host.files import FileHost
from ..host.mounts import MountMap
from ..host.texts import Mark, TextHost, mark
from ..model import Blind, Depth, KeyFact, Row, Sweep, join, split
from .accounts import AGAIN, MOST, PASSWD, SECOND, SHARE
from .interface import Request, limited

KIND: Final = KeyFact.KIND
HOME: Final = b"/home"
CONFIG: Final = b"/etc/ssh/sshd_config"
CONFIGS: Final = b"/etc/ssh/sshd_config.d"
PREFIX: Final = b"authorized_keys"
MOST_CONFIG: Final = 1024**2
MOST_KEYS: Final = 4 * 1024**2
"""Bytes of one file of keys that are read; a longer one is Blind."""

MOST_NAMES: Final = 10_000
MOST_REASON: Final = 500
MOST_DAMAGED: Final = 20
"""Damaged lines of one file that are facts one by one; of more only that there are more."""

Stop = Callable[[], bool]
Home = tuple[bytes, int | None, bytes]
"""(account, its uid if known, its home)"""


class Account(NamedTuple):
    """Where the keys of one account lie: `folder` is looked through, `files` are read if they exist.
    Neither if it is not to be `seen`."""

    folder: bytes
    files: tuple[bytes, ...]
    seen: bool = True


class Plan(NamedTuple):
    """What there is to look at. `places` leads from a path, or a folder above one, to the accounts it is
    about; `blinds` is what cannot be seen, `whole` whether an account that is missing is really gone."""

    accounts: dict[bytes, list[Account]]
    places: dict[bytes, set[bytes]]
    blinds: tuple[Blind, ...]
    whole: bool


class KeysSensor:
    """`Sensor` of KeyFacts, a scope for each account.

    `interval` is the seconds between two looks at the marks of the files. `mono` and `wall` give
    nanoseconds. Safe from any thread.
    """

    fact = KeyFact

    def __init__(
        self,
        texts: TextHost,
        files: FileHost,
        interval: float,
        mono: Callable[[], int],
        wall: Callable[[], int],
    ) -> None:
        self._texts = texts
        self._files = files
        self._interval = interval
        self._mono = mono
        self._wall = wall
        self._lock = threading.RLock()
        self._mounts = MountMap(list)
        self._known: set[bytes] = set()  # accounts that had keys, or are approved to have some
        self._marks: dict[bytes, Mark | None] = {}
        self._plan: Plan | None = None
        self._due = 0.0
        self._again: float | None = None

    # -- the sensor's contract -------------------------------------------------------------------

    def changed(self) -> bool:
        """Whether any file of keys, or what says where they lie, was touched since it was read."""
        with self._lock:
            now = self._now()
            if self._again is not None and now >= self._again:
                self._again = None
                return True
            if now < self._due:
                return False
            moved = not self._marks or any(self._mark(path) != old for path, old in self._marks.items())
            self._due = now + max(self._interval, SHARE * (self._now() - now))
            return moved

    def expect(self, rows: Iterable[Row]) -> None:
        """Remember whose keys are approved: when the account is gone, so are they."""
        with self._lock:
            self._known |= {row[0] for row in rows if isinstance(row[0], bytes)}

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """All accounts; in a QUICK sweep only those that have keys, or had some."""
        if stop():
            return
        began = self._wall()
        with self._lock:
            self._mounts = MountMap(self._files.mounts)
            self._marks = {}
            plan = self._plan = self._made()
            names = sorted(plan.accounts.keys() | (self._known if plan.whole else set()))
        if plan.blinds:
            yield Sweep(KeyFact, b"", depth, [], plan.blinds, began=began, ended=self._wall())
        for name in names:
            if stop():
                return
            found = self._account(name, plan, depth)
            if found is None:
                continue
            if depth is Depth.FULL or found.rows or found.blinds or name in self._known:
                yield found

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """The accounts that hints are about; all of them when it may be about any. Or keys of a scope."""
        asked: dict[bytes, Request | None] = {}
        everything = False
        for request in requests:
            scope = request.scope
            if not isinstance(scope, bytes):
                continue
            if not scope.startswith(b"/"):
                asked[scope] = request
                continue
            accounts = self._about(request)
            everything = everything or accounts is None
            asked |= dict.fromkeys(accounts or (), None)
        if not everything and not asked:
            return
        with self._lock:
            self._again = self._now() + AGAIN
            if not everything:
                self._mounts = MountMap(self._files.mounts)
            plan = self._plan or self._made()
        if everything:
            yield from self.sweep(Depth.FULL, stop)
            return
        for name in sorted(asked):
            if stop():
                return
            found = self._account(name, plan, Depth.FULL)
            if found is not None:
                asking = asked[name]
                yield found if asking is None else limited(found, asking)

    # -- marks -----------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._mono() / SECOND

    def _mark(self, path: bytes) -> Mark | None:
        """What of the entry at `path` moves when it is touched; no link is followed onto a network mount."""
        folder, name = split(path)
        try:
            folder = self._files.real(folder, self._mounts.away)
        except OSError:
            return None
        return mark(self._texts.lstat(join(folder, name)))

    def _remember(self, path: bytes) -> Mark | None:
        """The mark of `path`, which is looked at again from now on."""
        found = self._mark(path)
        with self._lock:
            self._marks[path] = found
        return found

    # -- where to look ---------------------------------------------------------------------------

    def _about(self, request: Request) -> set[bytes] | None:
        """The accounts that a hint is about; None: any."""
        folder = request.scope
        assert isinstance(folder, bytes)
        plan = self._plan
        if plan is None:
            return None
        paths = [folder] if request.keys is None else []
        paths += [join(folder, key) for key in request.keys or () if isinstance(key, bytes)]
        if folder == CONFIGS or any(path in (PASSWD, CONFIG, CONFIGS) for path in paths):
            return None
        found: set[bytes] = set()
        for path in paths:
            if folder == HOME and path not in plan.places:
                return None  # a home that was not there before
            found |= plan.places.get(path, set())
            if split(path)[1].startswith(PREFIX):
                found |= plan.places.get(folder, set())
        return found

    def _made(self) -> Plan:
        """Where to look, as things are now."""
        patterns = self._patterns()
        accounts: dict[bytes, list[Account]] = {}
        places: dict[bytes, set[bytes]] = {}
        blinds: dict[bytes, Blind] = {}
        homes, whole = self._homes(blinds)
        for name, uid, home in homes:
            if (blind := self._distant(home)) is not None:
                blinds[blind.scope] = blind
                accounts.setdefault(name, []).append(Account(b"", (), seen=False))
                continue
            files = tuple(dict.fromkeys(authorized.files(patterns, name, uid, home)))
            account = Account(join(home, b".ssh"), files)
            accounts.setdefault(name, []).append(account)
            for path in (account.folder, *account.files):
                while path != b"/":
                    places.setdefault(path, set()).add(name)
                    if path == home:
                        break
                    path = split(path)[0]
        return Plan(accounts, places, tuple(blinds[scope] for scope in sorted(blinds)), whole)

    def _homes(self, blinds: dict[bytes, Blind]) -> tuple[list[Home], bool]:
        """All accounts of passwd, and the folders in /home that are none of theirs; and whether these are
        all."""
        self._remember(PASSWD)
        text = self._texts.read(PASSWD, MOST)
        if text.data is None:
            reason = f"the table of accounts cannot be read: {text.problem or 'it is gone'}"
            blinds[PASSWD] = Blind(KIND, PASSWD, reason)
        found: list[Home] = []
        for user in passwd(text.data or b"")[0]:
            if user.home.startswith(b"/") and b"\0" not in user.home:
                home = b"/" + b"/".join(part for part in user.home.split(b"/") if part)
                found.append((user.name, user.uid, home))
        seen = {home for _, _, home in found}
        names: list[bytes] | None = None
        if (blind := self._distant(HOME)) is not None:
            blinds[blind.scope] = blind
        elif self._remember(HOME) is None:
            names = []
        else:
            names = self._texts.names(HOME, MOST_NAMES)
        found += [(name, None, home) for name in names or () if (home := join(HOME, name)) not in seen]
        return found, text.data is not None and names is not None

    def _distant(self, home: bytes) -> Blind | None:
        """Blind for a home that lies on a network mount."""
        mount = self._mounts.away(home)
        if mount is not None:
            reason = f"homes lie on a {mount.fstype.decode(errors='replace')} mount, which is not touched"
            return Blind(KIND, mount.point, reason)
        try:
            self._files.real(home, self._mounts.away)
        except OSError as error:
            if error.errno == errno.EREMOTE:
                return Blind(KIND, home, "its links lead to a network mount, which is not touched")
        return None

    def _patterns(self) -> tuple[bytes, ...]:
        """What AuthorizedKeysFile names or would name."""
        self._remember(CONFIGS)
        names = self._texts.names(CONFIGS, MOST_NAMES) or ()
        found: list[bytes] = []
        for path in (CONFIG, *(join(CONFIGS, name) for name in names if name.endswith(b".conf"))):
            self._remember(path)
            found += authorized.places(self._texts.read(path, MOST_CONFIG).data or b"")
        return tuple(dict.fromkeys((*authorized.USUAL, *found)))[: authorized.MOST_FILES]

    # -- what there is ---------------------------------------------------------------------------

    def _account(self, name: bytes, plan: Plan, depth: Depth) -> Sweep | None:
        """The keys of one account; None when it is not looked at at all."""
        began = self._wall()
        rows: dict[bytes, Row] = {}
        problems: list[str] = []
        for account in plan.accounts.get(name, ()):
            if not account.seen:
                return None
            files = dict.fromkeys((*account.files, *self._beside(account.folder, problems)))
            for path in files:
                rows |= self._file(name, path, problems)
        if rows:
            with self._lock:
                self._known.add(name)
        blinds = (Blind(KIND, name, "; ".join(dict.fromkeys(problems))[:MOST_REASON]),) if problems else ()
        found = [rows[key] for key in sorted(rows)]
        return Sweep(KeyFact, name, depth, found, blinds, began=began, ended=self._wall())

    def _beside(self, folder: bytes, problems: list[str]) -> Iterator[bytes]:
        """Further files in ~/.ssh that are named like those that sshd reads."""
        if self._remember(folder) is None or (place := self._place(folder, problems)) is None:
            return
        self._remember(place)
        for name in self._texts.names(place, MOST_NAMES) or ():
            if name.startswith(PREFIX):
                yield join(folder, name)

    def _place(self, path: bytes, problems: list[str]) -> bytes | None:
        """Where the links of `path` lead; None for a network mount or nowhere, which is a problem."""
        try:
            return self._files.real(path, self._mounts.away)
        except OSError as error:
            problems.append(f"{_said(path)} cannot be followed: {error.strerror}")
            return None

    def _file(self, account: bytes, path: bytes, problems: list[str]) -> dict[bytes, Row]:
        """The rows of one file of keys, by key."""
        place = self._place(path, problems)
        if place is None:
            return {}
        self._remember(path)
        self._remember(place)
        found = self._texts.lstat(place)
        if found is not None and stat.S_ISDIR(found.st_mode):
            return {}
        text = self._texts.read(place, MOST_KEYS + 1)
        if text.problem:
            problems.append(f"{_said(path)} cannot be read: {text.problem}")
        elif text.data is not None and len(text.data) > MOST_KEYS:
            problems.append(f"{_said(path)} is longer than {MOST_KEYS} bytes and was not read")
        elif text.data is not None:
            return key_rows(account, path, text.data)
        return {}


def _said(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def key_rows(account: bytes, path: bytes, text: bytes) -> dict[bytes, Row]:
    """The rows of one file of keys, by key. A key that stands there again is numbered: its options may
    be others."""
    keys, bad = authorized.parse(text)
    counts: Counter[bytes] = Counter()
    rows: dict[bytes, Row] = {}

    def add(
        what: bytes, role: str, line: int, type: bytes = b"", options: bytes = b"", comment: bytes = b""
    ) -> None:
        counts[what] += 1
        key = what + (b" (%d)" % counts[what] if counts[what] > 1 else b"") + b" in " + path
        rows[key] = (account, key, role, type, options, comment, path, line)

    for one in keys:
        role = "authority" if one.authority else "key"
        add(one.fingerprint, role, one.line, one.type, b"\n".join(one.options), one.comment)
    for line in bad[:MOST_DAMAGED]:
        add(b"damaged line " + line.mark, "damaged", line.line)
    if len(bad) > MOST_DAMAGED:
        add(b"more damaged lines", "damaged", bad[MOST_DAMAGED].line)
    return rows
