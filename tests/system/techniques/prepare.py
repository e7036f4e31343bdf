"""The host before the deeds: people, services, logs, histories; then its approved baseline."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path

from .tools import run, sh, until, write

RULESET = """\
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
    tcp dport { 22, 80 } accept
  }
}
"""
KEY = "/root/.ssh/id_ed25519"
AGE = 32.0
"""Seconds after which a service that was just started is one of the host's: `[processes] managed`."""
SERVER = """\
import socket, time
one = socket.socket()
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
{more}
one.bind(("0.0.0.0", {port}))
one.listen()
time.sleep(100000)
"""
SHARES = "one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)"
KNOWN = ((7070, "www-data", ""), (8080, "root", SHARES))
"""Ports that the baseline knows: who serves them, and how."""
PEOPLE = ("alice", "carol", "dave", "erin", "frank")


def key() -> None:
    """Root may come in by ssh from this host: the intruder's session, and what the baseline knows."""
    Path("/root/.ssh").mkdir(mode=0o700, exist_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY)
    write("/root/.ssh/authorized_keys", Path(KEY + ".pub").read_text(), 0o600)


SSH = (
    "ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    "-o", "BatchMode=yes", "-i", KEY,
)  # fmt: skip


def ssh(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run something in a session of its own on this host."""
    return subprocess.run([*SSH, *arguments], capture_output=True, text=True, check=False)


def people() -> None:
    for name in PEOPLE:
        run("useradd", "-m", "-s", "/bin/bash", name)
    run("chpasswd", text="".join(f"{name}:{name}-password\n" for name in PEOPLE))
    run("chpasswd", text="root:root-password\n")
    run("passwd", "-l", "carol")
    run("gpasswd", "-a", "frank", "sudo")
    write("/etc/sudoers.d/frank", "frank ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    Path("/home/alice/.ssh").mkdir(mode=0o700)
    write("/home/alice/.ssh/authorized_keys", Path(KEY + ".pub").read_text(), 0o600)
    sh("chown -R alice:alice /home/alice/.ssh")
    commands = "".join(f"ls -l /srv/data/{number}\n" for number in range(200))
    for path in (
        "/root/.bash_history",
        "/root/.python_history",
        *(f"/home/{n}/.bash_history" for n in PEOPLE),
    ):
        write(path, commands, 0o600)
    for name in PEOPLE:
        sh(f"chown {name}:{name} /home/{name}/.bash_history")


def services() -> None:
    sh(
        "ip link add veth-trial type veth peer name veth-peer",
        "ip link set veth-trial up",
        "ip link set veth-peer up",
        may_fail=True,
    )
    run("nft", "-f", "-", text=RULESET, may_fail=True)
    sh("systemctl disable --now auditd", may_fail=True)  # the kernel's audit is not for containers
    for port, user, more in KNOWN:
        path = f"/usr/local/bin/serve-{port}"
        write(path, SERVER.format(port=port, more=more), 0o755)
        unit = f"[Service]\nUser={user}\nExecStart=/usr/bin/python3 {path}\n"
        unit += "[Install]\nWantedBy=multi-user.target\n"
        write(f"/etc/systemd/system/serve-{port}.service", unit)
        run("systemctl", "enable", "--now", f"serve-{port}")
    container_engine = socket.socket(socket.AF_UNIX)
    container_engine.bind("/run/docker.sock")
    os.chmod("/run/docker.sock", 0o660)
    write("/etc/hosts", f"127.0.0.1 localhost {os.uname().nodename}\n::1 localhost\n")
    write("/var/www/html/index.html", "hello\n")
    run("systemctl", "start", "ssh", "cron", "atd", "rsyslog", "nginx")
    write("/trial/wrong", "#!/bin/sh\necho wrong\n", 0o755)
    Path("/var/lib/trial").mkdir(mode=0o700, exist_ok=True)
    os.link("/etc/sudoers.d/README", "/var/lib/misc/readme")


def logs() -> None:
    """Lines in every log, logins in every record."""
    for facility in ("cron", "user", "mail", "auth"):
        for number in range(40):
            run("logger", "-p", f"{facility}.info", f"message {number} for alice")
    for number in range(5):
        sh(
            f"python3 -c \"import urllib.request as u; u.urlopen('http://127.0.0.1/?{number}').read()\"",
            may_fail=True,
        )
    for _ in range(3):
        ran = ssh("alice@127.0.0.1", "true")
        assert ran.returncode == 0, ran.stderr
    # A terminal makes a record in wtmp and lastlog, which a command alone does not.
    for name in ("alice", "root"):
        run(*SSH, "-tt", f"{name}@127.0.0.1", "true")


def watch() -> dict[str, object]:
    """Start the daemon, wait until it watches, approve the host as it is."""
    # Its log on a disk of its own, as some hosts have it; one that can be filled.
    Path("/var/log/hostguardd").mkdir(mode=0o750, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=48m,mode=750", "alerts", "/var/log/hostguardd")
    run("systemctl", "enable", "hostguardd", may_fail=True)
    run("systemctl", "start", "hostguardd")

    def watching() -> bool:
        ran = subprocess.run(
            ["hostguardctl", "status", "--json"], capture_output=True, text=True, check=False
        )
        return ran.returncode == 0 and json.loads(ran.stdout)["state"] == "watching"

    until(watching, "hostguardd watches", 90.0)
    time.sleep(AGE)
    approved = run(
        "hostguardctl", "baseline", "--yes", "--unexplained", "-m", "the host as it is meant to be"
    )
    return {"approved": approved}
