"""What happens on the host that `test_rpm.py` boots: from `rpm -i` to `rpm -e`, and all that lies between.

Runs with the host's own Python and nothing but its standard library, does what an administrator, an intruder
and a package manager do, and writes what came of it to /result.json.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOG = Path("/var/log/hostguardd/alerts.jsonl")
PATIENCE = 60.0
QUIET = 4.0
"""Seconds after which what was to be told would have been."""

MANY = 100_000

OF_DEBIAN = ("rpm: RPM should not be used directly", "rpm: However assuming")
"""What its rpm says whenever it installs something."""

result: dict[str, Any] = {}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def timed(*command: str) -> dict[str, Any]:
    began = time.monotonic()
    ran = run(*command)
    said = ran.stdout + "".join(
        line for line in ran.stderr.splitlines(keepends=True) if not line.startswith(OF_DEBIAN)
    )
    return {"code": ran.returncode, "seconds": time.monotonic() - began, "said": said}


def within(met: Callable[[], object], patience: float = PATIENCE) -> float | None:
    """Seconds until `met` was true; None: it never was."""
    began = time.monotonic()
    while not met():
        if time.monotonic() - began > patience:
            return None
        time.sleep(0.05)
    return time.monotonic() - began


def alerts(after: int = 0) -> list[dict[str, Any]]:
    """All alerts with a number above `after`."""
    found = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    return [alert for alert in found if alert["event"]["sequence"] > after]


def head() -> int:
    told = alerts()
    return int(told[-1]["event"]["sequence"]) if told else 0


def told(after: int, *words: str) -> bool:
    return any(
        all(word in json.dumps(alert, ensure_ascii=False) for word in words) for alert in alerts(after)
    )


def findings(after: int) -> list[str]:
    """What was told of the host, rather than of the daemon itself; but that our own server, started on the
    bad day, is a minute old."""
    told = [alert["message"] for alert in alerts(after) if alert["hostguard"]["kind"] != "health"]
    return [message for message in told if "-m http.server" not in message]


def shown(name: str) -> str:
    return run("systemctl", "show", "--value", "-p", name, "hostguardd").stdout.strip()


def status() -> dict[str, Any]:
    ran = run("hostguardctl", "status", "--json")
    return json.loads(ran.stdout) if ran.returncode == 0 else {}


def watching() -> bool:
    return bool(status().get("state") == "watching")


def swept() -> bool:
    """Whether the quick look after a start went through."""
    found = status()
    return bool(found.get("state") == "watching" and found["sensors"]["files.quick"]["last_ended"])


def drift() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("hostguardctl", "drift", "--json").stdout)["findings"]
    return found


def append(path: str, text: str) -> Callable[[], None]:
    def act() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a") as file:
            file.write(text)

    return act


def open_port() -> None:
    subprocess.Popen(["/usr/bin/python3", "-m", "http.server", "4444"], cwd="/", stderr=subprocess.DEVNULL)


def start_service() -> None:
    append("/etc/systemd/system/backdoor.service", "[Service]\nExecStart=/usr/bin/sleep 1000\n")()
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "backdoor")


def set_uid() -> None:
    shutil.copy("/bin/true", "/var/tmp/tool")
    Path("/var/tmp/tool").chmod(0o4755)


def go_by_another_name() -> None:
    """What a daemon in a mount namespace of its own would take for somebody else's paths."""
    shutil.copy("/usr/bin/sleep", "/opt/worker")
    run("systemd-run", "--unit=worker", "bash", "-c", "exec -a /usr/bin/dbus-daemon /opt/worker 1000")


CHANGES: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "account": (append("/etc/passwd", "eve:x:0:0::/:/bin/sh\n"), ("eve",)),
    "sudo": (append("/etc/sudoers.d/eve", "eve ALL=(ALL) NOPASSWD: ALL\n"), ("/etc/sudoers.d/eve",)),
    "ssh key": (append("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA eve\n"), ("authorized_keys",)),
    "cron": (append("/etc/cron.d/eve", "* * * * * root /bin/true\n"), ("/etc/cron.d/eve",)),
    "login script": (append("/etc/profile.d/eve.sh", "true\n"), ("/etc/profile.d/eve.sh",)),
    "resolver": (append("/etc/hosts", "192.0.2.1 update.example\n"), ("/etc/hosts",)),
    "authentication": (append("/etc/pam.d/other", "# eve\n"), ("/etc/pam.d/other",)),
    "preload": (append("/etc/ld.so.preload", "\n"), ("/etc/ld.so.preload",)),
    "program": (append("/usr/bin/yes", "\0"), ("/usr/bin/yes",)),
    "mode": (
        lambda: os.chmod("/etc/crontab" if os.path.exists("/etc/crontab") else "/etc/issue", 0o666),
        ("0666",),
    ),
    "attribute": (lambda: os.setxattr("/etc/group", "trusted.x", b"1"), ("trusted.x",)),
    "another name": (go_by_another_name, ('"process-masquerades"', "/opt/worker")),
    "set-uid": (set_uid, ("/var/tmp/tool",)),
    "port": (open_port, ("0.0.0.0:4444",)),
    "service": (start_service, ("backdoor.service",)),
}


def make_many() -> None:
    """A host that is not small."""
    for folder in range(MANY // 1000):
        place = Path(f"/srv/many/{folder:03}")
        place.mkdir(parents=True)
        for number in range(1000):
            (place / str(number)).write_bytes(b"%d" % number)


def install() -> None:
    make_many()
    result["shim"] = timed("rpm", "-i", "/packages/shim.rpm")
    result["install"] = timed("rpm", "-i", "/packages/now.rpm")
    result["verify package"] = timed("rpm", "-V", "hostguardd")
    result["enable"] = timed("systemctl", "enable", "--now", "hostguardd")
    result["active"] = shown("ActiveState")
    result["watching"] = within(watching, 180)
    for name, groups in (("reader", ["-G", "hostguard"]), ("anybody", [])):
        run("useradd", "-M", *groups, name)
    result["baseline"] = timed("hostguardctl", "baseline", "--yes", "--unexplained", "-m", "installed")
    result["doctor"] = json.loads(run("hostguardctl", "doctor", "--json").stdout)["checks"]
    result["once"] = timed("hostguardd", "--once")
    result["inquiry"] = timed("hostguardctl", "investigate", "--json", "--html", "/srv/inquiry.html")
    result["journal explained"] = run("journalctl", "-x", "-u", "hostguardd", "--no-pager").stdout


def bad_day() -> None:
    result["changes"] = {}
    for name, (change, words) in CHANGES.items():
        before = head()
        change()
        result["changes"][name] = within(lambda before=before, words=words: told(before, *words))  # type: ignore[misc]
    time.sleep(QUIET)
    result["drift"] = timed("hostguardctl", "drift", "--json")
    ids = [finding["id"] for finding in drift()]
    result["accept"] = timed("hostguardctl", "accept", *ids, "-m", "all known")
    before = head()
    result["check"] = timed("hostguardctl", "check")
    time.sleep(QUIET)
    result["silent after accept"] = findings(before)


def who_may() -> None:
    def as_user(name: str, *command: str) -> dict[str, Any]:
        return timed(
            "setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups", "hostguardctl", *command
        )

    result["reader"] = {
        "status": as_user("reader", "status"),
        "drift": as_user("reader", "drift"),
        "alerts": as_user("reader", "alerts", "-n", "1"),
        "baseline": as_user("reader", "baseline", "--yes"),
        "accept": as_user("reader", "accept", "0"),
        "rollback": as_user("reader", "rollback", "1"),
        "updating": as_user("reader", "updating", "--to", "9"),
    }
    result["anybody"] = {
        "status": as_user("anybody", "status"),
        "baseline": as_user("anybody", "baseline", "--yes"),
    }
    number = status()["generation"]["number"]
    result["rollback"] = timed("hostguardctl", "rollback", str(number - 1), "-m", "a test")
    result["rolled back"] = within(lambda: len(drift()) >= 10)
    result["baseline after"] = timed("hostguardctl", "baseline", "--yes", "--unexplained", "-m", "as it was")


def update() -> None:
    within(swept)
    before = head()
    pid = shown("MainPID")
    result["upgrade"] = timed("rpm", "-U", "/packages/next.rpm")
    result["updated"] = within(lambda: told(before, '"package-updated"'))
    time.sleep(QUIET)
    result["after upgrade"] = [(a["rule"]["name"], a["message"]) for a in alerts(before)]
    result["silent after upgrade"] = findings(before)
    result["drift after upgrade"] = timed("hostguardctl", "drift")
    result["version"] = status().get("version")
    result["pids"] = [pid, shown("MainPID")]
    result["verify upgraded"] = timed("rpm", "-V", "hostguardd")
    result["history"] = json.loads(run("hostguardctl", "history", "--json").stdout)["generations"]
    before = head()
    result["downgrade"] = timed("rpm", "-U", "--oldpackage", "/packages/old.rpm")
    result["not downgraded"] = run("rpm", "-q", "hostguardd").stdout
    time.sleep(QUIET)
    result["silent after refusal"] = findings(before)
    result["active after refusal"] = shown("ActiveState")


def faults() -> None:
    for signal in ("KILL", "STOP"):
        before, pid = head(), shown("MainPID")
        run("systemctl", "kill", "--kill-whom=main", "-s", signal, "hostguardd")
        back = within(lambda pid=pid: shown("MainPID") not in ("0", pid) and watching())  # type: ignore[misc]
        result[signal] = {"back": back, "gap": within(lambda before=before: told(before, '"daemon-gap"'))}  # type: ignore[misc]
        within(swept)
        time.sleep(QUIET)
        result[signal]["findings"] = findings(before)
    run("systemctl", "stop", "hostguardd")
    shutil.rmtree("/run/hostguardd", ignore_errors=True)
    result["without /run"] = timed("systemctl", "start", "hostguardd")
    result["answers"] = within(watching)
    result["blinded"] = blinded("PrivateTmp=yes\nProtectHome=yes\nPrivateNetwork=yes\n")
    result["weakened"] = blinded("CapabilityBoundingSet=~CAP_SYS_PTRACE\n")


def blinded(settings: str) -> dict[str, Any]:
    """What doctor says when a drop-in takes away what it must see."""
    drop_in = Path("/etc/systemd/system/hostguardd.service.d/blind.conf")
    drop_in.write_text(f"[Service]\n{settings}")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "hostguardd")
    within(watching)
    found = timed("hostguardctl", "doctor", "--json")
    drop_in.unlink()
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "hostguardd")
    within(swept)
    return found


def forward() -> None:
    """Alerts leave by a process of its own user; what is known of it when it is gone."""
    found: dict[str, Any] = {"idle": run("systemctl", "is-failed", "hostguardd-forward").stdout.strip()}
    Path("/etc/hostguardd/conf.d/journal.toml").write_text(
        '[[destination]]\nname = "journal"\nkind = "journald"\nheartbeat = "1s"\n'
    )
    run("systemctl", "reload", "hostguardd")
    found["start"] = timed("systemctl", "restart", "hostguardd-forward")
    found["connected"] = within(lambda: [one["state"] for one in status()["destinations"]] == ["connected"])
    found["test"] = timed("hostguardctl", "test-alert")
    query = ("journalctl", "-o", "json", "--no-pager", "SYSLOG_IDENTIFIER=hostguardd")
    found["journal"] = within(lambda: run(*query, "HOSTGUARD_ACTION=alert-tested").stdout)
    found["heartbeat"] = within(lambda: '\\"generation\\"' in run(*query, "HOSTGUARD_KIND=heartbeat").stdout)
    pid = run("systemctl", "show", "--value", "-p", "MainPID", "hostguardd-forward").stdout.strip()
    seen = Path(f"/proc/{pid}/status").read_text()
    found["user"] = run("ps", "-o", "user:32=", "-p", pid).stdout.strip()
    found["capabilities"] = re.findall(r"^CapEff:\s*(\w+)", seen, re.M)
    found["resident"] = int(re.findall(r"^VmRSS:\s*(\d+)", seen, re.M)[0])
    found["stop"] = timed("systemctl", "stop", "hostguardd-forward")
    found["doctor"] = timed("hostguardctl", "doctor")
    run("systemctl", "start", "hostguardd-forward")
    found["exposure"] = re.findall(
        r"Overall exposure.*", run("systemd-analyze", "security", "hostguardd-forward").stdout
    )
    found["said"] = run("journalctl", "-u", "hostguardd-forward", "-o", "cat", "--no-pager").stdout
    result["forward"] = found


def restart() -> None:
    result["facts"] = status()["generation"]["facts"]
    run("systemctl", "stop", "hostguardd")
    result["ready"] = timed("systemctl", "start", "hostguardd")
    result["swept"] = within(swept)
    result["memory"] = {name: shown(name) for name in ("MemoryCurrent", "TasksCurrent", "CPUUsageNSec")}
    result["memory"]["rss"] = status()["memory_rss"]


def remove() -> None:
    result["exposure"] = re.findall(
        r"Overall exposure.*", run("systemd-analyze", "security", "hostguardd").stdout
    )
    result["remove"] = timed("rpm", "-e", "hostguardd")
    result["inactive"] = shown("ActiveState")
    result["left"] = sorted(
        path
        for path in (
            "/var/lib/hostguardd/baseline.db", str(LOG), "/etc/hostguardd/conf.d/test.toml",
            "/usr/bin/hostguardd", "/usr/lib/hostguardd", "/usr/lib/systemd/system/hostguardd.service",
        )
        if os.path.lexists(path)
    )  # fmt: skip


def main() -> None:
    for part in (install, bad_day, who_may, update, faults, forward, restart, remove):
        result["part"] = part.__name__
        part()


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        result["error"] = repr(error)
        raise
    finally:
        result["journal"] = run("journalctl", "-u", "hostguardd", "-o", "cat", "--no-pager").stdout
        Path("/result.json").write_text(json.dumps(result))
