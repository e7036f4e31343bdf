"""Names that are made to be overlooked: which, and where dot names are ordinary. Pure.

`ls` does not show what begins with a dot, and a terminal does not show blanks and invisible signs: that
is all of T1564.001. In homes dot names are the rule, so there only the second kind counts. Elsewhere a dot
*folder*, or a dot file that can be *executed*, is odd unless the tables below know it, each with the reason
why it comes and goes on a healthy host. What is there for good is in the baseline and needs no table.
"""

from __future__ import annotations

import stat
from typing import Final

from ..fact import is_odd
from ..facts.hidden import HIDDEN_FILE, HIDDEN_FOLDER, IN_DEV, ODD_NAME
from ..globs import compile_paths
from ..model import split, under

DT_DIR: Final = 4  # dirent.h
DT_REG: Final = 8
DT_UNKNOWN: Final = 0

HOMES: Final = (b"/root", b"/home", b"/etc/skel", b"/var/home")

SOCKETS: Final = tuple(
    top + name
    for top in (b"/tmp", b"/var/tmp")
    for name in (b"/.X11-unix", b"/.ICE-unix", b"/.XIM-unix", b"/.font-unix", b"/.Test-unix")
)
"""Made at boot by tmpfiles.d/x11.conf, for sockets and nothing else."""

KNOWN: Final = compile_paths(
    [
        *SOCKETS,
        b"/tmp/.X*-lock",  # an X server
        b"/tmp/.mount_*",  # an AppImage, mounted while it runs
        b"/tmp/.org.chromium.*", b"/tmp/.com.google.Chrome.*",  # a browser's lock and socket
        b"/tmp/.dotnet", b"/tmp/.NET*",  # the .NET runtime's locks shared between processes
        b"/tmp/.ansible*", b"/var/tmp/.ansible*",  # Ansible's modules, for one task
        b"/tmp/.esd-*", b"/tmp/.vbox-*", b"/tmp/.s.PGSQL.*",  # sockets of sound, VirtualBox, PostgreSQL
        b"/tmp/.guestfs-*", b"/var/tmp/.guestfs-*",  # libguestfs' appliance
        b"/tmp/.dpkg-*", b"/var/tmp/.buildah*", b"/var/tmp/.podman*",
        b"/dev/.lxc*", b"/dev/.lxd-mounts",  # inside a system container
        b"/etc/.pwd.lock", b"/etc/.updated", b"/var/.updated",  # lckpwdf(3), systemd-update-done(8)
        b"/usr/lib/.build-id", b"/lib/.build-id", b"/usr/lib/debug/.*",  # rpm, one link for each program
        b"/etc/.java", b"/etc/.java/.systemPrefs", b"/.autorelabel", b"/.dockerenv", b"/.readahead",
        b"/**/.git", b"/**/.svn", b"/**/.hg", b"/**/.bzr",  # a checkout (etckeeper in /etc)
        b"/opt/**/.venv", b"/srv/**/.venv", b"/opt/**/.cache", b"/srv/**/.cache", b"/srv/**/.well-known",
        b"/boot/.vmlinuz-*.hmac", b"/usr/lib/modules/*/.vmlinuz.hmac",  # FIPS checks of the kernel image
        b"/usr/bin/.*.hmac", b"/usr/sbin/.*.hmac", b"/usr/lib64/.*.hmac", b"/usr/lib/.*.hmac",
        b"/**/.*.??????",  # a file that rsync or an installer is about to rename
        b"/**/.nfs*", b"/**/.fuse_hidden*",  # a deleted file that is still open
    ]
)  # fmt: skip

DEVICE_FILES: Final = compile_paths(
    [
        b"/dev/shm/**", b"/dev/mqueue/**", b"/dev/hugepages/**",
        b"/dev/.*/**",  # told as hidden folder
        b"/dev/.udev.*", b"/dev/core",
    ]
)  # fmt: skip


def wants_mode(path: bytes, kind: int) -> bool:
    """Whether `oddity` has to be told the mode of an entry."""
    name = split(path)[1]
    return kind == DT_UNKNOWN or (kind == DT_REG and name.startswith(b"."))


def oddity(path: bytes, kind: int, mode: int) -> tuple[str, str]:
    """(sign of HiddenFact or "", what is odd as a clause). `kind` as DT_* of dirent.h, `mode` if wanted."""
    folder, name = split(path)
    if kind == DT_UNKNOWN:
        kind = DT_DIR if stat.S_ISDIR(mode) else DT_REG if stat.S_ISREG(mode) else -1
    if is_odd(name):
        return ODD_NAME, "a name of dots, blanks or signs that no terminal shows"
    if under(path, b"/dev") and kind == DT_REG and not DEVICE_FILES.fullmatch(path):
        return IN_DEV, "a plain file in a folder of devices"
    if any(folder == one for one in SOCKETS) and kind in (DT_DIR, DT_REG):
        return HIDDEN_FILE if kind == DT_REG else HIDDEN_FOLDER, "in a folder that is for sockets only"
    if not name.startswith(b".") or any(under(path, home) for home in HOMES) or KNOWN.fullmatch(path):
        return "", ""
    if kind == DT_DIR:
        return HIDDEN_FOLDER, "a dot folder where none belongs"
    if kind == DT_REG and mode & 0o111:
        return HIDDEN_FILE, "a dot file that can be executed, where none belongs"
    return "", ""
