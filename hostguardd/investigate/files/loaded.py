"""Settings that choose what tools load into themselves, and where nobody but packages puts that. Pure.

The rule kept: a module from where packages keep theirs is nothing; one from elsewhere is told, and loudly
where anybody may write.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from ...fact import TEMPORARY
from ..interface import Verdict
from .lines import Option, counting

NOTABLE, SUSPICIOUS = Verdict.NOTABLE, Verdict.SUSPICIOUS

SERVICES: Final = frozenset(
    b"files compat db nis nisplus hesiod dns ldap sss winbind wins systemd resolve mymachines myhostname "
    b"altfiles extrausers mdns mdns4 mdns6 mdns_minimal mdns4_minimal mdns6_minimal libvirt libvirt_guest "
    b"cache unix role gw_name oslogin cache_oslogin".split()
)
"""Of nsswitch.conf(5): those of glibc, systemd, sssd, samba, avahi, libvirt, ostree and the clouds."""

OPEN: Final = (*TEMPORARY, b"/home/", b"/root/", b"/run/user/", b"/var/www/", b"/srv/")
_ACCOUNTS: Final = frozenset(b"passwd shadow group gshadow initgroups".split())
_BESIDE: Final = frozenset({b"db", b"extrausers", b"hesiod"})
"""nss_db(5) has /var/db/passwd.db or /var/lib/misc, extrausers a folder of its own."""

_PACKAGED: Final = re.compile(rb"/(?:usr/)?(?:lib|lib64|libexec|share)/(?!(?:[^/]+/)*\.)")
FINDING: Final = "It runs within the server, with all that the server may, and no program is seen."
ELSEWHERE: Final = "loads a module from where no package puts one"


def name_services(text: bytes) -> Iterator[Option]:
    """Of nsswitch.conf(5): a service NAME is libnss_NAME.so.2, in every program that asks for a name."""
    for number, line in counting(text):
        table = line.partition(b":")[0].strip()
        services = re.sub(rb"\[[^\]\n]{0,200}\]", b" ", line.partition(b"#")[0].partition(b":")[2]).split()
        if any(one not in SERVICES for one in services):
            yield Option(
                number, line, "asks a module that is none of the usual ones", NOTABLE,
                "A library in every program that asks for an account: it lets in whom it likes.",
            )  # fmt: skip
        elif table in _ACCOUNTS and not _BESIDE.isdisjoint(services):
            yield Option(
                number, line, "takes accounts from a table beside /etc/passwd", NOTABLE,
                "Nobody who reads /etc/passwd sees them.",
            )  # fmt: skip


def resolved(path: bytes) -> bytes:
    """The same without `..`; one that climbs from where its program looks is taken to climb to the root."""
    return b"/" + posixpath.normpath(b"/" + path).lstrip(b"/")


def place(path: bytes) -> Verdict | None:
    """How bad it is to load that; None for what lies where packages put it, or is named without a place."""
    if not path.startswith(b"/") and b"../" not in path:
        return None
    at = resolved(path)
    if _PACKAGED.match(at) and path.startswith(b"/"):
        return None
    return SUSPICIOUS if at.startswith(OPEN) or b"/." in at else NOTABLE


_SETTING: Final = re.compile(rb"(?i:(plugin)\s+\S+|(path)\s+\w+)\s+(\S+)(.*)")
_OF_SUDO: Final = frozenset({b"sudoers.so", b"audit_json.so"})


def sudo_plugins(text: bytes) -> Iterator[Option]:
    """Of sudo.conf(5): what sudo loads while it is root and has heard the password."""
    for number, line in counting(text, joined=True):
        found = _SETTING.match(line)
        if found is None:
            continue
        path = found[3]
        verdict = place(path)
        if found[1]:
            if (
                verdict is None
                and path not in _OF_SUDO
                and not path.endswith((b"/sudoers.so", b"/audit_json.so"))
            ):
                verdict = NOTABLE
            if re.search(rb"\s(?:sudoers_file|ldap_conf)=", found[4]):
                verdict = max(verdict or NOTABLE, NOTABLE)
        elif re.match(rb"/usr/bin/[\w-]+\Z", path):
            verdict = None
        if verdict is not None:
            yield Option(
                number, line, "has sudo load or run this", verdict,
                "It hears passwords and lets become root whom it likes.",
            )  # fmt: skip
