"""The history of logins: `last`, `lastb`, `lastlog`.

The guide: an intruder's login is there with an origin or an hour that nobody knows, or the record was wiped.
So everybody who came is listed by account and origin, held against what is usual here (`habits`), and the
records are held against each other (`wiped`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from ...words.interface import counted
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Unseen, Verdict, text, word
from ..logins.attendance import WTMPDB, Attendance, attendance, near
from ..logins.habits import LOCAL, Oddity
from ..logins.lasts import last_logins
from ..logins.records import books
from ..logins.register import LOST, MOST, Register, Session, stamp
from ..logins.usage import Usage, arrivals, usage
from ..logins.wiped import SAVE, files, history, records, unwritten
from ..scene import SUDO, Scene

BTMP: Final = b"/var/log/btmp"

MOMENTS: Final = 5000
"""Logins that are put on the time line, the newest."""

PAIRS: Final = 20_000
"""Accounts with their origins that are told apart."""

SEVERAL: Final = 3
"""Logins from elsewhere after which lastlog must know an account."""

ASK: Final = (
    "Ask the account's owner whether it was them; if not, change the password, look for keys and see the log."
)
SHOWN: Final = 10


def look(scene: Scene) -> Iterator[Found]:
    """Logins by account and origin, what is unusual of them, and traces of an editor."""
    past = attendance(scene)
    uses = usage(scene)
    lasts, problems = last_logins(scene.host.texts, scene.users, scene.stop)
    remedy = "" if scene.is_root else SUDO
    yield from files(past.books, remedy, partial=True)
    yield from records("/var/log/wtmp", past.register)
    yield from history(scene, past, lasts)
    remote = Counter(one.user for one in past.sessions if one.origin != LOCAL)
    several = {
        one.user: one.began for one in past.sessions if one.origin != LOCAL and remote[one.user] >= SEVERAL
    }
    yield from unwritten(lasts, {user: at for user, at in several.items() if user in uses.accounts.users})
    for path, problem in problems.items():
        yield Unseen(text(path), f"the last logins cannot be read: {problem}", remedy)
    if past.database:
        yield Unseen(text(WTMPDB), f"this database {past.database}", remedy)
    yield from _pairs(scene, past, uses)
    yield from _heard(scene, past)
    yield from _refused(scene)
    yield _summary(past)


def _summary(past: Attendance) -> Item:
    """How much history there is."""
    register = past.register
    count = len(past.sessions) + register.dropped
    says = f"{counted(count, 'login is', 'logins are')} recorded"
    if register.since:
        says += f", from {stamp(register.since)} on"
    if register.dropped:
        says += f"; the newest {MOST} were looked at"
    if not past.books and not register.count:
        says = "this host keeps no record of logins (wtmp, wtmpdb)"
    ends = Counter(one.end for one in past.sessions)
    sources = [one.name for one in past.books]
    details: dict[str, object] = {
        "count": count,
        "files": sources,
        **{f"end: {end}": n for end, n in ends.items()},
    }
    return Item(
        "login history", Verdict.FINE, says, details=details, evidence=(Evidence("last -w; wtmpdb last"),)
    )


# -- by account and origin --------------------------------------------------------------------------------


def _pairs(scene: Scene, past: Attendance, uses: Usage) -> Iterator[Found]:
    """Each account with each of its origins, and its logins of late as moments."""
    pairs: dict[tuple[str, str], list[Session]] = {}
    for one in past.sessions:
        pairs.setdefault((one.user, one.origin), []).append(one)
    latest = sorted(pairs.items(), key=lambda pair: -pair[1][-1].began)
    verdicts: dict[tuple[str, str], Verdict] = {}
    for (user, source), sessions in latest[:PAIRS]:
        recent = [one.began for one in sessions if one.began >= scene.since]
        odd = uses.oddity(user, source, recent) if recent else None
        verdicts[user, source] = odd.verdict if odd else Verdict.FINE
        yield _pair(user, source, sessions, uses.known(user, source), odd, len(recent))
    if len(latest) > PAIRS:
        yield Unseen(
            "login history",
            f"not told one by one: {counted(len(latest) - PAIRS, 'more account', 'more accounts')} by origin",
        )
    window = [one for one in past.sessions if (one.ended or scene.now) >= scene.since]
    for one in window[-MOMENTS:]:
        new, known = one.began >= scene.since, uses.known(one.user, one.origin)
        verdict = verdicts.get((one.user, one.origin), Verdict.FINE) if new else Verdict.FINE
        until = 0.0 if one.end == LOST else one.ended
        says = f"{one.user} logged in {_from(one.origin)} on {one.line}"
        yield Moment(one.began, "login", says, one.source, Confidence.LIKELY, verdict, one.user, until, known)
    if len(window) > MOMENTS:
        yield Unseen(
            "time line",
            f"without {counted(len(window) - MOMENTS, 'older login')} of this time",
        )


def _pair(
    user: str, source: str, sessions: list[Session], known: Known, odd: Oddity | None, recent: int
) -> Item:
    """One account and one origin."""
    first, last = sessions[0], sessions[-1]
    details: dict[str, object] = {
        "user": user, "origin": source, "first": first.began, "last": last.began, "count": len(sessions),
        "recent": recent, "hours": _hours(sessions),
        "lines": [line for line, _ in Counter(one.line for one in sessions).most_common(5)],
    }  # fmt: skip
    name = f"{user} {_from(source)}"
    times = f"{len(sessions)} login{'s' * (len(sessions) > 1)}, the last at {stamp(last.began)}"
    evidence = (Evidence(last.source, stamp(last.began)), Evidence(f"last -w {word(user)}"))
    if odd is None:
        return Item(name, Verdict.FINE, f"{name}: {times}", "", "", known, "", details, evidence)
    says = f"{name}: {odd.says} ({times})"
    return Item(name, odd.verdict, says, odd.means, ASK, known, odd.technique, details, evidence)


def _from(source: str) -> str:
    return "at the console" if source == LOCAL else f"from {source}"


def _hours(sessions: Iterable[Session]) -> list[str]:
    """The hours in which logins began, in UTC, each with how many."""
    counts = Counter(int(one.began // 3600) % 24 for one in sessions)
    return [f"{hour:02}: {count}" for hour, count in sorted(counts.items())]


# -- what other records tell ------------------------------------------------------------------------------


def _heard(scene: Scene, past: Attendance) -> Iterator[Item]:
    """Logins of which the log tells and wtmp does not. login(1) is always on a terminal, and records it; what
    sshd lets in often is not (sftp, a command)."""
    times: dict[str, list[float]] = {}
    for one in past.sessions:
        times.setdefault(one.user, []).append(one.began)
    terminals = [one.began for one in past.sessions if one.line.startswith("tty")]
    plain = []
    for (user, source), (service, at) in arrivals(scene).items():
        who = text(user, 100)
        if not past.covers(at) or near(times.get(who, []), at):
            continue
        says = f"{who} {_from(text(source, 300))} at {stamp(at)}"
        if service == b"login" and min(terminals, default=float("inf")) <= at:
            yield Item(
                f"{who} by login, missing",
                Verdict.SUSPICIOUS,
                f"the log tells of a login at a terminal, {says}, and wtmp does not have it",
                "Who takes a login out of wtmp may forget the log.",
                SAVE,
                technique="T1070",
                evidence=(
                    Evidence("grep -a login /var/log/auth.log /var/log/secure; journalctl -t login", says),
                ),
            )
        else:
            plain.append(f"{says} by {text(service)}")
    if plain:
        yield Item(
            "logins without a terminal",
            Verdict.FINE,
            f"{counted(len(plain), 'login')} in the log only, as those without terminal (sftp, commands) are",
            details={"count": len(plain), "logins": plain[-SHOWN:]},
            evidence=(
                Evidence("journalctl -g Accepted; grep -a Accepted /var/log/auth.log /var/log/secure"),
            ),
        )


def _refused(scene: Scene) -> Iterator[Found]:
    """btmp: how many were refused, from where, and what was done to the file."""
    texts, register = scene.host.texts, Register()
    sources: Counter[str] = Counter()
    users: Counter[str] = Counter()
    recent = 0
    found = books(texts, BTMP)
    for book in found:
        register.part(book.name)
        for number, one in book.records(texts):
            register.feed(number, one._replace(line=b""))
            if one.sane and one.at >= scene.since:
                recent += 1
                if len(sources) < PAIRS:
                    sources[text(one.origin, 100)] += 1
                    users[text(one.user, 100)] += 1
            if not number % 4096 and scene.stop():
                return
    yield from files(found, "" if scene.is_root else SUDO, partial=False)
    yield from records("/var/log/btmp", register)
    if found and not all(book.problem for book in found):
        yield Item(
            "refused logins in btmp",
            Verdict.FINE,
            f"{counted(register.count, 'refused login is', 'refused logins are')} recorded"
            + (f", {recent or 'none'} of them in the time that is looked at" if register.count else ""),
            details={
                "count": register.count,
                "recent": recent,
                "origins": [f"{source}: {count}" for source, count in sources.most_common(SHOWN)],
                "accounts": [f"{user}: {count}" for user, count in users.most_common(SHOWN)],
            },
            evidence=(Evidence("sudo lastb -w"),),
        )
