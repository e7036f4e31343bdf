"""What an intruder does to the watcher itself."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
from contextlib import closing

from .table import LIVE, Deed, act
from .told import LOG
from .tools import append, extended, left_python, made, planted, run, sh, shown, until, write

SELF = "T1562.001"
SEIZE = 0x4206

extended("own-configuration", SELF, "/etc/hostguardd/hostguardd.toml", "# quiet\n")
planted(
    "own-configuration-drop-in",
    SELF,
    "/etc/hostguardd/conf.d/00-quiet.toml",
    '[[rule]]\nname = "cron"\nkind = "file"\nseverity = "ignore"\n',
)
extended("own-program", SELF, "/usr/local/lib/python3.11/dist-packages/hostguardd/policy.py", "#\n")
extended("own-unit", SELF, "/etc/systemd/system/hostguardd.service", "[Service]\nExecStartPre=/bin/false\n")
planted(
    "own-unit-drop-in", SELF, "/etc/systemd/system/hostguardd.service.d/x.conf", "[Service]\nLimitNOFILE=1\n"
)


def main_pid() -> int:
    return int(run("systemctl", "show", "--value", "-p", "MainPID", "hostguardd"))


def watching() -> bool:
    ran = subprocess.run(["hostguardctl", "status", "--json"], capture_output=True, text=True, check=False)
    return ran.returncode == 0 and json.loads(ran.stdout)["state"] == "watching"


def back(before: int) -> None:
    """Wait until another daemon watches."""
    until(lambda: main_pid() not in (0, before) and watching(), "the daemon is back", 60.0)


def about_the_log(said: str) -> str:
    """The line of `hostguardctl verify` that says what is wrong with the alert log."""
    found = [line for line in said.splitlines() if "✗" in line and "alert" in line]
    assert found, said
    return " ".join(found[0].split())


@act("T1070", "the disk of the alert log is filled", "log.reserve-used", within=LIVE)
def log_disk_filled() -> Deed:
    with made("/var/log/hostguardd/x"):
        fill()
        for number in range(9):  # one alert may still fit into what was begun
            append(f"/etc/cron.d/reserve-{number}", "x\n")
        yield
        sh("rm /etc/cron.d/reserve-?")


@act("T1053.003", "and what is done while it is full", "/etc/cron.d/on-a-full-disk")
def done_on_a_full_disk() -> Deed:
    with made("/var/log/hostguardd/x", "/etc/cron.d/on-a-full-disk"):
        until(lambda: os.path.exists("/var/log/hostguardd/alerts.reserve"), "there is a reserve again")
        fill()
        write("/etc/cron.d/on-a-full-disk", "* * * * * root /tmp/x\n")
        yield


def fill() -> None:
    """Take all the space that is left where the alert log lies."""
    with open("/var/log/hostguardd/x", "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@act(SELF, "the daemon is traced (ptrace)", '"kind":"setting"', "self", within=LIVE)
def traced() -> Deed:
    # A program of its own: as it ends, so does its hold.
    one = left_python(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"assert libc.ptrace({SEIZE}, {main_pid()}, None, None) == 0, ctypes.get_errno()"
    )
    yield
    one.end()


@act(SELF, "kill -9 of the daemon: systemd starts it again, and it tells the gap", "daemon.gap", within=LIVE)
def killed() -> Deed:
    before = main_pid()
    run("systemctl", "kill", "-s", "KILL", "--kill-who=main", "hostguardd")
    yield
    back(before)


@act("T1053.003", "what was done while nobody watched", "/etc/cron.d/meanwhile", within=30.0)
def done_in_the_gap() -> Deed:
    run("systemctl", "stop", "hostguardd")
    write("/etc/cron.d/meanwhile", "* * * * * root /tmp/x\n")
    run("systemctl", "start", "hostguardd")
    yield
    os.unlink("/etc/cron.d/meanwhile")
    until(watching, "the daemon watches", 60.0)


@act(SELF, "systemctl stop hostguardd", "daemon.stopping", within=LIVE)
def stopped() -> Deed:
    before = main_pid()
    run("systemctl", "stop", "hostguardd")
    yield
    run("systemctl", "start", "hostguardd")
    back(before)


@act(
    SELF,
    "hostguardctl baseline --yes by the intruder: the approval is itself an alert, with the actor",
    "baseline.approved",
    "uid",
    within=30.0,
)
def baseline_approved_by_the_intruder() -> Deed:
    append("/etc/motd", "welcome\n")
    run("hostguardctl", "baseline", "--yes", "--unexplained", "-m", "routine")
    yield


@act("T1070", "one letter of the alert log is edited: verify says where")
def alert_log_edited() -> Deed:
    with LOG.open("r+b") as file:
        at = file.readline().index(b'"message":"') + 11
        file.seek(at)
        letter = file.read(1)
        file.seek(at)
        file.write(b"#")
    verified = subprocess.run(["hostguardctl", "verify"], capture_output=True, text=True, check=False)
    with LOG.open("r+b") as file:
        file.seek(at)
        file.write(letter)
    assert verified.returncode != 0, verified.stdout
    shown(about_the_log(verified.stdout))
    yield


@act(
    "T1565.001",
    "an approved row is edited in the baseline's own database while the daemon is down",
    "baseline.tampered",
    within=30.0,
)
def baseline_edited() -> Deed:
    run("systemctl", "stop", "hostguardd")
    with closing(sqlite3.connect("/var/lib/hostguardd/baseline.db")) as state, state:
        state.execute("UPDATE file_base SET mode = mode + 1 WHERE name = x'706173737764'")
    run("systemctl", "start", "hostguardd")
    yield


@act("T1070", "a line is cut out of the alert log while the daemon is down: verify says which")
def alert_log_cut() -> Deed:
    run("systemctl", "stop", "hostguardd")
    lines = LOG.read_bytes().split(b"\n")
    LOG.write_bytes(b"\n".join(lines[:3] + lines[4:]))
    run("systemctl", "start", "hostguardd")
    until(watching, "the daemon watches", 60.0)
    verified = subprocess.run(["hostguardctl", "verify"], capture_output=True, text=True, check=False)
    assert verified.returncode == 1, verified.stdout + verified.stderr
    shown(about_the_log(verified.stdout))
    yield
