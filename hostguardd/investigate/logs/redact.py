"""Commands and lines of logs without the secrets that people type into them. Pure, linear in what is given.

The rule kept: what stands where a secret belongs is blanked out, though it may be none. Who reads a report
needs to know that `mysql` was called with a password, and never which.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

BLANK: Final = b"***"

_WORD: Final = rb"(?:'[^']{0,400}'?|\"[^\"]{0,400}\"?|[^\s'\";|&]{1,400})"
_NAMES: Final = (
    rb"(?:pass(?:wd|word|phrase)?|pwd|secret|token|api[-_]?key|access[-_]?key|secret[-_]?key|"
    rb"private[-_]?key|auth|"
    rb"credentials?|bearer|PGPASSWORD|MYSQL_PWD|SSHPASS|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN)"
)
_PLAIN: Final = (
    # --password=x, --password x, as audit writes it a1="--password" a2="x"
    (
        re.compile(
            rb"(?i)((?<![\w-])--?[\w-]{0,32}" + _NAMES + rb"[\w-]{0,16}(?:[= ]|\" a\d{1,4}=\") ?)" + _WORD
        ),
        rb"\1***",
    ),
    # https://user:secret@host
    (re.compile(rb"(\b[a-z][a-z0-9+.-]{0,16}://[^\s:/@]{0,200}:)[^\s@]{1,400}@"), rb"\1***@"),
    # what cannot be anything else: keys of clouds and forges, hashes of passwords
    (
        re.compile(
            rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_\w{20,255}|\bxox[abprs]-[\w-]{10,255}|"
            rb"\bglpat-[\w-]{10,255}"
        ),
        BLANK,
    ),
    (re.compile(rb"\$(?:1|2[abxy]?|5|6|y|7|gy)\$[./A-Za-z0-9$]{8,200}"), BLANK),
    (re.compile(rb"\{(?:S?SHA\d{0,3}|S?MD5|CRYPT)\}[A-Za-z0-9+/=$.]{8,200}"), BLANK),
)
"""What is a secret wherever it stands."""

_RULES: Final = (
    *_PLAIN,
    # TOKEN=x, db_password: x
    (re.compile(rb"(?i)(\b\w{0,32}" + _NAMES + rb"\w{0,16}[=:] ?)" + _WORD), rb"\1***"),
    # curl -u user:secret, wget --user
    (re.compile(rb"((?:^|\s)(?:-u|--user|--proxy-user|-U)[= ]?[^\s:]{1,100}:)" + _WORD), rb"\1***"),
    # Authorization: Basic abc, Bearer abc
    (
        re.compile(
            rb"(?i)\b((?:authorization|x-[\w-]{0,32}(?:token|key)|cookie):\s?(?:basic |bearer "
            rb")?)[^'\"]{1,400}"
        ),
        rb"\1***",
    ),
    (re.compile(rb"(?i)\b(bearer |identified by (?:password )?)" + _WORD), rb"\1***"),
    # echo secret | passwd --stdin, … | chpasswd, … | sudo -S
    (
        re.compile(
            rb"\b(echo|printf)\b[^|]{1,400}(?=\|\s?(?:sudo\s+)?(?:passwd|chpasswd|sudo -S|su\b|openssl|"
            rb"kinit))"
        ),
        rb"\1 *** ",
    ),
    (re.compile(rb"-----BEGIN[^-]{1,40}-----.{0,4000}", re.DOTALL), BLANK),
)
_BY_PROGRAM: Final = (
    # -pSECRET, where it is one: mysql -p, sshpass -p, 7z -p, smbclient -U user%secret, htpasswd -b file user
    (
        re.compile(
            rb"(\b(?:mysql\w*|mariadb\w*|sshpass|7z|7za|unrar|rar|zip|redis-cli|mongo\w*|ldap\w+|expect)\b)"
        ),
        re.compile(rb"([\s\"']-(?:p|P|a|w|P ))" + _WORD),
        rb"\1***",
    ),
    (re.compile(rb"\bsshpass\b"), re.compile(rb"(\s-p\s{1,4})" + _WORD), rb"\1***"),
    (
        re.compile(rb"\b(?:redis-cli|ldap\w+|zip|unzip|mongo\w*|openssl|xfreerdp|rdesktop)\b"),
        re.compile(rb"(\s-(?:a|w|P|p|k|pass)\s{1,4})" + _WORD),
        rb"\1***",
    ),
    (
        re.compile(rb"\b(?:smbclient|rpcclient|net|mount|winexe|wmic)\b"),
        re.compile(rb"(%)[^\s'\"]{1,200}"),
        rb"\1***",
    ),
    (
        re.compile(rb"\bhtpasswd\b"),
        re.compile(rb"(\s-\w{0,8}b\w{0,8}\s{1,4}\S{1,200}\s{1,4}\S{1,200}\s{1,4})" + _WORD),
        rb"\1***",
    ),
    (re.compile(rb"\b(?:user(?:add|mod))\b"), re.compile(rb"(\s-p\s{0,4})" + _WORD), rb"\1***"),
)
"""(a program that is called, where its secrets stand, what is left of them)."""

_LOGGED: Final = (
    # password=x, "token": "x"; a word of prose before a colon is left alone, for it tells what happened
    (
        re.compile(
            rb"((?:[Pp]ass(?:[Ww](?:or)?d|[Pp]hrase)|PASS(?:W(?:OR)?D|PHRASE)?|[Ss]ecret|SECRET|[Tt]oken|TOKEN|"
            rb"(?:[Aa]pi|API|[Aa]ccess|ACCESS|[Pp]rivate|PRIVATE)[-_]?(?:[Kk]ey|KEY)|[Cc]redential|MYSQL_PWD)"
            rb"[\w-]{0,16}(?:=|[\"']\s?:\s?(?=[\"'])))" + _WORD
        ),
        rb"\1***",
    ),
    *_PLAIN,
    (
        re.compile(rb"((?:[Aa]uthorization:\s?|[Bb]earer )(?:[Bb]asic |[Bb]earer )?)[\w+/=.~-]{8,4000}"),
        rb"\1***",
    ),
)
"""The same for lines of programs, where most words are no secrets."""

_QUOTES: Final = re.compile(rb"\bCOMMAND=|\bCMD \(|\btype=EXECVE\b")
"""What a line has that quotes a command: of sudo, cron, audit."""


def redact(raw: bytes) -> bytes:
    """`raw` with what may be secrets blanked out."""
    for program, pattern, left in _BY_PROGRAM:
        if program.search(raw):
            raw = pattern.sub(left, raw)
    for pattern, left in _RULES:
        raw = pattern.sub(left, raw)
    return raw


def typed(raw: bytes) -> bytes:
    """A file of commands without secrets."""
    return b"\n".join(map(redact, raw.split(b"\n")))


def logged(raw: bytes) -> bytes:
    """Lines of a log without secrets."""
    pieces, done = [], 0
    for found in _QUOTES.finditer(raw):
        if found.start() >= done:
            begin = max(done, raw.rfind(b"\n", done, found.start()) + 1)
            end = raw.find(b"\n", found.end())
            end = len(raw) if end < 0 else end
            pieces += [raw[done:begin], redact(raw[begin:end])]
            done = end
    raw = b"".join((*pieces, raw[done:]))
    for pattern, left in _LOGGED:
        raw = pattern.sub(left, raw)
    return raw


def arguments(argv: Sequence[bytes]) -> list[bytes]:
    """The words of a command, each with what may be secrets blanked out: by itself, and by the program and
    the word before it."""
    words = list(argv)
    if redact(b" ".join(words)) == b" ".join(words):
        return words
    for index, word in enumerate(argv):
        words[index] = redact(word)
        before = b" ".join((*argv[: min(1, index)], *argv[max(1, index - 1) : index], b""))
        if words[index] == word and not redact(before + word).endswith(word):
            words[index] = BLANK
    return words
