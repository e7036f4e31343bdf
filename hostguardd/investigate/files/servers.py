"""What web servers and PHP load, run and take in besides. Pure.

The rule kept: each server's files are split as it splits them. What one of them reads as a directive may look
to another like the end of a line: nginx(8) ends a statement at `;`, Apache at the line, php.ini(5) too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..interface import Verdict
from .deeds import LONGEST, deeds
from .lines import MOST, Option, counting
from .loaded import ELSEWHERE, FINDING, OPEN, place, resolved

NOTABLE, SUSPICIOUS = Verdict.NOTABLE, Verdict.SUSPICIOUS

_WAKES: Final = "It is started with the server, and a request from anywhere wakes it."
_PAGES: Final = "A page that answers only one visitor, in none of the pages."
_TAKEN: Final = "A door that nobody looks at."


def web(text: bytes) -> Iterator[Option]:
    """Of nginx.conf, and of Apache's files and .htaccess."""
    yield from apache(text)
    yield from nginx(text)


# -- Apache ----------------------------------------------------------------------------------------

_DIRECTIVE: Final = re.compile(rb"<?([A-Za-z_]+)(?:\s+|(?=[\"']))([^\n]*)")
_ARGUMENT: Final = re.compile(rb"\"((?:[^\"\\]|\\.)*+)\"|'((?:[^'\\]|\\.)*+)'|([^\s\"']\S*)")
_LOGS: Final = frozenset(b"customlog errorlog transferlog globallog forensiclog".split())
_ROTATING: Final = re.compile(
    rb"\|?/usr/s?bin/(?:rotatelogs2?|cronolog|logger|systemd-cat)(?:\s+(?!-p)[^\s;&|`$<>]+)*\s*>?"
)
"""-p of rotatelogs(8) names another program; behind `|$` a shell reads the line."""
_RUN: Final = re.compile(rb"(?:prg|exec|program):(.+)|\|(.+)|cmd=(.+)", re.DOTALL)
_RUNNING: Final = frozenset(b"rewritemap extfilterdefine sslpassphrasedialog".split())
_HANDLERS: Final = frozenset(b"addhandler addtype sethandler forcetype action".split())
_HANDLED: Final = re.compile(rb"php(?!-source|s\b)|cgi-script", re.IGNORECASE)
_PICTURE: Final = re.compile(rb"(?:\.|\A|\s|\|)(?:jpe?g|png|gif|ico|svg|css|txt|html?)\b", re.IGNORECASE)
_OF_PICTURES: Final = re.compile(rb"[.|(](?:jpe?g|png|gif|ico|svg|css|txt)\b", re.IGNORECASE)


def apache(text: bytes) -> Iterator[Option]:
    """Of httpd.conf and .htaccess: modules, programs, pictures that are run, what is taken in besides."""
    pictures = False
    for number, line in counting(text, joined=True):
        found = _DIRECTIVE.match(line)
        if found is None:
            pictures = pictures and not line.lower().startswith(b"</files")
            continue
        key = found[1].lower()
        words = [one[1] or one[2] or one[3] or b"" for one in _ARGUMENT.finditer(found[2].rstrip(b">"))]
        if key in (b"files", b"filesmatch"):
            pictures = any(_OF_PICTURES.search(word) for word in words)
        elif key in (b"loadmodule", b"loadfile", b"perlrequire"):
            yield from _module(number, line, words[1:] if key == b"loadmodule" else words)
        elif key in _LOGS or key in _RUNNING:
            yield from _run(number, line, key, words)
        elif key in _HANDLERS and any(_HANDLED.search(word) for word in words):
            if pictures or any(_PICTURE.search(word) for word in words[1:]):
                yield Option(
                    number, line, "runs what looks like pictures or texts", NOTABLE,
                    "What somebody uploads is a program then.",
                )  # fmt: skip
        elif key in (b"php_value", b"php_admin_value", b"php_flag", b"php_admin_flag"):
            yield from _told(number, line, php(b"=".join(words[:2])))
        elif key in (b"setenv", b"proxyfcgisetenvif"):
            values = [b"=".join(words[at + 1 :]) for at, word in enumerate(words) if word.startswith(b"PHP_")]
            values += [word.partition(b"=")[2] for word in words if word.startswith(b"PHP_")]
            yield from _told(number, line, (one for value in values for one in php(value)))
        elif key in (b"include", b"includeoptional") and not line.endswith(b";"):
            yield from _taken(number, line, words[:1])


def _told(number: int, line: bytes, found: Iterator[Option]) -> Iterator[Option]:
    """What is said within another file's line, as of that."""
    for one in found:
        yield one._replace(line=number, shown=line[:LONGEST])


def _module(number: int, line: bytes, paths: list[bytes]) -> Iterator[Option]:
    for path in paths:
        if verdict := place(path):
            # A virtual environment is where pip puts its own module.
            soft = b"/site-packages/mod_wsgi/" in path and verdict is SUSPICIOUS and b"/../" not in path
            yield Option(number, line, ELSEWHERE, NOTABLE if soft else verdict, FINDING)


def _run(number: int, line: bytes, key: bytes, words: list[bytes]) -> Iterator[Option]:
    for word in words:
        found = _RUN.match(word)
        if found is None or (key in _LOGS and not word.startswith(b"|")):
            continue
        command = (found[1] or found[2] or found[3]).strip()
        if _ROTATING.fullmatch(command):
            continue
        command = command.lstrip(b"|$ ")
        worst = next(iter(deeds(command)), None)
        if key in _RUNNING and worst is None and re.match(rb"/usr/s?bin/", command + b" "):
            continue
        if key in _RUNNING and worst is None and place(command.split(None, 1)[0] if command else b"") is None:
            continue
        does = "hands each request to a program" if key in _LOGS else "runs a program"
        yield Option(
            number, line, does + (f", and it {worst.clause}" if worst else ""),
            worst.verdict if worst else NOTABLE, _WAKES,
        )  # fmt: skip


def _taken(number: int, line: bytes, paths: list[bytes]) -> Iterator[Option]:
    """Other files of settings, where an account could write them."""
    for path in paths:
        at = resolved(path)
        if path.startswith(b"/") and at.startswith(OPEN):
            foreign = not at.startswith((b"/home/", b"/root/", b"/var/www/", b"/srv/"))
            clause = "takes settings from where others may write, which were not read"
            yield Option(number, line, clause, SUSPICIOUS if foreign else NOTABLE, _TAKEN)


# -- nginx -----------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(
    rb"#[^\n]*|([;{}])|\"((?:[^\"\\]|\\.)*+)\"|'((?:[^'\\]|\\.)*+)'|((?:\\.|\$\{|[^\s;{}\\])++)", re.DOTALL
)
_PARAMETERS: Final = frozenset(b"fastcgi_param uwsgi_param scgi_param".split())
_CODE: Final = frozenset(b"perl_require perl_modules js_import js_path".split())
_BY_LUA: Final = re.compile(rb"\b(?:os\.execute|io\.popen)\b")


def nginx(text: bytes) -> Iterator[Option]:
    """Of nginx.conf: modules, values for PHP, code, what is taken in besides."""
    words: list[bytes] = []
    began = told = 0
    for found in _TOKEN.finditer(text):
        if not found[1]:
            if not found[0].startswith(b"#"):
                began = began if words else found.start()
                words.append(found[2] or found[3] or found[4] or b"")
            continue
        for one in _statement(text, began, words) if words else ():
            told += 1
            yield one
        words = []
        if told > MOST:
            break
    for number, line in counting(text):
        if _BY_LUA.search(line) and not line.startswith((b"--", b";")):
            yield Option(number, line, "runs programs", NOTABLE, _WAKES)


def _statement(text: bytes, began: int, words: list[bytes]) -> Iterator[Option]:
    key, rest = words[0], words[1:]
    found: Iterator[Option] = iter(())
    if key == b"load_module" or key in _CODE or key.endswith(b"_by_lua_file"):
        found = _module(0, b"", [path for path in rest if path.startswith(b"/") or b".." in path])
    elif key in _PARAMETERS and rest and rest[0].startswith(b"PHP_"):
        found = php(b" ".join(rest[1:]))
    elif key == b"include":
        found = _taken(0, b"", rest[:1])
    yield from _told(text.count(b"\n", 0, began) + 1 if rest else 0, b" ".join(words), found)


# -- PHP -------------------------------------------------------------------------------------------

_VALUE: Final = re.compile(
    rb"(?:php_(?:admin_)?(?:value|flag)\s*\[\s*([\w.]+)\s*\]|(env\s*\[\s*\w+\s*\])|([\w.]+))\s*=\s*([^\n]*)",
    re.IGNORECASE,
)
_MAILERS: Final = re.compile(
    rb"/usr/s?bin/(?:sendmail|msmtp|ssmtp|esmtp|nullmailer-inject)(?:\s+[-\w.@,=%]+)*"
)


def php(text: bytes) -> Iterator[Option]:
    """Of php.ini, .user.ini and the pools of php-fpm."""
    for number, line in counting(text):
        found = _VALUE.match(line)
        if found is None:
            continue
        key = (found[1] or found[2] or found[3]).lower()
        value = _written(found[4])
        if not value:
            continue
        if key in (b"auto_prepend_file", b"auto_append_file"):
            if value.lower() != b"none":
                yield Option(number, line, "runs a file with every page", NOTABLE, _PAGES)
        elif key == b"allow_url_include" and re.match(rb"(?i:1|on|yes|true)\b", value):
            clause = "lets pages run what lies on other hosts"
            yield Option(number, line, clause, NOTABLE, "One request runs anything.")
        elif key in (b"extension", b"zend_extension", b"extension_dir"):
            # A name with a slash is read from where the server was started: `/`.
            slashed = b"/" in value and value.strip(b"./")
            if slashed and (verdict := place(value if value.startswith(b"/") else b"/" + value)):
                yield Option(number, line, ELSEWHERE, verdict, FINDING)
        elif key == b"sendmail_path":
            worst = next(iter(deeds(value)), None)
            if worst or not _MAILERS.fullmatch(value):
                clause = "runs a program for each mail" + (f", and it {worst.clause}" if worst else "")
                yield Option(number, line, clause, worst.verdict if worst else NOTABLE, _WAKES)
        elif key.startswith(b"env") and re.search(rb"\[\s*ld_(?:preload|audit)", key):
            clause = "loads a library into every page"
            yield Option(number, line, clause, SUSPICIOUS, FINDING)


def _written(value: bytes) -> bytes:
    """A value without its quotes, or without the note behind it."""
    value = value.strip()
    if value[:1] in (b'"', b"'"):
        return value[1:].partition(value[:1])[0].strip()
    return value.partition(b";")[0].strip(b"\"' \t")
