"""The settings that run something, read line by line as their programs read them. Pure: bytes in, entries
out.

Formats: crontab(5), anacrontab(5), at(1)'s job files, systemd.exec(5) and systemd.timer(5), inittab(5),
inetd.conf(5), xinetd.conf(5), udev(7), pam.conf(5), apt.conf(5), dpkg.cfg(5), interfaces(5),
auditd-plugins(5), modprobe.d(5), git-config(1).
A line that a format does not know is no entry; nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from .deeds import LONGEST, code, deeds

MOST: Final = 2000
"""Entries of one file that are read."""


class Entry(NamedTuple):
    """One thing that a setting runs. `who`: the account, `when`: in words, `command`: as it is written."""

    line: int
    who: bytes
    when: str
    command: bytes


_VARIABLE: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*\s*=")
_READER: Final = re.compile(
    rb"(?:SHELL|BASH_ENV|ENV)\s*=\s*[\"']?(/(?!(?:usr/)?bin/(?:ba|da)?sh(?:[\s\"']|$))[^\s\"']+)"
)
"""A variable by which another program reads every line of a table."""

NICKNAMES: Final = {
    b"@reboot": "at every start", b"@yearly": "once a year", b"@annually": "once a year",
    b"@monthly": "once a month", b"@weekly": "once a week", b"@daily": "once a day",
    b"@midnight": "once a day, at midnight", b"@hourly": "once an hour",
}  # fmt: skip


def crontab(text: bytes, owner: bytes = b"") -> Iterator[Entry]:
    """Of crontab(5). `owner` is whose table it is; b"" for the system's, whose lines name the account.
    Of variables those are told by which another program runs than the line names."""
    for number, line in code(text, joined=False)[:MOST]:
        if _VARIABLE.match(line):
            if deeds(line):
                yield Entry(number, owner, "for every line below", line)
            elif found := _READER.match(line):
                yield Entry(number, owner, "for every line below", found[1])
            continue
        fields = line.split(None, 1 if line.startswith(b"@") else 5)
        if len(fields) != (2 if line.startswith(b"@") else 6):
            continue
        times, rest = fields[:-1], fields[-1]
        who = owner
        if not owner:
            who, _, rest = rest.partition(b" " if b" " in rest.split(b"\t", 1)[0] else b"\t")
        if rest.strip():
            yield Entry(number, who, cron_time(times), rest.strip())


def cron_time(fields: list[bytes]) -> str:
    """The time of a line of crontab(5), in words where it is a simple one."""
    if len(fields) == 1:
        return NICKNAMES.get(fields[0].lower(), "at " + fields[0].decode("ascii", "replace"))
    minute, hour, day, month, weekday = (field.decode("ascii", "replace") for field in fields)
    if (day, month, weekday) == ("*", "*", "*"):
        if minute == "*" and hour == "*":
            return "every minute"
        if minute.startswith("*/") and hour == "*":
            return f"every {minute[2:]} minutes"
        if minute.isdigit() and hour == "*":
            return f"every hour, at minute {minute}"
        if minute.isdigit() and hour.isdigit():
            return f"every day at {int(hour):02d}:{int(minute):02d}"
    return " ".join((minute, hour, day, month, weekday))


def anacrontab(text: bytes) -> Iterator[Entry]:
    """Of anacrontab(5): period, delay, name, command."""
    for number, line in code(text)[:MOST]:
        fields = line.split(None, 3)
        if len(fields) == 4 and not _VARIABLE.match(line):
            period = fields[0].decode("ascii", "replace")
            yield Entry(number, b"root", f"every {period} days" if period.isdigit() else period, fields[3])


_AT: Final = re.compile(rb"# atrun uid=(\d+) gid=(\d+)")
_MADE_BY_AT: Final = re.compile(
    rb"umask |cd |[A-Za-z_][A-Za-z0-9_]*=|export |\}|echo 'Execution directory|exit 1|#"
)


def at_job(text: bytes) -> Iterator[Entry]:
    """Of a job file of at(1): the lines behind the surroundings that at itself wrote."""
    head = _AT.search(text[:4096])
    if head is None:
        return
    who = b"uid " + head[1]
    for number, line in code(text)[:MOST]:
        if not _MADE_BY_AT.match(line):
            yield Entry(number, who, "once", line)


_UNIT: Final = re.compile(
    rb"(Exec[A-Za-z]+|User|OnCalendar|On[A-Za-z]+Sec|Environment|EnvironmentFile|Persistent)\s*=\s*(.*)"
)

_QUOTED: Final = re.compile(rb"\"([^\"]*)\"|'([^']*)'|([^\s\"']+)")


def unit(text: bytes) -> Iterator[Entry]:
    """The Exec lines of a unit of systemd, and the times of a timer."""
    lines = [
        (number, found) for number, line in code(text, within=b"#;")[:MOST] if (found := _UNIT.match(line))
    ]
    who = next((found[2].strip() for _, found in reversed(lines) if found[1] == b"User"), b"")
    for number, found in lines:
        key, value = found[1], found[2].strip()
        if key.startswith(b"Exec") and value:
            yield Entry(number, who, UNIT_TIMES.get(key, key.decode()), value)
        elif key.startswith(b"On") and value:
            yield Entry(number, b"", f"{key.decode()}={value.decode('utf-8', 'backslashreplace')}", b"")
        elif key == b"Environment":
            for word in map(b"".join, _QUOTED.findall(value)):
                if b"LD_" in word or deeds(word):
                    yield Entry(number, who, "for its programs", word)


def desktop(text: bytes) -> Iterator[Entry]:
    """What the Exec lines of desktop entries, and of services of D-Bus, start."""
    for number, line in code(text, joined=False)[:MOST]:
        key, sign, value = line.partition(b"=")
        if sign and key.strip() == b"Exec" and value.strip():
            yield Entry(number, b"", "when it is started", value.strip())


UNIT_TIMES: Final = {
    b"ExecStart": "when the unit starts", b"ExecStartPre": "before the unit starts",
    b"ExecStartPost": "after the unit started", b"ExecStop": "when the unit is stopped",
    b"ExecStopPost": "after the unit stopped", b"ExecReload": "when the unit is reloaded",
    b"ExecCondition": "before the unit starts",
}  # fmt: skip


def inittab(text: bytes) -> Iterator[Entry]:
    """Of inittab(5): id, run levels, action, process."""
    for number, line in code(text)[:MOST]:
        fields = line.split(b":", 3)
        if len(fields) == 4 and fields[3].strip():
            levels, action = fields[1].decode("ascii", "replace"), fields[2].decode("ascii", "replace")
            yield Entry(number, b"root", f"{action}, in run levels {levels or 'all'}", fields[3].strip())


def inetd(text: bytes) -> Iterator[Entry]:
    """Of inetd.conf(5): service, type, protocol, wait, account, server, arguments."""
    for number, line in code(text, joined=False)[:MOST]:
        fields = line.split(None, 6)
        if len(fields) < 6 or fields[5] == b"internal":
            continue
        service = b"/".join((fields[0], fields[2])).decode("ascii", "replace")
        command = fields[5]
        if command.endswith(b"/tcpd") and len(fields) > 6:
            command = fields[6]
        elif len(fields) > 6:  # the arguments begin with the program's name
            command = b" ".join((command, *fields[6].split(None, 1)[1:]))
        yield Entry(number, fields[4].split(b".")[0], f"for each connection to {service}", command)


def xinetd(text: bytes) -> Iterator[Entry]:
    """Of xinetd.conf(5): one entry for each service that names a server."""
    service, began, values = b"", 0, dict[bytes, bytes]()
    for number, line in code(text, joined=False)[:MOST]:
        if line.startswith(b"service"):
            service, began, values = line[7:].strip(b" \t{"), number, {}
        elif line.startswith(b"}"):
            if service and values.get(b"server"):
                off = ", disabled" if values.get(b"disable", b"no").lower() == b"yes" else ""
                command = b" ".join(filter(None, (values[b"server"], values.get(b"server_args", b""))))
                when = f"for each connection to {service.decode('ascii', 'replace')}{off}"
                yield Entry(began, values.get(b"user", b"root"), when, command)
            service = b""
        else:
            key, sign, value = line.partition(b"=")
            if sign:
                values[key.rstrip(b"+- \t").strip()] = value.strip()


_UDEV: Final = re.compile(
    rb'(RUN|RUN\{program\}|PROGRAM|IMPORT\{program\})\s*(?:\+?:?=)=?\s*e?"((?:[^"\\]|\\.)*)"'
)


def udev(text: bytes) -> Iterator[Entry]:
    """Programs that rules of udev(7) run. A name without a path lies in udev's own folder."""
    for number, line in code(text)[:MOST]:
        for key, command in _UDEV.findall(line):
            if command and not command.startswith(b"$env"):
                yield Entry(number, b"root", f"when a device fits ({key.decode()})", command)


_PAM: Final = re.compile(
    rb"(?:[\w.-]+\s+)?-?(auth|account|password|session)\s+(\[[^\]]*\]|\S+)\s+(\S+)\s*(.*)", re.IGNORECASE
)
"""In pam.conf(5) the service stands first."""


def pam(text: bytes) -> Iterator[Entry]:
    """Modules of pam.conf(5) that run something (pam_exec and its like) or have a path of their own."""
    for number, line in code(text)[:MOST]:
        found = _PAM.match(line)
        if found is None or found[2] in (b"include", b"substack"):
            continue
        phase, module, arguments = found[1].decode(), found[3], found[4]
        name = module.rpartition(b"/")[2]
        if name in (b"pam_exec.so", b"pam_script.so", b"pam_python.so"):
            words = arguments.split()
            first = next((at for at, word in enumerate(words) if word.startswith(b"/")), len(words))
            given = ", with the password" if b"expose_authtok" in words[:first] else ""
            when = f"at each login ({phase}), by {name.decode()}{given}"
            yield Entry(number, b"root", when, b" ".join(words[first:]) or module)
        elif module.startswith(b"/") and not PAM_PLACES.match(module):
            yield Entry(number, b"root", f"at each login ({phase})", module)


PAM_PLACES: Final = re.compile(rb"(?:/usr)?/lib(?:64)?/(?:[a-z0-9_-]+/)?security/[^/]+")

_APT: Final = re.compile(
    rb"(?:(?:DPkg|APT)(?:::|\s{0,40}\{[^}]{0,200}?)(?:Pre-Invoke|Post-Invoke|Pre-Install-Pkgs|Update::\S{0,40}?Invoke)"
    rb"|Proxy-Auto-Detect|Dir::Bin::)\S{0,40}\s{0,40}\{?\s{0,40}((?:\"[^\"]*\"[;\s]*)+)",
    re.DOTALL | re.IGNORECASE,
)


def apt(text: bytes) -> Iterator[Entry]:
    """What apt.conf(5) runs before and after it works."""
    text = b"\n".join(b"" if line.lstrip().startswith((b"//", b"#")) else line for line in text.split(b"\n"))
    for found in islice(_APT.finditer(text), MOST):
        for command in re.findall(rb'"([^"]*)"', found[1]):
            yield Entry(
                text.count(b"\n", 0, found.start(1)) + 1, b"root", "when packages are installed", command
            )


def _runs(pattern: bytes, when: str, *, joined: bool = False) -> Callable[[bytes], Iterator[Entry]]:
    """A reader of lines that name what root runs: the pattern's groups are a key and the command."""
    compiled = re.compile(pattern)

    def read(text: bytes) -> Iterator[Entry]:
        for number, line in code(text, joined=joined)[:MOST]:
            if found := compiled.match(line[:LONGEST]):
                yield Entry(number, b"root", when.format(found[1].decode()), found[2].strip(b" \"'"))

    return read


dpkg = _runs(rb"(pre-invoke|post-invoke|status-logger)(?:\s*=\s*|\s+)(\S.*)", "when dpkg works ({})")
"""Of dpkg.cfg(5): what runs beside every installation."""

interfaces = _runs(
    rb"((?:pre-|post-)?(?:up|down))\s+(\S.*)", "when a network interface changes ({})", joined=True
)
"""Of interfaces(5), as ifupdown has it."""

audit = _runs(rb"(path)\s*=\s*(/\S.*)", "when auditd starts")
"""Of auditd-plugins(5)."""


def modprobe(text: bytes) -> Iterator[Entry]:
    """`install` and `remove` lines of modprobe.d(5)."""
    for number, line in code(text)[:MOST]:
        fields = line.split(None, 2)
        if len(fields) == 3 and fields[0] in (b"install", b"remove"):
            yield Entry(
                number, b"root", f"in place of loading {fields[1].decode('ascii', 'replace')}", fields[2]
            )


_GIT: Final = re.compile(
    rb"(pager|editor|sshcommand|hookspath|fsmonitor|askpass|helper|textconv|external|cmd|program|gitproxy)\s*=\s*(.+)",
    re.IGNORECASE,
)


def git(text: bytes) -> Iterator[Entry]:
    """What git-config(1) lets git run."""
    for number, line in code(text)[:MOST]:
        if found := _GIT.match(line):
            yield Entry(number, b"", f"when git needs its {found[1].decode().lower()}", found[2].strip(b' "'))
        elif (found := re.match(rb"([\w-]+)\s*=\s*\"?!(.+)", line)) is not None:
            yield Entry(number, b"", f"by the alias {found[1].decode()}", found[2].strip(b' "'))


_SSH: Final = re.compile(
    rb"(ProxyCommand|LocalCommand|KnownHostsCommand|PKCS11Provider|SecurityKeyProvider|XAuthLocation)"
    rb"(?:\s*=\s*|\s+)[\"']?((?!none\b|internal\b)\S.*)|Match\b.*?\bexec\s+(\"[^\"]*\"|\S+)",
    re.IGNORECASE,
)


def ssh(text: bytes) -> Iterator[Entry]:
    """What ssh_config(5) runs or loads."""
    for number, line in code(text, joined=False)[:MOST]:
        if found := _SSH.match(line[:LONGEST]):
            option = found[1].decode() if found[1] else "Match exec"
            yield Entry(number, b"", f"when ssh connects ({option})", (found[2] or found[3]).strip(b" \"'"))


def script(text: bytes) -> Iterator[Entry]:
    """Every line of a script."""
    for number, line in code(text)[:MOST]:
        yield Entry(number, b"", "", line)
