"""Legacy iptables in force: the blobs of getsockopt(2) as chains. Pure.

Source: linux/netfilter/x_tables.h, linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h. A
jump is an offset into the blob, which moves when any other chain does: it is read as the name of the
chain it leads to.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from .firewall import Piece, chain

HOOKS: Final = (b"PREROUTING", b"INPUT", b"FORWARD", b"OUTPUT", b"POSTROUTING")
VERDICTS: Final = {-1: b"DROP", -2: b"ACCEPT", -4: b"QUEUE", -5: b"RETURN"}
PROTOCOLS: Final = {1: b"icmp", 6: b"tcp", 17: b"udp", 58: b"ipv6-icmp", 132: b"sctp"}
INFO: Final = struct.Struct("=32sI5I5III")  # struct ipt_getinfo


class Layout(NamedTuple):
    """struct ipt_entry or ip6t_entry: where its parts are. `head` is struct ipt_ip or ip6t_ip."""

    family: int
    head: int
    offsets: int
    size: int


V4: Final = Layout(socket.AF_INET, 84, 88, 112)
V6: Final = Layout(socket.AF_INET6, 136, 140, 168)


class Info(NamedTuple):
    """struct ipt_getinfo: `hooks` and `underflows` are offsets by hook, None where it has none."""

    hooks: tuple[int | None, ...]
    underflows: tuple[int | None, ...]
    size: int


def info(data: bytes) -> Info | None:
    """struct ipt_getinfo; None when it is cut short."""
    if len(data) < INFO.size:
        return None
    _, valid, *numbers, _, size = INFO.unpack_from(data)
    hooks = tuple(at if valid >> hook & 1 else None for hook, at in enumerate(numbers[:5]))
    under = tuple(at if valid >> hook & 1 else None for hook, at in enumerate(numbers[5:10]))
    return Info(hooks, under, size)


class _Part(NamedTuple):
    name: bytes
    revision: int
    data: bytes


class _Entry(NamedTuple):
    at: int
    head: bytes
    matches: list[_Part]
    target: _Part


def chains(prefix: bytes, layout: Layout, about: Info, blob: bytes) -> list[Piece]:
    """The chains of one table; `prefix` says which (`iptables filter`)."""
    entries = list(_entries(layout, blob))
    names: dict[int, bytes] = {}
    hooks: dict[int, bytes] = {}
    for number, at in enumerate(about.hooks):
        if at is not None:
            names[at], hooks[at] = HOOKS[number], HOOKS[number]
    for before, entry in pairwise(entries):
        if before.target.name == b"ERROR":
            names[entry.at] = before.target.data.split(b"\0", 1)[0]
    found: list[Piece] = []
    rules: dict[int, list[tuple[bytes, bytes]]] = {}
    start, ends = -1, {at for at in about.underflows if at is not None}
    policies: dict[int, bytes] = {}
    for number, entry in enumerate(entries):
        if entry.target.name == b"ERROR":
            start = -1
            continue
        if entry.at in names:
            start = entry.at
            rules[start] = []
        if start < 0:
            continue
        following = entries[number + 1].at if number + 1 < len(entries) else len(blob)
        jump = _jump(entry, names, following)
        if entry.at in ends and start in hooks:
            policies[start] = jump
            start = -1
        elif start in hooks or jump != b"RETURN" or _ends_otherwise(entries, number):
            rules[start].append((_compared(layout, entry, jump), line(layout, entry, jump)))
    for at, lines in rules.items():
        hook = (
            b"hook %s policy %s" % (hooks[at].lower(), policies.get(at, b"?").lower()) if at in hooks else b""
        )
        found.append(chain(prefix + b" " + names[at], hook, lines))
    return found


def _ends_otherwise(entries: list[_Entry], number: int) -> bool:
    """Whether this is a rule, not the RETURN the kernel's tools put at the end of each user chain."""
    return number + 1 < len(entries) and entries[number + 1].target.name != b"ERROR"


def _entries(layout: Layout, blob: bytes) -> Iterator[_Entry]:
    at = 0
    while at + layout.size <= len(blob):
        target, following = struct.unpack_from("=HH", blob, at + layout.offsets)
        if not layout.size <= target <= following - 32 or at + following > len(blob):
            return
        matches, inner = [], at + layout.size
        while inner + 32 <= at + target:
            part, length = _part(blob, inner)
            if length < 32:
                break
            matches.append(part)
            inner += length
        yield _Entry(at, blob[at : at + layout.head], matches, _part(blob, at + target)[0])
        at += following


def _part(blob: bytes, at: int) -> tuple[_Part, int]:
    """struct xt_entry_match or xt_entry_target, and its length."""
    length, name, revision = struct.unpack_from("=H29sB", blob, at)
    return _Part(name.split(b"\0", 1)[0], revision, blob[at + 32 : at + max(length, 32)]), length


def _jump(entry: _Entry, names: dict[int, bytes], following: int) -> bytes:
    """Where a rule leads: a verdict, a chain, or the name of a target."""
    if entry.target.name:
        return entry.target.name
    verdict = int.from_bytes(entry.target.data[:4], "little", signed=True)
    if verdict < 0:
        return VERDICTS.get(verdict, b"%d" % verdict)
    return b"nowhere" if verdict == following else names.get(verdict, b"?")


def _compared(layout: Layout, entry: _Entry, jump: bytes) -> bytes:
    data = entry.target.data if entry.target.name else b""
    parts = [entry.head, *(b"%s/%d %s" % part for part in entry.matches), jump, data]
    return b"\0\0".join(parts)


def line(layout: Layout, entry: _Entry, jump: bytes) -> bytes:
    """A rule in the words of iptables(8), its matches by name only but for ports."""
    wide = 4 if layout is V4 else 16
    head, words = entry.head, []
    for option, at in ((b"-s ", 0), (b"-d ", wide)):
        address, mask = head[at : at + wide], head[at + 2 * wide : at + 3 * wide]
        if any(mask):
            bits = sum(byte.bit_count() for byte in mask)
            words.append(option + socket.inet_ntop(layout.family, address).encode() + b"/%d" % bits)
    names = 4 * wide
    for option, at in ((b"-i ", names), (b"-o ", names + 16)):
        if device := head[at : at + 16].split(b"\0", 1)[0]:
            words.append(option + device)
    (protocol,) = struct.unpack_from("=H", head, names + 64)
    words += [b"-p " + PROTOCOLS.get(protocol, b"%d" % protocol)] if protocol else []
    words += [_match(part) for part in entry.matches]
    return b" ".join([*words, b"-j " + jump])


def _match(part: _Part) -> bytes:
    if part.name in (b"tcp", b"udp") and len(part.data) >= 8:
        low, high = struct.unpack_from("=HH", part.data, 4)
        if (low, high) != (0, 0xFFFF):
            return b"--dport %d" % low if low == high else b"--dport %d:%d" % (low, high)
    return b"-m " + part.name
