"""What the doctor finds of the host, by texts that this host need not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostguardd.engine.doctor import QUEUE, actors, inotify_limits, time_service
from hostguardd.engine.witness import Witness
from tests.fakewitness import FakeWitnesses


@pytest.mark.parametrize(
    ("queued", "instances", "fine"), [(QUEUE, 128, True), (QUEUE - 1, 128, False), (QUEUE, 15, False)]
)
def test_small_limits_of_inotify_are_found(tmp_path: Path, queued: int, instances: int, fine: bool) -> None:
    (tmp_path / "max_queued_events").write_text(f"{queued}\n")
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    found = inotify_limits(str(tmp_path))
    assert found.ok is fine
    assert fine or str(queued) in found.message
    assert fine or "sysctl" in found.advice


def test_a_kernel_that_tells_no_limits_is_none_that_is_wrong(tmp_path: Path) -> None:
    assert inotify_limits(str(tmp_path)).ok


def test_logins_that_root_may_set_are_told() -> None:
    host = FakeWitnesses()
    witness = Witness(host, lambda folder, name: True)
    said = []
    for immutable in (False, True):
        host.state = host.state._replace(immutable=immutable)
        witness.open(("audit",), [])
        said.append(actors(witness, ("audit",)).message)
    witness.close()
    assert ["--loginuid-immutable" in one for one in said] == [True, False]


def clock(
    top: Path, running: str, *, container: bool = False, synchronized: bool = False
) -> tuple[bool, str]:
    for name, there in (("container", container), ("timesync/synchronized", synchronized)):
        if there:
            (top / "run" / name).parent.mkdir(parents=True, exist_ok=True)
            (top / "run" / name).touch()
    (top / "proc/7").mkdir(parents=True)
    (top / "proc/7/comm").write_text(running + "\n")
    found = time_service(str(top / "run"), str(top / "proc"))
    return found.ok, found.message


def test_a_clock_that_nobody_keeps_right_is_found(tmp_path: Path) -> None:
    assert clock(tmp_path, "sshd") == (False, "no time service runs")


def test_a_time_service_that_reached_nobody_yet_is_found(tmp_path: Path) -> None:
    fine, detail = clock(tmp_path, "systemd-timesyn")
    assert not fine
    assert "not reached a time server yet" in detail


@pytest.mark.parametrize(
    ("running", "container", "synchronized"),
    [("chronyd", False, False), ("systemd-timesyn", False, True), ("sshd", True, False)],
)
def test_a_clock_that_is_looked_after_is_fine(
    tmp_path: Path, running: str, container: bool, synchronized: bool
) -> None:
    assert clock(tmp_path, running, container=container, synchronized=synchronized)[0]
