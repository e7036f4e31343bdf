"""Asks every check, each in its own time, and puts the answers together. `CHECKS` is the whole list.

The rule kept: one check that fails, runs long or finds a million things harms no other one; each of the three
is said in the report.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..record import clean
from ..words.interface import counted
from .checks import (
    accounts,
    alerts,
    connections,
    drift,
    folders,
    garbled,
    hidden,
    histories,
    listeners,
    logging,
    logins,
    names,
    packages,
    probes,
    processes,
    reboots,
    recent,
    refusals,
    rootkit,
    sessions,
    setid,
    settings,
    strays,
    switches,
    unowned,
)
from .interface import LONGEST, Found, Item, Moment, Result, Unseen, Verdict
from .patience import Late, at_most
from .scene import Scene

MOST_ITEMS: Final = 1000
"""Items of one check that are kept, the worst."""

MOST_UNSEEN: Final = 1000
"""Things that one check could not look at that are kept, the first."""

MOST_MOMENTS: Final = 20_000
"""Moments that are kept in all, the worst and the newest."""

HARD: Final = 1.25
"""So many times its patience, and a second, a check gets before it is ended whatever it does."""


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the inquiry. `title` is what a report calls it, `guide` what an administrator does by hand,
    `about` what is looked at and for what. `packages`: it takes as long as verifying packages does, and is
    left out where that was not asked for."""

    name: str
    title: str
    guide: str
    about: str
    look: Callable[[Scene], Iterator[Found]]
    packages: bool = False


CHECKS: Final[tuple[Check, ...]] = (
    Check(
        "drift",
        "Drift from the baseline",
        "the administrator's memory",
        "Everything that hostguardd watches, compared with what was approved",
        drift.look,
    ),
    Check(
        "alerts",
        "hostguardd's own record",
        "the administrator's notes",
        "Whether the daemon runs, whether its alert log and its own files are whole, and what it told",
        alerts.look,
    ),
    Check(
        "sessions",
        "Who is logged in",
        "w, who -H",
        "Who is here, from where, since when and doing what, as utmp, logind and the processes have it: "
        "records that were wiped or edited, unusual origins",
        sessions.look,
    ),
    Check(
        "logins",
        "Login history",
        "last -N",
        "Who was here, from where and when, by wtmp, btmp, lastlog and their successors: records that were "
        "zeroed, taken out or cut, unusual origins and hours, accounts that nobody should log in by",
        logins.look,
    ),
    Check(
        "listeners",
        "Who waits to be talked to",
        "netstat -an; fuser -vn tcp PORT; lsof -i; netstat -lp",
        "Every port, raw and packet socket that waits, with its program, package, unit, parents and login",
        listeners.look,
    ),
    Check(
        "connections",
        "Who talks to whom",
        "netstat -an",
        "Every connection by program and peer, and shells that are joined to one",
        connections.look,
    ),
    Check(
        "processes",
        "The tree of processes",
        "ps -axf",
        "Each process against its file, its name, what is loaded into it, and who started it",
        processes.look,
    ),
    Check(
        "settings",
        "Settings that run something or open a door",
        "/etc/passwd, inetd.conf, rc.d/rc, rc.boot, rc.local, crontab",
        "Every entry of cron, systemd, init, inetd, logins, PAM and hooks: what it runs, as whom, when; "
        "options that let somebody in, load something or keep logs away",
        settings.look,
    ),
    Check(
        "folders",
        "Settings and their folders",
        "/etc/rc.d/init.d, rc2.d to rc5.d, cron.d, xinetd.d",
        "Unknown files among the settings and what they run, and time stamps that do not fit",
        folders.look,
    ),
    Check(
        "reboots",
        "Reboots",
        "dmesg, messages: traces of a reboot",
        "When the host came up, by wtmp, the journal, the kernel and its log; what led to it; when the clock "
        "was set",
        reboots.look,
    ),
    Check(
        "probes",
        "What the ports say",
        "telnet localhost PORT",
        "Whether a port of this host answers with a prompt or a banner; only by --probe",
        probes.look,
    ),
    Check(
        "histories",
        "Histories of commands",
        "history; more ~/.bash_history",
        "What accounts typed: compiling, fetching, connecting out, wiping traces; histories wiped or not "
        "kept",
        histories.look,
    ),
    Check(
        "garbled",
        "Garbled messages",
        "less /var/log/messages",
        "Lines of the logs that are no text or senselessly long, and programs that crashed",
        garbled.look,
    ),
    Check(
        "refusals",
        "Refused logins",
        "grep -E 'Failed|refused' /var/log/messages",
        "Who was refused, from where, as whom and how often, and whether a guessed login succeeded",
        refusals.look,
    ),
    Check(
        "switches",
        "Switches to root",
        "grep su /var/log/messages",
        "Who became root, or wanted to, by su, sudo, doas and pkexec",
        switches.look,
    ),
    Check(
        "logging",
        "Logs and log services",
        "ls -l /var/log; ps | grep syslog",
        "Holes in the logs, logs emptied, linked away or missing, services that write them and do not run",
        logging.look,
    ),
    Check(
        "accounts",
        "Accounts and what to ask their owners",
        "ask the user",
        "Accounts, groups, keys and rights of sudo; the questions to put to each account's owner",
        accounts.look,
    ),
    Check(
        "hidden",
        "Hidden things",
        "nmap from elsewhere",
        "Processes, ports and files that one view of the host shows and another one does not",
        hidden.look,
    ),
    Check(
        "packages",
        "Packaged files",
        "rpm -Va",
        "Every packaged file against its package, settings told apart; the database and the tools themselves",
        packages.look,
        packages=True,
    ),
    Check(
        "unowned",
        "Files of no package",
        "find / -mtime n; rpm -qf",
        "Programs, libraries, units and start-up hooks in the system's folders that no package brought",
        unowned.look,
    ),
    Check(
        "names",
        "Names made to be overlooked",
        "find -name '..*'; find -name '.*'",
        "Names of dots, blanks and signs that no terminal shows; dot names where none belongs",
        names.look,
    ),
    Check(
        "setid",
        "Files that lend their rights",
        "find -user root -perm -4000",
        "Set-uid, set-gid and capabilities on every local file system; copies of shells",
        setid.look,
    ),
    Check(
        "recent",
        "What changed lately",
        "find -mtime n",
        "Changes in the system's folders, with the packages that explain them and who was logged in",
        recent.look,
    ),
    Check(
        "strays",
        "Things out of their place",
        "find /tmp -perm /111; find / -type b; find / -nouser",
        "Programs among temporary files and logs, devices outside /dev, what others may write to, "
        "files of nobody",
        strays.look,
    ),
    Check(
        "rootkit",
        "Signs of a root kit",
        "the page on root kits that the guide points to",
        "Preloads, the kernel's modules, helpers and marks, mounts, known names, replaced tools",
        rootkit.look,
    ),
)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """All results in the order of the checks, and the moments of all, the oldest first."""

    began: float
    ended: float
    results: tuple[Result, ...]
    moments: tuple[Moment, ...]
    lost_moments: int = 0

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return max((one.verdict for one in self.results), default=Verdict.FINE)


def inquire(
    scene: Scene, checks: Sequence[Check] = CHECKS, report: Callable[[str, int, int], None] = lambda *_: None
) -> Inquiry:
    """Ask them all. `report` is told each check's title as it begins, its number and how many there are."""
    began = time.time()
    results: list[Result] = []
    moments = _Moments()
    for number, check in enumerate(checks):
        report(check.title, number, len(checks))
        results.append(_ask(check, scene, moments))
    report("", len(checks), len(checks))
    moments.bound()
    kept = sorted(moments.kept, key=lambda one: (one.at, one.kind, one.says))
    return Inquiry(began, time.time(), tuple(results), tuple(kept), moments.lost)


class _Moments:
    """Those of all checks, never many more than MOST_MOMENTS: one check may tell of millions."""

    def __init__(self) -> None:
        self.kept: list[Moment] = []
        self.lost = 0

    def add(self, one: Moment) -> None:
        """One more."""
        self.kept.append(one)
        if len(self.kept) >= 2 * MOST_MOMENTS:
            self.bound()

    def bound(self) -> None:
        """Let go of the least."""
        over = max(0, len(self.kept) - MOST_MOMENTS)
        if over:
            self.kept.sort(key=lambda one: (-one.verdict, -one.at))
            del self.kept[MOST_MOMENTS:]
            self.lost += over


def _ask(check: Check, scene: Scene, moments: _Moments) -> Result:
    """What one check finds; its moments go to `moments`."""
    scene.begin()
    whole = len(scene.gaps)
    began = time.monotonic()
    items: list[Item] = []
    unseen: dict[Unseen, None] = {}
    counts: Counter[Verdict] = Counter()
    missed = 0
    cut = False
    try:
        with at_most(HARD * scene.options.patience + 1):
            for found in check.look(scene):
                if isinstance(found, Moment):
                    moments.add(scene.approved.lowered(found))
                elif isinstance(found, Unseen):
                    missed += found not in unseen
                    if len(unseen) < MOST_UNSEEN:
                        unseen[found] = None
                else:
                    found = scene.approved.lowered(found)
                    counts[found.verdict] += 1
                    items.append(found)
                    if len(items) >= 2 * MOST_ITEMS:
                        items = _worst(items)
                if scene.stop():
                    cut = True
                    break
    except Late:
        cut = True
    except Exception as error:  # noqa: BLE001 - who can make one check fail must not blind the others
        said = clean(f"{type(error).__name__}: {error}"[:LONGEST])
        unseen[Unseen(check.title, f"this check failed: {said}")] = None
    if missed > MOST_UNSEEN:
        unseen[
            Unseen(check.title, f"{counted(missed - MOST_UNSEEN, 'more thing')} could not be looked at")
        ] = None
    unseen |= dict.fromkeys(scene.gaps[whole:])
    if cut:
        limit = f"its time of {scene.options.patience:.0f} s ran out"
        unseen[Unseen(check.title, f"{limit}: what it found until then is shown", "--patience SECONDS")] = (
            None
        )
    kept = _worst(items)
    verdict = max(counts, default=Verdict.FINE)
    if unseen:
        verdict = max(verdict, Verdict.UNSEEN)
    return Result(
        check.name,
        verdict,
        tuple(kept),
        tuple(unseen),
        dict(counts),
        sum(counts.values()) - len(kept),
        time.monotonic() - began,
        cut,
    )


def _worst(items: Iterable[Item]) -> list[Item]:
    """The worst of them, in the order of the check within each verdict."""
    return sorted(items, key=lambda one: -one.verdict)[:MOST_ITEMS]
