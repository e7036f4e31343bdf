"""How a process came to be, and so how soon it is news: the table of standings. Pure.

The theory. What survives the login, the job or the service that started it is a *service*, whoever
claims otherwise: its parent is init (or the manager that adopts orphans). What still hangs below
somebody's login or below a scheduled job is a *session* and ends with it: no fact, whatever it runs,
unless its image itself is suspicious. What hangs below a service is its *helper* when it is another
program and its worker, no fact of its own, when it is the same.

The signs, strongest first: the parent; the system manager's unit (cgroup); the login uid; a
terminal; the ancestors. None can be faked towards silence without staying below a session, and what
is left behind there when the session ends becomes a service that very moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from ..host.live import ANONYMOUS, DELETED, Process
from ..model import path_traits
from ..sections import ProcessesConfig
from .signs import LOUD

LASTING: Final = 5.0
"""Seconds that a script in a temporary folder must run before it is news in a login."""

SERVICE: Final = "service"
HELPER: Final = "helper"
SESSION: Final = "session"

ENTRANCES: Final = frozenset(
    folder + name
    for folder in (b"/usr/sbin/", b"/usr/bin/", b"/sbin/", b"/bin/")
    for name in (
        b"sshd", b"login", b"agetty", b"in.telnetd", b"telnetd", b"dropbear",
        b"cron", b"crond", b"atd", b"anacron", b"fcron",
    )
) | {
    b"/usr/lib/openssh/sshd-session", b"/usr/libexec/openssh/sshd-session",
    b"/usr/lib/openssh/sshd-auth", b"/usr/libexec/openssh/sshd-auth", b"/usr/lib/ssh/sshd-session",
}  # fmt: skip
"""Programs below which only logins and jobs hang: for hosts that keep neither cgroups nor login uids."""


class Standing(NamedTuple):
    """`role` as in ProcessFact; `settle` seconds it must live before it is news, None: it never is."""

    role: str
    settle: float | None


def standing(
    process: Process,
    ancestors: Sequence[Process],
    settings: ProcessesConfig,
    has_timer: Callable[[bytes], bool],
    signs: AbstractSet[str] = frozenset(),
) -> Standing:
    """Where `process` stands. `ancestors` are its living ones, the parent first; `signs` what is odd
    about how it runs (`sensors.signs`)."""
    role, settle = _standing(process, ancestors, settings, has_timer)
    if suspicious(process) or not signs.isdisjoint(LOUD):
        return Standing(role, 0.0)
    if "script-temporary" in signs:  # installers run such scripts too, and are soon done
        return Standing(role, min(LASTING, LASTING if settle is None else settle))
    return Standing(role, settle)


def suspicious(process: Process) -> bool:
    """Whether it is news at once and wherever it hangs: run from memory, from a file that is gone, or
    from a folder anybody may write to."""
    return process.state in (DELETED, ANONYMOUS) or "temporary" in path_traits(process.exe or b"")


def _standing(
    process: Process,
    ancestors: Sequence[Process],
    settings: ProcessesConfig,
    has_timer: Callable[[bytes], bool],
) -> tuple[str, float | None]:
    unit = process.unit
    if is_user_manager(unit):
        return SESSION, None
    left = is_left(process, ancestors)
    if unit.endswith(b".service"):
        if left and process.login:
            return SERVICE, settings.detached
        if process.login or has_timer(unit):
            return SESSION, None
        return (SERVICE, settings.managed) if left else (HELPER, settings.helper)
    if left and (process.tty == 0 or process.session == process.pid):
        return SERVICE, settings.detached
    chain = (process, *ancestors)
    if any(one.login or one.tty or is_session_scope(one.unit) for one in chain):
        return SESSION, None
    if any(one.exe in ENTRANCES for one in ancestors):
        return SESSION, None
    return HELPER, settings.helper


def is_left(process: Process, ancestors: Sequence[Process]) -> bool:
    """Whether init started or adopted it, or a subreaper did, or it came from outside our view.

    A child is born into its parent's session and leaves it only to lead one of its own (setsid(2)):
    one that does neither has another parent than the one who made it.
    """
    if process.parent in (0, 1):
        return True
    return (
        bool(ancestors)
        and not ancestors[0].kernel
        and process.session
        not in (
            process.pid,
            ancestors[0].session,
        )
    )


def is_user_manager(unit: bytes) -> bool:
    """`user@1000.service`: the manager of one user's own services, there while the user is."""
    return unit.startswith(b"user@") and unit.endswith(b".service")


def is_session_scope(unit: bytes) -> bool:
    """`session-3.scope`, `session-c1.scope`: one login."""
    return unit.startswith(b"session-") and unit.endswith(b".scope")


def worker(process: Process, parent: Process, script: bytes, parent_script: bytes) -> bool:
    """Whether it is a copy that its parent forked: the same program, no more powerful than the parent."""
    return (
        bool(process.exe)
        and process.exe == parent.exe
        and script == parent_script
        and parent.uid in (0, process.uid)
    )
