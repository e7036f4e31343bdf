"""What the kernel tells, taken apart: audit records, process messages, file events; and any bytes at all."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from hostguardd.actors import auditrecords, fanevents, procevents
from hostguardd.actors.auditrecords import CWD, EOE, PATH, PROCTITLE, SYSCALL, Assembler, Event
from hostguardd.actors.deeds import absolute, of_event, of_mask
from hostguardd.actors.fanevents import FanEvent, Mask
from hostguardd.actors.model import Deed
from hostguardd.actors.procevents import EXEC, EXIT, FORK, SID, UID, ProcEvent
from tests.fakewitness import fan_name, fan_record, message

CALL = (
    b"arch=c000003e syscall=%d success=yes exit=0 a0=ffffff9c a1=55 a2=241 a3=1b6 items=%d ppid=4711 pid=4712"
    b" auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts1 ses=3"
    b' comm="chmod" exe="/usr/bin/chmod" subj=unconfined key=%s'
)
HEAD = b"audit(1700000000.123:%d): "


def records(
    serial: int = 7, syscall: int = 268, key: bytes = b'"hostguard"', *paths: bytes
) -> list[tuple[int, bytes]]:
    """One event as the kernel sends it."""
    head = HEAD % serial
    return [
        (SYSCALL, head + CALL % (syscall, len(paths), key)),
        (CWD, head + b'cwd="/root"'),
        *((PATH, head + b"item=%d %s" % (number, path)) for number, path in enumerate(paths)),
        (PROCTITLE, head + b"proctitle=63686D6F6400303634302F66"),
        (EOE, head),
    ]


def assembled(found: list[tuple[int, bytes]], take: Assembler | None = None) -> list[Event]:
    take = take or Assembler()
    return [event for one in found if (event := take.take(*one)) is not None]


NORMAL = b'name="/etc/passwd" inode=55 dev=fe:01 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL'


def test_an_event_is_put_together() -> None:
    (event,) = assembled(records(7, 268, b'"hostguard"', NORMAL))
    assert event.at == 1_700_000_000_123_000_000
    assert (event.pid, event.parent, event.uid, event.login, event.session) == (4712, 4711, 0, 1000, 3)
    assert (event.exe, event.comm, event.tty) == (b"/usr/bin/chmod", b"chmod", b"pts1")
    assert (event.cwd, event.title) == (b"/root", b"chmod\x000640/f")
    assert event.paths == (auditrecords.Path(0, b"/etc/passwd", 0xFE01, 55, b"NORMAL"),)
    assert event.whole


def test_two_events_whose_records_are_mixed() -> None:
    first, second = records(7, 268, b'"hostguard"', NORMAL), records(8, 90, b'"hostguard"', NORMAL)
    mixed = [one for pair in zip(first, second, strict=True) for one in pair]
    assert [(event.serial, event.syscall, len(event.paths)) for event in assembled(mixed)] == [
        (7, 268, 1),
        (8, 90, 1),
    ]


def test_only_what_has_our_key() -> None:
    assert assembled(records(7, 268, b'"other"', NORMAL)) == []
    assert assembled(records(7, 268, b"(null)", NORMAL)) == []
    assert assembled(records(7, 268, b'"hostguardian"', NORMAL)) == []
    several = b"\1".join((b"other", b"hostguard")).hex().upper().encode()
    assert len(assembled(records(7, 268, several, NORMAL))) == 1


def test_a_command_cannot_name_our_key() -> None:
    """`comm` may hold anything but a quote, a space and what is not printed: those make it hex."""
    found = records(7, 268, b'"other"', NORMAL)
    forged = found[0][1].replace(b'comm="chmod"', b'comm="key=hostguard"')
    assert assembled([(SYSCALL, forged), *found[1:]]) == []


def test_names_in_hex() -> None:
    path = b"name=2F6574632F610A62FF inode=55 dev=fe:01 nametype=NORMAL"
    (event,) = assembled(records(7, 268, b'"hostguard"', path))
    assert event.paths[0].name == b"/etc/a\nb\xff"


def test_records_that_were_lost() -> None:
    whole = records(7, 268, b'"hostguard"', NORMAL, NORMAL)
    take = Assembler()
    (event,) = assembled([one for one in whole if one != whole[2]], take)
    assert not event.whole
    assert take.broken == 1
    assert assembled(whole[1:]) == []  # without its first, nobody knows whose it is
    assert assembled(whole[:-1], take) == []
    take.forget()
    assert assembled(whole[-1:], take) == []


def test_few_events_are_kept_open() -> None:
    take = Assembler()
    for serial in range(1000):
        take.take(*records(serial)[0])
    assert take.broken == 1000 - auditrecords.MOST_OPEN


@given(
    st.lists(st.tuples(st.sampled_from([*auditrecords.KINDS, 1400]), st.binary(max_size=300)), max_size=20)
)
def test_any_bytes_are_records(found: list[tuple[int, bytes]]) -> None:
    assert all(isinstance(event, Event) for event in assembled(found))


@given(st.integers(0, 7), st.integers(0, 600), st.binary(max_size=8))
def test_a_damaged_event_raises_nothing(which: int, at: int, garbage: bytes) -> None:
    found = records(7, 82, b'"hostguard"', NORMAL, NORMAL)
    kind, body = found[which % len(found)]
    found[which % len(found)] = kind, body[:at] + garbage + body[at + len(garbage) :]
    for event in assembled(found):
        assert all(isinstance(named.deed, Deed) for named in of_event(event))


@given(st.binary(max_size=40))
def test_a_name_comes_through_whatever_it_is(name: bytes) -> None:
    plain = name and all(0x21 <= byte <= 0x7E and byte != 0x22 for byte in name)
    written = b'"' + name + b'"' if plain else name.hex().upper().encode() or b"(null)"
    assert auditrecords.decoded(written) == (name or None)


# -- deeds of system calls ---------------------------------------------------------------------------


def deeds(syscall: int, *paths: bytes) -> dict[object, Deed]:
    (event,) = assembled(records(7, syscall, b'"hostguard"', *paths))
    return {key: named.deed for named in of_event(event) for key in named.keys}


PARENT = b'name="/etc/" inode=2 dev=fe:01 nametype=PARENT'


def test_an_attribute_is_found_by_path_and_by_inode() -> None:
    assert deeds(268, NORMAL) == {b"/etc/passwd": Deed.ATTRIBUTES, (0xFE01, 55): Deed.ATTRIBUTES}


def test_a_descriptor_is_found_by_its_inode_alone() -> None:
    fchmod = b"name=(null) inode=55 dev=fe:01 nametype=NORMAL"
    assert deeds(91, fchmod) == {(0xFE01, 55): Deed.ATTRIBUTES}


def test_a_rename() -> None:
    old = b'name="/etc/a" inode=55 dev=fe:01 nametype=DELETE'
    new = b'name="/etc/b" inode=55 dev=fe:01 nametype=CREATE'
    found = deeds(82, PARENT, PARENT, old, new)
    assert found[b"/etc/b"] is Deed.MOVED_HERE
    assert found[0xFE01, 2, b"b"] is Deed.MOVED_HERE
    assert found[b"/etc/a"] & Deed.MOVED_AWAY


def test_an_open_to_write() -> None:
    assert deeds(257, NORMAL)[b"/etc/passwd"] == Deed.HELD | Deed.WRITTEN  # O_TRUNC in a2
    created = b'name="/etc/new" inode=56 dev=fe:01 nametype=CREATE'
    assert deeds(257, PARENT, created)[b"/etc/new"] == Deed.CREATED | Deed.HELD


def test_a_call_that_is_not_known_is_no_deed() -> None:
    assert deeds(9999, NORMAL) == {}


def test_where_a_relative_name_starts() -> None:
    (event,) = assembled(records(7, 268, b'"hostguard"', b'name="passwd" inode=55 dev=fe:01 nametype=NORMAL'))
    assert absolute(event, event.paths[0]) == b"/root/passwd"
    event.arguments = (3, 0, 0, 0)  # relative to a descriptor: nobody knows which folder that was
    assert absolute(event, event.paths[0]) is None
    event.syscall = 90  # chmod has no descriptor
    assert absolute(event, event.paths[0]) == b"/root/passwd"
    for name in (b"../etc/passwd", b""):
        assert absolute(event, event.paths[0]._replace(name=name)) is None


# -- process messages --------------------------------------------------------------------------------


def test_process_messages() -> None:
    assert procevents.event(message(FORK, 5, 10, 10, 20, 20)) == ProcEvent(FORK, 5, 20, 10)
    assert procevents.event(message(EXEC, 5, 20, 20)) == ProcEvent(EXEC, 5, 20)
    assert procevents.event(message(UID, 5, 20, 20, 1000, 0)) == ProcEvent(UID, 5, 20, 1000, 0)
    assert procevents.event(message(SID, 5, 20, 20)) == ProcEvent(SID, 5, 20)
    assert procevents.event(message(EXIT, 5, 20, 20)) == ProcEvent(EXIT, 5, 20)


def test_threads_are_no_processes() -> None:
    assert procevents.event(message(FORK, 5, 10, 10, 21, 20)) is None
    assert procevents.event(message(EXIT, 5, 21, 20)) is None
    assert procevents.event(message(UID, 5, 21, 20, 0, 0)) is None


def test_another_connector_is_not_ours() -> None:
    assert procevents.event(message(EXEC, 5, 20, 20, idx=2)) is None


@given(st.binary(max_size=120))
def test_any_bytes_are_a_message_or_none(data: bytes) -> None:
    found = procevents.event(data)
    assert found is None or isinstance(found, ProcEvent)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_the_filter_lets_through_what_is_read(what: int, words: list[int]) -> None:
    """The filter and the parser agree about every message: what one drops the other would not have read."""
    for kind in (what, FORK, EXEC, UID, SID, EXIT, 0, 0x200):
        datagram = message(kind, 5, *words)
        assert bool(_run(procevents.filter_program(), datagram)) is (procevents.event(datagram) is not None)


def _run(program: bytes, data: bytes) -> int:
    """What a filter gives, as the kernel would run it."""
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    a = x = at = 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        match operation:
            case 0x20:
                a = int.from_bytes(data[value : value + 4], "big")
            case 0x07:
                x = a
            case 0x15:
                at += yes if a == value else no
            case 0x1D:
                at += yes if a == x else no
            case _:
                return int(value)


# -- file events -------------------------------------------------------------------------------------


def test_a_file_event() -> None:
    data = fan_record(0x4, 20, fan_name(b"handle", b"a\xff\n")) + fan_record(0x4000, 0)
    assert fanevents.events(data) == [
        FanEvent(0x4, 20, (b"fsid1234", 1, b"handle"), b"a\xff\n"),
        FanEvent(0x4000, 0, None, b""),
    ]


def test_the_folder_among_other_records() -> None:
    pidfd = struct.pack("=BBHi", 4, 0, 8, 9)
    own = fan_name(b"other", b"", kind=1)
    (event,) = fanevents.events(fan_record(0x4, 20, own, fan_name(b"handle", b"a"), pidfd))
    assert (event.folder, event.name, event.pidfd) == ((b"fsid1234", 1, b"handle"), b"a", 9)


def test_another_version_is_not_read() -> None:
    assert fanevents.events(fan_record(0x4, 20, version=4)) == []


@given(st.binary(max_size=200))
def test_any_bytes_are_file_events(data: bytes) -> None:
    assert all(isinstance(one, FanEvent) for one in fanevents.events(data))


@given(st.integers(0, 150), st.binary(max_size=6))
def test_a_damaged_file_event_raises_nothing(at: int, garbage: bytes) -> None:
    data = fan_record(0x4, 20, fan_name(b"handle", b"name")) * 2
    fanevents.events(data[:at] + garbage + data[at + len(garbage) :])


def test_deeds_of_a_mask() -> None:
    assert of_mask(Mask.CREATE | Mask.CLOSE_WRITE) == Deed.CREATED | Deed.HELD
    assert of_mask(Mask.OPEN_EXEC) == Deed(0)
