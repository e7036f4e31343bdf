"""What sock_diag answers: built as the kernel builds it, read back, cut and garbled."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host import nlmsg, sockdiag
from hostguardd.host.live import Socket
from hostguardd.host.nlmsg import NLM_F_DUMP, Message
from hostguardd.host.sockdiag import QUERIES, SOCK_DIAG_BY_FAMILY
from tests.netlink import DONE, SEQUENCE, attribute, inet, message, unix


def read(proto: str, datagram: bytes) -> list[Socket]:
    part = nlmsg.part(datagram, SEQUENCE)
    return list(sockdiag.sockets(part.messages, QUERIES[proto], lambda index: b"eth%d" % index))


def asked(proto: str) -> bytes:
    return nlmsg.request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, 1, sockdiag.request(QUERIES[proto]))


def test_a_request_is_as_long_as_the_kernel_s_structures() -> None:
    # struct inet_diag_req_v2 is 56 bytes, struct unix_diag_req 24.
    assert len(asked("tcp")) == 16 + 56
    assert len(asked("unix")) == 16 + 24
    # struct nlmsghdr; NLM_F_REQUEST and NLM_F_DUMP.
    assert struct.unpack_from("=IHHII", asked("tcp")) == (16 + 56, 20, 0x301, 1, 0)


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
    bodies = [inet(socket.AF_INET, "0.0.0.0", 22, cookie, 0, 9) for cookie in (7, 8)]
    data = [Message(SOCK_DIAG_BY_FAMILY, body) for body in bodies]
    assert sockdiag.cookies(data, QUERIES["tcp"]) == struct.pack("=QQ", 7, 8)
    assert sockdiag.cookies([Message(SOCK_DIAG_BY_FAMILY, unix(7, 1))], QUERIES["unix"]) == struct.pack(
        "=Q", 7
    )


def test_messages_of_another_kind_are_no_sockets() -> None:
    for proto, body in (("tcp", inet(socket.AF_INET, "0.0.0.0", 22, 7, 0, 9)), ("unix", unix(7, 1))):
        other = message(body, SOCK_DIAG_BY_FAMILY + 1)
        assert len(read(proto, message(body) + other + DONE)) == 1
        found = nlmsg.part(other, SEQUENCE).messages
        assert sockdiag.cookies(found, QUERIES[proto]) == b""
        assert sockdiag.ports(found) == frozenset()


@given(st.binary(max_size=300))
def test_garbage_is_malformed_or_harmless(text: bytes) -> None:
    try:
        part = nlmsg.part(text, SEQUENCE)
    except nlmsg.Malformed:
        return
    for proto in QUERIES:
        list(sockdiag.sockets(part.messages, QUERIES[proto], lambda index: b"eth0"))


@given(st.integers(1, 200), st.binary(max_size=120))
def test_a_message_cut_anywhere_never_raises_anything_else(cut: int, tail: bytes) -> None:
    whole = message(unix(5, 6, attribute(0, b"/run/x"), attribute(7, b"\1\0\0\0"))) + DONE
    try:
        part = nlmsg.part(whole[:cut] + tail, SEQUENCE)
    except nlmsg.Malformed:
        return
    list(sockdiag.sockets(part.messages, QUERIES["unix"], lambda index: b""))
