"""What keeps this host from being watched well: checks with advice, for `hostguardctl doctor`.

Each check is a function of the engine; the list is the table. Nothing here changes anything.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..host.sandbox import unseen
from .forwarded import destinations

if TYPE_CHECKING:
    from .engine import Engine
    from .witness import Witness

NEEDED_SPACE = 256 * 1024 * 1024
CAPABILITIES = {
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_AUDIT_CONTROL": 30,
}
"""Names and bit numbers, capabilities(7), linux/capability.h: files, firewall, its older kind, processes,
attributes in trusted.*, audit rules."""

QUEUE = 16_384
"""Hints that the kernel should keep for us at least: its own default for fs.inotify.max_queued_events."""

TIME_SERVICES = frozenset(
    {b"chronyd", b"ntpd", b"ntpsec", b"systemd-timesyn", b"openntpd", b"ptp4l", b"phc2sys"}
)
"""As /proc/PID/comm names them."""


class Check(NamedTuple):
    """One answer."""

    name: str
    ok: bool
    message: str
    advice: str = ""


def examine(engine: Engine) -> list[dict[str, Any]]:
    """What the engine itself knows, in the order of the list; on its thread."""
    return [check(engine)._asdict() for check in CHECKS]


def examine_host() -> list[dict[str, Any]]:
    """What others are asked for, which may take seconds; on any thread."""
    return [check()._asdict() for check in HOST_CHECKS]


def _baseline(engine: Engine) -> Check:
    current = engine.baseline.current()
    if current is None:
        return Check("baseline", False, "nothing is captured yet", "Wait for the first capture to end.")
    if not current.reviewed:
        return Check(
            "baseline",
            False,
            f"nobody reviewed generation {current.number}",
            "Look at this host once with care, then approve it: hostguardctl baseline.",
        )
    return Check("baseline", True, f"generation {current.number}, approved by {current.actor}")


def _privileges(engine: Engine) -> Check:
    effective = _effective()
    missing = [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]
    if missing:
        return Check(
            "capabilities",
            False,
            f"missing: {', '.join(missing)}",
            "Run hostguardd as root; under systemd, look for a drop-in that narrows CapabilityBoundingSet=.",
        )
    return Check("capabilities", True, "may read every file and see every process")


def _effective() -> int:
    with open("/proc/self/status", "rb") as handle:
        for line in handle:
            if line.startswith(b"CapEff:"):
                return int(line.split()[1], 16)
    return 0


def _watches(engine: Engine) -> Check:
    unwatched = engine.coverage.unwatched()
    used = engine.coverage.folders()
    if unwatched:
        why = ", ".join(f"{count} ({os.strerror(code)})" for code, count in unwatched.items())
        return Check(
            "inotify watches",
            False,
            f"{used} folders watched, not watched: {why}",
            "Raise fs.inotify.max_user_watches with sysctl. Until then those folders are only swept.",
        )
    return Check("inotify watches", True, f"{used} folders watched, up to {engine.coverage.limit} may be")


def inotify_limits(limits: str = "/proc/sys/fs/inotify") -> Check:
    """Whether the kernel keeps enough for us; `limits` is where it says so, inotify(7)."""
    name = "inotify limits"
    try:
        with open(f"{limits}/max_queued_events", encoding="ascii") as file:
            known = int(file.read())
        with open(f"{limits}/max_user_instances", encoding="ascii") as file:
            instances = int(file.read())
    except (OSError, ValueError):
        return Check(name, True, "the kernel does not tell its limits here")
    if known < QUEUE or instances < 16:
        return Check(
            name,
            False,
            f"fs.inotify.max_queued_events is {known}, max_user_instances {instances}",
            f"Set them to at least {QUEUE} and 128 with sysctl: a queue that is full loses hints, and all of "
            "root's programs share the instances.",
        )
    return Check(name, True, f"{known} hints may wait to be read")


def _sandbox() -> Check:
    if hidden := unseen():
        return Check(
            "sandbox",
            False,
            f"hidden from hostguardd: {'; '.join(hidden)}",
            "A drop-in of its unit hides this: systemctl cat hostguardd names it. Remove the setting, then "
            "systemctl daemon-reload and restart hostguardd; if nobody set it, ask who did.",
        )
    return Check("sandbox", True, "sees the host as its first process does")


def time_service(run: str = "/run/systemd", proc: str = "/proc") -> Check:
    """By what can be seen of a time service. A confined daemon may not ask the kernel, as adjtimex(2) also
    sets; and timedatectl(1) starts a service, which would be drift of our own making."""
    name = "clock"
    if os.path.exists(f"{run}/container"):
        return Check(name, True, "is that of the host of this container")
    if os.path.exists(f"{run}/timesync/synchronized"):
        return Check(name, True, "systemd-timesyncd keeps it right")
    running = _running(proc) & TIME_SERVICES
    if running == {b"systemd-timesyn"}:
        return Check(
            name,
            False,
            "systemd-timesyncd runs, and has not reached a time server yet",
            "See timedatectl timesync-status. Until then times in alerts may be wrong.",
        )
    if running:
        return Check(name, True, f"{', '.join(sorted(os.fsdecode(one) for one in running))} looks after it")
    return Check(
        name,
        False,
        "no time service runs",
        "Times in alerts cannot be compared with those of other hosts. Start chronyd or "
        "systemd-timesyncd, and see timedatectl.",
    )


def _running(proc: str) -> set[bytes]:
    """The names of all processes, as comm shows them (15 bytes)."""
    found = set()
    for name in os.listdir(proc):
        if name.isdigit():
            try:
                with open(f"{proc}/{name}/comm", "rb") as file:
                    found.add(file.read(16).strip())
            except OSError:
                continue
    return found


def _hints(engine: Engine) -> Check:
    if not engine.coverage.alive:
        return Check("live watching", False, "the watcher is not running", "Restart hostguardd.")
    if engine.coverage.overflows:
        return Check(
            "live watching",
            False,
            f"hints were lost {engine.coverage.overflows} times since the start",
            "Raise fs.inotify.max_queued_events with sysctl, or exclude what changes all the time.",
        )
    return Check("live watching", True, "no hint was lost since the start")


def _control(engine: Engine) -> Check:
    if engine.door and engine.door.trouble:
        return Check(
            "control socket",
            False,
            engine.door.trouble,
            'Put its folder right, or name in [control] group a group that exists ("" for none), '
            "and restart hostguardd.",
        )
    return Check("control socket", True, "answers who may ask")


def _space(engine: Engine) -> Check:
    tight = []
    for name, folder in (("state", engine.config.paths.state), ("log", engine.config.paths.log)):
        free = shutil.disk_usage(folder).free
        if free < NEEDED_SPACE:
            tight.append(f"{name} {folder}: {free // 2**20} MiB free")
    if tight:
        return Check("disk space", False, "; ".join(tight), "Make room: a full disk silences the alert log.")
    return Check("disk space", True, "enough for the state and the alert log")


def _log(engine: Engine) -> Check:
    if engine.announcer.unwritable:
        return Check(
            "alert log", False, engine.announcer.unwritable, "Make room, or put the log's folder right."
        )
    return Check("alert log", True, f"{engine.log.head[0]} alerts, written to {engine.log.path}")


def _state(engine: Engine) -> Check:
    if engine.announcer.state_unwritable:
        return Check("state", False, engine.announcer.state_unwritable, "Make room, or put its folder right.")
    return Check("state", True, "what is told is written down")


def _blinds(engine: Engine) -> Check:
    blinds = engine.baseline.blinds()
    if blinds:
        return Check(
            "blind spots",
            False,
            f"{len(blinds)} places cannot be looked at (see hostguardctl status)",
            "No alert from there is no good news. Check permissions, mounts and the configuration.",
        )
    return Check("blind spots", True, "everything the configuration names can be looked at")


def _forwarding(engine: Engine) -> Check:
    found = destinations(engine.config, engine.log.head[0], engine.clock.wall())
    if not found:
        return Check(
            "forwarding",
            True,
            "no [[destination]] is configured: alerts stay on this host, where an intruder may remove them",
        )
    if not found[0]["alive"]:
        return Check(
            "forwarding",
            False,
            "hostguardd-forward is not running: no alert leaves this host",
            "systemctl status hostguardd-forward says why; ask who stopped it.",
        )
    failing = [one for one in found if one["state"] != "connected" or one["problem"]]
    wrong = [f"{one['name']} ({one['problem'] or one['state']})" for one in failing]
    if wrong:
        return Check(
            "forwarding",
            False,
            f"not delivering: {'; '.join(wrong)}",
            "See hostguardctl status. Alerts are kept and sent once it is reached again.",
        )
    return Check("forwarding", True, f"delivers to {', '.join(one['name'] for one in found)}")


def _actors(engine: Engine) -> Check:
    return actors(engine.witness, engine.config.actors.rungs)


def actors(witness: Witness | None, wanted: Sequence[str]) -> Check:
    """Who made a change is known, from what, and why not from more."""
    name = "actors"
    if witness is None or not wanted:
        return Check(name, True, "nobody is asked who made a change ([actors] rungs is empty)")
    rungs = witness.rungs
    missing = [rungs.missing[one] for one in ("audit", "files", "processes") if one in rungs.missing]
    missing += [f"no events of {os.fsdecode(path)}: {why}" for path, why in rungs.unmarked.items()]
    if rungs.standing:
        found = " and ".join(STANDS[one.value] for one in rungs.standing)
        lost = ", ".join(f"{what} lost {count} times" for what, count in sorted(rungs.losses.items()))
        if rungs.calmed:
            missing.append("so much is written here that files are told of only when they are closed")
        if rungs.forgeable:
            missing.append(
                "root may set any login anew (auditctl --loginuid-immutable keeps it until the next boot)"
            )
        also = "".join(f"; {one}" for one in (lost, *missing) if one)
        return Check(name, True, f"who made a change is known from {found}{also}")
    return Check(
        name,
        True,  # no fault of the host's: it is as its administrator set it up
        f"alerts cannot name who made a change: {'; '.join(missing)}",
        "Install /usr/share/doc/hostguardd/hostguardd.rules in /etc/audit/rules.d and load it (augenrules "
        "--load), or allow fanotify by the drop-in beside it. Until then alerts tell who was logged in.",
    )


STANDS = {"audit": "the kernel's audit records", "fanotify": "file events and reports of processes"}

CHECKS: tuple[Callable[[Engine], Check], ...] = (
    _baseline,
    _privileges,
    _watches,
    _hints,
    _control,
    _log,
    _state,
    _space,
    _forwarding,
    _blinds,
    _actors,
)

HOST_CHECKS: tuple[Callable[[], Check], ...] = (_sandbox, inotify_limits, time_service)
