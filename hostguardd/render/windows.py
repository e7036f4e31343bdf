"""Change windows on paper: what was announced, and what lay inside."""

from __future__ import annotations

from .findings import grouped
from .paper import Data, Paper, ago, count, parse_time


def announced(paper: Paper, window: Data) -> list[str]:
    """A window that was just opened, extended or ended."""
    return _lines(paper, window)


def listed(paper: Paper, data: Data) -> list[str]:
    """The windows that are open, and those that wait for a decision."""
    found = [one for one in data["windows"] if one["state"] != "ended" or one["inside"]]
    if not found:
        return ["Nothing is announced, and nothing waits for a decision."]
    return [line for window in found for line in ["", *_lines(paper, window)]][1:]


def window(paper: Paper, data: Data) -> list[str]:
    """One window with what lies inside."""
    findings = data["findings"]
    lines = _lines(paper, data["window"])
    lines += grouped(paper, findings, True) if findings else ["", "Nothing of it is open."]
    return lines


def until(paper: Paper, window: Data) -> str:
    """`until 2026-11-23 14:30:30 (in 25 min)`."""
    moment = parse_time(window["until"])
    left = f" ({ago(paper.now - moment)})" if moment is not None and moment > paper.now else ""
    return f"until {paper.stamp(window['until'])}{left}"


def _lines(paper: Paper, window: Data) -> list[str]:
    state, id = str(window["state"]), str(window["id"])
    said = {"open": f"open {until(paper, window)}", "closing": "ending, with a last look"}
    head = f"{said.get(state, 'ended ' + paper.when(window['until']))}: {window['reason']}"
    lines = paper.wrap(head, len(id) + 2, "strong", first=paper.paint("strong", f"{id}  "))
    where = " ".join(map(str, window["paths"])) or "every file but the critical ones"
    lines += paper.wrap(f"expected: {where}", 2)
    lines += paper.wrap(f"announced {paper.when(window['opened'])} by {window['actor']}", 2)
    outside = int(window["outside"])
    told = f"{count(window['inside'], 'open finding')} inside, {outside:,} told outside meanwhile"
    lines += paper.wrap(told, 2, style="warn" if outside else "")
    if state == "ended" and window["inside"]:
        lines += paper.wrap(f"hostguardctl accept --window {id} takes them into the baseline", 2, style="dim")
    return lines
