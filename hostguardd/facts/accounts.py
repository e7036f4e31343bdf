"""Facts about who may come in and as whom: accounts, groups, the keys that open them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..fact import PLACE, Fact, path_traits

USERS = "users"
GROUPS = "groups"
DAMAGED = "damaged"

POWERFUL = frozenset(
    b"root wheel sudo admin adm docker podman lxd incus incus-admin libvirt libvirtd disk shadow kmem staff"
    b" systemd-journal google-sudoers".split()
)
"""Groups whose members are root or nearly so: by sudo, by the container engine, by the raw disk, by the
hashes of passwords, by what root finds in /usr/local; or who read what the logs hold."""

CLOSED = (b"nologin", b"false", b"sync", b"halt", b"shutdown")
"""Programs in the place of a shell that let nobody in. An empty field is /bin/sh: passwd(5)."""


@dataclass(frozen=True, slots=True)
class AccountFact(Fact):
    """One local account or group: a line of passwd(5) and shadow(5), or of group(5) and gshadow(5).

    `database` is `users`, `groups`, or `damaged` for lines of either that say nothing the system would
    understand (the scope); their `name` is the file and a mark of the line, `comment` what is wrong.

    `id` is the uid or gid; `gid`, `home` and `shell` are a user's. `comment` is a user's full name or a
    group's administrators. `password` is `none` (nothing is asked for), `locked` (it had one), `unset`
    (no password will do), `set`, or `nowhere` for a group without one; None where shadow cannot be read
    or has no line for it. `secret` is a digest of the name and the password's hash and says only that
    it is another one: it is never shown. `expires` is the day since the epoch, -1 for never. `groups` are
    the names of all groups of a user but the one that bears its own name, or those members of a group
    that are no local users; `twins` the other users of the same uid whose lines come first; both sorted,
    with commas. `subordinate` are the ranges of uids and gids that a user may use as its own in a user
    namespace (`uid 100000:65536`). `line` is where it stands.
    """

    database: str
    name: bytes
    id: int | None
    gid: int | None
    home: bytes
    shell: bytes
    comment: bytes
    password: str | None
    secret: bytes | None
    expires: int | None
    groups: bytes | None
    twins: bytes
    subordinate: bytes | None
    line: int

    KIND: ClassVar[str] = "account"
    KEY: ClassVar[tuple[str, ...]] = ("database", "name")
    QUICK: ClassVar[int] = 14
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"line"})
    SECRET: ClassVar[frozenset[str]] = frozenset({"secret"})
    TRAITS: ClassVar[frozenset[str]] = PLACE | {
        "user", "group", "damaged", "directory", "root", "powerful", "passwordless", "password", "login",
        "twin",
    }  # fmt: skip

    @property
    def label(self) -> bytes:
        return self.name if self.database != GROUPS else b"group " + self.name

    def traits(self) -> frozenset[str]:
        if self.database == DAMAGED:
            return frozenset({"damaged"})
        found = {"user" if self.database == USERS else "group"}
        if self.name.startswith((b"+", b"-")):
            found.add("directory")
        if self.id == 0:
            found.add("root")
        if self.password == "none":
            found.add("passwordless")
        if self.password == "set":
            found.add("password")
        return frozenset(found | (self._user_traits() if self.database == USERS else self._group_traits()))

    def _user_traits(self) -> set[str]:
        found = path_traits(self.shell)
        if self.gid == 0 or POWERFUL & set((self.groups or b"").split(b",")):
            found.add("powerful")
        if not self.shell.endswith(tuple(b"/" + name for name in CLOSED)):
            found.add("login")
        if self.twins:
            found.add("twin")
        return found

    def _group_traits(self) -> set[str]:
        return {"powerful"} if self.name in POWERFUL and self.groups else set()


def names(field: bytes | None) -> list[bytes]:
    """The names in a field with commas."""
    return field.split(b",") if field else []


@dataclass(frozen=True, slots=True)
class KeyFact(Fact):
    """One public key that opens an account by SSH: a line of authorized_keys, sshd(8).

    `key` is its fingerprint as ssh-keygen(1) shows it (`SHA256:…`), or `damaged line` and a mark, and the
    file it stands in. `role` is `key`, `authority` (whoever has a certificate of it comes in) or `damaged`.
    `options` are one a line, as they are written. `line` is where it stands.
    """

    account: bytes
    key: bytes
    role: str
    type: bytes
    options: bytes
    comment: bytes
    path: bytes
    line: int

    KIND: ClassVar[str] = "sshkey"
    KEY: ClassVar[tuple[str, ...]] = ("account", "key")
    QUICK: ClassVar[int] = 8
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"line"})
    TRAITS: ClassVar[frozenset[str]] = frozenset({"authority", "damaged", "command", "environment"})

    @property
    def label(self) -> bytes:
        return self.account + b" " + self.key

    def traits(self) -> frozenset[str]:
        found = {self.role} if self.role != "key" else set()
        names = {option.partition(b"=")[0].lower() for option in self.options.split(b"\n")}
        return frozenset(found | {word for word in ("command", "environment") if word.encode() in names})
