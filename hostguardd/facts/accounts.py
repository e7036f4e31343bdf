"""Facts about who may come in and as whom: accounts, groups, the keys that open them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..fact import Fact

USERS = "users"
GROUPS = "groups"

POWERFUL = frozenset(
    b"root wheel sudo admin adm docker podman lxd libvirt disk shadow kmem systemd-journal".split()
)
"""Groups whose members are root or nearly so: by sudo, by the container engine, by the raw disk."""


@dataclass(frozen=True, slots=True)
class AccountFact(Fact):
    """One local account or group: a line of passwd(5) and shadow(5), or of group(5) and gshadow(5).

    `database` is `users` or `groups` (the scope). `id` is the uid or gid; `gid`, `home`, `shell` and
    `comment` are a user's. `password` is `none` (no password is asked for), `locked`, `set` or `unset`
    (never had one); None where shadow cannot be read. `secret` is a digest of the password's hash and
    says only that it is another one: it is never shown. `groups` are the names of a user's
    supplementary groups, or those members of a group that are no local users; sorted, with commas.
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
    groups: bytes

    KIND: ClassVar[str] = "account"
    KEY: ClassVar[tuple[str, ...]] = ("database", "name")
    QUICK: ClassVar[int] = 11
    SECRET: ClassVar[frozenset[str]] = frozenset({"secret"})
    TRAITS: ClassVar[frozenset[str]] = frozenset(
        {"user", "group", "root", "powerful", "passwordless", "login"}
    )

    @property
    def label(self) -> bytes:
        return self.name if self.database == USERS else b"group " + self.name

    def traits(self) -> frozenset[str]:
        if self.database != USERS:
            return frozenset({"group"} | ({"root"} if self.id == 0 else set()))
        found = {"user"}
        if self.id == 0:
            found.add("root")
        if self.gid == 0 or POWERFUL & set(self.groups.split(b",")):
            found.add("powerful")
        if self.password == "none":
            found.add("passwordless")
        if self.shell and not self.shell.endswith((b"/nologin", b"/false")):
            found.add("login")
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class KeyFact(Fact):
    """One public key that opens an account by SSH: a line of authorized_keys, sshd(8).

    `key` is its fingerprint as ssh-keygen(1) shows it (`SHA256:…`) and the file it stands in.
    """

    account: bytes
    key: bytes
    type: bytes
    options: bytes
    comment: bytes
    path: bytes

    KIND: ClassVar[str] = "sshkey"
    KEY: ClassVar[tuple[str, ...]] = ("account", "key")
    QUICK: ClassVar[int] = 6

    @property
    def label(self) -> bytes:
        return self.account + b" " + self.key
