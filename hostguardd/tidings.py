"""What a line of a log tells: a login refused or accepted, an account switched to, a crash. Pure.

The rule kept: **whoever may choose a word in a line chooses nothing else**. Names come from the other
side ("Failed password for root from 192.0.2.1 port 1 ssh2 from …" is a name that somebody tried), so the
patterns are anchored at the end, where the program itself has the last word, and take the longest name.

Several lines tell of one attempt (PAM, sshd, audit each have theirs): a tiding names its `session` and the
`voice` that tells it, and the one who counts believes the voice that told most.

Sources: the messages of openssh (auth.c, auth2.c, packet.c), Linux-PAM (pam_unix), util-linux (login, su),
shadow (login, su), sudo, opendoas, polkit (pkexec), vsftpd, proftpd, pure-ftpd, dovecot, postfix, xinetd,
tcp_wrappers, audit (USER_AUTH), and the kernel's of faults.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from .loglines import CONSOLE, Line, origin

SOFT: Final = "connection"
"""The voice of what may be many lines of one attempt: it counts once for each session."""


class Refused(NamedTuple):
    """Somebody was not let in. `times` is how often, as one line may stand for several."""

    service: bytes
    user: bytes
    source: bytes
    session: bytes
    voice: str
    times: int = 1


class Accepted(NamedTuple):
    """Somebody was let in. `method` is the key word of what convinced the service, b"" if it does not say.
    `login`: a login to this host, and not only to what the service offers."""

    service: bytes
    user: bytes
    source: bytes
    session: bytes
    method: bytes
    login: bool = False


class Switched(NamedTuple):
    """`by` became `user` by `service`."""

    service: bytes
    by: bytes
    user: bytes
    session: bytes


class Denied(NamedTuple):
    """`by` wanted to become `user` by `service`, and may not or could not."""

    service: bytes
    by: bytes
    user: bytes
    session: bytes
    voice: str


class Crashed(NamedTuple):
    """A program was ended for touching what is not its own."""

    program: bytes


Tiding: TypeAlias = Refused | Accepted | Switched | Denied | Crashed

_WORTH: Final = re.compile(
    rb"ailed |attempt for |ailure|nvalid user|llegal user|uthenticating user|attempts|ccepted |refused |"
    rb"REFUSED|FAIL|"
    rb"session opened for|not allowed|LOGIN|Login|no such user|invalid password|\(to |COMMAND=|ncorrect|"
    rb"sudoers|su\b|BAD SU|res=failed|"
    rb"segfault|protection|invalid opcode|smashing|ran command|Executing command"
)


def worth(raw: bytes) -> bool:
    """Whether a line may tell anything: cheap, and asked of every line."""
    return _WORTH.search(raw) is not None


def tell(line: Line) -> list[Tiding]:
    """What `line` tells; mostly nothing."""
    program = _service(line.program)
    text = line.text
    times = 1
    if text.startswith(b"message repeated ") and (again := _REPEATED.fullmatch(text)):
        times, text = min(int(again[1]), 10_000), again[2]
    if b"(pam_" in line.program and (old := _OLD_PAM.fullmatch(line.program)):
        found = list(_pam(old[2], _service(old[1]), text, line.pid))
    elif text.startswith(b"(pam_") and (older := _OLDER_PAM.fullmatch(text)):
        found = list(_pam(older[1], program, older[2], line.pid))
    elif b"pam_" in text and (pam := _PAM.search(text)):
        found = list(_pam(pam[1], _service(pam[2]), pam[3], line.pid))
    elif program in PROGRAMS:
        found = list(PROGRAMS[program](text, line.pid))
    elif refused := _WRAPPED.fullmatch(text):
        found = [Refused(program, b"", origin(refused[2] or refused[1]), line.pid, "wrapper")]
    elif b"smashing detected" in text:
        found = [Crashed(program)]
    else:
        found = []
    if times > 1:
        found = [one._replace(times=times) if isinstance(one, Refused) else one for one in found]
    return found


_REPEATED = re.compile(rb"message repeated (\d{1,6}) times: \[ ?(.*)\]", re.DOTALL)

SAME: Final[Mapping[bytes, bytes]] = {
    b"sshd-session": b"sshd", b"sshd-auth": b"sshd", b"in.sshd": b"sshd", b"su-l": b"su", b"/bin/su": b"su",
    b"/usr/bin/su": b"su", b"sudo-i": b"sudo", b"runuser-l": b"runuser", b"in.telnetd": b"telnetd",
}  # fmt: skip
"""Other names of the same program."""


def _service(name: bytes) -> bytes:
    return SAME.get(name, name)


# -- sshd ------------------------------------------------------------------------------------------

_END = rb"(?: ssh\d?)?(?:: .*)?"
_SSH_FAILED = re.compile(
    rb"Failed (\S+) for (?:invalid user |illegal user )?(.*) from (\S+) port (\d+)" + _END, re.DOTALL
)
_SSH_ACCEPTED = re.compile(rb"Accepted (\S+) for (.*) from (\S+) port (\d+)" + _END, re.DOTALL)
_SSH_SOFT = (
    re.compile(rb"(?:Invalid|Illegal) user (.*) from (\S+)(?: port (\d+))?", re.DOTALL),
    re.compile(
        rb"(?:Connection (?:closed|reset) by|Disconnected from|Disconnecting|Received disconnect from) "
        rb"(?:authenticating|invalid) user (.*) (\S+) port (\d+)(?:: .*)?",
        re.DOTALL,
    ),
    re.compile(
        rb"maximum authentication attempts exceeded for (?:invalid user )?(.*) from (\S+) port (\d+)" + _END,
        re.DOTALL,
    ),
    re.compile(rb"User (.*) from (\S+) not allowed because .*", re.DOTALL),
)
_SSH_ROOT = re.compile(rb"ROOT LOGIN REFUSED FROM (\S+)(?: port (\d+))?")
_SSH_PAM = re.compile(rb"PAM: .{1,64} for (?:illegal user |invalid user )?(.*) from (\S+)", re.DOTALL)
_GUESSABLE = (b"password", b"keyboard-interactive", b"keyboard-interactive/pam", b"challenge-response")


def _sshd(text: bytes, pid: bytes) -> Iterator[Tiding]:
    text = text.removeprefix(b"error: ").removeprefix(b"fatal: ").removesuffix(b" [preauth]")
    if found := _SSH_FAILED.fullmatch(text):
        voice = "sshd" if found[1] in _GUESSABLE else SOFT
        yield Refused(b"sshd", found[2], origin(found[3]), pid or found[4], voice)
    elif found := _SSH_ACCEPTED.fullmatch(text):
        yield Accepted(b"sshd", found[2], origin(found[3]), pid or found[4], found[1], login=True)
    elif found := _SSH_ROOT.fullmatch(text):
        yield Refused(b"sshd", b"root", origin(found[1]), pid or found[2] or b"", SOFT)
    elif found := _SSH_PAM.fullmatch(text):
        yield Refused(b"sshd", found[1], origin(found[2]), pid, "keyboard")
    elif found := _WRAPPED.fullmatch(text):
        yield Refused(b"sshd", b"", origin(found[2] or found[1]), pid, "wrapper")
    elif found := next(filter(None, (one.fullmatch(text) for one in _SSH_SOFT)), None):
        port = found[3] if found.re.groups > 2 else None
        yield Refused(b"sshd", found[1], origin(found[2]), pid or port or b"", SOFT)


_WRAPPED = re.compile(
    rb"(?:warning: )?refused connect(?:ion)? from (\S{1,255})(?: \((\S{1,255})\))?.*", re.DOTALL
)

# -- PAM -------------------------------------------------------------------------------------------

_PAM = re.compile(rb"(?:^|[ :])(pam_\w{1,32})\(([\w.@+-]{1,64}):(?:auth|session|account)\): (.*)", re.DOTALL)
_PAM_FAILED = re.compile(
    rb"(?:(\d{1,4}) more )?authentication failures?; logname=(.*?) uid=(-?\d*) euid=(-?\d*) tty=(\S*) "
    rb"ruser=(.*) rhost=(\S*)(?: +user=(.*)| *)",
    re.DOTALL,
)
_PAM_OPENED = re.compile(
    rb"session opened for user (.*?)(?:\(uid=(\d+)\))? by (.*?)(?:\(uid=(\d+)\))?", re.DOTALL
)
SWITCHERS: Final = frozenset({b"su", b"sudo", b"runuser", b"doas", b"pkexec", b"systemd-run0", b"run0"})
"""Services that make one account another."""

DOORS: Final = frozenset({
    b"login", b"remote", b"rlogin", b"rsh", b"telnetd", b"cockpit", b"xrdp-sesman", b"vsftpd", b"proftpd",
    b"dovecot", b"gdm-password", b"lightdm", b"sddm",
})  # fmt: skip
"""Services whose session is somebody who came in. sshd tells by itself; cron's are nobody."""


def _pam(module: bytes, service: bytes, text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _PAM_FAILED.fullmatch(text):
        more, logname, uid, _, _, ruser, rhost, user = found.groups()
        if service in SWITCHERS:
            # sudo asks up to three times and then says itself whether it came to nothing.
            if service != b"sudo":
                yield Denied(service, ruser or logname or b"uid " + uid, user or b"root", pid, "pam")
        elif service not in NOT_DOORS:
            source = origin(rhost) if rhost else CONSOLE
            times = int(more) if more else 1
            yield Refused(service, user or b"", source, pid, module.decode("ascii", "replace"), times)
    elif found := _PAM_OPENED.fullmatch(text):
        user, _, by, by_uid = found.groups()
        if service in SWITCHERS:
            # sudo has a line of its own, with the caller's name, which this one often lacks.
            who = by or (b"uid " + by_uid if by_uid and service != b"sudo" else b"")
            if who and by_uid != b"0" and who not in (b"root", user):
                yield Switched(service, who, user, pid)
        elif service in DOORS:
            yield Accepted(service, user, b"", pid, b"")


_OLD_PAM = re.compile(rb"([\w.@+-]{1,64})\((pam_\w{1,32})\)")
"""The tag of Linux-PAM before 0.99: `sshd(pam_unix)[19939]:`."""

_OLDER_PAM = re.compile(rb"\((pam_\w{1,32})\) (.*)", re.DOTALL)
"""The same of programs that had opened the log under their own name: `vsftpd: (pam_unix) …`."""

_PWDB_OPENED = re.compile(rb"\(([\w.@+-]{1,64})\) (session opened for .*)", re.DOTALL)
_PWDB_FAILED = re.compile(
    rb"(?:\d{1,4} more )?authentication failures?; (.{0,64})\(uid=(\d{1,10})\) -> (.{1,64}) for "
    rb"(\S{1,64}) service",
    re.DOTALL,
)


def _pwdb(text: bytes, pid: bytes) -> Iterator[Tiding]:
    """pam_pwdb, before there was pam_unix. It says from where nobody came, so only switches are believed."""
    if found := _PWDB_OPENED.fullmatch(text):
        yield from _pam(b"pam_pwdb", _service(found[1]), found[2], pid)
    elif (found := _PWDB_FAILED.fullmatch(text)) and _service(found[4]) in SWITCHERS:
        yield Denied(_service(found[4]), found[1] or b"uid " + found[2], found[3], pid, "pam")


NOT_DOORS: Final = frozenset(
    {b"cron", b"crond", b"atd", b"systemd-user", b"chsh", b"chfn", b"passwd", b"useradd"}
)
"""Services whose failures are no refused login."""

# -- su, sudo, doas, pkexec ------------------------------------------------------------------------

_SU_TO = re.compile(rb"(FAILED SU )?\(to (.*)\) (\S+) on (\S+)", re.DOTALL)
_SU_SIGN = re.compile(rb"([+-]) (\S+) (\S+)[:-](\S+)")
_SU_FOR = re.compile(rb"(Successful|FAILED) su for (\S+) by (\S+)")
_SU_BAD = re.compile(rb"(BAD SU )?(\S+) to (\S+) on (\S+)")


def _su(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _SU_TO.fullmatch(text):
        failed, user, by, _ = found.groups()
    elif found := _SU_SIGN.fullmatch(text):
        failed, by, user = found[1] == b"-", found[3], found[4]
    elif found := _SU_FOR.fullmatch(text):
        failed, by, user = found[1] == b"FAILED", found[3], found[2]
    elif found := _SU_BAD.fullmatch(text):
        failed, by, user = found[1], found[2], found[3]
    else:
        return
    if failed:
        yield Denied(b"su", by, user, pid, "su")
    elif by not in (b"root", user):
        yield Switched(b"su", by, user, pid)


_SUDO = re.compile(rb" *(\S{1,64}) : (.*)", re.DOTALL)
_SUDO_USER = re.compile(rb" ; USER=(.{1,64}?)(?= ; )", re.DOTALL)
_SUDO_FINE = re.compile(rb"(?:HOST|TTY|PWD|USER|CHROOT|GROUP)=")


def _sudo(text: bytes, pid: bytes) -> Iterator[Tiding]:
    found = _SUDO.fullmatch(text)
    if found is None or found[2].startswith(b"(command continued)"):
        return
    by, rest = found[1], found[2]
    # The folder and the command are the caller's words and may hold a USER= of their own: all are told.
    users = list(dict.fromkeys(_SUDO_USER.findall(rest)))[:8]
    if not _SUDO_FINE.match(rest):
        if users or b"sudoers" in rest or b"incorrect password" in rest:
            yield Denied(b"sudo", by, b"root" if b"root" in users else (*users, b"root")[0], pid, "sudo")
        return
    for user in users:
        if by not in (b"root", user):
            yield Switched(b"sudo", by, user, pid)


_DOAS = re.compile(rb"(\S{1,64}) ran command .* as (\S{1,64}) from .*", re.DOTALL)
_DOAS_FAILED = re.compile(
    rb"(?:failed (?:auth|command) for|command not permitted for) (\S{1,64}?)(?:: .*)?", re.DOTALL
)


def _doas(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if (found := _DOAS.fullmatch(text)) and found[1] not in (b"root", found[2]):
        yield Switched(b"doas", found[1], found[2], pid)
    elif found := _DOAS_FAILED.fullmatch(text):
        yield Denied(b"doas", found[1], b"root", pid, "doas")


_PKEXEC = re.compile(
    rb"(\S{1,64}): (Executing command|.{0,64}not authorized.{0,64}|.{0,64}Error.{0,64}) "
    rb"\[USER=([^\]]{1,64})\].*",
    re.DOTALL,
)


def _pkexec(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _PKEXEC.fullmatch(text):
        if found[2] != b"Executing command":
            yield Denied(b"pkexec", found[1], found[3], pid, "pkexec")
        elif found[1] not in (b"root", found[3]):
            yield Switched(b"pkexec", found[1], found[3], pid)


# -- login and others at the door --------------------------------------------------------------------

_LOGIN_FAILED = re.compile(
    rb"(?:FAILED LOGIN (?:\(\d+\)|\d+|SESSION)|invalid password|TOO MANY LOGIN TRIES \(\d+\)) (.{0,1024})",
    re.DOTALL,
)
_LOGIN_BY = re.compile(rb"(ROOT )?LOGIN +ON (\S+)(?: BY (\S+))?(?: FROM (\S+))?")
_FROM = re.compile(rb"(?:from|FROM) '?([^\s',]+)")
_FOR = re.compile(rb"(?:for|FOR) '?([^\s',]+)")


def _login(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _LOGIN_FAILED.fullmatch(text):
        where, user = _FROM.search(found[1]), _FOR.search(found[1])
        source = origin(where[1]) if where else CONSOLE
        yield Refused(b"login", user[1] if user else b"", source, pid, "login")
    elif found := _LOGIN_BY.fullmatch(text):
        user_name = b"root" if found[1] else found[3] or b""
        yield Accepted(b"login", user_name, origin(found[4] or b""), pid, b"", login=True)


_VSFTPD = re.compile(rb"\[([^\]]{0,64})\] (FAIL|OK) LOGIN: Client \"([^\"]{1,64})\".*", re.DOTALL)
_PROFTPD = re.compile(
    rb"[^\[]{0,255}\(\S{0,255}\[([0-9a-fA-F.:]{2,45})\]\)[ :-]{1,4}USER (.{0,255})", re.DOTALL
)
_PUREFTPD = re.compile(
    rb"\(\S{0,64}@(\S{1,255})\) \[WARNING\] Authentication failed for user \[(.{0,64})\]", re.DOTALL
)


def _vsftpd(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _VSFTPD.fullmatch(text):
        user, source = found[1], origin(found[3])
        if found[2] == b"FAIL":
            yield Refused(b"vsftpd", user, source, pid, "vsftpd")
        elif user not in (b"ftp", b"anonymous"):
            yield Accepted(b"vsftpd", user, source, pid, b"password")


def _proftpd(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _PROFTPD.fullmatch(text):
        source, rest = origin(found[1]), found[2]
        user = rest.partition(b" ")[0].rstrip(b":")
        if b"Login failed" in rest or b"no such user" in rest:
            yield Refused(b"proftpd", user, source, pid, "proftpd")
        elif b"Login successful" in rest:
            yield Accepted(b"proftpd", user, source, pid, b"password")


def _pureftpd(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _PUREFTPD.fullmatch(text):
        yield Refused(b"pure-ftpd", found[2], origin(found[1]), pid, "pure-ftpd")


_ATTEMPTS = re.compile(rb"auth failed, (\d{1,4}) attempts")
_RIP = re.compile(rb" rip=([^,\s]{1,255})")
_MAIL_USER = re.compile(rb" user=<([^>]{0,255})>")


def _dovecot(text: bytes, pid: bytes) -> Iterator[Tiding]:
    source = _RIP.search(text)
    user = _MAIL_USER.search(b" " + text)
    if source is None:
        return
    who = user[1] if user else b""
    if found := _ATTEMPTS.search(text):
        yield Refused(b"dovecot", who, origin(source[1]), b"", "dovecot", max(1, int(found[1])))
    elif b"Login: " in text:
        yield Accepted(b"dovecot", who, origin(source[1]), b"", b"password")


_SASL = re.compile(rb"\[([0-9a-fA-F.:]{2,45})\]: SASL \S{1,32} authentication failed")


def _postfix(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _SASL.search(text):
        yield Refused(b"postfix", b"", origin(found[1]), b"", "postfix")


_DROPBEAR = re.compile(
    rb"(?:[Bb]ad (?:PAM )?password attempt for '(.*)'|[Ll]ogin attempt for nonexistent user(?: '.*')?) "
    rb"from (\S+):\d+",
    re.DOTALL,
)


def _dropbear(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _DROPBEAR.fullmatch(text):
        yield Refused(b"dropbear", found[1] or b"", origin(found[2]), pid, "dropbear")


_XINETD = re.compile(rb"FAIL: (\S{1,64}) \S{1,64} from=(\S{1,255})")


def _xinetd(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _XINETD.match(text):
        yield Refused(found[1], b"", origin(found[2]), b"", "xinetd")


# -- audit, kernel ---------------------------------------------------------------------------------

_FIELD = re.compile(rb"(?:^|[ '])(pid|acct|exe|addr|op|res)=(?:\"([^\"]{0,255})\"|([^\s'\"]{0,255}))")


def _audit(text: bytes, pid: bytes) -> Iterator[Tiding]:
    """USER_AUTH and USER_LOGIN that failed. The key of a client that has several is no attempt."""
    kind = text.partition(b" ")[0]
    if kind not in (b"USER_AUTH", b"USER_ERR"):
        return
    values: dict[bytes, bytes] = {}
    for found in _FIELD.finditer(text.partition(b"\x1d")[0]):
        quoted, plain = found[2], found[3]
        values[found[1]] = _unhex(plain) if quoted is None and found[1] == b"acct" else quoted or plain or b""
    if values.get(b"res") != b"failed" or values.get(b"op") != b"PAM:authentication":
        return
    service = _service(values.get(b"exe", b"").rpartition(b"/")[2])
    user, address = values.get(b"acct", b""), values.get(b"addr", b"")
    if service and service not in SWITCHERS and service not in NOT_DOORS:
        yield Refused(service, user, origin(address), values.get(b"pid", b""), "audit")


def _unhex(value: bytes) -> bytes:
    """A value as auditd writes those that are no plain text."""
    try:
        return bytes.fromhex(value.decode("ascii"))
    except ValueError:
        return value


_FAULT = re.compile(
    rb"(?:\[ {0,8}\d{1,10}\.\d{1,9}\] )?(?:traps: )?(\S.{0,31}?)\[\d{1,10}\]:? "
    rb"(?:segfault at |general protection|trap invalid opcode|trap stack segment)"
)


def _kernel(text: bytes, pid: bytes) -> Iterator[Tiding]:
    if found := _FAULT.match(text):
        yield Crashed(found[1])


PROGRAMS: Final[Mapping[bytes, Callable[[bytes, bytes], Iterator[Tiding]]]] = {
    b"sshd": _sshd, b"su": _su, b"sudo": _sudo, b"doas": _doas, b"pkexec": _pkexec, b"login": _login,
    b"vsftpd": _vsftpd, b"proftpd": _proftpd, b"pure-ftpd": _pureftpd, b"dovecot": _dovecot,
    b"imap-login": _dovecot, b"pop3-login": _dovecot, b"postfix/smtpd": _postfix,
    b"postfix/submission/smtpd": _postfix, b"xinetd": _xinetd, b"PAM_pwdb": _pwdb,
    b"dropbear": _dropbear,    b"audit": _audit, b"kernel": _kernel,
}  # fmt: skip
"""Who understands which program."""

SERVERS: Final = (b"vsftpd", b"proftpd", b"pure-ftpd", b"dovecot", b"imap-login", b"pop3-login", b"postfix")
"""Programs that speak when they already belong to an account of their own."""


def genuine(program: bytes, exe: bytes, uid: int | None) -> bool:
    """Whether the journal's own word (`_EXE`, `_UID`) is no contradiction to a line's program: anybody
    may write a line under any name, logger(1), but only root runs what lets people in.

    `exe` b"" and `uid` None are not known, and speak neither for the line nor against it.
    """
    if uid is None or uid == 0:
        return True
    name = _service(program)
    place, _, image = exe.rpartition(b"/")
    if name in PROGRAMS and name not in SWITCHERS:
        return uid < 1000 and name.startswith(SERVERS)
    # Set-uid programs speak while they still count as their caller's.
    return not exe or (_service(image) == name and place.startswith((b"/usr/", b"/bin", b"/sbin")))
