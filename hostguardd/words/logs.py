"""Logs, logins and what log lines tell, in words. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from .. import attributes
from ..attributes import Names
from ..facts.logs import EventFact, LogFact, LoginFact
from ..loglines import CONSOLE
from ..model import split
from ..record import Record, escape
from .interface import Words, said

_WHAT = {"logs": "log", "records": "record of logins", "histories": "history"}


def _log(fact: LogFact) -> str:
    """`log /var/log/secure`, `history /root/.bash_history of root`."""
    owner = f" of {said(fact.owner)}" if fact.owner else ""
    return f"{_WHAT.get(fact.view, 'log')} {said(fact.path)}{owner}"


def _lost(fact: LogFact) -> str:
    return f": {attributes.size(fact.lost)} are missing" if fact.lost else ""


_DONE: Mapping[str, Callable[[LogFact], str]] = {
    "whole": lambda fact: "is whole",
    "emptied": lambda fact: f"was emptied{_lost(fact)}",
    "truncated": lambda fact: f"was cut short{_lost(fact)}",
    "rewritten": lambda fact: (
        f"was replaced by a file without its old content{_lost(fact)}, which is in no archive"
    ),
    "edited": lambda fact: "was edited: what was written before reads otherwise now" + _detail(fact),
    "gone": lambda fact: f"was deleted{_lost(fact)}" + ("" if fact.owner else " and in no archive"),
    "linked": lambda fact: f"is now a link to {said(fact.detail)}: what is written there is not kept here",
    "replaced": lambda fact: f"is no file any more but {said(fact.detail) or 'something else'}",
    "erased": lambda fact: f"was edited, logins were erased from it{_detail(fact)}",
    "flawed": lambda fact: f"holds what no program writes{_detail(fact)}",
    "pruned": lambda fact: f"lost archives that rotation would have kept, or they were edited{_detail(fact)}",
    "locked": lambda fact: f"can no longer be written to{_detail(fact)}",
}


def _detail(fact: LogFact) -> str:
    return f" ({said(fact.detail)})" if fact.detail else ""


def _done(fact: LogFact) -> str:
    tell = _DONE.get(fact.state)
    return f"The {_log(fact)} {tell(fact) if tell is not None else f'is {fact.state}'}"


def _changed(before: LogFact, after: LogFact, changed: tuple[str, ...], names: Names) -> str:
    again = ", not for the first time" if after.state != "whole" and before.incidents else ""
    return _done(after) + again


def _log_fields(fact: LogFact, names: Names) -> Record:
    folder, name = split(fact.path)
    return {
        "file.path": escape(fact.path),
        "file.directory": escape(folder),
        "file.name": escape(name),
        "file.size": fact.size,
        "file.inode": str(fact.inode),
        "file.owner": escape(fact.owner) or None,
        "file.target_path": (escape(fact.detail) or None) if fact.state == "linked" else None,
    }


LOG = Words(
    "log",
    "logs",
    "file",
    ("creation", "deletion", "change"),
    lambda fact, names: f"New {_log(fact)}" if fact.state == "whole" else _done(fact),
    lambda fact, names: f"Gone: {_log(fact)}, and with it who or what it belonged to",
    _changed,
    _log_fields,
)


def _session(fact: LoginFact) -> str:
    """`alice from 203.0.113.9 (sshd, pts/0)`."""
    where = said(fact.origin)
    how = ", ".join(said(part) for part in (fact.service, fact.line) if part)
    place = "at the console" if fact.origin == CONSOLE else f"from {where}"
    return f"{said(fact.user)} {place}" + (f" ({how})" if how else "")


def _new_login(fact: LoginFact, names: Names) -> str:
    if fact.view == "unrecorded":
        return f"{_session(fact)} is logged in, and the record of who is logged in does not show it"
    return f"First login of {_session(fact)}"


def _gone_login(fact: LoginFact, names: Names) -> str:
    if fact.view == "unrecorded":
        return f"No longer logged in without a record: {_session(fact)}"
    return f"No longer on record: login of {_session(fact)}"


def _source(address: bytes) -> Record:
    """ECS source.*, of what is an address or the name of one."""
    if not address or address == CONSOLE or b" " in address:
        return {}
    text = said(address)
    try:
        ip = str(ipaddress.ip_address(text))
    except ValueError:
        return {"source.address": text}
    return {"source.address": text, "source.ip": ip}


def _named(name: str, value: bytes) -> Record:
    return {name: said(value)} if value else {}


LOGIN = Words(
    "login",
    "logins",
    "session",
    ("start", "end", "info"),
    _new_login,
    _gone_login,
    lambda before, after, changed, names: f"Login of {_session(after)} changed: {', '.join(changed)}",
    lambda fact, names: {
        **_named("user.name", fact.user),
        **_source(fact.origin),
        **_named("service.name", fact.service),
    },
)


def _times(count: int) -> str:
    return "" if count == 1 else f" ({count} times)"


def _refused(fact: EventFact) -> str:
    where = "at the console" if fact.source == CONSOLE else f"from {said(fact.source)}"
    tried = f", who tried {said(fact.user)}" if fact.user else ""
    return f"{said(fact.service)} refused {fact.count} logins {where}{tried}"


def _in_spite(fact: EventFact) -> str:
    where = "at the console" if fact.source == CONSOLE else f"from {said(fact.source)}"
    whose = "this account" if fact.topic == "guessed" else "other accounts"
    return f"{said(fact.user)} logged in {where} by {said(fact.service)} after {whose} had been refused there"


_TOPICS: Mapping[str, Callable[[EventFact], str]] = {
    "refused": _refused,
    "guessed": _in_spite,
    "sprayed": _in_spite,
    "switched": lambda fact: f"{said(fact.source)} became {said(fact.user)} by {said(fact.service)}",
    "denied": lambda fact: (
        f"{said(fact.source)} tried to become {said(fact.user)} by {said(fact.service)} and was denied"
        + _times(fact.count)
    ),
    "garbled": lambda fact: (
        f"No text ({said(fact.user)}) in {said(fact.name)}{_times(fact.count)}: {said(fact.sample[:SHOWN])}"
    ),
    "crashed": lambda fact: f"{said(fact.source)} crashed{_times(fact.count)}",
}
"""What each topic says, as one sentence without its end."""

SHOWN = 80
"""Bytes of a line that is no text which are quoted in a sentence."""


def _event(fact: EventFact) -> str:
    return _TOPICS[fact.topic](fact) if fact.topic in _TOPICS else f"{fact.topic} {said(fact.name)}"


def _event_fields(fact: EventFact, names: Names) -> Record:
    if fact.topic == "garbled":
        return _named("file.path", fact.source if fact.source.startswith(b"/") else b"") | _named(
            "service.name", fact.service
        )
    if fact.topic == "crashed":
        return _named("process.name", fact.source)
    one = fact.source if fact.topic in ("switched", "denied") else fact.user
    return {
        **_named("user.name", b"" if b", " in one else one),
        **({} if fact.topic in ("switched", "denied") else _source(fact.source)),
        **_named("service.name", fact.service),
    }


EVENT = Words(
    "log event",
    "log events",
    "authentication",
    ("info", "info", "info"),
    lambda fact, names: _event(fact),
    lambda fact, names: f"No longer in the logs: {_event(fact)}",
    lambda before, after, changed, names: _event(after),
    _event_fields,
)
