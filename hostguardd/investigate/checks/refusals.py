"""Refused logins: who tried to come in, as whom, how often, and whether somebody got in after all.

A host in the internet is refused at all day long. What matters is which account was meant, and a success
that follows: a password that was guessed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from ...facts.logs import EventFact
from ...loglines import CONSOLE
from ...words.interface import counted
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Verdict, text
from ..logs.ledger import OTHERS, Source, Success, together
from ..logs.logfiles import reading
from ..logs.redact import redact
from ..scene import Scene

ITEMS: Final = 200
"""Sources that are shown one by one, those with most refusals; all are in the sum."""

WORST: Final = 20
"""Of these, how many an administrator is asked to look at: in the internet the list has no end."""

NAMED: Final = 20
"""Accounts that are named of each."""

MANY: Final = 20
"""Refusals before which a login of another account from the same source may be that of a colleague: many
come from one address."""

MOMENTS: Final = 300

MEANS: Final = "Somebody, mostly a program that does so all over the internet, tries names and passwords."
NEXT: Final = (
    "See that none of these accounts has a password that can be guessed, that root may not log in by "
    "password, and "
    "whether the service must be open to everybody."
)
GOT_IN: Final = "A password that is guessed after many attempts looks just like this in a log."
ASK: Final = (
    "Ask the owner of the account, by another way than this host, whether it was them. If not: save the "
    "logs, then look "
    "at what this account did since (its history, its processes, its files) before you lock it."
)
_ORDINARY: Final = re.compile(rb"[a-z_][a-z0-9_.-]{0,23}")


def look(scene: Scene) -> Iterator[Found]:
    """Sources, accounts, successes."""
    found = scene.once(reading)
    yield from found.unseen
    sources, successes = together(one.refusals for one in found.passages.values())
    names = {user.name for user in scene.users}
    for success in successes:
        yield from _success(success, scene.config.events.refusals)
    yield from _sum(sources, names, int(scene.since))
    by_source: dict[bytes, dict[bytes, Source]] = defaultdict(dict)
    for (service, source), one in sources.items():
        by_source[source][service] = one
    worst = sorted(by_source, key=lambda one: (-sum(s.count for s in by_source[one].values()), one))
    asked = _asked(scene)
    for number, origin in enumerate(worst[:ITEMS]):
        yield _item(scene, origin, by_source[origin], names, asked, among=number < WORST)
    yield from _moments(sources)


def _success(one: Success, few: int) -> Iterator[Found]:
    verdict = Verdict.SUSPICIOUS if one.own >= few or one.refusals >= MANY else Verdict.NOTABLE
    who, where = text(one.user), _origin(one.source)
    says = f"{who} logged in {where} by {text(one.service)} after {one.refusals} refusals in a row there"
    says += f", {one.own} of this account" if one.own else f", all of {one.tried} other accounts"
    yield Item(
        f"{who} {where}, {text(one.service)}: login after refusals at {one.at}",
        verdict,
        says,
        GOT_IN,
        ASK,
        Known.NOT_ASKED,
        "T1110",
        {"refusals": one.refusals, "of this account": one.own, "accounts tried": one.tried, "at": one.at,
         "method": text(one.method)},
        (Evidence(text(bytes(one.where))),),
    )  # fmt: skip
    yield Moment(one.at, "refusal", says, text(bytes(one.where)), Confidence.LIKELY, verdict, who)


def _sum(sources: dict[tuple[bytes, bytes], Source], names: set[bytes], since: int) -> Iterator[Found]:
    """One item for all of it."""
    accounts: Counter[bytes] = Counter()
    services: Counter[bytes] = Counter()
    for (service, _), one in sources.items():
        accounts.update(one.users)
        services[service] += one.count
    total = services.total()
    if not total:
        yield Item("refused logins", Verdict.FINE, "No log tells of a refused login")
        return
    origins = {source for _, source in sources}
    root = sum(count for user, count in accounts.items() if user.lower() == b"root")
    yield Item(
        "refused logins",
        Verdict.FINE,
        f"{counted(total, 'login was', 'logins were')} refused, from {counted(len(origins), 'source')}, "
        f"to {counted(len(accounts), 'account')}" + (f"; {root} of them to root" if root else ""),
        details={
            "refusals": total,
            "sources": len(origins),
            "accounts": len(accounts),
            "root": root,
            "services": [f"{text(name)}: {count}" for name, count in services.most_common(NAMED)],
            "accounts tried": _accounts(accounts, names),
            "first": min(one.first for one in sources.values()),
            "last": max(one.last for one in sources.values()),
            "since": since,
        },
    )


def _asked(scene: Scene) -> dict[tuple[bytes, bytes], Known]:
    """What the baseline knows of sources that the daemon counts."""
    if scene.approved.generation is None:
        return {}
    facts = (fact for fact in scene.facts(EventFact) if fact.topic == "refused")
    return {(fact.service, fact.source): scene.known(fact) for fact in facts}


def _item(
    scene: Scene, origin: bytes, services: dict[bytes, Source], names: set[bytes],
    asked: dict[tuple[bytes, bytes], Known], *, among: bool,
) -> Item:  # fmt: skip
    """One source."""
    count = sum(one.count for one in services.values())
    users: Counter[bytes] = Counter()
    for one in services.values():
        users.update(one.users)
    there = sorted(user for user in users if user in names)
    root = sum(times for user, times in users.items() if user.lower() == b"root")
    few = count < scene.config.events.refusals or not among
    newest = max(services.values(), key=lambda one: one.last)
    known = next((asked[key] for service in services if (key := (service, origin)) in asked), Known.NOT_ASKED)
    tried = ", ".join(text(user) for user in there[:5])
    says = (
        f"{counted(count, 'refused login')} {_origin(origin)} by {', '.join(sorted(map(text, services)))}"
        + (f"; accounts of this host: {tried}" if tried else "")
        + (f"; root {counted(root, 'time')}" if root else "")
    )
    return Item(
        _origin(origin),
        Verdict.FINE if few else Verdict.NOTABLE,
        says,
        "" if few else MEANS,
        "" if few else NEXT,
        known,
        "T1110",
        {
            "refusals": count,
            "accounts": len(users),
            "accounts tried": _accounts(users, names),
            "root": root,
            "services": [f"{text(name)}: {one.count}" for name, one in sorted(services.items())],
            "first": min(one.first for one in services.values()),
            "last": newest.last,
        },
        (Evidence(text(bytes(newest.where)), text(redact(_nameless(newest.sample, users, names)))),),
    )


def _accounts(users: Counter[bytes], names: set[bytes]) -> list[str]:
    """The most tried, with how often. What may be a password, typed in place of a name, is not told."""
    shown = [(user, count) for user, count in users.most_common() if nameable(user, count, names)]
    more = len(users) - len(shown[:NAMED])
    told = [f"{text(user) or '(none)'}: {count}" for user, count in shown[:NAMED]]
    return told + ([f"and {more} more"] if more else [])


def nameable(user: bytes, times: int, names: set[bytes]) -> bool:
    """Whether a name that somebody gave is surely no password that was typed in the wrong place."""
    return user in names or not user or times >= 3 or user == b"ROOT" or _ORDINARY.fullmatch(user) is not None


def _nameless(sample: bytes, users: Counter[bytes], names: set[bytes]) -> bytes:
    """A line without what may be such a password."""
    for user, times in users.items():
        if len(user) > 2 and not nameable(user, times, names):
            sample = sample.replace(user, b"***")
    return sample


def _origin(source: bytes) -> str:
    if source == OTHERS:
        return "from other sources"
    return "at the console" if source == CONSOLE else f"from {text(source)}" if source else "from somewhere"


def _moments(sources: dict[tuple[bytes, bytes], Source]) -> Iterator[Found]:
    """One for each burst; the greatest."""
    bursts = sorted(
        (
            (burst, service, source, one.where)
            for (service, source), one in sources.items()
            for burst in one.bursts
        ),
        key=lambda found: -found[0].count,
    )
    for burst, service, source, where in bursts[:MOMENTS]:
        if burst.count > 0:
            says = f"{text(service)} refused {counted(burst.count, 'login')} {_origin(source)}"
            until = burst.last if burst.last > burst.first else 0.0
            yield Moment(burst.first, "refusal", says, text(where.path), Confidence.LIKELY, until=until)
