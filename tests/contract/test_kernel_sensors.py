"""The sensors of the kernel's own state keep the rules of every sensor, and those of the polled ones."""

from __future__ import annotations

from typing import TypeAlias

from hostguardd.host.kernel import Interfaces, NoKernel
from hostguardd.model import Blind, Depth
from hostguardd.sensors.modules import ModulesSensor
from hostguardd.sensors.mounts import MountsSensor
from hostguardd.sensors.settings import SettingsSensor
from hostguardd.watches import Watches
from tests.contract.test_sensors import HOSTILE, SensorContract, drifts, never
from tests.fakekernel import FakeKernel

Kernel: TypeAlias = MountsSensor | ModulesSensor | SettingsSensor


class KernelContract(SensorContract):
    """Rules of the polled ones. Subclasses are collected, this class is not."""

    def over(self, kernel: FakeKernel | NoKernel) -> Kernel:
        """The sensor over a kernel."""
        raise NotImplementedError

    def sensor(self) -> Kernel:
        self.kernel = FakeKernel()
        return self.over(self.kernel)

    def _wall(self) -> int:
        return self.kernel.wall()

    def settled(self) -> Kernel:
        sensor = self.sensor()
        list(sensor.sweep(Depth.QUICK, never))
        self.kernel.tick(6)
        return sensor

    def test_nothing_changed_until_something_did(self) -> None:
        sensor = self.settled()
        assert not sensor.changed()
        self.add()
        self.kernel.tick(6)
        assert sensor.changed()
        list(sensor.sweep(Depth.QUICK, never))
        self.kernel.tick(6)
        assert not sensor.changed()

    def test_asking_again_at_once_reads_nothing(self) -> None:
        sensor = self.settled()
        sensor.changed()
        self.kernel.calls = 0
        self.kernel.tick(0.1)
        assert not sensor.changed()
        assert self.kernel.calls == 0

    def test_everything_is_looked_at_again_within_a_minute_or_so(self) -> None:
        sensor = self.settled()
        self.kernel.tick(61)
        assert sensor.changed()

    def test_what_is_approved_has_a_grace_when_the_host_starts(self) -> None:
        first = self.sensor()
        self.add()
        approved = list(first.sweep(Depth.FULL, never))
        self.remove()
        self.kernel.now = 20.0
        second = self.over(self.kernel)
        second.expect(row for sweep in approved for row in sweep.rows)
        assert drifts(approved, list(second.sweep(Depth.QUICK, never))) == []
        self.kernel.tick(61)
        assert second.changed()
        late = drifts(approved, list(second.sweep(Depth.QUICK, never)))
        assert [one.action.value for one in late] == ["removed"]

    def test_a_restart_of_the_daemon_alone_holds_nothing_back(self) -> None:
        first = self.sensor()
        self.add()
        approved = list(first.sweep(Depth.FULL, never))
        self.remove()
        second = self.over(self.kernel)
        second.expect(row for sweep in approved for row in sweep.rows)
        late = drifts(approved, list(second.sweep(Depth.QUICK, never)))
        assert [one.action.value for one in late] == ["removed"]

    def test_without_a_kernel_everything_is_blind(self) -> None:
        self.kernel = FakeKernel()
        sensor = self.over(NoKernel())
        assert not sensor.changed()
        for sweep in sensor.sweep(Depth.FULL, never):
            assert sweep.rows == []
            assert [blind.scope for blind in sweep.blinds] == [b"*"]
            assert Blind.covers(sweep.blinds[0], sweep.scope, b"x")


class TestMounts(KernelContract):
    """The mounts sensor."""

    def over(self, kernel: FakeKernel | NoKernel) -> MountsSensor:
        return MountsSensor(kernel, Watches(()), 0.5, self._wall)

    def add(self) -> None:
        self.kernel.mount(b"/srv", b"tmpfs")

    def remove(self) -> None:
        self.kernel.unmount(b"/srv")

    def hostile(self) -> None:
        self.kernel.mount(HOSTILE, b"tmpfs")

    def hide(self) -> None:
        self.kernel.barred.add(b"mountinfo")

    def vanish(self) -> None:
        self.kernel.table.append(b"99 1 8:9 / /half")


class TestModules(KernelContract):
    """The modules sensor."""

    def over(self, kernel: FakeKernel | NoKernel) -> ModulesSensor:
        return ModulesSensor(kernel, 5.0, self._wall)

    def add(self) -> None:
        self._load(b"tun")

    def _load(self, name: bytes) -> None:
        self.kernel.files[b"/proc/modules"] += name + b" 1 0 - Live 0x0 (OE)\n"
        self.kernel.files[b"/sys/module/" + name + b"/initstate"] = b"live\n"

    def remove(self) -> None:
        lines = self.kernel.files[b"/proc/modules"].splitlines(keepends=True)
        self.kernel.files[b"/proc/modules"] = b"".join(x for x in lines if not x.startswith(b"tun "))
        del self.kernel.files[b"/sys/module/tun/initstate"]

    def hostile(self) -> None:
        # No name of a module can hold a blank or a newline, and none of a folder a slash.
        name = HOSTILE.replace(b" ", b"_").replace(b"\n", b"_").replace(b"/", b"|")
        self._load(name)

    def test_hostile_names_come_through_unchanged(self) -> None:
        sensor = self.sensor()
        self.hostile()
        rows = [row for sweep in sensor.sweep(Depth.FULL, never) for row in sweep.rows]
        assert any(b"\xff\xfe_\x1b[31m" in row[1] for row in rows if isinstance(row[1], bytes))

    def hide(self) -> None:
        self.kernel.barred.add(b"/proc/modules")

    def vanish(self) -> None:
        self.kernel.files[b"/proc/modules"] += b"going 1 0 - Unloading 0x0 (-)\n"


class TestSettings(KernelContract):
    """The settings sensor."""

    def over(self, kernel: FakeKernel | NoKernel) -> SettingsSensor:
        return SettingsSensor(kernel, 5.0, self._wall)

    def add(self) -> None:
        self.kernel.files[b"/proc/sys/kernel/tainted"] = b"4096\n"

    def remove(self) -> None:
        self.kernel.files[b"/proc/sys/kernel/tainted"] = b"0\n"

    def hostile(self) -> None:
        maps = self.kernel.files[b"/proc/self/maps"]
        name = HOSTILE.replace(b"\n", b"\\012")
        self.kernel.files[b"/proc/self/maps"] = maps + b"8f00-8f10 r-xp 00000000 08:01 13 /tmp" + name + b"\n"

    def test_hostile_names_come_through_unchanged(self) -> None:
        sensor = self.sensor()
        self.hostile()
        rows = [row for sweep in sensor.sweep(Depth.FULL, never) for row in sweep.rows]
        assert any(b"\xff\xfe\\012\x1b[31m" in row[1] for row in rows if isinstance(row[1], bytes))

    def hide(self) -> None:
        self.kernel.nics = Interfaces((), "the network interfaces cannot be listed: Operation not permitted")

    def vanish(self) -> None:
        del self.kernel.files[b"/proc/sys/kernel/core_pattern"]
