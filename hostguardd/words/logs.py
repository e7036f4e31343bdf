"""Logs, logins and what log lines tell, in words. Pure."""

from __future__ import annotations

from ..attributes import Names
from ..facts.logs import EventFact, LogFact, LoginFact
from .interface import Words, arrow, said


def _log(fact: LogFact, names: Names) -> str:
    return f"{said(fact.path)} ({fact.state})"


LOG = Words(
    "log",
    "logs",
    "file",
    ("creation", "deletion", "change"),
    lambda fact, names: f"New log {_log(fact, names)}",
    lambda fact, names: f"Gone: log {_log(fact, names)}",
    lambda before, after, changed, names: (
        f"{said(after.path)} changed: {arrow('it was', before.state, after.state)}"
    ),
    lambda fact, names: {"file.path": said(fact.path)},
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
