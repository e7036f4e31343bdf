"""An hour of ordinary life in some minutes, on the booted host: none of it is to be told.

A unit runs this with the host's own Python and nothing but its standard library. Everything that
happens here happened once before the baseline was approved, as on a host that was lived on. What the
alert log holds afterwards is judged by `test_quiet.py`; /result.json says when which part began.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOG = Path("/var/log/hostguardd/alerts.jsonl")
KEY = "/root/.ssh/id_ed25519"

result: dict[str, Any] = {"parts": {}}


def run(*command: str, text: str = "", may_fail: bool = False, patience: float = 120.0) -> str:
    ran = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=patience)
    assert may_fail or ran.returncode == 0, f"{' '.join(command)}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def sh(*lines: str, may_fail: bool = False) -> str:
    return run("/bin/sh", "-c", "\n".join(lines), may_fail=may_fail)


SSH = (
    "ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
)  # fmt: skip


def ssh(*lines: str) -> None:
    """Run lines of shell in a session of alice's."""
    run(*SSH, "-o", "BatchMode=yes", "-i", KEY, "alice@127.0.0.1", "\n".join(lines))


def until(met: Callable[[], object], what: str, patience: float = 240.0) -> None:
    deadline = time.monotonic() + patience
    while not met():
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.1)


# -- the host as it is lived on ------------------------------------------------------------------

CRON = """\
* * * * * root /usr/bin/python3 -c "import os; open('/var/tmp/cron.state', 'w').write('x')"
* * * * * root test -x /usr/sbin/anacron || run-parts /etc/cron.daily
* * * * * alice /bin/sleep 20
"""

TIMER = "[Timer]\nOnActiveSec=2\nOnUnitActiveSec=15\nAccuracySec=1\n[Install]\nWantedBy=timers.target\n"
JOB = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'date > /var/lib/misc/report; sleep 3'\n"

ROTATED = """\
/var/log/app.log {
  daily
  rotate 3
  compress
  missingok
  create 0640 root adm
}
/var/log/copied.log {
  daily
  rotate 2
  copytruncate
}
"""

LAN = (
    "/usr/sbin/ip", "netns", "exec", "elsewhere", "/usr/sbin/dnsmasq", "--keep-in-foreground",
    "--conf-file=/dev/null", "--port=0", "--interface=veth-far", "--bind-interfaces", "--pid-file",
    "--dhcp-range=192.0.2.10,192.0.2.90,120", "--dhcp-leasefile=/run/leases",
)  # fmt: skip
"""A DHCP server on the other end of our network."""

CONTROL = """\
Package: trial-tool
Version: {version}
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: a package for a test
"""


def settle_down() -> None:
    """People, keys, services, timers, logs, a network that is served by DHCP."""
    Path("/etc/hosts").write_text(f"127.0.0.1 localhost {os.uname().nodename}\n")  # which sudo asks for
    Path("/root/.ssh").mkdir(mode=0o700, exist_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY)
    run("useradd", "-m", "-s", "/bin/bash", "alice")
    Path("/home/alice/.ssh").mkdir(mode=0o700)
    shutil.copy(KEY + ".pub", "/home/alice/.ssh/authorized_keys")
    sh("chown -R alice:alice /home/alice/.ssh")
    Path("/etc/sudoers.d/alice").write_text("alice ALL=(ALL) NOPASSWD: ALL\n")
    Path("/etc/cron.d/life").write_text(CRON)
    Path("/etc/systemd/system/report.service").write_text(JOB)
    Path("/etc/systemd/system/report.timer").write_text(TIMER)
    Path("/etc/logrotate.d/life").write_text(ROTATED)
    for log in ("app", "copied"):
        Path(f"/var/log/{log}.log").write_text("".join(f"line {number}\n" for number in range(500)))
    sh("systemctl disable --now auditd", may_fail=True)  # the kernel's audit is not for containers
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", "report.timer")
    run("systemctl", "start", "ssh", "cron", "atd", "rsyslog", "nginx")
    sh(
        "set -e",
        "ip netns add elsewhere",
        "ip link add veth-near type veth peer name veth-far netns elsewhere",
        "ip netns exec elsewhere ip address add 192.0.2.1/24 dev veth-far",
        "ip netns exec elsewhere ip link set veth-far up",
        "ip link set veth-near up",
        may_fail=True,
    )
    result["network"] = "veth-near" in run("ip", "link")
    if result["network"]:
        Path("/etc/systemd/system/lan.service").write_text(f"[Service]\nExecStart={' '.join(LAN)}\n")
        run("systemctl", "daemon-reload")
        run("systemctl", "start", "lan")
        time.sleep(1)
        dhcp()


def package(version: str) -> str:
    """A small package made on the spot."""
    top = Path(f"/var/lib/misc/trial-{version}")
    for name, text, mode in (
        ("DEBIAN/control", CONTROL.format(version=version), 0o644),
        ("DEBIAN/postinst", "#!/bin/sh\nexit 0\n", 0o755),
        ("usr/bin/trial-tool", f"#!/bin/sh\necho {version}\n", 0o755),
        ("etc/trial-tool.conf", f"version = {version}\n", 0o644),
        ("usr/share/doc/trial-tool/README", "read me\n", 0o644),
        ("lib/systemd/system/trial-tool.service", "[Service]\nExecStart=/usr/bin/trial-tool\n", 0o644),
    ):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    for folder in (top, *(path for path in top.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    made = f"/var/lib/misc/trial-tool_{version}.deb"
    run("dpkg-deb", "--build", "--root-owner-group", str(top), made)
    return made


# -- the parts of a day --------------------------------------------------------------------------


def logins() -> None:
    """A user works: reads, edits as vim does, becomes root for a moment, runs what she built, waits."""
    ssh(
        "ls -la /etc > /dev/null", "id", "cat /etc/passwd > /dev/null", "ps aux > /dev/null", "df > /dev/null"
    )
    ssh("echo draft > note", "vi -es -c 's/draft/text/' -c wq note", "rm note")
    ssh("mkdir -p build", "cp /bin/true build/prog", "build/prog")
    ssh(
        "sudo systemctl status cron > /dev/null",
        "sudo ls /root > /dev/null",
        "sudo -u www-data id > /dev/null",
    )
    ssh("sleep 4 & python3 -c 'import time; time.sleep(3)'", "wait")
    ssh("tar czf /tmp/backup.tgz /etc/hosts 2> /dev/null", "rm /tmp/backup.tgz", "rmdir $(mktemp -d)")
    run(
        *SSH, "-tt", "-i", KEY, "alice@127.0.0.1",
        text="ls\nhistory | tail -2\nsleep 2\nexit\n", may_fail=True,
    )  # fmt: skip


def mistyped() -> None:
    """People mistype, once or twice."""
    helper = Path("/var/lib/misc/wrong")
    helper.write_text("#!/bin/sh\necho wrong\n")
    helper.chmod(0o755)
    asked = " ".join([*SSH, "-o", "NumberOfPasswordPrompts=1", "-o", "PubkeyAuthentication=no"])
    sh(
        f"SSH_ASKPASS={helper} SSH_ASKPASS_REQUIRE=force setsid -w {asked} alice@127.0.0.1 true < /dev/null",
        may_fail=True,
    )


def timers() -> None:
    run("systemd-run", "--on-active=1", "/bin/sh", "-c", "date > /var/lib/misc/once")
    run("systemd-run", "--wait", "--collect", "/usr/bin/sleep", "1")
    for unit in (
        "logrotate",
        "man-db",
        "dpkg-db-backup",
        "apt-daily",
        "apt-daily-upgrade",
        "systemd-tmpfiles-clean",
        "fstrim",
        "e2scrub_all",
        "plocate-updatedb",
    ):
        run("systemctl", "start", f"{unit}.service", may_fail=True)
    sh("run-parts /etc/cron.daily", may_fail=True)


def rotation() -> None:
    for _ in range(2):
        for log in ("app", "copied"):
            with open(f"/var/log/{log}.log", "a") as file:
                file.write("one more line\n" * 50)
        sh("logger before; logrotate -f /etc/logrotate.conf; logger after")
        time.sleep(3)
    run("journalctl", "--rotate")
    run("journalctl", "--vacuum-time=2weeks")  # one that removes all would be the wiping of a log
    run("journalctl", "--flush")


def services() -> None:
    run("systemctl", "reload", "nginx")
    run("systemctl", "restart", "nginx")
    run("systemctl", "restart", "cron")
    run("systemctl", "restart", "rsyslog")
    run("systemctl", "restart", "systemd-journald")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "ssh")
    run("systemd-tmpfiles", "--clean")
    run("systemctl", "restart", "systemd-logind", may_fail=True)
    for number in range(30):
        sh(
            f"python3 -c \"import urllib.request as u; u.urlopen('http://127.0.0.1/?{number}').read()\"",
            may_fail=True,
        )


def temporary_files() -> None:
    """What programs do in /tmp: data, sockets, lock files, whole trees that come and go."""
    for number in range(200):
        Path(f"/tmp/work.{number}").write_text("data\n")
    for number in range(200):
        Path(f"/tmp/work.{number}").unlink()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x").write_text("x")
    sh("sort --parallel=1 /etc/services > /dev/null", "xz -k -c /etc/services > /tmp/s.xz", "rm /tmp/s.xz")


def dhcp() -> None:
    if result["network"]:
        sh(
            "dhclient -1 -v veth-near 2>&1 | tail -1; pkill -x dhclient; sleep 0.5; dhclient -1 veth-near",
            may_fail=True,
        )


def renewal() -> None:
    if result["network"]:
        sh("dhclient -r veth-near; dhclient -1 veth-near", may_fail=True)
        leases = Path("/var/lib/dhcp/dhclient.leases").read_text()
        result["leases"] = re.findall(r"fixed-address [0-9.]+|renew [^;]+", leases)


def packages() -> None:
    """Installed, updated, removed: the one thing here that an administrator wants to know."""
    run("dpkg", "-i", package("1.0"))
    time.sleep(5)
    run("dpkg", "-i", package("1.1"))
    time.sleep(5)
    run("dpkg", "--purge", "trial-tool")


def own_service() -> None:
    run("systemctl", "reload", "hostguardd")
    run("systemctl", "restart", "hostguardd")
    until(watching, "hostguardd watches again")


PARTS: tuple[Callable[[], None], ...] = (
    logins, mistyped, timers, rotation, services, temporary_files, renewal, logins, packages, own_service,
    logins,
)  # fmt: skip


def watching() -> bool:
    ran = subprocess.run(["hostguardctl", "status", "--json"], capture_output=True, text=True, check=False)
    return ran.returncode == 0 and json.loads(ran.stdout)["state"] == "watching"


def lines() -> int:
    return LOG.read_text().count("\n")


def main() -> None:
    settle_down()
    for part in (rotation, timers, services, renewal, logins):  # a host that was lived on
        part()
    run("systemctl", "start", "hostguardd")
    until(watching, "hostguardd watches")
    time.sleep(3)
    result["approved"] = run("hostguardctl", "baseline", "--yes", "--unexplained", "-m", "the host as it is")
    result["from"] = lines()
    for part in PARTS:
        name = part.__name__
        while name in result["parts"]:
            name += " again"
        result["parts"][name] = {"from": lines(), "at": time.time()}
        try:
            part()
        except (AssertionError, OSError, subprocess.SubprocessError):
            result["parts"][name]["failed"] = traceback.format_exc()
        time.sleep(8)
    result["parts"]["the end"] = {"from": lines(), "at": time.time()}
    time.sleep(70)  # what is young comes of age, cron's minute passes, and all is looked at once more
    run("hostguardctl", "check", may_fail=True)
    time.sleep(2)
    result["last"] = {"from": lines(), "at": time.time()}
    result["status"] = json.loads(run("hostguardctl", "status", "--json"))


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, OSError, subprocess.SubprocessError):
        result["failed"] = traceback.format_exc()
    finally:
        result["journal"] = run("journalctl", "-o", "short", "--no-pager", "-n", "4000", may_fail=True)[
            -200_000:
        ]
        result["pid"] = os.getpid()
        Path("/result.json").write_text(json.dumps(result))
