"""Completes a man page from what it is about, so that the two cannot differ.

    manpages.py PAGE SETTINGS DATE    the page with its lists, on stdout

`@COMMANDS@` becomes the commands of hostguardctl, from its own table; `@SETTINGS@` the settings with their
comments and defaults, from etc/hostguardd.toml; the date is that of the sources. The language is mdoc(7).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

_SECTION = re.compile(r"\[([a-z_]+)\]")
_SETTING = re.compile(r"#([a-z_]+) = (.*)")


def plain(text: str) -> str:
    """Text that mdoc reads as nothing but text."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    text = "\\&" + text if text.startswith((".", "'")) else text
    return re.sub(r"(?<=[.!?]) (?=[A-Z])", "\n", text)  # each sentence on a line of its own


def commands() -> Iterator[str]:
    """An entry for each command."""
    from hostguardd.cli import COMMANDS

    for name, command in COMMANDS.items():
        head = [f".It Ic {plain(name)}"]
        body = [plain(sentence(command.help))]
        for names, how in command.options:
            if not names[0].startswith("-"):
                many = " ..." if how.get("nargs") in ("+", "*") else ""
                word = f"Ar {how.get('metavar', names[0])}{many}"
                head.append(f"Op {word}" if how.get("nargs") in ("?", "*") else word)
                continue
            flags = " , ".join("Fl " + plain(flag[1:]) for flag in names)
            value = f" Ar {how.get('metavar', names[-1].lstrip('-').upper())}" if "action" not in how else ""
            choice = f" Which: {', '.join(how['choices'])}." if how.get("choices") else ""
            body += [".Pp", f".{flags}{value}", ".br", plain(sentence(how.get("help", "")) + choice)]
        yield from (" ".join(head), *body)


def sentence(text: str) -> str:
    """A help text as a sentence."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def settings(text: str) -> Iterator[str]:
    """A section for each table, with what its comments say and its settings with their defaults."""
    said: list[str] = []
    table, first = "", True
    for line in text.splitlines():
        section, setting = _SECTION.fullmatch(line), _SETTING.fullmatch(line)
        if section:
            table = section[1]
            yield f".Ss [{table}]"
            said, first = [], True
        elif line.startswith("# [["):  # the examples at the end
            return
        elif table and setting:
            if said:
                yield from (*(() if first else (".Pp",)), plain(" ".join(said)))
            said, first = [], False
            yield from (f".Dl {plain(setting[1])} = {plain(setting[2])}",)
        elif line.startswith("# "):
            said.append(line[2:])
        else:
            said = []


def main(page: str, values: str, date: str) -> None:
    """Write the page."""
    when = datetime.fromtimestamp(int(date), UTC)
    lists = {
        "@COMMANDS@": lambda: commands(),
        "@SETTINGS@": lambda: settings(Path(values).read_text(encoding="utf-8")),
    }
    for line in Path(page).read_text(encoding="ascii").splitlines():
        if line in lists:
            print("\n".join(lists[line]()))
        else:
            print(line.replace("$Mdocdate$", f"{when:%B} {when.day}, {when.year}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
