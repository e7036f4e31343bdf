"""Accounts that come while the daemon watches: they are told, and their homes are watched at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd.host.files import LinuxFiles
from hostguardd.host.texts import LinuxTexts, Text
from tests.daemon import guarding, until
from tests.fault.test_engine import Inside
from tests.unit.test_authorized import ED

HOMELY = """
[[watch]]
name = "homely"
paths = ["~/.ssh", "~/.config/units", "~/.prof*"]

[[rule]]
name = "homely"
kind = "file"
where.path = ["~/.ssh/**", "~/.config/**", "~/.prof*"]
severity = "high"
technique = "T1098.004"
advice = "A test."
"""


class Tables(LinuxTexts):
    """This host, but for its tables of accounts, which lie in a folder of ours."""

    def __init__(self, files: LinuxFiles, folder: Path) -> None:
        super().__init__(files)
        self._folder = str(folder).encode()

    def _ours(self, path: bytes) -> bytes:
        return self._folder + path if path.startswith((b"/etc/", b"/home")) else path

    def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
        return super().read(self._ours(path), limit, offset)

    def lstat(self, path: bytes):  # type: ignore[no-untyped-def]
        return super().lstat(self._ours(path))

    def names(self, folder: bytes, limit: int) -> list[bytes] | None:
        return super().names(self._ours(folder), limit)


class Town(Inside):
    """An engine over a host with one account, and room for more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, '[sweeps]\naccounts = "100ms"\nmounts = "100ms"\n')
        self.configure('[sweeps]\naccounts = "100ms"\nmounts = "100ms"\n', HOMELY)
        self.homes = folder / "homes"
        self.etc = folder / "host/etc"
        self.etc.mkdir(parents=True)
        (folder / "host/home").mkdir()
        (self.homes / "alice").mkdir(parents=True)
        self.texts = Tables(self.files, folder / "host")
        self.lines: list[str] = []
        self.add("alice")

    def add(self, name: str, uid: int = 1000, home: str = "") -> None:
        self.lines.append(f"{name}:*:{uid}:{uid}::{home or self.homes / name}:/bin/sh\n")
        new = self.etc / "new"
        new.write_text("".join(self.lines))
        new.rename(self.etc / "passwd")


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    with guarding(made):
        yield made


def test_a_key_planted_in_the_home_of_an_account_added_a_moment_ago_is_told(town: Town) -> None:
    with town.running():
        eve = town.homes / "eve"
        (eve / ".ssh").mkdir(parents=True)
        (eve / ".ssh/authorized_keys").write_bytes(ED + b" eve@evil\n")
        town.add("eve", 1001)
        told = town.hears("eve", "opened")
        assert "New account eve (uid 1001" in told["message"]
        assert told["threat"]["technique"]["id"] == ["T1136.001"]
        assert town.hears(eve / ".ssh/authorized_keys", "opened")["threat"]["technique"]["id"] == [
            "T1098.004"
        ]
        key = until(lambda: [a for a in town.alerts() if "SSH key SHA256:" in a["message"]], "the key")[0]
        assert "was added for eve" in key["message"]
        assert "eve@evil" in key["message"]
        # From now on by hints: the quick sweep comes every ten minutes.
        (eve / ".ssh/rc").write_text("x\n")
        town.hears(eve / ".ssh/rc", "opened")
        assert not town.coded("config.reloaded")
        assert len(town.coded("daemon.started")) <= 1


def test_what_is_on_the_way_to_a_watched_place_is_watched(town: Town) -> None:
    with town.running():
        units = town.homes / "alice/.config/units"
        units.mkdir(parents=True)
        (units / "x.service").write_text("[Service]\n")
        town.hears(units / "x.service", "opened")
        (town.homes / "alice/.profile").write_text("evil\n")
        town.hears(town.homes / "alice/.profile", "opened")


def test_a_home_that_is_made_after_its_account_is_watched(town: Town) -> None:
    with town.running():
        town.add("bob", 1002)
        town.hears("bob", "opened")
        (town.homes / "bob/.ssh").mkdir(parents=True)
        (town.homes / "bob/.ssh/rc").write_text("x\n")
        town.hears(town.homes / "bob/.ssh/rc", "opened")
        (town.homes / "bob/.config").mkdir()
        (town.homes / "bob/.config/units").mkdir()
        (town.homes / "bob/.config/units/y").write_text("y\n")
        town.hears(town.homes / "bob/.config/units/y", "opened")


def test_state_is_kept_when_homes_change(town: Town) -> None:
    with town.running():
        (town.tree / "file0").write_text("changed\n")
        town.hears(town.tree / "file0", "opened")
        town.add("eve", 1001)
        town.hears("eve", "opened")
        (town.tree / "file1").write_text("changed\n")
        town.hears(town.tree / "file1", "opened")
        assert len(town.about(town.tree / "file0")) == 1
        assert len(town.about("eve")) == 1


@pytest.mark.parametrize("home", ["/", "relative", "/../..", "/proc/1/root"])
def test_absurd_homes_do_no_harm(town: Town, home: str) -> None:
    with town.running():
        town.add("eve", 1001, home)
        town.hears("eve", "opened")
        (town.tree / "file0").write_text("changed\n")
        town.hears(town.tree / "file0", "opened")
        assert not town.coded("sensor.failed")


TOOLS = ("useradd", "usermod", "groupadd", "gpasswd", "userdel")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: useradd --prefix")
@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="needs shadow-utils")
def test_each_use_of_the_tools_is_told_as_what_it_is(town: Town) -> None:
    """By the sentence and the technique that an administrator reads, and each act once."""
    for name, text in (
        ("shadow", "alice:*:1::::::\n"),
        ("group", "root:x:0:\nwheel:x:10:\nalice:x:1000:\n"),
        ("gshadow", "root:::\nwheel:::\nalice:!::\n"),
    ):
        (town.etc / name).write_text(text)

    def run(tool: str, *options: str) -> None:
        command = [tool, "--prefix", str(town.etc.parent), *options]
        subprocess.run(command, check=True, capture_output=True)

    def told(name: str, sentence: str, *techniques: str) -> None:
        alert = until(
            lambda: next((one for one in town.about(name) if sentence in one["message"]), None),
            f"{sentence}; told: {[one['message'] for one in town.about(name)]}",
        )
        assert alert["threat"]["technique"]["id"] == [*techniques]

    town.lines = [f"alice:x:1000:1000::{town.homes / 'alice'}:/sbin/nologin\n"]
    (town.etc / "passwd").write_text(town.lines[0])
    with town.running():
        run("useradd", "-M", "-d", str(town.homes / "eve"), "-s", "/bin/sh", "-G", "wheel", "eve")
        told("eve", "New account eve (uid 1001, shell /bin/sh", "T1136.001", "T1098")
        run("usermod", "-a", "-G", "wheel", "alice")
        told("alice", "Account alice joined wheel", "T1098")
        run("usermod", "-s", "/bin/bash", "alice")
        told("alice", "has the shell /bin/bash now (had /sbin/nologin)", "T1098")
        run("usermod", "-p", "$6$salt$hash", "alice")
        told("alice", "got a password, it had none", "T1098")
        run("usermod", "-o", "-u", "0", "alice")
        told("alice", "Account alice gained uid 0 (it is root now; it had uid 1000)", "T1078.003")
        assert len(town.about("eve")) == 1, "one act, one alert"
        assert len(town.about("alice")) == 4
        run("userdel", "-f", "alice")
        told("alice", "Account alice is gone", "T1531")
    assert "salt" not in (town.log / "alerts.jsonl").read_text()
    assert b"$6$salt" not in (town.state / "baseline.db").read_bytes()
