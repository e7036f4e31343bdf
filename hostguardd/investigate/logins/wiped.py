"""Traces of an editor in the records of logins: what no program writes, and what one has and another lacks.

Log cleaners zero a record, take it out, or cut the file; so each is held against the others. utmp, wtmp and
lastlog are written together at a login on a terminal, so that one that lacks what the others have was
edited, as long as nothing else explains it: rotation, a record that never was kept here, or a login without
a terminal, of which none of them tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from ...loglines import CONSOLE
from ...sensors.wtmp import WTMP
from ...utmp import BOOT_TIME, USER_PROCESS, Login, origin_of
from ..interface import Evidence, Found, Item, Unseen, Verdict, text, word
from ..scene import Scene
from .attendance import NEAR, WTMPDB, Attendance, near
from .lasts import LastLogin
from .records import Book
from .register import Register, stamp

SHOWN: Final = 8
LATE: Final = 3600
"""Seconds by which a record's last entry and its file's time may differ."""

JUST: Final = 10
"""Seconds before we looked: a login may come between the reading of one record and of the other."""

CLEANER: Final = "Log cleaners do this to take a login out of what `last` shows."
SAVE: Final = (
    "Save the file as evidence (cp -a), do not reboot; see in the other logs who was here at that time."
)

ODD: Final = {
    "zeroed": "overwritten with zeros",
    "garbled": "no records",
    "backwards": "older than the ones ahead of them",
    "orphan": "logouts whose login is missing",
}

WTMP_NAME: Final = text(WTMP)
KEPT: Final = (WTMP_NAME, text(WTMPDB))
_NUMBERED = re.compile(rb"wtmp\.(\d{1,4})(?:\.[a-z0-9]{1,4})?")


def files(books: Iterable[Book], remedy: str, *, partial: bool) -> Iterator[Found]:
    """What is wrong with the files themselves. `remedy` is for those that cannot be read; `partial`: it is
    worth saying that one was not read whole."""
    for book in books:
        if book.link:
            yield _item(
                book.name, Verdict.SUSPICIOUS, f"{book.name} is a link to {text(book.link)}",
                "A record that was led elsewhere, as to /dev/null, keeps nothing.",
                [Evidence(f"ls -l {word(book.name)}", text(book.link))],
            )  # fmt: skip
        elif book.problem:
            yield Unseen(book.name, f"this record cannot be read: it {_clause(book.problem)}", remedy)
        if book.rest:
            yield _item(
                f"{book.name} (length)", Verdict.SUSPICIOUS,
                f"{book.name} ends in {book.rest} bytes that are no whole record: it was cut or edited",
                "Programs add whole records only; a full disk does not leave this either.",
                [Evidence(f"stat {word(book.name)}", f"{book.size} bytes, {book.width} to a record")],
            )  # fmt: skip
        if book.cut and partial:
            left_out = f"its first {book.skipped} of {book.size} bytes" if book.skipped else "the rest of it"
            yield Unseen(book.name, f"it is too large to be read whole: {left_out} were not looked at")


def records(name: str, register: Register) -> Iterator[Item]:
    """Records that no program has written so."""
    for what, count in register.odds.items():
        some = [one for one in register.odd if one.what == what]
        innocent = all(one.crash for one in some) and len(some) == count
        says = f"{count} record{'s' * (count > 1)} of {name}: {ODD[what]}"
        if innocent:
            says += ", where the host lost its power" if what == "zeroed" else ", after the clock was set"
        yield _item(
            f"{name} ({what})", Verdict.NOTABLE if innocent else Verdict.SUSPICIOUS, says, CLEANER,
            [Evidence(one.source, f"near {stamp(one.at)}" if one.at else "") for one in some[:SHOWN]],
        )  # fmt: skip


def history(scene: Scene, past: Attendance, lasts: Iterable[LastLogin]) -> Iterator[Item]:
    """What wtmp lacks, and what its file's times say."""
    lasts = list(lasts)
    yield from _archives(past)
    yield from _times(scene, past)
    books = [one for one in past.books if one.path == WTMP and not one.problem]
    firsts = [one.first for one in past.books if one.first]
    whole = not past.register.dropped and not any(
        one.problem or (one.packed and one.cut) for one in past.books
    )
    if not books or not whole:
        return
    lines: dict[str, list[float]] = {}
    for session in past.sessions:
        if session.source.startswith(KEPT):
            lines.setdefault(session.line[:3], []).append(session.began)
    begins = min(firsts, default=0)
    known = _known(past)
    written = float("inf") if _writes(scene, past) else max(one.at for one in books)
    for who, at, line, source, other in _claims(past, lasts):
        if at > scene.now - JUST or any(near(known.get(user, []), at) for user in who):
            continue
        if begins and begins <= at <= written + NEAR and (begun := lines.get(line[:3])) and min(begun) <= at:
            yield _item(
                f"{min(who)} on {line}, missing", Verdict.SUSPICIOUS,
                f"{other} knows of a login of {min(who)} on {line} at {stamp(at)}, and wtmp does not",
                CLEANER, [Evidence(source, stamp(at)), Evidence(f"last {word(min(who))}", "no such login")],
            )  # fmt: skip
        elif len(past.books) == 1 and at < (begins or books[0].at):
            recent = at >= scene.since
            verdict = Verdict.SUSPICIOUS if recent else Verdict.NOTABLE
            begun_late = f"begins at {stamp(begins)}" if begins else "is empty"
            yield _item(
                f"{WTMP_NAME} (beginning)", verdict,
                f"wtmp {begun_late} and has no archive, but {other} "
                f"knows of a login of {min(who)} at {stamp(at)}",
                "A record that was emptied or begun anew hides who was here until then.",
                [Evidence(source, stamp(at)), Evidence("last; ls -l /var/log/wtmp*")],
            )  # fmt: skip
            return


def _writes(scene: Scene, past: Attendance) -> bool:
    """Whether this host's programs still write wtmp, by the record of this boot: newer ones do not."""
    began = scene.host.boots.began() / 1e9
    return any(began and one.at >= began - NEAR for one in past.boots if one.source.startswith(WTMP_NAME))


def _known(past: Attendance) -> dict[str, list[float]]:
    """When wtmp, or wtmpdb, has each account's logins."""
    found: dict[str, list[float]] = {}
    for one in past.sessions:
        if one.source.startswith(KEPT):
            found.setdefault(one.user, []).append(one.began)
    return found


def _claims(
    past: Attendance, lasts: Iterable[LastLogin]
) -> Iterator[tuple[frozenset[str], float, str, str, str]]:
    """Logins on a terminal that other records tell of, the newest first: (names of the account, at, line,
    source, which record)."""
    found = [
        (one.users, one.at, one.line, one.source, "lastlog")
        for one in lasts
        if one.line.startswith(("pts/", "tty"))
    ]
    for record in past.present or ():
        if record.kind == USER_PROCESS and record.sane and record.user:
            line = text(record.line, 100)
            if line.startswith("tty") or (line.startswith("pts/") and _came_in(record)):
                found.append((frozenset({text(record.user, 100)}), float(record.at), line, "who -aH", "utmp"))
    boots = [one.at for one in past.present or () if one.kind == BOOT_TIME]
    yield from sorted(found, key=lambda one: (one[1] < max(boots, default=0), -one[1]))


def _came_in(record: Login) -> bool:
    """Whether it is of a login from elsewhere: windows and screen(1) write records to utmp alone."""
    return origin_of(record) != CONSOLE and b":S." not in record.host


def _archives(past: Attendance) -> Iterator[Item]:
    """An archive that was taken out of the row."""
    numbers = {
        int(found[1]) for one in past.books if (found := _NUMBERED.fullmatch(one.path.rpartition(b"/")[2]))
    }
    missing = sorted(set(range(min(numbers, default=0), max(numbers, default=0))) - numbers)
    if missing:
        shown = ", ".join(f"wtmp.{one}" for one in missing[:SHOWN])
        yield _item(
            f"{WTMP_NAME} (archives)", Verdict.NOTABLE, f"of the archives of wtmp {shown} is not there",
            "Rotation takes away the oldest only; one from the middle was deleted.",
            [Evidence("ls -l /var/log/wtmp*")],
        )  # fmt: skip


def _times(scene: Scene, past: Attendance) -> Iterator[Item]:
    """A file that was written to after its last record, or before it."""
    for book in past.books:
        if book.path != WTMP or not book.last or book.packed:
            continue
        if book.at - book.last > LATE:
            yield _item(
                f"{WTMP_NAME} (times)", Verdict.NOTABLE,
                f"wtmp was written to at {stamp(book.at)}, and its last record is of {stamp(book.last)}",
                "Whoever takes the last records out leaves this; so does restoring the file, or touch(1).",
                [Evidence(f"stat {WTMP_NAME}", stamp(book.at)), Evidence("last", stamp(book.last))],
            )  # fmt: skip
        elif book.last - book.at > LATE and book.last <= scene.now:
            yield _item(
                f"{WTMP_NAME} (times)", Verdict.SUSPICIOUS,
                f"the time of wtmp is forged: {stamp(book.at)}, though it has a record of {stamp(book.last)}",
                "Log cleaners set the time of a file back to what it was.",
                [Evidence(f"stat {WTMP_NAME}", stamp(book.at)), Evidence("last", stamp(book.last))],
                "T1070.006",
            )  # fmt: skip


def unwritten(lasts: Iterable[LastLogin], remote: dict[str, float]) -> Iterator[Item]:
    """Accounts that lastlog says were never used, while wtmp has logins of them. `remote` is the newest login
    from elsewhere of each account that has several."""
    lasts = list(lasts)
    newest = max((one.at for one in lasts), default=0.0)
    used = {user for one in lasts for user in one.users}
    for user, at in sorted(remote.items()):
        if user not in used and at < newest:
            yield _item(
                f"{user} in lastlog", Verdict.NOTABLE,
                f"lastlog says that {user} never logged in, and wtmp has a login at {stamp(at)}",
                CLEANER,
                [Evidence(f"lastlog -u {word(user)}", "never"), Evidence(f"last {word(user)}", stamp(at))],
            )  # fmt: skip


def _item(
    name: str, verdict: Verdict, says: str, means: str, evidence: list[Evidence], technique: str = "T1070"
) -> Item:
    return Item(name, verdict, says, means, SAVE, technique=technique, evidence=tuple(evidence))


def _clause(problem: str) -> str:
    return problem if problem.startswith(("is ", "leads ", "has ")) else f"says: {problem}"
