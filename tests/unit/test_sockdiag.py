"""Netlink bytes: built here as the kernel builds them, read back, cut and garbled."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host import sockdiag
from hostguardd.host.live import Socket
from hostguardd.host.sockdiag import NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, QUERIES, SOCK_DIAG_BY_FAMILY

SEQUENCE = 77


def message(body: bytes, kind: int = SOCK_DIAG_BY_FAMILY, flags: int = 2, sequence: int = SEQUENCE) -> bytes:
    whole = struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body
    return whole + bytes(-len(whole) % 4)


def inet(family: int, address: str, port: int, cookie: int, uid: int, inode: int, index: int = 0) -> bytes:
    packed = socket.inet_pton(family, address).ljust(16, b"\0")
    return (
        struct.pack("=BBBB", family, 10, 0, 0)
        + struct.pack("!HH16s16s", port, 0, packed, bytes(16))
        + struct.pack("=IQIIIII", index, cookie, 0, 0, 128, uid, inode)
    )


def attribute(kind: int, value: bytes) -> bytes:
    whole = struct.pack("=HH", 4 + len(value), kind) + value
    return whole + bytes(-len(whole) % 4)


def unix(cookie: int, inode: int, *attributes: bytes) -> bytes:
    return struct.pack("=BBBBIQ", socket.AF_UNIX, 1, 10, 0, inode, cookie) + b"".join(attributes)


DONE = message(struct.pack("=i", 0), NLMSG_DONE)


def read(proto: str, datagram: bytes) -> list[Socket]:
    part = sockdiag.part(datagram, SEQUENCE)
    return list(sockdiag.sockets(part.data, QUERIES[proto], lambda index: b"eth%d" % index))


def test_a_request_is_as_long_as_the_kernel_s_structures() -> None:
    # struct inet_diag_req_v2 is 56 bytes, struct unix_diag_req 24.
    assert len(sockdiag.request(QUERIES["tcp"], 1)) == 16 + 56
    assert len(sockdiag.request(QUERIES["unix"], 1)) == 16 + 24


@given(
    st.sampled_from(
        [(socket.AF_INET, "tcp", st.ip_addresses(v=4)), (socket.AF_INET6, "tcp6", st.ip_addresses(v=6))]
    ),
    st.data(),
)
def test_inet_sockets_come_back_as_sent(
    case: tuple[int, str, st.SearchStrategy[object]], data: st.DataObject
) -> None:
    family, proto, addresses = case
    address = str(data.draw(addresses))
    port = data.draw(st.integers(0, 65535))
    cookie = data.draw(st.integers(0, 2**64 - 1))
    uid, inode = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.integers(0, 2**32 - 1))
    (found,) = read(
        proto, message(inet(family, address, port, cookie, uid, inode) + attribute(8, b"\1")) + DONE
    )
    spelled = socket.inet_ntop(family, socket.inet_pton(family, address)).encode()
    assert found == Socket(cookie, spelled, port, uid, inode)


def test_the_interface_a_socket_is_bound_to_is_part_of_its_address() -> None:
    (found,) = read("udp6", message(inet(socket.AF_INET6, "fe80::1", 546, 1, 0, 2, index=3)))
    assert found.address == b"fe80::1%eth3"


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"/run/a.sock\0", b"/run/a.sock"), (b"/run/a.sock", b"/run/a.sock"), (b"\0ab\0c", b"@ab\0c")],
)
def test_unix_names(name: bytes, shown: bytes) -> None:
    body = unix(5, 6, attribute(0, name), attribute(99, b"later"), attribute(7, struct.pack("=I", 1000)))
    assert read("unix", message(body) + DONE) == [Socket(5, shown, 0, 1000, 6)]


def test_cookies_are_those_of_the_sockets() -> None:
    data = [message(inet(socket.AF_INET, "0.0.0.0", 22, cookie, 0, 9)) for cookie in (7, 8)]
    assert sockdiag.cookies(data, QUERIES["tcp"]) == struct.pack("=QQ", 7, 8)
    assert sockdiag.cookies([message(unix(7, 1))], QUERIES["unix"]) == struct.pack("=Q", 7)


def test_the_end_of_a_dump_and_its_error() -> None:
    assert sockdiag.part(DONE, SEQUENCE) == ([], True, 0, False)
    assert sockdiag.part(message(struct.pack("=i", -2), NLMSG_DONE), SEQUENCE).error == 2
    assert sockdiag.part(message(struct.pack("=i", -13) + bytes(20), NLMSG_ERROR), SEQUENCE).error == 13


def test_a_table_that_moved_is_told() -> None:
    body = inet(socket.AF_INET, "0.0.0.0", 22, 1, 0, 9)
    assert sockdiag.part(message(body, flags=2 | NLM_F_DUMP_INTR) + DONE, SEQUENCE).interrupted
    assert not sockdiag.part(message(body) + DONE, SEQUENCE).interrupted


def test_answers_to_an_abandoned_request_are_dropped() -> None:
    old = message(inet(socket.AF_INET, "0.0.0.0", 1, 1, 0, 9), sequence=SEQUENCE - 1)
    end = message(struct.pack("=i", 0), NLMSG_DONE, sequence=SEQUENCE - 1)
    assert sockdiag.part(old + end, SEQUENCE) == ([], False, 0, False)


@given(st.binary(max_size=300))
def test_garbage_is_malformed_or_harmless(text: bytes) -> None:
    try:
        part = sockdiag.part(text, SEQUENCE)
    except sockdiag.Malformed:
        return
    for proto in QUERIES:
        list(sockdiag.sockets(part.data, QUERIES[proto], lambda index: b"eth0"))


@given(st.integers(1, 200), st.binary(max_size=120))
def test_a_message_cut_anywhere_never_raises_anything_else(cut: int, tail: bytes) -> None:
    whole = message(unix(5, 6, attribute(0, b"/run/x"), attribute(7, b"\1\0\0\0"))) + DONE
    try:
        part = sockdiag.part(whole[:cut] + tail, SEQUENCE)
    except sockdiag.Malformed:
        return
    list(sockdiag.sockets(part.data, QUERIES["unix"], lambda index: b""))
