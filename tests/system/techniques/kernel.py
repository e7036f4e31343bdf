"""Mounts, modules, settings in force, firewall and audit in force."""

from __future__ import annotations

import os

from .table import LIVE, Deed, NotHere, act, add
from .tools import impossible, left, made, mounted, run, sh, write

MOUNT = "T1564.013"
DEFENCE = "T1562"


@act(MOUNT, "mount -t tmpfs over /etc/cron.d", "/etc/cron.d")
def mount_over_cron() -> Deed:
    with mounted("-t", "tmpfs", "none", "/etc/cron.d"):
        yield


@act(MOUNT, "mount --bind of another file over /usr/bin/ss", "/usr/bin/ss")
def mount_over_a_file() -> Deed:
    with mounted("--bind", "/usr/bin/true", "/usr/bin/ss"):
        yield


@act(MOUNT, "mount -t overlay over /usr/sbin", "/usr/sbin")
def overlay_over_sbin() -> Deed:
    with made("/var/lib/trial/u/x", "/var/lib/trial/w/x"):
        write("/var/lib/trial/u/x", "")
        write("/var/lib/trial/w/x", "")
        os.unlink("/var/lib/trial/w/x")
        try:
            with mounted(
                "-t", "overlay", "none", "-o",
                "lowerdir=/usr/sbin,upperdir=/var/lib/trial/u,workdir=/var/lib/trial/w", "/usr/sbin",
            ):  # fmt: skip
                yield
        except AssertionError as error:
            if "overlay" in str(error) and "mount:" in str(error):
                raise NotHere(f"no overlay can be mounted: {error}") from None
            raise


@act(MOUNT, "mount -t tmpfs over /home/alice/.ssh", "/home/alice/.ssh")
def mount_over_keys() -> Deed:
    with mounted("-t", "tmpfs", "none", "/home/alice/.ssh"):
        yield


@act(f"{MOUNT} T1014 T1564", "an empty folder is bind-mounted over /proc/PID", "/proc/")
def mount_over_a_process() -> Deed:
    with left("sleep", "600") as one, mounted("--bind", "/var/lib/misc", f"/proc/{one.pid}"):
        yield


@act(MOUNT, "mount --bind / on a folder of its own: everything under another name", "/var/lib/misc/root")
def root_bound_elsewhere() -> Deed:
    with made("/var/lib/misc/root"):
        os.mkdir("/var/lib/misc/root")
        with mounted("--bind", "/", "/var/lib/misc/root"):
            yield


@act("T1564.013 T1562 T1222 T1548.001", "mount -o remount without nosuid and noexec on /dev/shm", "/dev/shm")
def mount_option_lost() -> Deed:
    run("mount", "-o", "remount,suid,exec,dev", "/dev/shm")
    yield
    run("mount", "-o", "remount,nosuid,nodev", "/dev/shm")


impossible(
    "module-loaded", "T1547.006", "insmod of a module", "rootkit",
    "a container may not load modules",
)  # fmt: skip


@act("T1562.012 T1562", "auditctl -D: no rule is in force", "audit", within=LIVE)
def audit_rules_dropped() -> Deed:
    if "No rules" in run("auditctl", "-l", may_fail=True) or run("auditctl", "-l", may_fail=True) == "":
        raise NotHere("the kernel's audit is not to be had in a container")
    run("auditctl", "-D")
    yield


@act("T1562.004 T1562", "nft flush ruleset", "firewall", within=LIVE)
def firewall_flushed() -> Deed:
    rules = run("nft", "list", "ruleset")
    if not rules.strip():
        raise NotHere("no firewall rule could be set before")
    run("nft", "flush", "ruleset")
    yield
    run("nft", "-f", "-", text=rules)


@act("T1562.004 T1562", "nft insert rule … accept before all others", "firewall", within=LIVE)
def firewall_opened() -> Deed:
    rules = run("nft", "list", "ruleset")
    if not rules.strip():
        raise NotHere("no firewall rule could be set before")
    run("nft", "insert", "rule", "inet", "filter", "input", "tcp", "dport", "4444", "accept")
    yield
    sh("nft flush ruleset")
    run("nft", "-f", "-", text=rules)


def sysctl(name: str, value: str, technique: str) -> None:
    """The row of a setting of the kernel."""
    path = f"/proc/sys/{name.replace('.', '/')}"

    def deed() -> Deed:
        try:
            with open(path) as file:
                before = file.read()
            with open(path, "w") as file:
                file.write(value)
        except OSError as error:
            raise NotHere(f"a container may not write {path}: {error.strerror}") from None
        yield
        with open(path, "w") as file:
            file.write(before)

    add(
        f"sysctl-{name.rpartition('.')[2].replace('_', '-')}",
        deed,
        technique,
        f"sysctl -w {name}",
        name,
        within=LIVE,
    )


sysctl("net.ipv4.ip_forward", "1", "T1562 T1557 T1090 T1565")
sysctl("kernel.core_pattern", "|/tmp/x", "T1546")
sysctl("kernel.modprobe", "/tmp/x", "T1546 T1547.006")
sysctl("kernel.randomize_va_space", "0", "T1562")
sysctl("kernel.yama.ptrace_scope", "0", "T1562 T1055")


@act("T1040", "ip link set dev … promisc on", "veth-trial", within=LIVE)
def promiscuous() -> Deed:
    run("ip", "link", "set", "dev", "veth-trial", "promisc", "on")
    yield
    run("ip", "link", "set", "dev", "veth-trial", "promisc", "off")
