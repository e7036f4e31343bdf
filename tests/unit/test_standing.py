"""The table of standings: who is a service, who a helper, who hangs below somebody's login."""

from __future__ import annotations

from typing import Any

import pytest

from hostguardd.host.live import ANONYMOUS, DELETED, REPLACED, RUNNING, Process
from hostguardd.sections import ProcessesConfig
from hostguardd.sensors.standing import HELPER, SERVICE, SESSION, Standing, standing, worker

SETTINGS = ProcessesConfig()
INIT = Process(
    1, 0, 1, False, 1, 0, 0, b"systemd", b"/sbin/init", RUNNING, (), b"/", b"init.scope", False, ""
)
PLAIN = INIT._replace(pid=900, parent=1, session=900, comm=b"x", exe=b"/usr/bin/x", unit=b"")
SHELL = PLAIN._replace(pid=800, exe=b"/usr/bin/bash", tty=34816, login=True, unit=b"session-3.scope")
SSHD = PLAIN._replace(pid=700, exe=b"/usr/sbin/sshd")
CRON = PLAIN._replace(pid=600, exe=b"/usr/sbin/crond", unit=b"crond.service")
NGINX = PLAIN._replace(pid=500, exe=b"/usr/sbin/nginx", unit=b"nginx.service")

CASES: list[tuple[str, dict[str, Any], list[Process], str, float | None]] = [
    ("a unit's main process", {"unit": b"x.service"}, [INIT], SERVICE, SETTINGS.managed),
    (
        "a getty, for all its terminal",
        {"unit": b"getty@tty1.service", "tty": 1025},
        [INIT],
        SERVICE,
        SETTINGS.managed,
    ),
    (
        "left to a subreaper",
        {"parent": 500, "session": 899},
        [PLAIN._replace(pid=500, session=500), INIT],
        SERVICE,
        SETTINGS.detached,
    ),
    ("a System V daemon", {}, [INIT], SERVICE, SETTINGS.detached),
    ("from inittab on a console", {"tty": 1025}, [INIT], SERVICE, SETTINGS.detached),
    ("from outside our pid namespace", {"parent": 0}, [], SERVICE, SETTINGS.detached),
    (
        "left behind by a login",
        {"login": True, "unit": b"session-3.scope"},
        [INIT],
        SERVICE,
        SETTINGS.detached,
    ),
    (
        "left behind by a cron job",
        {"login": True, "unit": b"crond.service"},
        [INIT],
        SERVICE,
        SETTINGS.detached,
    ),
    ("a service restarted by hand without systemd", {"login": True}, [INIT], SERVICE, SETTINGS.detached),
    (
        "in the background of a living terminal",
        {"tty": 34816, "session": 800, "login": True},
        [INIT],
        SESSION,
        None,
    ),
    ("a service's child", {"parent": 500, "unit": b"nginx.service"}, [NGINX, INIT], HELPER, SETTINGS.helper),
    (
        "a child of something detached",
        {"parent": 700, "exe": b"/bin/y"},
        [PLAIN, INIT],
        HELPER,
        SETTINGS.helper,
    ),
    ("a kernel thread's child", {"parent": 2}, [INIT._replace(pid=2, kernel=True)], HELPER, SETTINGS.helper),
    ("a login shell", {"parent": 700, "tty": 34816, "login": True}, [SSHD, INIT], SESSION, None),
    ("a login by its scope alone", {"parent": 700, "unit": b"session-3.scope"}, [INIT], SESSION, None),
    ("below a shell, in a session of its own", {"parent": 800, "tty": 0}, [SHELL, SSHD, INIT], SESSION, None),
    ("below sshd, with no sign at all", {"parent": 700}, [SSHD, INIT], SESSION, None),
    ("a user's own services", {"unit": b"user@1000.service", "login": True}, [INIT], SESSION, None),
    ("a cron job", {"parent": 600, "unit": b"crond.service", "login": True}, [CRON, INIT], SESSION, None),
    ("a cron job without login uids", {"parent": 600}, [CRON._replace(unit=b""), INIT], SESSION, None),
    ("a timer's job", {"unit": b"backup.service"}, [INIT], SESSION, None),
    ("a timer's job's child", {"parent": 900, "unit": b"backup.service"}, [PLAIN, INIT], SESSION, None),
]


@pytest.mark.parametrize(
    ("fields", "ancestors", "role", "settle"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_standing(fields: dict[str, Any], ancestors: list[Process], role: str, settle: float | None) -> None:
    found = standing(PLAIN._replace(**fields), ancestors, SETTINGS, lambda unit: unit == b"backup.service")
    assert found == Standing(role, settle)


@pytest.mark.parametrize(
    ("fields", "at_once"),
    [
        ({"state": DELETED}, True),
        ({"state": ANONYMOUS, "exe": b"/memfd:x"}, True),
        ({"exe": b"/tmp/x"}, True),
        ({"exe": b"/dev/shm/.x/y"}, True),
        ({"exe": b"/var/tmp/x"}, True),
        ({"state": REPLACED}, False),
        ({"exe": b"/opt/tmp/x"}, False),
        ({"exe": b""}, False),
    ],
)
@pytest.mark.parametrize("ancestors", [[INIT], [SHELL, SSHD, INIT]])
def test_what_is_suspicious_is_news_at_once_even_in_a_session(
    fields: dict[str, Any], at_once: bool, ancestors: list[Process]
) -> None:
    process = PLAIN._replace(parent=ancestors[0].pid, **fields)
    found = standing(process, ancestors, SETTINGS, lambda unit: False)
    assert (found.settle == 0.0) is at_once
    assert found.role == (SESSION if ancestors[0] is SHELL else SERVICE)


@pytest.mark.parametrize(
    ("child", "parent", "expected"),
    [
        ({}, {}, True),
        ({"uid": 33}, {}, True),
        ({"uid": 33}, {"uid": 33}, True),
        ({"uid": 0}, {"uid": 33}, False),
        ({"uid": 34}, {"uid": 33}, False),
        ({"exe": b"/usr/bin/y"}, {}, False),
        ({"exe": b""}, {"exe": b""}, False),
    ],
)
def test_worker(child: dict[str, Any], parent: dict[str, Any], expected: bool) -> None:
    assert worker(PLAIN._replace(**child), PLAIN._replace(**parent), b"", b"") is expected


def test_a_worker_runs_the_same_script() -> None:
    assert not worker(PLAIN, PLAIN, b"/a.py", b"/b.py")
