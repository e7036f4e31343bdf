"""nftables in force: the kernel's nf_tables messages as tables, chains and sets. Pure.

Source: linux/netfilter/nf_tables.h. Rules are compared by all the bytes of their expressions but those
that traffic moves, and told in the words of nft(8) as far as those are simple.
"""

from __future__ import annotations

import hashlib
import re
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from . import nlmsg
from .firewall import Piece, chain
from .nlmsg import Message

SUBSYSTEM: Final = 10 << 8
NEWTABLE, GETTABLE, NEWCHAIN, GETCHAIN, NEWRULE, GETRULE, NEWSET, GETSET, NEWELEM, GETELEM, NEWGEN, GETGEN = (
    SUBSYSTEM | number for number in (0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16)
)

FAMILIES: Final = {1: b"inet", 2: b"ip", 3: b"arp", 5: b"netdev", 7: b"bridge", 10: b"ip6"}
HOOKS: Final = (b"prerouting", b"input", b"forward", b"output", b"postrouting", b"ingress")
NETDEV_HOOKS: Final = (b"ingress", b"egress")
TABLE_DORMANT: Final = 1
SET_ANONYMOUS, SET_TIMEOUT, SET_EVAL = 1, 0x10, 0x20

VERDICTS: Final = {0: b"drop", 1: b"accept", 3: b"queue", -1: b"continue", -2: b"break", -3: b"jump",
                   -4: b"goto", -5: b"return"}  # fmt: skip
COMPARISONS: Final = {0: b"", 1: b"!= ", 2: b"< ", 3: b"<= ", 4: b"> ", 5: b">= "}
PAYLOADS: Final = {
    (1, 12, 4): b"ip saddr", (1, 16, 4): b"ip daddr", (1, 9, 1): b"ip protocol", (1, 8, 16): b"ip6 saddr",
    (1, 24, 16): b"ip6 daddr", (1, 6, 1): b"ip6 nexthdr", (2, 0, 2): b"sport", (2, 2, 2): b"dport",
}  # fmt: skip
METAS: Final = {1: b"protocol", 3: b"mark", 4: b"iif", 5: b"oif", 6: b"iifname", 7: b"oifname", 10: b"skuid",
                11: b"skgid", 15: b"nfproto", 16: b"l4proto", 19: b"pkttype"}  # fmt: skip
PROTOCOLS: Final = {1: b"icmp", 2: b"igmp", 6: b"tcp", 17: b"udp", 58: b"icmpv6", 132: b"sctp"}
STATES: Final = ((2, b"established"), (4, b"related"), (8, b"new"), (1, b"invalid"), (64, b"untracked"))

MOVING: Final = {
    b"counter": None,
    b"last": None,
    b"quota": frozenset((1, 2)),
    b"dynset": frozenset((1, 3, 4, 5)),
}
"""Expressions with a state that traffic moves: the attributes that count, None for the name alone."""

_SERIAL = re.compile(rb"__(?:set|map)\d+")


class Expression(NamedTuple):
    """One expression of a rule: its name, its attributes by type, and all its bytes."""

    name: bytes
    has: Mapping[int, bytes]
    data: bytes


Key = tuple[int, bytes, bytes]


def request(family: int = 0, *attributes: bytes) -> bytes:
    """The body of a question: struct nfgenmsg and attributes. Family 0 asks for all."""
    return struct.pack("=BBH", family, 0, 0) + b"".join(attributes)


def elements_request(key: Key) -> bytes:
    """The body of GETELEM for one set."""
    family, table, name = key
    return request(family, nlmsg.attribute(1, table + b"\0"), nlmsg.attribute(2, name + b"\0"))


def generation(messages: Iterable[Message]) -> int:
    """The number that moves with every change of the rules; 0 when it was not told."""
    found = [nlmsg.table(m.body[4:]).get(1, b"") for m in messages if m.kind == NEWGEN]
    return int.from_bytes(found[0], "big") if found else 0


def _read(messages: Iterable[Message], kind: int) -> Iterator[tuple[int, dict[int, bytes]]]:
    for message in messages:
        if message.kind == kind and len(message.body) >= 4:
            yield message.body[0], nlmsg.table(message.body[4:])


def _number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "big")


def _signed(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def tables(messages: Iterable[Message]) -> list[Piece]:
    """The tables, and whether they are asleep."""
    return [
        Piece(
            b"table " + _named(family, nlmsg.text(has.get(1, b""))),
            b"dormant" if _number(has.get(2)) & TABLE_DORMANT else b"active",
        )
        for family, has in _read(messages, NEWTABLE)
    ]


def _named(family: int, *names: bytes) -> bytes:
    return b" ".join((FAMILIES.get(family, b"family%d" % family), *names))


def chains(messages: Iterable[Message], rules: Iterable[Message], sets: Mapping[Key, bytes]) -> list[Piece]:
    """The chains with their rules. `sets` has the digest of nameless sets' elements."""
    ruled: dict[Key, list[tuple[bytes, bytes]]] = {}
    for family, has in _read(rules, NEWRULE):
        table, name = nlmsg.text(has.get(1, b"")), nlmsg.text(has.get(2, b""))
        expressions = list(_expressions(has.get(4, b"")))
        compared = b"".join(_compared(one, family, table, sets) for one in expressions)
        ruled.setdefault((family, table, name), []).append((compared, line(expressions)))
    found = []
    for family, has in _read(messages, NEWCHAIN):
        table, name = nlmsg.text(has.get(1, b"")), nlmsg.text(has.get(3, b""))
        found.append(
            chain(_named(family, table, name), _hook(family, has), ruled.get((family, table, name), ()))
        )
    return found


def _hook(family: int, has: Mapping[int, bytes]) -> bytes:
    if 4 not in has:
        return b""
    hook = nlmsg.table(has[4])
    number, names = _number(hook.get(1)), NETDEV_HOOKS if family == 5 else HOOKS
    name = names[number] if number < len(names) else b"%d" % number
    devices = (
        [nlmsg.text(hook[3])] if 3 in hook else [nlmsg.text(v) for _, v in nlmsg.attributes(hook.get(4, b""))]
    )
    on = b" on " + b" ".join(sorted(devices)) if devices else b""
    policy = VERDICTS.get(_signed(has.get(5, b"\0\0\0\1")), b"?")
    kind = nlmsg.text(has.get(7, b"filter"))
    return b"%s hook %s%s priority %d policy %s" % (kind, name, on, _signed(hook.get(2, b"")), policy)


class Set(NamedTuple):
    """A named or nameless set. `steady`: no traffic adds to it and nothing in it times out."""

    key: Key
    anonymous: bool
    steady: bool


def sets(messages: Iterable[Message]) -> list[Set]:
    """The sets and maps."""
    found = []
    for family, has in _read(messages, NEWSET):
        flags = _number(has.get(3))
        key = (family, nlmsg.text(has.get(1, b"")), nlmsg.text(has.get(2, b"")))
        found.append(Set(key, bool(flags & SET_ANONYMOUS), not flags & (SET_TIMEOUT | SET_EVAL)))
    return found


def elements(messages: Iterable[Message]) -> list[bytes]:
    """The elements of one set: what each is, without what expires or counts; sorted."""
    found = []
    for _, has in _read(messages, NEWELEM):
        for _, one in nlmsg.attributes(has.get(3, b"")):
            parts = nlmsg.table(one)
            found.append(
                b"".join(b"%d:%s" % (which, parts[which]) for which in (1, 2, 3, 10) if which in parts)
            )
    return sorted(found)


def set_piece(key: Key, found: Sequence[bytes]) -> Piece:
    """A named set as a piece."""
    value = b"%d elements, %s" % (len(found), digest(found)[:16])
    shown = tuple(_element(one) for one in found[:40])
    return Piece(b"set " + _named(*key), value, shown)


def digest(found: Iterable[bytes]) -> bytes:
    """Digest of a set's elements."""
    return hashlib.sha256(b"\0\0".join(found)).hexdigest().encode()


def _element(one: bytes) -> bytes:
    head, _, rest = one.partition(b":")
    value = nlmsg.table(rest).get(1, b"") if head == b"1" else b""
    return _address(value) if value else b"end of a range"


def _address(value: bytes) -> bytes:
    if len(value) in (4, 16):
        return socket.inet_ntop(socket.AF_INET if len(value) == 4 else socket.AF_INET6, value).encode()
    return b"%d" % int.from_bytes(value, "big") if len(value) <= 2 else value.hex().encode()


# -- rules ---------------------------------------------------------------------------------------


def _expressions(data: bytes) -> Iterator[Expression]:
    for _, one in nlmsg.attributes(data):
        has = nlmsg.table(one)
        data = has.get(2, b"")
        yield Expression(nlmsg.text(has.get(1, b"")), nlmsg.table(data), data)


def _compared(one: Expression, family: int, table: bytes, sets: Mapping[Key, bytes]) -> bytes:
    """What of an expression decides about packets."""
    data = one.data
    if one.name in MOVING:
        kept = MOVING[one.name] or frozenset()
        data = b"".join(b"%d:%s" % (which, one.has[which]) for which in sorted(kept) if which in one.has)
    elif one.name == b"lookup":
        name = nlmsg.text(one.has.get(1, b""))
        shown = sets.get((family, table, name), b"") if _SERIAL.fullmatch(name) else name
        data = b"%s %s %s" % (shown, one.has.get(2, b""), one.has.get(5, b""))
    return b"%s(%s)" % (one.name, data)


def line(expressions: Sequence[Expression]) -> bytes:
    """A rule in the words of nft(8), or near them."""
    registers: dict[bytes, bytes] = {}
    words = [word for one in expressions if (word := _word(one, registers))]
    return b" ".join(words) or b"nothing"


def _word(one: Expression, registers: dict[bytes, bytes]) -> bytes:
    """What an expression says; loads of a register say nothing until it is compared."""
    has = one.has
    if one.name in (b"payload", b"meta", b"ct") and 1 in has:
        registers[has[1]] = _load(one)
        return b""
    if one.name == b"bitwise":
        what = registers.get(has.get(1, b""), b"?")
        mask = nlmsg.table(has.get(4, b"")).get(1, b"")
        states = int.from_bytes(mask, "little")
        named = [name for bit, name in STATES if states & bit]
        registers[has.get(2, b"")] = (
            what + b" " + b",".join(named) if what == b"ct state" else what + b"/" + mask.hex().encode()
        )
        return b""
    if one.name == b"cmp":
        what = registers.get(has.get(1, b""), b"?")
        value = nlmsg.table(has.get(3, b"")).get(1, b"")
        if what.startswith(b"ct state ") and not any(value):
            return what
        if what == b"nfproto":
            return b""  # what follows says it
        return what + b" " + COMPARISONS.get(_number(has.get(2)), b"? ") + _shown(what, value)
    if one.name == b"lookup":
        name = nlmsg.text(has.get(1, b""))
        return registers.get(has.get(2, b""), b"?") + b" in @" + name
    if one.name == b"range":
        ends = [nlmsg.table(has.get(which, b"")).get(1, b"") for which in (3, 4)]
        what = registers.get(has.get(1, b""), b"?")
        return what + b" " + b"-".join(_shown(what, end) for end in ends)
    if one.name == b"immediate":
        return _verdict(nlmsg.table(has.get(2, b"")).get(2, b""))
    if one.name in (b"match", b"target"):
        return one.name + b" " + nlmsg.text(has.get(1, b""))
    return b"" if one.name == b"counter" else one.name


def _verdict(data: bytes) -> bytes:
    has = nlmsg.table(data)
    if 1 not in has:
        return b""
    target = nlmsg.text(has.get(2, b""))
    return VERDICTS.get(_signed(has[1]), b"verdict %d" % _signed(has[1])) + (b" " + target if target else b"")


def _load(one: Expression) -> bytes:
    if one.name == b"payload":
        base, offset, length = (_number(one.has.get(which)) for which in (2, 3, 4))
        return PAYLOADS.get((base, offset, length), b"payload %d,%d,%d" % (base, offset, length))
    key = _number(one.has.get(2))
    if one.name == b"ct":
        return b"ct state" if key == 0 else b"ct %d" % key
    return METAS.get(key, b"meta %d" % key)


def _shown(what: bytes, value: bytes) -> bytes:
    if what in (b"iifname", b"oifname"):
        return nlmsg.text(value)
    if what in (b"l4proto", b"ip protocol", b"ip6 nexthdr"):
        return PROTOCOLS.get(value[0] if value else 0, b"%d" % int.from_bytes(value, "big"))
    if b"addr" in what:
        return _address(value)
    if what in (b"sport", b"dport"):
        return b"%d" % int.from_bytes(value, "big")
    if what in (b"skuid", b"skgid", b"mark", b"iif", b"oif"):
        return b"%d" % int.from_bytes(value, "little")
    return b"0x" + value.hex().encode()
