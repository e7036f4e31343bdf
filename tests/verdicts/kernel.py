"""What the packaged rules say of kernel: (drift, rule, severity, technique). Each rule has at least one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hostguardd.model import Drift, ModuleFact, MountFact, SettingFact, Severity
from tests.alerts import MODULE, MOUNT, SETTING, drift

IGNORE, INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity


def mount(point: str, fstype: str = "tmpfs", place: str = "other", **fields: Any) -> MountFact:
    fact = replace(MOUNT, point=point.encode(), fstype=fstype.encode(), place=place)
    return replace(fact, **fields)


def module(name: str = "nf_tables", taint: bytes = b"", **fields: Any) -> ModuleFact:
    return replace(MODULE, name=name.encode(), taint=taint, **fields)


def setting(topic: str, name: str, value: str = "1", detail: bytes = b"") -> SettingFact:
    return replace(SETTING, topic=topic, name=name.encode(), value=value.encode(), detail=detail)


def added(fact: Any) -> Drift:
    return drift(None, fact)


def removed(fact: Any) -> Drift:
    return drift(fact, None)


def changed(topic: str, name: str, before: str, after: str) -> Drift:
    return drift(setting(topic, name, before), setting(topic, name, after))


SAFE = b"nodev,noexec,nosuid,relatime,ro"
DROP = "filter hook input priority 0 policy drop, 3 rules, 0123456789abcdef"
ACCEPT = "filter hook input priority 0 policy accept, 3 rules, 0123456789abcdef"
EMPTY = "filter hook input priority 0 policy drop, 0 rules"
OTHER = "filter hook input priority 0 policy drop, 4 rules, fedcba9876543210"

SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    # Mounts.
    (added(mount("/proc/4711", "proc", "process")), "mount-over-process", CRITICAL, "T1564.013 T1014"),
    (added(mount("/home/alice", "nfs4", "automount")), "mount-by-autofs", IGNORE, "T1564.013"),
    (removed(mount("/boot", "vfat", "automount")), "mount-by-autofs", IGNORE, "T1564.013"),
    (added(mount("/run/user/1000")), "mount-of-login", IGNORE, "T1564.013"),
    (added(mount("/run/user/1000", place="watched")), "mount-of-login", IGNORE, "T1564.013"),
    (
        added(mount("/run/user/1000", place="watched", root=b"/tmp/.x")),
        "mount-over-watched",
        CRITICAL,
        "T1564.013",
    ),
    (added(mount("/run/netns/x", "nsfs", root=b"net:[1]")), "mount-of-container", IGNORE, "T1564.013"),
    (
        added(mount("/var/lib/docker/overlay2/ab/merged", "overlay")),
        "mount-of-container",
        IGNORE,
        "T1564.013",
    ),
    (added(mount("/snap/core22/1", "squashfs")), "mount-of-snap", INFO, ""),
    (added(mount("/run/credentials/x.service", "ramfs")), "mount-of-service", IGNORE, "T1564.013"),
    (added(mount("/sys/kernel/debug/tracing", "tracefs")), "mount-of-kernel-window", INFO, ""),
    (added(mount("/sys/kernel/debug", "tmpfs")), "mount-over-evidence", CRITICAL, "T1564.013"),
    (added(mount("/home/alice", "ecryptfs", "watched")), "mount-of-home", MEDIUM, "T1564.013"),
    (added(mount("/home/alice", "tmpfs", "watched")), "mount-over-watched", CRITICAL, "T1564.013"),
    (added(mount("/home/alice", "ext4", "watched", root=b"/x")), "mount-over-watched", CRITICAL, "T1564.013"),
    (added(mount("/home/alice/far", "fuse.sshfs")), "mount-by-user", LOW, "T1564.013"),
    (added(mount("/etc", place="watched")), "mount-over-watched", CRITICAL, "T1564.013"),
    (
        added(mount("/usr/bin/ls", "ext4", "watched", root=b"/tmp/x")),
        "mount-over-watched",
        CRITICAL,
        "T1564.013",
    ),
    (added(mount("/x", "nfs", "automount", root=b"/x")), "bind-mount", MEDIUM, "T1564.013"),
    (added(mount("/srv/y")), "new-mount", MEDIUM, "T1564.013"),
    (added(mount("/var/log")), "mount-over-evidence", CRITICAL, "T1564.013"),
    (added(mount("/mnt", "ext4")), "mount-of-medium", MEDIUM, "T1091"),
    (added(mount("/tmp/build/x", place="watched")), "mount-in-temporary-place", MEDIUM, "T1564.013"),
    (added(mount("/tmp", place="watched")), "mount-over-watched", CRITICAL, "T1564.013"),
    (
        drift(mount("/tmp", options=SAFE), mount("/tmp", options=b"ro")),
        "mount-lets-set-id-work",
        HIGH,
        "T1548.001",
    ),
    (
        drift(mount("/usr", "ext4", options=b"nosuid,ro"), mount("/usr", "ext4", options=b"nosuid,rw")),
        "mount-allows-more",
        HIGH,
        "T1562.001",
    ),
    (
        drift(mount("/", "ext4", source=b"/dev/sda1"), mount("/", "ext4", source=b"/dev/sdb1")),
        "mount-of-renamed-device",
        LOW,
        "T1564.013",
    ),
    (drift(mount("/x", "ext4"), mount("/x", "xfs")), "mount-changed", MEDIUM, "T1564.013"),
    (removed(mount("/boot", "ext4", "watched")), "unmounted-watched", HIGH, "T1562.001"),
    (removed(mount("/data", "ext4")), "unmounted", LOW, "T1489"),
    (added(mount("/srv/x", "ext4", root=b"/home")), "bind-mount", MEDIUM, "T1564.013"),
    (added(mount("/srv/x", "btrfs", root=b"/@srv")), "new-mount", MEDIUM, "T1564.013"),
    # Modules.
    (added(module(seen="sysfs")), "module-hidden", CRITICAL, "T1014"),
    (drift(module(), module(seen="list")), "module-hidden", CRITICAL, "T1014"),
    (added(module("diamorphine", b"EO")), "module-foreign", CRITICAL, "T1547.006"),
    (drift(module(), module(taint=b"F")), "module-foreign", CRITICAL, "T1547.006"),
    (added(module("tcp_diag")), "module-for-listing-sockets", INFO, ""),
    (added(module("tcp_diag", b"O")), "module-foreign", CRITICAL, "T1547.006"),
    (removed(module()), "module-gone", INFO, ""),
    (drift(module(taint=b"C"), module()), "module-changed", HIGH, "T1547.006"),
    (added(module()), "new-module", MEDIUM, "T1547.006"),
    # Ourselves.
    (added(setting("self", "tracer", "/usr/bin/gdb")), "hostguard-traced", CRITICAL, "T1562.001"),
    (removed(setting("self", "tracer", "/usr/bin/gdb")), "hostguard-let-go", INFO, ""),
    (added(setting("self", "library /tmp/x.so", "mapped")), "hostguard-injected", CRITICAL, "T1574.006"),
    # The kernel.
    (removed(setting("kernel", "taint O", "set")), "kernel-untainted", INFO, ""),
    (added(setting("kernel", "taint O", "set")), "kernel-tainted-by-module", CRITICAL, "T1547.006"),
    (added(setting("kernel", "taint W", "set")), "kernel-tainted", MEDIUM, "T1068"),
    (changed("kernel", "release", "6.1.0-1", "6.1.0-2"), "kernel-release", INFO, ""),
    (changed("kernel", "crash kernel", "1", "0"), "crash-kernel", LOW, "T1562"),
    (changed("kernel", "command line", "ro", "ro selinux=0"), "kernel-command-line", HIGH, "T1542"),
    (changed("kernel", "lockdown", "integrity", "none"), "kernel-protection", HIGH, "T1562.001"),
    # Sysctls.
    (
        changed("sysctl", "kernel.core_pattern", "core", "|/usr/lib/systemd/systemd-coredump %P %u"),
        "core-pattern-of-distribution",
        LOW,
        "T1546",
    ),
    (changed("sysctl", "kernel.core_pattern", "core", "|/tmp/x"), "program-run-by-kernel", CRITICAL, "T1546"),
    (changed("sysctl", "kernel.core_pattern", "core", "/tmp/x"), "program-run-by-kernel", CRITICAL, "T1546"),
    (
        changed("sysctl", "kernel.modprobe", "/sbin/modprobe", "/x"),
        "program-run-by-kernel",
        CRITICAL,
        "T1546",
    ),
    (added(setting("sysctl", "binfmt x", "/tmp/x enabled")), "program-run-by-kernel", CRITICAL, "T1546"),
    (removed(setting("sysctl", "binfmt x", "/usr/bin/x enabled")), "interpreter-gone", LOW, "T1546"),
    (added(setting("sysctl", "net.netfilter.nf_conntrack_helper", "0")), "sysctl-came-or-went", INFO, ""),
    (changed("sysctl", "net.ipv4.ip_forward", "0", "1"), "packets-passed-on", MEDIUM, "T1090"),
    (changed("sysctl", "kernel.randomize_va_space", "2", "0"), "sysctl-protection", HIGH, "T1562.001"),
    # SELinux and AppArmor.
    (changed("selinux", "mode", "enforcing", "permissive"), "selinux-off", CRITICAL, "T1562.001"),
    (changed("selinux", "mode", "permissive", "enforcing"), "selinux-enforces", INFO, ""),
    (added(setting("selinux", "boolean x", "on")), "selinux-boolean-came-or-went", LOW, "T1562.001"),
    (changed("selinux", "boolean x", "off", "on"), "selinux-boolean", MEDIUM, "T1562.001"),
    (removed(setting("apparmor", "profile snap.x.y", "enforce")), "apparmor-of-guests", INFO, ""),
    (added(setting("apparmor", "profile /usr/sbin/x", "enforce")), "apparmor-profile-new", LOW, "T1562.001"),
    (changed("apparmor", "profile x", "enforce", "complain"), "apparmor-weakened", HIGH, "T1562.001"),
    (removed(setting("apparmor", "profile x", "enforce")), "apparmor-weakened", HIGH, "T1562.001"),
    # Interfaces.
    (added(setting("interface", "eth0", "promiscuous")), "promiscuous", HIGH, "T1040"),
    (removed(setting("interface", "eth0", "promiscuous")), "promiscuous-no-more", INFO, ""),
    # Audit.
    (changed("audit", "enabled", "on", "off"), "audit-off", CRITICAL, "T1562.012"),
    (changed("audit", "daemon", "none", "reads"), "audit-works", INFO, ""),
    (changed("audit", "daemon", "reads", "none"), "audit-unread", HIGH, "T1562.012"),
    (removed(setting("audit", "rule -w /etc/passwd -p wa")), "audit-rule-dropped", HIGH, "T1562.012"),
    (added(setting("audit", "rule -a never,task")), "audit-rule-silences", HIGH, "T1562.012"),
    (added(setting("audit", "rule -w /etc -p wa")), "audit-rule-new", LOW, "T1562.012"),
    (changed("audit", "rate limit", "0", "1"), "audit-changed", HIGH, "T1562.012"),
    # The firewall.
    (changed("firewall", "inet filter input", DROP, ACCEPT), "firewall-opened", CRITICAL, "T1562.004"),
    (changed("firewall", "table inet filter", "active", "dormant"), "firewall-opened", CRITICAL, "T1562.004"),
    (changed("firewall", "inet filter input", DROP, EMPTY), "firewall-emptied", CRITICAL, "T1562.004"),
    (
        added(setting("firewall", "iptables filter INPUT", "hook input policy accept, 0 rules")),
        "firewall-empty-chain",
        INFO,
        "",
    ),
    (
        changed("firewall", "ip nat DOCKER", "called by others, 1 rule, 1", "x"),
        "firewall-of-guests",
        INFO,
        "T1562.004",
    ),
    (removed(setting("firewall", "inet filter input", DROP)), "firewall-removed", CRITICAL, "T1562.004"),
    (removed(setting("firewall", "table inet filter", "active")), "firewall-removed", CRITICAL, "T1562.004"),
    (changed("firewall", "ip nat POSTROUTING", DROP, OTHER), "firewall-masquerade", MEDIUM, "T1562.004"),
    (changed("firewall", "set inet filter ok", "1", "2"), "firewall-set", MEDIUM, "T1562.004"),
    (changed("firewall", "inet filter input", DROP, OTHER), "firewall-changed", HIGH, "T1562.004"),
    (changed("firewall", "ip filter DOCKER-USER", "a", "b"), "firewall-changed", HIGH, "T1562.004"),
    (added(setting("firewall", "inet x y", DROP)), "firewall-added", MEDIUM, "T1562.004"),
    # What nobody thought of.
    (added(setting("weather", "sky", "blue")), "setting", HIGH, "T1562"),
]
