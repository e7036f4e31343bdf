"""What a netlink message is: the end of an answer, its errors, and what belongs to none."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host import nlmsg
from hostguardd.host.nlmsg import NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, Message, part
from tests.netlink import DONE, SEQUENCE, attribute, inet, message, unix


def test_the_end_of_a_dump_and_its_error() -> None:
    assert part(DONE, SEQUENCE) == ([], True, 0, False)
    assert part(message(struct.pack("=i", -2), NLMSG_DONE), SEQUENCE).error == 2
    assert part(message(struct.pack("=i", -13) + bytes(20), NLMSG_ERROR), SEQUENCE).error == 13


def test_a_table_that_moved_is_told() -> None:
    body = inet(socket.AF_INET, "0.0.0.0", 22, 1, 0, 9)
    assert part(message(body, flags=2 | NLM_F_DUMP_INTR) + DONE, SEQUENCE).interrupted
    assert not part(message(body) + DONE, SEQUENCE).interrupted


def test_answers_to_an_abandoned_request_are_dropped() -> None:
    old = message(inet(socket.AF_INET, "0.0.0.0", 1, 1, 0, 9), sequence=SEQUENCE - 1)
    end = message(struct.pack("=i", 0), NLMSG_DONE, sequence=SEQUENCE - 1)
    assert part(old + end, SEQUENCE) == ([], False, 0, False)


def test_errors_and_other_numbers() -> None:
    error = struct.pack("=IHHIIi", 20, NLMSG_ERROR, 0, SEQUENCE, 0, -1)
    assert part(error, SEQUENCE) == nlmsg.Part([], True, 1, False)
    assert part(error, SEQUENCE + 1) == nlmsg.Part([], False, 0, False)


@given(st.lists(st.tuples(st.integers(16, 65535), st.binary(max_size=40)), max_size=8))
def test_messages_come_back_as_sent(sent: list[tuple[int, bytes]]) -> None:
    whole = b"".join(message(body, kind) for kind, body in sent)
    assert part(whole, SEQUENCE) == ([Message(*one) for one in sent], False, 0, False)


@pytest.mark.parametrize("length", [0, 15, 21, 2**32 - 1])
def test_a_length_that_cannot_be_is_malformed(length: int) -> None:
    whole = struct.pack("=I", length) + message(b"body")[4:]
    with pytest.raises(nlmsg.Malformed):
        part(whole, SEQUENCE)


def read_once(text: bytes) -> None:
    """Malformed, or messages in which no byte is told twice."""
    try:
        found = part(text, SEQUENCE)
    except nlmsg.Malformed:
        return
    assert sum(nlmsg.HEADER + len(one.body) for one in found.messages) <= len(text)


@given(st.binary(max_size=300))
def test_garbage_is_malformed_or_harmless(text: bytes) -> None:
    read_once(text)


@given(st.integers(1, 200), st.binary(max_size=120))
def test_a_message_cut_anywhere_never_raises_anything_else(cut: int, tail: bytes) -> None:
    whole = message(unix(5, 6, attribute(0, b"/run/x"), attribute(7, b"\1\0\0\0"))) + DONE
    read_once(whole[:cut] + tail)
