"""Messages of the kernel's process connector: linux/cn_proc.h, linux/connector.h. Pure.

Process names are bytes and are not read here at all: anybody may set theirs to anything. The rule: whatever
bytes come, the answer is an event or None.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

CN_IDX_PROC: Final = 1
CN_VAL_PROC: Final = 1
LISTEN: Final = 1
IGNORE: Final = 2
NLMSG_DONE: Final = 3

WHAT_AT: Final = 36
"""Where `what` stands in a datagram: after struct nlmsghdr (16) and struct cn_msg (20). The filter uses
it."""
DATA_AT: Final = 52

_HEAD = struct.Struct("=IHHIIIIIIHHIIQ")
_TWO = struct.Struct("=II")
_FOUR = struct.Struct("=IIII")
_new = tuple.__new__


class What(IntEnum):
    """Kinds of message that are read."""

    FORK = 0x1
    EXEC = 0x2
    UID = 0x4
    SID = 0x80
    EXIT = 0x80000000


FORK, EXEC, UID, SID, EXIT = (int(one) for one in What)


class ProcEvent(NamedTuple):
    """`at` is CLOCK_MONOTONIC in nanoseconds. `pid` is the process (thread group) it is about; `first` and
    `second` are: the parent for FORK; the real and the effective uid for UID."""

    what: int
    at: int
    pid: int
    first: int = 0
    second: int = 0


def event(datagram: bytes) -> ProcEvent | None:
    """One message; None for what is about a thread alone, of another kind, or cut short."""
    if len(datagram) < DATA_AT + 8:
        return None
    head = _HEAD.unpack_from(datagram)
    if head[5] != CN_IDX_PROC or head[6] != CN_VAL_PROC:
        return None
    what, at = head[11], head[13]
    if what == FORK:
        if len(datagram) < DATA_AT + 16:
            return None
        _, parent, thread, child = _FOUR.unpack_from(datagram, DATA_AT)
        return _new(ProcEvent, (what, at, child, parent, 0)) if thread == child else None
    if what in (EXEC, SID, EXIT):
        thread, pid = _TWO.unpack_from(datagram, DATA_AT)
        return _new(ProcEvent, (what, at, pid, 0, 0)) if thread == pid else None
    if what == UID:
        if len(datagram) < DATA_AT + 16:
            return None
        thread, pid, real, effective = _FOUR.unpack_from(datagram, DATA_AT)
        return _new(ProcEvent, (what, at, pid, real, effective)) if thread == pid else None
    return None


def subscribe(pid: int, operation: int = LISTEN) -> bytes:
    """The request that starts (or ends) the messages. `pid` is the port id of the socket."""
    body = struct.pack("=IIIIHHI", CN_IDX_PROC, CN_VAL_PROC, 0, 0, 4, 0, operation)
    return struct.pack("=IHHII", 16 + len(body), NLMSG_DONE, 0, 0, pid) + body


def _word(value: int) -> int:
    """A number of the host as a filter loads it: in network order."""
    return int.from_bytes(struct.pack("=I", value), "big")


def filter_program() -> bytes:
    """Classic BPF that lets only what `event` reads through: of threads and of names there are many, and a
    message that is not delivered costs us nothing. struct sock_filter, linux/filter.h, linux/bpf_common.h.
    """
    load, copy, equal, equal_x, give = 0x20, 0x07, 0x15, 0x1D, 0x06  # LD|W|ABS, TAX, JEQ|K, JEQ|X, RET|K
    program = [
        (load, 0, 0, WHAT_AT),
        (equal, 4, 0, _word(FORK)),  # to 6
        (equal, 7, 0, _word(EXEC)),  # to 10
        (equal, 6, 0, _word(UID)),
        (equal, 5, 0, _word(SID)),
        (equal, 4, 8, _word(EXIT)),  # else to 14
        (load, 0, 0, DATA_AT + 8),  # FORK: the child's two
        (copy, 0, 0, 0),
        (load, 0, 0, DATA_AT + 12),
        (equal_x, 5, 4, 0),  # to 15, else 14
        (load, 0, 0, DATA_AT),
        (copy, 0, 0, 0),
        (load, 0, 0, DATA_AT + 4),
        (equal_x, 1, 0, 0),  # to 15, else 14
        (give, 0, 0, 0),
        (give, 0, 0, 0xFFFFFFFF),
    ]
    return b"".join(struct.pack("=HBBI", *one) for one in program)
