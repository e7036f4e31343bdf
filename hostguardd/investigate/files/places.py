"""What a path is for by its name alone: a program, a library, a unit, what is started by itself. Pure."""

from __future__ import annotations

import re
from typing import Final

BIN: Final = (b"/usr/bin/", b"/usr/sbin/", b"/bin/", b"/sbin/")
"""Folders of programs that everybody's PATH has."""

_PROGRAM: Final = re.compile(
    rb"(?:/usr)?/(?:s?bin|libexec|lib/modules)/.*"
    rb"|/boot/(?:vmlinuz|vmlinux|kernel|xen)[^/]*|/(?:boot/)?efi/.*\.(?i:efi)"
)
_LIBRARY: Final = re.compile(rb".*/[^/]+\.so(?:\.[0-9][^/]*)?")
_MODULE: Final = re.compile(rb".*/lib/modules/.*\.ko(?:\.(?:xz|gz|zst))?")
_UNIT: Final = re.compile(
    rb".*/systemd/(?:(?:system|user)(?:-generators)?|system-sleep|system-shutdown)/.*"
    rb"|(?:/usr)?/lib/udev/rules\.d/.*"
    rb"|/usr/share/(?:polkit-1/(?:rules\.d|actions)|dbus-1/system-services)/.*"
)
_HOOK: Final = re.compile(rb".*/python3[^/]*/(?:.*/)?(?:[^/]+\.pth|(?:site|user)customize\.py)")
CODE: Final = re.compile(rb".*\.(?:py|pl|pm|rb|js|mjs|cjs|php|sh|bash|lua|tcl|el)")
"""Interpreted code outside of the folders of programs."""

FOREIGN: Final = re.compile(rb"(.*?/(?:node_modules|site-packages|dist-packages|gems)/[^/]+)(?:/.*)?")
"""Trees into which languages' own package managers (npm, pip, gem) install, over what packages brought."""

TEMPORARY: Final = (b"/tmp/", b"/var/tmp/", b"/dev/", b"/run/", b"/home/", b"/root/")
"""Where no program of the system lies: others than root may write there, or it is gone after a reboot."""


def kind(path: bytes) -> str:
    """`program`, `library`, `module`, `unit`, `hook`, or "" for the rest."""
    if _MODULE.fullmatch(path):
        return "module"
    if _LIBRARY.fullmatch(path):
        return "library"
    if _UNIT.fullmatch(path):
        return "unit"
    if _HOOK.fullmatch(path):
        return "hook"
    return "program" if _PROGRAM.fullmatch(path) else ""
