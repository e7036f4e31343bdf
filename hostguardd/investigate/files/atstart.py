"""Settings by which the host makes accounts, keys and files of its own at each start, or lays others over its
own, and commands in settings of services that are no scripts. Pure.

The rule kept: what holds a secret is told by its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..interface import Verdict
from .deeds import Deed, deeds
from .lines import Option, counting, each

NOTABLE, SUSPICIOUS = Verdict.NOTABLE, Verdict.SUSPICIOUS

_COMES_BACK: Final = "What was removed comes back with the next start."

_UID: Final = re.compile(rb"\"uid\"\s*:\s*0*([0-9]+)")
_NAME: Final = re.compile(rb"\"userName\"\s*:\s*\"[^\"\n]{0,64}\"")


def records(text: bytes) -> Iterator[Option]:
    """Of userdb's drop-in records, nss-systemd(8): accounts that stand in no table."""
    name, uid = _NAME.search(text), _UID.search(text)
    root = uid is not None and uid[1] == b"0"
    clause = "is an account beside /etc/passwd" + (", with the rights of root" if root else "")
    yield Option(
        text.count(b"\n", 0, name.start()) + 1 if name else 1, name[0] if name else b"a record of userdb",
        clause, SUSPICIOUS if root else NOTABLE, "Nobody who reads /etc/passwd sees it.",
    )  # fmt: skip


def credentials(text: bytes) -> Iterator[Option]:
    """Of systemd.system-credentials(7): those that open an account or write settings."""
    if text:
        clause = "is obeyed at each start: by its name it sets keys, passwords or settings of the host"
        yield Option(1, b"(a secret)", clause, NOTABLE, _COMES_BACK)


_made = each(
    rb"\Au!?[-+=!]*\s+(?!root\s)\S+\s+\"?0+(?::|\"|\s|\Z)", "makes an account with the rights of root",
    SUSPICIOUS, _COMES_BACK,
)  # fmt: skip
_joined = each(
    rb"\Am\s+\S+\s+(?:root|wheel|sudo|admin|docker|lxd|disk|shadow)\s*\Z",
    "lets an account join a group of power",
    NOTABLE, _COMES_BACK,
)  # fmt: skip


def accounts(text: bytes) -> Iterator[Option]:
    """Of sysusers.d(5)."""
    for look in (_made, _joined):
        yield from look(text)


def extension(text: bytes) -> Iterator[Option]:
    """Of systemd-sysext(8): a tree or an image that is laid over /usr or /etc."""
    shown = b"(an image)" if b"\0" in text[:4096] else text.split(b"\n", 1)[0]
    clause = "belongs to files that are laid over the system's own"
    yield Option(1, shown, clause, NOTABLE, "The programs that run are not the ones that packages brought.")


keyscripts = each(
    rb"keyscript=(?!(?:/usr)?/lib/cryptsetup/scripts/[\w-]+(?:,|\s|\Z)|[\w-]+(?:,|\s|\Z))",
    "runs a program for a key at each start", NOTABLE, "It runs as root, and may keep the key.",
)  # fmt: skip
"""Of crypttab(5), as Debian has it."""


_ASSIGNED: Final = re.compile(rb"[\w.\[\]-]+\s*=")
_COMMAND: Final = re.compile(rb"(?i:(?:Pre|Post)(?:Up|Down)|command\[[\w.-]{1,64}\])\s*=\s*(\S.*)", re.DOTALL)


def _judged(number: int, line: bytes, found: list[Deed]) -> Iterator[Option]:
    # Libraries that services load have a look of their own.
    for deed in found:
        if deed.verdict is SUSPICIOUS and deed.technique != "T1574.006":
            means = "A service, or a start of the host, runs what its settings say."
            yield Option(number, line, f"runs something, and it {deed.clause}", SUSPICIOUS, means)
            return


def commands(text: bytes) -> Iterator[Option]:
    """Of settings of services whose lines may hold commands, in whatever grammar: only what no healthy host
    does. A path that is given to a variable is run by nobody yet."""
    for number, line in counting(text, joined=True):
        if command := _COMMAND.match(line):
            found = deeds(command[1])
        else:
            given = _ASSIGNED.match(line) is not None
            found = [
                deed for deed in deeds(line) if not (given and deed.clause.startswith("runs something "))
            ]
        yield from _judged(number, line, found)


def sourced(text: bytes) -> Iterator[Option]:
    """Of what a shell reads as its own, ifcfg-* say: `NAME=my /bin/card` runs a program."""
    for number, line in counting(text, joined=True):
        if _ASSIGNED.match(line):
            yield from _judged(
                number, line, deeds(line) if line.partition(b"=")[2][:1] not in (b'"', b"'") else []
            )
        else:
            yield from _judged(number, line, deeds(line))
