"""Signs of a root kit: none on a clean host, each one where it is planted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd.host.bundle import image
from hostguardd.host.kernel import Interfaces
from hostguardd.host.links import Link
from hostguardd.investigate.checks import rootkit
from hostguardd.investigate.interface import Verdict
from hostguardd.investigate.live import kits
from hostguardd.packages.interface import Departure
from tests.fakekernel import FakeKernel
from tests.fakelive import FakeLive
from tests.fakeviews import FakeViews
from tests.owning import OWNER, Owning
from tests.scenes import Findings, looked, scene


class Rig:
    """A host in pieces: files below a folder, a kernel, processes, views."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kernel = FakeKernel()
        self.live = FakeLive()
        self.views = FakeViews()
        self.packages = Owning()

    def write(self, path: str, data: bytes = b"", mode: int = 0o644) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(mode)

    def found(self) -> Findings:
        host = replace(image(bytes(self.root)), live=self.live, kernel=self.kernel, views=self.views)
        return looked(rootkit.look, scene(host, packages=self.packages))

    def bad(self) -> str:
        """The one suspicious thing, as it is told."""
        (item,) = self.found().of(Verdict.SUSPICIOUS)
        assert item.means
        assert item.next
        assert item.technique
        assert item.evidence
        return f"{item.name}: {item.says}"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.write("/etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n")
    rig.write("/etc/ld.so.conf.d/libc.conf", b"# libc\n/usr/local/lib\n/usr/lib/x86_64-linux-gnu/nss\n")
    rig.write("/usr/bin/ls", b"ls", 0o755)
    (tmp_path / "usr/local/lib").mkdir(parents=True)
    rig.kernel.files |= {
        b"/proc/sys/kernel/modprobe": b"/sbin/modprobe\n",
        b"/proc/sys/kernel/core_pattern": b"|/usr/lib/systemd/systemd-coredump %P %u\n",
        b"/proc/kallsyms": b"0000 T _text\n0000 t ext4_init\t[ext4]\n"
        b"0000 t bpf_prog_6deef7357e7b4530_sd_fw_ingress\t[bpf]\n",
        b"/sys/fs/bpf/snap/x": b"",
    }
    return rig


def test_a_clean_host(rig: Rig) -> None:
    told = rig.found()
    assert {item.verdict for item in told.items} == {Verdict.FINE}
    assert not told.unseen
    assert "sd_fw_ingress" in told.named("eBPF programs").says
    assert told.named("system tools").says.startswith("1 tool ")
    assert told.named("kernel modules").says.startswith("2 modules")


@pytest.mark.parametrize(("shown", "hides"), [(True, False), (False, True)])
def test_the_preloaded_list(rig: Rig, shown: bool, hides: bool) -> None:
    line = b"/usr/local/lib/libself.so\n"
    rig.views.preload = (line if shown else b"", line)
    assert rig.bad().startswith("/etc/ld.so.preload /usr/local/lib/libself.so: ")
    assert ("programs are not shown so" in rig.bad()) is hides


def test_a_known_library_of_a_package_is_worth_a_note(rig: Rig) -> None:
    rig.views.preload = (b"# a remark\n/usr/lib/libsnoopy.so\n",) * 2
    told = rig.found()
    assert not told.suspicious
    assert "base-files" in told.of(Verdict.NOTABLE)[0].says


def test_a_library_in_environments(rig: Rig) -> None:
    for _ in range(3):
        pid = rig.live.add_process(b"/usr/sbin/d", age=9)
        rig.live.run_inside(pid, linker={b"LD_PRELOAD": b"/dev/shm/x.so"})
    assert "3 processes began with LD_PRELOAD=/dev/shm/x.so" in rig.bad()


@pytest.mark.parametrize("folder", ["/tmp/lib", "/usr/lib/.x", "/dev/shm", "/home/a/lib", "/opt/open"])
def test_a_folder_that_the_linker_searches(rig: Rig, folder: str) -> None:
    (rig.root / "opt/open").mkdir(parents=True)
    (rig.root / "opt/open").chmod(0o777)
    rig.write("/etc/ld.so.conf.d/zz.conf", folder.encode() + b"\n")
    assert folder in rig.bad()


@pytest.mark.parametrize(
    ("bit", "verdict"), [(1, Verdict.SUSPICIOUS), (12, Verdict.NOTABLE), (17, Verdict.FINE)]
)
def test_marks_of_the_kernel(rig: Rig, bit: int, verdict: Verdict) -> None:
    rig.kernel.files[b"/proc/sys/kernel/tainted"] = b"%d\n" % (1 << bit)
    (item,) = [one for one in rig.found().items if "bears the mark" in one.says]
    assert item.verdict is verdict
    assert ("it was unloaded since, or it hides" in item.says) is (bit in (1, 12))


def module(name: bytes, taint: bytes = b"") -> bytes:
    letters = b" (%s)" % taint if taint else b""
    return b"%s 16384 0 - Live 0x0000000000000000%s\n" % (name, letters)


@pytest.mark.parametrize(("name", "taint", "verdict"), [
    (b"diamorphine", b"OE", Verdict.SUSPICIOUS),
    (b"forced", b"F", Verdict.SUSPICIOUS),
    (b"zfs", b"OE", Verdict.NOTABLE),
])  # fmt: skip
def test_a_module(rig: Rig, name: bytes, taint: bytes, verdict: Verdict) -> None:
    rig.kernel.files[b"/proc/modules"] += module(name, taint)
    rig.kernel.files[b"/sys/module/%s/initstate" % name] = b"live\n"
    item = rig.found().named(f"module {name.decode()}")
    assert item.verdict is verdict


def test_a_module_that_only_one_list_shows(rig: Rig) -> None:
    rig.kernel.files[b"/sys/module/ghost/initstate"] = b"live\n"
    assert "module ghost" in rig.bad()
    del rig.kernel.files[b"/sys/module/ghost/initstate"]
    rig.kernel.files[b"/proc/kallsyms"] += b"0000 t hide\t[wraith]\n"
    assert "module wraith" in rig.bad()


@pytest.mark.parametrize(("name", "value"), [
    (b"/proc/sys/kernel/core_pattern", b"|/tmp/.x %p"),
    (b"/proc/sys/kernel/modprobe", b"/dev/shm/m"),
    (b"/proc/sys/kernel/modprobe", b"/usr/sbin/stranger"),
    (b"/sys/kernel/uevent_helper", b"/etc/h"),
])  # fmt: skip
def test_a_helper_of_the_kernel(rig: Rig, name: bytes, value: bytes) -> None:
    rig.packages = Owning(strangers=frozenset({b"/usr/sbin/stranger"}))
    rig.kernel.files[name] = value + b"\n"
    assert value.split(b" ")[0].removeprefix(b"|").decode() in rig.bad()


def test_an_interpreter_of_a_format(rig: Rig) -> None:
    rig.kernel.mount(b"/proc/sys/fs/binfmt_misc", b"binfmt_misc")
    rig.kernel.files[b"/proc/sys/fs/binfmt_misc/x"] = b"enabled\ninterpreter /var/tmp/i\nflags: OC\n"
    assert "/var/tmp/i" in rig.bad()


def test_something_pinned(rig: Rig) -> None:
    rig.kernel.files[b"/sys/fs/bpf/kit"] = b""
    assert rig.found().named("/sys/fs/bpf/kit").verdict is Verdict.NOTABLE


@pytest.mark.parametrize(("point", "fstype", "root"), [
    (b"/proc/4711", b"ext4", b"/tmp/empty"),
    (b"/usr/bin/ps", b"ext4", b"/tmp/ps"),
    (b"/etc/passwd", b"tmpfs", b"/passwd"),
    (b"/usr/lib64", b"overlay", b"/"),
    (b"/var/log", b"ext4", b"/opt/log"),
    (b"/var/log/wtmp", b"ext4", b"/opt/w"),
    (b"/usr/games", b"tmpfs", b"/"),
    (b"/usr/share/polkit-1/rules.d", b"tmpfs", b"/"),
    (b"/etc/systemd/system", b"ext4", b"/opt/s"),
    (b"/etc/cron.daily", b"tmpfs", b"/"),
    (b"/var/spool/cron", b"tmpfs", b"/"),
])  # fmt: skip
def test_a_mount_that_covers(rig: Rig, point: bytes, fstype: bytes, root: bytes) -> None:
    rig.kernel.mount(point, fstype, b"/dev/sda1", root)
    assert rig.bad().startswith(f"mount {point.decode()}: ")


@pytest.mark.parametrize(("point", "fstype", "root"), [
    (b"/usr", b"ext4", b"/ostree/deploy/usr"),
    (b"/etc/resolv.conf", b"tmpfs", b"/resolv.conf"),
    (b"/usr/lib/modules", b"ext4", b"/modules"),
    (b"/etc/machine-id", b"tmpfs", b"/machine-id"),
    (b"/var/log", b"xfs", b"/"),
    (b"/var/log", b"btrfs", b"/@log"),
    (b"/var/log", b"zfs", b"/"),
    (b"/var/log/audit", b"ext4", b"/"),
    (b"/usr/share", b"nfs4", b"/export/share"),
    (b"/usr/share/glvnd/egl_vendor.d/10_nvidia.json", b"ext4", b"/10_nvidia.json"),
    (b"/usr", b"overlay", b"/"),
    (b"/etc", b"overlay", b"/"),
    (b"/usr", b"xfs", b"/"),
    (b"/etc/systemd/x", b"autofs", b"/"),
])  # fmt: skip
def test_a_mount_that_systems_make(rig: Rig, point: bytes, fstype: bytes, root: bytes) -> None:
    rig.kernel.mount(point, fstype, b"/dev/sda1", root)
    assert not rig.found().suspicious


@pytest.mark.parametrize("point", ["/var/log", "/usr/bin"])
def test_logs_in_memory_by_the_table_of_mounts_are_worth_a_note(rig: Rig, point: str) -> None:
    """As hosts on a flash card have them; the folders of programs nobody has so."""
    rig.write("/etc/fstab", b"# x\ntmpfs %s/ tmpfs size=64m 0 0\n" % point.encode())
    rig.kernel.mount(point.encode(), b"tmpfs", b"tmpfs", b"/")
    item = rig.found().named(f"mount {point}")
    assert item.verdict is (Verdict.NOTABLE if point == "/var/log" else Verdict.SUSPICIOUS)


def test_an_interface_that_hears_all(rig: Rig) -> None:
    rig.kernel.nics = Interfaces((Link(2, b"eth0", b"", 0, 0, b"", 1),))
    assert rig.found().named("interface eth0").verdict is Verdict.NOTABLE


@pytest.mark.parametrize("path", sorted(path for path in kits.PATHS if not path.startswith(b"/proc/"))[::7])
def test_a_name_of_a_known_kit(rig: Rig, path: bytes) -> None:
    rig.packages = Owning(strangers=frozenset({path}))
    rig.write(path.decode())
    assert kits.PATHS[path] in rig.bad()


def test_a_name_that_a_package_brought_is_no_kit_s(rig: Rig) -> None:
    rig.write("/usr/lib/libsh/.sniff")
    assert not rig.found().suspicious


@pytest.mark.parametrize(("changed", "diverted", "bad"), [
    (("content",), False, True),
    (("mtime",), False, False),
    (("content",), True, False),
])  # fmt: skip
def test_a_tool_that_is_not_as_packaged(
    rig: Rig, changed: tuple[str, ...], diverted: bool, bad: bool
) -> None:
    rig.packages = Owning(departures=(Departure(b"/usr/bin/ls", OWNER, changed, "other", diverted),))
    assert rig.found().suspicious == (["/usr/bin/ls"] if bad else [])


def test_without_packages_tools_are_not_spoken_of(rig: Rig) -> None:
    told = looked(
        rootkit.look, scene(image(bytes(rig.root)), kernel=rig.kernel, live=rig.live, views=rig.views)
    )
    assert not any(one.name == "system tools" for one in told.items)
    assert not told.suspicious


def test_what_was_put_into_our_own_process(rig: Rig) -> None:
    rig.kernel.files[b"/proc/self/status"] = b"Name:\tpython3\nTracerPid:\t77\n"
    assert "tracer" in rig.bad()


def test_what_an_ordinary_user_cannot_see(rig: Rig) -> None:
    rig.kernel.files[b"/sys/fs/bpf"] = b""
    rig.kernel.barred |= {b"/sys/fs/bpf", b"/proc/kallsyms"}
    host = replace(image(bytes(rig.root)), live=rig.live, kernel=rig.kernel, views=rig.views)
    told = looked(rootkit.look, scene(host, uid=1000))
    assert {one.scope for one in told.unseen} >= {"kernel symbols", "pinned eBPF programs"}


def test_an_image_has_no_kernel(rig: Rig) -> None:
    told = looked(rootkit.look, scene(bytes(rig.root)))
    assert not told.suspicious
    assert told.unseen
