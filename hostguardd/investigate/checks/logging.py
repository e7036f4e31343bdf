"""Whether logs are whole and still written: holes in time, files cut or led away, services standing still.

An intruder's first care is what tells of them. What they take out of a log leaves a silence that is not
that log's habit, lines out of order, an empty file where there should be one; or they stop who writes it.

A host without any log service (a container) is told of, and not accused.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from ...facts.logs import WHOLE, LogFact
from ...host.live import Process
from ...model import SettingFact, join
from ...words.interface import counted
from ..interface import Confidence, Evidence, Found, Item, Moment, Unseen, Verdict, text, word
from ..logs.logfiles import LOGINS, Reading, reading
from ..logs.pulse import Gap, Pulse, spoke
from ..logs.states import state_of
from ..scene import SUDO, Scene

DAY: Final = 86400
ALIVE: Final = 20
"""Lines of other logs during a silence, by which the host was up and was logging."""

WIPED: Final = "Intruders take out what tells of them, or empty the whole log."
SAVE: Final = (
    "Save all logs now, the rotated ones and the journal too. Compare with what was sent to another host, "
    "with the "
    "journal (journalctl --since) and with last(1) for the same time."
)
DEAF: Final = "While nobody writes logs, nothing tells of what is done."
AGAIN: Final = (
    "Find out who stopped it and when (the journal, the history of root), before you start it again: its "
    "start writes "
    "to the very logs you want to keep as they are."
)


NOWHERE: Final = (b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/shm/", b"/tmp/", b"/var/tmp/")
"""Where what is written is lost. Containers lead their logs to /dev/stdout, which is not."""


class Service(NamedTuple):
    """Something that writes logs: its unit, how its process is called, where its program lies."""

    unit: bytes
    comm: bytes
    programs: tuple[bytes, ...]


SERVICES: Final = (
    Service(b"rsyslog.service", b"rsyslogd", (b"/usr/sbin/rsyslogd", b"/sbin/rsyslogd")),
    Service(b"syslog-ng.service", b"syslog-ng", (b"/usr/sbin/syslog-ng", b"/sbin/syslog-ng")),
    Service(
        b"systemd-journald.service",
        b"systemd-journal",
        (b"/usr/lib/systemd/systemd-journald", b"/lib/systemd/systemd-journald"),
    ),
    Service(b"auditd.service", b"auditd", (b"/usr/sbin/auditd", b"/sbin/auditd")),
)
JOURNALD: Final = SERVICES[2]
AUDITD: Final = SERVICES[3]
UNITS: Final = b"/etc/systemd/system"
CONTAINER: Final = b"/run/systemd/container"
"""What systemd writes where it was booted in one."""

ALWAYS: Final = (b"/var/log/messages", b"/var/log/syslog")
"""Logs to which something is written each day, where a service writes them at all."""

CORE: Final = (*ALWAYS, b"/var/log/secure", b"/var/log/auth.log")
RULES: Final = (b"/etc/rsyslog.conf", b"/etc/syslog-ng/syslog-ng.conf")
RULE_FOLDERS: Final = (b"/etc/rsyslog.d", b"/etc/syslog-ng/conf.d")


def look(scene: Scene) -> Iterator[Found]:
    """Files, their times, those who write them."""
    found = scene.once(reading)
    bad = list(_states(scene))
    yield from bad
    yield from _times(scene, found)
    running = dict(_running(scene))
    if scene.overlooked:  # who is not among the processes may be one of those
        yield Unseen("log services", "whether they run: not all processes were looked at")
    else:
        yield from _services(scene, running)
        yield from _missing(scene, found, running)
    yield from _audit(scene, running)
    for path, log in found.logs.items():
        if log.parts and not any(one.name.startswith(text(path)) for one in bad):
            lines = found.passages[path].pulse.lines if path in found.passages else 0
            yield Item(
                text(path),
                Verdict.FINE,
                f"read: {counted(lines, 'line')} in {counted(len(log.parts), 'file')}",
            )
    yield from found.unseen
    yield from scene.blind(LogFact)


# -- files -----------------------------------------------------------------------------------------


def _states(scene: Scene) -> Iterator[Item]:
    """What the daemon's own sensor sees in the files: with a baseline, what became of their content."""
    for fact in scene.facts(LogFact):
        if fact.view != "logs" or fact.state == WHOLE:
            continue
        elsewhere = fact.state == "linked" and not fact.detail.startswith(NOWHERE)
        verdict = Verdict.NOTABLE if elsewhere else Verdict.SUSPICIOUS
        yield state_of(scene, fact, verdict, WIPED, SAVE, "T1070.002")


# -- times -----------------------------------------------------------------------------------------


def _times(scene: Scene, found: Reading) -> Iterator[Found]:
    """Silences, lines that go back, bytes that nobody wrote."""
    pulses = {path: one.pulse for path, one in found.passages.items() if path != b"journal"}
    for path, passage in found.passages.items():
        others = [pulse for other, pulse in pulses.items() if other != path]
        if path == b"journal":
            continue  # of which only logins are read
        now = int(scene.now)
        steady = passage.steady.holes(now)
        for gap in passage.pulse.holes(now):
            sure = any(one.line and one.until >= gap.until >= one.until - one.seconds for one in steady)
            yield from _hole(path, gap, sure, *spoke(others, gap))
        if passage.pulse.back and passage.pulse.furthest is not None:
            yield _back(path, passage.pulse, passage.pulse.furthest)
        if passage.holed or passage.hollows:
            where = [text(bytes(one)) for one in passage.holed] + [text(one) for one in passage.hollows]
            begins = " from its very beginning" if passage.hollows else ""
            yield Item(
                f"{text(path)}: NUL bytes",
                Verdict.NOTABLE,
                f"{text(path)} holds stretches of NUL bytes{begins}",
                "A host that lost its power leaves them; so does a log that is emptied while a program "
                "that does not "
                "append has it open.",
                "See whether the host crashed at that time (last -x). If not, look who emptied the log.",
                technique="T1070.002",
                details={"places": len(where)},
                evidence=tuple(Evidence(one) for one in where[-5:]),
            )


def _hole(path: bytes, gap: Gap, sure: bool, lines: int, alive: bool) -> Iterator[Found]:
    """A silence. `lines` other logs got in the meantime, and if `alive` in most of its hours.

    One that lasts may be the end of what was written there for a while, or that nobody knocks any more. What
    was taken out has the same habit before and after: that of programs which speak by themselves (`sure`).
    """
    began = gap.until - gap.seconds
    lasting = not gap.line
    span = f"{gap.seconds / 3600:.1f} hours"
    when = f"since {_day(began)}" if lasting else f"from {_day(began)} to {_day(gap.until)}"
    says = f"{text(path)} is silent {when} ({span}), which is not its habit"
    suspicious = sure and alive and lines >= ALIVE and not gap.started and not lasting
    if gap.started:
        says += "; what follows tells of a start, so that the host or its log service was down"
    elif lines:
        says += f"; other logs got {counted(lines, 'line')} in that time"
    verdict = Verdict.SUSPICIOUS if suspicious else Verdict.NOTABLE
    name = "silent" if lasting else f"silent until {gap.until}"
    yield Item(
        f"{text(path)}: {name}" + (f" since {began}" if lasting else ""),
        verdict,
        says,
        WIPED,
        SAVE,
        technique="T1070.002" if not gap.started else "T1562.001",
        details={"from": began, "until": gap.until, "lines of others": lines},
        evidence=(Evidence(text(bytes(gap.where)) if not lasting else text(path), text(gap.line)),),
    )
    says = f"{text(path)} is silent for {span}"
    until = 0.0 if lasting else float(gap.until)
    yield Moment(began, "log", says, text(path), Confidence.LIKELY, verdict, until=until)


def _back(path: bytes, pulse: Pulse, furthest: Gap) -> Item:
    """Lines older than the ones before them."""
    zone = abs(furthest.seconds - 3600) <= 300
    return Item(
        f"{text(path)}: lines out of order",
        Verdict.FINE if zone else Verdict.NOTABLE,
        f"{text(path)} goes back in time {pulse.back} time{'s' * (pulse.back != 1)}, "
        f"by up to {furthest.seconds} s",
        "" if zone else "The clock was set back, or lines were put in by hand. Hosts whose clock is wrong "
        "until the network "
        "is there do so at each boot.",
        "" if zone else "Compare the lines there with the journal and with what was sent to another host.",
        technique="" if zone else "T1070.002",
        details={"times": pulse.back, "furthest": furthest.seconds},
        evidence=(Evidence(text(bytes(furthest.where)), text(furthest.line)),),
    )  # fmt: skip


def _day(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


# -- who writes them -------------------------------------------------------------------------------


def _running(scene: Scene) -> Iterator[tuple[Service, Process]]:
    for process in scene.processes.values():
        if process.kernel or process.namespace or process.uid >= 1000:
            continue  # a container's, or somebody's who took the name
        for service in SERVICES:
            if process.exe in service.programs or (not process.exe and process.comm == service.comm[:15]):
                yield service, process


def _services(scene: Scene, running: dict[Service, Process]) -> Iterator[Found]:
    """Which stand still though they should not."""
    if scene.host.live.blind:
        yield Unseen("log services", f"whether they run: {scene.host.live.blind}")
        return
    booted, texts = _booted(scene), scene.host.texts
    for service in SERVICES:
        name = text(service.unit.removesuffix(b".service"))
        masked = texts.link(join(UNITS, service.unit)) == b"/dev/null"
        if service in running:
            runs = f"{name} runs (pid {running[service].pid})"
            if masked:
                yield Item(
                    name, Verdict.NOTABLE, f"{runs}, and is masked, so that nothing starts it again", DEAF,
                    "Find out who masked it, and when (the history of root, its link's times).",
                    technique="T1562.001", evidence=(Evidence(f"systemctl status {word(name)}"),),
                )  # fmt: skip
            else:
                yield Item(name, Verdict.FINE, runs)
            continue
        path = next((one for one in service.programs if texts.lstat(one) is not None), None)
        if path is None and not masked:
            continue
        enabled = service == JOURNALD or _enabled(scene, service.unit)
        if not booted:
            continue
        stands = "is masked, so that nobody can start it" if masked else "does not run"
        bad = (enabled and not masked) or service == JOURNALD
        if service == AUDITD and texts.lstat(CONTAINER) is not None:
            stands += ", as in containers, whose kernel is audited from outside"
            bad = False
        yield Item(
            name,
            Verdict.SUSPICIOUS if bad else Verdict.NOTABLE,
            f"{name} is installed{' and enabled' if enabled else ''}, and {stands}",
            DEAF,
            AGAIN,
            technique="T1562.012" if service == AUDITD else "T1562.001",
            details={"enabled": enabled, "masked": masked},
            evidence=(Evidence(f"systemctl status {word(name)}"),),
        )
    if not any(service in running for service in SERVICES if service != AUDITD):
        yield Item(
            "log services",
            Verdict.SUSPICIOUS if booted else Verdict.NOTABLE,
            "No service that writes logs runs"
            + ("" if booted else "; nor is this host booted by systemd, as it is in containers"),
            DEAF,
            AGAIN if booted else "If this is no container, find out who stopped it.",
            technique="T1562.001",
            evidence=(Evidence("ps -e | grep -E 'syslog|journal'"),),
        )


def _booted(scene: Scene) -> bool:
    """Whether systemd booted the host, and so would start who is enabled."""
    first = scene.processes.get(1)
    return first is not None and b"systemd" in (first.exe or first.comm)


def _enabled(scene: Scene, unit: bytes) -> bool:
    """Whether a target wants it."""
    texts = scene.host.texts
    for folder in texts.names(UNITS, 2000) or ():
        if folder.endswith(b".wants") and texts.lstat(join(join(UNITS, folder), unit)) is not None:
            return True
    return False


def _missing(scene: Scene, found: Reading, running: dict[Service, Process]) -> Iterator[Found]:
    """Logs that a service writes, and that are not there or empty."""
    writer = next((running[one] for one in SERVICES[:2] if one in running), None)
    since = scene.now
    if writer is not None:
        since = scene.began(writer)
    elif _booted(scene) and any(_enabled(scene, one.unit) for one in SERVICES[:2]):
        since = scene.now - scene.host.live.uptime()
    rules = _rules(scene)
    for path in CORE:
        seen = scene.host.texts.lstat(path)
        log = found.logs.get(path)
        if seen is not None and (not stat.S_ISREG(seen.st_mode) or seen.st_size):
            continue
        archived = bool(log and any(part.path != path for part in log.parts))
        written = path in rules and scene.now - since > DAY
        if seen is None and not (written or archived):
            continue
        if seen is not None and archived and scene.now - seen.st_mtime < DAY:
            continue  # rotated just now
        gone = seen is None
        emptied = seen is not None and not archived and seen.st_mtime > scene.since and writer is not None
        sure = (written and path in ALWAYS) or (emptied and path in rules)
        yield Item(
            f"{text(path)}: {'missing' if gone else 'empty'}",
            Verdict.SUSPICIOUS if sure else Verdict.NOTABLE,
            f"{text(path)} is {'not there' if gone else 'empty'}"
            + (" although a service is told to write it" if path in rules else "")
            + ("; nor is there anything that was rotated from it" if not archived else ""),
            WIPED,
            SAVE,
            technique="T1070.002",
            details={"written to by rule": path in rules},
            evidence=(Evidence(f"ls -l {word(text(path))}*"),),
        )
        if seen is not None:
            yield Moment(
                seen.st_mtime, "log", f"{text(path)} was emptied, or "
                f"touched", text(path), Confidence.FORGEABLE,
                Verdict.SUSPICIOUS if sure else Verdict.NOTABLE,
            )  # fmt: skip
    core = [path for path in found.logs if path in ALWAYS or path.endswith(LOGINS)]
    if not core and writer is None and JOURNALD not in running and _booted(scene):
        yield Item(
            "logs",
            Verdict.NOTABLE,
            "There is no log of this host in /var/log, and no service that would write one",
            WIPED,
            "Ask when logs were last seen here, and look at those that were sent to another host.",
            technique="T1070.002",
        )


def _rules(scene: Scene) -> frozenset[bytes]:
    """The paths that settings of a log service name as where to write."""
    texts = scene.host.texts
    files = list(RULES)
    for folder in RULE_FOLDERS:
        files += [join(folder, name) for name in texts.names(folder, 500) or () if name.endswith(b".conf")]
    words: set[bytes] = set()
    for path in files:
        for line in (texts.read(path, 256 * 1024).data or b"").split(b"\n"):
            if not line.lstrip().startswith(b"#"):
                words.update(word.strip(b'-"();') for word in line.split())
    return frozenset(path for path in CORE if path in words)


def _audit(scene: Scene, running: dict[Service, Process]) -> Iterator[Found]:
    """The kernel's audit, in force."""
    facts = [fact for fact in scene.facts(SettingFact) if fact.topic == "audit"]
    enabled = next((fact for fact in facts if fact.name == b"enabled"), None)
    if enabled is None:
        if AUDITD in running:
            yield Unseen(
                "audit", "whether the kernel's audit is on could not be asked", "" if scene.is_root else SUDO
            )
        return
    off = enabled.value == b"off"
    rules = sum(fact.name.startswith(b"rule ") for fact in facts)
    bad = off and AUDITD in running
    yield Item(
        "audit",
        Verdict.SUSPICIOUS if bad else Verdict.FINE,
        f"The kernel's audit is {text(enabled.value)}, with {counted(rules, 'rule')}"
        + (", although its service runs" if bad else ""),
        DEAF if bad else "",
        AGAIN if bad else "",
        scene.known(enabled),
        "T1562.012" if bad else "",
        {"rules": rules},
        (Evidence("auditctl -s", text(enabled.value)),),
    )
