"""Network interfaces by rtnetlink(7), and which of them hear what is not meant for them. Pure.

`ip link` and the flags of ioctl(2) do not show it when a packet socket switched promiscuous mode on;
the count that the kernel keeps (IFLA_PROMISCUITY) does. Some interfaces are promiscuous by nature:
ports of a bridge or switch, and what carries an interface that is. Their share is counted and taken
off, so that a listener on such a port still shows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from . import nlmsg
from .nlmsg import Message

RTM_NEWLINK: Final = 16
RTM_GETLINK: Final = 18
IFLA_IFNAME, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_EXT_MASK, IFLA_PROMISCUITY = 3, 5, 10, 18, 29, 30
INFO_KIND, INFO_SLAVE_KIND = 1, 4
RTEXT_FILTER_SKIP_STATS: Final = 8
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg

SWITCHES: Final = frozenset((b"bridge", b"openvswitch"))
TEAMS: Final = frozenset((b"bond", b"team"))
"""They pass their own mode on to their ports."""

RIDERS: Final = frozenset((b"vlan", b"macvlan", b"macvtap", b"ipvlan", b"ipvtap"))
"""They pass their own mode on to the interface they ride on."""


class Link(NamedTuple):
    """One interface. `promiscuity` counts who asked for it; `link` and `master` are numbers of others, 0
    none."""

    number: int
    name: bytes
    kind: bytes
    link: int
    master: int
    slave: bytes
    promiscuity: int


def request() -> bytes:
    """The body of RTM_GETLINK for a dump without counters, so that traffic changes no byte of it."""
    return bytes(16) + nlmsg.attribute(IFLA_EXT_MASK, struct.pack("=I", RTEXT_FILTER_SKIP_STATS))


def links(messages: Iterable[Message]) -> list[Link]:
    """The interfaces in the answer."""
    found = []
    for message in messages:
        if message.kind != RTM_NEWLINK or len(message.body) < _LINK.size:
            continue
        own = _LINK.unpack_from(message.body)[2]
        has = nlmsg.table(message.body[_LINK.size :])
        info = nlmsg.table(has.get(IFLA_LINKINFO, b""))
        kind, slave = (nlmsg.text(info.get(which, b"")) for which in (INFO_KIND, INFO_SLAVE_KIND))
        link, master, count = (
            _number(has.get(which, b"")) for which in (IFLA_LINK, IFLA_MASTER, IFLA_PROMISCUITY)
        )
        found.append(Link(own, nlmsg.text(has.get(IFLA_IFNAME, b"")), kind, link, master, slave, count))
    return found


def _number(value: bytes) -> int:
    return int(struct.unpack("=I", value)[0]) if len(value) == 4 else 0


def listening(found: Iterable[Link]) -> Mapping[bytes, int]:
    """Interfaces that were made promiscuous beyond what their place asks for: by how many."""
    links = list(found)
    by_number = {link.number: link for link in links}
    carried: dict[int, int] = {}
    for link in links:
        if link.kind in RIDERS and link.promiscuity and link.link != link.number:
            carried[link.link] = carried.get(link.link, 0) + 1
    extra = {}
    for link in links:
        natural = carried.get(link.number, 0) + (link.slave in SWITCHES)
        master = by_number.get(link.master)
        natural += master is not None and link.slave in TEAMS and master.promiscuity > 0
        if link.promiscuity > natural:
            extra[link.name] = link.promiscuity - natural
    return extra
