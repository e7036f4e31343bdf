"""What an actor explains, and in which group a finding is decided about. Pure.

The rules: only an actor that is certain explains anything. A login session is somebody's who came in by a
terminal or from an address: cron's jobs have a session, too, and are nobody's. And what the actor explains
lowers nothing: root can come from wherever they like, so it says whom to ask, and no more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .story import ORDER, Cause, Story

CERTAIN: Final = "certain"

BECOMING: Final = ("sudo", "su", "doas", "pkexec", "run0", "runuser", "machinectl", "ksu")
"""Programs by which one user becomes another."""

SECONDS: Final = len("2026-11-26T08:12:03")

Actor = Mapping[str, Any]


def of_actor(actor: Actor, automation: str) -> tuple[Cause, str]:
    """The cause, and a clause that says so. `automation` is the unit or user of configuration management that
    the actor is, "" for none."""
    if actor.get("confidence") != CERTAIN:
        return Cause.UNEXPLAINED, ""
    if automation:
        return Cause.AUTOMATION, f"made by {automation}"
    if in_session(actor):
        return Cause.SESSION, session_words(actor)
    return Cause.UNEXPLAINED, ""


def better(one: Cause, other: Cause) -> bool:
    """Whether one explains more than the other."""
    return ORDER.index(one) < ORDER.index(other)


def in_session(actor: Actor) -> bool:
    """Whether it was in somebody's login session."""
    logged_in = "login" in actor and "session" in actor and "cron" not in actor
    return logged_in and bool(actor.get("tty") or actor.get("source"))


def session_words(actor: Actor) -> str:
    """`root by sudo, logged in as alice from 192.0.2.7 on pts0 since 2026-11-26T08:12:03Z`."""
    user, login = actor.get("user", "somebody"), actor.get("login")
    how = became(actor)
    who = f"{user} by {how}, logged in as {login}" if user != login and how else ""
    who = who or (f"{user}, logged in" if user == login else f"{user}, logged in as {login}")
    return who + place_words(actor)


def place_words(actor: Actor) -> str:
    """` from 192.0.2.7 on pts0 since ...`, as far as it is known."""
    since = str(actor.get("since", ""))
    known = (
        ("from", actor.get("source")),
        ("on", actor.get("tty")),
        ("since", since and f"{since[:SECONDS]}Z"),
    )
    return "".join(f" {word} {value}" for word, value in known if value)


def became(actor: Actor) -> str:
    """The program by which the user became whom the actor is; "" when none was seen."""
    above = [actor, *(one for one in actor.get("parents", ()) if isinstance(one, Mapping))]
    names = (str(one.get("executable", "")).rpartition("/")[2] for one in above)
    return next((name for name in names if name in BECOMING), "")


# -- groups ------------------------------------------------------------------------------------------

SIGNED: Final = "signed"

PACKAGES: Final = "packages"
UNEXPLAINED: Final = "unexplained"


class Key(NamedTuple):
    """A group of findings that are decided about together. `id` is what is typed for it."""

    id: str
    cause: Cause
    what: str
    level: str = ""


NOTHING: Final = Key(UNEXPLAINED, Cause.UNEXPLAINED, "nothing that is known explains it")


def group(story: Story) -> Key:
    """The group of a finding with that story."""
    cause = story.covers
    if cause is Cause.UNEXPLAINED:
        return NOTHING
    if cause is Cause.PACKAGE:
        level = story.level or "listed"
        if level == SIGNED:
            return Key(PACKAGES, cause, "packages whose signature verifies bring just this", level)
        return Key(
            f"{PACKAGES}-{level}", cause, f"packages bring just this, which nobody signed ({level})", level
        )
    standing = [one for one in story.standing if one.cause is not Cause.PACKAGE]
    if cause is Cause.WINDOW:
        return Key(story.act, cause, story.because)
    marks = dict.fromkeys((str(one.cause), one.act, *_mark(one)) for one in standing)
    what = "; then ".join(dict.fromkeys(one.because for one in standing))
    seed = json.dumps([*marks])
    return Key(str(cause)[0] + hashlib.sha256(seed.encode()).hexdigest()[:7], cause, what)


def _mark(story: Story) -> tuple[str, ...]:
    """What tells one session from another, and one unit of configuration management."""
    if story.cause is not Cause.SESSION:
        return (story.because,)
    return tuple(str(story.actor.get(name, "")) for name in ("login", "session", "source"))
