"""The logs sensor keeps the rules of all sensors. What comes and goes here is an account with a history: a
log that goes is no absence but an incident."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd.host.files import LinuxFiles
from hostguardd.host.texts import LinuxTexts, Text
from hostguardd.model import Depth
from hostguardd.sections import LogsConfig
from hostguardd.sensors.logs import LogsSensor
from tests.contract.test_sensors import HOSTILE, SensorContract, never

LONG_AGO = 1_700_000_000
PASSWD = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"


class Texts(LinuxTexts):
    """Texts some of which cannot be read, and some of which vanish under our eyes."""

    broken: bytes = b"-"
    vanishing: bytes = b"-"

    def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
        if path == self.broken:
            return Text(None, None, "Input/output error")
        return super().read(path, limit, offset)

    def lstat(self, path: bytes) -> os.stat_result | None:
        return None if path == self.vanishing else super().lstat(path)


class TestLogs(SensorContract):
    """The logs sensor."""

    @pytest.fixture(autouse=True)
    def _folder(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory() as top:
            self.top = Path(top)
            yield

    def sensor(self) -> LogsSensor:
        for name in ("var/log/secure", "srv/one", "root/.bash_history"):
            self.write(name, "a line\n" * 99)
            os.utime(self.top / name, (LONG_AGO, LONG_AGO))  # each sensor of a test finds the same
        self.write("etc/passwd", PASSWD)
        files = LinuxFiles(os.fsencode(self.top))
        self.texts = Texts(files)
        settings = LogsConfig(files=(b"/var/log/secure", b"/srv/*"))
        return LogsSensor(files, self.texts, settings, 0.0, lambda: 1, lambda: 1)

    def write(self, name: str | bytes, content: str) -> None:
        path = self.top / os.fsdecode(name).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def add(self) -> None:
        self.write("home/alice/.bash_history", "make\n" * 99)

    def remove(self) -> None:
        self.write("etc/passwd", PASSWD.splitlines()[0] + "\n")
        shutil.rmtree(self.top / "home/alice")

    def hostile(self) -> None:
        self.write(HOSTILE, "a line\n")

    def hide(self) -> None:
        self.texts.broken = b"/var/log/secure"
        self.write("var/log/secure", "another line\n" * 99)

    def vanish(self) -> None:
        self.write("srv/brief", "a line\n")
        self.texts.vanishing = b"/srv/brief"

    def test_asking_whether_anything_changed_reads_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sensor = self.sensor()
        list(sensor.sweep(Depth.QUICK, never))
        monkeypatch.setattr(Texts, "read", None)
        assert not sensor.changed()
        monkeypatch.undo()
        self.write("var/log/secure", "a line\n" * 100)
        assert sensor.changed()
