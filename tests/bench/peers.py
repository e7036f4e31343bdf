"""The peers: programs every administrator has, doing the same work, measured the same way."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ATTRIBUTES = "ftype+p+u+g+s+m+c+i+n+l+sha256+acl+selinux+xattrs+caps+e2fsattrs"
"""What our files sensor keeps, in aide's letters (aide.conf(5)); SELinux only where the kernel has it."""

LISTING = r"%y %m %U %G %s %T@ %C@ %i %n %D %l %p\n"
"""What a quick sweep reads, in find's letters."""


@dataclass(frozen=True)
class Run:
    """Seconds by the clock and by the processor, and the largest resident size of one process."""

    wall: float
    cpu: float
    peak: int
    status: int


def run(argv: Sequence[str], stdout: Path) -> Run:
    """Run a child to its end. Its children count once it has waited for them (getrusage(2))."""
    with stdout.open("wb") as sink:
        began = time.monotonic()
        child = subprocess.Popen(argv, stdout=sink, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, child.returncode)


class Aide:
    """aide with two workers over some trees, its database in a folder of ours."""

    def __init__(self, folder: Path, trees: Sequence[str]) -> None:
        self.folder = folder
        self.config = folder / "aide.conf"
        known = _compiled_in()
        attributes = "+".join(a for a in ATTRIBUTES.split("+") if known.get(a, True))
        self.config.write_text(
            "\n".join(
                [
                    f"database_in=file:{folder}/aide.db",
                    f"database_out=file:{folder}/aide.db",
                    "gzip_dbout=no",
                    "num_workers=2",
                    "log_level=error",
                    "report_url=stdout",
                    "database_attrs=sha256",
                    *(f"{tree} {attributes}" for tree in trees),
                    "",
                ]
            )
        )

    def init(self) -> Run:
        """Build the database."""
        return self._run("--init", worst=0)

    def check(self) -> Run:
        """Compare with it; 1 to 7 say that something was added, removed or changed."""
        return self._run("--check", worst=7)

    def _run(self, command: str, worst: int) -> Run:
        output = self.folder / "aide.out"
        ran = run(["aide", f"--config={self.config}", command], output)
        if not 0 <= ran.status <= worst:
            raise SystemExit(f"aide {command} failed ({ran.status}):\n{output.read_text()[-2000:]}")
        return ran


def _compiled_in() -> dict[str, bool]:
    """Attributes that depend on how aide was built, from the last lines of `aide --version`."""
    said = subprocess.run(["aide", "--version"], capture_output=True, text=True, check=False)
    return {
        words[0].strip(":"): words[1] == "yes"
        for words in (line.split() for line in (said.stdout + said.stderr).splitlines())
        if len(words) == 2 and words[0].endswith(":") and words[1] in ("yes", "no")
    }


def digest_all(folder: Path, trees: Sequence[str]) -> Run:
    """What two cores need to hash every file with a program written in C that does nothing else."""
    names = " ".join(trees)
    pipeline = f"find {names} -type f -print0 | xargs -0 -P2 -n256 openssl dgst -sha256"
    return run(["sh", "-c", pipeline], folder / "openssl.out")


def debsums(folder: Path) -> Run:
    """Every file of every Debian package against its digest."""
    return run(["debsums", "--all", "--silent"], folder / "debsums")


def list_all(folder: Path, trees: Sequence[str]) -> Run:
    """What it takes to list the same metadata once, without keeping or comparing it."""
    return run(["find", *trees, "-printf", LISTING], folder / "find.out")


def missing(*programs: str) -> list[str]:
    """Those of the programs that are not here."""
    return [program for program in programs if shutil.which(program) is None]
