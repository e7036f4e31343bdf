"""Logs, logins and what log lines tell, in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .. import attributes
from ..attributes import Names
from ..facts.logs import EventFact, LogFact, LoginFact
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


def _login(fact: LoginFact, names: Names) -> str:
    return f"login of {said(fact.name)}"


LOGIN = Words(
    "login",
    "logins",
    "session",
    ("start", "end", "info"),
    lambda fact, names: f"First {_login(fact, names)}",
    lambda fact, names: f"No longer on record: {_login(fact, names)}",
    lambda before, after, changed, names: f"{said(after.name)} changed: {', '.join(changed)}",
    lambda fact, names: {"source.address": said(fact.origin)},
)


def _event(fact: EventFact, names: Names) -> str:
    return f"{fact.topic} {said(fact.name)}, {fact.count} times"


EVENT = Words(
    "log event",
    "log events",
    "authentication",
    ("info", "info", "info"),
    lambda fact, names: f"In the logs: {_event(fact, names)}",
    lambda fact, names: f"No longer in the logs: {_event(fact, names)}",
    lambda before, after, changed, names: f"In the logs: {_event(after, names)}",
    lambda fact, names: {"source.address": said(fact.source) or None},
)
