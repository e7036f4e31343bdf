"""Options of settings that run nothing themselves and open a door all the same. Pure.

A table for each file: what is written there, what it means in a sentence, and how bad it is on a host whose
administrators did not say why. What is NOTABLE here is fine when a package brought the file just so.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ...fact import TEMPORARY
from ..interface import Verdict
from .atstart import accounts, commands, credentials, extension, keyscripts, records, sourced
from .deeds import deeds
from .lines import MOST, Option, counting, each
from .loaded import name_services, sudo_plugins
from .servers import php, web
from .sudoers import sudoers
from .vouching import apt, authorities, dnf, doas, recording, unwritten

FINE, NOTABLE, SUSPICIOUS = Verdict.FINE, Verdict.NOTABLE, Verdict.SUSPICIOUS


class Look(NamedTuple):
    """A kind of file and who reads it."""

    what: str
    globs: tuple[bytes, ...]
    read: Callable[[bytes], Iterator[Option]]
    technique: str


_Rule = tuple[bytes, bytes, str, Verdict, str]


SSHD: Final[tuple[_Rule, ...]] = (
    (b"permitemptypasswords", b"yes", "lets accounts in that have no password", SUSPICIOUS,
     "A way in without a key."),
    (b"permitrootlogin", b"yes", "lets root in from elsewhere with a password", NOTABLE,
     "Guessing one password is enough."),
    (b"authorizedkeyscommand", rb"(?!none$).*", "asks a program for the keys that open accounts", NOTABLE,
     "A program that adds one key to every answer opens every account."),
    (b"authorizedprincipalscommand", rb"(?!none$).*", "asks a program who may come in", NOTABLE,
     "It may let anybody in."),
    (b"trustedusercakeys", rb"(?!none$).*", "lets in whoever has a certificate of these keys", NOTABLE,
     "Whoever holds that key comes in as anybody."),
    (b"forcecommand", rb"(?!internal-sftp|none$).*", "runs this at each login", NOTABLE,
     "It runs whatever it is given."),
    (b"subsystem",
     rb"(?!sftp\s+(?:internal-sftp|/usr/lib(?:exec)?/(?:openssh/|ssh/)?sftp-server)(?:\s|$)).*",
     "runs this for whoever logs in and asks for it", NOTABLE, "A door of its own behind the usual one."),
    (b"authorizedkeysfile",
     rb"(?!(?:%h/)?\.ssh/authorized_keys2?(?:\s+(?:%h/)?\.ssh/authorized_keys2?)?$|none$).*",
     "takes keys from other files than usual", NOTABLE, "Keys in a file that nobody looks at."),
    (b"strictmodes", b"no", "takes keys from files that others may write to", NOTABLE,
     "Anybody's key opens the account."),
    (b"permituserenvironment", rb"(?!no$).*", "lets accounts bring variables that load libraries", NOTABLE,
     "A forced command is got round by LD_PRELOAD."),
    (b"hostbasedauthentication", b"yes", "believes other hosts", NOTABLE,
     "Who has the other host has this one."),
    (b"ignorerhosts", b"no", "believes .rhosts of accounts", NOTABLE,
     "One line in a home opens the account."),
    (b"gatewayports", rb"(?!no$).*", "lets forwarded ports be reached from elsewhere", NOTABLE,
     "A tunnel into the network."),
    (b"loglevel", b"quiet", "logs no logins", SUSPICIOUS, "What is not logged is not found."),
    (b"include", rb"(?!(?:/etc/ssh/)?sshd_config\.d/\*\.conf$|/etc/crypto-policies/).*",
     "takes settings from other files than usual, which were not read", NOTABLE,
     "A door that nobody looks at."),
    (b"usepam", b"no", "asks none of PAM's modules", NOTABLE, "Locks and limits of accounts do not hold."),
)  # fmt: skip
"""(directive, value as a pattern, clause, verdict, means) of sshd_config(5)."""

RUN_BY_SSHD: Final = frozenset(
    {b"authorizedkeyscommand", b"authorizedprincipalscommand", b"forcecommand", b"subsystem"}
)

_DIRECTIVE: Final = re.compile(rb"\"?([A-Za-z]+)\"?(?:\s*=\s*|\s+)(\S.*)")
_NOTED: Final = re.compile(rb"((?:\"[^\"]*+\"|[^\"\s]|\s(?!#))*+)\s#.*", re.DOTALL)
"""A note behind a value, as sshd has them since 8.5."""


def _noted(value: bytes) -> bytes:
    """The value ahead of a note."""
    found = _NOTED.fullmatch(value)
    return (found[1] if found else value).strip()


def sshd(text: bytes) -> Iterator[Option]:
    """Of sshd_config(5)."""
    for number, line in counting(text):
        found = _DIRECTIVE.fullmatch(line)
        if found is None:
            continue
        key, value = found[1].lower(), _noted(found[2]).strip(b'"')
        for name, pattern, clause, verdict, means in SSHD:
            if key == name and re.fullmatch(pattern, value, re.IGNORECASE | re.DOTALL):
                command = value.partition(b" ")[2] if key == b"subsystem" else value
                worst = next(iter(deeds(command)), None) if key in RUN_BY_SSHD else None
                if worst and worst.verdict is SUSPICIOUS:
                    yield Option(number, line, f"{clause}, and it {worst.clause}", SUSPICIOUS, means)
                else:
                    yield Option(number, line, clause, verdict, means)


def preload(text: bytes) -> Iterator[Option]:
    """Of /etc/ld.so.preload: it has no comments, and every word is a library."""
    for number, line in enumerate(text.split(b"\n")[:MOST], 1):
        if line.strip():
            means = "Root kits hide processes, files and connections this way."
            yield Option(number, line.strip(), "is loaded into every program", SUSPICIOUS, means)


def libraries(text: bytes) -> Iterator[Option]:
    """Of ld.so.conf(5): folders in which libraries are looked for."""
    for number, line in counting(text):
        path = line.split(b"#")[0].strip()
        included = re.match(rb"include\s+(?=/)", path)
        path = path[included.end() :] if included else path
        if not path.startswith(b"/") or path == b"/etc/ld.so.conf.d/*.conf":
            continue
        slash = path + b"/"
        if slash.startswith((*TEMPORARY, b"/home/", b"/root/")) or b"/." in path:
            yield Option(
                number,
                line,
                "lets programs load libraries from there",
                SUSPICIOUS,
                "A false library for all.",
            )
        elif not slash.startswith((b"/lib", b"/usr/", b"/opt/")):
            yield Option(
                number, line, "lets programs load libraries from there", NOTABLE, "A false library for all."
            )


_UPDATES: Final = re.compile(
    rb"(?:security\.debian|deb\.debian|archive\.ubuntu|security\.ubuntu|cdn\.redhat|mirrors\.fedoraproject|"
    rb"mirror\.centos|subscription\.rhsm|download\.fedoraproject|mirrors\.rockylinux|repo\.almalinux|"
    rb"virustotal|clamav\.net|malwarebytes|microsoft\.com|letsencrypt\.org|github\.com|pypi\.org)",
)  # fmt: skip


def hosts(text: bytes) -> Iterator[Option]:
    """Of hosts(5): names that are answered here and not by the name service."""
    for number, line in counting(text):
        fields = line.split(b"#")[0].split()
        if len(fields) < 2:
            continue
        if _UPDATES.search(b" ".join(fields[1:]).lower()):
            means = "Updates or signatures are kept away, or come from elsewhere."
            yield Option(number, line, "answers for a name of others", SUSPICIOUS, means)
        elif not fields[0].startswith((b"127.", b"::1", b"fe00:", b"ff00:", b"ff02:")):
            yield Option(number, line, "answers for a name here", FINE)


def resolver(text: bytes) -> Iterator[Option]:
    """Of resolv.conf(5): who answers for all names."""
    for number, line in counting(text):
        if line.startswith(b"nameserver"):
            yield Option(number, line, "answers for all names", FINE)


_AUTH: Final = rb"(?i)\A(?:[\w.-]+\s+)?-?auth\s+"
"""In pam.conf(5) the service stands first."""

_everybody = each(
    _AUTH + rb"(?:sufficient|\[[^\]\n]{0,200}\b(?:success|default)\s*=\s*done\b[^\]\n]{0,200}\])\s+"
    rb"(?:/\S{0,200}/)?pam_permit\.so",
    "lets everybody in, whatever they type", SUSPICIOUS, "Any password opens any account.", joined=True,
)  # fmt: skip


_some = each(
    _AUTH + rb"(?:sufficient|\[[^\]\n]{0,200}\b(?:success|default)\s*=\s*(?:done|\d)[^\]\n]{0,200}\])\s+"
    rb"(?:/\S{0,200}/)?pam_(?:succeed_if|rhosts|listfile)\.so",
    "lets some in, whatever they type", NOTABLE, "Any password opens these accounts.", joined=True,
)  # fmt: skip
_told = each(
    rb"(?i)\A(?:[\w.-]+\s+)?-?(?:auth|password)\s.{0,300}\bpam_exec\.so\s.{0,300}\bexpose_authtok\b",
    "hands what is typed as a password to a program", NOTABLE, "So are passwords gathered.", joined=True,
)  # fmt: skip


def pam(text: bytes) -> Iterator[Option]:
    """Of pam.d(5): what lets in whoever asks, and who hears the passwords."""
    for look in (_everybody, _some, _told):
        yield from look(text)


environment = each(
    rb"\bLD_(?:PRELOAD|AUDIT|LIBRARY_PATH)\b", "loads libraries into what is started", SUSPICIOUS,
    "Root kits hide processes, files and connections this way.", joined=True,
)  # fmt: skip
"""Of pam_env.conf(5) and systemd-system.conf(5): variables that everything starts with."""


services = each(
    rb"\A(?:export\s+)?(?:LD_(?:PRELOAD|AUDIT)|BASH_ENV)\s*=\s*[\"']?[^\s\"']|\ASSHD_OPTS\s*=[^\n]*-[fo]",
    "changes what a service loads or reads", NOTABLE,
    "Its unit and its program stay as they were packaged, and it does something else.", joined=True,
)  # fmt: skip
"""Of the files of variables that units start with; another allocator is loaded in this way, too."""


def trusted(text: bytes) -> Iterator[Option]:
    """Of hosts.equiv(5)."""
    for number, line in counting(text):
        verdict = SUSPICIOUS if line.startswith(b"+") else NOTABLE
        yield Option(
            number, line, "may come in without a password", verdict, "A way in that asks for nothing."
        )


exports = each(
    rb"no_root_squash", "lets root of other hosts be root in it", NOTABLE,
    "Root of another host makes set-uid files here.", joined=True,
)  # fmt: skip
"""Of exports(5)."""


aliases = each(
    rb"(?:\A|[:,])\s*[\"']?\|",
    "runs a program for each mail",
    NOTABLE,
    "A mail from anywhere starts it.",
    joined=True,
)
"""Of aliases(5): mail that runs a program."""


_POWER: Final = re.compile(
    rb"/etc/(?:cron|ld\.so|sudoers|passwd|shadow|systemd/|profile|rc|init|pam\.d|ssh/)|/root/\.ssh|/usr/s?bin/|/var/spool/cron"
)

_DOORS: Final = re.compile(
    rb"/etc/(?:cron\.d/|crontab|ld\.so\.preload|sudoers|passwd|shadow)|.*/authorized_keys|/var/spool/cron"
)
"""Where no package writes lines of its own at each start."""


def tmpfiles(text: bytes) -> Iterator[Option]:
    """Of tmpfiles.d(5): files that are made again at each start."""
    for number, line in counting(text):
        fields = line.split(None, 6)
        if len(fields) < 2:
            continue
        path = posixpath.normpath(fields[1].strip(b"\"'"))
        kind, mode = fields[0].strip(b"+!-=~^$\"'"), fields[2] if len(fields) > 2 else b"-"
        if (
            re.fullmatch(rb"[~:]*[4-7][0-7]{3}", mode)
            and mode[-4:-3] in b"4567"
            and kind in (b"f", b"F", b"z", b"Z", b"C")
        ):
            yield Option(
                number,
                line,
                "makes a file set-uid at each start",
                SUSPICIOUS,
                "A root shell that comes back.",
            )
        elif kind in (b"f", b"F", b"w") and len(fields) == 7 and b"^" not in fields[0] and _DOORS.match(path):
            yield Option(number, line, "writes there at each start", SUSPICIOUS, "A way in that comes back.")
        elif kind in (b"f", b"F", b"w", b"C", b"L") and _POWER.match(path):
            yield Option(number, line, "writes there at each start", NOTABLE, "What was removed comes back.")


sysctl = each(
    rb"\A-?[\w./*?\[\]-]{1,99}\s*=\s*\||\A-?kernel[./](?:modprobe\s*=|hotplug\s*=\s*/)",
    "has the kernel itself run a program as root", NOTABLE,
    "A crash, or any name of a module that is unknown, starts it.",
)  # fmt: skip
"""Of sysctl.d(5): programs that the kernel itself starts."""


_programs = each(
    rb"(?i:\bbinary\s*=\s*[\"']?/)|\A[a-z*][\w*.,;!=]*\s+\^/",
    "hands lines of the logs to a program", NOTABLE,
    "A line that anybody may write, a login say, wakes it.", joined=True,
)  # fmt: skip
_dropped = each(
    rb"(?:\b(?:sshd|sudo|su)\b|Accepted|Failed|session opened|[0-9]{1,3}(?:\.[0-9]{1,3}){3})[^\n]{0,99}"
    rb"(?:stop|~)\s{0,9}\}?\s{0,9}\Z",
    "drops lines about logins or one address before they are written", NOTABLE,
    "What somebody does is then in no log.", joined=True,
)  # fmt: skip


def rsyslog(text: bytes) -> Iterator[Option]:
    """Of rsyslog.conf(5): lines of logs that start a program, and lines that are never written."""
    for look in (_programs, _dropped):
        yield from look(text)


journald = each(
    rb"\AStorage\s*=\s*none\b",
    "keeps no journal",
    NOTABLE,
    "Where no other service writes logs, nothing does.",
    joined=True,
)
"""Of journald.conf(5)."""


def binfmt(text: bytes) -> Iterator[Option]:
    """Of binfmt.d(5): who runs programs of a kind."""
    for number, line in counting(text):
        if line and line.count(line[:1]) >= 6:
            yield Option(number, line, "has another program run files of a kind", NOTABLE,
                         "With the flag C it has the rights of set-uid files of that kind.")  # fmt: skip


_UNCONDITIONAL: Final = re.compile(
    rb"addRule\(\s{0,99}function\s{0,99}\([^)]{0,99}\)\s{0,99}\{\s{0,99}return\s+polkit\.Result\.YES"
)


def polkit(text: bytes) -> Iterator[Option]:
    """Of polkit(8): rules that ask for no password."""
    everything = _UNCONDITIONAL.search(text) is not None
    clause = "lets everybody do everything" if everything else "lets somebody do it"
    means = "By it an account starts services, and so anything, as root."
    for number, line in counting(text):
        if b"polkit.Result.YES" in line:
            yield Option(
                number, line, f"{clause} without a password", SUSPICIOUS if everything else NOTABLE, means
            )


PAGES: Final = tuple(
    top + below for top in (b"/var/www", b"/srv/www", b"/usr/share/nginx/html")
    for below in (b"", b"/*", b"/*/*")
)  # fmt: skip
"""Where web servers have their pages, and whoever writes pages may set options for them."""

WHOLE: Final = (authorities, credentials, extension, records)
"""What is not read by lines."""

CREDENTIALS: Final = tuple(
    top + end + name
    for top in (b"/etc/credstore", b"/run/credstore", b"/usr/local/lib/credstore")
    for end in (b"", b".encrypted")
    for name in (b"/ssh.*", b"/passwd.*", b"/tmpfiles.*", b"/sysctl.*", b"/systemd.*", b"/login.*",
        b"/userdb.*")
)  # fmt: skip

EXTENSIONS: Final = tuple(
    top + below
    for top in (b"/var/lib/extensions", b"/etc/extensions", b"/run/extensions", b"/var/lib/confexts",
        b"/run/confexts")
    for below in (
        b"/*.raw", b"/*/usr/lib/extension-release.d/extension-release.*",
        b"/*/etc/extension-release.d/extension-release.*",
    )
)  # fmt: skip

LOOKS: Final[tuple[Look, ...]] = (
    Look("the SSH server", (b"/etc/ssh/sshd_config", b"/etc/ssh/sshd_config.d/*.conf"), sshd, "T1098.004"),
    Look("sudo", (b"/etc/sudoers", b"/etc/sudoers.d/*"), sudoers, "T1548.003"),
    Look("sudo", (b"/etc/sudo.conf",), sudo_plugins, "T1548.003"),
    Look("doas", (b"/etc/doas.conf", b"/etc/doas.d/*.conf"), doas, "T1548.003"),
    Look("PAM", (b"/etc/pam.d/*", b"/etc/pam.conf"), pam, "T1556.003"),
    Look("what all is started with", (b"/etc/security/pam_env.conf", b"/etc/systemd/*.conf",
        b"/etc/systemd/system.conf.d/*.conf", b"/etc/systemd/user.conf.d/*.conf"), environment, "T1574.006"),
    Look("what services are started with", (b"/etc/default/*", b"/etc/sysconfig/*"), services, "T1574.006"),
    Look("the dynamic linker", (b"/etc/ld.so.preload",), preload, "T1574.006"),
    Look("the dynamic linker", (b"/etc/ld.so.conf", b"/etc/ld.so.conf.d/*"), libraries, "T1574.006"),
    Look("the table of hosts", (b"/etc/hosts",), hosts, "T1565.001"),
    Look("the resolver", (b"/etc/resolv.conf",), resolver, "T1565.001"),
    Look("the name services", (b"/etc/nsswitch.conf",), name_services, "T1556"),
    Look("the sources of packages", (b"/etc/apt/sources.list", b"/etc/apt/sources.list.d/*",
        b"/etc/apt/apt.conf", b"/etc/apt/apt.conf.d/*"), apt, "T1553"),
    Look("the sources of packages", (b"/etc/yum.conf", b"/etc/dnf/dnf.conf", b"/etc/yum.repos.d/*.repo",
        b"/etc/distro.repos.d/*.repo", b"/etc/yum/repos.d/*.repo", b"/etc/dnf/libdnf5.conf.d/*.conf",
        b"/etc/dnf/repos.override.d/*.repo"), dnf, "T1553"),
    Look("certificate authorities", (b"/usr/local/share/ca-certificates/*",
        b"/usr/local/share/ca-certificates/*/*", b"/etc/pki/ca-trust/source/*",
        b"/etc/pki/ca-trust/source/anchors/*", b"/usr/share/pki/ca-trust-source/anchors/*"), authorities,
        "T1553.004"),
    Look("the rules of audit", (b"/etc/audit/rules.d/*.rules",), recording, "T1562.012"),
    Look("the settings of audit", (b"/etc/audit/auditd.conf",), unwritten, "T1562.012"),
    Look("the web server", (b"/etc/nginx/*", b"/etc/nginx/conf.d/*", b"/etc/nginx/default.d/*",
        b"/etc/nginx/modules-enabled/*", b"/etc/nginx/sites-enabled/*", b"/etc/nginx/snippets/*",
        b"/usr/share/nginx/modules/*.conf", b"/etc/apache2/*.conf",
        b"/etc/apache2/*-enabled/*", b"/etc/httpd/conf/*.conf", b"/etc/httpd/conf.d/*.conf",
        b"/etc/httpd/conf.modules.d/*.conf",
        *(folder + b"/.htaccess" for folder in PAGES)), web, "T1505.004"),
    Look("PHP", (b"/etc/php.ini", b"/etc/php.d/*.ini", b"/etc/php-fpm.conf", b"/etc/php-fpm.d/*.conf",
        b"/etc/php/*/*/php.ini", b"/etc/php/*/*/conf.d/*.ini", b"/etc/php/*/fpm/*.conf",
        b"/etc/php/*/fpm/pool.d/*.conf", *(folder + b"/.user.ini" for folder in PAGES)), php, "T1505.003"),
    Look("accounts of userdb", (b"/etc/userdb/*.user", b"/run/userdb/*.user",
        b"/usr/local/lib/userdb/*.user"), records, "T1136.001"),
    Look("credentials of systemd", CREDENTIALS, credentials, "T1098.004"),
    Look("accounts made at start", (b"/etc/sysusers.d/*.conf", b"/run/sysusers.d/*.conf",
        b"/usr/local/lib/sysusers.d/*.conf", b"/usr/lib/sysusers.d/*.conf"), accounts, "T1136.001"),
    Look("extensions of the system", EXTENSIONS, extension, "T1554"),
    Look("encrypted disks", (b"/etc/crypttab",), keyscripts, "T1037"),
    Look("what services are told to run", (b"/etc/default/*", b"/etc/sysconfig/*",
        b"/etc/cloud/cloud.cfg", b"/etc/cloud/cloud.cfg.d/*",
        b"/etc/wireguard/*.conf", b"/etc/openvpn/*.conf", b"/etc/openvpn/*/*.conf", b"/etc/snmp/snmpd.conf",
        b"/etc/nagios/nrpe.cfg", b"/etc/nagios/nrpe.d/*.cfg", b"/etc/nrpe.d/*.cfg", b"/etc/zabbix/*.conf",
        b"/etc/zabbix/*.d/*.conf", b"/etc/smartd.conf", b"/etc/mdadm.conf", b"/etc/mdadm/mdadm.conf",
        b"/etc/keepalived/*.conf"), commands, "T1543"),
    Look("network interfaces", (b"/etc/sysconfig/network-scripts/ifcfg-*",), sourced, "T1546"),
    Look("trusted hosts", (b"/etc/hosts.equiv", b"/etc/shosts.equiv", b"/root/.rhosts", b"/root/.shosts"),
        trusted, "T1021"),
    Look("exported folders", (b"/etc/exports", b"/etc/exports.d/*"), exports, "T1039"),
    Look("aliases of mail", (b"/etc/aliases",), aliases, "T1546"),
    Look("the kernel's helpers", (b"/etc/sysctl.conf", b"/etc/sysctl.d/*", b"/run/sysctl.d/*",
        b"/usr/local/lib/sysctl.d/*"), sysctl, "T1546"),
    Look("rsyslog", (b"/etc/rsyslog.conf", b"/etc/rsyslog.d/*"), rsyslog, "T1546"),
    Look("the journal", (b"/etc/systemd/journald.conf", b"/etc/systemd/journald.conf.d/*.conf",
        b"/run/systemd/journald.conf.d/*.conf", b"/usr/lib/systemd/journald.conf.d/*.conf"), journald,
        "T1562.001"),
    Look("formats of programs", (b"/etc/binfmt.d/*", b"/run/binfmt.d/*"), binfmt, "T1546"),
    Look("polkit", (b"/etc/polkit-1/rules.d/*", b"/run/polkit-1/rules.d/*",
        b"/usr/local/share/polkit-1/rules.d/*"), polkit, "T1548"),
    Look("files made at start", (b"/etc/tmpfiles.d/*", b"/run/tmpfiles.d/*",
        b"/usr/lib/tmpfiles.d/*", b"/usr/local/lib/tmpfiles.d/*"), tmpfiles, "T1546"),
)  # fmt: skip
