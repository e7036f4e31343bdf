"""The real kernel's mounts, firewall, audit and sockets, and what an intruder really does to them.

What can be done in namespaces is done there, by a witness in a process of its own, and ends with it. The
kernel has but one audit system: what is done to it is put back.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hostguardd.actors import obstacles
from hostguardd.actors.auditrecords import KEY
from hostguardd.host.kernel import LinuxKernel
from hostguardd.host.live import Sockets
from hostguardd.host.sockets import SocketTable
from hostguardd.model import Depth, SettingFact
from hostguardd.sensors.modules import ModulesSensor
from hostguardd.sensors.mounts import MountsSensor
from hostguardd.sensors.settings import SettingsSensor
from hostguardd.watches import Watches

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def never() -> bool:
    return False


def witness(kind: str, *commands: str) -> list[list[list[str]]]:
    """What is told after each of the commands: [rule, severity, technique, sentence] of each finding."""
    space = ["unshare", "-n", "-m", "-p", "--fork", "--mount-proc", "--propagation", "private"]
    ran = subprocess.run(
        [*space, sys.executable, "-m", "tests.kernel_witness", kind],
        input="".join(command + "\n" for command in commands),
        capture_output=True, text=True, cwd=ROOT, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if "Operation not permitted" in ran.stderr and not ran.stdout:
        pytest.skip(f"no namespaces here: {ran.stderr.strip()}")
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


# -- mounts -----------------------------------------------------------------------------------------


@needs_root
@needs("unshare")
def test_mounts_that_hide(tmp_path: Path) -> None:
    for name in ("a", "file"):
        (tmp_path / name).mkdir() if name == "a" else (tmp_path / name).write_text("x")
    told = witness(
        "mounts",
        "true",
        "mount -t tmpfs none /etc",
        "umount /etc",
        f"mount --bind {tmp_path}/file /usr/bin/env",
        f"mount --bind {tmp_path}/a /proc/1",
        "mount -t tmpfs -o nosuid,nodev,noexec none /mnt",
        "mount -o remount,suid,exec,nodev /mnt",
        "mount -t tmpfs none /mnt",
        "mount -t tmpfs none /var/log",
    )
    assert told[0] == []
    (covered,) = told[1]
    assert covered[:3] == ["mount-over-watched", "critical", "T1564.013"]
    assert covered[3] == "tmpfs none was mounted over /etc: what lies beneath cannot be seen"
    assert [one[0] for one in told[2]] == ["unmounted-watched"]
    (bound,) = told[3]
    assert bound[:2] == ["mount-over-watched", "critical"]
    assert "was mounted over /usr/bin/env" in bound[3]
    (process,) = told[4]
    assert process[:3] == ["mount-over-process", "critical", "T1564.013 T1014"]
    assert process[3].endswith("was mounted over /proc/1: that process is hidden behind it")
    assert [one[0] for one in told[5]] == ["mount-of-medium"]
    (lost,) = told[6]
    assert lost[:3] == ["mount-lets-set-id-work", "high", "T1548.001"]
    assert "lost noexec, nosuid" in lost[3]
    (again,) = told[7]
    assert again[3].startswith("tmpfs none was mounted over /mnt, once more")
    assert [one[:2] for one in told[8]] == [["mount-over-watched", "critical"]]


def test_our_own_mounts_are_read_and_stand_still() -> None:
    kernel = LinuxKernel()
    sensor = MountsSensor(kernel, Watches(()), 0.5, time.time_ns)
    first, second = ([sweep.rows for sweep in sensor.sweep(Depth.FULL, never)] for _ in range(2))
    assert first == second
    assert any(row[1] == b"/" for row in first[0])
    assert not kernel.remounted() or not kernel.remounted()
    kernel.close()


def test_the_list_of_modules_agrees_with_itself() -> None:
    kernel = LinuxKernel()
    (sweep,) = ModulesSensor(kernel, 5.0, time.time_ns).sweep(Depth.FULL, never)
    if not Path("/proc/modules").exists():
        assert (sweep.rows, sweep.blinds) == ([], ())
        pytest.skip("this kernel has no modules")
    assert len(sweep.rows) == len(Path("/proc/modules").read_bytes().splitlines())
    assert {row[3] for row in sweep.rows} == {"everywhere"}


# -- firewall ---------------------------------------------------------------------------------------

RULES = """\
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    tcp dport { 22, 80 } counter accept
    ip saddr 10.0.0.0/8 udp dport 53 accept
  }
}
"""


@needs_root
@needs("unshare")
@needs("nft")
def test_a_firewall_that_is_opened(tmp_path: Path) -> None:
    rules = tmp_path / "rules.nft"
    rules.write_text(RULES)
    told = witness(
        "settings",
        "true",
        f"nft -f {rules}",
        f"nft 'flush ruleset; include \"{rules}\"'",
        "nft insert rule inet filter input tcp dport 4444 accept",
        "nft 'flush chain inet filter input'",
        f"nft 'flush ruleset; include \"{rules}\"'",
        "nft 'chain inet filter input { policy accept; }'",
        "nft flush ruleset",
    )
    assert told[0] == []
    assert {one[0] for one in told[1]} == {"firewall-added"}
    assert told[2] == [], "the same rules loaded anew are no change"
    (port,) = told[3]
    assert port[:3] == ["firewall-changed", "high", "T1562.004"]
    assert "inet filter input: 3 → 4 rules, with l4proto tcp dport 4444 accept" in port[3]
    (emptied,) = told[4]
    assert emptied[:3] == ["firewall-emptied", "critical", "T1562.004"]
    (opened,) = told[6]
    assert opened[:3] == ["firewall-opened", "critical", "T1562.004"]
    assert "accepts by default and has 3 rules now (was drop" in opened[3]
    assert {tuple(one[:3]) for one in told[7]} == {("firewall-removed", "critical", "T1562.004")}


@needs_root
@needs("unshare")
@needs("nft")
def test_a_port_added_to_a_nameless_set_shows_and_traffic_does_not(tmp_path: Path) -> None:
    rules = tmp_path / "rules.nft"
    rules.write_text(RULES)
    other = tmp_path / "other.nft"
    other.write_text("flush ruleset\n" + RULES.replace("22, 80", "22, 80, 4444"))
    told = witness(
        "settings",
        f"nft -f {rules}",
        'nft reset counters; python3 -c "import socket; '
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))\" || true",
        f"nft -f {other}",
    )
    assert told[1] == []
    assert [one[:2] for one in told[2]] == [["firewall-changed", "high"]]


@needs_root
@needs("unshare")
@needs("iptables-legacy")
def test_legacy_iptables_that_are_flushed() -> None:
    told = witness(
        "settings",
        "iptables-legacy -L -n || true",
        "iptables-legacy -P INPUT DROP",
        "iptables-legacy -A INPUT -s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT",
        "iptables-legacy -Z",
        "iptables-legacy -F",
        "iptables-legacy -P INPUT ACCEPT",
    )
    if not told[1]:
        pytest.skip("this kernel has no legacy iptables")
    assert {one[0] for one in told[0]} <= {"firewall-empty-chain"}
    (added,) = told[2]
    assert "iptables filter INPUT: 0 → 1 rules, with -s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT" in added[3]
    assert told[3] == []
    assert [one[:2] for one in told[4]] == [["firewall-emptied", "critical"]]
    assert [one[:2] for one in told[5]] == [["firewall-opened", "critical"]]


# -- interfaces and packet sockets ------------------------------------------------------------------

SNIFF = (
    "import socket, struct, time; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); "
    "s.bind(('lo', 3)); s.setsockopt(263, 1, struct.pack('iHH8s', 1, 1, 0, b'')); "
    "open('{0}', 'w').close(); time.sleep(60)"
)


@needs_root
@needs("unshare")
@pytest.mark.parametrize(
    ("kind", "rule", "words"),
    [
        ("settings", "promiscuous", "Interface lo was made promiscuous"),
        ("listeners", "packet-listener", "New listener packet lo all: "),
    ],
)
def test_a_sniffer(tmp_path: Path, kind: str, rule: str, words: str) -> None:
    ready = tmp_path / "ready"
    sniff = SNIFF.format(ready)
    start = f'{sys.executable} -c "{sniff}" >/dev/null 2>&1 & until test -e {ready}; do sleep 0.05; done'
    told = witness(kind, "true", start)
    assert told[0] == []
    (found,) = (one for one in told[1] if one[0].startswith(rule))
    assert found[1] in ("high", "critical"), "critical if this Python lies in a hidden place"
    assert found[2] == "T1040"
    assert found[3].startswith(words)


@needs_root
@pytest.mark.parametrize("netlink", [True, False])
def test_packet_sockets_are_listed_with_their_owner_s_inode(netlink: bool) -> None:
    packet, protocol = socket.AF_PACKET, socket.htons(0x88CC)
    with (
        socket.socket(packet, socket.SOCK_DGRAM, 0) as silent,
        socket.socket(packet, socket.SOCK_DGRAM, protocol) as door,
    ):
        door.bind(("lo", 0x88CC))
        table = SocketTable(netlink=netlink)
        found: Sockets = table.sockets("packet")
        inodes = {os.fstat(one.fileno()).st_ino for one in (door, silent)}
        mine = [one for one in found.found if one.inode in inodes]
        assert [(one.address, one.port, one.uid) for one in mine] == [(b"lo", 0x88CC, 0)]
        assert table.cookies("packet")
        table.close()


# -- audit ------------------------------------------------------------------------------------------


@pytest.fixture
def auditctl() -> Iterator[LinuxKernel]:
    """The audit system, free of rules, and so again afterwards."""
    with closing(LinuxKernel()) as kernel:
        state = kernel.audit()
        if state.status is None:
            pytest.skip(f"no audit here: {state.problem or 'the kernel has none'}")
        if state.rules or state.status.enabled == 2:
            pytest.skip("audit is in use here")
        try:
            yield kernel
        finally:
            subprocess.run(["auditctl", "-D"], check=False, capture_output=True)
            was = ["-e", str(state.status.enabled), "-b", str(state.status.backlog_limit)]
            subprocess.run(["auditctl", *was], check=False, capture_output=True)


RULE_LINES = (
    "-w /etc/passwd -p wa -k identity",
    "-a always,exit -F arch=b64 -S mount -F auid>=1000 -F auid!=-1 -k mounts",
    "-a never,task",
)


@needs_root
@needs("auditctl")
def test_rules_of_audit_read_as_they_were_written_and_are_missed(auditctl: LinuxKernel) -> None:
    for line in RULE_LINES:
        subprocess.run(["auditctl", *line.split()], check=True, capture_output=True)
    assert set(auditctl.audit().rules) == {line.encode() for line in RULE_LINES}
    sensor = SettingsSensor(auditctl, 0.0, time.time_ns)
    before = _audit(sensor)
    assert before[b"rule " + RULE_LINES[0].encode()].value == b"in force"
    subprocess.run(["auditctl", "-D"], check=True, capture_output=True)
    subprocess.run(["auditctl", "-e", "0"], check=True, capture_output=True)
    after = _audit(sensor)
    assert not any(name.startswith(b"rule ") for name in after)
    assert after[b"enabled"].value == b"off"


OUR_RULES = Path(__file__).parents[2] / "packaging/actors/hostguardd.rules"


@needs_root
@needs("auditctl")
@pytest.mark.parametrize("by", ["auditctl", "augenrules"])
def test_our_rules_are_loaded_by_audit_s_own_tools(auditctl: LinuxKernel, by: str, tmp_path: Path) -> None:
    """Those that are about folders of this host, at least, and with nothing else."""
    if by == "auditctl":
        subprocess.run(["auditctl", "-R", OUR_RULES], check=True, capture_output=True)
    elif shutil.which(by) is None:
        pytest.skip(f"{by} is not installed")
    else:
        (tmp_path / "rules.d").mkdir()
        shutil.copy(OUR_RULES, tmp_path / "rules.d")
        load = 'mount --bind "$0" /etc/audit && augenrules --load'
        done = subprocess.run(["unshare", "-m", "sh", "-c", load, tmp_path], capture_output=True, text=True)
        if "unshare" in done.stderr or "mount:" in done.stderr:
            pytest.skip(f"no mount of our own: {done.stderr}")
        assert done.returncode == 0, done.stderr
    state = auditctl.audit()
    folders = re.findall(r"^-a .* -F dir=([^ ]+)", OUR_RULES.read_text(), re.M)
    there = {b"-w %s/ -p wa -k hostguard" % os.fsencode(one) for one in folders if os.path.isdir(one)}
    assert there <= set(state.rules)
    assert all(rule.endswith(b" -p wa -k hostguard") for rule in state.rules)
    assert obstacles.audit(1, state.rules, KEY) == ""
    assert state.status is not None
    assert state.status.backlog_limit == 8192


@needs_root
@needs("auditctl")
def test_whether_a_login_stays(auditctl: LinuxKernel) -> None:
    told = subprocess.run(["auditctl", "-s"], check=True, capture_output=True, text=True).stdout
    assert auditctl.audit().immutable is ("loginuid_immutable 1" in told)


def _audit(sensor: SettingsSensor) -> dict[bytes, SettingFact]:
    rows = [row for sweep in sensor.sweep(Depth.FULL, never) for row in sweep.rows if sweep.scope == "audit"]
    return {fact.name: fact for fact in map(SettingFact.of, rows)}


# -- the whole ---------------------------------------------------------------------------------------


def test_what_is_in_force_here_stands_still_and_costs_little() -> None:
    kernel = LinuxKernel()
    sensor = SettingsSensor(kernel, 0.0, time.time_ns)
    first = {sweep.scope: sweep for sweep in sensor.sweep(Depth.FULL, never)}
    assert {row[1] for row in first["kernel"].rows} >= {b"release", b"command line"}
    assert len(first["sysctl"].rows) > 10
    assert first["self"].rows == []
    before, spent = time.process_time(), 0
    while not sensor.changed() and spent < 50:
        spent += 1
    assert spent == 50, "something is never at rest"
    assert (time.process_time() - before) / spent < 0.02
    kernel.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look")
def test_without_rights_the_firewall_is_blind_and_not_gone() -> None:
    kernel = LinuxKernel()
    sensor = SettingsSensor(kernel, 0.0, time.time_ns)
    blinds = {blind.scope for sweep in sensor.sweep(Depth.FULL, never) for blind in sweep.blinds}
    kernel.close()
    assert b"firewall" in blinds
