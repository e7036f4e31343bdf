"""Facts, findings and alerts to tell about, and the published schema to hold every line against."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import hostguardd
from hostguardd.model import (
    AccountFact,
    Alert,
    Drift,
    EventFact,
    Fact,
    FileFact,
    Finding,
    HiddenFact,
    KeyFact,
    ListenerFact,
    LogFact,
    LoginFact,
    ModuleFact,
    MountFact,
    ProcessFact,
    SetIdFact,
    SettingFact,
    Severity,
    Verdict,
)
from hostguardd.record import Identity, parse

NOW = 1_763_904_000_000_000_000  # 2025-11-23 13:20:00 UTC
SECOND = 1_000_000_000
IDENTITY = Identity(
    "web1", "0123456789abcdef0123456789abcdef", "11111111-2222-3333-4444-555555555555", "0.1.0"
)


class Passwd:
    """Names of users and groups, as a dictionary would have them."""

    def __init__(self, users: dict[int, str] | None = None, groups: dict[int, str] | None = None) -> None:
        self.users = {0: "root", 1000: "alice"} if users is None else users
        self.groups = {0: "root", 5: "tty"} if groups is None else groups

    def user(self, uid: int) -> str:
        return self.users.get(uid, "")

    def group(self, gid: int) -> str:
        return self.groups.get(gid, "")


NAMES = Passwd()

FILE = FileFact(
    folder=b"/etc", name=b"passwd", mode=stat.S_IFREG | 0o644, uid=0, gid=0, size=1234, mtime=NOW - SECOND,
    ctime=NOW - SECOND, inode=77, links=1, device=0, target=b"", sha256=b"\x01" * 32, xattrs=b"",
    flags=0x80000, unstable=0,
)  # fmt: skip
SETID = SetIdFact(
    filesystem=b"/", path=b"/tmp/.x", mode=stat.S_IFREG | 0o4755, uid=0, gid=0, size=1_234_567, ctime=NOW,
    inode=9, sha256=b"\x02" * 32, caps=b"",
)  # fmt: skip
LISTENER = ListenerFact(
    proto="tcp", endpoint=b"0.0.0.0:4444", port=4444, uid=1000, exe=b"/tmp/nc", command=b"/tmp/nc\0-l",
    sha256=b"\x03" * 32, pid=812, started=5, inode=4,
)  # fmt: skip
PROCESS = ProcessFact(
    host="host", exe=b"/usr/sbin/inetd", uid=0, parent_exe=b"/usr/lib/systemd/systemd", script=b"",
    role="service", instances=1, state="running", sha256=b"\x04" * 32, unit=b"inetd.service",
    comm=b"inetd", kernel=0, pid=411, parent=1, started=9, command=b"/usr/sbin/inetd\0-i",
)  # fmt: skip
ACCOUNT = AccountFact(
    database="users", name=b"mallory", id=1001, gid=1001, home=b"/home/mallory", shell=b"/bin/bash",
    comment=b"Mallory", password="set", secret=b"\x05" * 32, expires=-1, groups=b"wheel", twins=b"",
    subordinate=b"", line=30,
)  # fmt: skip
KEY = KeyFact(
    account=b"alice", key=b"SHA256:abc in /home/alice/.ssh/authorized_keys", role="key", type=b"ssh-ed25519",
    options=b"", comment=b"mallory@evil", path=b"/home/alice/.ssh/authorized_keys", line=1,
)  # fmt: skip
MOUNT = MountFact("host", b"/etc", 0, b"tmpfs", b"tmpfs", b"/", b"relatime,rw", "watched", 42)
MODULE = ModuleFact("host", b"diamorphine", b"EO", "everywhere", 16384)
SETTING = SettingFact("sysctl", b"kernel.core_pattern", b"|/tmp/x", b"")
LOG = LogFact(
    "logs",
    b"/var/log/messages",
    "truncated",
    1,
    b"",
    7,
    211,
    48_213,
    0,
    1_763_904_000,
    211,
    b"\x06" * 32,
    b"\x07" * 32,
    b"",
)
LOGIN = LoginFact(
    "origins", b"alice from 203.0.113.9", b"alice", b"203.0.113.9", b"sshd", b"pts/0", 1_763_904_000, 1
)
EVENT = EventFact(
    "refused", b"sshd from 203.0.113.9", 2, b"sshd", b"root", b"203.0.113.9", 12, 1_763_903_000,
    1_763_904_000, b"Failed password for root from 203.0.113.9 port 4242 ssh2",
)  # fmt: skip
HIDDEN = HiddenFact(
    "processes", b"pid 4711", "unlisted", b"/usr/bin/x", b"the kernel answers for it, and it is not in /proc"
)

SAMPLES: tuple[Fact, ...] = (
    FILE, SETID, LISTENER, PROCESS, ACCOUNT, KEY, MOUNT, MODULE, SETTING, LOGIN, LOG, EVENT, HIDDEN,
)  # fmt: skip
"""One of each kind."""


def drift(before: Fact | None, after: Fact | None) -> Drift:
    """The drift between two facts of one kind, by what really differs."""
    kind = type(after or before)
    assert issubclass(kind, Fact)
    changed: tuple[str, ...] = ()
    if before is not None and after is not None:
        changed = tuple(
            name
            for name in kind.columns()
            if name not in kind.VOLATILE and getattr(before, name) != getattr(after, name)
        )
    return Drift(kind, before, after, changed)


def finding(
    before: Fact | None,
    after: Fact | None,
    severity: Severity = Severity.HIGH,
    name: str = "f1",
    diff: str = "",
) -> Finding:
    verdict = Verdict("accounts", severity, "T1098", "Ask whose change this was.")
    return Finding(name, drift(before, after), verdict, 3, NOW, NOW + SECOND, diff)


def files(count: int, folder: bytes = b"/usr/lib/python3") -> list[Finding]:
    """`count` new files in one folder, each a finding of its own."""
    return [
        finding(None, replace(FILE, folder=folder, name=b"m%06d.py" % number), Severity.LOW, f"f{number}")
        for number in range(count)
    ]


def alert(number: int = 0, **more: Any) -> Alert:
    """A plain alert; `number` tells it from others."""
    fields: dict[str, Any] = {
        "id": f"a{number}", "at": NOW + number, "kind": "health", "action": "daemon-started",
        "severity": Severity.INFO, "message": f"Alert {number}.",
    }  # fmt: skip
    return Alert(**(fields | more))


@cache
def _validator() -> Draft202012Validator:
    path = Path(hostguardd.__file__).parent / "schema" / "alert.schema.json"
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def check(line: bytes) -> dict[str, Any]:
    """The record of `line`, after the published schema and the rules of a line have been held to it."""
    assert b"\n" not in line
    assert not any(byte < 0x20 or byte == 0x7F for byte in line)
    record = parse(line)
    problems = [f"{error.json_path}: {error.message[:200]}" for error in _validator().iter_errors(record)]
    assert not problems, problems
    return record
