"""Small hosts below a folder, for checks that look at files."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\n"
    "daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n"
    "carol:x:1000:1000::/home/carol:/bin/bash\n"
    "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
)
SHELL = b"\x7fELF a shell"


def put(root: Path, path: str, data: str | bytes = b"", mode: int = 0o644) -> Path:
    """A file, and the folders above it."""
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists() and not os.access(place, os.W_OK):  # only root writes to what is read-only
        place.chmod(0o600)
    place.write_bytes(data.encode() if isinstance(data, str) else data)
    place.chmod(mode)
    return place


def share(place: Path, rights: int) -> None:
    """Give the uid 1000 these rights to it by an ACL. Where none can be kept, the test is skipped."""
    every, one = (1 << 32) - 1, struct.Struct("<HHI")
    entries = ((1, 6, every), (2, rights, 1000), (4, 0, every), (16, rights, every), (32, 0, every))
    try:
        os.setxattr(
            place,
            "system.posix_acl_access",
            struct.pack("<I", 2) + b"".join(one.pack(*entry) for entry in entries),
        )
    except OSError:
        pytest.skip("this file system keeps no ACLs")


def owner() -> str:
    """Whose files these are: the account there that has our uid."""
    accounts = (line.split(":") for line in PASSWD.splitlines())
    return next((words[0] for words in accounts if words[2] == str(os.getuid())), "me")


def clean(root: Path) -> Path:
    """A host with nothing to tell."""
    me = f"me:x:{os.getuid()}:{os.getgid()}::/nonexistent:/usr/sbin/nologin\n"
    put(root, "/etc/passwd", PASSWD + (me if owner() == "me" else ""))
    put(root, "/etc/group", "root:x:0:\ncarol:x:1000:\n")
    put(root, "/etc/shadow", "root:*:19000:0:99999:7:::\ncarol:$y$j9T$abc$def:19000:0:99999:7:::\n", 0o600)
    put(root, "/etc/shells", "/bin/sh\n/usr/bin/bash\n")
    put(root, "/usr/bin/bash", SHELL, 0o755)
    put(root, "/usr/bin/ls", b"\x7fELF ls", 0o755)
    put(root, "/usr/bin/passwd", b"\x7fELF passwd", 0o4755)
    put(root, "/etc/cron.d/tidy", "17 3 * * * root /usr/bin/ls -l\n")
    put(root, "/etc/hosts", "127.0.0.1 localhost\n")
    put(root, "/etc/sudoers", "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n", 0o440)
    put(root, "/home/carol/.bashrc", "alias ll='ls -l'\n")
    for folder in ("root", "tmp", "var/tmp", "dev", "run", "var/log"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    return root


OWNED: dict[bytes, str] = {
    b"/usr/bin/bash": "bash",
    b"/usr/bin/ls": "coreutils",
    b"/usr/bin/passwd": "passwd",
    b"/etc/cron.d/tidy": "tidy",
    b"/etc/sudoers": "sudo",
    b"/etc/shells": "base-files",
}
