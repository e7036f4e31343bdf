"""Who may become whom: sudoers(5), rule by rule, in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ...words.interface import counted
from ..interface import Verdict
from .lines import Option, counting

FINE, NOTABLE, SUSPICIOUS = Verdict.FINE, Verdict.NOTABLE, Verdict.SUSPICIOUS

_SUDO: Final = re.compile(rb"(\S+)\s+(\S+?)\s*=\s*(?:\(([^)]*)\)\s*)?(.*)", re.DOTALL)
_ALIAS: Final = re.compile(rb"(?:User|Runas|Host|Cmnd|Cmd)_Alias\b")
_OLD_INCLUDE: Final = re.compile(rb"^[ \t]*#include(?=(?:dir)?[ \t])", re.MULTILINE)
_INCLUDED: Final = re.compile(rb"@include(dir)?\s+(?:\"([^\"\n]+)\"|((?:\\.|[^\s\\])+))")
_FOREIGN: Final = re.compile(rb"/(?:tmp|var/tmp|dev|run|home|root)/|.*/\.(?!\.?/)")
GRANTED: Final = frozenset({b"root", b"%sudo", b"%wheel", b"%admin", b"%adm"})


_BY_UID: Final = re.compile(rb"^([ \t]*)#(?=-?[0-9])", re.MULTILINE)


def _spelt(text: bytes) -> bytes:
    """The text without what looks like a comment and is none: `#include`, and `#1000`, an account."""
    return _BY_UID.sub(rb"\1uid#", _OLD_INCLUDE.sub(b"@include", text))


def included(text: bytes) -> Iterator[tuple[bool, bytes]]:
    """(whether it is a folder, its path) of what sudoers(5) reads as well."""
    for _, line in counting(_spelt(text), joined=True):
        if found := _INCLUDED.match(line):
            yield found[1] is not None, found[2] or re.sub(rb"\\(.)", rb"\1", found[3])


def sudoers(text: bytes) -> Iterator[Option]:
    """Of sudoers(5): every rule in words, and the defaults that weaken it."""
    lines = counting(_spelt(text), joined=True)
    yield from _includes(lines)
    for number, line in lines:
        if line.startswith(b"@"):
            continue
        if _ALIAS.match(line):
            continue
        if line.startswith(b"Defaults"):
            yield from _defaults(number, line)
            continue
        found = _SUDO.fullmatch(line)
        if found is None:
            continue
        who, runas, what = found[1], found[3], found[4]
        named = ("group " + _words(who[1:])) if who.startswith(b"%") else _words(who)
        target = "anybody" if runas and b"ALL" in runas else _words(runas or b"root")
        free = b"NOPASSWD" in what or b"!authenticate" in what
        everything = re.search(rb"(?:^|[:,]\s*|\s)ALL\s*(?:,|$)", what) is not None
        commands = "everything" if everything else _words(re.sub(rb"[A-Z]+:", b"", what))
        clause = f"lets {named} run {commands} as {target}"
        clause += ", without a password" if free else ""
        verdict = FINE
        if free or (everything and who not in GRANTED):
            verdict = NOTABLE
        if who == b"ALL" and everything and free:
            verdict = SUSPICIOUS
        yield Option(number, line, clause, verdict, "Whoever has that account has root.")


def _includes(lines: list[tuple[int, bytes]]) -> Iterator[Option]:
    """Whence rules are taken besides: once for each verdict, as there may be thousands of lines."""
    odd: dict[Verdict, list[tuple[int, bytes]]] = {}
    for number, line in lines:
        for _, path in included(line):
            if path.rstrip(b"/") not in (b"/etc/sudoers.d", b"sudoers.d"):
                odd.setdefault(SUSPICIOUS if _FOREIGN.match(path) else NOTABLE, []).append((number, line))
    for verdict, [(number, line), *others] in odd.items():
        clause = "takes rules from other files than usual"
        if others:
            does = "does" if len(others) == 1 else "do"
            clause += f", and so {does} {counted(len(others), 'other line')}"
        yield Option(number, line, clause, verdict, "Rules that nobody looks at.")


def _words(raw: bytes) -> str:
    return (
        raw.strip()[:120].decode("utf-8", "backslashreplace")
        if raw.isascii() and raw.strip().isascii()
        else repr(raw[:120])
    )


def _defaults(number: int, line: bytes) -> Iterator[Option]:
    for pattern, clause, verdict in (
        (rb"!authenticate", "asks nobody for a password", NOTABLE),
        (rb"timestamp_timeout\s*=\s*-", "asks for the password once and never again", NOTABLE),
        (rb"!tty_tickets|timestamp_type\s*=\s*(?:global|ppid)", "lets one login use another one's password",
         NOTABLE),
        (rb"env_keep[^\n]*\b(?:LD_|PYTHON|PERL5|BASH_ENV|ENV\b)", "lets callers load what they like into it",
         SUSPICIOUS),
        (rb"(?:group_plugin|mailerpath|(?:restricted_)?env_file|noexec_file|editor)\s*\+?=\s*[\"']?"
         rb"(?:/tmp/|/var/tmp/|/dev/shm/|/home/|/root/|[^\s\"']*/\.)", "loads or runs what others may write",
         SUSPICIOUS),
        (rb"secure_path\s*\+?=\s*[\"']?[^\n]*(?:/tmp|/var/tmp|/dev/shm|/home/|:\.(?::|\"|$))",
         "finds programs in folders of others", SUSPICIOUS),
        (rb"!(?:syslog|logfile)\b", "keeps no log", NOTABLE),
    ):  # fmt: skip
        if re.search(pattern, line):
            yield Option(number, line, clause, verdict, "Weakens what stands between an account and root.")
