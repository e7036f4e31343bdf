"""Facts for readers outside: as JSON with every field, and as the ECS field sets of their kind.

The rule: **two facts that differ look different**. Times keep their nanoseconds, inode numbers are
strings (they may pass 2^53, where other JSON readers begin to round), an unknown value is null and
an absent one is empty. ECS says which fields are keywords; ids and inodes are.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping
from typing import Any

from . import attributes
from .attributes import Names
from .model import Fact, FileFact, ListenerFact, ProcessFact, SetIdFact, sharers, split
from .record import Record, digest, escape, timestamp
from .words.book import BOOK

COMMAND_LIMIT = 4096

_ENDPOINT = re.compile(rb"(?:\[([0-9a-fA-F:.]+)(?:%[^\]]*)?\]|([0-9]+(?:\.[0-9]+){3})):")


def _time(value: int, _: Names) -> object:
    return timestamp(value, digits=9)


def _hex(value: bytes, _: Names) -> object:
    return value.hex()


def _truth(value: int, _: Names) -> object:
    return bool(value)


def _command(value: bytes, _: Names) -> object:
    return command(value)


_SHOWN: Mapping[str, Callable[[Any, Names], object]] = {
    "mode": lambda value, _: attributes.mode(value),
    "mtime": _time,
    "ctime": _time,
    "inode": lambda value, _: str(value),
    "sha256": _hex,
    "xattrs": attributes.xattrs,
    "flags": lambda value, _: attributes.flags(value),
    "caps": lambda value, _: attributes.capabilities(value) if value else "",
    "unstable": _truth,
    "kernel": _truth,
    "command": _command,
    "others": lambda value, _: [escape(b" ".join(words)) for words in sharers(value)],
}
"""How a column is shown where it is not simply a number, a word or escaped bytes."""


def command(raw: bytes) -> str:
    """A command line as proc(5) gives it, on one line; a very long one is cut and its digest named."""
    text = raw.rstrip(b"\0").replace(b"\0", b" ")
    if len(text) <= COMMAND_LIMIT:
        return escape(text)
    return f"{escape(text[:COMMAND_LIMIT])}… ({len(text)} bytes, sha256 {digest(raw)})"


def fact_json(fact: Fact, names: Names) -> Record:
    """Every field of `fact` by its name, and what goes with it: path and type, names, permissions.

    Times are ISO 8601, `mode` octal, digests hexadecimal, `flags` the letters of lsattr(1), `xattrs`
    a list of `name=value`, bytes escaped. Unknown values are None.
    """
    shown: Record = {}
    for column in fact.columns():
        if column in fact.SECRET:
            continue
        value = getattr(fact, column)
        if value is not None and column in _SHOWN:
            value = _SHOWN[column](value, names)
        shown[column] = escape(value) if isinstance(value, bytes) else value
    match fact:
        case FileFact():
            shown |= {"path": escape(fact.path), "type": fact.type, **_ownership(fact, names)}
        case SetIdFact():
            shown |= _ownership(fact, names)
        case ListenerFact() | ProcessFact():
            shown["user"] = None if fact.uid is None else attributes.user(fact.uid, names)
    return shown


def _ownership(fact: FileFact | SetIdFact, names: Names) -> Record:
    return {
        "permissions": stat.filemode(fact.mode),
        "owner": attributes.user(fact.uid, names),
        "group": attributes.group(fact.gid, names),
    }


def fields(fact: Fact, names: Names) -> Record:
    """The ECS fields of `fact` by dotted name. None where not known."""
    match fact:
        case FileFact():
            found = _file(fact.path, fact, names) | {
                "file.type": fact.type,
                "file.mtime": _date(fact.mtime),
                "file.target_path": escape(fact.target) if fact.target else None,
            }
        case SetIdFact():
            found = _file(fact.path, fact, names) | {"file.type": "file"}
        case ListenerFact():
            found = _listener(fact, names)
        case ProcessFact():
            found = _process(fact, names)
        case _:
            found = BOOK[type(fact)].fields(fact, names)
    return found


def _file(path: bytes, fact: FileFact | SetIdFact, names: Names) -> Record:
    folder, name = split(path)
    return {
        "file.path": escape(path),
        "file.directory": escape(folder),
        "file.name": escape(name),
        "file.mode": attributes.mode(fact.mode),
        "file.uid": str(fact.uid),
        "file.gid": str(fact.gid),
        "file.owner": attributes.user(fact.uid, names),
        "file.group": attributes.group(fact.gid, names),
        "file.size": fact.size,
        "file.ctime": _date(fact.ctime),
        "file.inode": str(fact.inode),
        "file.hash.sha256": _sha256(fact.sha256),
    }


def _listener(fact: ListenerFact, names: Names) -> Record:
    transport = fact.proto.removesuffix("6")
    address = _ENDPOINT.match(fact.endpoint)
    return {
        "network.transport": transport,
        "network.type": None
        if transport in ("unix", "packet")
        else "ipv6"
        if fact.proto.endswith("6")
        else "ipv4",
        "server.address": escape(fact.endpoint),
        "server.ip": (address[1] or address[2]).decode() if address else None,
        "server.port": None if transport == "packet" else fact.port or None,
        "process.pid": fact.pid,
        "process.executable": None if fact.exe is None else escape(fact.exe),
        "process.command_line": None if fact.command is None else command(fact.command),
        "process.hash.sha256": _sha256(fact.sha256),
        **_user(fact.uid, names),
    }


def _process(fact: ProcessFact, names: Names) -> Record:
    return {
        "process.pid": fact.pid,
        "process.name": escape(fact.comm),
        "process.executable": escape(fact.exe),
        "process.command_line": command(fact.command),
        "process.hash.sha256": _sha256(fact.sha256),
        "process.parent.pid": fact.parent,
        "process.parent.executable": escape(fact.parent_exe) or None,
        **_user(fact.uid, names),
    }


def _user(uid: int | None, names: Names) -> Record:
    if uid is None:
        return {}
    return {"user.id": str(uid), "user.name": names.user(uid) or None}


def _sha256(value: bytes | None) -> str | None:
    return value.hex() if value else None


def _date(ns: int) -> str | None:
    """ECS knows dates only; a time that is none is still to be read under `hostguard`."""
    text = timestamp(ns, digits=9)
    return None if text.startswith("@") else text
