"""The journal's reader is a child: it floods, dies, hangs, and must never outlive us or hold us up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hostguardd.host import journal
from hostguardd.host.boots import LinuxBoots
from hostguardd.host.journal import Journal, JournalFeed
from hostguardd.loglines import Entry
from tests.crowd import crowded
from tests.daemon import until

PROGRAM = """#!/bin/sh
echo "$$ $*" >> {calls}
follow=
for word in "$@"; do [ "$word" = -f ] && follow=1; done
if [ -z "$follow" ]; then cat {past}; exit {status}; fi
exec tail -n +1 -f {coming}
"""


class Faked:
    """A journalctl of ours that shows one file for the past and follows another."""

    def __init__(self, folder: Path, status: int = 0) -> None:
        self.calls, self.past, self.coming = folder / "calls", folder / "past", folder / "coming"
        for file in (self.calls, self.past, self.coming):
            file.touch()
        self.program = folder / "journalctl"
        text = PROGRAM.format(calls=self.calls, past=self.past, coming=self.coming, status=status)
        self.program.write_text(text)
        self.program.chmod(0o755)

    def say(self, file: Path, *messages: str) -> None:
        with file.open("a") as handle:
            for number, message in enumerate(messages):
                entry = {"MESSAGE": message, "_UID": "0", "__CURSOR": f"s={message[:20]}{number}"}
                handle.write(json.dumps(entry) + "\n")

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()

    def pid(self) -> int:
        return int(self.called()[-1].split()[0])


@pytest.fixture
def faked(tmp_path: Path) -> Faked:
    return Faked(tmp_path)


def never() -> bool:
    return False


def messages(entries: list[Entry]) -> list[str]:
    return [entry.line.text.decode() for entry in entries]


def test_the_past_and_then_what_comes(faked: Faked) -> None:
    faked.say(faked.past, "one", "two")
    feed = JournalFeed(str(faked.program))
    assert messages(feed.past(never)) == ["one", "two"]
    assert feed.new(1 << 20) == []
    faked.say(faked.coming, "three")
    assert until(lambda: messages(feed.new(1 << 20)), "what came") == ["three"]
    assert "--after-cursor=s=two1" in faked.called()[1]
    assert "SYSLOG_FACILITY=10" in faked.called()[1]


def test_a_span_of_time_is_asked_for_with_the_kernel(faked: Faked) -> None:
    faked.say(faked.past, "one", "two")
    feed = JournalFeed(str(faked.program))
    assert messages(feed.past(never, 1_700_000_000.5)) == ["one", "two"]
    assert {"--since=@1700000000", "SYSLOG_FACILITY=0"} <= set(faked.called()[0].split())
    feed.past(never)
    assert "SYSLOG_FACILITY=0" not in faked.called()[1]


def test_a_past_of_endless_messages_is_cut(faked: Faked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "TOGETHER", 100_000)
    faked.say(faked.past, *["x" * 50_000] * 40)
    feed = JournalFeed(str(faked.program))
    assert len(feed.past(never, 1.0)) < 40
    assert "not read" in feed.problem


def test_it_is_read_in_a_process_with_many_files(faked: Faked) -> None:
    faked.say(faked.past, "one", "two")
    feed = JournalFeed(str(faked.program))
    with crowded():
        assert messages(feed.past(never)) == ["one", "two"]


def test_it_never_waits(faked: Faked) -> None:
    feed = JournalFeed(str(faked.program))
    feed.past(never)
    feed.new(1 << 20)
    until(lambda: len(faked.called()) == 2, "it follows")
    began = time.monotonic()
    for _ in range(100):
        assert feed.new(1 << 20) == []
    assert time.monotonic() - began < 5  # a tenth of a second each would be twice that


def test_a_flood_waits_in_the_pipe(faked: Faked) -> None:
    feed = JournalFeed(str(faked.program))
    feed.past(never)
    faked.say(faked.coming, *(f"message {number}" for number in range(20_000)))
    found: list[str] = []

    def all_there() -> bool:
        found.extend(messages(feed.new(50_000)))
        return len(found) >= 20_000

    until(all_there, "all of it")
    assert found == [f"message {number}" for number in range(20_000)]


def test_an_endless_entry_is_left_out(faked: Faked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LONGEST", 10_000)
    feed = JournalFeed(str(faked.program))
    feed.past(never)
    faked.say(faked.coming, "x" * 3_000_000, "next")
    assert until(lambda: messages(feed.new(100_000)), "what came") == ["next"]
    assert len(feed._buffer) <= 110_000


def test_a_child_that_dies_is_told_and_started_again(faked: Faked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "AGAIN", 0.1)
    feed = JournalFeed(str(faked.program))
    feed.past(never)
    feed.new(1 << 20)
    until(lambda: len(faked.called()) == 2, "it follows")
    pid = faked.pid()
    os.kill(pid, signal.SIGKILL)
    until(lambda: feed.new(1 << 20) or feed.problem, "its death is noticed")
    assert "ended with status -9" in feed.problem
    assert not Path(f"/proc/{pid}").exists(), "and no zombie is left"
    faked.say(faked.coming, "after")
    assert until(lambda: messages(feed.new(1 << 20)), "another reads on") == ["after"]
    assert feed.problem == ""


def test_a_program_that_fails_is_a_problem_and_no_error(tmp_path: Path) -> None:
    feed = JournalFeed(str(Faked(tmp_path, status=1).program))
    assert feed.past(never) == []
    assert feed.problem.endswith("ended with status 1")
    assert JournalFeed("/nonexistent/journalctl").past(never) == []


def test_a_start_that_is_broken_off(faked: Faked) -> None:
    faked.program.write_text("#!/bin/sh\nexec sleep 1000\n")
    began = time.monotonic()
    assert JournalFeed(str(faked.program)).past(lambda: True) == []
    assert time.monotonic() - began < 30


def test_it_ends_with_its_feed(faked: Faked) -> None:
    feed = JournalFeed(str(faked.program))
    feed.past(never)
    feed.new(1 << 20)
    until(lambda: len(faked.called()) == 2, "it follows")
    pid = faked.pid()
    del feed
    until(lambda: not Path(f"/proc/{pid}").exists(), "it is gone")


def test_it_does_not_outlive_a_parent_that_was_killed(faked: Faked) -> None:
    script = (
        "import sys, time; from hostguardd.host.journal import JournalFeed\n"
        "feed = JournalFeed(sys.argv[1]); feed.past(lambda: False); feed.new(1); time.sleep(1000)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(faked.program)])
    try:
        until(lambda: len(faked.called()) == 2, "it follows")
        pid = faked.pid()
        until(lambda: b"tail" in Path(f"/proc/{pid}/cmdline").read_bytes(), "it is what it becomes")
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not Path(f"/proc/{pid}").exists() or state(pid) == "Z", "it is gone, too")


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def test_no_journal_without_journald(faked: Faked, tmp_path: Path) -> None:
    assert not Journal(str(faked.program), str(tmp_path / "none")).present
    assert Journal(str(faked.program), str(tmp_path)).present


def test_this_boot_has_a_name_and_a_beginning() -> None:
    boots = LinuxBoots()
    assert boots.id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 0 < boots.began() <= time.time_ns()
    assert not boots.ending()
