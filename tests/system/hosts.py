"""Hosts of our own: a Debian made once by debootstrap and kept outside the tree; tests boot copies of it.

systemd-nspawn boots it with a network of its own; a unit in it runs a script that writes /result.json and
switches the host off.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("HOSTGUARD_CACHE", "/var/cache/hostguardd-tests"))
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
BOOT = 120.0
"""Seconds after which the host is taken to hang."""

TRIAL = """\
[Unit]
After=basic.target dbus.service
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /{script}
ExecStopPost=/usr/bin/systemctl --no-block poweroff
"""


def debian(packages: str) -> Path:
    """The root of a small Debian with these packages (commas between), made if it is not there yet."""
    if os.environ.get("HOSTGUARD_NO_BOOT"):
        pytest.skip("HOSTGUARD_NO_BOOT is set")
    if os.geteuid() != 0:
        pytest.skip("booting a host needs root")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    for program in ("debootstrap", "systemd-nspawn"):
        if shutil.which(program, path=path) is None:
            pytest.skip(f"{program} is not installed")
    name = f"{SUITE}-{hashlib.sha256(packages.encode()).hexdigest()[:8]}"
    root = CACHE / name
    if not root.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        draft = CACHE / f"{name}.{os.getpid()}"
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(draft), MIRROR],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": path},
        )
        if made.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            pytest.skip(f"debootstrap could not make a host: {made.stdout.splitlines()[-1:]}")
        draft.rename(root)
    return root


def copy(source: Path, root: Path, script: Path) -> None:
    """A copy of a host that runs `script` when it is booted."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(root)], check=True)
    shutil.copy(script, root)
    units = root / "etc/systemd/system"
    (units / "trial.service").write_text(TRIAL.format(script=script.name))
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    (units / "multi-user.target.wants/trial.service").symlink_to("../trial.service")


def boot(root: Path, patience: float = BOOT + 180) -> None:
    """Boot it and wait for its end, by which it has written /result.json."""
    began = time.monotonic()
    booted = subprocess.run(
        [
            "systemd-nspawn", "--quiet", "-D", str(root), "--register=no", "--keep-unit", "--boot",
            "--private-network", "--console=pipe",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=patience,
        check=False,
    )  # fmt: skip
    if not (root / "result.json").exists():
        words = (booted.stdout + booted.stderr).decode(errors="replace")[-2000:]
        if time.monotonic() - began < 5 and not (root / "var/log/journal").exists():
            pytest.skip(f"systemd-nspawn cannot boot here: {words}")
        pytest.fail(f"the host brought nothing out:\n{words}")
