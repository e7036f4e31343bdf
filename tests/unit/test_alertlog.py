"""The alert log in ordinary weather; `verify` names the first wrong line of a log that was tampered with."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostguardd.errors import AlertLogError
from hostguardd.record import GENESIS, digest
from hostguardd.sections import AlertLogConfig
from hostguardd.store.alertlog import AlertLog, verify
from tests.alerts import IDENTITY, alert, check

PLAIN = AlertLogConfig(rotate=1 << 20, keep=4, reserve=0)
SMALL = AlertLogConfig(rotate=4000, keep=3, reserve=0)


def opened(folder: Path, config: AlertLogConfig = PLAIN, known: tuple[int, str] | None = None) -> AlertLog:
    return AlertLog(str(folder), config, IDENTITY, known)


def filled(folder: Path, count: int = 10, config: AlertLogConfig = PLAIN) -> tuple[int, str]:
    """A closed log of `count` lines; its head."""
    log = opened(folder, config)
    for number in range(count):
        log.append([alert(number)])
    log.close()
    return log.head


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "alerts.jsonl").read_bytes().splitlines(keepends=True)


def test_numbers_and_chain_run_through_batches_and_openings(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert log.head == (0, GENESIS)
    assert log.append([]) == []
    assert log.append([alert(1), alert(2)]) == [1, 2]
    log.close()
    log = opened(tmp_path)
    assert log.append([alert(3)]) == [3]
    records = [check(line.rstrip(b"\n")) for line in lines_of(tmp_path)]
    assert [record["event"]["sequence"] for record in records] == [1, 2, 3]
    chains = [GENESIS, *(digest(line[:-1]) for line in lines_of(tmp_path))]
    assert [record["hostguard"]["chain"] for record in records] == chains[:-1]
    assert log.head == (3, chains[-1])
    assert log.repaired == ""
    assert verify(str(tmp_path), log.head).ok


def test_modes_keep_others_out(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        filled(tmp_path / "log", 60, SMALL)
    finally:
        os.umask(before)
    for path in (tmp_path / "log").glob("alerts*.jsonl"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) & 0o027 == 0


def test_rotation_keeps_the_chain_and_the_newest_files(tmp_path: Path) -> None:
    head = filled(tmp_path, 60, SMALL)
    names = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert len(names) == 1 + SMALL.keep
    found = verify(str(tmp_path), head)
    assert found.ok, found.sentence
    assert (found.last, found.digest) == head
    assert found.first == int(names[0][7:19]) > 1
    assert json.loads((tmp_path / "alerts.pruned").read_text())["sequence"] == found.first - 1
    assert all(path.stat().st_size <= SMALL.rotate for path in tmp_path.glob("*.jsonl"))


def test_a_batch_larger_than_a_file_is_written_whole(tmp_path: Path) -> None:
    log = opened(tmp_path, SMALL)
    log.append([alert(0)])
    assert log.append([alert(number) for number in range(100)]) == list(range(2, 102))
    log.append([alert(0)])
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == [
        "alerts-000000000001.jsonl", "alerts-000000000002.jsonl", "alerts.jsonl"
    ]  # fmt: skip
    assert verify(str(tmp_path), log.head).lines == 102


def test_reading_starts_behind_a_number_in_whatever_file_it_lies(tmp_path: Path) -> None:
    head = filled(tmp_path, 60, SMALL)
    log = opened(tmp_path, SMALL)
    first = verify(str(tmp_path), head).first
    assert [number for number, _ in log.read()] == list(range(first, 61))
    for after in range(first - 1, 62):
        assert [number for number, _ in log.read(after)] == list(range(after + 1, 61))
    assert all(check(line)["event"]["sequence"] == number for number, line in log.read())


def test_a_reader_is_not_disturbed_by_rotation_and_sees_what_was_acknowledged(tmp_path: Path) -> None:
    log = opened(tmp_path, SMALL)
    log.append([alert(number) for number in range(4)])
    reader = log.read()
    assert next(reader)[0] == 1
    for number in range(60):
        log.append([alert(number)])
    assert [number for number, _ in reader] == [2, 3, 4]


def test_a_log_that_is_gone_goes_on_behind_the_number_the_store_knows(tmp_path: Path) -> None:
    head = filled(tmp_path)
    (tmp_path / "alerts.jsonl").unlink()
    log = opened(tmp_path, known=head)
    assert "number 10 was written: lines are lost" in log.take_repaired()
    assert log.take_repaired() == ""
    assert log.append([alert()]) == [11]
    found = verify(str(tmp_path), log.head)
    assert found.problem == "the beginning is missing: numbers 1 to 10"


def test_a_head_the_store_has_not_caught_up_with_is_no_loss(tmp_path: Path) -> None:
    head = filled(tmp_path)
    log = opened(tmp_path, known=(9, digest(lines_of(tmp_path)[8][:-1])))
    assert (log.head, log.repaired) == (head, "")


def test_a_last_line_that_is_not_what_was_written_is_said(tmp_path: Path) -> None:
    head = filled(tmp_path)
    _edit(tmp_path, lambda lines: [*lines[:-1], lines[-1].replace(b"Alert 9", b"Nothing")])
    log = opened(tmp_path, known=head)
    assert log.repaired == "line 10 of the alert log is not the line that was written"
    log.append([alert()])
    found = verify(str(tmp_path))
    assert (found.line, found.problem[:10]) == (10, "was edited")


def test_after_every_file_but_the_anchor_is_gone_numbers_still_go_on(tmp_path: Path) -> None:
    filled(tmp_path, 60, SMALL)
    for path in tmp_path.glob("*.jsonl"):
        path.unlink()
    anchor = json.loads((tmp_path / "alerts.pruned").read_text())["sequence"]
    assert opened(tmp_path).append([alert()]) == [anchor + 1]


def test_a_log_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fifo").mkdir()
    os.mkfifo(tmp_path / "fifo" / "alerts.jsonl")
    with pytest.raises(AlertLogError, match="is not a regular file"):
        opened(tmp_path / "fifo")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "alerts.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlertLogError, match="cannot open alert log"):
        opened(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(AlertLogError, match="cannot open alert log"):
        opened(tmp_path / "file")


# verify


def _edit(folder: Path, change: Callable[[list[bytes]], list[bytes]], name: str = "alerts.jsonl") -> None:
    path = folder / name
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def _forged(lines: list[bytes]) -> list[bytes]:
    """A line put in behind the fifth that follows it as it should."""
    chain = json.loads(lines[5])["hostguard"]["chain"].encode()
    assert chain == digest(lines[4][:-1]).encode()
    return [*lines[:5], lines[5].replace(b"Alert 5", b"Forgery"), *lines[5:]]


def _number(line: bytes, old: int, new: int) -> bytes:
    changed = line.replace(b'"sequence":%d,' % old, b'"sequence":%d,' % new)
    assert changed != line
    return changed


TAMPERED: list[tuple[str, Callable[[list[bytes]], list[bytes]], int, str]] = [
    ("edit", lambda it: [*it[:4], it[4].replace(b"Alert 4", b"Nothing"), *it[5:]], 5, "was edited"),
    ("edit the first", lambda it: [it[0].replace(b"Alert 0", b"Nothing"), *it[1:]], 1, "was edited"),
    (
        "edit the last",
        lambda it: [*it[:9], it[9].replace(b"Alert 9", b"Nothing")],
        10,
        "is not the line that was",
    ),
    (
        "edit the last but one",
        lambda it: [*it[:8], it[8].replace(b"Alert 8", b"Nothing"), it[9]],
        9,
        "was edited",
    ),
    (
        "edit a chain",
        lambda it: [*it[:4], it[4].replace(b'"chain":"', b'"chain":"0')[:-4] + b'"}}\n', *it[5:]],
        5,
        "",
    ),
    ("cut one", lambda it: [*it[:4], *it[5:]], 5, "lines are missing before it: number 5"),
    ("cut some", lambda it: [*it[:4], *it[7:]], 5, "lines are missing before it: numbers 5 to 7"),
    ("cut the beginning", lambda it: it[3:], 1, "the beginning is missing: numbers 1 to 3"),
    ("cut the end", lambda it: it[:7], 8, "the end of the log is missing: numbers 8 to 10"),
    ("cut the last", lambda it: it[:9], 10, "the end of the log is missing: number 10"),
    ("cut everything", lambda it: [], 0, "the log is empty, but 10 lines were written"),
    ("insert a copy", lambda it: [*it[:5], it[2], *it[5:]], 6, "has number 3 where 6 belongs"),
    ("repeat a line", lambda it: [*it[:5], it[4], *it[5:]], 5, "was put in"),
    ("insert a forgery", _forged, 6, "was put in"),
    ("swap two", lambda it: [*it[:4], it[5], it[4], *it[6:]], 5, "has number 6 where 5 belongs"),
    ("move one to the end", lambda it: [*it[:4], *it[5:], it[4]], 5, "lines are missing before it: number 5"),
    ("renumber", lambda it: [*it[:4], _number(it[4], 5, 7), *it[5:]], 5, "has number 7 where 5 belongs"),
    ("renumber the first", lambda it: [_number(it[0], 1, 2), *it[1:]], 1, "the beginning is missing"),
    ("renumber the last", lambda it: [*it[:9], _number(it[9], 10, 12)], 10, ""),
    ("tear", lambda it: [*it[:9], it[9][:40]], 10, "is torn"),
    ("break", lambda it: [*it[:4], it[4][:40] + b"\n", *it[5:]], 5, "is not JSON"),
    ("empty line", lambda it: [*it[:4], b"\n", *it[4:]], 5, "is not JSON"),
    ("zeros", lambda it: [*it[:4], b"\0" * 4096 + b"\n", *it[4:]], 5, "is not JSON"),
    ("not ours", lambda it: [*it[:4], b'{"a":1}\n', *it[4:]], 5, "is not an alert"),
]


@pytest.mark.parametrize(
    ("change", "line", "says"), [case[1:] for case in TAMPERED], ids=[case[0] for case in TAMPERED]
)
def test_verify_names_the_first_wrong_line(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], line: int, says: str
) -> None:
    head = filled(tmp_path)
    assert verify(str(tmp_path), head).ok
    _edit(tmp_path, change)
    found = verify(str(tmp_path), head)
    assert not found.ok
    assert (found.file, found.line) == ("alerts.jsonl", line), found.sentence
    assert says in found.problem
    assert found.sentence.startswith("alerts.jsonl")


@given(st.data())
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
def test_no_change_of_any_byte_goes_unnoticed(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "alerts.jsonl"
    if not path.exists():
        filled(tmp_path, 6)
        path.with_suffix(".good").write_bytes(path.read_bytes())
    good = path.with_suffix(".good").read_bytes()
    lines = good.splitlines()
    head = (6, digest(lines[-1]))
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != good[at]))
    path.write_bytes(good[:at] + bytes([byte]) + good[at + 1 :])
    found = verify(str(tmp_path), head)
    assert not found.ok
    hit = good[:at].count(b"\n") + 1
    assert found.line in (hit, hit + 1), "named is the line, or the one that lost its neighbour"


def test_verify_without_a_known_head_cannot_miss_what_was_cut_off(tmp_path: Path) -> None:
    filled(tmp_path)
    _edit(tmp_path, lambda lines: lines[:7])
    found = verify(str(tmp_path))
    assert (found.ok, found.lines, found.last) == (True, 7, 7)


def test_lines_behind_the_known_head_are_fine_and_one_may_be_in_the_making(tmp_path: Path) -> None:
    filled(tmp_path)
    known = (8, digest(lines_of(tmp_path)[7][:-1]))
    assert verify(str(tmp_path), known).last == 10
    with (tmp_path / "alerts.jsonl").open("ab") as file:
        file.write(b'{"@timestamp":"2')
    assert verify(str(tmp_path), known).ok
    assert verify(str(tmp_path)).problem.startswith("is torn")


def test_verify_looks_into_rotated_files(tmp_path: Path) -> None:
    head = filled(tmp_path, 30, SMALL)
    second = sorted(path.name for path in tmp_path.glob("alerts-*.jsonl"))[1]
    _edit(tmp_path, lambda lines: [lines[0], lines[1].replace(b"Alert", b"Bleat"), *lines[2:]], second)
    found = verify(str(tmp_path), head)
    assert (found.file, found.line) == (second, 2)
    (tmp_path / second).unlink()
    assert "lines are missing before it" in verify(str(tmp_path), head).problem


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("alerts.pruned", "{}", "what vouches for the lines rotated away is damaged"),
        ("alerts.pruned", '{"sequence": 1, "digest": "00"}', "the beginning is missing"),
        ("alerts-000000000001.jsonl", "rubbish\n", "is not JSON"),
    ],
)
def test_verify_holds_the_beginning_against_its_anchor(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    head = filled(tmp_path, 60, SMALL)
    (tmp_path / name).write_text(text)
    found = verify(str(tmp_path), head)
    assert says in found.problem
    assert found.file


def test_the_oldest_file_removed_by_hand_is_missed(tmp_path: Path) -> None:
    head = filled(tmp_path, 60, SMALL)
    oldest, *_ = sorted(tmp_path.glob("alerts-*.jsonl"))
    oldest.unlink()
    assert "the beginning is missing" in verify(str(tmp_path), head).problem


def test_a_file_under_a_wrong_name_is_named(tmp_path: Path) -> None:
    head = filled(tmp_path, 60, SMALL)
    newest = sorted(tmp_path.glob("alerts-*.jsonl"))[-1]
    newest.rename(tmp_path / "alerts-000000000999.jsonl")
    found = verify(str(tmp_path), head)
    assert (found.file, found.line) == ("alerts-000000000999.jsonl", 1)
    assert "but the file is named for 999" in found.problem


def test_an_empty_log_and_no_log(tmp_path: Path) -> None:
    opened(tmp_path / "log")
    assert verify(str(tmp_path / "log"), None).ok
    assert verify(str(tmp_path / "log"), (0, GENESIS)).ok
    assert verify(str(tmp_path / "none")).problem == "there is no such folder"
