"""A RELP session: what is sent, and that nothing but the right answer counts, however its bytes are cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostguardd.sinks.relp_frames import ANSWER_LIMIT, LAST_NUMBER, RelpError, Session, State

YES = b"200 OK"
OFFERS = b"200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog"


def frame(number: int, data: bytes, command: bytes = b"rsp") -> bytes:
    return b"%d %b %d%b\n" % (number, command, len(data), b" " + data if data else b"")


def opened(first: int = 1) -> Session:
    session = Session(first)
    session.open()
    assert session.receive(frame(first, OFFERS)) == 0
    assert session.state is State.OPEN
    return session


def sent(count: int, first: int = 1) -> Session:
    session = opened(first)
    session.syslog([b"x"] * count)
    return session


def test_a_session_from_end_to_end() -> None:
    session = Session()
    assert session.open() == b"1 open 57 relp_version=0\nrelp_software=hostguardd,1\ncommands=syslog\n"
    session.receive(frame(1, OFFERS))
    frames = session.syslog([b"a", b"bc", "é\n".encode()])
    assert frames == b"2 syslog 1 a\n3 syslog 2 bc\n4 syslog 3 \xc3\xa9\n\n"
    assert session.waiting == 3
    assert session.receive(frame(2, YES) + frame(3, b"200") + b"4 rsp 6 20") == 2
    assert session.receive(b"0 OK\n") == 1
    assert session.close() == b"5 close 0\n"
    assert session.receive(b"5 rsp 0\n0 serverclose 0\n") == 0
    assert session.state is State.CLOSED


def test_the_length_of_a_frame_is_that_of_its_data() -> None:
    offer = Session().open()
    head, _, data = offer.partition(b" relp")
    assert int(head.split()[2]) == len(b"relp" + data) - 1


def test_numbers_begin_again_after_the_last() -> None:
    session = opened(LAST_NUMBER - 1)
    assert session.syslog([b"a", b"b"]) == b"%d syslog 1 a\n1 syslog 1 b\n" % LAST_NUMBER
    assert session.receive(frame(LAST_NUMBER, YES) + frame(1, YES)) == 2
    assert session.close() == b"2 close 0\n"


@pytest.mark.parametrize(
    ("offers", "told"),
    [
        (b"500 no", "refuses the offer of a session: 500 no"),
        (b"200 OK", "wants RELP version unnamed"),
        (b"200 OK\nrelp_version=7\ncommands=syslog", "wants RELP version 7"),
        (b"200 OK\nrelp_version=0\ncommands=eventlog", "does not offer to take syslog"),
        (b"200 OK\nrelp_version=0", "does not offer to take syslog"),
        (b"", "which is no RELP"),
        (b"OK", "which is no RELP"),
    ],
)
def test_a_server_that_does_not_suit(offers: bytes, told: str) -> None:
    session = Session()
    session.open()
    with pytest.raises(RelpError, match=re.escape(told)):
        session.receive(frame(1, offers))
    assert session.state is State.CLOSED


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (frame(3, YES), "answers number 3 where the answer to number 2 is due"),
        (frame(2, YES) + frame(2, YES), "answers number 2 where the answer to number 3 is due"),
        (frame(1, YES), "answers number 1 where"),
        (frame(99, YES), "answers number 99 where"),
        (frame(2, b"500 queue is full"), "refuses message 2: 500 queue is full"),
        (frame(2, b"500 \x1b[2J"), r"refuses message 2: 500 \x1b[2J"),
        (frame(2, b""), "which is no RELP"),
        (frame(2, b"yes"), "which is no RELP"),
        (frame(0, b"", b"serverclose"), "ends the session (serverclose)"),
        (frame(2, b"", b"serverclose"), "ends the session (serverclose)"),
        (frame(2, b"x", b"syslog"), "sends the command syslog"),
        (b"HTTP/1.1 400 Bad Request\r\n", "what is no RELP: HTTP/1.1 400"),
        (b"\x15\x03\x01\x00\x02\x02\x46", r"what is no RELP: \x15\x03\x01"),
        (b"2 rsp x", "what is no RELP"),
        (b"2 rsp 6\n", "what is no RELP"),
        (b"2  rsp 6 200 OK\n", "what is no RELP"),
        (b"2222222222 rsp", "what is no RELP"),
        (b"2 " + b"r" * 33, "what is no RELP"),
        (b"2 rsp 1234567890", "what is no RELP"),
        (b"-2 rsp 6 200 OK\n", "what is no RELP"),
        (b"2 rsp 999999999 ", "announces a frame of 999999999 bytes"),
        (b"2 rsp 5 200 OK\n", "sends a frame longer than it says"),
    ],
)
def test_answers_that_end_the_session(answer: bytes, told: str) -> None:
    session = sent(2)
    with pytest.raises(RelpError, match=re.escape(told)) as caught:
        session.receive(answer)
    assert str(caught.value).isprintable()
    assert session.state is State.CLOSED
    with pytest.raises(RelpError):
        session.syslog([b"x"])


def test_an_answer_to_nothing() -> None:
    session = sent(1)
    with pytest.raises(RelpError, match="everything is answered already"):
        session.receive(frame(2, YES) + frame(3, YES))


def test_after_the_end_nothing_is_believed() -> None:
    session = sent(3)
    with pytest.raises(RelpError):
        session.receive(b"nonsense\n")
    for later in (frame(2, YES), b"", frame(0, b"", b"serverclose")):
        with pytest.raises(RelpError, match="what is no RELP: nonsense"):
            session.receive(later)
    assert session.waiting == 3


def test_unknown_hints_and_long_words_are_nothing_to_us() -> None:
    session = sent(1)
    assert (
        session.receive(frame(0, b"soon", b"maintenance") + frame(2, b"200 " + b"very " * 1000 + b"OK")) == 1
    )


def test_what_is_kept_of_a_frame_that_is_not_whole_is_bounded() -> None:
    session = sent(1)
    session.receive(b"2 rsp %d " % ANSWER_LIMIT)
    session.receive(b"2" * ANSWER_LIMIT)
    with pytest.raises(RelpError, match="longer than it says"):
        session.receive(b"2")


def test_only_in_its_own_time() -> None:
    session = Session()
    with pytest.raises(RelpError):
        session.syslog([b"x"])
    with pytest.raises(RelpError):
        session.close()
    session.open()
    with pytest.raises(RelpError):
        session.open()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def outcome(pieces: list[bytes]) -> tuple[str, int, State, bool]:
    """What a session that waits for six answers makes of what is received."""
    session = sent(6)
    counted = 0
    try:
        for piece in pieces:
            counted += session.receive(piece)
    except RelpError as error:
        # What was counted in the piece that ends it is lost with it: those messages are sent again.
        assert counted <= 6 - session.waiting
        return str(error)[:16], session.waiting, session.state, True
    assert counted == 6 - session.waiting
    return "", session.waiting, session.state, False


answers = st.lists(
    st.one_of(
        st.integers(2, 8).map(lambda number: frame(number, YES)),
        st.integers(0, 3).map(lambda number: frame(number, b"", b"serverclose")),
        st.binary(max_size=12),
        st.sampled_from([frame(2, b"500 no"), frame(0, b"x", b"hint"), b"2 rsp", b"2 rsp 6 200 OK", b"\n"]),
    ),
    max_size=4,
)


@settings(deadline=None)
@given(st.integers(0, 7), answers, st.lists(st.integers(0, 300), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same(good: int, rest: list[bytes], places: list[int]) -> None:
    data = b"".join(frame(2 + number, YES) for number in range(good)) + b"".join(rest)
    assert outcome(cut(data, places)) == outcome([data])
    assert outcome([bytes([byte]) for byte in data]) == outcome([data])


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(LAST_NUMBER - 6, LAST_NUMBER))
def test_frames_can_be_read_back(messages: list[bytes], first: int) -> None:
    rest = opened(first).syslog(messages)
    number = first % LAST_NUMBER + 1
    for message in messages:
        head = b"%d syslog %d " % (number, len(message))
        assert rest.startswith(head + message + b"\n")
        rest = rest[len(head) + len(message) + 1 :]
        number = number % LAST_NUMBER + 1
    assert rest == b""


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_count_or_raise(data: bytes) -> None:
    outcome([data])
