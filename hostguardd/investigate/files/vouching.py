"""Settings that say whom the host believes, and what it does not write down. Pure."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final

from ...words.interface import counted
from ..interface import Verdict
from .lines import Option, counting, each

NOTABLE: Final = Verdict.NOTABLE

_PACKAGES: Final = "Whoever stands between, or has that server, installs what they like as root."

_YES: Final = rb"\"?(?i:true|yes|with|on|enable|0*[1-9])\b"
_NO: Final = rb"\"?(?i:false|no|without|off|disable|0+)\b"
_NOTES: Final = re.compile(rb"/\*.{0,20000}?\*/|^[ \t]*//[^\n]*", re.DOTALL | re.MULTILINE)
_TRUST: Final = rb"(?i:trusted|allow-insecure)"

_unsigned = each(
    rb"\A(?i:deb|deb-src)\s*\[[^\]\n]{0,2000}\b" + _TRUST + rb"\s*[-+]?=\s*" + _YES
    + rb"|\A" + _TRUST + rb"\s*:\s*" + _YES,
    "takes packages of that source unsigned", NOTABLE, _PACKAGES,
)  # fmt: skip
_FOLDED: Final = re.compile(rb"^((?i:trusted|allow-insecure)[ \t]*:)[ \t\r]*\n[ \t]+", re.MULTILINE)
_unasked = each(
    rb"\b(?i:AllowUnauthenticated|AllowInsecureRepositories|AllowDowngradeToInsecureRepositories)\s+" + _YES,
    "takes packages unsigned", NOTABLE, _PACKAGES,
)  # fmt: skip
_unverified = each(
    rb"\b(?i:Verify-Peer|Verify-Host)\s+" + _NO,
    "believes any server that packages come from", NOTABLE, _PACKAGES,
)  # fmt: skip
_SPLIT: Final = re.compile(rb"(\b(?i:Allow[a-z]+|Verify-(?:Peer|Host)))[ \t\r]*\n\s*(?=[\"\w])")


def apt(text: bytes) -> Iterator[Option]:
    """Of sources.list(5), in both its styles, and apt.conf(5), in which notes are as in C."""
    text = _NOTES.sub(lambda note: b"\n" * note[0].count(b"\n"), text)
    text = _SPLIT.sub(rb"\1 ", _FOLDED.sub(rb"\1 ", text))
    for look in (_unsigned, _unasked, _unverified):
        yield from look(text)


_unchecked = each(
    rb"\A(?:gpgcheck|pkg_gpgcheck)\s*[=:]\s*(?i:0|no|false|off)\s*\Z",
    "takes packages unsigned", NOTABLE, _PACKAGES,
)  # fmt: skip
_unasked_of = each(
    rb"\Asslverify\s*=\s*(?i:0|no|false|off)\s*\Z",
    "believes any server that packages come from", NOTABLE, _PACKAGES,
)  # fmt: skip

_elsewhere = each(
    rb"\A(?:pluginpath|pluginconfpath|reposdir|varsdir)\s*=[^\n]*?/(?:(?:tmp|var/tmp|dev/shm|home|root)/|\.(?!\.?/))",
    "takes what it runs or installs from where others may write", Verdict.SUSPICIOUS, _PACKAGES,
)  # fmt: skip


def dnf(text: bytes) -> Iterator[Option]:
    """Of dnf.conf(5) and yum.conf(5); `repo_gpgcheck=0` is how the distributions ship theirs."""
    for look in (_unchecked, _unasked_of, _elsewhere):
        yield from look(text)


_BEGIN: Final = re.compile(rb"^[ \t]*(-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----)", re.MULTILINE)
_DER: Final = re.compile(rb"\A\x30[\x80-\x84][^\0]", re.DOTALL)
"""A certificate as ITU-T X.690 has it: a sequence, longer than 127 bytes."""


_ENCODED: Final = re.compile(rb"CERTIFICATE-----\s*([A-Za-z0-9+/=\s]{1,20000})")
_CALLED: Final = re.compile(rb"\x06\x03\x55\x04[\x03\x0a\x0b][\x0c\x13\x14\x16]([\x01-\x40])", re.DOTALL)
"""In DER: a common name, an organisation or a part of one, as a string of so many bytes."""


def _names(der: bytes) -> bytes:
    """By what names a certificate goes, its issuer's first; no proof of anything, for a person to read."""
    found = (der[one.end() : one.end() + one[1][0]] for one in _CALLED.finditer(der[:4096]))
    names = dict.fromkeys(name for name in found if name.isascii() and name.decode().isprintable())
    return b", ".join(list(names)[:4])


def authorities(text: bytes) -> Iterator[Option]:
    """Of what update-ca-certificates(8) and update-ca-trust(8) take in, once for each file."""
    found = _BEGIN.search(text)
    if found is None and not _DER.match(text):
        return
    der, line, others = text, 1, 0
    if found is not None:
        encoded = _ENCODED.search(text, found.start())
        try:
            der = binascii.a2b_base64(encoded[1]) if encoded else b""
        except binascii.Error:
            der = b""
        line, others = text.count(b"\n", 0, found.start()) + 1, len(_BEGIN.findall(text)) - 1
    clause = "is believed when it vouches for any server"
    if others:
        clause += (
            f", and so {'is' if others == 1 else 'are'} {counted(others, 'other certificate')} in this file"
        )
    yield Option(
        line, b"a certificate of " + (_names(der) or b"nobody who is named in it"), clause,
        NOTABLE, "Whoever has its key stands in for every server that this host asks.",
    )  # fmt: skip


doas = each(
    rb"\Apermit\s(?:[^\n]*\s)?nopass(?=\s)", "lets somebody run programs as root, without a password",
    NOTABLE, "Whoever has that account has root.", joined=True,
)  # fmt: skip
"""Of doas.conf(5)."""

_unrecorded = each(
    rb"\A-[aA]\s*(?:never,task|task,never)\b|(?:\A|\s)-e\s*0\s*\Z",
    "keeps audit from recording what programs do", NOTABLE, "What is not recorded is not found.",
)  # fmt: skip
_OF_FEDORA: Final = [b"-D", b"-a task,never"]
"""All that Fedora's own rules say: it records no calls unless somebody asks for it."""


def recording(text: bytes) -> Iterator[Option]:
    """Of audit.rules(7)."""
    if [b" ".join(line.split()) for _, line in counting(text)] != _OF_FEDORA:
        yield from _unrecorded(text)


unwritten = each(
    rb"\A(?i:write_logs|local_events)\s*=\s*(?i:no)\b", "keeps audit from writing what it hears", NOTABLE,
    "What is not recorded is not found.",
)  # fmt: skip
"""Of auditd.conf(5)."""
