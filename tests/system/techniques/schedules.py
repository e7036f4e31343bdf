"""Work at a set time: cron, at, anacron, timers."""

from __future__ import annotations

import os

from .table import Deed, act
from .tools import append, extended, kept, made, planted, run, sh, write

LINE = "* * * * * root /tmp/x\n"

extended("crontab-of-the-system", "T1053.003", "/etc/crontab", LINE)
planted("cron-d", "T1053.003", "/etc/cron.d/backdoor", LINE)
for period in ("hourly", "daily", "weekly", "monthly"):
    planted(f"cron-{period}", "T1053.003", f"/etc/cron.{period}/sysstat0", "#!/bin/sh\n/tmp/x\n", mode=0o755)
extended("anacrontab", "T1053.003", "/etc/anacrontab", "1 5 x /tmp/x\n")
planted("cron-allow", "T1053.003", "/etc/cron.allow", "alice\n")
planted("cron-deny", "T1053.003", "/etc/cron.deny", "root\n")
planted("cron-spool-of-red-hat", "T1053.003", "/var/spool/cron/root", "* * * * * /tmp/x\n")
planted("at-allow", "T1053.002", "/etc/at.allow", "alice\n")


@act("T1053.003", "crontab - as root", "/var/spool/cron/crontabs/root")
def crontab_of_root() -> Deed:
    run("crontab", "-", text="@reboot /tmp/x\n")
    yield
    run("crontab", "-r")


@act("T1053.003", "crontab - as alice", "/var/spool/cron/crontabs/alice")
def crontab_of_a_user() -> Deed:
    run("su", "alice", "-c", "crontab -", text="*/5 * * * * /tmp/x\n")
    yield
    run("crontab", "-u", "alice", "-r")


@act("T1053.002", "echo /tmp/x | at now + 1 day", "/var/spool/cron/atjobs/a")
def at_job() -> Deed:
    run("at", "now + 1 day", text="/tmp/x\n")
    yield
    sh("atrm $(atq | cut -f1)")


@act("T1053.006", "a timer in /etc/systemd/system is enabled", "/etc/systemd/system/telemetry.timer")
def timer() -> Deed:
    with made(
        "/etc/systemd/system/telemetry.timer",
        "/etc/systemd/system/telemetry.service",
        "/etc/systemd/system/timers.target.wants/telemetry.timer",
    ):
        write("/etc/systemd/system/telemetry.service", "[Service]\nExecStart=/tmp/x\n")
        write(
            "/etc/systemd/system/telemetry.timer",
            "[Timer]\nOnCalendar=hourly\n[Install]\nWantedBy=timers.target\n",
        )
        run("systemctl", "enable", "telemetry.timer")
        yield
        run("systemctl", "disable", "telemetry.timer")


@act(
    "T1053.006",
    "systemd-run --on-calendar: a timer that is in /run only",
    "/run/systemd/transient/ping.timer",
)
def transient_timer() -> Deed:
    run("systemd-run", "--unit=ping", "--on-calendar=hourly", "/bin/true")
    yield
    run("systemctl", "stop", "ping.timer")


@act(
    "T1053.006",
    "a drop-in makes a known timer run another time",
    "/etc/systemd/system/apt-daily.timer.d/x.conf",
)
def timer_drop_in() -> Deed:
    with made("/etc/systemd/system/apt-daily.timer.d/x.conf"):
        write("/etc/systemd/system/apt-daily.timer.d/x.conf", "[Timer]\nOnCalendar=*:0/5\n")
        yield


@act("T1053.006", "a timer of a user's own", "/home/alice/.config/systemd/user/x.timer")
def timer_of_a_user() -> Deed:
    with made("/home/alice/.config/systemd/user/x.timer"):
        write("/home/alice/.config/systemd/user/x.timer", "[Timer]\nOnBootSec=1\n")
        yield


@act("T1053.003", "a line is added to a script in cron.daily that is there", "/etc/cron.daily/logrotate")
def cron_script_extended() -> Deed:
    with kept("/etc/cron.daily/logrotate"):
        append("/etc/cron.daily/logrotate", "/tmp/x\n")
        os.utime("/etc/cron.daily/logrotate", (1_600_000_000, 1_600_000_000))
        yield
