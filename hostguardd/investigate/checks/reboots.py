"""Traces of a reboot: `dmesg`, `last reboot`, `journalctl --list-boots`.

The guide: a reboot on a date that nobody remembers is a danger sign; a kernel or a start-up script that was
planted needs one. So each boot is told with what led to it: an order, a shutdown, a crash, who was there.
Explained is one before which somebody who may was logged in, gave the order, or had packages updated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ...accounts import group
from ...packages.interface import Transaction
from ...sensors.wtmp import WTMP
from ...utmp import BOOT_TIME
from ...words.interface import counted
from ..interface import Confidence, Evidence, Found, Item, Moment, Unseen, Verdict, text
from ..logins.attendance import Attendance, attendance
from ..logins.boots import JOURNAL, KERNEL, KERNEL_LOG, RECORDS, SAME, Boots, CameUp, Order, boots
from ..logins.register import Session, Step, stamp
from ..logins.usage import usage
from ..scene import MOST_ACCOUNTS, SUDO, Scene

SHOWN: Final = 50
"""Boots that are told one by one, the newest."""

SOON: Final = 900
"""Seconds before a shutdown within which an order or a session explains it."""

UPDATED: Final = 3600
"""Seconds before a shutdown within which updated packages explain it."""

JUMP: Final = 300
"""Seconds by which setting the clock is worth telling."""

MANY: Final = 5
"""People, or packages, that are named."""

ADMINISTRATING: Final = (b"wheel", b"sudo", b"admin")

CONTAINERS: Final = (b"/run/systemd/container", b"/run/.containerenv", b"/.dockerenv")

MEANS: Final = (
    "A reboot that nobody knows of may have put a planted kernel, module or start-up script to work."
)
NEXT: Final = (
    "Ask all administrators, and whoever runs the machine below, for that time; do not reboot again now."
)
SAVE: Final = "Save /var/log/wtmp and the journal as evidence; see what else happened in the hour before."


class Reason(NamedTuple):
    """Something that led to a boot; or that was so around it, and `explains` nothing."""

    says: str
    source: str
    explains: bool


def look(scene: Scene) -> Iterator[Found]:
    """Every boot, what led to it, and who does not know of it."""
    past = attendance(scene)
    found = boots(scene, past)
    if found.problem:
        yield Unseen(
            "boots in the journal",
            f"the journal does not tell of them: {found.problem}",
            "" if scene.is_root else SUDO,
        )
    recent = [one for one in found.found if one.at >= scene.since]
    first = min((one.at for one in recent), default=scene.now) - UPDATED - SOON
    transactions = list(scene.packages.transactions(first)) if recent else []
    current = _current(found)
    for one in found.found[-SHOWN:]:
        item, tale = _boot(scene, one, found, past, transactions)
        yield item
        if one.at >= scene.since:
            source = next(iter(one.told.values()))
            confidence = Confidence.SURE if KERNEL in one.told else Confidence.LIKELY
            yield Moment(one.at, "reboot", f"the host came up{tale}", source, confidence, item.verdict)
    yield from _unknown(scene, current, past)
    yield from _missing(found, past, current)
    yield from _steps(scene, past.register.steps)
    yield _summary(found, current)


def _current(found: Boots) -> CameUp | None:
    """The boot that the host runs in."""
    return next((one for one in reversed(found.found) if KERNEL in one.told), None)


def _summary(found: Boots, current: CameUp | None) -> Item:
    up = f"up since {stamp(current.at)}" if current else "there is no running kernel to ask"
    count = sum(1 for one in found.found if KERNEL not in one.told or len(one.told) > 1)
    says = f"{up}; {counted(count, 'boot is', 'boots are')} on record"
    if count > SHOWN:
        says += f", the newest {SHOWN} are told"
    evidence = (Evidence("uptime -s; last -x reboot shutdown; journalctl --list-boots"),)
    return Item("reboots", Verdict.FINE, says, details={"count": count}, evidence=evidence)


# -- one boot ------------------------------------------------------------------------------------------------


def _boot(
    scene: Scene, one: CameUp, found: Boots, past: Attendance, transactions: Sequence[Transaction]
) -> tuple[Item, str]:
    """A boot, and what is told of it besides its time."""
    name = "this boot" if KERNEL in one.told else f"boot at {stamp(one.at)}"
    reasons = list(_reasons(scene, one, found.orders, past, transactions))
    details: dict[str, object] = {
        "at": one.at, "shutdown": one.down, "before": one.before, "seen by": [*one.told],
    }  # fmt: skip
    evidence = tuple(Evidence(source, witness) for witness, source in one.told.items())
    evidence += tuple(Evidence(reason.source, reason.says) for reason in reasons)
    # The name of a boot that is over is its time.
    says = f"the host came up at {stamp(one.at)}" if KERNEL in one.told else name
    tale = ""
    if one.down:
        tale = f", after a shutdown at {stamp(one.down)}"
    elif one.before:
        tale = ", without a record of a shutdown"
    if reasons:
        tale += ": " + "; ".join(reason.says for reason in reasons)
    # Of what was before all records nobody can tell; and the boot of a container is that of another host.
    begins = not one.before and not one.down and one is found.found[0]
    orderly = bool(one.down) or RECORDS not in one.told
    explained = orderly and any(reason.explains for reason in reasons)
    if one.at < scene.since or begins or explained or set(one.told) == {KERNEL}:
        return Item(name, Verdict.FINE, says + tale, details=details, evidence=evidence), tale
    tale += "" if reasons else "; nobody was there, and nobody asked for it"
    means = MEANS if orderly else f"The power failed, it crashed, or somebody wanted no record. {MEANS}"
    item = Item(
        name, Verdict.NOTABLE, says + tale, means, NEXT, technique="T1529", details=details, evidence=evidence
    )
    return item, tale


def _reasons(
    scene: Scene, one: CameUp, orders: Sequence[Order], past: Attendance, transactions: Sequence[Transaction]
) -> Iterator[Reason]:
    """What led to a boot."""
    end = one.down or one.before or one.at
    for order in orders:
        if end - SOON <= order.at <= one.at:
            yield Reason(f"{order.who} asked for it ({order.command})", order.source, explains=True)
    people: dict[tuple[str, str], Session] = {}
    for moment in (end - SOON, end - SOON / 3, end - 5, *(() if one.down else (one.at - 5,))):
        people |= {(who.user, who.origin): who for who in past.at(moment)}
    for user, origin in list(people)[:MANY]:
        session = people[user, origin]
        uses = usage(scene)
        usual = (
            scene.approved.explains(uses.known(user, origin))
            or uses.oddity(user, origin, [session.began]) is None
        )
        may = user in _administrators(scene) and usual
        yield Reason(f"{user} from {origin} was logged in", session.source, explains=may)
    updates = [done for done in transactions if end - UPDATED <= done.at <= end + SAME]
    if updates:
        packages = ", ".join(sorted({done.package for done in updates})[:MANY])
        yield Reason(f"packages had been updated ({packages})", updates[-1].source, explains=True)


def _administrators(scene: Scene) -> set[str]:
    """The accounts that may have the host go down."""
    groups, _ = group(scene.host.texts.read(b"/etc/group", MOST_ACCOUNTS).data or b"")
    names = {text(name) for one in groups if one.name in ADMINISTRATING for name in one.members}
    return names | {text(one.name) for one in scene.users if one.uid == 0}


# -- who does not know ---------------------------------------------------------------------------------------


def _unknown(scene: Scene, current: CameUp | None, past: Attendance) -> Iterator[Item]:
    """The boot the host runs in, of which the records of logins know nothing though they know of others."""
    if current is None or RECORDS in current.told or _is_container(scene):
        return
    in_utmp = any(one.kind == BOOT_TIME and one.sane for one in past.present or ())
    others = any(one.at < current.at for one in past.boots)
    later = [one for one in past.sessions if one.began > current.at and one.source.startswith("/var/")]
    if not in_utmp or not any(book.path == WTMP for book in past.books):
        return  # nothing on this host writes down boots, or not there
    if not others and (len(past.books) > 1 or current.at < scene.since):
        return  # it may have been rotated away
    verdict = Verdict.SUSPICIOUS if others else Verdict.NOTABLE
    says = f"the host came up at {stamp(current.at)}, and wtmp does not have that boot"
    if later:
        says += f", though it has {counted(len(later), 'later login')}"
    means = "Whoever takes records out of wtmp, or begins it anew, often takes this one, too."
    sources = (Evidence("uptime -s", stamp(current.at)), Evidence("last -x reboot", "not there"))
    yield Item("this boot, unrecorded", verdict, says, means, SAVE, technique="T1070", evidence=sources)


def _missing(found: Boots, past: Attendance, current: CameUp | None) -> Iterator[Item]:
    """Boots that another log has, and that wtmp lacks between those it has."""
    times = [one.at for one in past.boots]
    for one in found.found[-SHOWN:]:
        if one is current or RECORDS in one.told or not times or not min(times) < one.at < max(times):
            continue
        other = "the journal" if JOURNAL in one.told else "a log" if KERNEL_LOG in one.told else ""
        if other:
            yield Item(
                f"boot at {stamp(one.at)}, unrecorded",
                Verdict.NOTABLE,
                f"{other} has this boot, and wtmp, which has others, does not",
                "Its record was taken out; or the host did not come up as far as to write one (rescue mode).",
                SAVE,
                technique="T1070",
                evidence=tuple(Evidence(source, witness) for witness, source in one.told.items()),
            )


def _is_container(scene: Scene) -> bool:
    """Whether the kernel's boot is another host's."""
    first = scene.host.live.process(1)
    managed = first is None or first.comm in (b"systemd", b"init")
    return not managed or any(scene.host.texts.lstat(path) is not None for path in CONTAINERS)


def _steps(scene: Scene, steps: Sequence[Step]) -> Iterator[Item]:
    """The clock was set."""
    for one in steps:
        moved = one.after - one.before
        if abs(moved) < JUMP:
            continue
        recent = max(one.before, one.after) >= scene.since
        way = "forward" if moved > 0 else "back"
        says = f"the clock was set {way} by {abs(moved):.0f} s"
        name = f"clock set at {stamp(one.before)}"
        if not recent:
            yield Item(name, Verdict.FINE, says, evidence=(Evidence(one.source),))
            continue
        means = "Setting the clock back gives files and records times that look old."
        ask = "Ask who set it; do not trust times of files and logs around then, but their order."
        evidence = (Evidence(one.source, says), Evidence("last -x"))
        yield Item(name, Verdict.NOTABLE, says, means, ask, technique="T1070.006", evidence=evidence)
