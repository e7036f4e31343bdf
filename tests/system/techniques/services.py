"""Services and what starts them; services stopped."""

from __future__ import annotations

import os

from .table import LIVE, Deed, act
from .tools import kept, made, planted, run, sh, write

UNIT = "[Service]\nExecStart=/tmp/x\n[Install]\nWantedBy=multi-user.target\n"

for name, folder in {
    "etc": "/etc/systemd/system",
    "usr-lib": "/usr/lib/systemd/system",
    "usr-local": "/usr/local/lib/systemd/system",
    "run": "/run/systemd/system",
    "user-etc": "/etc/systemd/user",
    "user-usr-lib": "/usr/lib/systemd/user",
    "user-run": "/run/systemd/user",
}.items():
    planted(f"unit-{name}", "T1543.002", f"{folder}/telemetryd.service", UNIT)
planted("unit-of-root", "T1543.002", "/root/.config/systemd/user/x.service", UNIT)
planted("unit-of-a-user", "T1543.002", "/home/alice/.config/systemd/user/x.service", UNIT)
planted(
    "unit-drop-in",
    "T1543.002",
    "/etc/systemd/system/ssh.service.d/x.conf",
    "[Service]\nExecStartPre=/tmp/x\n",
)
planted(
    "unit-drop-in-for-all",
    "T1543.002",
    "/etc/systemd/system/service.d/x.conf",
    "[Service]\nEnvironment=LD_PRELOAD=/tmp/x.so\n",
)
planted("generator", "T1543.002", "/etc/systemd/system-generators/x", "#!/bin/sh\n/tmp/x\n", mode=0o755)
planted(
    "generator-usr-local",
    "T1543.002",
    "/usr/local/lib/systemd/system-generators/x",
    "#!/bin/sh\n",
    mode=0o755,
)
planted("user-generator", "T1543.002", "/usr/lib/systemd/user-generators/x", "#!/bin/sh\n", mode=0o755)
planted(
    "environment-generator",
    "T1543.002",
    "/etc/systemd/system-environment-generators/x",
    "#!/bin/sh\n",
    mode=0o755,
)
planted("preset", "T1543.002", "/etc/systemd/system-preset/00-x.preset", "enable telemetryd.service\n")
planted(
    "system-conf",
    "T1543.002",
    "/etc/systemd/system.conf.d/x.conf",
    "[Manager]\nDefaultEnvironment=LD_PRELOAD=/tmp/x.so\n",
)
planted("system-shutdown", "T1543.002", "/usr/lib/systemd/system-shutdown/x", "#!/bin/sh\n", mode=0o755)
planted("system-sleep", "T1543.002", "/usr/lib/systemd/system-sleep/x", "#!/bin/sh\n", mode=0o755)
planted("init-d", "T1543.002 T1037.004", "/etc/init.d/telemetryd", "#!/bin/sh\n/tmp/x &\n", mode=0o755)
planted("inetd", "T1543.002", "/etc/inetd.conf", "31337 stream tcp nowait root /bin/sh sh -i\n")
planted("xinetd", "T1543.002", "/etc/xinetd.d/shell", "service x { server = /bin/sh }\n")
planted("inittab", "T1543.002 T1037.004", "/etc/inittab", "x:2345:respawn:/tmp/x\n")
planted("rc-local", "T1037.004", "/etc/rc.local", "#!/bin/sh\n/tmp/x &\n", mode=0o755)
planted("rc-common", "T1037.004", "/etc/rc.common", "/tmp/x &\n")
planted("rc-boot", "T1037.004", "/etc/rc.boot/x", "/tmp/x &\n", mode=0o755)


@act("T1543.002 T1037.004", "ln -s in rc2.d", "/etc/rc2.d/S99x")
def rc_link() -> Deed:
    with made("/etc/rc2.d/S99x"):
        os.symlink("/tmp/x", "/etc/rc2.d/S99x")
        yield


@act("T1543.002", "systemctl link of a unit that lies in /dev/shm", "/etc/systemd/system/shmd.service")
def unit_linked_from_shm() -> Deed:
    with made("/dev/shm/shmd.service", "/etc/systemd/system/shmd.service"):
        write("/dev/shm/shmd.service", UNIT)
        run("systemctl", "link", "/dev/shm/shmd.service")
        yield
        run("systemctl", "disable", "shmd.service", may_fail=True)


@act(
    "T1543.002",
    "loginctl enable-linger alice: her units run without a login",
    "/var/lib/systemd/linger/alice",
)
def lingering() -> Deed:
    with made("/var/lib/systemd/linger/alice"):
        run("loginctl", "enable-linger", "alice")
        yield
        run("loginctl", "disable-linger", "alice")


@act("T1569.002 T1543.002 T1569", "systemd-run: a transient unit", "/run/systemd/transient/quickd.service")
def transient_unit() -> Deed:
    run("systemd-run", "--unit=quickd", "/usr/bin/sleep", "600")
    yield
    run("systemctl", "stop", "quickd")


@act("T1543.002 T1036.005 T1569", "systemd-run of a program in /dev/shm", "/dev/shm/agentd", within=LIVE)
def service_from_shm() -> Deed:
    with made("/dev/shm/agentd"):
        sh("cp /usr/bin/sleep /dev/shm/agentd; systemd-run --unit=shmrun /dev/shm/agentd 600")
        yield
        run("systemctl", "stop", "shmrun")


@act("T1489", "systemctl stop nginx", "nginx", within=40.0)
def service_stopped() -> Deed:
    run("systemctl", "stop", "nginx")
    yield
    run("systemctl", "start", "nginx")


@act("T1489", "kill -9 of a service that is not started again", "atd", within=40.0)
def service_killed() -> Deed:
    sh("pkill -KILL -x atd; sleep 0.2; systemctl stop atd")  # which would be started again
    yield
    run("systemctl", "start", "atd")


@act("T1489", "systemctl mask rsyslog", "/etc/systemd/system/rsyslog.service")
def service_masked() -> Deed:
    with kept("/etc/systemd/system/syslog.service"):
        run("systemctl", "mask", "rsyslog")
        yield
        run("systemctl", "unmask", "rsyslog")


@act(
    "T1489 T1562 T1543.002",
    "systemctl disable cron",
    "/etc/systemd/system/multi-user.target.wants/cron.service",
)
def service_disabled() -> Deed:
    run("systemctl", "disable", "cron")
    yield
    run("systemctl", "enable", "cron")
