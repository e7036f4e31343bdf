"""What happens inside the booted host: a unit runs this, and `test_booted.py` judges what it wrote down.

Runs with the host's own Python and nothing but its standard library. It does what an administrator
and an intruder do, waits for the alerts, and writes seconds and exit codes to /result.json.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOG = Path("/var/log/hostguardd/alerts.jsonl")
PATIENCE = 90.0

UNIT = """\
[Service]
ExecStart=/usr/bin/sleep 1000
"""

result: dict[str, Any] = {}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def within(met: Callable[[], object]) -> float | None:
    """Seconds until `met` was true; None: it never was."""
    began = time.monotonic()
    while not met():
        if time.monotonic() - began > PATIENCE:
            return None
        time.sleep(0.02)
    return time.monotonic() - began


def timed(*command: str) -> dict[str, Any]:
    began = time.monotonic()
    ran = run(*command)
    return {"code": ran.returncode, "seconds": time.monotonic() - began, "said": ran.stdout + ran.stderr}


def told(*words: str) -> bool:
    """Whether some alert holds all these words."""
    return any(all(word in line for word in words) for line in LOG.read_text().splitlines())


def shown(name: str) -> str:
    return run("systemctl", "show", "--value", "-p", name, "hostguardd").stdout.strip()


def watching() -> bool:
    status = run("hostguardctl", "status", "--json")
    return status.returncode == 0 and json.loads(status.stdout)["state"] == "watching"


def log_in() -> None:
    """Carol is there, as utmp(5) has it."""
    words = (b"pts/7", b"ts/7", b"carol", b"203.0.113.9")
    head = struct.pack("=hxxi32s4s32s256s", 7, os.getpid(), *words)
    with open("/run/utmp", "ab") as file:
        file.write((head + struct.pack("=hhiii", 0, 0, 0, int(time.time()), 0)).ljust(384, b"\0"))


def change_passwd() -> None:
    with open("/etc/passwd", "a") as file:
        file.write("eve:x:0:0::/:/bin/sh\n")


def open_port() -> None:
    subprocess.Popen(["/usr/bin/python3", "-m", "http.server", "4444"], cwd="/", stderr=subprocess.DEVNULL)


def start_service() -> None:
    Path("/etc/systemd/system/backdoor.service").write_text(UNIT)
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "backdoor")


def set_uid() -> None:
    shutil.copy("/bin/true", "/tmp/tool")
    Path("/tmp/tool").chmod(0o4755)


CHANGES: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "passwd": (change_passwd, ('"file-changed"', "/etc/passwd", "+eve:x:0:0")),
    "port": (open_port, ('"listener-added"', "0.0.0.0:4444")),
    "service": (start_service, ("backdoor.service", '"process-added"')),
    "setid": (set_uid, ('"T1548.001"', "/tmp/tool")),
}


def main() -> None:
    result["start"] = timed("systemctl", "start", "hostguardd")
    result["active"] = shown("ActiveState")
    result["watching"] = within(watching)
    result["status text"] = shown("StatusText")
    result["doctor"] = timed("hostguardctl", "doctor", "--json")
    log_in()
    result["changes"] = {}
    for name, (change, words) in CHANGES.items():
        change()
        result["changes"][name] = within(lambda words=words: told(*words))  # type: ignore[misc]
    result["drift"] = timed("hostguardctl", "drift", "--json")
    result["baseline"] = timed("hostguardctl", "baseline", "--yes", "--unexplained", "-m", "a test")
    result["drift after"] = timed("hostguardctl", "drift", "--json")
    result["verify"] = timed("hostguardctl", "verify")
    result["reload"] = timed("systemctl", "reload", "hostguardd")
    result["reloaded"] = within(lambda: told('"config-reloaded"'))
    before = shown("MainPID")
    run("systemctl", "kill", "-s", "STOP", "hostguardd")
    result["restarted"] = within(lambda: shown("MainPID") not in ("0", before) and watching())
    result["restarts"] = shown("NRestarts")
    result["gap"] = within(lambda: told('"daemon-gap"'))
    result["stop"] = timed("systemctl", "stop", "hostguardd")
    result["inactive"] = shown("ActiveState"), shown("Result")
    drop_in = Path("/etc/systemd/system/hostguardd.service.d/fanotify.conf")
    drop_in.parent.mkdir(exist_ok=True)
    shutil.copy("/fanotify.conf", drop_in)
    result["unit"] = timed("systemd-analyze", "verify", "--man=no", "hostguardd.service")


if __name__ == "__main__":
    try:
        main()
    finally:
        result["journal"] = run("journalctl", "-u", "hostguardd", "-o", "cat", "--no-pager").stdout
        Path("/result.json").write_text(json.dumps(result))
