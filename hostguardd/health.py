"""What can go wrong with ourselves, as one table: how loud, what it means, what to do, how we react.

Pure. The theory of the table: a watcher that sees less than it did must say so, as loudly as what it
might be missing, and must say again when it sees all; whoever moves the baseline, the alert log or
the watcher itself is told to the reader with a name and a time, as an intruder would do just that.
We end only where going on would pretend to watch. Everything else is told and worked around.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeAlias

from .model import Alert, Severity


class Reaction(Enum):
    """What the loop does. EXIT tells, and ends the daemon; OBSERVE is for status and diagnostics only."""

    OBSERVE = "observe"
    ALERT = "alert"
    EXIT = "exit"


Param: TypeAlias = int | float | str | bytes


@dataclass(frozen=True, slots=True)
class Condition:
    """One row of the table.

    `sentence` is a format string; its fields are the parameters that `alert` must be given. Formats:
    `time` (wall-clock nanoseconds), `span` (nanoseconds).
    """

    reaction: Reaction
    severity: Severity
    sentence: str
    technique: str
    advice: str

    @property
    def params(self) -> frozenset[str]:
        """Names of the parameters that the sentence needs."""
        return frozenset(name for _, name, _, _ in string.Formatter().parse(self.sentence) if name)


OBSERVE, ALERT, EXIT = Reaction
INFO, LOW, MEDIUM, HIGH, CRITICAL = sorted(Severity)[1:]
IMPAIR = "T1562.001"  # Impair Defenses: Disable or Modify Tools
WIPE = "T1070"  # Indicator Removal
TIMES = "T1070.006"  # Indicator Removal: Timestomp

CONDITIONS: Mapping[str, Condition] = {
    "daemon.started": Condition(
        ALERT, INFO, "hostguardd {version} is watching against generation {generation} of the baseline", "",
        "Nothing to do.",
    ),
    "daemon.stopping": Condition(
        ALERT, LOW, "hostguardd is stopping ({reason}): nothing is watched until it starts again", IMPAIR,
        "Expected at a reboot or an update. Otherwise find out who stopped it (journalctl -u hostguardd) "
        "and start it again; what changes meanwhile is told at the next start.",
    ),
    "daemon.gap": Condition(
        ALERT, MEDIUM, "Nobody watched from {since:time} to {until:time} ({gap:span})", IMPAIR,
        "A full sweep now tells what is different; what was changed and put back in that time may not show. "
        "If no reboot or update explains the gap, look for who stopped hostguardd.",
    ),
    "host.rebooted": Condition(
        ALERT, INFO, "The host was shut down in order and came up again at {booted:time}", "",
        "Nothing to do if the reboot was planned.",
    ),
    "host.rebooted-unclean": Condition(
        ALERT, HIGH, "The host came up at {booted:time}, and nobody had announced that it would go down",
        "T1529",
        "A power cut or a crash does this, and so does somebody who wants no record. Ask who was at the "
        "machine or its console, look at the kernel's last messages (journalctl -b -1 -k -e), and at what "
        "changed from one boot to the next.",
    ),
    "daemon.unprivileged": Condition(
        ALERT, LOW, "hostguardd runs as uid {uid}, not as root, and sees only what this account may see", "",
        "Fine for a trial; hostguardctl status lists what cannot be seen. Run it as root to protect a host.",
    ),
    "baseline.captured-unreviewed": Condition(
        ALERT, HIGH,
        "Generation {generation} of the baseline was captured from the host as it is ({facts} facts): "
        "nobody has reviewed it", "",
        "What was wrong before now counts as normal. Look at this host once with care, then approve it: "
        "hostguardctl baseline.",
    ),
    "baseline.approved": Condition(
        ALERT, HIGH,
        "{actor} approved generation {generation} of the baseline ({changes} changes: {summary}; {causes}): "
        "{reason}",
        IMPAIR,
        "If this was you or a colleague, nothing to do. If nobody knows of it, compare what became normal "
        "(hostguardctl diff) and go back (hostguardctl rollback).",
    ),
    "baseline.accepted": Condition(
        ALERT, HIGH,
        "{actor} accepted {changes} findings as normal ({summary}; {causes}) in generation {generation}: "
        "{reason}",
        IMPAIR,
        "If this was you or a colleague, nothing to do. If nobody knows of it, compare what became normal "
        "(hostguardctl diff) and go back (hostguardctl rollback).",
    ),
    "baseline.packages-accepted": Condition(
        ALERT, LOW,
        "{actor} accepted {changes} findings as normal ({summary}; {causes}) in generation {generation}: "
        "{reason}", "",
        "As the configuration asks for ([baseline] accept_packages): each is exactly what a package says "
        "whose signature verifies. hostguardctl diff shows them, hostguardctl rollback takes them back.",
    ),
    "baseline.rolledback": Condition(
        ALERT, HIGH,
        "{actor} went back to the baseline of generation {number}, now generation {generation}: {reason}",
        IMPAIR,
        "What was approved since then is told as drift again. If nobody knows of this, ask whoever is named.",
    ),
    "baseline.untold": Condition(
        ALERT, HIGH,
        "Generation {generation} of the baseline is of {since:time}, by {actor}, and no alert told of it "
        "then: {reason}",
        IMPAIR,
        "Either hostguardd was cut off (a kill, a power cut) before it could tell, or somebody wrote to its "
        "state. If nobody knows of it, compare what became normal (hostguardctl diff) and go back "
        "(hostguardctl rollback).",
    ),
    "baseline.damaged": Condition(
        EXIT, CRITICAL, "The baseline cannot be used: {problem}", IMPAIR,
        "hostguardd stops rather than compare with a baseline that cannot be trusted. Keep the damaged file "
        "as evidence, put a copy from the backup in its place, and start again. Disks fail more often than "
        "they are tampered with; look at both.",
    ),
    "baseline.tampered": Condition(
        ALERT, CRITICAL, "The approved baseline is not as it was approved: {problem}", "T1565.001",
        "Somebody with root's rights wrote to the state folder: trust no silence since the last approval "
        "you remember. Keep a copy of the folder as evidence, compare this host with a backup or a sibling, "
        "and only then approve a baseline anew.",
    ),
    "baseline.restored": Condition(
        ALERT, HIGH, "The baseline was damaged ({problem}); generation {generation} is whole and in use",
        IMPAIR,
        "Approvals after that generation are lost: review hostguardctl drift. Look at the disk's health and "
        "at who may have written to the state folder.",
    ),
    "coverage.overflow": Condition(
        ALERT, MEDIUM,
        "Hints were lost between {since:time} and {until:time}, as changes came faster than they were read",
        IMPAIR,
        "Everything watched is being compared now, so no lasting change is missed. Under no known load (an "
        "update, a restore) ask what made so many changes: a flood can be meant to hide one of them.",
    ),
    "actors.lost": Condition(
        ALERT, LOW,
        "The kernel had more {what} than were read: changes of that time may be told without who made them",
        IMPAIR,
        "Nobody is named by guess for that time. If nothing is known to have made so many (an update, a "
        "build), ask what did: a flood can be meant to hide one process. For audit records, raise audit's "
        "backlog (auditctl -b 8192).",
    ),
    "coverage.watch-limit": Condition(
        ALERT, MEDIUM,
        "Folders that cannot be watched live: {count}, as the limit of {limit} watches is reached",
        IMPAIR,
        "They are still swept periodically. Raise fs.inotify.max_user_watches (sysctl), or find the program "
        "that used the watches up.",
    ),
    "coverage.watch-denied": Condition(
        ALERT, LOW, "{path} cannot be watched live: {problem}", "",
        "It is still swept periodically where it can be read. Give hostguardd access, or leave the folder "
        "out of the watch.",
    ),
    "coverage.watcher-dead": Condition(
        ALERT, HIGH, "The live watcher stopped working: {problem}", IMPAIR,
        "It is being started again, and everything watched is compared now. If this repeats, run "
        "hostguardctl doctor and look at the daemon's journal.",
    ),
    "coverage.restored": Condition(
        ALERT, INFO, "Live watching is whole again; it was not from {since:time} to {until:time}", "",
        "What changed meanwhile has been compared. Nothing to do.",
    ),
    "coverage.blind": Condition(
        ALERT, MEDIUM, "Cannot look at {scope} ({kind}): {problem}", IMPAIR,
        "Until this is seen again, no alert from it is no good news. Check permissions, mounts and the disk.",
    ),
    "coverage.seen-again": Condition(
        ALERT, INFO, "Can look at {scope} ({kind}) again, after {gap:span}", "",
        "It has been compared with the baseline. Nothing to do.",
    ),
    "control.lost": Condition(
        ALERT, MEDIUM, "The control socket was lost: {problem}", IMPAIR,
        "Without it hostguardctl finds no daemon, though it watches on. A clean-up of /run does this; if "
        "there was none, ask who removed it. If it cannot be made again, move aside what is in its place, "
        "or restart hostguardd.",
    ),
    "log.repaired": Condition(
        ALERT, HIGH, "The alert log was repaired: {repair}", WIPE,
        "Usual after a power cut. Without one, somebody may have cut the log: compare it with the copy that "
        "was sent away, and run hostguardctl verify.",
    ),
    "log.unwritable": Condition(
        ALERT, CRITICAL, "Alerts cannot be written: {problem}", WIPE,
        "Findings are kept and told once the log can be written again; until then read them with "
        "hostguardctl drift. Make room, or put the log's folder right.",
    ),
    "log.reserve-used": Condition(
        ALERT, HIGH, "The disk of the alert log is full, and alerts now use the space kept for this", WIPE,
        "Make room soon: when the reserve is gone alerts cannot be written. Ask what filled the disk, as "
        "this is also a way to silence a log.",
    ),
    "log.unsent-lost": Condition(
        ALERT, HIGH, "{count} alerts were removed from the alert log before every destination had them", WIPE,
        "A destination was out of reach for so long that the log reached its bound ([alerts] keep_unsent). "
        "hostguardctl status names it. Put it right, and ask who broke it: this keeps alerts from leaving.",
    ),
    "alert.tested": Condition(
        ALERT, INFO, "This is a test, asked for by {actor}: nothing is wrong", "",
        "Nothing to do. hostguardctl test-alert says how far it got.",
    ),
    "store.unwritable": Condition(
        ALERT, HIGH, "The state folder cannot be written: {problem}", IMPAIR,
        "Watching goes on, and after a restart some alerts may be told twice. Make room, or put the state "
        "folder right.",
    ),
    "package.announced": Condition(
        ALERT, HIGH,
        "{actor} announced an update of hostguardd itself to {version}: what differs in its own files waits, "
        "{wait:span} at most, to be compared with what the new package says", IMPAIR,
        "If a colleague or the nightly update did this, nothing to do: hostguardd tells next what it found. "
        "Otherwise somebody is about to replace the watcher: look now who (hostguardctl alerts), and compare "
        "with the package of your distribution (rpm -V hostguardd).",
    ),
    "package.updated": Condition(
        ALERT, HIGH,
        "hostguardd itself was updated to {version}, as {actor} had announced: {changes} changes of its own "
        "files are what its package says, and accepted in generation {generation}", IMPAIR,
        "Expected after every update. Whether the package is the right one, its signature says (rpm -qi "
        "hostguardd). What differed from what the package says is told as drift.",
    ),
    "package.overdue": Condition(
        ALERT, HIGH, "The update of hostguardd that {actor} announced did not end within {wait:span}", IMPAIR,
        "What differs in its own files is told as drift now. If the package manager still works, wait for it "
        "and look again; otherwise ask who announced an update that never came.",
    ),
    "window.opened": Condition(
        ALERT, HIGH,
        "{actor} announced changes until {until:time} ({window}: {reason}); expected is {places}", IMPAIR,
        "If this was you or a colleague, nothing to do: what is announced is told quietly and listed at the "
        "end (hostguardctl expect). If nobody knows of it, somebody wants to change this host unnoticed: end "
        "it (hostguardctl expect --end ID) and look at everything that was told inside it.",
    ),
    "window.extended": Condition(
        ALERT, HIGH,
        "{actor} announced further changes until {until:time} ({window}: {reason}); expected is {places}",
        IMPAIR,
        "If nobody knows of it, end it (hostguardctl expect --end ID) and look at everything that was "
        "told inside it.",
    ),
    "window.resumed": Condition(
        ALERT, HIGH,
        "Changes that {actor} announced are still expected until {until:time} ({window}: {reason}); expected "
        "is {places}",
        IMPAIR,
        "Expected after a restart during announced changes. If nobody knows of them, end the window "
        "(hostguardctl expect --end ID).",
    ),
    "window.ending": Condition(
        ALERT, MEDIUM, "{actor} ended the time of announced changes ({window}: {reason})", "",
        "Nothing to do: what lay inside is listed next.",
    ),
    "window.ended": Condition(
        ALERT, LOW,
        "The time of changes that {actor} announced is over ({window}: {reason}): {inside} lay inside, none "
        "of medium severity or louder outside", "",
        "Look at what lay inside (hostguardctl expect ID) and decide: hostguardctl accept --window ID.",
    ),
    "window.ended-outside": Condition(
        ALERT, HIGH,
        "The time of changes that {actor} announced is over ({window}: {reason}): {inside} lay inside, and "
        "{outside} of medium severity or louder were told outside it meanwhile", IMPAIR,
        "Whoever knows of the change should say whether those outside belong to it (hostguardctl alerts); an "
        "intruder likes to work while much is changing. For what lay inside: hostguardctl expect ID, "
        "then hostguardctl accept --window ID.",
    ),
    "package.forged": Condition(
        ALERT, CRITICAL, "The package database itself is forged at {what}: {says}", "T1554 T1565.001",
        "A package whose header was written by hand vouches for nothing: somebody wanted changed files to "
        "look packaged. Keep a copy of the database as evidence, compare that package's files with those of "
        "a sibling or of the distribution, and trust no tool it brings before.",
    ),
    "package.key-added": Condition(
        ALERT, HIGH, "{manager} believes the signatures of another key now: {key}", "T1553.004",
        "Whoever holds the key may bring packages that count as signed. Expected when an administrator added "
        "a source of packages (rpm -qi gpg-pubkey shows whose it is); otherwise take it away (rpm -e), and "
        "look at what was installed since.",
    ),
    "config.reloaded": Condition(
        ALERT, LOW, "The configuration was read again and is in force: {summary}", IMPAIR,
        "If nobody changed it knowingly, look at /etc/hostguardd and its recent changes.",
    ),
    "config.refused": Condition(
        ALERT, MEDIUM, "The new configuration is refused, the old one stays in force: {problem}", "",
        "hostguardctl config check names every mistake. Put them right, then reload again.",
    ),
    "clock.stepped": Condition(
        ALERT, MEDIUM, "The clock was moved by {step:span}", TIMES,
        "Times before and after cannot be compared; the order of alerts is told by their numbers. If no time "
        "service and no administrator did it, somebody may be forging time stamps.",
    ),
    "sensor.failed": Condition(
        ALERT, HIGH, "The {sensor} sensor failed: {problem}", IMPAIR,
        "It is tried again at its next turn. If it repeats, what it watches is not watched: please report it "
        "with the daemon's journal.",
    ),
    "sensor.recovered": Condition(
        ALERT, INFO, "The {sensor} sensor works again", "",
        "It has looked at everything it watches. Nothing to do.",
    ),
    "sweep.late": Condition(
        ALERT, MEDIUM, "The {sensor} sweep is {late:span} late", IMPAIR,
        "The host may be overloaded or hostguardd held back. Look at the load, and at hostguardctl status.",
    ),
    "storm": Condition(
        ALERT, MEDIUM, "{count} findings came at once and are told as groups", "",
        "A package update or a restore looks like this; the groups name every path. If neither happened, "
        "start with the most severe group.",
    ),
}  # fmt: skip
"""Every code, by its name. Codes are told to others and do not change their meaning."""


class _Sentence(string.Formatter):
    """Knows the formats `time` and `span`."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "time":
            return datetime.fromtimestamp(value // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if format_spec == "span":
            return span(value)
        return str(super().format_field(value, format_spec))


_SENTENCE = _Sentence()
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def span(nanoseconds: int) -> str:
    """A length of time as two units at most: `3 d 4 h`, `1 min 5 s`, `250 ms`; `-` when backwards."""
    sign = "-" if nanoseconds < 0 else ""
    milliseconds = abs(nanoseconds) // 10**6
    if milliseconds < 1000:
        return f"{sign}{milliseconds} ms"
    rest = milliseconds // 1000
    parts: list[str] = []
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return sign + " ".join(filter(None, parts[:2]))


def message_id(code: str) -> str:
    """The MESSAGE_ID of a code in the journal (sd_journal_send(3)): the same for ever, and nobody else's."""
    digest = bytearray(hashlib.sha256(b"hostguardd " + code.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x40  # as a random UUID, which sd_id128_randomize(3) makes
    digest[8] = digest[8] & 0x3F | 0x80
    return digest.hex()


def alert(code: str, at: int, **params: Param) -> Alert:
    """The alert for `code`, which happened at `at` (wall-clock nanoseconds).

    `params` must hold what the sentence of the code needs and may hold more; all are kept under
    `details`. Bytes are names from the host. The id follows from code, time and parameters.

    Raises KeyError for an unknown code and TypeError for a missing parameter.
    """
    condition = CONDITIONS[code]
    missing = sorted(condition.params - params.keys())
    if missing:
        raise TypeError(f"health alert {code} needs {', '.join(missing)}")
    details = {
        name: value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
        for name, value in sorted(params.items())
    }
    told = json.dumps([code, at, details], sort_keys=True)
    return Alert(
        id=hashlib.sha256(told.encode()).hexdigest()[:20],
        at=at,
        kind="health",
        action=code.replace(".", "-"),
        severity=condition.severity,
        message=_SENTENCE.vformat(condition.sentence, (), details),
        rule=code,
        technique=condition.technique,
        data={
            "code": code,
            "reaction": condition.reaction.value,
            "advice": condition.advice,
            "details": details,
        },
    )
