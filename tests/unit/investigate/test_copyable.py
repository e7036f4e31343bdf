"""What an administrator may copy into a shell holds a name of the host as one word, and no more of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import hostguardd.investigate

PACKAGE = Path(next(iter(hostguardd.investigate.__path__)))

COMMAND = re.compile(r"(?!pid |ctime of |cross-view )[a-z][a-z0-9-]+ ")
"""How evidence begins that is a command."""

WITHIN = re.compile(
    r"\b(?:chattr|chmod|chown|cp|crontab|dpkg|journalctl|kill|loginctl|ls|lsattr|rm|rpm|stat|systemctl|"
    r"umount|zstdcat)(?: [-+\w/]+)* \Z"
)
"""What stands before the argument of a command in any text."""

OURS = re.compile(r"[\w.]*\b(?:pid|port|uid|letter|where)|(?:at|end)\[1\]|finding\.id")
"""Numbers, and words of our own."""


def _unquoted(source: str) -> Iterator[str]:
    """Each place where something of the host stands in a command and was not made a word."""
    tree = ast.parse(source)
    evidence = {
        id(call.args[0])
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "Evidence" and call.args
    }
    for text in ast.walk(tree):
        if not isinstance(text, ast.JoinedStr):
            continue
        first = text.values[0]
        whole = id(text) in evidence and isinstance(first, ast.Constant) and COMMAND.match(str(first.value))
        for before, part in zip([None, *text.values], text.values, strict=False):
            within = isinstance(before, ast.Constant) and WITHIN.search(str(before.value))
            if isinstance(part, ast.FormattedValue) and (whole or within):
                shown = ast.unparse(part.value)
                if not shown.startswith("word(") and not shown.isupper() and not OURS.fullmatch(shown):
                    yield f"line {text.lineno}: {shown}"


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.stem)
def test_names_in_commands_are_words(file: Path) -> None:
    assert not list(_unquoted(file.read_text()))


@pytest.mark.parametrize(
    "source",
    ["Evidence(f'ls -l {text(path)}', '')", "f'take it back (chmod o-w {name}).'", "f'ls {text(x)}*'"],
)
def test_what_is_no_word_is_noticed(source: str) -> None:
    assert list(_unquoted(source))
