"""The events sensor over real files: what is counted, what is told, what a flood or a rotation does."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd.host.files import LinuxFiles
from hostguardd.host.journal import Feed, NoJournal
from hostguardd.host.texts import LinuxTexts
from hostguardd.loglines import Entry, Line
from hostguardd.model import Depth, EventFact
from hostguardd.sections import EventsConfig
from hostguardd.sensors import events, tails
from hostguardd.sensors.events import EventsSensor
from hostguardd.sensors.tails import Tail

NOW = 1_763_904_000
A = "203.0.113.9"


class Host:
    """A folder as the root of a host, with the sensor over it. `say` writes a line of a log."""

    def __init__(self, root: Path, journal: NoJournal | FakeJournal | None = None, **settings: int) -> None:
        self.root = root
        (root / "var/log").mkdir(parents=True, exist_ok=True)
        self.now = NOW
        self.texts = LinuxTexts(LinuxFiles(os.fsencode(root)))
        self.journal = journal or NoJournal()
        self.settings = replace(EventsConfig(), **settings)  # type: ignore[arg-type]
        self.restart()

    def restart(self) -> None:
        self.sensor = EventsSensor(
            self.texts, self.journal, self.settings, 2.0, lambda: self.now * 10**9, lambda: self.now * 10**9
        )

    def say(self, text: str | bytes, program: str = "sshd[77]", log: str = "secure") -> None:
        raw = text.encode() if isinstance(text, str) else text
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(self.now))
        with (self.root / "var/log" / log).open("ab") as handle:
            handle.write(f"{stamp} web1 {program}: ".encode() + raw + b"\n")

    def fail(self, times: int, user: str = "root", source: str = A, pid: int = 77) -> None:
        for _ in range(times):
            self.say(f"Failed password for {user} from {source} port 4242 ssh2", f"sshd[{pid}]")

    def facts(self) -> list[EventFact]:
        """What a sweep finds."""
        sweeps = list(self.sensor.sweep(Depth.QUICK, lambda: False))
        return [EventFact.of(row) for sweep in sweeps for row in sweep.rows]

    def labels(self) -> list[str]:
        return [fact.label.decode() for fact in self.facts()]

    def blinds(self) -> list[str]:
        sweep = next(iter(self.sensor.sweep(Depth.QUICK, lambda: False)))
        return [blind.reason for blind in sweep.blinds]


class FakeJournal(NoJournal):
    """A journal that a test writes."""

    present = True

    def __init__(self) -> None:
        self.before: list[Entry] = []
        self.coming: list[Entry] = []
        self.problem = ""

    def open(self) -> Feed:
        return self

    def past(self, stop: object, since: float = 0) -> list[Entry]:
        return self.before

    def new(self, most: int) -> list[Entry]:
        found, self.coming = self.coming, []
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_few_mistyped_passwords_are_nothing(host: Host) -> None:
    host.fail(4)
    assert host.facts() == []


def test_refused_logins_are_counted_by_service_and_source(host: Host) -> None:
    host.fail(4)
    host.fail(4, "admin", pid=78)
    (fact,) = host.facts()
    assert (fact.topic, fact.name, fact.count, fact.level) == ("refused", b"sshd from 203.0.113.9", 8, 1)
    assert (fact.user, fact.source, fact.service) == (b"root, admin", A.encode(), b"sshd")
    assert fact.first == fact.last == NOW


def test_what_several_voices_tell_of_one_attempt_counts_once(host: Host) -> None:
    for pid in range(1, 4):
        program = f"sshd[{pid}]"
        host.say(f"Invalid user x from {A} port {pid}", program)
        host.say(
            f"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={A} ",
            program,
        )
        host.say(f"Failed password for invalid user x from {A} port {pid} ssh2", program)
        host.say(f"Failed password for invalid user x from {A} port {pid} ssh2", program)
        host.say(f"Connection closed by invalid user x {A} port {pid} [preauth]", program)
    (fact,) = host.facts()
    assert fact.count == 6


def test_a_line_in_two_logs_counts_once(host: Host) -> None:
    for second in range(3):
        host.now += second
        for log in ("secure", "messages"):
            host.say(f"Failed password for root from {A} port 42 ssh2", f"sshd[{second}]", log)
    host.fail(1, pid=99)
    assert host.facts() == []
    host.fail(1, pid=100)
    assert host.facts()[0].count == 5


def test_a_client_with_many_keys_is_nothing(host: Host) -> None:
    for _ in range(9):
        host.say(f"Failed publickey for alice from {A} port 4242 ssh2: RSA SHA256:abc")
    assert host.facts() == []


def test_who_got_in_after_a_few_had_mistyped(host: Host) -> None:
    host.fail(4, "alice")
    host.say(f"Accepted password for alice from {A} port 4242 ssh2")
    host.fail(4, "alice")
    assert host.facts() == []
    assert list(host.sensor.tally.arrivals) == [(b"alice", A.encode())]


@pytest.mark.parametrize(("user", "topic"), [("root", "guessed"), ("bob", "sprayed")])
def test_a_login_after_many_refused_ones(host: Host, user: str, topic: str) -> None:
    host.fail(7)
    host.say(f"Accepted password for {user} from {A} port 4242 ssh2", "sshd[78]")
    assert f"{topic} {user} from {A} by sshd" in host.labels()


def test_a_key_is_not_guessed(host: Host) -> None:
    host.fail(7)
    host.say(f"Accepted publickey for root from {A} port 4242 ssh2: ED25519 SHA256:abc", "sshd[78]")
    assert host.labels() == [f"refused sshd from {A}"]


def test_the_internet_is_told_together(tmp_path: Path) -> None:
    host = Host(tmp_path, sources=3)
    for number in range(60):
        host.fail(6, source=f"198.51.100.{number}", pid=1000 + number)
    labels = host.labels()
    assert len(labels) == 4
    assert "refused sshd from many sources" in labels


def test_a_password_tried_once_from_everywhere(host: Host) -> None:
    for number in range(120):
        host.fail(1, source=f"198.51.100.{number}", pid=1000 + number)
    assert host.labels() == ["refused sshd from many sources"]


def test_a_million_sources_take_no_memory(host: Host) -> None:
    for number in range(6000):
        host.fail(1, source=f"2001:db8::{number:x}", pid=number)
    host.facts()
    tally = host.sensor.tally
    assert len(tally._sources) <= 4096
    assert len(tally._sessions) <= 4096


def test_who_became_root_is_one_fact_however_often(host: Host) -> None:
    for pid in range(30):
        host.say("   alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/mysql -psecret x", f"sudo[{pid}]")
        host.say(
            "pam_unix(sudo:session): session opened for user root(uid=0) by alice(uid=1000)", f"sudo[{pid}]"
        )
    (fact,) = host.facts()
    assert (fact.label, fact.level, fact.count) == (b"switched alice to root by sudo", 1, 30)
    assert b"secret" not in fact.sample


def test_who_was_denied(host: Host) -> None:
    host.say("bob : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh", "sudo")
    host.say("FAILED SU (to root) bob on pts/0", "su")
    assert host.labels() == ["denied bob to root by su", "denied bob to root by sudo"]


def test_lines_that_are_no_text(host: Host) -> None:
    host.say(
        b"gethostbyname error for \xf7\xff\xbf\x90\x90" + b"\x90" * 90 + b"\x1b[2J",
        "rpc.statd[4]",
        "messages",
    )
    (fact,) = host.facts()
    assert fact.label == b"garbled /var/log/messages (rpc.statd)"
    assert fact.user == b"no UTF-8"
    assert len(fact.sample) <= 400


def test_auditd_writes_a_control_byte_by_itself(host: Host) -> None:
    (host.root / "var/log/audit").mkdir()
    with (host.root / "var/log/audit/audit.log").open("ab") as handle:
        handle.write(b"type=SYSCALL msg=audit(1763904000.1:1): " + b"a=\x1d" * 30 + b"\n")
    assert host.facts() == []


def test_crashes_are_told_when_they_repeat(host: Host) -> None:
    for _ in range(5):
        host.say("httpd[9]: segfault at 0 ip 0 sp 0 error 4", "kernel", "messages")
    assert host.labels() == ["crashed httpd"]


def test_what_is_old_is_forgotten_and_who_became_root_is_not(host: Host) -> None:
    host.fail(9)
    host.say("(to root) alice on pts/0", "su")
    assert len(host.facts()) == 2
    host.now += 86401
    assert host.labels() == ["switched alice to root by su"]
    host.now += 30 * 86400
    assert host.labels() == []


def test_the_past_counts_as_far_as_it_is_recent(host: Host) -> None:
    host.now -= 2 * 86400
    host.fail(9)
    host.say(b"\x01" * 40)
    host.now += 2 * 86400
    host.fail(4)
    assert host.facts() == []


def test_it_reads_at_its_interval_and_says_when_there_is_news(host: Host) -> None:
    assert host.sensor.changed()
    host.facts()
    host.now += 2
    assert not host.sensor.changed()
    host.fail(5)
    assert not host.sensor.changed(), "not yet again"
    host.now += 2
    assert host.sensor.changed()
    host.facts()
    host.fail(1)
    host.now += 2
    assert not host.sensor.changed(), "one more is no news"
    host.fail(4)
    host.now += 2
    assert host.sensor.changed(), "ten are"


def test_fewer_than_before_is_no_news() -> None:
    many = ("refused", b"x", 3, b"sshd", b"", b"", 100, 1, 2, b"")
    few = ("refused", b"x", 2, b"sshd", b"", b"", 99, 1, 2, b"")
    assert EventFact.noise(many, few) == {"level"}
    assert EventFact.noise(few, many) == frozenset()


def test_a_restart_tells_the_same(host: Host) -> None:
    host.fail(9)
    host.say("(to root) alice on pts/0", "su")
    before = host.facts()
    host.restart()
    assert host.facts() == before


# -- the journal -----------------------------------------------------------------------------------


def journal_entry(text: str, exe: str = "/usr/sbin/sshd", uid: int = 0, pid: int = 7) -> Entry:
    return Entry(Line(NOW, b"sshd", str(pid).encode(), text.encode()), exe.encode(), uid, "s=1")


def test_without_text_logs_the_journal_tells(tmp_path: Path) -> None:
    journal = FakeJournal()
    host = Host(tmp_path, journal)
    journal.before = [journal_entry(f"Failed password for root from {A} port 1 ssh2")] * 3
    assert host.facts() == []
    journal.coming = [journal_entry(f"Failed password for root from {A} port 1 ssh2")] * 3
    assert [fact.count for fact in host.facts()] == [6]


def test_what_the_journal_knows_to_be_anothers_is_not_believed(tmp_path: Path) -> None:
    journal = FakeJournal()
    host = Host(tmp_path, journal)
    host.facts()
    journal.coming = [
        journal_entry(f"Failed password for root from {A} port 1 ssh2", "/usr/bin/logger", 1000)
    ] * 9
    assert host.facts() == []


def test_where_a_log_of_logins_is_written_the_journal_is_left_alone(tmp_path: Path) -> None:
    journal = FakeJournal()
    host = Host(tmp_path, journal)
    host.say("x")
    os.utime(tmp_path / "var/log/secure", (NOW, NOW))
    journal.before = [journal_entry(f"Failed password for root from {A} port 1 ssh2")] * 9
    assert host.facts() == []
    os.utime(tmp_path / "var/log/secure", (NOW - 90_000, NOW - 90_000))
    assert len(host.facts()) == 1, "nobody writes that log any more"


def test_a_journal_that_cannot_be_read_is_blind(tmp_path: Path) -> None:
    journal = FakeJournal()
    journal.problem = "/usr/bin/journalctl ended with status 1"
    host = Host(tmp_path, journal)
    assert host.blinds() == ["/usr/bin/journalctl ended with status 1, and no log tells of logins"]
    journal.problem = ""
    assert host.blinds() == []


def test_a_host_that_writes_down_nothing(tmp_path: Path) -> None:
    assert Host(tmp_path).blinds() == ["neither a log of logins nor a journal is there to be read"]


# -- tails -----------------------------------------------------------------------------------------


@pytest.fixture
def tail(tmp_path: Path) -> tuple[Tail, Path]:
    log = tmp_path / "messages"
    log.write_bytes(b"one\ntwo\n")
    found = Tail(LinuxTexts(LinuxFiles(b"/")), os.fsencode(log))
    assert found.read().lines == [b"one", b"two"]
    return found, log


def append(log: Path, text: bytes) -> None:
    with log.open("ab") as handle:
        handle.write(text)


def test_only_whole_lines(tail: tuple[Tail, Path]) -> None:
    found, log = tail
    append(log, b"thr")
    assert found.read().lines == []
    append(log, b"ee\nfour\n")
    assert found.read().lines == [b"three", b"four"]
    assert found.read() == ([], 0, "")


def test_a_rotated_log_is_read_to_its_end_first(tail: tuple[Tail, Path]) -> None:
    found, log = tail
    append(log, b"last\n")
    log.rename(log.with_name("messages-20251123"))
    log.write_bytes(b"first\n")
    assert found.read().lines == [b"last", b"first"]


def test_a_log_that_is_away_for_a_moment(tail: tuple[Tail, Path]) -> None:
    found, log = tail
    append(log, b"last\n")
    log.rename(log.with_name("messages.1"))
    assert found.read() == ([], 0, "")
    log.write_bytes(b"first\n")
    assert found.read().lines == [b"last", b"first"]


def test_a_log_that_was_cut(tail: tuple[Tail, Path]) -> None:
    found, log = tail
    log.write_bytes(b"new\n")
    assert found.read().lines == [b"new"]


def test_only_the_end_of_a_long_past(tmp_path: Path) -> None:
    log = tmp_path / "messages"
    log.write_bytes(b"x" * 99 + b"\n" + b"line\n" * (tails.BACKLOG // 5))
    lines = Tail(LinuxTexts(LinuxFiles(b"/")), os.fsencode(log)).read().lines
    assert set(lines) == {b"line"}
    assert tails.BACKLOG // 5 - 2 < len(lines) <= tails.BACKLOG // 5


def test_a_flood_is_counted_and_left_out(tail: tuple[Tail, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found, log = tail
    monkeypatch.setattr(tails, "BEHIND", 10_000)
    append(log, b"flood\n" * 5000 + b"last\n")
    news = found.read(1000)
    assert news.skipped == 30_005 - 1000
    assert news.lines[-1] == b"last"
    append(log, b"more\n")
    assert found.read() == ([b"more"], 0, "")


def test_a_line_without_an_end_is_not_waited_for(tail: tuple[Tail, Path]) -> None:
    found, log = tail
    append(log, b"A" * 200_000)
    (line,) = found.read().lines
    assert len(line) == 200_000
    append(log, b"A" * 100_000)
    assert found.read().lines == []
    append(log, b"A\nnext\n")
    assert found.read().lines == [b"next"]


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "messages"
    os.mkfifo(log) if kind == "fifo" else log.mkdir()
    assert Tail(LinuxTexts(LinuxFiles(b"/")), os.fsencode(log)).read().problem == "is no regular file"


def test_a_link_is_followed_as_the_log_daemon_does(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"one\n")
    (tmp_path / "messages").symlink_to("real")
    found = Tail(LinuxTexts(LinuxFiles(b"/")), os.fsencode(tmp_path / "messages"))
    assert found.read().lines == [b"one"]
    append(tmp_path / "real", b"two\n")
    assert found.read().lines == [b"two"]


def test_a_flood_tells_that_something_was_left_out(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.say("x")
    assert host.blinds() == []
    monkeypatch.setattr(tails, "BEHIND", 10_000)
    monkeypatch.setattr(events, "LEAST", 1000)
    monkeypatch.setattr(events, "TOGETHER", 1000)
    for _ in range(500):
        host.say("flood")
    (reason,) = host.blinds()
    assert "faster than they could be read" in reason
    host.now += 61
    assert host.blinds() == []
