"""Who made a change, for readers outside: a clause of the sentence, ECS fields, and `hostguard.actor` with
the rung it stands on and how far it can be trusted.

The rule: what is not known is not there, and a candidate or a circumstance never stands where an actor would.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from . import attributes
from .actors.model import Actor, Answer, Change, Confidence, Deed, Link, Presence, Who
from .attributes import Names
from .model import Action, Drift, FileFact, SetIdFact
from .record import Record, escape, timestamp
from .subjects import command
from .words.interface import short

CONTENT: Final = frozenset({"sha256", "size", "target", "unstable", "inode", "device"})
"""Fields of which another value means another content, or another file in its place."""
TIMES: Final = frozenset({"mtime", "ctime"})

MOST_NAMED: Final = 16
"""Candidates, and those who were logged in, that an alert lists."""

DEEDS: Final = {
    Deed.CREATED: "created",
    Deed.DELETED: "deleted",
    Deed.MOVED_AWAY: "moved-away",
    Deed.MOVED_HERE: "moved-here",
    Deed.ATTRIBUTES: "attributes",
    Deed.WRITTEN: "written",
    Deed.HELD: "held-open",
    Deed.LINKED: "linked",
}


class Asked(NamedTuple):
    """What is asked about a drift: of which file, and what of it changed when. `since` is the ctime
    before."""

    path: bytes
    change: Change
    ctime: int | None
    since: int


def question(drift: Drift) -> Asked | None:
    """What to ask; None for what is no file."""
    before, after = drift.before, drift.after
    subject = drift.subject
    if not isinstance(subject, FileFact | SetIdFact):
        return None
    since = before.ctime if isinstance(before, FileFact | SetIdFact) else 0
    ctime = after.ctime if isinstance(after, FileFact | SetIdFact) else None
    return Asked(subject.path, _change(drift), ctime, since)


def _change(drift: Drift) -> Change:
    if drift.action is Action.ADDED:
        return Change.CREATED
    if drift.action is Action.REMOVED:
        return Change.REMOVED
    changed = frozenset(drift.changed)
    found = Change(0)
    if changed & CONTENT or _type_changed(drift):
        found |= Change.CONTENT
    if changed - CONTENT - TIMES:
        found |= Change.ATTRIBUTES
    return found or Change.TIMES


def _type_changed(drift: Drift) -> bool:
    before, after = drift.before, drift.after
    return isinstance(before, FileFact) and isinstance(after, FileFact) and before.type != after.type


def clause(answer: Answer, names: Names) -> str:
    """` by /usr/bin/chmod (pid 4712) as root, logged in as alice from 192.0.2.7`; "" when nobody is named."""
    if not isinstance(answer, Actor):
        return ""
    who = answer.who
    said = f"; by {_program(who)} (pid {who.pid})"
    if who.uid is not None:
        said += f" as {attributes.user(who.uid, names)}"
    if who.login is not None and who.login >= 0:
        said += f", logged in as {attributes.user(who.login, names)}"
    if who.source:
        said += f" from {short(escape(who.source.address))}"
    elif who.cron:
        said += f", run by cron: {short(escape(who.cron))}"
    elif (who.login is None or who.login < 0) and who.unit:
        said += f" in {short(escape(who.unit))}"
    return said


def _program(who: Who) -> str:
    return short(escape(who.exe)) if who.exe else "a program that was not seen"


def ecs(answer: Answer, names: Names) -> Record:
    """ECS fields of an actor; of nobody none."""
    if not isinstance(answer, Actor):
        return {}
    who = answer.who
    found: Record = {
        "process.pid": who.pid,
        "process.executable": _text(who.exe),
        "process.name": _text(who.exe and who.exe.rpartition(b"/")[2]),
        "process.command_line": None if who.command is None else command(who.command),
    }
    if who.parents:
        found["process.parent.pid"] = who.parents[0].pid
        found["process.parent.executable"] = _text(who.parents[0].exe)
    if who.uid is not None:
        found["user.id"] = str(who.uid)
        found["user.name"] = names.user(who.uid) or None
    if who.source:
        found["source.address"] = escape(who.source.address)
        found["source.ip"] = _ip(who.source.address)
        found["source.port"] = who.source.port
    return {name: value for name, value in found.items() if value}


def actor_json(answer: Answer, names: Names, present: Sequence[Presence] = ()) -> Record:
    """`hostguard.actor`. `present`: who was logged in, told only where nobody is named."""
    if isinstance(answer, Actor):
        return {
            "rung": answer.rung.value,
            "confidence": answer.confidence.value,
            "deed": [DEEDS[one] for one in answer.deed],
            "at": timestamp(answer.at),
            **_who(answer.who, names),
        }
    found: Record = {
        "rung": answer.rung.value,
        "confidence": Confidence.NONE.value,
        "unattributed": answer.reason,
    }
    if answer.candidates:
        found["candidates"] = [_who(one, names) for one in answer.candidates[:MOST_NAMED]]
    if present:
        found["confidence"] = Confidence.CIRCUMSTANCE.value
        found["logged_in"] = [_present(one) for one in present[:MOST_NAMED]]
    return found


def _who(who: Who, names: Names) -> Record:
    known: Record = {
        "pid": who.pid,
        "executable": _text(who.exe),
        "command_line": None if who.command is None else command(who.command),
        "user": _user(who.uid, names),
        "effective_user": _user(who.euid, names),
        "login": _user(who.login, names),
        "session": who.session if who.session is not None and who.session >= 0 else None,
        "tty": _text(who.tty),
        "source": _text(who.source and who.source.address),
        "unit": _text(who.unit),
        "cron": _text(who.cron),
        "parents": [_link(one) for one in who.parents],
    }
    return {name: value for name, value in known.items() if value not in (None, "", [])}


def _link(link: Link) -> Mapping[str, object]:
    found: Record = {"pid": link.pid}
    if link.exe:
        found["executable"] = escape(link.exe)
    return found


def _present(one: Presence) -> Record:
    known: Record = {
        "user": _text(one.user),
        "tty": _text(one.tty),
        "source": _text(one.source),
        "session": _text(one.session),
        "since": timestamp(one.since) if one.since else None,
    }
    return {name: value for name, value in known.items() if value}


def _user(uid: int | None, names: Names) -> str | None:
    return None if uid is None or uid < 0 else attributes.user(uid, names)


def _text(value: bytes | None) -> str | None:
    return escape(value) if value else None


def _ip(address: bytes) -> str | None:
    """ECS has a type for addresses, which takes no names."""
    try:
        return str(ipaddress.ip_address(address.decode("ascii", "replace").partition("%")[0]))
    except ValueError:
        return None
