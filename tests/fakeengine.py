"""A daemon's loop for tests of the control socket: the real server, answers from a script.

`FakeEngine` takes jobs in a thread of its own, as the real loop does, and answers each call with the
function of its name: a host on which three things are not as approved. A test edits `findings`,
`checks`, … or replaces a function in `answers`.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from hostguardd.control.job import Job
from hostguardd.control.server import ControlServer
from hostguardd.errors import HostguardError, UsageError
from hostguardd.model import Severity

NOW = datetime(2026, 11, 23, 14, 5, 30, tzinfo=UTC)


def ago(**span: float) -> str:
    """ISO 8601, as the daemon writes times, of that long before NOW."""
    return (NOW - timedelta(**span)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def generation(number: int = 7, reviewed: bool = True, **more: Any) -> dict[str, Any]:
    """A generation as the daemon tells of it."""
    return {
        "number": number,
        "at": ago(days=2, minutes=3),
        "actor": "alice (uid 1000), login uid 1000, pid 4711 hostguardctl" if reviewed else "hostguardd",
        "reason": "openssl security update" if reviewed else "first start",
        "reviewed": reviewed,
        "digest": "5f4d1c0a" * 8,
        "facts": 141961,
        "parent": number - 1,
        **more,
    }


def file_fact(path: str = "/etc/passwd", **more: Any) -> dict[str, Any]:
    """A file as the daemon shows it."""
    folder, _, name = path.rpartition("/")
    return {
        "folder": folder, "name": name, "mode": "0644", "uid": 0, "gid": 0, "size": 2291,
        "mtime": ago(days=40), "ctime": ago(days=40), "inode": "131342", "links": 1, "device": 0,
        "target": "", "sha256": "ab12" * 16, "xattrs": [], "flags": "e", "unstable": False,
        "path": path, "type": "file", "permissions": "-rw-r--r--", "owner": "root", "group": "root", **more,
    }  # fmt: skip


def passwd() -> dict[str, Any]:
    """The loudest finding: an account more."""
    after = file_fact(size=2337, mtime=ago(minutes=3), ctime=ago(minutes=3), sha256="cd34" * 16)
    return {
        "id": "3f9a21c4",
        "kind": "file",
        "label": "/etc/passwd",
        "action": "changed",
        "severity": "critical",
        "rule": "accounts",
        "technique": "T1136.001",
        "advice": "Compare the accounts with those you know: an extra one with uid 0 is an intruder's. "
        "`getent passwd 0` must show root alone.",
        "message": "/etc/passwd changed: content, size 2.3 kB → 2.3 kB, mtime",
        "changed": ["size", "mtime", "ctime", "sha256"],
        "before": file_fact(),
        "after": after,
        "first_seen": ago(minutes=3),
        "last_seen": ago(seconds=9),
        "generation": 7,
        "diff": "--- /etc/passwd (generation 7)\n+++ /etc/passwd\n@@ -41,3 +41,4 @@\n"
        " alice:x:1000:1000:Alice:/home/alice:/bin/bash\n+toor:x:0:0::/root:/bin/sh\n",
    }


def netcat() -> dict[str, Any]:
    """A program that waits for connections and was never approved."""
    return {
        "id": "b07712de",
        "kind": "listener",
        "label": "tcp 0.0.0.0:4444",
        "action": "added",
        "severity": "high",
        "rule": "listener-temporary",
        "technique": "T1571",
        "advice": "Nothing that lies in a world-writable folder should accept connections. Keep a copy of it "
        "before you end it.",
        "message": "New listener tcp 0.0.0.0:4444: /tmp/.x/nc (uid 1000 alice, pid 812)",
        "changed": [],
        "before": None,
        "after": {
            "proto": "tcp", "endpoint": "0.0.0.0:4444", "port": 4444, "uid": 1000,
            "exe": "/tmp/.x/nc", "command": "/tmp/.x/nc -lp 4444", "sha256": None, "pid": 812,
            "started": 88123, "inode": "44120", "user": "alice",
        },
        "first_seen": ago(minutes=1, seconds=20),
        "last_seen": ago(seconds=2),
        "generation": 7,
        "diff": "",
    }  # fmt: skip


def backup() -> dict[str, Any]:
    """A quiet one, with a path longer than a line."""
    path = "/etc/systemd/system/" + "-".join(["very-long-unit-name"] * 6) + ".service.d/override.conf"
    return {
        "id": "90aa51f0",
        "kind": "file",
        "label": path,
        "action": "removed",
        "severity": "low",
        "rule": "etc",
        "technique": "",
        "advice": "",
        "message": f"{path} is gone",
        "changed": [],
        "before": file_fact(path=path),
        "after": None,
        "first_seen": ago(hours=26),
        "last_seen": ago(hours=26),
        "generation": 7,
        "diff": "",
    }


def alert(sequence: int, severity: str = "high", message: str = "/etc/passwd changed: content") -> bytes:
    """A line of the alert log, without its newline."""
    record = {
        "@timestamp": ago(minutes=60 - sequence),
        "event": {"sequence": sequence, "kind": "alert"},
        "message": message,
        "hostguard": {"severity": severity, "schema": 1},
    }
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def status() -> dict[str, Any]:
    """A daemon in good health that cannot see two places."""
    sensor = {"interval": 600.0, "last_began": ago(minutes=4), "last_ended": ago(minutes=3, seconds=50)}
    return {
        "version": "0.1.0",
        "pid": 812,
        "state": "watching",
        "since": ago(days=2),
        "mode": "root",
        "generation": generation(),
        "open": {"critical": 1, "high": 1, "medium": 0, "low": 1, "info": 0},
        "coverage": {
            "watched_folders": 12412,
            "unwatched_folders": 0,
            "unwatched": {},
            "overflows": 0,
            "live": True,
            "blinds": [
                {"kind": "setid", "scope": "/mnt/nfs", "reason": "a network file system, left out"},
                {"kind": "listener", "scope": "net:[4026532301]", "reason": "another network namespace"},
            ],
        },
        "sensors": {
            "files": sensor | {"entries": 141961, "duration": 1.42, "next": ago(minutes=-6), "paced": True},
            "files-full": sensor | {
                "interval": 86400.0, "entries": 141961, "duration": 212.0, "next": ago(hours=-9),
                "paced": False,
            },
            "listeners": sensor | {"interval": 0.5, "entries": 31, "duration": 0.002, "next": ago(seconds=0),
                "last_ended": ago(seconds=0.2), "paced": False},
        },
        "log": {"sequence": 1284, "head": "77aa" * 16, "size": 3_200_000, "unwritable": False},
        "memory_rss": 44_300_000,
        "cpu_seconds": 211.4,
    }  # fmt: skip


Run = Callable[..., tuple[int, str, str]]
"""A command of hostguardctl: (exit code, standard output, standard error)."""


class FakeEngine:
    """The loop's side of the control socket, and the server in front of it."""

    def __init__(self, folder: Path, group: str = "") -> None:
        self.path = str(folder / "control.sock")
        self.config = folder / "hostguardd.toml"
        self.config.write_text(f"[paths]\nrun = {json.dumps(str(folder))}\n")
        self.findings = [backup(), netcat(), passwd()]
        self.groups: list[dict[str, Any]] = []
        self.generation = generation()
        self.checks = [
            {"name": "inotify watches", "ok": True, "message": "12,412 of 65,536 used", "advice": ""},
            {
                "name": "alert log",
                "ok": False,
                "message": "nothing forwards it to another machine",
                "advice": "An intruder who becomes root can delete this log. Configure [forward].",
            },
        ]
        self.alerts = [alert(n) for n in range(1, 6)]
        self.seen: list[Job] = []
        self.problem: HostguardError | None = None
        self.answers: dict[str, Callable[[Job], None]] = {
            name.removeprefix("_do_").replace("_", "-"): getattr(self, name)
            for name in dir(self)
            if name.startswith("_do_")
        }
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.server = ControlServer(self.path, group, self._jobs.put)

    def __enter__(self) -> Self:
        self.server.start()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.stop()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self.seen.append(job)
            if self.problem is not None:
                job.fail(self.problem)
            else:
                self.answers[job.call](job)

    def _do_status(self, job: Job) -> None:
        job.finish(status() | {"generation": self.generation})

    def _do_drift(self, job: Job) -> None:
        loud = {s.label for s in Severity if s >= job.args["severity"]}
        job.finish({"generation": 7, "findings": [f for f in self.findings if f["severity"] in loud]})

    def _do_explain(self, job: Job) -> None:
        found = [f for f in self.findings if f["id"] == job.args["id"]]
        if found:
            job.finish({"finding": found[0] | {"status": "open"}})
        else:
            job.fail(UsageError(f"there is no open finding {job.args['id']}"))

    def _do_check(self, job: Job) -> None:
        self._sweep(job)
        blinds = [{"kind": "file", "scope": "/etc/secret", "reason": "not permitted to read it"}]
        job.finish({"findings": self.findings, "new": 1, "blinds": blinds, "duration": 1.42})

    def _do_review(self, job: Job) -> None:
        self._sweep(job)
        job.finish(
            {
                "findings": self.findings,
                "generation": self.generation,
                "token": "t0ken",
                "groups": self.groups,
                "more_groups": 0,
            }
        )

    def _do_approve(self, job: Job) -> None:
        if job.args["token"] != "t0ken":
            job.fail(UsageError("the host changed since that review: look again"))
            return
        self.findings = []
        self._advance(job)
        job.finish({"generation": self.generation})

    def _do_findings(self, job: Job) -> None:
        found = [f for f in self.findings if f["id"] in job.args["ids"]]
        job.finish({"findings": found, "token": "sh0wn"})

    def _do_accept(self, job: Job) -> None:
        self.findings = [f for f in self.findings if f["id"] not in job.args["ids"]]
        self._advance(job)
        job.finish({"generation": self.generation, "accepted": list(job.args["ids"])})

    def _do_group(self, job: Job) -> None:
        found = [f for f in self.findings if f.get("story", {}).get("group") in job.args["ids"]]
        job.finish({"findings": found, "groups": [], "more_groups": 0, "more": None, "token": "gr0up"})

    def _do_group_accept(self, job: Job) -> None:
        ids = [f["id"] for f in self.findings if f.get("story", {}).get("group") in job.args["ids"]]
        if job.args["token"] != "gr0up":
            job.fail(UsageError("the group changed since it was shown"))
            return
        self.findings = [f for f in self.findings if f["id"] not in ids]
        self._advance(job)
        job.finish({"generation": self.generation, "accepted": ids})

    def _do_rollback(self, job: Job) -> None:
        if job.args["number"] > self.generation["number"]:
            job.fail(UsageError(f"there is no generation {job.args['number']}"))
            return
        self._advance(job)
        job.finish({"generation": self.generation})

    def _do_history(self, job: Job) -> None:
        first = generation(6, reviewed=False, at=ago(days=9))
        job.finish({"generations": [first, self.generation]})

    def _do_diff(self, job: Job) -> None:
        changes = [{key: f[key] for key in ("kind", "label", "action", "changed", "before", "after")}
                   for f in self.findings]  # fmt: skip
        job.finish({"a": job.args["a"] or 6, "b": job.args["b"] or 7, "changes": changes})

    def _do_alerts(self, job: Job) -> None:
        for line in self.alerts[-job.args["limit"] :]:
            job.item(line)
        if not job.args["follow"]:
            job.finish({"count": len(self.alerts)})

    def _do_verify(self, job: Job) -> None:
        job.finish(
            {
                "ok": True,
                "baseline": {"generation": 7, "facts": 141961, "digest": "5f4d1c0a" * 8, "problem": ""},
                "log": {"lines": 1284, "first": 1, "last": 1284, "problem": ""},
            }
        )

    def _do_doctor(self, job: Job) -> None:
        job.finish({"checks": self.checks})

    def _sweep(self, job: Job) -> None:
        for done in (0, 70000, 139000):
            job.progress({"phase": "files", "done": done, "total": 139000, "where": "/usr/share"})

    def _advance(self, job: Job) -> None:
        self.generation = generation(
            self.generation["number"] + 1, actor=job.actor, reason=job.args["reason"], at=ago(seconds=0)
        )
