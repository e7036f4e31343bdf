"""Lines that are no text: of a service that strangers talk to, of others, close to a crash; harmless ones."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hostguardd.investigate.checks import garbled
from hostguardd.investigate.interface import Verdict
from tests.scenes import Findings, looked, scene

NOW = 1_773_144_000  # 2026-03-10 12:00:00 UTC
FILL = b"\x90\x90\xeb\x1f\x5e\x89\x76\x08\x31\xc0\x88\x46\x07\x89\x46\x0c" * 20


@pytest.fixture(autouse=True)
def _greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def look(root: Path, *lines: bytes) -> Findings:
    (root / "var/log").mkdir(parents=True, exist_ok=True)
    text = b"".join(b"Mar 10 09:%02d:01 web1 %b\n" % (n, line) for n, line in enumerate(lines))
    (root / "var/log/messages").write_bytes(text)
    return looked(garbled.look, scene(os.fsencode(root), now=NOW))


def test_text_is_text(tmp_path: Path) -> None:
    found = look(
        tmp_path,
        b"kernel: usb 1-1: new device",
        "app[3]: Größe: 17 µm, 見覚えのない日付に再起動".encode() * 8,
        b"app[3]: \x1b[32mINFO\x1b[0m \x1b[33mready\x1b[0m",
        b"app[3]: " + b'{"key": "value"}, ' * 100,
        b"app[3]: " + b"=" * 900,
    )
    assert [item.verdict for item in found.items] == [Verdict.FINE]


@pytest.mark.parametrize(
    "line",
    [
        b"rpc.statd[410]: gethostbyname error for " + FILL,
        b"sshd[77]: Failed password for " + FILL + b" from 203.0.113.9 port 4242 ssh2",
        b"ftpd[9]: USER " + b"A" * 600,
        b"named[3]: query " + b"#220#220#220#353#037" * 12,
    ],
)
def test_garbage_of_a_service_is_the_trace_of_an_attack(tmp_path: Path, line: bytes) -> None:
    found = look(tmp_path, b"kernel: before", line, b"kernel: after")
    (item,) = found.of(Verdict.SUSPICIOUS)
    assert item.evidence[0].source == "/var/log/messages:2"
    assert item.means
    assert "Save the log" in item.next
    assert all(ord(" ") <= ord(char) for char in item.evidence[0].text)
    assert [m.kind for m in found.moments] == ["log"]


def test_a_program_of_the_host_may_write_strange_things(tmp_path: Path) -> None:
    found = look(tmp_path, b"backup[7]: " + FILL, b"app[8]: " + b"word " * 2000)
    assert not found.suspicious
    assert len(found.of(Verdict.NOTABLE)) == 2


def test_a_crash_close_by_makes_it_worse(tmp_path: Path) -> None:
    crash = b"kernel: backup[7]: segfault at 41414141 ip 0000000041414141 sp 00007ffc error 14 in libc.so"
    found = look(tmp_path, b"backup[7]: " + FILL, crash)
    (item,) = found.of(Verdict.SUSPICIOUS)
    assert "backup crashed" in item.says
    assert len(item.evidence) == 2


def test_crashes_are_told(tmp_path: Path) -> None:
    crash = b"kernel: app[7]: segfault at 0 ip 0000000041414141 sp 00007ffc error 14 in libc.so"
    assert look(tmp_path, crash).named("crashes of app").verdict is Verdict.FINE
    assert look(tmp_path, *[crash] * 6).named("crashes of app").verdict is Verdict.NOTABLE
    smashed = b"app[9]: *** stack smashing detected ***: terminated"
    assert look(tmp_path, smashed).named("crashes of app").verdict is Verdict.NOTABLE


def test_a_power_failure_leaves_no_attack(tmp_path: Path) -> None:
    found = look(tmp_path, b"kernel: before", b"\0" * 4000, b"kernel: after")
    assert not found.suspicious
