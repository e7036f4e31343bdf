"""What an inquiry hands over, as one JSON-able dict: `schema/inquiry.schema.json` describes it in full.

The rule kept: it decides everything and shows nothing. Whatever a renderer shows, it has from this dict
alone, so that the text, the page and the JSON can never say three different things.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from ..record import clean, timestamp
from ..words.interface import counted
from .about import About
from .advice import Results, iso, questions, steps
from .inquiry import CHECKS, Check, Inquiry
from .interface import Item, Moment, Result, Unseen, Verdict
from .scene import SUDO
from .unseen import Told, together

SCHEMA: Final = 1

Data: TypeAlias = dict[str, Any]

WORST: Final = 3
"""How many things the headline names."""

BRIEF: Final = 160
"""Characters of each."""


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
        "unseen": [{"check": told.check, **_unseen(told.unseen)} for told in _blind(results)],
        "remedy": "" if about.root else SUDO,
        "ask": questions(results),
        "next_steps": steps(results, verdict, about, inquiry.moments),
    }


def _look(inquiry: Inquiry, about: About) -> Data:
    generation = about.generation
    return {
        "by": clean(about.by),
        "root": about.root,
        "began": iso(inquiry.began),
        "ended": iso(inquiry.ended),
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


def _blind(results: Results) -> list[Told]:
    """What could not be looked at, in as few lines as say it: several checks read the same logs."""
    return together(Told(check.name, one) for check, result in results for one in result.unseen)


def _unseen(one: Unseen) -> Data:
    return {"scope": clean(one.scope), "reason": clean(one.reason), "remedy": clean(one.remedy)}


def _moment(one: Moment) -> Data:
    return {
        "at": iso(one.at),
        "until": iso(one.until) if one.until else "",
        "kind": one.kind,
        "says": clean(one.says),
        "who": clean(one.who),
        "source": clean(one.source),
        "confidence": one.confidence.label,
        "verdict": one.verdict.label,
    }


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


def _sentence(results: Results, verdict: Verdict) -> str:
    """The verdict."""
    found = sum(result.counts.get(verdict, 0) for _, result in results)
    where = sum(1 for _, result in results if result.counts.get(verdict, 0))
    blind = len(_blind(results))
    if verdict is Verdict.SUSPICIOUS:
        return (
            f"{counted(found, 'sign')} of an intrusion, in {where} of {counted(len(results), 'check')}: "
            "treat this host as broken into until each is explained."
        )
    if verdict is Verdict.NOTABLE:
        return f"No sign of an intrusion; {counted(found, 'thing')} that somebody should be able to explain."
    if verdict is Verdict.UNSEEN:
        return f"No sign of an intrusion in what was seen; {counted(blind, 'thing')} could not be looked at."
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
    # Each may hold semicolons of its own.
    said = "; ".join(f"({at}) {one}" for at, one in enumerate(worst, 1)) if len(worst) > 1 else "".join(worst)
    return said if said.endswith("…") else f"{said}."


def _trust(results: Results, about: About) -> str:
    """How far it can be trusted."""
    blind = len(_blind(results))
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
        f"{counted(blind, 'thing')} could not be looked at" if blind else "nothing stayed out of sight"
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
