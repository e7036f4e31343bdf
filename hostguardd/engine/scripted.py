"""Which of what no package brings the scripts of packages made, while the manager ran them. Pure.

The rule: a script is what a package manager, which held the lock, started from the place where it keeps its
scripts, and nothing else below it: dpkg starts a shell for who is asked about a configuration file, and apt
the commands of its configuration. Only an actor that is certain counts.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise
from typing import Final

from ..actors.model import Actor, Answer, Confidence, Link

DPKG: Final = b"/usr/bin/dpkg"
OF_DPKG: Final = re.compile(
    rb"/var/lib/dpkg/(?:info/([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\.|tmp\.ci/)(?:preinst|postinst|prerm|postrm)"
)
OF_RPM: Final = re.compile(rb"/var/tmp/rpm-tmp\.[A-Za-z0-9]{6}")
OPTION: Final = re.compile(rb"-[efuvwxTt]{1,4}")
"""What comes before the script at most: `perl -w SCRIPT`. Who has a program run something else may name a
script behind it: `sh -c SOMETHING SCRIPT`."""

INTERPRETERS: Final = (b"/usr/bin/", b"/bin/", b"/usr/libexec/platform-python")


def script(answer: Answer, holders: Collection[int]) -> str:
    """The package whose script made a change, or `packages` where that is not told; "" if it was none.
    `holders` are the processes that held the manager's lock."""
    if not isinstance(answer, Actor) or answer.confidence is not Confidence.CERTAIN:
        return ""
    who = answer.who
    chain = [Link(who.pid, who.exe, who.command, who.uid), *who.parents]
    for number, (child, parent) in enumerate(pairwise(chain)):
        if parent.uid == 0 and any(one.pid in holders for one in chain[number + 1 :]):
            if parent.exe == DPKG and (found := _word(child, OF_DPKG)):
                return (found[1] or b"packages").decode()
            if parent.pid in holders and parent.exe != DPKG and _word(child, OF_RPM):
                return "packages"
    return ""


def _word(link: Link, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
    if link.exe is None or not link.exe.startswith(INTERPRETERS):
        return None
    words = (link.command or b"").split(b"\0")[1:3]
    if words and OPTION.fullmatch(words[0]):
        del words[0]
    return pattern.fullmatch(words[0]) if words else None
