"""What an inquiry hands over, as one JSON-able dict: `schema/inquiry.schema.json` describes it in full.

The rule kept: it decides everything and shows nothing. Whatever a renderer shows, it has from this dict
alone, so that the text, the page and the JSON can never say three different things.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ..model import Generation
from ..record import clean, timestamp
from .inquiry import CHECKS, Check, Inquiry
from .interface import Item, Moment, Result, Unseen, Verdict
from .scene import SUDO, Options

SCHEMA: Final = 1

Data: TypeAlias = dict[str, Any]

WORST: Final = 3
"""How many things the headline names."""

BRIEF: Final = 160
"""Characters of each."""

LATEST: Final = 253402300799
"""The last second of the year 9999, as far as clocks are believed."""


@dataclass(frozen=True, slots=True)
class About:
    """What is said of the host and of the look; `about.py` gathers it.

    `zone` is seconds east of UTC where the host is, by its own clock; `by` who looked (`alice (uid 1000)`).
    `baseline` is the sentence why there is no `generation`, `level` the best at which packages can be
    verified (a `packages.interface.Level`'s label), `packages_problem` why nothing can be said of them.
    """

    version: str
    hostname: str
    host_id: str
    boot_id: str
    system: str
    kernel: str
    architecture: str
    root_folder: str
    by: str
    root: bool
    zone: int
    options: Options
    generation: Generation | None
    baseline: str
    manager: str
    packages_problem: str
    level: str


def build(inquiry: Inquiry, about: About, checks: Sequence[Check] = CHECKS) -> Data:
    """The report. `checks` are those that were asked."""
    rows = {check.name: check for check in checks}
    results = [(rows[one.check], one) for one in inquiry.results]
    verdict = inquiry.verdict
    return {
        "schema": SCHEMA,
        "tool": {"name": "hostguardd", "version": about.version},
        "host": {
            "hostname": clean(about.hostname),
            "id": clean(about.host_id),
            "boot": clean(about.boot_id),
            "system": clean(about.system),
            "kernel": clean(about.kernel),
            "architecture": clean(about.architecture),
            "root": clean(about.root_folder),
        },
        "look": _look(inquiry, about),
        "verdict": verdict.label,
        "headline": [_sentence(results, verdict), _by_name(results, verdict), _trust(results, about)],
        "checks": [_check(check, result) for check, result in results],
        "timeline": {"moments": [_moment(one) for one in inquiry.moments], "lost": inquiry.lost_moments},
        "unseen": [
            {"check": check.name, **_unseen(one)} for check, result in results for one in result.unseen
        ],
        "remedy": "" if about.root else SUDO,
        "ask": _ask(results),
        "next_steps": _steps(results, verdict, about, inquiry.moments),
    }


def _look(inquiry: Inquiry, about: About) -> Data:
    generation = about.generation
    return {
        "by": clean(about.by),
        "root": about.root,
        "began": _time(inquiry.began),
        "ended": _time(inquiry.ended),
        "took": round(max(0.0, inquiry.ended - inquiry.began), 3),
        "zone": about.zone,
        "options": {
            "days": about.options.days,
            "packages": about.options.packages,
            "probe": about.options.probe,
            "patience": about.options.patience,
        },
        "baseline": None
        if generation is None
        else {
            "generation": generation.number,
            "at": timestamp(generation.at),
            "by": clean(generation.actor),
            "reason": clean(generation.reason),
            "reviewed": generation.reviewed,
        },
        "no_baseline": clean(about.baseline),
        "packages": {
            "manager": clean(about.manager),
            "level": clean(about.level),
            "problem": clean(about.packages_problem),
        },
    }


def _check(check: Check, result: Result) -> Data:
    return {
        "name": check.name,
        "title": check.title,
        "guide": check.guide,
        "about": check.about,
        "verdict": result.verdict.label,
        "counts": {verdict.label: result.counts.get(verdict, 0) for verdict in Verdict},
        "more": result.more,
        "took": round(result.took, 3),
        "cut": result.cut,
        "items": [_item(one) for one in result.items],
        "unseen": [_unseen(one) for one in result.unseen],
    }


def _item(item: Item) -> Data:
    return {
        "name": clean(item.name),
        "verdict": item.verdict.label,
        "says": clean(item.says),
        "means": clean(item.means),
        "next": clean(item.next),
        "known": item.known.label,
        "technique": clean(item.technique),
        "details": {clean(name): _plain(value) for name, value in item.details.items()},
        "evidence": [{"source": clean(one.source), "text": clean(one.text)} for one in item.evidence],
        "parent": clean(item.parent),
    }


def _unseen(one: Unseen) -> Data:
    return {"scope": clean(one.scope), "reason": clean(one.reason), "remedy": clean(one.remedy)}


def _moment(one: Moment) -> Data:
    return {
        "at": _time(one.at),
        "until": _time(one.until) if one.until else "",
        "kind": one.kind,
        "says": clean(one.says),
        "who": clean(one.who),
        "source": clean(one.source),
        "confidence": one.confidence.label,
        "verdict": one.verdict.label,
    }


def _time(at: float) -> str:
    """ISO 8601 in UTC. What the host gives for a time may be no such thing: then the nearest end of time."""
    if not math.isfinite(at):
        at = 0.0
    return timestamp(round(min(max(at, 0.0), LATEST) * 1e6) * 1000)


def _plain(value: object) -> object:
    """A detail as JSON has it."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Iterable):
        return [_plain(one) for one in value]
    return None if value is None else clean(str(value))


# -- the headline -------------------------------------------------------------------------------------

Results: TypeAlias = list[tuple[Check, Result]]


def _sentence(results: Results, verdict: Verdict) -> str:
    """The verdict."""
    found = sum(result.counts.get(verdict, 0) for _, result in results)
    where = sum(1 for _, result in results if result.counts.get(verdict, 0))
    blind = sum(len(result.unseen) for _, result in results)
    if verdict is Verdict.SUSPICIOUS:
        return (
            f"{_count(found, 'sign')} of an intrusion, in {where} of {_count(len(results), 'check')}: "
            "treat this host as broken into until each is explained."
        )
    if verdict is Verdict.NOTABLE:
        return f"No sign of an intrusion; {_count(found, 'thing')} that somebody should be able to explain."
    if verdict is Verdict.UNSEEN:
        return (
            f"No sign of an intrusion in what could be seen; {_count(blind, 'thing')} could not be looked at."
        )
    return "No sign of an intrusion was found."


def _by_name(results: Results, verdict: Verdict) -> str:
    """The worst things, one of each check before a second one of any."""
    if verdict < Verdict.NOTABLE:
        return "Nothing stands out."
    of_check = [[one for one in result.items if one.verdict is verdict] for _, result in results]
    deepest = max(map(len, of_check), default=0)
    turns = (items[turn] for turn in range(min(deepest, WORST)) for items in of_check if turn < len(items))
    worst: dict[str, None] = {}
    for item in turns:
        says = clean(item.says).rstrip(".")
        worst.setdefault(says if len(says) <= BRIEF else says[: BRIEF - 1] + "…")
        if len(worst) == WORST:
            break
    return "; ".join(worst) + "."


def _trust(results: Results, about: About) -> str:
    """How far it can be trusted."""
    blind = sum(len(result.unseen) for _, result in results)
    said = [f"Looked as {about.by}" + ("" if about.root else ", who may not see everything")]
    if about.generation is None:
        said.append("without a baseline, so what is new could not be told from what was always there")
    else:
        said.append(
            f"with baseline generation {about.generation.number}"
            + ("" if about.generation.reviewed else ", which nobody has reviewed")
        )
    said.append(_verified(about))
    said.append(
        f"{_count(blind, 'thing')} could not be looked at" if blind else "nothing stayed out of sight"
    )
    return clean("; ".join(said)) + "."


def _verified(about: About) -> str:
    if not about.manager or about.packages_problem:
        return f"packages not verified ({about.packages_problem or 'no package manager'})"
    if not about.options.packages:
        return "packages not verified (it was not asked for)"
    worth = {
        "signed": "whose digests are signed",
        "digest": "by digests that root could have rewritten",
        "listed": "which keeps no digests",
    }.get(about.level, "")
    return f"packages verified by {about.manager}" + (f", {worth}" if worth else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# -- what to ask --------------------------------------------------------------------------------------


def _ask(results: Results) -> list[Data]:
    """What to ask whom, in the order in which it came up."""
    asked: dict[str, dict[str, None]] = {}
    for _, result in results:
        for item in result.items:
            for question in _questions(item.details):
                account = item.details.get("account") or item.details.get("user") or item.name
                asked.setdefault(clean(str(account)), {})[clean(question)] = None
    return [{"account": account, "questions": list(questions)} for account, questions in asked.items()]


def _questions(details: Mapping[str, object]) -> Iterator[str]:
    found = details.get("ask")
    several = [found] if isinstance(found, str) else found
    if isinstance(several, Iterable):
        yield from (question for question in map(str, several) if question)


# -- what to do next ----------------------------------------------------------------------------------

NETWORK: Final = ("listeners", "connections")
"""The checks whose suspicious items are ports and peers."""


def _step(do: str, why: str, *commands: str) -> Data:
    return {"do": clean(do), "why": clean(why), "commands": [clean(one) for one in commands]}


def _steps(results: Results, verdict: Verdict, about: About, moments: Sequence[Moment]) -> list[Data]:
    """In the order in which to do them."""
    host = shlex.quote(clean(about.hostname) or "HOST")
    elsewhere = _step(
        "Look from another machine",
        "A port that is open from outside and not listed here is hidden: no answer of this host shows that.",
        f"nmap -Pn -sT -p- {host}",
    )
    if verdict is Verdict.SUSPICIOUS:
        return _broken_into(results, host, elsewhere, moments)
    steps = []
    if verdict is Verdict.NOTABLE:
        steps.append(
            _step(
                "Have each notable thing explained",
                "By whoever is responsible for it, not by the host. What nobody can explain is a sign.",
            )
        )
    if not about.root:
        steps.append(_step("Look again as root", "Much of a host is shown to root alone.", SUDO))
    if any(result.unseen for _, result in results):
        steps.append(
            _step(
                "Read what could not be looked at",
                "An intruder is where nobody looks. What stays out of sight is not fine, it is unknown.",
            )
        )
    if about.root and not about.options.packages:
        steps.append(
            _step(
                "Verify the packages, too",
                "It takes longer, and shows programs that were replaced.",
                SUDO,
            )
        )
    steps.append(elsewhere)
    if about.generation is None:
        steps.append(
            _step(
                "Take a baseline once you believe the host",
                "Then the next look tells what is new, and the daemon tells within a second.",
                "sudo hostguardctl baseline",
            )
        )
    steps.append(
        _step(
            "Keep this report away from the host",
            "The next one can be held against it.",
            f"ssh {host} {SUDO} --json > {host}-report.json",
        )
    )
    return steps


def _broken_into(results: Results, host: str, elsewhere: Data, moments: Sequence[Moment]) -> list[Data]:
    ports = [
        item.name
        for check, result in results
        for item in result.items
        if check.name in NETWORK and item.verdict is Verdict.SUSPICIOUS
    ]
    first = min((one.at for one in moments if one.verdict is Verdict.SUSPICIOUS), default=0.0)
    named = f" Here: {', '.join(ports[:5])}{' and others' if len(ports) > 5 else ''}." if ports else ""
    since = (
        f" The first sign in the time line is of {_time(first)[:16].replace('T', ' ')} UTC." if first else ""
    )
    return [
        _step(
            "Stay calm; do not reboot, do not shut down",
            "A reboot destroys what only memory holds, and may be what a logic bomb waits for.",
        ),
        _step(
            "Work as an ordinary user, with sudo only where it is needed",
            "A login of root is what an intruder watches for, and may be what sets something off.",
        ),
        _step(
            "Save the evidence onto another machine, before anything is changed",
            "Run it there: then nothing is written to the disk of this host, where it may overwrite traces.",
            f"ssh {host} {SUDO} --bundle - > {host}-evidence.tar.gz",
        ),
        _step(
            "Write down the strange ports, who is connected to them, and since when",
            f"They lead to where the intruder came from, and are gone with the connection.{named}",
            "ss -tunap",
        ),
        elsewhere,
        _step(
            "Then take it off the network, and leave it running",
            "Pull the cable, or isolate it at the switch or hypervisor; believe no command of the host.",
        ),
        _step(
            "Copy the disks, and the memory if you can",
            "From the hypervisor or from clean media. What is found later must be found on the copy.",
        ),
        _step(
            "Ask the owners of the accounts whether it was them",
            "In person or by telephone: whoever has the account may also read its mail.",
        ),
        _step(
            "Change passwords and keys, from another machine",
            "All that were used on this host or lie on it. Then look at each host that they open.",
        ),
        _step(
            "Build the host anew from clean media",
            "Cleaning is guessing. Restore data from before the break-in, and close the way in before it "
            f"goes back online.{since}",
        ),
    ]
