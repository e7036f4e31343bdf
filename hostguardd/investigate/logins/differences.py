"""What one witness of who is logged in says and another one does not.

The rule kept: a host whose programs write no utmp is not one whose utmp was wiped. A missing record counts
where another one of the same kind is there, or where wtmp has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...facts.logs import LoginFact
from ...host.live import Process
from ...sensors.logins import SESSIONS, UNRECORDED, UTMP, terminal
from ...sensors.wtmp import WTMP
from ...utmp import SIZE, WIDE, flaws
from ...words.interface import counted
from ..interface import Evidence, Item, Verdict, text, word
from ..scene import Scene
from .attendance import NEAR, Attendance
from .habits import LOCAL
from .presence import RECORDING, Presence, Seat
from .register import Boot

WIPED: Final = "Who hides takes the own record out of what who and w read; the session itself is still there."
MANY: Final = 10_000
"""Names of sessions that are looked through."""

SHOWN: Final = 20
"""Processes of a session that are told."""

ASK: Final = (
    "Ask the account's owner whether it is them. If not, save what its processes do before you cut it."
)
SAVE: Final = (
    "Save /run/utmp, /var/log/wtmp and the list of processes as evidence; then see what that session does."
)


def differences(scene: Scene, now: Presence, past: Attendance) -> list[Item]:
    """What one witness says and another one does not."""
    if scene.host.live.blind:
        return []
    found = list(_broken(scene, now, past))
    noted = {seat.door for seat in now.seats.values() if seat.door and seat.record}
    managed = {seat.door for seat in now.seats.values() if seat.door and seat.session}
    told = {fact.line for fact in scene.facts(LoginFact) if fact.view == UNRECORDED}
    for seat in now.seats.values():
        if seat.door and not seat.record:
            if now.records is not None and _would_record(scene, seat, now, past, noted, told):
                found.append(_unrecorded(scene, seat, now))
        elif seat.record and not seat.running and scene.host.live.process(seat.record.pid) is None:
            found.append(_stale(seat))
        if seat.door and not seat.session and now.managed and seat.door in managed and _outside(seat):
            found += [_unmanaged(scene, one) for one in (seat.leader,) if one is not None]
        if seat.record and (wrong := _edited(seat, past)):
            found.append(wrong)
    if any(session.service == b"sshd" for session in now.bare) or b"sshd" in managed:
        found += [_unmanaged(scene, process) for door, process in now.silent if door == b"sshd"]
    known = {session.name for session in now.bare} | {
        seat.session.name for seat in now.seats.values() if seat.session
    }
    if now.managed and known:
        found += _nameless(scene, now)
    return found


def _broken(scene: Scene, now: Presence, past: Attendance) -> Iterator[Item]:
    """utmp as no program leaves it."""
    if now.records is None:
        return
    where = text(UTMP)
    if now.emptied and (booted := _booted(scene, past)) is not None:
        yield _item(
            where,
            Verdict.SUSPICIOUS,
            "who and w show nothing at all: the list of who is logged in was emptied after the host came up",
            WIPED,
            SAVE,
            "T1070",
            (
                Evidence(where, f"{counted(len(now.records), 'record')}, none of the boot"),
                Evidence(booted.source, "the boot"),
            ),
        )
    seen = scene.host.texts.lstat(UTMP)
    size = 0 if seen is None else seen.st_size
    blanks = [one.at + 1 for one in flaws(now.records) if one.what == "zeroed"]
    if blanks or (size % SIZE and size % WIDE):
        says = f"record {blanks[0]} is zeroed" if blanks else f"its {size} bytes are no whole records"
        yield _item(
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
    since = since_when(scene, seat)
    wtmp = [one for one in past.sessions if _in_wtmp(one.source)]
    here = [one for one in wtmp if one.line == text(seat.line) and abs(one.began - since) <= NEAR]
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


def _unrecorded(scene: Scene, seat: Seat, now: Presence) -> Item:
    who, line = who_sits(scene, seat), text(seat.line)
    nobody = not any(one.record for one in now.seats.values())
    return _item(
        f"{who} on {line}, unrecorded",
        Verdict.SUSPICIOUS,
        f"{who} is logged in on {line} by {text(seat.door)}, and who and w "
        + ("show nobody at all" if nobody else "do not show it"),
        WIPED,
        SAVE,
        "T1070",
        (*evidence_of(seat), Evidence("who -aH", f"no record of {line}")),
    )


def _stale(seat: Seat) -> Item:
    record = seat.record
    assert record is not None
    line = text(seat.line)
    return _item(
        f"{text(record.user)} on {line}, stale",
        Verdict.NOTABLE,
        f"{text(record.user)} is said to be logged in on {line}, and nothing of that session is there",
        "A session whose program was killed leaves this; so does a record that somebody made up.",
        f"Look for that login in `last` and the log of logins; ask {text(record.user)}.",
        "",
        (Evidence(text(UTMP), f"pid {record.pid}, which is gone"), Evidence("who -aH", line)),
    )


def _unmanaged(scene: Scene, process: Process) -> Item:
    who = scene.user(process.uid)
    line = text(terminal(process.tty))
    where = f"on {line}" if line else "without a terminal"
    return _item(
        f"{who} {where}, unmanaged",
        Verdict.NOTABLE,
        f"{who} was let in {where}, unknown to logind, which knows others by the same program",
        "A back door in a login program lets in without what others pass through (PAM).",
        f"Verify the packages of that program and of PAM. {ASK}",
        "T1556",
        (
            Evidence(f"ps -fp {process.pid}", text(process.comm)),
            Evidence("loginctl list-sessions", f"nothing {where}"),
        ),
    )


def _outside(seat: Seat) -> bool:
    """Whether what runs there is in no session's scope."""
    return seat.leader is not None and not seat.leader.unit.startswith(b"session-")


def _edited(seat: Seat, past: Attendance) -> Item | None:
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
        others.append((text(seat.session.user), text(SESSIONS + b"/" + seat.session.name)))
    for other, source in others:
        if _plain(other) != _plain(user):
            return _item(
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


def _nameless(scene: Scene, now: Presence) -> Iterator[Item]:
    """Processes in a session that logind's own files do not know (any more)."""
    listed = set(scene.host.texts.names(SESSIONS, MANY) or ())
    for name, process in now.scopes.items():
        if name not in listed:
            who = scene.user(process.uid)
            yield _item(
                f"session {text(name)} of {who}",
                Verdict.SUSPICIOUS,
                f"processes run in session {text(name)} of {who}, which is not in logind's list of sessions",
                "Newer who and w read that list: a session is hidden from them by deleting its file.",
                SAVE,
                "T1070",
                (Evidence(f"systemd-cgls -u {word(f'session-{text(name)}.scope')}", f"pid {process.pid}"),),
            )


def _item(
    name: str,
    verdict: Verdict,
    says: str,
    means: str,
    after: str,
    technique: str,
    evidence: tuple[Evidence, ...],
) -> Item:
    return Item(name, verdict, says, means, after, technique=technique, evidence=evidence)


# -- about a seat ------------------------------------------------------------------------------------------


def who_sits(scene: Scene, seat: Seat) -> str:
    """Whose session it is: by logind, which nobody edits, then by its processes, then by utmp."""
    if seat.session:
        return text(seat.session.user)
    people = [one.uid for one in seat.running if one.pid == one.session] or [one.uid for one in seat.running]
    if people:
        return scene.user(people[0])
    return text(seat.record.user) if seat.record else ""


def since_when(scene: Scene, seat: Seat) -> float:
    """Since when it is there."""
    if seat.session and seat.session.at:
        return float(seat.session.at)
    if seat.record:
        return float(seat.record.at)
    return scene.began(seat.leader or seat.running[0]) if seat.running else 0.0


def evidence_of(seat: Seat) -> tuple[Evidence, ...]:
    if not seat.running:
        return ()
    shown = ", ".join(f"{one.pid} {text(one.comm)}" for one in seat.running[:SHOWN])
    return (Evidence(f"ps -fH -t {word(text(seat.line))}", shown),)
