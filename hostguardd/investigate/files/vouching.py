"""Settings that say whom the host believes, and what it does not write down. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..interface import Verdict
from .lines import Option, each

NOTABLE: Final = Verdict.NOTABLE

_PACKAGES: Final = "Whoever stands between, or has that server, installs what they like as root."

_unsigned = each(
    rb"\A(?:deb(?:-src)?\s+\[[^\]\n]{0,300}\b(?:trusted|allow-insecure)=(?:yes|true|1|on)\b"
    rb"|(?i:trusted|allow-insecure)\s*:\s*(?:yes|true|1|on)\s*\Z)",
    "takes packages of that source unsigned", NOTABLE, _PACKAGES,
)  # fmt: skip
_unasked = each(
    rb"\b(?i:AllowUnauthenticated|AllowInsecureRepositories|AllowDowngradeToInsecureRepositories)"
    rb"\s+\"?(?i:true|yes|1|on)\b",
    "takes packages unsigned", NOTABLE, _PACKAGES,
)  # fmt: skip
_unverified = each(
    rb"(?i:\bVerify-Peer\s+\"?(?:false|no|0|off)\b)",
    "believes any server that packages come from", NOTABLE, _PACKAGES,
)  # fmt: skip


def apt(text: bytes) -> Iterator[Option]:
    """Of sources.list(5) and apt.conf(5)."""
    for look in (_unsigned, _unasked, _unverified):
        yield from look(text)


_unchecked = each(
    rb"\A(?:gpgcheck|pkg_gpgcheck)\s*=\s*(?i:0|no|false|off)\s*\Z",
    "takes packages unsigned", NOTABLE, _PACKAGES,
)  # fmt: skip
_unasked_of = each(
    rb"\Asslverify\s*=\s*(?i:0|no|false|off)\s*\Z",
    "believes any server that packages come from", NOTABLE, _PACKAGES,
)  # fmt: skip


def dnf(text: bytes) -> Iterator[Option]:
    """Of dnf.conf(5) and yum.conf(5); `repo_gpgcheck=0` is how the distributions ship theirs."""
    for look in (_unchecked, _unasked_of):
        yield from look(text)


_BEGIN: Final = re.compile(rb"^-----BEGIN (?:TRUSTED )?CERTIFICATE-----", re.MULTILINE)


def authorities(text: bytes) -> Iterator[Option]:
    """Of what update-ca-certificates(8) and update-ca-trust(8) take in, once for each file."""
    found = _BEGIN.search(text)
    if found is not None:
        yield Option(
            text.count(b"\n", 0, found.start()) + 1, found[0], "is believed when it vouches for any server",
            NOTABLE, "Whoever has its key stands in for every server that this host asks.",
        )  # fmt: skip


doas = each(
    rb"\Apermit\s+(?:\S+\s+){0,9}?nopass\b", "lets somebody run programs as root, without a password",
    NOTABLE, "Whoever has that account has root.",
)  # fmt: skip
"""Of doas.conf(5)."""

recording = each(
    rb"\A-a\s+(?:never,task|task,never)\s*\Z|\A-e\s+0\s*\Z",
    "keeps audit from recording what programs do", NOTABLE, "What is not recorded is not found.",
)  # fmt: skip
"""Of audit.rules(7)."""
