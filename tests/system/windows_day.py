"""A deployment that was announced, on the booted host, with a reboot in the middle of it.

A unit runs this at each boot with the host's own Python and nothing but its standard library. What the log
holds afterwards is judged by `test_change_windows.py`; /result.json says what commands answered.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOG = Path("/var/log/hostguardd/alerts.jsonl")
RESULT = Path("/result.json")
KEY = "/root/.ssh/id_ed25519"
SSH = (
    "ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    "-o", "BatchMode=yes", "-i", KEY, "root@127.0.0.1",
)  # fmt: skip

result: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}


def run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode in (0, 1), f"{' '.join(command)}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def until(met: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 90
    while not met():
        assert time.monotonic() < deadline, f"not within 90 s: {what}"
        time.sleep(0.05)


def told(*words: str) -> bool:
    """Whether some alert holds all these words."""
    return any(all(word in line for word in words) for line in LOG.read_text().splitlines())


def watching() -> bool:
    ran = subprocess.run(["hostguardctl", "status", "--json"], capture_output=True, text=True, check=False)
    return ran.returncode == 0 and json.loads(ran.stdout)["state"] == "watching"


def before() -> None:
    """Announce it, by ssh, and do half of it; somebody else does something at the same time."""
    Path("/root/.ssh").mkdir(mode=0o700, exist_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY)
    shutil.copy(KEY + ".pub", "/root/.ssh/authorized_keys")
    run("systemctl", "start", "hostguardd")
    until(watching, "it watches")
    result["opened"] = json.loads(
        run(*SSH, 'hostguardctl expect --for 20m -m "deploy 42" /usr/local/bin /etc/nginx --json')
    )
    Path("/usr/local/bin/tool").write_text("#!/bin/sh\n")
    Path("/etc/nginx/conf.d/site.conf").write_text("# site\n")
    Path("/etc/nginx/fastcgi.conf").unlink()
    Path("/etc/cron.d/evil").write_text("* * * * * root /bin/true\n")
    shutil.copy("/bin/true", "/usr/local/bin/root")
    Path("/usr/local/bin/root").chmod(0o4755)
    for path in (
        "/usr/local/bin/tool", "/etc/nginx/conf.d/site.conf", "/etc/nginx/fastcgi.conf", "/etc/cron.d/evil",
        "/usr/local/bin/root",
    ):  # fmt: skip
        until(lambda path=path: told(f'"{path}"'), path)  # type: ignore[misc]


def after() -> None:
    """The other half, its end, and the decision."""
    id = result["opened"]["window"]["id"]
    run("systemctl", "start", "hostguardd")
    until(watching, "it watches")
    until(lambda: told('"window-resumed"'), "it goes on")
    Path("/usr/local/bin/later").write_text("#!/bin/sh\n")
    until(lambda: told('"/usr/local/bin/later"'), "later")
    run("hostguardctl", "expect", "--end", id)
    until(lambda: told('"window-ended'), "its end")
    result["accepted"] = json.loads(run("hostguardctl", "accept", "--window", id, "--yes", "--json"))
    result["drift"] = json.loads(run("hostguardctl", "drift", "--json"))
    run("systemctl", "stop", "hostguardd")


if __name__ == "__main__":
    try:
        after() if result else before()
    except BaseException:
        result["failed"] = traceback.format_exc()
        raise
    finally:
        journal = ("journalctl", "-b", "-u", "hostguardd", "-o", "cat", "--no-pager")
        result["journal"] = result.get("journal", "") + run(*journal)
        RESULT.write_text(json.dumps(result))
