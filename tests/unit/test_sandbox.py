"""What a service manager's mounts and namespaces hide from us, against what pid 1 sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostguardd.host.mounts import parse_mountinfo
from hostguardd.host.sandbox import hidden, unseen
from tests.rights import NAMESPACES

HOST = b"""\
1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
2 1 0:5 / /dev rw - devtmpfs udev rw
3 1 0:22 / /proc rw - proc proc rw
4 1 0:30 / /run rw - tmpfs tmpfs rw
5 1 8:2 / /home rw - ext4 /dev/sda2 rw
"""
READ_ONLY = b"""\
11 0 8:1 / / ro,relatime - ext4 /dev/sda1 rw
12 11 0:5 / /dev rw - devtmpfs udev rw
13 11 0:22 / /proc rw - proc proc rw
14 11 0:30 / /run ro - tmpfs tmpfs rw
15 11 8:2 / /home ro - ext4 /dev/sda2 rw
16 11 8:1 /var/lib/hostguardd /var/lib/hostguardd rw - ext4 /dev/sda1 rw
17 13 0:22 /sys /proc/sys ro - proc proc rw
18 14 0:30 /systemd/propagate/x /run/systemd/incoming ro - tmpfs tmpfs rw
19 12 0:30 /systemd/inaccessible/chr /dev/kmsg ro - tmpfs tmpfs rw
"""
HIDING = {
    b"/tmp": b"20 11 8:1 /tmp/systemd-private-1/tmp /tmp rw - ext4 /dev/sda1 rw\n",
    b"/home": b"20 15 0:30 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw\n",
    b"/root": b"20 11 0:99 / /root ro - tmpfs tmpfs rw\n",
    b"/usr/lib/modules": b"20 11 0:30 /systemd/inaccessible/dir /usr/lib/modules ro - tmpfs tmpfs rw\n",
    b"/dev": b"20 11 0:98 / /dev rw - tmpfs tmpfs rw\n21 20 0:5 /null /dev/null rw - devtmpfs udev rw\n",
}


def test_the_same_files_read_only_are_not_hidden() -> None:
    assert hidden(parse_mountinfo(READ_ONLY), parse_mountinfo(HOST)) == []
    assert hidden(parse_mountinfo(HOST), parse_mountinfo(HOST)) == []


@pytest.mark.parametrize("place", sorted(HIDING))
def test_other_files_in_their_place_are(place: bytes) -> None:
    assert hidden(parse_mountinfo(READ_ONLY + HIDING[place]), parse_mountinfo(HOST)) == [place]


def test_another_mount_of_proc_is_no_other_place() -> None:
    again = b"20 13 0:77 / /proc rw - proc proc rw\n"
    assert hidden(parse_mountinfo(READ_ONLY + again), parse_mountinfo(HOST)) == []


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("rw", []),
        ("rw,hidepid=0", []),
        ("rw,hidepid=invisible", ["processes of others in /proc (ProtectProc=)"]),
    ],
)
def test_a_proc_that_hides_processes_does(tmp_path: Path, options: str, found: list[str]) -> None:
    for pid in ("self", "1"):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "mountinfo").write_bytes(HOST)
    (tmp_path / "stat").touch()
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "self/mountinfo").write_bytes(HOST + f"20 3 0:77 / /proc rw - proc proc {options}\n".encode())
    assert unseen(str(tmp_path)) == found


def test_what_the_host_mounted_and_we_have_not_is_hidden() -> None:
    more = b"30 1 8:9 / /srv rw - ext4 /dev/sdc rw\n"
    assert hidden(parse_mountinfo(READ_ONLY), parse_mountinfo(HOST + more)) == [b"/srv"]


def test_where_nothing_can_be_compared_nothing_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "stat").touch()
    (tmp_path / "sys/kernel").mkdir(parents=True)
    assert unseen(str(tmp_path)) == []
    (tmp_path / "stat").unlink()
    assert unseen(str(tmp_path)) == ["the kernel's state in /proc (ProcSubset=)"]


def test_a_real_namespace_of_ours_is_noticed(tmp_path: Path) -> None:
    if not NAMESPACES:
        pytest.skip("namespaces need root with CAP_SYS_ADMIN")
    script = f"mount -t tmpfs none {tmp_path} && exec {sys.executable} -c '{SAY}'"
    ran = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    try:
        os.readlink("/proc/1/ns/net")
    except OSError:
        pass  # not even root may look at pid 1 here, so its network cannot be compared
    else:
        assert "PrivateNetwork" in ran.stdout
    assert f"what lies in {tmp_path}" in ran.stdout
    ours = subprocess.run([sys.executable, "-c", SAY], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in ours


SAY = "from hostguardd.host.sandbox import unseen; print(unseen())"
