"""Findings by what explains them: how many, how grave, which, and how each group is accepted.

The rule: what nothing explains stands last, nearest to the question that somebody is about to answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from .paper import SEVERITIES, Data, Paper, as_map, count

SHOWN: Final = 12
"""Groups that are told one by one."""

GRAVE: Final = ("critical", "high")

HOW: Final = {
    "package": ("Explained by packages", "--packages"),
    "window": ("Announced", "--window {id}"),
    "automation": ("Made by configuration management", "--automation"),
    "session": ("Made in a login session", "--session {id}"),
    "unexplained": ("Explained by nothing", ""),
}
"""What is said of a cause, and how `accept` names the group."""


def groups(paper: Paper, data: Data, how: bool = True) -> list[str]:
    """The groups, each (`how`) with what it takes to accept it."""
    found: Sequence[Data] = data.get("groups") or []
    if not found or (len(found) == 1 and found[0].get("cause") == "unexplained"):
        return []
    shown = found if len(found) <= SHOWN else [*found[: SHOWN - 1], found[-1]]
    hidden = len(found) - len(shown) + int(data.get("more_groups") or 0)
    lines = ["", paper.paint("strong", "By what explains them")]
    for one in shown[:-1]:
        lines += _group(paper, one, how)
    if hidden:
        lines += paper.wrap(f"and {count(hidden, 'more group')}: --json lists them", 2, "dim")
    return lines + _group(paper, shown[-1], how)


def _group(paper: Paper, one: Data, how: bool) -> list[str]:
    cause = str(one.get("cause"))
    word, option = HOW.get(cause, (cause, ""))
    if cause == "package" and one.get("level") != "signed" and option:
        option += " --unsigned"
    what = "" if cause == "unexplained" else f": {one.get('what')}"
    number = one.get("count", 0)
    names = [str(name) for name in one.get("names") or []]
    more = number - len(names) if isinstance(number, int) else 0
    named = ", ".join(names) + (f" and {more:,} more" if more > 0 and names else "")
    first = f"{number:>6,}  " if isinstance(number, int) else "        "
    lines = paper.wrap(
        f"{word}{what}", 8, "warn" if cause == "unexplained" else "", first=paper.paint("strong", first)
    )
    lines += paper.wrap(f"worst {one.get('worst')}: {named}", 8, "dim")
    if option and how:
        lines += paper.wrap(f"hostguardctl accept {option.format(id=one.get('id'))}", 8, "dim")
    return lines


def unexplained(data: Data) -> Data:
    """The group that nothing explains; empty if there is none."""
    found: Iterable[Data] = data.get("groups") or []
    return next((one for one in found if one.get("cause") == "unexplained"), {})


def question(data: Data) -> str:
    """What somebody is asked before all of it is approved."""
    group = unexplained(data)
    number = group.get("count", 0)
    if not number:
        return "Approve what is shown above as the truth about this host?"
    whole = len(data.get("findings") or [])
    which = f"all {whole:,}" if number == whole else f"{number:,} of {whole:,}"
    said = f"({which} unexplained, {_severities(group)})"
    return f"Approve what is shown above {said} as the truth about this host?"


def refusal(data: Data) -> str:
    """Why nobody should approve that without looking; "" if they may."""
    group = unexplained(data)
    if not any((group.get("by_severity") or {}).get(one) for one in GRAVE):
        return ""
    names = ", ".join(str(one) for one in group.get("names") or [])
    return (
        f"nothing explains {count(group.get('count', 0), 'finding')} ({_severities(group)}: {names}); "
        "nothing was approved. Look at them (hostguardctl drift, explain ID); with --unexplained beside "
        "--yes they are approved, too"
    )


def _severities(group: Data) -> str:
    by = group.get("by_severity") or {}
    return ", ".join(f"{by[one]:,} {one}" for one in SEVERITIES if by.get(one))


# -- who, in a clause --------------------------------------------------------------------------------


def teller(one: Data) -> str:
    """Who or what stands behind one telling, in a clause."""
    actor = as_map(one.get("actor"))
    if one.get("because"):
        return str(one["because"])
    if "pid" in actor:
        login = f", logged in as {_origin(actor)}" if actor.get("login") else ""
        sure = "" if actor.get("confidence") == "certain" else " (likely, not certain)"
        return f"{process(actor)} as {actor.get('user', 'somebody')}{login}{sure}"
    if actor.get("unattributed"):
        return f"nobody is named: {actor['unattributed']}"
    return ""


def _origin(actor: Data) -> str:
    return str(actor["login"]) + (f" from {actor['source']}" if actor.get("source") else "")


def process(one: Data) -> str:
    """`/usr/bin/vim (4711)`."""
    return f"{one.get('executable') or '?'} ({one.get('pid')})"
