"""`[[watch]]`, what is looked at: what such an entry accepts, and which files it may never quote. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import globs
from .readers import NAME, exclude_glob, name_glob, watched_path
from .validate import Mistake, boolean, choice, many, reads, show, some, whole

ATTRIBUTES = (
    "mode", "uid", "gid", "size", "mtime", "ctime", "inode", "links", "device",
    "target", "sha256", "xattrs", "flags",
)  # fmt: skip
"""Attributes of a file that a watch may leave out with `ignore`."""

SELECTED: Mapping[str, str] = {
    "program": "regular files that somebody may execute, set-id ones, and what begins as ELF or with #!",
    "page": "regular files that hold a page's code (<?php, <?=, <%) within their first bytes",
    "regular": "regular files",
    "odd": "entries of any type whose name is made to be overlooked (`fact.odd_name`)",
}
"""What a watch may be limited to with `select`."""


@dataclass(frozen=True, slots=True)
class Watch:
    """`[[watch]]`: what the files sensor looks at.

    `paths` are absolute and may hold `*`, `?`, `[…]` within a component; `~` or `~/…` stands for every
    account's home (`homes`), also in `exclude`. A later source switches an earlier watch off by giving it
    no paths. `depth` is how many levels below a folder are looked at (-1:
    all; 0: just that entry). `exclude` are globs: absolute ones match the whole path (`**` crosses
    folders, `*` does not), others a name. `ignore` names attributes that are
    not compared. `growing`: an append-only file, whose approved beginning must still hold.
    `diff`: alerts may quote a bounded unified diff of it (never of secrets).
    `select` (words of `SELECTED`) and `names` (globs of a name, upper and lower case alike) limit the
    watch: with either, only entries that one of them fits are facts. Folders always are, as they lead
    to what lies below.
    The most specific watch wins for a path: exact path, then deeper path, then later in the file.
    """

    name: str = field(metadata=reads(NAME))
    paths: tuple[bytes, ...] = field(metadata=reads(many(watched_path)))
    depth: int = field(default=-1, metadata=reads(whole(-1, 4096)))
    exclude: tuple[bytes, ...] = field(default=(), metadata=reads(many(exclude_glob)))
    ignore: frozenset[str] = field(
        default=frozenset(), metadata=reads(some(choice({name: name for name in ATTRIBUTES})))
    )
    growing: bool = field(default=False, metadata=reads(boolean))
    diff: bool = field(default=False, metadata=reads(boolean))
    select: frozenset[str] = field(
        default=frozenset(), metadata=reads(some(choice({word: word for word in SELECTED})))
    )
    names: tuple[bytes, ...] = field(default=(), metadata=reads(many(name_glob)))

    @property
    def selective(self) -> bool:
        """Whether only some of the entries it reaches are facts."""
        return bool(self.select or self.names)

    @property
    def of_programs(self) -> bool:
        """Whether every program that it reaches is a fact."""
        return not self.selective or not self.select.isdisjoint({"program", "regular"})


SECRETS: tuple[bytes, ...] = (
    b"/etc/shadow*", b"/etc/gshadow*", b"/etc/security/opasswd*", b"**/*.key", b"**/*.pem", b"**/*.p12",
    b"**/*.pfx", b"**/*.jks", b"**/*.keytab", b"**/ssh_host_*_key", b"**/.ssh/id_*", b"**/private/**",
    b"**/.gnupg/**", b"**/*secrets*", b"**/*htpasswd*", b"**/.pgpass", b"**/.netrc", b"**/.my.cnf",
    b"**/.*_history", b"/etc/wireguard/**", b"/etc/sssd/**", b"/etc/NetworkManager/system-connections/**",
)  # fmt: skip
"""What is never quoted, whatever a watch says."""

_SECRET = globs.compile_paths(SECRETS)
_SECRET_SAMPLES = (
    b"/etc/shadow",
    b"/etc/gshadow",
    b"/etc/ssh/ssh_host_ed25519_key",
    b"/root/.ssh/id_ed25519",
)
"""Secrets found on every host: a watch with `diff` that would reach one is a mistake worth telling."""


def secret(path: bytes) -> bool:
    """Whether the contents of `path` must stay on this host: it is never quoted in a diff."""
    return _SECRET.fullmatch(path) is not None


def _reaches(watch: Watch, path: bytes) -> bool:
    """Whether `path` lies within what `watch` names and does not exclude."""
    if any(
        globs.compile_path(glob).fullmatch(path if glob.startswith(b"/") else path.rpartition(b"/")[2])
        for glob in map(_roots, watch.exclude)
    ):
        return False
    parts = path.split(b"/")
    above = {b"/".join(parts[:count]) or b"/": len(parts) - count for count in range(1, len(parts) + 1)}
    return any(
        globs.compile_path(_roots(glob)).fullmatch(folder) and (watch.depth < 0 or levels <= watch.depth)
        for glob in watch.paths
        for folder, levels in above.items()
    )


def _roots(glob: bytes) -> bytes:
    """The glob for root's home, if it is one for every home."""
    return b"/root" + glob[1:] if glob == b"~" or glob.startswith(b"~/") else glob


def check_watch(watch: Watch) -> list[Mistake]:
    """What is wrong with a watch as a whole."""
    if not watch.diff:
        return []
    found = [path for path in _SECRET_SAMPLES if _reaches(watch, path)]
    found += [path for path in watch.paths if secret(path) and path not in found]
    return [
        (
            ".diff",
            f"true would quote {show(path.decode())} in alerts, allowed: paths of texts that hold no secrets",
        )
        for path in found
    ]
