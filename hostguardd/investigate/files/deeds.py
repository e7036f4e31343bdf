r"""What a command of a setting does that no healthy host's settings do. Pure: bytes in, clauses out.

The rule kept: **a word in a path or a comment convicts nobody**. Places count only where a command stands,
and the patterns are of whole deeds (a download into a shell), not of names of tools. Every pattern is
linear: no setting can hold the one who reads it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..interface import Verdict

LONGEST: Final = 8192
"""Bytes of one command that are judged."""

SHELL: Final = rb"(?:/(?:usr/)?bin/)?(?:ba|da|z|k|a)?sh\b|(?:/usr/bin/)?(?:python|perl|php|ruby)[0-9.]*\b"
FETCH: Final = rb"\b(?:curl|wget|fetch|lwp-download|GET|aria2c)\b"


class Deed(NamedTuple):
    """Something a command does. `clause` completes "it …"."""

    verdict: Verdict
    clause: str
    technique: str


_DEEDS: Final[tuple[tuple[bytes, Deed], ...]] = (
    (FETCH + rb"[^\n]{0,400}?\|\s*(?:sudo\s+|env\s+|nohup\s+)*(?:" + SHELL + rb")",
     Deed(Verdict.SUSPICIOUS, "hands a download to an interpreter", "T1105")),
    (rb"(?:" + SHELL + rb")\s+(?:-c\s+)?[\"']?(?:<\(|\$\(|`)\s*" + FETCH,
     Deed(Verdict.SUSPICIOUS, "hands a download to an interpreter", "T1105")),
    (FETCH + rb"[^\n]{0,400}?(?:[;&]|\n)[^\n]{0,200}?\bchmod\s+(?:[0-7]*[1357][0-7]*|[a-z]*\+[rws]*x)",
     Deed(Verdict.SUSPICIOUS, "fetches a program and makes it executable", "T1105")),
    (FETCH + rb"[^\n]{0,400}?(?:/tmp/|/var/tmp/|/dev/shm/)",
     Deed(Verdict.SUSPICIOUS, "fetches something into a folder for temporary files", "T1105")),
    (rb"\bnohup\s+" + FETCH, Deed(Verdict.SUSPICIOUS, "fetches something in the background", "T1105")),
    (rb"\b(?:base64|base32|xxd|uudecode|openssl\s+enc|openssl\s+base64)\b[^\n|]{0,200}\|\s*(?:sudo\s+)?"
     rb"(?:" + SHELL + rb"|gunzip|zcat)",
     Deed(Verdict.SUSPICIOUS, "hands encoded text to an interpreter", "T1027")),
    (rb"\beval\b[^\n]{0,80}\b(?:base64|b64decode|gzinflate|xxd)\b",
     Deed(Verdict.SUSPICIOUS, "evaluates encoded text", "T1027")),
    (rb"b64decode\s*\(", Deed(Verdict.SUSPICIOUS, "runs encoded text", "T1027")),
    (rb"/dev/(?:tcp|udp)/", Deed(Verdict.SUSPICIOUS, "talks to the network from within a shell",
     "T1059.004")),
    (rb"\b(?:nc|ncat|netcat|nc\.traditional|nc\.openbsd)\b[^\n|;]{0,200}\s-[a-zA-Z]*[ec]\b",
     Deed(Verdict.SUSPICIOUS, "ties a shell to the network", "T1059.004")),
    (rb"\bsocat\b[^\n|;]{0,300}\b(?:exec|system):", Deed(Verdict.SUSPICIOUS, "ties a shell to the network",
     "T1059.004")),
    (rb"\b(?:ba|z|k)?sh\s+-i\b[^\n]{0,80}[<>]&", Deed(Verdict.SUSPICIOUS, "ties a shell to something else",
     "T1059.004")),
    (rb"\b(?:python|perl|ruby|php)[0-9.]*\s+-[cer]\b[^\n]{0,300}(?:\bsocket\b|\bSocket\b|fsockopen|TCPSocket)",
     Deed(Verdict.SUSPICIOUS, "opens a connection from a one-line program", "T1059.006")),
    (rb">>?\s*[^\s;|&]{0,200}authorized_keys", Deed(Verdict.SUSPICIOUS, "adds keys that open an account",
     "T1098.004")),
    (rb"\bchmod\s+(?:[0-7]?[4-7][0-7]{3}\b|[ugoa,]*\+[rwxt]*s)", Deed(Verdict.SUSPICIOUS,
     "makes a file set-uid", "T1548.001")),
    (rb"\bLD_(?:PRELOAD|AUDIT)\s*=\s*[\"']?/", Deed(Verdict.SUSPICIOUS,
     "loads a library into other programs", "T1574.006")),
    (rb"^(?:export\s+)?(?:SHELL|BASH_ENV)\s*=\s*[\"']?(?:/tmp|/var/tmp|/dev/shm)/",
     Deed(Verdict.SUSPICIOUS, "runs something from a folder for temporary files", "T1574.007")),
    (rb"^(?:export\s+)?PATH\s*=(?:[^\n]{0,2000}?:)?[\"']?(?:/tmp|/var/tmp|/dev/shm|\.)(?:[:/\"']|$)",
     Deed(Verdict.SUSPICIOUS, "finds programs where anybody may put them", "T1574.007")),
    (rb"\bHISTFILE\s*=\s*[\"']?(?:/dev/null|[\"']|$|;)|\bunset\s+(?:-v\s+)?HISTFILE\b|\bset\s+\+o\s+history\b|\bHISTSIZE\s*=\s*0\b|\bHISTFILESIZE\s*=\s*0\b|\bhistory\s+-c\b",
     Deed(Verdict.SUSPICIOUS, "keeps commands out of the history", "T1070.003")),
    (rb"\b(?:xmrig|minerd|cpuminer|stratum\+(?:tcp|ssl))", Deed(Verdict.SUSPICIOUS, "mines coins", "T1496")),
    (rb"\b(?:useradd|adduser|usermod|chpasswd)\b[^\n]{0,200}(?:-o\b|-u\s*0\b|sudo|wheel)|\|\s*chpasswd\b",
     Deed(Verdict.SUSPICIOUS, "makes accounts or sets passwords", "T1136.001")),
    (rb"/etc/(?:ld\.so\.preload|shadow|sudoers)\b[^\n]{0,20}$", Deed(Verdict.NOTABLE,
     "handles a file that gives power", "")),
    (rb"\b(?:alias|function)\s+(?:sudo|su|ssh|passwd)\b|^\s*(?:sudo|su|ssh|passwd)\s*\(\)",
     Deed(Verdict.SUSPICIOUS, "puts itself in the place of a program that asks for passwords", "T1056")),
    (rb"\bPROMPT_COMMAND\s*=\s*[\"'(]*/", Deed(Verdict.NOTABLE, "runs a program before each prompt",
     "T1546.004")),
    (rb"\b(?:setenforce\s+0|iptables\s+-F|nft\s+flush\s+ruleset|ufw\s+disable|auditctl\s+-[De]\b)",
     Deed(Verdict.NOTABLE, "switches off a defence", "T1562.001")),
    (rb"\bsystemctl\s+(?:stop|disable|mask)\s+\S{0,40}(?:auditd|rsyslog|firewalld|journald|fail2ban)",
     Deed(Verdict.NOTABLE, "switches off a defence", "T1562.001")),
    (rb"\b(?:insmod|kmod\s+load)\s+/", Deed(Verdict.NOTABLE, "loads a kernel module", "T1547.006")),
    (rb"\bchattr\s+\+[a-zA-Z]{0,8}i", Deed(Verdict.NOTABLE, "makes a file immutable", "T1222.002")),
)  # fmt: skip
DEEDS: Final = tuple((re.compile(pattern, re.IGNORECASE | re.MULTILINE), deed) for pattern, deed in _DEEDS)

LONG: Final = Deed(Verdict.NOTABLE, "goes on for longer than anybody writes, and was read to there", "")

_BEFORE: Final = (
    rb"(?:^|[;&|(`{]|\$\()\s*(?:[A-Za-z_][A-Za-z0-9_]{0,40}=[^\s;&|(`]{0,200}\s+)?[@:!+|-]{0,3}"
    rb"(?:(?:exec|nohup|setsid|sudo|env|nice|ionice|timeout|time|command|source|start|then|do|else|"
    rb"/?(?:usr/)?(?:s?bin/)?(?:ba|da|z|k|a)?sh|(?:/usr/bin/)?(?:python|perl|php|ruby|node)[0-9.]{0,5}|\.)"
    rb"\s+(?:-[A-Za-z0-9]{1,4}\s+|[0-9]{1,5}[smh]?\s+){0,4}[\"']?){0,4}[\"']?"
)
"""What may stand before the word that is run."""

_PLACES: Final[tuple[tuple[re.Pattern[bytes], Deed], ...]] = (
    (re.compile(_BEFORE + rb"(?:/tmp|/var/tmp|/dev/shm|/run/shm|/run/user)/[^\s;&|]", re.MULTILINE),
     Deed(Verdict.SUSPICIOUS, "runs something from a folder for temporary files", "T1059.004")),
    (re.compile(_BEFORE + rb"/[^\s;&|\"']{0,300}/\.[\w.-]", re.MULTILINE),
     Deed(Verdict.SUSPICIOUS, "runs something with a hidden name or from a hidden folder", "T1564.001")),
    (re.compile(_BEFORE + rb"/(?:home|root)/[^\s;&|]", re.MULTILINE),
     Deed(Verdict.NOTABLE, "runs something from somebody's home", "T1059.004")),
)  # fmt: skip
_ORDINARY: Final = re.compile(
    rb"(?:\.|source)\s+[\"']?(?:/etc/|/home/|/root/)[^\s;&|\"']*\.(?:bash|profile|cargo|nvm|sdkman|rvm|asdf|local|zsh)"
)


def deeds(command: bytes) -> list[Deed]:
    """What there is to say against a command, or the text of a script; the worst first."""
    found = [LONG] if len(command) > LONGEST else []
    command = command[:LONGEST].replace(b"\n", b";")  # many empty lines would take hours
    found += [deed for pattern, deed in DEEDS if pattern.search(command)]
    if not _ORDINARY.search(command):
        found += [deed for pattern, deed in _PLACES if pattern.search(command)][:1]
    return sorted(dict.fromkeys(found), key=lambda deed: -deed.verdict)


_NOTE: Final = re.compile(rb"(?:\A|\s)#")


def code(text: bytes, *, joined: bool = True, within: bytes = b"") -> list[tuple[int, bytes]]:
    """The lines of a script that are no comments, with their numbers. If `joined`, a line that ends in a
    backslash goes on, as in shells; to cron or sshd it does not, and its backslash would hide the next line.
    Notes that begin with one of `within` end no such line."""
    found: list[tuple[int, bytes]] = []
    began, pending = 0, b""
    for number, line in enumerate(text.split(b"\n"), 1):
        stripped = line.strip()
        if not pending and (not stripped or stripped.startswith(b"#")):
            continue
        if pending and stripped[:1] and stripped[:1] in within:
            continue
        began = began or number
        if joined and stripped.endswith(b"\\") and len(pending) < LONGEST:
            # Behind a note a shell begins anew; but what looks like one may stand in quotes: both are kept.
            pending += stripped[:-1] + (b" ; " if _NOTE.search(stripped) else b" ")
            continue
        found.append((began, (pending + stripped).strip()))
        began, pending = 0, b""
    if pending:
        found.append((began, pending.strip()))
    return found


_WORD: Final = re.compile(rb"""\s*(?:"([^"\n]*)"|'([^'\n]*)'|((?:\\.|[^\s"'\\;&|<>()])+))""")
_PASSED: Final = frozenset(
    b"exec nohup setsid sudo nice ionice timeout time command env chronic flock systemd-cat . source then"
    b" do else {".split()
)
_SKIPPED: Final = frozenset(b"[ [[ test cd umask export if".split())
"""Commands whose words run nothing: what follows them counts."""

_NEXT: Final = re.compile(rb"&&|\|\||[;|]|\bthen\b")
_SHELLS: Final = re.compile(rb"(?:/(?:usr/)?bin/)?(?:ba|da|z|k|a)?sh")


def program(command: bytes) -> bytes:
    """The program that a command runs: its first word that is an absolute path; b"" if it names none.

    Of `/bin/sh SCRIPT` it is the script. A guess, for a person to read: shells have a thousand ways.
    """
    text = command[:LONGEST].lstrip(b"@-:!+| \t({")
    at, shell, in_shell = 0, b"", False
    for _ in range(24):
        word = _WORD.match(text, at)
        if word is None:
            break
        at = word.end()
        one = word[1] or word[2] or word[3] or b""
        if in_shell and b" " in one:
            return program(one) or shell
        if one in _SKIPPED:
            following = _NEXT.search(text, at)
            if following is None:
                break
            at = following.end()
        elif _SHELLS.fullmatch(one):
            shell, in_shell = one if one.startswith(b"/") else b"", True
        elif one.startswith(b"/"):
            return one
        elif not (in_shell or one in _PASSED or one.startswith(b"-") or b"=" in one or one.isdigit()):
            break
    return shell
