"""Accounts and keys in words: who gained what. Pure."""

from __future__ import annotations

from typing import Any

from ..attributes import Names
from ..facts.accounts import AccountFact, KeyFact
from ..record import Record
from .interface import Words, arrow, said


def _account(fact: AccountFact, names: Names) -> str:
    return said(fact.label)


def _account_changed(before: Any, after: Any, changed: tuple[str, ...], names: Names) -> str:
    parts = [arrow(name, str(getattr(before, name)), str(getattr(after, name))) for name in changed]
    return f"Account {said(after.label)} changed: {', '.join(parts)}"


def _account_fields(fact: AccountFact, names: Names) -> Record:
    return {"user.name": said(fact.name), "user.id": str(fact.id)}


ACCOUNT = Words(
    "account",
    "accounts",
    "iam",
    ("creation", "deletion", "change"),
    lambda fact, names: f"New account {_account(fact, names)}",
    lambda fact, names: f"Gone: account {_account(fact, names)}",
    _account_changed,
    _account_fields,
)


def _key(fact: KeyFact, names: Names) -> str:
    return f"SSH key {said(fact.key)} for {said(fact.account)}"


KEY = Words(
    "SSH key",
    "SSH keys",
    "iam",
    ("creation", "deletion", "change"),
    lambda fact, names: f"New {_key(fact, names)}",
    lambda fact, names: f"Gone: {_key(fact, names)}",
    lambda before, after, changed, names: f"{_key(after, names)} changed: {', '.join(changed)}",
    lambda fact, names: {"file.path": said(fact.path)},
)
