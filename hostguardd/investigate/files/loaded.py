"""Settings that choose what servers and tools load into themselves, or run of their own. Pure.

The rule kept: a module from where packages keep theirs is nothing; one from elsewhere is told, and loudly
where anybody may write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ...fact import TEMPORARY
from ..interface import Verdict
from .deeds import deeds
from .lines import Option, counting, each

NOTABLE, SUSPICIOUS = Verdict.NOTABLE, Verdict.SUSPICIOUS

SERVICES: Final = frozenset(
    b"files compat db nis nisplus hesiod dns ldap sss winbind wins systemd resolve mymachines myhostname "
    b"altfiles extrausers mdns mdns4 mdns6 mdns_minimal mdns4_minimal mdns6_minimal libvirt libvirt_guest "
    b"cache unix role gw_name oslogin cache_oslogin".split()
)
"""Of nsswitch.conf(5): those of glibc, systemd, sssd, samba, avahi, libvirt, ostree and the clouds."""

_OPEN: Final = (*TEMPORARY, b"/home/", b"/root/", b"/run/user/", b"/var/www/", b"/srv/")
_PACKAGED: Final = re.compile(rb"/(?:usr/)?(?:lib|lib64|libexec|share)/(?!(?:[^/]+/)*\.)")
_FINDING: Final = "It runs within the server, with all that the server may, and no program is seen."


def name_services(text: bytes) -> Iterator[Option]:
    """Of nsswitch.conf(5): a service NAME is libnss_NAME.so.2, in every program that asks for a name."""
    for number, line in counting(text):
        services = re.sub(rb"\[[^\]\n]{0,200}\]", b" ", line.partition(b"#")[0].partition(b":")[2]).split()
        if any(one not in SERVICES for one in services):
            yield Option(
                number, line, "asks a module that is none of the usual ones", NOTABLE,
                "A library in every program that asks for an account: it lets in whom it likes.",
            )  # fmt: skip


def _place(path: bytes) -> Verdict | None:
    """How bad it is to load that; None for what lies where packages put it, or is named without a place."""
    if not path.startswith(b"/") or (_PACKAGED.match(path) and b"/../" not in path):
        return None
    return SUSPICIOUS if path.startswith(_OPEN) or b"/." in path else NOTABLE


_MODULE: Final = re.compile(rb"(?i:\Aload_module\s+|\ALoadModule\s+\S+\s+|\ALoadFile\s+)[\"']?([^\s\"';]+)")
_PIPED: Final = re.compile(
    rb"\A(?i:CustomLog|ErrorLog|TransferLog|GlobalLog|ForensicLog)\s+[\"']?\|[|$]?\s*([^\n]+)"
)
_ROTATING: Final = re.compile(rb"/usr/s?bin/(?:rotatelogs2?|cronolog|logger|systemd-cat)(?=[\s\"']|\Z)")
_PICTURE: Final = re.compile(
    rb"\A(?:AddHandler|AddType|SetHandler)\s+[^\n]{0,200}(?:php|cgi-script)[^\n]{0,200}"
    rb"\.(?:jpe?g|png|gif|ico|svg|css|txt|html?)\b",
    re.IGNORECASE,
)


def web(text: bytes) -> Iterator[Option]:
    """Of nginx.conf and Apache's files: modules, logs that are handed to programs, pictures that are run."""
    for number, line in counting(text):
        module, piped = _MODULE.match(line), _PIPED.match(line)
        if module and (verdict := _place(module[1])):
            yield Option(number, line, "loads a module from where no package puts one", verdict, _FINDING)
        elif piped and _ROTATING.match(piped[1]) is None:
            worst = next(iter(deeds(piped[1])), None)
            says = "hands each request to a program" + (f", and it {worst.clause}" if worst else "")
            yield Option(
                number, line, says, worst.verdict if worst else NOTABLE,
                "It is started by root with the server, and a request from anywhere wakes it.",
            )  # fmt: skip
        elif _PICTURE.match(line):
            yield Option(
                number, line, "runs what looks like pictures or texts", NOTABLE,
                "What somebody uploads is a program then.",
            )  # fmt: skip
    yield from _prepended(text)


_prepended = each(
    rb"\A(?:php_(?:admin_)?value\s*\[?\s*)?auto_(?:pre|ap)pend_file\s*\]?\s*=?\s*[\"']?(?!none\b)[^\s\"';=]",
    "runs a file with every page", NOTABLE, "A page that answers only one visitor, in none of the pages.",
)  # fmt: skip
_included = each(
    rb"\A(?:php_(?:admin_)?(?:value|flag)\s*\[?\s*)?allow_url_include\s*\]?\s*=?\s*[\"']?(?i:1|on|yes|true)\b",
    "lets pages run what lies on other hosts", NOTABLE, "One request runs anything.",
)  # fmt: skip
_EXTENSION: Final = re.compile(
    rb"\A(?:php_(?:admin_)?value\s*\[\s*)?(?:zend_)?extension(?:_dir)?\s*\]?\s*=\s*[\"']?([^\s\"';]+)"
)


def php(text: bytes) -> Iterator[Option]:
    """Of php.ini and the pools of php-fpm."""
    for look in (_prepended, _included):
        yield from look(text)
    for number, line in counting(text):
        extension = _EXTENSION.match(line)
        if extension and (verdict := _place(extension[1])):
            yield Option(number, line, "loads a module from where no package puts one", verdict, _FINDING)


_PLUGIN: Final = re.compile(rb"\A(?:Plugin\s+\S+|Path\s+[a-z_]+)\s+(\S+)")
_OF_SUDO: Final = frozenset({b"sudoers.so", b"audit_json.so"})


def sudo_plugins(text: bytes) -> Iterator[Option]:
    """Of sudo.conf(5): what sudo loads while it is root and has heard the password."""
    for number, line in counting(text):
        found = _PLUGIN.match(line)
        if found is None:
            continue
        verdict = _place(found[1])
        if verdict is None and line.startswith(b"Plugin") and found[1].rpartition(b"/")[2] not in _OF_SUDO:
            verdict = NOTABLE
        if verdict is not None:
            yield Option(
                number, line, "has sudo load or run this", verdict,
                "It hears passwords and lets become root whom it likes.",
            )  # fmt: skip
