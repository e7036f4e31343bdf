"""Reading the alert log on: growth, rotation, repair, a log begun anew; what is sent, in which order."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostguardd.envelope import entry
from hostguardd.forwarding.outgoing import Outgoing
from hostguardd.forwarding.tail import Tail
from hostguardd.model import Severity
from hostguardd.record import digest, sequence_of
from hostguardd.sections import AlertLogConfig
from hostguardd.store.alertlog import AlertLog
from hostguardd.store.chain import read, rotated_files
from hostguardd.store.cursors import START, Cursor, read_cursor, write_cursor
from tests.alerts import IDENTITY, alert

PLAIN = AlertLogConfig(rotate=1 << 20, keep=4, reserve=0)
SMALL = AlertLogConfig(rotate=4000, keep=100, reserve=0)


def opened(folder: Path, config: AlertLogConfig = PLAIN) -> AlertLog:
    return AlertLog(str(folder), config, IDENTITY)


def numbers(lines: list[bytes]) -> list[int]:
    return [entry(line).sequence for line in lines]


def rest(tail: Tail, most: int = 7) -> list[int]:
    """All that it reads until there is nothing more."""
    found: list[int] = []
    while lines := tail.read(most):
        found += numbers(lines)
    return found


def test_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    tail = Tail(str(tmp_path / "log"))
    assert tail.read(9) == []
    log = opened(tmp_path / "log")
    assert tail.read(9) == []
    log.append([alert(1), alert(2)])
    assert rest(tail) == [1, 2]
    log.append([alert(3)])
    assert rest(tail) == [3]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 12)), max_size=30), st.integers(0, 40))
def test_every_line_once_and_in_order_through_rotation(
    tmp_path: Path, steps: list[tuple[int, int]], after: int
) -> None:
    folder = tmp_path / "log"
    shutil.rmtree(folder, ignore_errors=True)
    log = opened(folder, SMALL)
    for number in range(40):
        log.append([alert(number)])
    tail = Tail(str(folder), after)
    found: list[int] = []
    for written, looked in steps:
        log.append([alert(number) for number in range(written)])
        if looked:
            found += numbers(tail.read(looked))
    found += rest(tail)
    assert found == list(range(after + 1, log.head[0] + 1))
    assert len(rotated_files(str(folder))) > 2
    log.close()
    tail.close()


def test_half_a_line_is_not_read(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([alert(1)])
    tail = Tail(str(tmp_path))
    assert rest(tail) == [1]
    with open(log.path, "ab") as file:
        file.write(b'{"@timestamp":"2026-')
    assert tail.read(9) == []
    log.append([alert(2)])  # the daemon takes what is not its own away first
    assert rest(tail) == [2]


def test_a_damaged_line_is_handed_over_as_it_is(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([alert(n) for n in range(4)])
    data = Path(log.path).read_bytes().split(b"\n")
    data[1] = b"x" * len(data[1])
    Path(log.path).write_bytes(b"\n".join(data))
    lines = Tail(str(tmp_path)).read(9)
    assert numbers(lines) == [1, 0, 3, 4]
    assert lines[1] == data[1]
    assert numbers(Tail(str(tmp_path), 3).read(9)) == [4]


@pytest.mark.parametrize("harm", ["removed", "replaced", "cut", "folder"])
def test_what_somebody_does_to_the_log_loses_nothing(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "log"
    log = opened(folder)
    log.append([alert(n) for n in range(5)])
    tail = Tail(str(folder))
    assert numbers(tail.read(3)) == [1, 2, 3]
    if harm == "removed":
        os.unlink(log.path)
    elif harm == "replaced":
        os.rename(log.path, folder / "elsewhere")
        Path(log.path).write_bytes(b"nothing of ours\n")
    elif harm == "cut":
        os.truncate(log.path, 0)
    else:
        shutil.rmtree(folder)
    seen = rest(tail)
    log.append([alert(6)])
    seen += rest(tail)
    assert [one for one in seen if one] == ([4, 5, 6] if harm != "cut" else [6])


def test_a_log_begun_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    first = opened(tmp_path / "log")
    first.append([alert(n) for n in range(9)])
    place = Cursor(*first.head)
    first.close()
    shutil.rmtree(tmp_path / "log")
    second = opened(tmp_path / "log")
    second.append([alert(n, message="another") for n in range(3)])
    tail = Tail(str(tmp_path / "log"), place.sequence, place.digest)
    assert rest(tail) == [1, 2, 3]
    assert tail.take_went_back()
    assert not tail.take_went_back()
    # Longer than the old one already: only the digest tells.
    second.append([alert(n, message="another") for n in range(20)])
    tail = Tail(str(tmp_path / "log"), place.sequence, place.digest)
    assert rest(tail) == list(range(1, 24))
    assert tail.take_went_back()


def test_a_place_in_the_log_is_found_again(tmp_path: Path) -> None:
    log = opened(tmp_path, SMALL)
    for number in range(60):
        log.append([alert(number)])
    for after, line in list(read(str(tmp_path), 0)):
        tail = Tail(str(tmp_path), after, digest(line))
        assert rest(tail) == list(range(after + 1, 61))
        assert not tail.take_went_back()


def test_lines_of_any_length(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([alert(1), alert(2, data={"filler": ["x" * 30_000] * 100}), alert(3)])
    assert rest(Tail(str(tmp_path))) == [1, 2, 3]


def test_a_log_begun_anew_under_our_eyes(tmp_path: Path) -> None:
    first = opened(tmp_path / "log")
    first.append([alert(n) for n in range(9)])
    tail = Tail(str(tmp_path / "log"))
    assert rest(tail) == list(range(1, 10))
    first.close()
    shutil.rmtree(tmp_path / "log")
    second = opened(tmp_path / "log")
    second.append([alert(n, message="another") for n in range(3)])
    assert rest(tail) == [1, 2, 3]
    assert tail.take_went_back()
    second.append([alert(n, message="another") for n in range(20)])
    assert rest(tail) == list(range(4, 24))


@pytest.mark.parametrize("foreign", [b"x\n", b"x" * 3000 + b"\n", b"\n\n"])
def test_foreign_bytes_that_are_taken_away_again(tmp_path: Path, foreign: bytes) -> None:
    log = opened(tmp_path)
    log.append([alert(1)])
    tail = Tail(str(tmp_path))
    found = rest(tail)
    for number in range(2, 8):
        with open(log.path, "ab") as file:
            file.write(foreign)
        found += rest(tail)
        log.append([alert(number)])
        found += rest(tail)
    assert [one for one in found if one] == list(range(1, 8))


def test_a_forged_number_leads_nowhere(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([alert(n) for n in range(3)])
    tail = Tail(str(tmp_path))
    found = rest(tail)
    forged = (
        Path(log.path).read_bytes().splitlines()[-1].replace(b'"sequence":3,', b'"sequence":999999999999,')
    )
    with open(log.path, "ab") as file:
        file.write(forged + b"\n")
    found += rest(tail)
    log.append([alert(4)])
    found += rest(tail)
    log.append([alert(5)])
    found += rest(tail)
    assert [one for one in found if one < 999999999999] == [1, 2, 3, 4, 5]


def test_what_was_read_and_then_written_otherwise_is_read_again(tmp_path: Path) -> None:
    """A write that did not reach the disk is taken back, and its numbers are used again."""
    log = opened(tmp_path)
    log.append([alert(n) for n in range(3)])
    size, head = log.size, log.head
    tail = Tail(str(tmp_path))
    log.append([alert(n, message="not on the disk") for n in range(3)])
    assert rest(tail) == [1, 2, 3, 4, 5, 6]
    os.truncate(log.path, size)
    log.size, log.head = size, head
    log.append([alert(n, message="on the disk") for n in range(9)])
    assert rest(tail) == list(range(4, 13))
    assert tail.take_went_back()


def test_what_is_written_otherwise_while_we_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    log.append([alert(1)])
    size, head = log.size, log.head
    tail = Tail(str(tmp_path))
    assert rest(tail) == [1]
    log.append([alert(2, message="not on the disk")])

    def meanwhile(line: bytes) -> int | None:
        if b"not on the disk" in line and log.head[0] == 2:
            os.truncate(log.path, size)
            log.size, log.head = size, head
            log.append([alert(2, message="it is on the disk"), alert(3)])
        return sequence_of(line)

    monkeypatch.setattr("hostguardd.forwarding.tail.sequence_of", meanwhile)
    assert rest(tail) == [2, 2, 3]


def test_a_log_that_is_cut_and_grows_past_our_place(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([alert(n) for n in range(3)])
    tail = Tail(str(tmp_path))
    assert rest(tail) == [1, 2, 3]
    os.truncate(log.path, 0)
    log.append([alert(n) for n in range(9)])
    assert rest(tail) == list(range(4, 13))


def test_a_line_of_no_size_at_all_is_not_kept(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([alert(1)])
    with open(log.path, "ab") as file:
        file.write(b"y" * 20_000_000 + b"\n")
    tail = Tail(str(tmp_path))
    assert max(map(len, tail.read(9) + tail.read(9))) < 5_000_000
    log.append([alert(2)])
    assert rest(tail) == [2]


# -- what is sent ------------------------------------------------------------------------------------


def graded(log: AlertLog, *severities: Severity) -> None:
    log.append([alert(n, severity=one) for n, one in enumerate(severities)])


def sent(out: Outgoing, most: int = 100) -> list[int]:
    batch = out.next(most)
    return [one.sequence for one in batch.entries] if batch else []


def test_only_what_is_loud_enough_is_sent_and_the_place_goes_on(tmp_path: Path) -> None:
    log = opened(tmp_path)
    graded(log, Severity.INFO, Severity.HIGH, Severity.LOW, Severity.CRITICAL, Severity.INFO)
    out = Outgoing(str(tmp_path), START, Severity.HIGH)
    batch = out.next(100)
    assert batch is not None
    assert [one.sequence for one in batch.entries] == [2, 4]
    assert batch.place == Cursor(5, log.head[1], 0)
    assert out.next(100) is None


def test_what_is_loud_overtakes_and_nothing_is_sent_twice_or_dropped(tmp_path: Path) -> None:
    log = opened(tmp_path)
    graded(log, *[Severity.HIGH if n % 10 == 9 else Severity.INFO for n in range(50)])
    out = Outgoing(str(tmp_path), START, Severity.INFO)
    assert sent(out, 5) == [1, 2, 3, 4, 5]
    ahead = out.loud(3)
    assert ahead is not None
    assert [one.sequence for one in ahead.entries] == [10, 20, 30]
    assert ahead.place == Cursor(5, ahead.place.digest, 30)
    again = Outgoing(str(tmp_path), ahead.place, Severity.INFO)  # after a restart
    for one in (out, again):
        others = sent(one, 30)
        assert others == [n for n in range(6, 36) if n not in (10, 20, 30)]
        assert sent(one, 30) == list(range(36, 51))


def test_the_overtaking_ends_when_the_others_have_caught_up(tmp_path: Path) -> None:
    log = opened(tmp_path)
    graded(log, Severity.INFO, Severity.HIGH)
    out = Outgoing(str(tmp_path), START, Severity.INFO)
    assert out.loud(9) is not None
    assert out.loud(9) is None
    batch = out.next(9)
    assert batch is not None
    assert [one.sequence for one in batch.entries] == [1]
    assert batch.place.ahead == 0
    graded(log, Severity.CRITICAL)
    ahead = out.loud(9)
    assert ahead is not None
    assert [one.sequence for one in ahead.entries] == [3]


def test_a_damaged_line_does_not_overtake(tmp_path: Path) -> None:
    log = opened(tmp_path)
    graded(log, *[Severity.HIGH if n % 5 == 4 else Severity.INFO for n in range(20)])
    lines = Path(log.path).read_bytes().split(b"\n")
    lines[6] = b"garbage"
    Path(log.path).write_bytes(b"\n".join(lines))
    out = Outgoing(str(tmp_path), START, Severity.INFO)
    ahead: list[int] = []
    while batch := out.loud(2):
        ahead += [one.sequence for one in batch.entries]
    assert ahead == [5, 10, 15, 20]
    assert sent(out) == [n if n != 7 else 0 for n in range(1, 21) if n % 5]


def test_a_cursor_that_is_damaged_is_none(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert read_cursor(folder, "central") == START
    write_cursor(folder, "central", Cursor(7, "ab", 9))
    assert read_cursor(folder, "central") == Cursor(7, "ab", 9)
    path = tmp_path / "central.cursor"
    for harm in (b"", b"{", b"[1]", b'{"sequence": true, "digest": "x", "ahead": 1}', b"x" * 9999):
        path.write_bytes(harm)
        assert read_cursor(folder, "central") == START
    path.unlink()
    os.mkfifo(path)
    assert read_cursor(folder, "central") == START
