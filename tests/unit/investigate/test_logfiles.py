"""What is read of the logs, and how: bounded, from the end, without a trace; lines taken apart in a hurry."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.investigate.logs.ledger import Where
from hostguardd.investigate.logs.logfiles import reading
from hostguardd.investigate.logs.passage import Passage
from hostguardd.investigate.scene import Options
from hostguardd.loglines import Line, parse
from hostguardd.tidings import tell
from tests.scenes import scene

NOW = 1_773_144_000  # 2026-03-10 12:00:00 UTC
FAILED = "Failed password for root from 203.0.113.9 port 4242 ssh2"


@pytest.fixture(autouse=True)
def _greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


class Heard(Passage):
    """Keeps the lines that were taken apart."""

    def __init__(self, path: bytes = b"/var/log/secure") -> None:
        super().__init__(path, NOW, NOW - 7 * 86400, 0, 5)
        self.heard: list[Line] = []

    def _line(self, line: Line, where: Where) -> None:
        self.heard.append(line)


HEADS = (
    "Mar 10 09:01:02 web1", "Mar  9 09:01:02 w.x",
    "2026-03-10T09:01:02.123456+00:00 web1", "2026-03-10T09:01:02Z h",
)  # fmt: skip
TAGS = (
    "sshd[7]: ", "sshd: ", "su(pam_unix)[9]: ", "sshd[7] ", "x sshd[7]: ", "sshd-session[12345]: ",
    "sshd[x]: ", "[sshd] ",
)  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("tag", TAGS)
def test_a_line_taken_apart_in_a_hurry_is_what_it_is_at_leisure(head: str, tag: str) -> None:
    for text in (
        FAILED,
        "Invalid user a: b[3]: c from 203.0.113.9",
        ": [1]: Failed password",
        FAILED + "\x1b[2J",
    ):
        raw = f"{head} {tag}{text}".encode()
        passage = Heard()
        passage.lines(raw)
        for line in passage.heard:
            assert tell(line) == tell(parse(raw, NOW))
            assert line == parse(raw, NOW)


@given(st.binary(max_size=300), st.sampled_from(HEADS), st.sampled_from(TAGS))
def test_any_bytes_are_lines(noise: bytes, head: str, tag: str) -> None:
    passage = Passage(b"/var/log/secure", NOW, NOW - 86400, 0, 5)
    passage.lines(head.encode() + b" " + tag.encode() + noise)
    passage.lines(noise)
    passage.close()


def log(root: Path, name: str = "secure") -> Path:
    (root / "var/log").mkdir(parents=True, exist_ok=True)
    return root / "var/log" / name


def lines(count: int, since: int, until: int) -> bytes:
    step = (since - until) / count
    return b"".join(
        time.strftime("%b %e %H:%M:%S", time.gmtime(NOW - since + n * step)).encode()
        + f" web1 sshd[{n}]: {FAILED}\n".encode()
        for n in range(count)
    )


def test_the_end_of_a_log_of_twenty_gigabytes(tmp_path: Path) -> None:
    path = log(tmp_path)
    with path.open("wb") as file:
        file.truncate(20 << 30)
        file.seek(20 << 30)
        file.write(b"\n" + lines(1000, 86400, 60))
    began = time.monotonic()
    where = scene(os.fsencode(tmp_path), now=NOW)
    found = where.once(reading)
    assert time.monotonic() - began < 20
    assert sum(one.count for one in found.passages[b"/var/log/secure"].refusals.sources.values()) == 1000
    assert found.bytes <= 65 << 20
    assert where.once(reading) is found, "once for all checks"


def test_only_the_days_are_read(tmp_path: Path) -> None:
    log(tmp_path).write_bytes(lines(40_000, 100 * 86400, 10 * 86400) + lines(1000, 86400, 60))
    found = scene(os.fsencode(tmp_path), now=NOW).once(reading)
    assert found.bytes < 400_000
    passage = found.passages[b"/var/log/secure"]
    assert passage.pulse.lines == 1000
    (source,) = passage.refusals.sources.values()
    assert source.where == Where(b"/var/log/secure", 41_000), "lines are counted from the file's first"


def test_the_same_day_of_last_year_is_not_today(tmp_path: Path) -> None:
    year = 365 * 86400
    text = lines(500, year - 3600, year - 1800)  # within this year's days, by its month and day
    text += lines(9000, year - 2 * 86400 * 30, 8 * 86400) + lines(10, 3600, 60)
    log(tmp_path).write_bytes(text)
    found = scene(os.fsencode(tmp_path), now=NOW).once(reading)
    assert found.passages[b"/var/log/secure"].pulse.lines == 10


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    path = log(tmp_path)
    path.write_bytes(lines(10, 3600, 60))
    os.utime(path, (1_000_000_000, 1_600_000_000))
    before = path.stat()
    scene(os.fsencode(tmp_path), now=NOW).once(reading)
    after = path.stat()
    assert (after.st_atime_ns, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_atime_ns, before.st_mtime_ns, before.st_ctime_ns,
    )  # fmt: skip


def test_what_time_does_not_suffice_for_is_said(tmp_path: Path) -> None:
    log(tmp_path).write_bytes(lines(10, 3600, 60))
    where = scene(os.fsencode(tmp_path), now=NOW, options=Options(patience=-1))
    where.begin()
    found = where.once(reading)
    assert found.unseen[0].reason == "there was no time left for it"


def test_a_flood_of_names_fills_no_memory_and_loses_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostguardd.investigate.logs.ledger.SOURCES", 50)
    monkeypatch.setattr("hostguardd.investigate.logs.ledger.USERS", 60)
    monkeypatch.setattr("hostguardd.investigate.logs.passage.KINDS", 10)
    head = "Mar 10 09:01:02 web1 "
    text = "".join(
        f"{head}sshd[{n}]: Failed password for u{n}{'x' * 100} from 198.51.{n // 200}.{n % 200} port 1 ssh2\n"
        f"{head}su[{n}]: (to root) u{n} on pts/0\n"
        f"{head}p{n}[1]: " + "\x01" * 20 + "\n"
        for n in range(300)
    )
    log(tmp_path).write_text(text)
    passage = scene(os.fsencode(tmp_path), now=NOW).once(reading).passages[b"/var/log/secure"]
    sources = passage.refusals.sources
    assert sum(one.count for one in sources.values()) == 300
    assert len(sources) == 51
    assert sum(len(one.users) for one in sources.values()) <= 60 + 51
    assert all(len(user) <= 64 for one in sources.values() for user in one.users)
    assert (len(passage.turned), passage.turned.total()) == (11, 300)
    assert (len(passage.odds), passage.odds.total()) == (11, 300)


def test_a_journal_that_nobody_here_can_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "var/log/journal/0123"
    folder.mkdir(parents=True)
    (folder / "system.journal").write_bytes(b"LPKSHHRH")
    (unseen,) = scene(os.fsencode(tmp_path), now=NOW).once(reading).unseen
    assert unseen.scope == "/var/log/journal/0123/system.journal"
    assert unseen.remedy.startswith("journalctl")
