"""All that is known of one finding: its story, when it was noticed and told, what else belongs to the same
deed, what the package manager says now.

The rule: what is asked now is told apart from what was told then. A package manager may have been at work
since, or its database may have been changed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from ..attack import named
from ..causes import group
from ..control.job import Job
from ..describe import finding_json
from ..errors import UsageError
from ..model import FileFact, Finding, SetIdFact
from ..packages.evidence import Question, Seen
from ..packages.interface import Level
from ..record import clean, escape, timestamp
from ..store.findings import ACCEPTED, OPEN
from ..story import Story
from ..windows import window_json
from .engine import Engine
from .judges import answer
from .reading import aside

SECOND: Final = 1_000_000_000

NEAR: Final = 300 * SECOND
"""How far apart findings by the same actor belong together."""

MOST: Final = 20
"""Related findings that are told one by one."""

LOOKED: Final = 5_000
"""Stories that are looked through for related ones."""


def explain(engine: Engine, job: Job) -> None:
    """Answer; the package manager is asked beside the loop."""
    id = job.args["id"]
    ahead = (one for one in engine.announcer.open() if one.id == id)
    found = engine.findings.get(id) or next(((one, OPEN) for one in ahead), None)
    if found is None:
        raise UsageError(f"there is no finding {id}: hostguardctl drift lists the open ones")
    finding, status = found
    story = engine.stories.of(id)
    related, more = _related(engine, finding, story)
    known = {
        "finding": finding_json(finding, engine.names) | {"status": status},
        "story": story_json(story),
        "times": times(finding, story),
        "techniques": named(finding.verdict.technique),
        "related": related,
        "more_related": more,
        "window": _window(engine, story),
        "accepted": _accepted(engine, id) if status == ACCEPTED else None,
    }
    subject, root = finding.drift.subject, engine.host.files.root
    if not isinstance(subject, FileFact | SetIdFact):
        job.finish({**known, "package": None})
        return
    path = subject.path
    aside(job, lambda: job.finish({**known, "package": evidence(root, path)}))


def _window(engine: Engine, story: Story) -> Mapping[str, Any] | None:
    """The change window that it is part of, as long as that is listed."""
    return next((window_json(one) for one in engine.windows.all() if one.id == story.act), None)


def _accepted(engine: Engine, id: str) -> Mapping[str, Any] | None:
    """The generation into which somebody took it, as long as that is kept."""
    at = engine.findings.closed(id)
    for made in engine.baseline.history():
        if made.at == at:
            return {
                "number": made.number,
                "at": timestamp(made.at),
                "actor": made.actor,
                "reason": made.reason,
            }
    return None


def story_json(story: Story) -> dict[str, Any]:
    """A story in full. `cause` is that of all that is different, `last` that of how it was told last."""
    key = group(story)
    return {
        "cause": str(key.cause),
        "group": key.id,
        "last": _telling(story),
        "earlier": [_telling(one) for one in story.earlier],
        "lost": story.lost,
    }


def _telling(story: Story) -> dict[str, Any]:
    return {
        "cause": str(story.cause),
        "because": clean(story.because),
        "act": story.act,
        "level": story.level,
        "told": timestamp(story.told) if story.told else None,
        "actor": dict(story.actor),
    }


def times(finding: Finding, story: Story) -> dict[str, Any]:
    """When it was changed, as far as that is known: the last change of what is there, by the kernel's word,
    else the deed; when it was seen first, and told. `late` is in seconds from that change until it was told,
    None where it came after that."""
    after, at = finding.drift.after, story.actor.get("at")
    changed = timestamp(after.ctime) if isinstance(after, FileFact | SetIdFact) else at
    told = [one.told for one in (*story.earlier, story) if one.told]
    return {
        "changed": changed,
        "first_seen": timestamp(finding.first_seen),
        "last_seen": timestamp(finding.last_seen),
        "first_told": timestamp(told[0]) if told and not story.lost else None,
        "told": timestamp(told[-1]) if told else None,
        "late": _late(finding, story),
    }


def _late(finding: Finding, story: Story) -> float | None:
    after = finding.drift.after
    if not isinstance(after, FileFact | SetIdFact) or not story.told or after.ctime > story.told:
        return None
    return round((story.told - after.ctime) / SECOND, 3)


# -- the same deed -----------------------------------------------------------------------------------


def _related(engine: Engine, finding: Finding, story: Story) -> tuple[list[dict[str, Any]], int]:
    """Other findings of the same act, or by the same actor at about the same time, and how many more."""
    found: list[tuple[Finding, str, str]] = []
    for id, other in engine.stories.mentioning(_mark(story), LOOKED):
        how = _same(story, other)
        one = engine.findings.get(id) if how and id != finding.id else None
        if one and (how == "act" or abs(one[0].first_seen - finding.first_seen) <= NEAR):
            found.append((*one, how))
    found.sort(key=lambda one: (one[1] != OPEN, -one[0].verdict.severity, one[0].first_seen, one[0].id))
    told = [
        {
            "id": one.id,
            "kind": one.drift.fact.KIND,
            "label": escape(one.drift.subject.label),
            "action": one.drift.action.value,
            "severity": one.verdict.severity.label,
            "status": status,
            "first_seen": timestamp(one.first_seen),
            "by": how,
        }
        for one, status, how in found[:MOST]
    ]
    return told, len(found) - len(told)


def _mark(story: Story) -> str:
    """What stands in the stories that may belong to the same deed; "" where nothing could say so."""
    if story.act:
        return f'"{story.act}"'
    for name in ("session", "pid"):
        if name in story.actor:
            return f'"{name}":{story.actor[name]}'
    return ""


def _same(story: Story, other: Story) -> str:
    if story.act:
        return "act" if other.act == story.act else ""
    for name in ("session", "pid"):
        if name in story.actor:
            alike = all(story.actor.get(one) == other.actor.get(one) for one in (name, "login"))
            return name if alike else ""
    return ""


# -- the package -------------------------------------------------------------------------------------


def evidence(root: bytes, path: bytes) -> Mapping[str, Any]:
    """What the package manager says of a path now, by a process of its own. `departs` is how the file differs
    from its package, None where that could not be seen; `problem` is why, or why nothing is known at all."""
    told = answer(Question(root, time.time(), [path], b""))
    seen = told.seen.get(path, Seen())
    owned = bool(seen.package)
    return {
        "manager": told.manager,
        "owner": clean(seen.package) if owned else None,
        "version": clean(seen.version) if owned else None,
        "level": Level(seen.level).label if owned else None,
        "config": seen.config,
        "departs": [*seen.words] if owned and not seen.problem else None,
        "detail": clean(seen.detail),
        "problem": clean(told.problem or seen.problem),
    }
