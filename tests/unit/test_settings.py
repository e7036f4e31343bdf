"""What is in force, topic by topic, over a kernel that the test edits."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host.audit import Status
from hostguardd.host.firewall import Firewall, Piece
from hostguardd.host.kernel import Audit, Interfaces
from hostguardd.host.links import Link, listening
from hostguardd.model import Depth, Drift, Fact, ModuleFact, SettingFact
from hostguardd.sensors.modules import ModulesSensor, parse
from hostguardd.sensors.settings import SettingsSensor, _homes
from hostguardd.sensors.topics import odd_libraries
from hostguardd.sentences import sentence
from tests.alerts import NAMES
from tests.fakekernel import FakeKernel

DROP = b"filter hook input priority 0 policy drop, 2 rules, 0123"


def never() -> bool:
    return False


def added(fact: Fact) -> Drift:
    return Drift(type(fact), None, fact, ())


class Watcher:
    """Polls the settings sensor twice a second, as the daemon does."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.kernel.walls = Firewall((Piece(b"inet filter input", DROP, (b"a", b"b")),))
        self.sensor = SettingsSensor(self.kernel, 5.0, self.kernel.wall)
        self.sweeps = 0
        self.look(Depth.FULL)

    def look(self, depth: Depth = Depth.QUICK) -> None:
        self.sweeps += 1
        sweeps = list(self.sensor.sweep(depth, never))
        self.facts = {(one.scope, row[1]): SettingFact.of(row) for one in sweeps for row in one.rows}
        self.blinds = [blind for sweep in sweeps for blind in sweep.blinds]

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            self.kernel.tick(0.5)
            if self.sensor.changed():
                self.look()

    def value(self, topic: str, name: bytes) -> bytes | None:
        fact = self.facts.get((topic, name))
        return None if fact is None else fact.value

    def put(self, path: bytes, data: bytes) -> None:
        self.kernel.files[path] = data


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def test_nothing_moved_is_no_sweep(watcher: Watcher) -> None:
    watcher.wait(50)
    assert watcher.sweeps == 1
    assert watcher.kernel.firewalls_read == 1


@pytest.mark.parametrize(
    ("path", "data", "topic", "name", "value"),
    [
        (b"/proc/sys/kernel/core_pattern", b"|/tmp/x %p\n", "sysctl", b"kernel.core_pattern", b"|/tmp/x %p"),
        (b"/proc/sys/kernel/modprobe", b"/tmp/m\n", "sysctl", b"kernel.modprobe", b"/tmp/m"),
        (b"/proc/sys/net/ipv4/ip_forward", b"1\n", "sysctl", b"net.ipv4.ip_forward", b"1"),
        (b"/proc/sys/kernel/tainted", b"12288\n", "kernel", b"taint E", b"set"),
        (b"/proc/cmdline", b"initrd=/i root=/dev/sda1 init=/x\n", "kernel", b"command line",
         b"root=/dev/sda1 init=/x"),
        (b"/sys/kernel/security/lockdown", b"none [integrity] confidentiality\n", "kernel", b"lockdown",
         b"integrity"),
        (b"/sys/kernel/kexec_loaded", b"1\n", "kernel", b"kexec image", b"1"),
        (b"/sys/fs/selinux/enforce", b"0", "selinux", b"mode", b"permissive"),
        (b"/sys/fs/selinux/enforce", b"1", "selinux", b"mode", b"enforcing"),
        (b"/sys/module/apparmor/parameters/enabled", b"N\n", "apparmor", b"enabled", b"no"),
        (b"/proc/self/environ", b"A=1\0LD_PRELOAD=/tmp/x\0", "self", b"environment LD_PRELOAD", b"/tmp/x"),
    ],
)  # fmt: skip
def test_a_setting_is_told_within_its_interval(
    watcher: Watcher, path: bytes, data: bytes, topic: str, name: bytes, value: bytes
) -> None:
    watcher.put(path, data)
    watcher.wait(5.5)
    assert watcher.value(topic, name) == value


def test_the_name_of_the_kernel_s_file_is_no_part_of_the_command_line(watcher: Watcher) -> None:
    before = watcher.value("kernel", b"command line")
    watcher.put(b"/proc/cmdline", b"BOOT_IMAGE=(hd0,1)/vmlinuz-6.1.0-2 root=/dev/sda1 ro\n")
    watcher.look()
    assert watcher.value("kernel", b"command line") == before == b"root=/dev/sda1 ro"


def test_secure_boot_is_the_last_byte_of_its_variable(watcher: Watcher) -> None:
    variable = b"/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    watcher.put(variable, b"\6\0\0\0\1")
    watcher.look()
    assert watcher.value("kernel", b"secure boot") == b"on"


def test_who_traces_us_is_named(watcher: Watcher) -> None:
    watcher.put(b"/proc/self/status", b"Name:\tx\nTracerPid:\t812\n")
    watcher.kernel.links[b"/proc/812/exe"] = b"/usr/bin/gdb"
    watcher.wait(5.5)
    fact = watcher.facts["self", b"tracer"]
    assert sentence(added(fact), NAMES) == "We are traced by /usr/bin/gdb (pid 812)"


@pytest.mark.parametrize(
    ("line", "odd"),
    [
        (b"7f00-7f10 r-xp 00 08:01 12 /tmp/x.so", True),
        (b"7f00-7f10 r--p 00 08:01 12 /tmp/x.so", False),
        (b"7f00-7f10 r-xp 00 08:01 12 /usr/lib/.x/y.so", True),
        (b"7f00-7f10 r-xp 00 08:01 12 /opt/.venv/lib/y.so", False),
        (b"7f00-7f10 r-xp 00 00:01 12 /memfd:x (deleted)", True),
        (b"7f00-7f10 r-xp 00 08:01 12 /usr/lib/libc.so.6 (deleted)", False),
        (b"7f00-7f10 r-xp 00 08:01 12 /srv/libc.so.6 (deleted)", True),
        (b"7f0000-7f1000 r-xp 00 08:01 12 /tmp/ffiAbCd12 (deleted)", False),
        (b"7f0000-8f0000 r-xp 00 08:01 12 /tmp/ffiAbCd12 (deleted)", True),
        (b"7f00-7f10 r-xp 00 00:00 0 [vdso]", False),
        (b"7f00-7f10 r-xp 00 00:00 0", False),
        (b"zz-zz r-xp 00 00:00 0 /tmp/ffiAbCd12 (deleted)", True),
    ],
)
def test_libraries_in_odd_places(line: bytes, odd: bool) -> None:
    assert bool(odd_libraries(line + b"\n", (b"/opt/.venv",))) is odd


def test_the_interpreters_own_image_is_none_whoever_may_not_enter_its_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An ordinary user's look by an interpreter in root's home."""
    for name in ("prefix", "base_prefix", "exec_prefix"):
        monkeypatch.setattr(f"sys.{name}", "/usr")
    monkeypatch.setattr("os.readlink", lambda _: "/root/.pyenv/versions/3.11.7/bin/python3.11")
    homes = _homes()
    line = b"7f00-7f10 r-xp 00 08:01 12 /root/.pyenv/versions/3.11.7/"
    assert odd_libraries(line + b"bin/python3.11\n" + line + b"lib/libpython3.11.so.1.0\n", homes) == []
    assert odd_libraries(line + b"share/x.so\n", homes)


@given(st.binary(max_size=300))
def test_garbled_maps_and_modules_are_no_trouble(text: bytes) -> None:
    odd_libraries(text, ())
    parse(text)


def test_selinux_booleans_are_read_again_only_when_the_policy_moved(watcher: Watcher) -> None:
    watcher.put(b"/sys/fs/selinux/enforce", b"1")
    watcher.put(b"/sys/fs/selinux/booleans/httpd_x", b"0 0")
    watcher.put(b"/sys/fs/selinux/status", struct.pack("=5I", 1, 2, 1, 1, 0))
    watcher.look()
    watcher.put(b"/sys/fs/selinux/booleans/httpd_x", b"1 1")
    watcher.look()
    assert watcher.value("selinux", b"boolean httpd_x") == b"off"
    watcher.put(b"/sys/fs/selinux/status", struct.pack("=5I", 1, 4, 1, 2, 0))
    watcher.wait(5.5)
    assert watcher.value("selinux", b"boolean httpd_x") == b"on"


def test_apparmor_profiles_and_why_not(watcher: Watcher) -> None:
    watcher.put(b"/sys/module/apparmor/parameters/enabled", b"Y\n")
    watcher.put(b"/sys/kernel/security/apparmor/profiles", b"/usr/sbin/x (enforce)\ny (a) (complain)\n\xff\n")
    watcher.look()
    assert watcher.value("apparmor", b"profile /usr/sbin/x") == b"enforce"
    assert watcher.value("apparmor", b"profile y (a)") == b"complain"
    watcher.kernel.barred.add(b"/sys/kernel/security/apparmor/profiles")
    watcher.look()
    assert [blind.scope for blind in watcher.blinds] == [b"apparmor"]


def test_interpreters_are_read_only_where_they_are_mounted(watcher: Watcher) -> None:
    watcher.put(b"/proc/sys/fs/binfmt_misc/evil", b"enabled\ninterpreter /tmp/x\nflags: C\nmagic 7f\n")
    watcher.look()
    assert watcher.value("sysctl", b"binfmt evil") is None
    watcher.kernel.mount(b"/proc/sys/fs/binfmt_misc", b"binfmt_misc")
    watcher.look()
    assert watcher.value("sysctl", b"binfmt evil") == b"/tmp/x enabled"


# -- audit and firewall -----------------------------------------------------------------------------


def test_a_rule_of_audit_dropped_and_audit_off(watcher: Watcher) -> None:
    watcher.kernel.audited = Audit(Status(0, 1, 0, 0, 8192), ())
    watcher.wait(7)
    assert ("audit", b"rule -w /etc/passwd -p wa -k id") not in watcher.facts
    assert watcher.value("audit", b"enabled") == b"off"
    assert watcher.value("audit", b"daemon") == b"none"


def test_rules_that_are_loaded_anew_are_no_news(watcher: Watcher) -> None:
    whole, sweeps = watcher.kernel.audited, watcher.sweeps
    watcher.wait(4.5)
    watcher.kernel.audited = whole._replace(rules=())
    watcher.wait(0.5)
    watcher.kernel.audited = whole
    watcher.wait(20)
    assert watcher.sweeps == sweeps


def test_a_firewall_flushed_for_good_is_told_within_the_interval_and_a_bit(watcher: Watcher) -> None:
    watcher.kernel.walls = Firewall()
    watcher.wait(6.5)
    assert ("firewall", b"inet filter input") not in watcher.facts


def test_a_firewall_that_never_rests_is_told_all_the_same(watcher: Watcher) -> None:
    for number in range(24):
        watcher.kernel.walls = Firewall((Piece(b"inet filter x%d" % number, DROP),))
        watcher.wait(0.5)
    assert ("firewall", b"inet filter input") not in watcher.facts


def test_who_waits_for_a_sweep_sees_the_firewall_as_it_is(watcher: Watcher) -> None:
    watcher.kernel.walls = Firewall()
    watcher.look(Depth.FULL)
    assert ("firewall", b"inet filter input") not in watcher.facts


def test_a_firewall_that_may_not_be_read_is_blind_and_not_gone(watcher: Watcher) -> None:
    watcher.kernel.walls = Firewall((), "the rules of nftables in force cannot be read: not permitted")
    watcher.look(Depth.FULL)
    (blind,) = watcher.blinds
    assert blind.covers("firewall", b"inet filter input")
    assert not blind.covers("audit", b"enabled")


# -- interfaces -------------------------------------------------------------------------------------

PORT = Link(2, b"eth0", b"", 0, 5, b"bridge", 1)
BONDED = Link(2, b"eth0", b"", 0, 3, b"bond", 1)
BRIDGE = Link(5, b"br0", b"bridge", 0, 0, b"", 0)


@pytest.mark.parametrize(
    ("links", "extra"),
    [
        ([Link(2, b"eth0", b"", 0, 0, b"", 0)], {}),
        ([Link(2, b"eth0", b"", 0, 0, b"", 1)], {b"eth0": 1}),
        ([PORT, BRIDGE], {}),
        ([PORT._replace(promiscuity=2), BRIDGE], {b"eth0": 1}),
        ([PORT, BRIDGE._replace(promiscuity=1)], {b"br0": 1}),
        # A bond in a bridge passes its mode on to its ports; one that nobody listens on does not.
        ([BONDED, Link(3, b"bond0", b"bond", 0, 5, b"bridge", 1), BRIDGE], {}),
        ([BONDED, Link(3, b"bond0", b"bond", 0, 0, b"", 0)], {b"eth0": 1}),
        # A VLAN in a bridge makes the interface below it promiscuous.
        ([Link(2, b"eth0", b"", 0, 0, b"", 1), Link(3, b"eth0.7", b"vlan", 2, 5, b"bridge", 1), BRIDGE], {}),
        ([Link(2, b"eth0", b"", 0, 0, b"", 2), Link(3, b"eth0.7", b"vlan", 2, 0, b"", 1)],
         {b"eth0": 1, b"eth0.7": 1}),
    ],
)  # fmt: skip
def test_who_listens_beyond_what_the_place_needs(links: list[Link], extra: dict[bytes, int]) -> None:
    assert listening(links) == extra


def test_a_promiscuous_interface_is_told(watcher: Watcher) -> None:
    watcher.kernel.nics = Interfaces((Link(2, b"eth0", b"", 0, 0, b"", 1),))
    watcher.wait(5.5)
    assert watcher.value("interface", b"eth0") == b"promiscuous"


# -- modules ----------------------------------------------------------------------------------------


def modules(kernel: FakeKernel) -> dict[bytes, ModuleFact]:
    (sweep,) = ModulesSensor(kernel, 5.0, kernel.wall).sweep(Depth.FULL, never)
    return {fact.name: fact for fact in map(ModuleFact.of, sweep.rows)}


def test_a_module_and_its_letters() -> None:
    kernel = FakeKernel()
    kernel.files[b"/proc/modules"] += b"evil 16384 0 - Live 0x0 (POE)\n"
    kernel.files[b"/sys/module/evil/initstate"] = b"live\n"
    fact = modules(kernel)[b"evil"]
    assert (fact.taint, fact.seen, fact.size) == (b"EOP", "everywhere", 16384)
    assert fact.traits() == {"foreign", "unsigned", "proprietary"}


def test_a_module_off_the_list_is_hiding() -> None:
    kernel = FakeKernel()
    kernel.files[b"/sys/module/evil/initstate"] = b"live\n"
    kernel.files[b"/sys/module/evil/taint"] = b"OE\n"
    kernel.files[b"/sys/module/evil/coresize"] = b"16384\n"
    fact = modules(kernel)[b"evil"]
    assert (fact.seen, fact.taint, fact.size) == ("sysfs", b"EO", 16384)
    assert "hidden" in fact.traits()
    assert sentence(added(fact), NAMES) == (
        "Kernel module evil (from outside the kernel's tree, unsigned) is hiding: "
        "/sys/module shows it, /proc/modules does not list it"
    )


def test_a_module_without_a_folder_is_hiding() -> None:
    kernel = FakeKernel()
    kernel.files[b"/proc/modules"] += b"evil 16384 0 - Live 0x0\n"
    assert modules(kernel)[b"evil"].seen == "list"


def test_what_is_built_in_or_on_its_way_is_not_hiding() -> None:
    kernel = FakeKernel()
    kernel.files[b"/sys/module/coming/initstate"] = b"coming\n"
    kernel.files[b"/proc/modules"] += b"leaving 16384 0 - Unloading 0x0\n"
    assert set(modules(kernel)) == {b"ext4", b"jbd2"}


def test_a_kernel_without_modules_has_none_and_is_not_blind() -> None:
    kernel = FakeKernel()
    del kernel.files[b"/proc/modules"]
    (sweep,) = ModulesSensor(kernel, 5.0, kernel.wall).sweep(Depth.FULL, never)
    assert (sweep.rows, sweep.blinds) == ([], ())


def test_a_module_used_more_often_is_no_news() -> None:
    kernel = FakeKernel()
    sensor = ModulesSensor(kernel, 5.0, kernel.wall)
    list(sensor.sweep(Depth.FULL, never))
    kernel.files[b"/proc/modules"] = kernel.files[b"/proc/modules"].replace(b"1081344 2", b"1081344 3")
    kernel.tick(6)
    assert not sensor.changed()
    kernel.files[b"/sys/module/evil/initstate"] = b"live\n"
    kernel.tick(6)
    assert sensor.changed()
