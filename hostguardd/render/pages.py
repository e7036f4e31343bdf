"""The other pages: `status`, `history`, `verify`, `doctor`, `alerts`, one generation, the configuration.

The rule is that of all rendering (see the package), and for `status` one more: what cannot be seen
stands as high as what was found, because a quiet screen is only worth what it looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..record import clean
from .findings import badge, generation_words
from .paper import SEVERITIES, Data, Paper, ago, cells, count, duration, parse_time, size
from .windows import until

_INDENT = 12
_SHOWN_BLINDS = 8


def status(paper: Paper, data: Data) -> list[str]:
    """One screen: is it well, what is open, what it cannot see, when it looks, what it costs."""
    lines = _row(paper, "hostguardd", _daemon(paper, data))
    lines += _generation_row(paper, data.get("generation") or {})
    lines += _open_row(paper, data.get("open") or {})
    for one in data.get("windows") or []:
        see = f"see hostguardctl expect {one.get('id')}"
        lines += _row(paper, "expected", f"{one.get('reason')}, {until(paper, one)}: {see}")
    lines += _coverage_rows(paper, data.get("coverage") or {})
    lines += _log_row(paper, data.get("log") or {})
    lines += _destination_rows(paper, data.get("destinations") or [])
    lines += _progress_row(paper, data.get("progress") or {})
    lines += _cost_row(paper, data)
    sensors = data.get("sensors") or {}
    return [*lines, "", *_sensor_table(paper, sensors)] if sensors else lines


def history(paper: Paper, data: Data) -> list[str]:
    """The generations, the present one marked, the newest first."""
    found = sorted(data.get("generations", []), key=lambda g: g.get("number") or 0, reverse=True)
    if not found:
        return ["There is no baseline yet."]
    current = data.get("current", found[0].get("number"))
    rows = [
        (
            f"{'*' if g.get('number') == current else ' '}{g.get('number')}",
            paper.stamp(g.get("at")),
            count(g.get("facts")),
            str(g.get("digest", ""))[:12],
            _why(g),
        )
        for g in found
    ]
    header = ("  NO", "WHEN", "FACTS", "DIGEST", "WHY AND BY WHOM")
    return [*paper.table(header, rows, right=(0, 2)), "", paper.paint("dim", "* is the present truth")]


def approved(paper: Paper, data: Data) -> list[str]:
    """The generation that has just become the truth."""
    generation = data.get("generation") or {}
    head = f"Generation {generation.get('number')} is the truth now"
    lines = paper.wrap(head, style="good")
    if data.get("accepted"):
        lines += paper.wrap("accepted: " + " ".join(map(str, data["accepted"])), 2)
    lines += paper.wrap(_why(generation), 2)
    lines += paper.wrap(count(generation.get("facts"), "fact"), 2)
    if data.get("left"):
        lines += paper.wrap(f"{count(data['left'], 'finding')} came since the review and stay open", 2)
    return lines + paper.wrap(f"digest {generation.get('digest', '')}", 2)


def verify(paper: Paper, data: Data) -> list[str]:
    """Whether the baseline and the alert log are what was written."""
    baseline, log = data.get("baseline") or {}, data.get("log") or {}
    truth = [f"generation {baseline['generation']}"] if "generation" in baseline else []
    if "facts" in baseline:
        truth.append(count(baseline["facts"], "fact"))
    if baseline.get("digest"):
        truth.append(f"digest {str(baseline['digest'])[:16]}")
    told = [count(log["lines"], "line")] if "lines" in log else []
    if log.get("last"):
        told.append(f"numbers {count(log.get('first'))} to {count(log['last'])}")
    lines = _verdict(paper, _problem(baseline), "baseline", truth)
    lines += _verdict(paper, _problem(log), "alert log", told if _problem(log) else [*told, "chain unbroken"])
    if not data.get("ok"):
        lines += ["", *paper.wrap(
            "What was approved or told before cannot be relied upon from there on. Compare with the copy "
            "your log server received, and look who could write here.",
            style="warn",
        )]  # fmt: skip
    return lines


def doctor(paper: Paper, data: Data) -> list[str]:
    """Ticks and crosses, and under each cross what to do; under a tick, what could be done."""
    checks = data.get("checks", [])
    width = max((cells(str(c.get("name", ""))) for c in checks), default=0)
    lines: list[str] = []
    for item in checks:
        good = bool(item.get("ok"))
        mark = paper.paint("good" if good else "bad", "✓" if good else "✗")
        first = f"{mark} {paper.paint('strong', str(item.get('name', '')).ljust(width))}  "
        lines += paper.wrap(str(item.get("message", "")), width + 4, first=first)
        if item.get("advice"):
            lines += paper.wrap(str(item["advice"]), width + 4, "dim" if good else "warn")
    wrong = sum(not item.get("ok") for item in checks)
    summary = f"{count(wrong, 'thing')} to put right." if wrong else "Nothing to put right."
    return [*lines, "", paper.paint("bad" if wrong else "good", summary)]


def tested(paper: Paper, data: Data) -> list[str]:
    """How far a test alert got."""
    lines = [f"Alert {count(data['sequence'])} is in the alert log."]
    if not data["destinations"]:
        return [*lines, *paper.wrap("No [[destination]] is configured: it goes nowhere else.", style="warn")]
    for one in data["destinations"]:
        arrived = one["delivered"] >= data["sequence"]
        mark = paper.paint("good" if arrived else "bad", "✓" if arrived else "✗")
        how = "delivered" if arrived else one.get("problem") or f"not yet ({one['state']})"
        if one["state"] == "stopped" and not arrived:
            how = "hostguardd-forward is not running: systemctl status hostguardd-forward"
        lines += paper.wrap(
            f"{one['place']}: {how}", 4, first=f"{mark} {paper.paint('strong', one['name'])}  "
        )
    return lines


def alert(paper: Paper, record: Data) -> str:
    """One alert on one line: when, how loud, what. Never wrapped: a pager or a pipe may follow."""
    guard = record.get("hostguard") or {}
    severity = str(guard.get("severity", "")) if isinstance(guard, Mapping) else ""
    word = paper.paint(severity, f"{severity.upper():<8}")
    return f"{paper.stamp(record.get('@timestamp'))}  {word}  {clean(str(record.get('message', '')))}"


def configuration(paper: Paper, data: Data) -> list[str]:
    """A configuration that is sound: where it came from, and what it means will be watched."""
    lines = [paper.paint("good", "The configuration is sound."), ""]
    for n, source in enumerate(data["sources"]):
        lines += _row(paper, "" if n else "read from", source)
    for name, path in data["paths"].items():
        lines += _row(paper, name, path)
    lines += _row(paper, "readers", f"root, and the group {data['group']}" if data["group"] else "only root")
    lines += _row(paper, "rules", count(data["rules"]))
    rows = [
        (w["name"], " ".join(w["paths"]) + (f"  ({'; '.join(w['notes'])})" if w["notes"] else ""))
        for w in data["watches"]
    ]
    return [*lines, "", *paper.table(("WATCH", "WHAT"), rows)]


def foretold(paper: Paper, things: Sequence[Data]) -> list[str]:
    """What things would meet: the watch that reaches them, and the rule for each thing that may happen."""
    lines: list[str] = []
    for thing in things:
        lines += (
            ["", paper.paint("strong", clean(str(thing["thing"])))] if lines else [clean(str(thing["thing"]))]
        )
        if str(thing["thing"]).startswith("/"):
            notes = f"  ({'; '.join(thing['notes'])})" if thing["notes"] else ""
            watch = f"{thing['watch']}{notes}" if thing["watch"] else "none: a change of the file is not seen"
            lines += _row(paper, "watch", watch)
        if thing["urgent"]:
            lines += _row(paper, "", "A change is told at once, without waiting for others.")
        rows = [(c["what"], c["severity"], c["rule"], c["technique"]) for c in thing["cases"]]
        lines += paper.table(("WHEN", "SEVERITY", "RULE", "TECHNIQUE"), rows)
    return lines


def _row(paper: Paper, name: str, text: str, style: str = "") -> list[str]:
    return paper.wrap(text, _INDENT, style, first=paper.paint("dim", name.ljust(_INDENT - 1)) + " ")


def _daemon(paper: Paper, data: Data) -> str:
    user = "root" if data.get("mode") == "root" else f"{data.get('mode')}: sees only what its user may see"
    since = paper.when(data.get("since"))
    return f"{data.get('version')}, {data.get('state')}, pid {data.get('pid')} as {user}, since {since}"


def _generation_row(paper: Paper, generation: Data) -> list[str]:
    if not generation:
        return _row(paper, "baseline", "there is none yet", "warn")
    lines = _row(
        paper,
        "baseline",
        f"{generation_words(paper, generation)}, {count(generation.get('facts'), 'fact')}",
    )
    if generation.get("reviewed") is False:
        lines += _row(paper, "", "Nobody reviewed it: run `hostguardctl baseline`.", "warn")
    return lines


def _open_row(paper: Paper, counts: Data) -> list[str]:
    parts = [f"{badge(paper, s)} {counts[s]}" for s in SEVERITIES if counts.get(s)]
    first = paper.paint("dim", "findings".ljust(_INDENT - 1)) + " "
    if not parts:
        return [first + paper.paint("good", "none open")]
    return [first + "  ".join(parts) + paper.paint("dim", "   see hostguardctl drift")]


def _coverage_rows(paper: Paper, coverage: Data) -> list[str]:
    watched, missed = coverage.get("watched_folders", 0), coverage.get("unwatched_folders", 0)
    text = f"{count(watched, 'folder')} watched live"
    if missed:
        why = ", ".join((coverage.get("unwatched") or {}).keys())
        text += (
            f", {count(missed)} only swept{f' ({why})' if why else ''}: changes there show at the next sweep"
        )
    lines = _row(paper, "coverage", text, "warn" if missed else "")
    if coverage.get("live") is False:
        lines += _row(paper, "", "the live watcher is not running: changes show at the next sweep", "bad")
    if coverage.get("overflows"):
        lost = count(coverage["overflows"], "time")
        lines += _row(
            paper, "", f"hints were lost {lost} since the start; a sweep followed each time", "warn"
        )
    scopes = coverage.get("blinds") or []
    for n, blind in enumerate(scopes[:_SHOWN_BLINDS]):
        where = f"{blind.get('kind', '')} {blind.get('scope', '')}".strip()
        lines += _row(paper, "" if n else "cannot see", f"{where}: {blind.get('reason', '')}", "warn")
    if len(scopes) > _SHOWN_BLINDS:
        more = len(scopes) - _SHOWN_BLINDS
        lines += _row(paper, "", f"and {count(more, 'more place')}: hostguardctl status --json", "warn")
    return lines


def _log_row(paper: Paper, log: Data) -> list[str]:
    text = f"{count(log.get('sequence', 0), 'alert')}, {size(log.get('size', 0))}"
    if log.get("head"):
        text += f", head {str(log['head'])[:16]}"
    lines = _row(paper, "alert log", text)
    if log.get("unwritable"):
        why = log["unwritable"] if isinstance(log["unwritable"], str) else "alerts wait in memory"
        lines += _row(paper, "", f"it cannot be written: {why}", "bad")
    return lines


def _destination_rows(paper: Paper, destinations: Sequence[Data]) -> list[str]:
    """Where alerts go, and how far behind each is."""
    if not destinations:
        return _row(paper, "forwarding", "none configured: alerts stay on this host", "dim")
    lines: list[str] = []
    for one in destinations:
        good = one.get("state") == "connected" and not one.get("behind")
        text = f"{one.get('name')} ({one.get('place')}): {one.get('state')}"
        if one.get("behind"):
            text += f", behind by {count(one['behind'], 'alert')}"
            if one.get("oldest"):
                text += f" (the oldest of {paper.when(one['oldest'])})"
        if not good and one.get("since"):
            text += f", so since {paper.when(one['since'])}"
        if one.get("sent_at"):
            text += f", last sent {paper.when(one['sent_at'])}"
        if one.get("delivered_at"):
            text += f", last delivered {paper.when(one['delivered_at'])}"
        lines += _row(paper, "" if lines else "forwarding", text, "" if good else "warn")
        if one.get("problem"):
            lines += _row(paper, "", str(one["problem"]), "bad")
    return lines


def _progress_row(paper: Paper, progress: Data) -> list[str]:
    if not progress:
        return []
    done, total = progress.get("done", 0), progress.get("total", 0)
    of = f" of about {count(total)}" if total > done else ""
    return _row(paper, "running", f"{progress.get('work')}: {count(done, 'fact')}{of}")


def _cost_row(paper: Paper, data: Data) -> list[str]:
    parts = []
    if data.get("memory_rss") is not None:
        parts.append(f"{size(data['memory_rss'])} of memory")
    spent = data.get("cpu_seconds")
    if isinstance(spent, int | float):
        since = parse_time(data.get("since"))
        alive = (paper.now - since).total_seconds() if since else 0.0
        share = f" ({spent / alive:.2%} of one core)" if alive > 60 else ""
        parts.append(f"{spent:.1f} s of CPU{share}")
    return _row(paper, "cost", ", ".join(parts)) if parts else []


def _sensor_table(paper: Paper, sensors: Data) -> list[str]:
    rows = []
    notes: list[str] = []
    for name, sensor in sensors.items():
        took = sensor.get("duration")
        rows.append((
            str(name),
            duration(sensor["interval"]) if sensor.get("interval") else "-",
            count(sensor["entries"]) if sensor.get("entries") is not None else "-",
            duration(took) if isinstance(took, int | float) else "-",
            paper.when(sensor.get("last_ended")) or "never",
            _next(paper, sensor),
        ))  # fmt: skip
        paced = sensor.get("paced")
        if paced:
            why = paced if isinstance(paced, str) else "it comes less often, to keep to its share of a core"
            notes += paper.wrap(f"{name} is paced: {why}", style="dim")
    return [
        *paper.table(("SWEEP", "EVERY", "ENTRIES", "TOOK", "LAST", "NEXT"), rows, right=(1, 2, 3)),
        *notes,
    ]


def _next(paper: Paper, sensor: Data) -> str:
    if sensor.get("running"):
        return "running"
    moment = parse_time(sensor.get("next"))
    if moment is None:
        return "-"
    return "due" if moment <= paper.now else ago(paper.now - moment)


def _why(generation: Data) -> str:
    who = str(generation.get("actor") or "nobody named")
    reason = str(generation.get("reason") or "no reason given")
    unseen = " (reviewed by nobody)" if generation.get("reviewed") is False else ""
    trust = f" · {generation['trust']}" if generation.get("trust") else ""
    return f"{reason} · {who}{unseen}{trust}"


def _problem(part: Data) -> str:
    problem = part.get("problem")
    if problem:
        return str(problem)
    return "" if part.get("ok", True) else "does not verify"


def _verdict(paper: Paper, problem: str, name: str, known: list[str]) -> list[str]:
    """A tick and what is known, or a cross and what is wrong, with what is known below."""
    mark = paper.paint("bad", "✗") if problem else paper.paint("good", "✓")
    first = f"{mark} {paper.paint('strong', name.ljust(9))}  "
    if not problem:
        return paper.wrap(", ".join(known) or "sound", 13, first=first)
    return paper.wrap(problem, 13, "bad", first) + (paper.wrap(", ".join(known), 13) if known else [])
