"""Inquiries into a clean host, a watched one and one that was broken into: what they say, cost and move."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import time
import traceback
from pathlib import Path
from typing import Any

from tests.system.techniques import prepare
from tests.system.techniques.tools import run, until, write

from .plants import PLANTS

RESULT = Path("/result.json")
MOVES = ("/proc", "/sys", "/run", "/dev", "/trial", "/tmp", "/var/log", "/result.json", "/var/lib/systemd")
"""Where a host moves by itself while somebody looks."""

STARTED = re.compile(r"/usr/(local/)?lib/python3.*|/usr/lib/.*\.so[.0-9]*|/usr/bin/(hostguardctl|python3.*)")
"""What the interpreter itself reads whenever the command runs; of this, reading proves nothing."""


def inquire(*options: str, user: str = "") -> dict[str, Any]:
    """One inquiry: its exit code, its report, its time and its peak memory in MiB."""
    command = ["hostguardctl", "investigate", "--json", *options]
    if user:
        command = ["runuser", "-u", user, "--", *command]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        said, wrong = child.communicate(timeout=300)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    found: dict[str, Any] = {"code": child.returncode, "seconds": time.monotonic() - began, "peak": peak}
    try:
        found["report"] = json.loads(said)
    except ValueError:
        found["said"] = said[-4000:]
    found["wrong"] = wrong[-4000:]
    return found


def state() -> dict[str, tuple[float, ...]]:
    """Times, sizes and modes of everything that stands still by itself."""
    found: dict[str, tuple[float, ...]] = {}
    for folder, folders, names in os.walk("/"):
        folders[:] = [one for one in folders if not os.path.join(folder, one).startswith(MOVES)]
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            seen = os.lstat(path)
            if not path.startswith(MOVES):
                # Of folders no atime: this very walk moves it.
                read = name in folders or STARTED.fullmatch(path) is not None
                times = (0 if read else seen.st_atime_ns, seen.st_mtime_ns, seen.st_ctime_ns)
                found[path] = (*times, seen.st_size, seen.st_mode)
    return found


def left() -> bool:
    """Whether the managers of those who logged in have ended, which takes them ten seconds."""
    return "user@" not in run("systemctl", "list-units", "--plain", "--no-legend", "user@*")


def watch() -> None:
    run("systemctl", "start", "hostguardd")

    def watching() -> bool:
        ran = subprocess.run(
            ["hostguardctl", "status", "--json"], capture_output=True, text=True, check=False
        )
        return ran.returncode == 0 and json.loads(ran.stdout)["state"] == "watching"

    until(watching, "hostguardd watches", 90.0)


def main() -> None:
    result: dict[str, Any] = {}
    try:
        prepare.key()
        prepare.people()
        prepare.services()
        prepare.logs()
        for name in prepare.PEOPLE:  # root's key opens them all: how the intruder comes in
            write(f"/home/{name}/.ssh/authorized_keys", Path(prepare.KEY + ".pub").read_text(), 0o600)
            run("chown", "-R", f"{name}:{name}", f"/home/{name}/.ssh")
        # As packages do: else the interpreter does it, for whoever runs the command first.
        run("python3", "-m", "compileall", "-q", "/usr/local/lib/python3.11/dist-packages")
        until(left, "nobody is logged in", 40.0)
        os.sync()
        before = state()
        result["clean"] = inquire()
        after = state()
        result["moved"] = sorted(
            path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
        )
        result["quick"] = inquire("--quick")
        result["clean by alice"] = inquire("--quick", user="alice")
        watch()
        result["approved"] = subprocess.run(
            ["hostguardctl", "baseline", "--yes", "--unexplained", "-m", "clean"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        result["history"] = json.loads(run("hostguardctl", "history", "--json"))
        result["watched"] = inquire("--quick")
        result["planted"] = {}
        for plant in PLANTS.values():
            try:
                plant.deed()
            except Exception:  # noqa: BLE001 - the others are to be found all the same
                result["planted"][plant.name] = traceback.format_exc()
        result["broken, watched"] = inquire("--probe")
        run("systemctl", "stop", "hostguardd")
        write("/trial/elsewhere.toml", '[paths]\nstate = "/nowhere"\nlog = "/nowhere"\nrun = "/nowhere"\n')
        result["broken"] = inquire("--probe", "--config", "/trial/elsewhere.toml")
        result["broken by alice"] = inquire("--quick", user="alice")
        result["page"] = subprocess.run(
            [
                "hostguardctl",
                "investigate",
                "--html",
                "/trial/report.html",
                "--bundle",
                "/trial/evidence.tar.gz",
            ],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except Exception:  # noqa: BLE001
        result["failed"] = traceback.format_exc()
    finally:
        RESULT.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
