"""Updates on the booted host, honest ones and one with company: judged by `test_updates.py`.

A unit runs this with the host's own Python and nothing but its standard library. Twenty packages are made,
installed, approved, and then updated again and again; /result.json says which alerts fell into which part.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOG = Path("/var/log/hostguardd/alerts.jsonl")
SHELF = Path("/var/lib/misc/shelf")
COUNT, FILES = 20, 50
LAST = f"trial-{COUNT - 1:02d}"
PATIENCE = 150.0

SLOW = "#!/bin/sh\ntouch /run/reached\nwhile [ -e /run/wait ]; do sleep 0.1; done\n"
MAKES = """#!/bin/sh
echo made > /usr/lib/trial-made
echo made > /etc/trial-made.conf
update-alternatives --install /usr/bin/trial-pick trial-pick /usr/bin/trial-00 10
deb-systemd-helper enable trial-00.service
ldconfig
"""

result: dict[str, Any] = {"parts": {}}


def run(*command: str, may_fail: bool = False) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert may_fail or ran.returncode == 0, f"{' '.join(command)}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def until(met: Callable[[], object], what: str) -> float:
    began = time.monotonic()
    while not met():
        assert time.monotonic() - began < PATIENCE, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def package(name: str, version: str, postinst: str = "", files: int = FILES) -> Path:
    """A package of programs, libraries, a link, data and a configuration file, made on the spot."""
    top = SHELF / f"{name}-{version}"
    texts = {
        f"usr/bin/{name}": (f"#!/bin/sh\necho {name} {version}\n", 0o755),
        f"usr/lib/{name}/lib.so.{version}": (f"\x7fELF {version}", 0o644),
        f"usr/lib/systemd/system/{name}.service": (
            f"[Service]\nExecStart=/usr/bin/{name} {version}\n[Install]\nWantedBy=multi-user.target\n",
            0o644,
        ),
        f"etc/{name}.conf": (f"version = {version}\n", 0o644),
        f"etc/cron.d/{name}": (f"# {version}\n", 0o644),
    }
    texts |= {
        f"usr/share/{name}/{n:03d}": (f"{name} {version} {n}\n", 0o644) for n in range(files - len(texts))
    }
    for path, (text, mode) in texts.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
        (top / path).chmod(mode)
    (top / f"usr/lib/{name}/lib.so").symlink_to(f"lib.so.{version}")
    control = top / "DEBIAN"
    control.mkdir(parents=True)
    (control / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
        "Description: a package for a test\n"
    )
    (control / "conffiles").write_text(f"/etc/{name}.conf\n/etc/cron.d/{name}\n")
    sums = (
        f"{hashlib.md5(text.encode()).hexdigest()}  {path}\n"
        for path, (text, _) in texts.items()
        if not path.startswith("etc/")
    )
    (control / "md5sums").write_text("".join(sums))
    if postinst:
        (control / "postinst").write_text(postinst)
        (control / "postinst").chmod(0o755)
    for folder in (top, *(path for path in top.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    made = SHELF / f"{name}_{version}_all.deb"
    run("dpkg-deb", "-Zgzip", "-z1", "--build", "--root-owner-group", str(top), str(made))
    return made


def shelf(version: str, postinst: str = "") -> list[str]:
    """All of them in a version; the last has a script."""
    names = [f"trial-{number:02d}" for number in range(COUNT)]
    return [str(package(name, version, postinst if name == LAST else "")) for name in names]


# -- the parts -----------------------------------------------------------------------------------


def by_apt() -> None:
    """An honest update from a repository."""
    debs = shelf("1.1")
    listing = Path(SHELF / "Packages")
    paragraphs = []
    for deb in map(Path, debs):
        data = deb.read_bytes()
        paragraphs.append(
            run("dpkg-deb", "-f", str(deb)).strip()
            + f"\nFilename: ./{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        )
    listing.write_text("\n".join(paragraphs))
    Path("/run/trial.list").write_text(f"deb [trusted=yes] file:{SHELF} ./\n")
    options = ("-o", "Dir::Etc::sourcelist=/run/trial.list", "-o", "Dir::Etc::sourceparts=-", "-q", "-y")
    run("apt-get", *options, "update")
    run("apt-get", *options, "upgrade")


def with_company() -> None:
    """An update in the middle of which an intruder plants, patches and forges."""
    debs = shelf("1.2", SLOW)
    Path("/run/wait").touch()
    failed: list[str] = []

    def update() -> None:
        try:
            run("dpkg", "-i", *debs)
        except AssertionError as error:
            failed.append(str(error))

    manager = threading.Thread(target=update)
    manager.start()
    until(Path("/run/reached").exists, "the last package is configured")
    time.sleep(4)  # what is a package's last word is some seconds ago
    Path("/usr/lib/planted").write_text("#!/bin/sh\n")
    with open("/usr/share/trial-03/007", "a") as file:
        file.write("patched\n")
    with open("/usr/bin/trial-05", "a") as file:
        file.write("patched\n")
    sums = Path("/var/lib/dpkg/info/trial-05.md5sums")
    patched = hashlib.md5(Path("/usr/bin/trial-05").read_bytes()).hexdigest()
    lines = [
        f"{patched}  usr/bin/trial-05" if line.endswith("usr/bin/trial-05") else line
        for line in sums.read_text().splitlines()
    ]
    sums.write_text("\n".join(lines) + "\n")
    time.sleep(3)
    result["told while at work"] = lines_after(result["parts"]["with_company"]["from"])
    Path("/run/wait").unlink()
    manager.join()
    assert not failed, failed


def removed() -> None:
    run("dpkg", "--purge", "trial-07", "trial-08")


def unwatched() -> None:
    """The daemon is down for an update."""
    run("systemctl", "stop", "hostguardd")
    run("dpkg", "-i", *[deb for deb in shelf("1.3") if "trial-07" not in deb and "trial-08" not in deb])
    run("systemctl", "start", "hostguardd")
    until(watching, "hostguardd watches again")


def with_scripts() -> None:
    """A script that makes files, and a configuration file that the administrator keeps."""
    Path("/etc/trial-00.conf").write_text("mine\n")
    time.sleep(2)
    run("dpkg", "--force-confold", "-i", str(package("trial-00", "1.4", MAKES)))


def forged_alone() -> None:
    """No package manager far and wide."""
    with open("/usr/bin/trial-02", "a") as file:
        file.write("patched\n")
    with open("/var/lib/dpkg/info/trial-02.md5sums", "a") as file:
        file.write("\n")


def approved_at_once() -> None:
    """As people write it into one line."""
    run("dpkg", "-i", str(package("trial-04", "1.5")), str(package("trial-06", "1.5")))
    run("hostguardctl", "baseline", "--yes", "--unexplained", "-m", "updated")
    result["left"] = json.loads(run("hostguardctl", "drift", "--json", may_fail=True))["findings"]


PARTS: tuple[Callable[[], None], ...] = (
    by_apt, with_company, removed, unwatched, with_scripts, forged_alone, approved_at_once,
)  # fmt: skip


# -- what came of it -----------------------------------------------------------------------------


def watching() -> bool:
    ran = subprocess.run(["hostguardctl", "status", "--json"], capture_output=True, text=True, check=False)
    return ran.returncode == 0 and json.loads(ran.stdout)["state"] == "watching"


def lines_after(number: int) -> int:
    return LOG.read_text().count("\n") - number


def memory() -> int:
    """Resident KiB of the daemon."""
    pid = run("systemctl", "show", "--value", "-p", "MainPID", "hostguardd").strip()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def told_packages(number: int) -> bool:
    return any('"kind":"transaction"' in line for line in LOG.read_text().splitlines()[number:])


def quiet(number: int) -> None:
    """Wait until nothing was told for some seconds."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < 6:
        now = LOG.read_text().count("\n")
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.1)


def main() -> None:
    SHELF.mkdir(parents=True)
    run("dpkg", "-i", *shelf("1.0"))
    run("systemctl", "start", "hostguardd")
    until(watching, "hostguardd watches")
    until(lambda: Path("/var/lib/hostguardd/packages.owners").exists(), "whose each path is, is written down")
    result["approved"] = run("hostguardctl", "baseline", "--yes", "--unexplained", "-m", "the host as it is")
    for part in PARTS:
        name = part.__name__
        if part is approved_at_once:
            result["status"] = json.loads(run("hostguardctl", "status", "--json"))
        result["parts"][name] = {"from": LOG.read_text().count("\n"), "memory before": memory()}
        try:
            part()
            result["parts"][name]["ended"] = time.time()
            if part is not forged_alone:
                number = result["parts"][name]["from"]
                result["parts"][name]["seconds"] = until(lambda n=number: told_packages(n), "it is told")  # type: ignore[misc]
        except (AssertionError, OSError, subprocess.SubprocessError):
            result["parts"][name]["failed"] = traceback.format_exc()
        quiet(0)
        result["parts"][name]["memory after"] = memory()
    result["parts"]["the end"] = {"from": LOG.read_text().count("\n")}


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, OSError, subprocess.SubprocessError):
        result["failed"] = traceback.format_exc()
    finally:
        result["journal"] = run("journalctl", "-u", "hostguardd", "-o", "cat", "--no-pager", may_fail=True)
        result["log"] = Path("/var/log/dpkg.log").read_text()[-20_000:]
        result["pid"] = os.getpid()
        Path("/result.json").write_text(json.dumps(result))
