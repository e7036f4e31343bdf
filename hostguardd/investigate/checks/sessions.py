"""Who is logged in now, from where, since when, idle for how long, and doing what: `w`, `who -H`, `loginctl`.

The guide: an intruder is there in none of these, or one of them shows nothing at all. So nobody is believed
alone: utmp, logind and the processes are held against each other (`differences`). What differs is looked at
once more after a moment, as sessions come and go while we look.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from ...facts.logs import LoginFact
from ...host.live import Process
from ...sensors.logins import UTMP
from ...words.interface import counted
from ..interface import Evidence, Found, Item, Unseen, Verdict, text, word
from ..live.programs import words
from ..logins.attendance import NEAR, Attendance, attendance
from ..logins.differences import ASK, differences, evidence_of, since_when, who_sits
from ..logins.habits import Oddity
from ..logins.presence import Presence, Seat, presence
from ..logins.usage import Usage, arrivals, usage
from ..scene import SUDO, Scene

PAUSE: Final = 1.0
"""Seconds after which a difference must still be there."""

SHOWN: Final = 20
"""Commands of a session that are told, the youngest."""


def look(scene: Scene, pause: float = PAUSE) -> Iterator[Found]:
    """Sessions, and every difference between the views of them."""
    past = attendance(scene)
    uses = usage(scene)
    now = presence(scene)
    found = differences(scene, now, past)
    if found:
        time.sleep(pause)
        now = presence(scene)
        before = {one.name for one in found}
        found = [one for one in differences(scene, now, past) if one.name in before]
    yield from found
    for seat in now.seats.values():
        if seat.is_login:
            yield _sitting(scene, seat, past, uses)
    for session in now.bare:
        yield _bare(session.name, session.user, session.source, session.at, uses)
    for door, process in now.silent:
        yield _silent(scene, door, process)
    windows = [seat for seat in now.seats.values() if not seat.is_login]
    yield _summary(scene, now, windows)
    if past.problem:
        remedy = "" if scene.is_root else SUDO
        yield Unseen(text(UTMP), f"the records of who is logged in cannot be read: {past.problem}", remedy)
    yield from scene.blind(LoginFact)


# -- who is here -----------------------------------------------------------------------------------------


def _sitting(scene: Scene, seat: Seat, past: Attendance, uses: Usage) -> Item:
    """One session on a terminal."""
    who, line, began = who_sits(scene, seat), text(seat.line), since_when(scene, seat)
    source = _source(scene, seat, past, who, began)
    witnesses = [
        name
        for name, there in (("utmp", seat.record), ("logind", seat.session), ("processes", seat.running))
        if there
    ]
    tty = scene.host.texts.lstat(b"/dev/" + seat.line)
    details: dict[str, object] = {
        "user": who,
        "line": line,
        "origin": source,
        "since": began,
        "seen by": witnesses,
    }
    if tty is not None:
        details["idle"] = round(max(0.0, scene.now - tty.st_atime))
    if seat.running:
        details["doing"] = words(seat.running[-1]) or text(seat.running[-1].comm)
        details["processes"] = [f"{one.pid} {text(one.comm)}" for one in seat.running[-SHOWN:]]
    return _item(f"{who} on {line} from {source}", who, source, began, uses, details, evidence_of(seat))


def _bare(name: bytes, user: bytes, source: bytes, at: int, uses: Usage) -> Item:
    """A session of logind's without a terminal: sftp, a command."""
    who, origin = text(user), text(source)
    details: dict[str, object] = {"user": who, "origin": origin, "since": at, "session": text(name)}
    evidence = (Evidence(f"loginctl session-status {word(text(name))}", "no terminal"),)
    return _item(f"{who} from {origin} without a terminal", who, origin, float(at), uses, details, evidence)


def _silent(scene: Scene, door: bytes, process: Process) -> Item:
    """What a login program started for somebody, without a terminal and a session of logind's."""
    who = scene.user(process.uid)
    doing = words(process) or text(process.comm)
    details: dict[str, object] = {"user": who, "since": scene.began(process), "doing": doing}
    name = f"{who} by {text(door)} without a terminal"
    evidence = (Evidence(f"ps -fp {process.pid}", doing),)
    return Item(name, Verdict.FINE, name, details=details, evidence=evidence)


def _item(
    name: str,
    who: str,
    source: str,
    began: float,
    uses: Usage,
    details: dict[str, object],
    evidence: tuple[Evidence, ...],
) -> Item:
    """A session, and whether it is a usual one."""
    known = uses.known(who, source)
    odd: Oddity | None = uses.oddity(who, source, [began])
    evidence = (*evidence, Evidence("w; who -H", name))
    if odd is None:
        return Item(name, Verdict.FINE, f"{name}", "", "", known, "", details, evidence)
    return Item(
        name, odd.verdict, f"{name}: {odd.says}", odd.means, ASK, known, odd.technique, details, evidence
    )


def _summary(scene: Scene, now: Presence, windows: list[Seat]) -> Item:
    """How many there are, and terminals that are no logins."""
    count = sum(seat.is_login for seat in now.seats.values()) + len(now.bare) + len(now.silent)
    parts = [f"{count or 'nobody'} logged in"]
    if now.records is None:
        parts.append("this host keeps no utmp")
    if not now.managed:
        parts.append("no logind keeps sessions here")
    if windows:
        more = counted(len(windows), "more terminal is", "more terminals are")
        parts.append(f"{more} in use by programs (windows, tmux, sudo)")
    used = [
        f"{text(seat.line)}: {scene.user(seat.running[0].uid)}, {text(seat.running[0].comm)}"
        for seat in windows[:SHOWN]
        if seat.running
    ]
    return Item(
        "logged in now",
        Verdict.FINE,
        "; ".join(parts),
        details={"count": count, "terminals": used},
        evidence=(Evidence("w; who -aH; loginctl list-sessions"),),
    )


def _source(scene: Scene, seat: Seat, past: Attendance, who: str, began: float) -> str:
    """From where it came: by logind, by a record, or by the log where its record was taken out."""
    if seat.session:
        return text(seat.session.source)
    here = [one for one in past.sessions if not one.ended and one.line == text(seat.line)]
    if here:
        return here[-1].origin
    for (user, source), (_, at) in arrivals(scene).items():
        if text(user) == who and abs(at - began) <= NEAR:
            return text(source)
    return "an unknown origin"
