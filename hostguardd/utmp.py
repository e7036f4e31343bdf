"""Records of logins as utmp(5) lays them out: utmp, wtmp, btmp and lastlog. Pure.

The rule kept: any bytes are records. What a record holds may be garbage (whoever is root may write
there), so every value is only a value, and what cannot be one of login(1)'s shows as a `Flaw`.

Sources: utmp(5), lastlog(8), and the structures of glibc. They come in two sizes, by whether times are
kept in 32 bits for the sake of 32-bit programs (x86, POWER, s390: 384 and 292 bytes) or not (ARM: 400, 296).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from .loglines import origin

EMPTY: Final = 0
RUN_LVL: Final = 1
BOOT_TIME: Final = 2
NEW_TIME: Final = 3
OLD_TIME: Final = 4
INIT_PROCESS: Final = 5
LOGIN_PROCESS: Final = 6
USER_PROCESS: Final = 7
DEAD_PROCESS: Final = 8
ACCOUNTING: Final = 9

SIZE: Final = 384
WIDE: Final = 400
LAYOUTS: Final = {
    SIZE: struct.Struct("=h2xi32s4s32s256s4xiII16s20x"),
    WIDE: struct.Struct("=h2xi32s4s32s256s4xqqq16s20x4x"),
}
"""The layout of a record by its size in bytes."""

LASTLOG: Final = {292: struct.Struct("=I32s256s"), 296: struct.Struct("=q32s256s")}
"""The layout of lastlog's slot of one uid, by its size in bytes."""

LATEST: Final = 1 << 32
"""Seconds since the epoch beyond which a time is garbage (the year 2106)."""

SAMPLE: Final = 64
"""Records by which the size of all is told where the length of the file leaves it open."""


class Login(NamedTuple):
    """One record. `kind` is ut_type, `at` seconds since the epoch; texts are bytes up to their first NUL.

    `address` is the remote address as the 16 bytes of ut_addr_v6.
    """

    kind: int
    pid: int
    line: bytes
    id: bytes
    user: bytes
    host: bytes
    session: int
    at: int
    micros: int
    address: bytes

    @property
    def origin(self) -> bytes:
        """Where it came from: the host by name, or the address; b"" for this host itself."""
        if self.host:
            return self.host
        if not any(self.address):
            return b""
        plain = self.address[:4] if not any(self.address[4:]) else self.address
        return str(ipaddress.ip_address(plain)).encode()

    @property
    def sane(self) -> bool:
        """Whether it is a record that some program wrote on purpose."""
        return EMPTY < self.kind <= ACCOUNTING and 0 < self.at < LATEST and self.pid >= 0


def stride(data: bytes, size: int | None = None) -> int:
    """The size of one record of a file that begins with `data` and has `size` bytes in all."""
    size = len(data) if size is None else size
    if size % SIZE and not size % WIDE:
        return WIDE
    if size % WIDE and not size % SIZE:
        return SIZE
    scores = {width: sum(one.sane for one in logins(data[: SAMPLE * width], width)) for width in LAYOUTS}
    return WIDE if scores[WIDE] > scores[SIZE] else SIZE


def logins(data: bytes, width: int | None = None) -> Iterator[Login]:
    """The whole records in `data`, in their order; a rest that is none is left out."""
    width = stride(data) if width is None else width
    layout = LAYOUTS[width]
    for kind, pid, line, id_, user, host, session, at, micros, address in layout.iter_unpack(
        memoryview(data)[: len(data) - len(data) % width]
    ):
        yield Login(
            kind, pid, _text(line), _text(id_), _text(user), _text(host), session, at, micros, address
        )


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def origin_of(one: Login) -> bytes:
    """From where a record says that somebody came: by address where it has one, as names are the other
    side's to choose."""
    if any(one.address) and not one.host.startswith(b":"):
        return origin(one._replace(host=b"").origin)
    return origin(one.host)


class Flaw(NamedTuple):
    """What is wrong with the record number `at` (from 0): `zeroed`, `garbled` or `backwards`."""

    at: int
    what: str


def flaws(records: Iterable[Login], slack: int = 86400) -> Iterator[Flaw]:
    """What programs that only append cannot have done: the traces of an editor.

    `zeroed`: nothing is left of a record. `garbled`: no type, no time. `backwards`: a time more than
    `slack` seconds before the one ahead of it, without a record of the clock being set or of a boot
    (a clock without a battery begins anew then).
    """
    newest = 0
    for number, one in enumerate(records):
        if one.kind == EMPTY and not (one.at or one.pid or one.line or one.user or one.host):
            yield Flaw(number, "zeroed")
            continue
        if not one.sane:
            yield Flaw(number, "garbled")
            continue
        if one.kind in (BOOT_TIME, NEW_TIME, OLD_TIME, RUN_LVL):
            newest = one.at
            continue
        if newest and one.at < newest - slack:
            yield Flaw(number, "backwards")
        newest = max(newest, one.at)


class Last(NamedTuple):
    """The last login of one uid, as lastlog(8) shows it. `at` 0: never."""

    uid: int
    at: int
    line: bytes
    host: bytes


def lasts(data: bytes, width: int, first: int = 0) -> Iterator[Last]:
    """The slots in `data`, which begins with that of uid `first`, but for those that hold nothing."""
    blank = bytes(width)
    for start in range(0, len(data) - width + 1, width):
        slot = data[start : start + width]
        if slot != blank:
            at, line, host = LASTLOG[width].unpack(slot)
            yield Last(first + start // width, at, _text(line), _text(host))


def lastlog_stride(size: int) -> int:
    """The size of one slot of a lastlog of `size` bytes: 292 unless only the other one fits."""
    return 296 if size % 292 and not size % 296 else 292
