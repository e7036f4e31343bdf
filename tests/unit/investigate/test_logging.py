"""Holes, logs emptied or led away, services that stand still; and hosts that are merely quiet, or off."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from hostguardd.investigate.checks import logging
from hostguardd.investigate.interface import Verdict
from tests.fakelive import FakeLive
from tests.scenes import Findings, looked, scene

NOW = 1_773_144_000  # 2026-03-10 12:00:00 UTC
HOUR, DAY = 3600, 86400


@pytest.fixture(autouse=True)
def _greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


class Host:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.live = FakeLive()
        for folder in (
            "var/log",
            "etc",
            "usr/sbin",
            "usr/lib/systemd",
            "etc/systemd/system/multi-user.target.wants",
        ):
            (root / folder).mkdir(parents=True)

    def write(self, name: str, ago: Iterable[float], text: str = "CRON[1]: (root) CMD (true)") -> None:
        lines = [f"{time.strftime('%b %e %H:%M:%S', time.gmtime(NOW - one))} web1 {text}\n" for one in ago]
        (self.root / "var/log" / name).write_text("".join(lines))

    def service(self, name: str = "rsyslogd", *, runs: bool = True, enabled: bool = True) -> None:
        (self.root / "usr/sbin" / name).write_text("")
        if enabled:
            unit = "rsyslog.service" if name == "rsyslogd" else f"{name}.service"
            (self.root / "etc/systemd/system/multi-user.target.wants" / unit).symlink_to("/dev/null/x")
        if runs:
            self.live.add_process(f"/usr/sbin/{name}".encode())

    def journald(self) -> None:
        (self.root / "usr/lib/systemd/systemd-journald").write_text("")
        self.live.add_process(b"/usr/lib/systemd/systemd-journald")

    def look(self) -> Findings:
        return looked(logging.look, scene(os.fsencode(self.root), now=NOW, live=self.live))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def every(seconds: float, start: float = 6 * DAY, end: float = 60) -> list[float]:
    """A beat, shaken a little."""
    chance = random.Random(7)
    return sorted((at + chance.uniform(0, seconds / 2) for at in _range(start, end, seconds)), reverse=True)


def _range(start: float, end: float, step: float) -> list[float]:
    return [start - n * step for n in range(int((start - end) / step))]


def test_a_healthy_host_is_whole(host: Host) -> None:
    host.service()
    host.journald()
    host.write("syslog", every(600))
    host.write("auth.log", every(HOUR))
    found = host.look()
    assert not found.suspicious
    assert not found.of(Verdict.NOTABLE)


def test_a_host_that_sleeps_at_night_is_not_accused(host: Host) -> None:
    host.service()
    day = [one for one in every(300) if 8 <= time.gmtime(NOW - one).tm_hour < 18]
    host.write("syslog", day)
    host.write("auth.log", every(HOUR))
    assert not host.look().suspicious


def test_lines_taken_out_leave_a_hole_that_others_betray(host: Host) -> None:
    host.service()
    host.write("syslog", every(300))
    host.write("auth.log", [one for one in every(600) if not 20 * HOUR < one < 30 * HOUR])
    found = host.look()
    (item,) = found.of(Verdict.SUSPICIOUS)
    assert item.name.startswith("/var/log/auth.log: silent until")
    assert item.technique == "T1070.002"
    assert "from 2026-03-09 05:55" in item.says
    assert item.evidence[0].source.startswith("/var/log/auth.log:")
    (moment,) = found.moments
    assert moment.until - moment.at > 9 * HOUR


def test_a_host_that_was_off_says_so_itself(host: Host) -> None:
    host.service()
    for name in ("syslog", "auth.log"):
        host.write(name, [one for one in every(300) if not 20 * HOUR < one < 30 * HOUR])
        text = (host.root / "var/log" / name).read_text().splitlines(keepends=True)
        at = next(n for n, line in enumerate(text) if line.startswith("Mar  9 1"))
        first = next(n for n, line in enumerate(text) if line > "Mar  9 15" and line.startswith("Mar  9"))
        text.insert(first, text[first][:16] + "web1 kernel: Linux version 6.1.0-18-amd64 (debian-kernel)\n")
        assert at <= first
        (host.root / "var/log" / name).write_text("".join(text))
    found = host.look()
    assert not found.suspicious
    assert all("tells of a start" in item.says for item in found.of(Verdict.NOTABLE))


def test_a_log_that_falls_silent_while_others_go_on(host: Host) -> None:
    host.service()
    host.write("syslog", every(300))
    host.write("auth.log", every(600, end=10 * HOUR))
    found = host.look()
    assert not found.suspicious, "what was written there may have come to its end"
    assert [item.name.split(" since")[0] for item in found.of(Verdict.NOTABLE)] == [
        "/var/log/auth.log: silent"
    ]


def test_attackers_who_pause_leave_no_hole(host: Host) -> None:
    host.service()
    host.write("messages", every(300))
    knock = "sshd[1]: Failed password for root from 203.0.113.9 port 1 ssh2"
    host.write("secure", [one for one in every(60) if not 20 * HOUR < one < 30 * HOUR], knock)
    assert not host.look().suspicious


def test_lines_put_in_by_hand_are_out_of_order(host: Host) -> None:
    host.service()
    beats = every(300)
    host.write("syslog", [*beats[:500], 6 * DAY, *beats[500:]])
    (item,) = host.look().of(Verdict.NOTABLE)
    assert item.name == "/var/log/syslog: lines out of order"
    assert item.details["times"] == 1


def test_a_rotated_log_is_one_with_its_archives(host: Host) -> None:
    host.service()
    beats = every(300)
    host.write("syslog.1", [one for one in beats if one > DAY])
    os.utime(host.root / "var/log/syslog.1", (NOW - DAY,) * 2)
    host.write("syslog", [one for one in beats if one <= DAY])
    found = host.look()
    assert not found.of(Verdict.NOTABLE)
    assert not found.suspicious
    assert found.named("/var/log/syslog").says.endswith("lines in 2 files")


def test_an_emptied_log_is_found(host: Host) -> None:
    host.service()
    (host.root / "etc/rsyslog.conf").write_text("*.*;auth.none -/var/log/syslog\nauth.* /var/log/auth.log\n")
    host.write("syslog", every(300))
    (host.root / "var/log/auth.log").write_text("")
    os.utime(host.root / "var/log/auth.log", (NOW - HOUR,) * 2)
    (name,) = host.look().suspicious
    assert name == "/var/log/auth.log: empty"


def test_a_log_rotated_just_now_is_empty_by_right(host: Host) -> None:
    host.service()
    (host.root / "etc/rsyslog.conf").write_text("auth.* /var/log/auth.log\n")
    host.write("auth.log.1", every(600))
    os.utime(host.root / "var/log/auth.log.1", (NOW - HOUR,) * 2)
    (host.root / "var/log/auth.log").write_text("")
    os.utime(host.root / "var/log/auth.log", (NOW - HOUR,) * 2)
    assert not host.look().suspicious


def test_a_log_that_a_service_should_have_written_for_days_is_gone(host: Host) -> None:
    host.live.now = 10 * DAY
    host.service(runs=False)
    host.live.add_process(b"/usr/sbin/rsyslogd", age=9 * DAY)
    (host.root / "etc/rsyslog.conf").write_text("*.info /var/log/messages\n#x /var/log/secure\n")
    (name,) = host.look().suspicious
    assert name == "/var/log/messages: missing"


def test_a_log_that_leads_to_nowhere(host: Host) -> None:
    host.service()
    (host.root / "dev").mkdir()
    (host.root / "var/log/secure").symlink_to("/dev/null")
    item = host.look().named("/var/log/secure")
    assert item.verdict is Verdict.SUSPICIOUS
    assert "/dev/null" in item.says


def test_a_service_that_stands_still(host: Host) -> None:
    host.journald()
    host.service(runs=False)
    host.service("auditd", runs=False, enabled=False)
    found = host.look()
    assert found.suspicious == ["rsyslog"]
    assert found.named("auditd").verdict is Verdict.NOTABLE


def test_a_service_that_runs_until_the_next_start(host: Host) -> None:
    host.service()
    (host.root / "etc/systemd/system/rsyslog.service").symlink_to("/dev/null")
    item = host.look().named("rsyslog")
    assert item.verdict is Verdict.NOTABLE
    assert "is masked, so that nothing starts it again" in item.says


def test_the_audit_of_a_container_is_the_business_of_whoever_runs_it(host: Host) -> None:
    host.journald()
    host.service("auditd", runs=False)
    host.service("rsyslogd", runs=False)
    (host.root / "run/systemd").mkdir(parents=True)
    (host.root / "run/systemd/container").write_text("lxc")
    found = host.look()
    assert found.suspicious == ["rsyslog"]
    assert "as in containers" in found.named("auditd").says


def test_no_service_at_all_on_a_booted_host(host: Host) -> None:
    (host.root / "usr/lib/systemd/systemd-journald").write_text("")
    assert set(host.look().suspicious) == {"systemd-journald", "log services"}


def test_a_container_has_none_by_right(host: Host) -> None:
    host.live = FakeLive()
    host.live.add_process(b"/bin/sleep", pid=1, parent=0)
    host.service(runs=False)
    found = host.look()
    assert not found.suspicious
    assert found.named("log services").verdict is Verdict.NOTABLE


def test_nul_bytes_are_told(host: Host) -> None:
    host.service()
    host.write("syslog", every(300))
    path = host.root / "var/log/syslog"
    path.write_bytes(b"\0" * 5000 + path.read_bytes())
    item = host.look().named("/var/log/syslog: NUL bytes")
    assert item.verdict is Verdict.NOTABLE
    assert "very beginning" in item.says


def test_a_log_removed_together_with_its_service(host: Host) -> None:
    host.live.now = 10 * DAY
    host.journald()
    host.service(runs=False)
    (host.root / "etc/rsyslog.conf").write_text("*.* -/var/log/syslog\n")
    assert set(host.look().suspicious) == {"rsyslog", "/var/log/syslog: missing"}


def test_a_program_of_an_account_is_no_log_service(host: Host) -> None:
    host.live = FakeLive()
    host.live.add_process(b"/usr/sbin/rsyslogd", uid=1000)
    (host.root / "usr/lib/systemd/systemd-journald").write_text("")
    assert "log services" in host.look().suspicious


def test_an_image_is_not_accused_of_standing_still(host: Host) -> None:
    host.write("syslog", every(300))
    found = looked(logging.look, scene(os.fsencode(host.root), now=NOW))
    assert not found.suspicious
    assert any(one.scope == "log services" for one in found.unseen)


def test_two_nights_make_no_hole(host: Host) -> None:
    """A host that is three days old and sleeps at night has no habit yet."""
    host.service()
    host.write("syslog", every(300, start=2.6 * DAY))
    host.write(
        "auth.log", [one for one in every(300, start=2.6 * DAY) if 8 <= time.gmtime(NOW - one).tm_hour < 18]
    )
    assert not host.look().suspicious


def test_a_log_that_was_quiet_before_the_host_went_down(host: Host) -> None:
    host.service()
    host.write("syslog", [one for one in every(300) if not 20 * HOUR < one < 30 * HOUR])
    host.write("auth.log", [one for one in every(600) if not 20 * HOUR < one < 32 * HOUR])
    assert not host.look().suspicious


def test_logs_of_a_container_lead_to_its_output(host: Host) -> None:
    host.service()
    (host.root / "var/log/nginx").mkdir()
    (host.root / "var/log/nginx/access.log").symlink_to("/dev/stdout")
    assert not host.look().suspicious
