"""What a report says of the host and of whoever looks: read once, as everything here, without executing
anything."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .. import __version__
from ..model import Generation
from ..packages.interface import Level
from .interface import text
from .scene import Options, Scene

SMALL: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class About:
    """What is said of the host and of the look.

    `zone` is seconds east of UTC where the host is, by its own clock; `by` who looked (`alice (uid 1000)`).
    `baseline` is the sentence why there is no `generation`, `level` the best at which packages can be
    verified (a `packages.interface.Level`'s label), `packages_problem` why nothing can be said of them.
    """

    version: str
    hostname: str
    host_id: str
    boot_id: str
    system: str
    kernel: str
    architecture: str
    root_folder: str
    by: str
    root: bool
    zone: int
    options: Options
    generation: Generation | None
    baseline: str
    manager: str
    packages_problem: str
    level: str


def about(scene: Scene, environment: Mapping[str, str]) -> About:
    """Who looks at what. `environment` says who called sudo; that is said, and not relied upon."""
    kernel = os.uname() if not scene.host.live.blind else None
    packages = scene.packages
    return About(
        version=__version__,
        hostname=_line(scene, b"/proc/sys/kernel/hostname") if kernel else _line(scene, b"/etc/hostname"),
        host_id=_line(scene, b"/etc/machine-id"),
        boot_id=_line(scene, b"/proc/sys/kernel/random/boot_id") if kernel else "",
        system=_system(scene),
        kernel=text(os.fsencode(f"{kernel.sysname} {kernel.release}")) if kernel else "",
        architecture=text(os.fsencode(kernel.machine)) if kernel else "",
        root_folder=text(scene.host.files.root),
        by=_who(scene, environment),
        root=scene.is_root,
        zone=time.localtime(scene.now).tm_gmtoff,
        options=scene.options,
        generation=scene.approved.generation,
        baseline=scene.approved.problem,
        manager=packages.name,
        packages_problem=packages.problem,
        level=max((one.level for one in packages.installed()), default=Level.LISTED).label
        if packages.name and not packages.problem
        else "",
    )


def _who(scene: Scene, environment: Mapping[str, str]) -> str:
    name = scene.user(scene.uid)
    by = name if name == f"uid {scene.uid}" else f"{name} (uid {scene.uid})"
    caller = environment.get("SUDO_USER", "")
    return f"{by}, by sudo of {text(os.fsencode(caller), 64)}" if scene.is_root and caller else by


def _line(scene: Scene, path: bytes) -> str:
    """The first line of a file, "" when it cannot be read."""
    data = scene.host.texts.read(path, SMALL).data or b""
    return text(data.split(b"\n", 1)[0].strip(), 256)


def _system(scene: Scene) -> str:
    """os-release(5): the name for people."""
    for path in (b"/etc/os-release", b"/usr/lib/os-release"):
        for line in (scene.host.texts.read(path, SMALL).data or b"").splitlines():
            name, _, value = line.partition(b"=")
            if name.strip() == b"PRETTY_NAME":
                return text(value.strip().strip(b"\"'"), 256)
    return ""
