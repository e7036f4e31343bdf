"""Which changes may wait for the end of what a package manager does. Pure."""

from __future__ import annotations

import re
from typing import Final

from ..model import FileFact, SetIdFact
from .judging import STATUS

PLACES: Final = (
    b"/usr/", b"/bin/", b"/sbin/", b"/lib/", b"/lib32/", b"/lib64/", b"/libx32/", b"/boot/", b"/etc/",
    b"/opt/", b"/var/lib/dpkg/info/", STATUS, b"/var/lib/rpm/",
)  # fmt: skip
"""Where packages put things."""

NEVER: Final = re.compile(
    rb"/usr/local/.*|/etc/ld\.so\.preload.*|/etc/(passwd|shadow|group|gshadow|subuid|subgid)([-+.].*)?"
    rb"|/etc/(sudoers|doas)(\.conf)?(\.d)?(/.*)?|/etc/sudo\.conf|(?!/usr/share/man/).*/authorized_keys.*|.*/\.ssh(/.*)?"
    rb"|/etc/(crontab|rc\.local|hosts|fstab|resolv\.conf)|/etc/cron\.(allow|deny)",
    re.DOTALL,  # a name may hold a newline
)
"""What waits for nobody: no package brings it, or (sudo's) it is told whoever brings it."""


def may_wait(fact: FileFact | SetIdFact) -> bool:
    """Whether packages put things there, so that it may wait for the end of a transaction."""
    path = fact.path
    return path.startswith(PLACES) and NEVER.fullmatch(path) is None


URGENT: Final = re.compile(rb"/etc/cron\.(?:d|hourly|daily|weekly|monthly)/.*", re.DOTALL)
"""Packages bring it, so it waits; but cron runs it within a minute, and dpkg has it in its database before it
puts it there (rpm: soon afterwards)."""


def is_urgent(path: bytes) -> bool:
    """Whether it is asked about as soon as it is there."""
    return URGENT.fullmatch(path) is not None
