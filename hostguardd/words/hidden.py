"""What is hidden, in words. Pure."""

from __future__ import annotations

import re

from ..attributes import Names
from ..fact import split
from ..facts import hidden
from ..facts.hidden import HiddenFact
from ..record import Record, escape
from .interface import Words, arrow, said

NOUNS = {"processes": "process", "ports": "port", "files": "entry"}

_NUMBER = re.compile(rb"(\w+) (\d{1,10})")


def _told(fact: HiddenFact, names: Names) -> str:
    what = f"{NOUNS.get(fact.view, fact.view)} {said(fact.name)}"
    if fact.program:
        what += f", {said(fact.program)}"
    return f"{what}: {said(fact.detail)}"


def _new(fact: HiddenFact, names: Names) -> str:
    begin = {
        hidden.ODD_NAME: "Name made to be overlooked",
        hidden.HIDDEN_FOLDER: "Hidden folder where none belongs",
        hidden.HIDDEN_FILE: "Hidden program",
        hidden.IN_DEV: "Plain file among the devices",
        hidden.MISCOUNTED: "Something is hidden",
    }.get(fact.sign, f"Hidden {NOUNS.get(fact.view, fact.view)}")
    if fact.view == "files":
        return f"{begin}: {said(fact.name)} ({said(fact.detail)})"
    if fact.sign == hidden.MISCOUNTED:
        return f"{begin}: {said(fact.detail)}"
    program = f", {said(fact.program)}" if fact.program else ""
    return f"{begin} {said(fact.name)}{program}: {said(fact.detail)}"


def _changed(before: HiddenFact, after: HiddenFact, changed: tuple[str, ...], names: Names) -> str:
    return f"{_new(after, names)}; {arrow('how', before.sign, after.sign)}"


def _fields(fact: HiddenFact, names: Names) -> Record:
    found = _NUMBER.fullmatch(fact.name)
    if fact.view == "files":
        folder, name = split(fact.name)
        return {"file.path": escape(fact.name), "file.directory": escape(folder), "file.name": escape(name)}
    if fact.view == "processes":
        number = int(found[2]) if found and found[1] == b"pid" else None
        return {"process.pid": number, "process.executable": escape(fact.program) or None}
    if found and 0 < int(found[2]) < 65536:
        return {
            "network.transport": found[1].decode().removesuffix("6"),
            "server.port": int(found[2]),
            "process.executable": escape(fact.program) or None,
        }
    return {}


HIDDEN = Words(
    "hidden thing",
    "hidden things",
    "malware",
    ("indicator", "info", "indicator"),
    _new,
    lambda fact, names: f"No longer hidden, or no longer there: {_told(fact, names)}",
    _changed,
    _fields,
)
