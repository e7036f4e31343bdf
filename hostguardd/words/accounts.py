"""Accounts and keys in words: who gained what. Pure.

Every sentence names the account; no sentence says anything of a password but that it is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from .. import attributes
from ..attributes import Names
from ..facts.accounts import DAMAGED, GROUPS, USERS, AccountFact, KeyFact
from ..facts.accounts import names as listed
from ..record import Record
from .interface import Words, said, short

NOUNS: Mapping[str, str] = {USERS: "account", GROUPS: "group", DAMAGED: "line"}

PASSWORDS: Mapping[str, str] = {
    "none": "needs no password",
    "set": "has a password",
    "locked": "is locked",
    "unset": "no password opens it",
    "nowhere": "",
}
"""What a state of the password means for one who would come in."""


def _listed(field: bytes | None) -> str:
    return short(", ".join(said(name) for name in listed(field)))


def _title(fact: AccountFact) -> str:
    """`Account mallory`, `Group wheel`."""
    return f"{NOUNS[fact.database].capitalize()} {said(fact.name)}"


def _damaged(fact: AccountFact) -> str:
    path = said(fact.name.partition(b" ")[0])
    return f"line {fact.line} of {path} {said(fact.comment)} (mark {said(fact.name.rpartition(b' ')[2])})"


def _details(fact: AccountFact, names: Names) -> str:
    """What matters of an account or group, in brackets."""
    if fact.database == GROUPS:
        parts = [f"gid {fact.id}"]
        if fact.groups:
            parts.append(f"members that are no local accounts: {_listed(fact.groups)}")
        if fact.password == "set":
            parts.append("has a password")
        return ", ".join(parts)
    parts = ["uid unknown" if fact.id is None else f"uid {fact.id}"]
    if fact.id == 0:
        parts.append("it is root")
    parts += [f"shell {said(fact.shell) or '/bin/sh'}", f"home {said(fact.home) or 'none'}"]
    if fact.password is not None:
        parts.append(PASSWORDS.get(fact.password, fact.password))
    if fact.groups:
        parts.append(f"in {_listed(fact.groups)}")
    if fact.gid == 0 and fact.id != 0:
        parts.append("its group is root's")
    if fact.twins:
        parts.append(f"the same uid as {_listed(fact.twins)}")
    return ", ".join(parts)


def _new(fact: AccountFact, names: Names) -> str:
    if fact.database == DAMAGED:
        return f"A damaged line: {_damaged(fact)}"
    return f"New {NOUNS[fact.database]} {said(fact.name)} ({_details(fact, names)})"


def _gone(fact: AccountFact, names: Names) -> str:
    if fact.database == DAMAGED:
        return f"No longer there: the damaged {_damaged(fact)}"
    return f"{_title(fact)} is gone ({_details(fact, names)})"


Clauses = Iterator[str]


def _id(before: AccountFact, after: AccountFact, names: Names) -> Clauses:
    what = "gid" if after.database == GROUPS else "uid"
    if after.id == 0 and after.database == USERS:
        yield f"gained uid 0 (it is root now; it had uid {before.id})"
    else:
        yield f"has {what} {after.id} now (had {before.id})"


def _gid(before: AccountFact, after: AccountFact, names: Names) -> Clauses:
    old, new = (
        "none" if one.gid is None else f"{attributes.group(one.gid, names)} (gid {one.gid})"
        for one in (before, after)
    )
    yield f"has the primary group {new} now, had {old}"


def _password(before: AccountFact, after: AccountFact, names: Names) -> Clauses:
    old, new = before.password, after.password
    other = before.secret != after.secret
    if old == new:
        yield "has another password" + (" and is still locked" if new == "locked" else "")
    elif new == "none":
        yield "needs no password any more"
    elif new == "locked":
        yield "was locked"
    elif new == "set" and old == "locked":
        yield "was unlocked" + (" with another password" if other else "")
    elif new == "set":
        yield "got a password, it had none"
    else:
        yield "has no password any more that could be used"


def _groups(before: AccountFact, after: AccountFact, names: Names) -> Clauses:
    old, new = set(listed(before.groups)), set(listed(after.groups))
    joined, left = (b",".join(sorted(one)) for one in (new - old, old - new))
    if after.database == GROUPS:
        if joined:
            yield f"was joined by {_listed(joined)}, of whom there is no local account"
        if left:
            yield f"lost {_listed(left)}, of whom there is no local account"
        return
    if joined:
        yield f"joined {_listed(joined)}"
    if left:
        yield f"left {_listed(left)}"


def _expires(before: AccountFact, after: AccountFact, names: Names) -> Clauses:
    yield f"expires {_day(after.expires)} (was {_day(before.expires)})"


def _day(days: int | None) -> str:
    if days is None or days < 0:
        return "never"
    if days > 100_000:
        return f"on day {days}"
    return "on " + (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)).strftime("%Y-%m-%d")


def _comment(before: AccountFact, after: AccountFact, names: Names) -> Clauses:
    what = "administrators" if after.database == GROUPS else "full name"
    yield f"has the {what} {said(after.comment) or 'none'} now (had {said(before.comment) or 'none'})"


def _twins(before: AccountFact, after: AccountFact, names: Names) -> Clauses:
    yield f"has the same uid as {_listed(after.twins)}" if after.twins else "shares its uid no longer"


CLAUSES: Mapping[str, Callable[[AccountFact, AccountFact, Names], Clauses]] = {
    "id": _id,
    "password": _password,
    "secret": _password,
    "groups": _groups,
    "gid": _gid,
    "shell": lambda before, after, names: iter(
        [f"has the shell {said(after.shell) or '/bin/sh'} now (had {said(before.shell) or '/bin/sh'})"]
    ),
    "home": lambda before, after, names: iter(
        [f"has the home {said(after.home) or 'none'} now (had {said(before.home) or 'none'})"]
    ),
    "twins": _twins,
    "subordinate": lambda before, after, names: iter(
        [
            f"may use the ids {_listed(after.subordinate) or 'of its own only'} as its own in namespaces"
            f" (had {_listed(before.subordinate) or 'none'})"
        ]
    ),
    "expires": _expires,
    "comment": _comment,
}
"""What is said of a field that changed, the loudest first."""


def _changed(before: AccountFact, after: AccountFact, changed: tuple[str, ...], names: Names) -> str:
    if after.database == DAMAGED:
        return f"A damaged line: {_damaged(after)}"
    said_of = [CLAUSES[field] for field in CLAUSES if field in changed]
    clauses = [clause for say in dict.fromkeys(said_of) for clause in say(before, after, names)]
    return f"{_title(after)} {', '.join(clauses) or 'changed: ' + ', '.join(changed)}"


def _fields(fact: AccountFact, names: Names) -> Record:
    if fact.database == DAMAGED:
        return {"file.path": said(fact.name.partition(b" ")[0])}
    kind = "group" if fact.database == GROUPS else "user"
    return {f"{kind}.name": said(fact.name), f"{kind}.id": None if fact.id is None else str(fact.id)}


ACCOUNT = Words(
    "account or group",
    "accounts and groups",
    "iam",
    ("creation", "deletion", "change"),
    _new,
    _gone,
    _changed,
    _fields,
)


def _key(fact: KeyFact) -> str:
    """`SSH key SHA256:… (comment …)`, without its file."""
    if fact.role == "damaged":
        return f"damaged line {fact.line}"
    noun = "SSH certificate authority" if fact.role == "authority" else "SSH key"
    comment = f", comment {said(fact.comment)}" if fact.comment else ""
    return f"{noun} {said(fact.key.partition(b' ')[0])} ({said(fact.type)}{comment})"


def _options(fact: KeyFact) -> str:
    return said(fact.options.replace(b"\n", b",")) or "none"


def _new_key(fact: KeyFact, names: Names) -> str:
    if fact.role == "damaged":
        where = f"line {fact.line} of {said(fact.path)}"
        return f"SSH keys of {said(fact.account)}: {where} is no key that sshd would understand"
    options = f", with the options {_options(fact)}" if fact.options else ""
    return f"{_key(fact)} was added for {said(fact.account)} in {said(fact.path)}{options}"


def _key_changed(before: KeyFact, after: KeyFact, changed: tuple[str, ...], names: Names) -> str:
    parts = []
    if "options" in changed:
        parts.append(f"options {_options(before)} → {_options(after)}")
    if "comment" in changed:
        parts.append(f"comment {said(before.comment) or 'none'} → {said(after.comment) or 'none'}")
    rest = [name for name in changed if name not in ("options", "comment")]
    told = ", ".join(parts + rest)
    return f"{_key(after)} of {said(after.account)} in {said(after.path)} changed: {told}"


KEY = Words(
    "SSH key",
    "SSH keys",
    "iam",
    ("creation", "deletion", "change"),
    _new_key,
    lambda fact, names: f"{_key(fact)} of {said(fact.account)} is gone from {said(fact.path)}",
    _key_changed,
    lambda fact, names: {"user.name": said(fact.account), "file.path": said(fact.path)},
)
