"""Who is logged in now, from where, since when, idle for how long, and doing what: `w`, `who -H`, `loginctl`.

The guide: an intruder is there in none of these, or one of them shows nothing at all. So nobody is believed
alone: utmp, logind and the processes are held against each other, and against what wtmp says began. A host
whose programs write no utmp is not one whose utmp was wiped: a missing record counts where another one of
the same kind is there, or where wtmp has it. What differs is looked at once more after a moment, as sessions
come and go while we look.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...facts.logs import LoginFact
from ...sensors.logins import UTMP, VIEWS
from ...sensors.wtmp import WTMP
from ...utmp import SIZE, WIDE, flaws
from ..attendance import NEAR, Attendance, attendance
from ..habits import LOCAL, Oddity
from ..interface import Evidence, Found, Item, Known, Unseen, Verdict, text
from ..presence import RECORDING, Presence, Seat, presence
from ..register import Boot, Session
from ..scene import SUDO, Scene
from ..usage import Usage, usage

PAUSE: Final = 1.0
"""Seconds after which a difference must still be there."""

SHOWN: Final = 20
"""Commands of a session that are told, the youngest."""

WIPED: Final = "Who hides takes the own record out of what who and w read; the session itself is still there."
ASK: Final = (
    "Ask the account's owner whether it is them. If not, save what its processes do before you cut it."
)
SAVE: Final = (
    "Save /run/utmp, /var/log/wtmp and the list of processes as evidence; then see what that session does."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something one witness says and another one does not."""

    name: str
    verdict: Verdict
    says: str
    means: str
    next: str
    technique: str
    evidence: tuple[Evidence, ...]


def look(scene: Scene, pause: float = PAUSE) -> Iterator[Found]:
    """Sessions, and every difference between the views of them."""
    past = attendance(scene)
    uses = usage(scene)
    now = presence(scene)
    found = differences(scene, now, past)
    if found:
        time.sleep(pause)
        now = presence(scene)
        again = {one.name for one in differences(scene, now, past)}
        found = [one for one in found if one.name in again]
    for one in found:
        yield Item(
            one.name,
            one.verdict,
            one.says,
            one.means,
            one.next,
            Known.NOT_ASKED,
            one.technique,
            {},
            one.evidence,
        )
    for seat in now.seats.values():
        if seat.is_login:
            yield _sitting(scene, seat, past, uses)
    for session in now.bare:
        yield _bare(scene, session.name, session.user, session.source, session.at, uses)
    windows = [seat for seat in now.seats.values() if not seat.is_login]
    yield _summary(scene, now, windows)
    if past.problem:
        remedy = "" if scene.is_root else SUDO
        yield Unseen(text(UTMP), f"the records of who is logged in cannot be read: {past.problem}", remedy)
    if scene.host.live.blind:
        yield Unseen("sessions", scene.host.live.blind)
    yield from scene.blind(LoginFact)


# -- what differs --------------------------------------------------------------------------------------


def differences(scene: Scene, now: Presence, past: Attendance) -> list[Difference]:
    """What one witness says and another one does not."""
    if scene.host.live.blind:
        return []
    found = list(_broken(scene, now, past))
    noted = {seat.door for seat in now.seats.values() if seat.door and seat.record}
    managed = {seat.door for seat in now.seats.values() if seat.door and seat.session}
    told = {fact.line for fact in scene.facts(LoginFact) if fact.view == VIEWS[1]}
    for seat in now.seats.values():
        if seat.door and not seat.record:
            if now.records is not None and _would_record(scene, seat, now, past, noted, told):
                found.append(_unrecorded(scene, seat, now))
        elif seat.record and not seat.running and scene.host.live.process(seat.record.pid) is None:
            found.append(_stale(seat))
        if seat.door and not seat.session and now.managed and seat.door in managed and _outside(seat):
            found.append(_unmanaged(scene, seat))
        if seat.record and (wrong := _edited(seat, past)):
            found.append(wrong)
    known = {session.name for session in now.bare} | {
        seat.session.name for seat in now.seats.values() if seat.session
    }
    if now.managed and known:
        found += _nameless(scene, now)
    return found


def _broken(scene: Scene, now: Presence, past: Attendance) -> Iterator[Difference]:
    """utmp as no program leaves it."""
    if now.records is None:
        return
    where = text(UTMP)
    if now.emptied and (booted := _booted(scene, past)) is not None:
        yield Difference(
            where,
            Verdict.SUSPICIOUS,
            "who and w show nothing at all: the list of who is logged in was emptied after the host came up",
            WIPED,
            SAVE,
            "T1070",
            (
                Evidence(where, f"{len(now.records)} records, none of the boot"),
                Evidence(booted.source, "the boot"),
            ),
        )
    seen = scene.host.texts.lstat(UTMP)
    size = 0 if seen is None else seen.st_size
    blanks = [one.at + 1 for one in flaws(now.records) if one.what == "zeroed"]
    if blanks or (size % SIZE and size % WIDE):
        says = f"record {blanks[0]} is zeroed" if blanks else f"its {size} bytes are no whole records"
        yield Difference(
            f"{where} (records)",
            Verdict.SUSPICIOUS,
            f"the list of who is logged in was edited: {says}",
            "Programs mark a record as ended and never empty it; log cleaners do.",
            SAVE,
            "T1070",
            (Evidence(where, says),),
        )


def _booted(scene: Scene, past: Attendance) -> Boot | None:
    """The record in wtmp of this boot: whatever wrote that wrote it to utmp, too."""
    began = scene.host.boots.began() / 1e9
    found = (one for one in past.boots[::-1] if began and one.at >= began - NEAR and _in_wtmp(one.source))
    return next(found, None)


def _in_wtmp(source: str) -> bool:
    return source.startswith(text(WTMP))


def _would_record(
    scene: Scene, seat: Seat, now: Presence, past: Attendance, noted: set[bytes], told: set[bytes]
) -> bool:
    """Whether utmp would know of a session if nobody had taken it out."""
    if seat.door not in RECORDING:
        return False
    if seat.door in noted or seat.line in told or (now.emptied and _booted(scene, past)):
        return True
    began = _began(scene, seat)
    wtmp = [one for one in past.sessions if _in_wtmp(one.source)]
    here = [one for one in wtmp if one.line == text(seat.line) and abs(one.began - began) <= NEAR]
    boot = scene.host.boots.began() / 1e9
    same = [
        one
        for one in wtmp
        if boot
        and one.began >= boot
        and one.line[:3] == text(seat.line)[:3]
        and (one.origin != LOCAL or seat.door != b"sshd")
    ]
    return bool(here or same)


def _unrecorded(scene: Scene, seat: Seat, now: Presence) -> Difference:
    who, line = _who(scene, seat), text(seat.line)
    nobody = not any(one.record for one in now.seats.values())
    return Difference(
        f"{who} on {line}, unrecorded",
        Verdict.SUSPICIOUS,
        f"{who} is logged in on {line} by {text(seat.door)}, and who and w "
        + ("show nobody at all" if nobody else "do not show it"),
        WIPED,
        SAVE,
        "T1070",
        (*_processes(seat), Evidence("who -aH", f"no record of {line}")),
    )


def _stale(seat: Seat) -> Difference:
    record = seat.record
    assert record is not None
    line = text(seat.line)
    return Difference(
        f"{text(record.user)} on {line}, stale",
        Verdict.NOTABLE,
        f"{text(record.user)} is said to be logged in on {line}, and nothing of that session is there",
        "A session whose program was killed leaves this; so does a record that somebody made up.",
        f"Look for that login in `last` and the log of logins; ask {text(record.user)}.",
        "",
        (Evidence(text(UTMP), f"pid {record.pid}, which is gone"), Evidence("who -aH", line)),
    )


def _unmanaged(scene: Scene, seat: Seat) -> Difference:
    who, line = _who(scene, seat), text(seat.line)
    return Difference(
        f"{who} on {line}, unmanaged",
        Verdict.NOTABLE,
        f"{who} is logged in on {line} by {text(seat.door)}, unknown to logind, which knows others",
        "A back door in a login program lets in without what others pass through (PAM).",
        f"Verify the packages of {text(seat.door)} and of PAM. {ASK}",
        "T1556",
        (*_processes(seat), Evidence("loginctl list-sessions", f"nothing on {line}")),
    )


def _outside(seat: Seat) -> bool:
    """Whether what runs there is in no session's scope."""
    return seat.leader is not None and not seat.leader.unit.startswith(b"session-")


def _edited(seat: Seat, past: Attendance) -> Difference | None:
    """A record that wtmp or logind has with another name."""
    record = seat.record
    assert record is not None
    line, user = text(seat.line), text(record.user)
    others = [
        (one.user, one.source)
        for one in past.sessions
        if one.line == line
        and one.pid == record.pid
        and abs(one.began - record.at) <= 1
        and one.source != text(UTMP)
    ]
    if seat.session and seat.session.leader == record.pid:
        others.append((text(seat.session.user), f"/run/systemd/sessions/{text(seat.session.name)}"))
    for other, source in others:
        if _plain(other) != _plain(user):
            return Difference(
                f"{user} on {line}, renamed",
                Verdict.SUSPICIOUS,
                f"who and w show {user} on {line}, and it is {other} who logged in there",
                "Who hides may also put another name into the record of the own session.",
                SAVE,
                "T1070",
                (Evidence(text(UTMP), f"{user}, pid {record.pid}"), Evidence(source, other)),
            )
    return None


def _plain(name: str) -> str:
    """A name without its domain: programs differ in whether they write that."""
    return name.rpartition("\\")[2].partition("@")[0].casefold()


def _nameless(scene: Scene, now: Presence) -> Iterator[Difference]:
    """Processes in a session that logind's own files do not know (any more)."""
    listed = set(scene.host.texts.names(b"/run/systemd/sessions", 10_000) or ())
    for name, process in now.scopes.items():
        if name not in listed:
            who = scene.user(process.uid)
            yield Difference(
                f"session {text(name)} of {who}",
                Verdict.SUSPICIOUS,
                f"processes run in session {text(name)} of {who}, which is not in logind's list of sessions",
                "Newer who and w read that list: a session is hidden from them by deleting its file.",
                SAVE,
                "T1070",
                (Evidence(f"systemd-cgls -u session-{text(name)}.scope", f"pid {process.pid}"),),
            )


# -- who is here -----------------------------------------------------------------------------------------


def _sitting(scene: Scene, seat: Seat, past: Attendance, uses: Usage) -> Item:
    """One session on a terminal."""
    who, line, source = _who(scene, seat), text(seat.line), _source(seat, past)
    began = _began(scene, seat)
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
        details["doing"] = text(b" ".join(seat.running[-1].argv) or seat.running[-1].comm, 200)
        details["processes"] = [f"{one.pid} {text(one.comm)}" for one in seat.running[-SHOWN:]]
    return _item(f"{who} on {line} from {source}", scene, who, source, began, uses, details, _processes(seat))


def _bare(scene: Scene, name: bytes, user: bytes, source: bytes, at: int, uses: Usage) -> Item:
    """A session of logind's without a terminal: sftp, a command."""
    who, origin = text(user), text(source)
    details: dict[str, object] = {"user": who, "origin": origin, "since": at, "session": text(name)}
    evidence = (Evidence(f"loginctl session-status {text(name)}", "no terminal"),)
    return _item(
        f"{who} from {origin} without a terminal", scene, who, origin, float(at), uses, details, evidence
    )


def _item(
    name: str,
    scene: Scene,
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
    count = sum(seat.is_login for seat in now.seats.values()) + len(now.bare)
    parts = [f"{count} logged in"]
    if now.records is None:
        parts.append("this host keeps no utmp")
    if not now.managed:
        parts.append("no logind keeps sessions here")
    if windows:
        parts.append(f"{len(windows)} more terminals are in use by programs (windows, tmux, sudo)")
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


def _who(scene: Scene, seat: Seat) -> str:
    """Whose session it is: by logind, which nobody edits, then by its processes, then by utmp."""
    if seat.session:
        return text(seat.session.user)
    people = [one.uid for one in seat.running if one.pid == one.session] or [one.uid for one in seat.running]
    if people:
        return scene.user(people[0])
    return text(seat.record.user) if seat.record else ""


def _source(seat: Seat, past: Attendance) -> str:
    """From where it came."""
    if seat.session:
        return text(seat.session.source)
    near: list[Session] = [one for one in past.sessions if not one.ended and one.line == text(seat.line)]
    return near[-1].origin if near else "an unknown origin"


def _began(scene: Scene, seat: Seat) -> float:
    """Since when it is there."""
    if seat.session and seat.session.at:
        return float(seat.session.at)
    if seat.record:
        return float(seat.record.at)
    return scene.began(seat.leader or seat.running[0]) if seat.running else 0.0


def _processes(seat: Seat) -> tuple[Evidence, ...]:
    if not seat.running:
        return ()
    shown = ", ".join(f"{one.pid} {text(one.comm)}" for one in seat.running[:SHOWN])
    return (Evidence(f"ps -fH -t {text(seat.line)}", shown),)
