"""A throw-away host: a small Debian made once and kept outside the tree, copied, and booted by systemd.

`debian` makes or finds it, `install` puts hostguardd there as a package would, `boot` runs one program
in it to the end. The program writes what it found to /result.json and powers the host off.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import ROOT

CACHE = Path(os.environ.get("HOSTGUARD_CACHE", "/var/cache/hostguardd-tests"))
SUITE = "bookworm"
PACKAGES = ",".join(
    (
        "systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "procps", "python3",
        "cron", "anacron", "at", "openssh-server", "openssh-client", "sudo", "rsyslog", "logrotate", "acl",
        "attr", "libcap2-bin", "e2fsprogs", "nftables", "iproute2", "kmod", "psmisc", "nginx-light",
        "isc-dhcp-client", "dnsmasq-base", "auditd", "polkitd", "man-db", "plocate", "vim-tiny", "less",
        "ca-certificates", "xz-utils",
    )
)  # fmt: skip
MIRROR = "http://deb.debian.org/debian"
BOOT = 120.0
"""Seconds after which the host is taken to hang, besides what its program takes."""

ROOMS = (
    "hostguardd", "psutil", "structlog", "watchdog", "sdnotify", "inotify_simple",
    "rich", "markdown_it", "mdurl", "pygments", "jinja2", "markupsafe",
)  # fmt: skip

UNIT = """\
[Unit]
After=basic.target dbus.service systemd-user-sessions.service systemd-logind.service ssh.service {after}
[Service]
Type=oneshot
ExecStart={command}
ExecStopPost=/usr/bin/systemctl --no-block poweroff
"""

COMMAND = "#!/usr/bin/python3\nimport sys\nfrom hostguardd.{room} import main\nsys.exit(main())\n"


def debian(packages: str = PACKAGES) -> Path:
    """The root of the small Debian, made if it is not there yet; skips where that cannot be."""
    if os.environ.get("HOSTGUARD_NO_BOOT"):
        pytest.skip("HOSTGUARD_NO_BOOT is set")
    if os.geteuid() != 0:
        pytest.skip("booting a host needs root")
    for program in ("debootstrap", "systemd-nspawn"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
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
            env=os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
        )
        if made.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            pytest.skip(f"debootstrap could not make a host: {made.stdout.splitlines()[-1:]}")
        draft.rename(root)
    return root


def copied(debian: Path, root: Path) -> Path:
    """A copy of the host to be used up. A real one: on an overlay, inodes are not what they are elsewhere."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(debian), str(root)], check=True)
    return root


def install(root: Path, *, settings: str = "", unit: str = "") -> None:
    """What a package would put there, and drop-ins with `settings` and for the `unit`, if any."""
    lib = root / "usr/local/lib/python3.11/dist-packages"
    lib.mkdir(parents=True, exist_ok=True)
    for room in ROOMS:
        # Not by find_spec(): the daemon's diagnostics hide rich from those that would import it.
        spec = importlib.machinery.PathFinder.find_spec(room)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, lib / room, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, lib)
    for name, room in (("hostguardd", "daemon"), ("hostguardctl", "cli")):
        command = root / "usr/bin" / name
        command.write_text(COMMAND.format(room=room))
        command.chmod(0o755)
    with (root / "etc/group").open("a") as groups:  # as systemd/hostguardd.sysusers.conf would have it
        groups.write("hostguard:x:990:\n")
    with (root / "etc/gshadow").open("a") as groups:
        groups.write("hostguard:!::\n")
    units = root / "etc/systemd/system"
    shutil.copy(ROOT / "systemd/hostguardd.service", units)
    (root / "etc/hostguardd/conf.d").mkdir(parents=True)
    shutil.copy(ROOT / "etc/hostguardd.toml", root / "etc/hostguardd")
    if settings:
        (root / "etc/hostguardd/conf.d/test.toml").write_text(settings)
    if unit:
        (units / "hostguardd.service.d").mkdir()
        (units / "hostguardd.service.d/test.conf").write_text(unit)


def packaged(root: Path) -> None:
    """Hand what `install` put there to the host's package manager, as files of a package."""
    places = ("usr/local/lib/python3.11/dist-packages", "usr/bin/hostguardd", "usr/bin/hostguardctl",
              "etc/systemd/system/hostguardd.service", "etc/hostguardd")  # fmt: skip
    build = root / "build"
    for place in places:
        (build / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / place, build / place)
    (build / "DEBIAN").mkdir()
    control = (
        "Package: hostguardd",
        "Version: 1",
        "Architecture: all",
        "Maintainer: a test",
        "Description: x",
    )
    (build / "DEBIAN/control").write_text("".join(f"{line}\n" for line in control))
    for command in (("dpkg-deb", "-b", "/build", "/build.deb"), ("dpkg", "-i", "/build.deb")):
        subprocess.run(["chroot", str(root), *command], check=True, capture_output=True)
    shutil.rmtree(build)
    (root / "build.deb").unlink()


@contextmanager
def kept(folder: Path, variable: str, live: Callable[[Path], object]) -> Iterator[Path]:
    """The root of a host after `live` made it, in `folder` and gone afterwards; or in the folder that an
    environment variable names, where it is kept, and judged once more if it is there already."""
    place = os.environ.get(variable)
    root = Path(place) if place else folder / "root"
    if not (root / "result.json").exists():
        live(root)
    yield root
    if not place:
        shutil.rmtree(root)


def program(root: Path, command: str, after: str = "") -> None:
    """The one program that the host runs before it powers off."""
    units = root / "etc/systemd/system"
    (units / "trial.service").write_text(UNIT.format(command=command, after=after))
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    (units / "multi-user.target.wants/trial.service").symlink_to("../trial.service")


def boot(root: Path, patience: float, more: Sequence[str] = ()) -> dict[str, Any]:
    """Boot it, wait for its end, and return what it wrote."""
    began = time.monotonic()
    with subprocess.Popen(
        [
            "systemd-nspawn", "--quiet", "-D", str(root), "--register=no", "--keep-unit", "--boot",
            "--private-network", "--console=pipe", *more,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as host:  # fmt: skip
        try:
            said, _ = host.communicate(timeout=BOOT + patience)
        except subprocess.TimeoutExpired:
            host.terminate()
            said, _ = host.communicate()
    if not (root / "result.json").exists():
        words = said.decode(errors="replace")[-2000:]
        if time.monotonic() - began < 5 and not (root / "var/log/journal").exists():
            pytest.skip(f"systemd-nspawn cannot boot here: {words}")
        pytest.fail(f"the host brought nothing out in {time.monotonic() - began:.0f} s:\n{words}")
    found: dict[str, Any] = json.loads((root / "result.json").read_text())
    return found
