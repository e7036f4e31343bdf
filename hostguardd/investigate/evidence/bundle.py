"""The evidence in one archive, to be taken to another machine before anybody changes anything.

The rules kept: as in all of an inquiry nothing on the host is changed (where the archive is written is the
administrator's choice; to standard output it touches no disk); what is most fleeting is read first; no byte
of what was read is kept but in the archive; and what was left out, cut, or changed while it was read is said
in it.

    README.txt  report.{txt,json,html}       what was found
    live/PID.json  live/PID.image            each process; what it runs, where no file has that any more
    sockets.json  packages.txt
    files/...                                files, by path
    manifest.json                            what each of them was called, its times, its inode, its digest
    SHA256SUMS
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from ...record import clean, escape, timestamp
from ...render.html import html
from ...render.inquiry import page
from ...render.paper import Paper
from ...words.interface import counted
from ..interface import Verdict
from ..patience import Late, at_most
from ..scene import Scene
from .archive import Archive, stored
from .books import Books
from .copies import Copies
from .gathering import KERNEL, LOGINS, LOGS, MIB, NAMED, SETTINGS, Place, Walk, homes, named
from .living import Living
from .patient import SECONDS, Patient

LIMIT: Final = 2048 * MIB
"""Bytes of an archive, if nothing else is asked for."""

LEAST: Final = 4 * MIB
"""Below this there is not even room for the report."""

LABELS: Final = {verdict.label: int(verdict) for verdict in Verdict}

README = """\
Evidence of {host}, gathered {when} by hostguardd {version}.

report.txt, report.html and report.json say what was found. files/ holds copies of files by their path on the
host; manifest.json says for each what it was called there, its times and its inode, and whether it was cut,
changed while it was read, or cleared of secrets. live/ has the processes. Names are written with %XX for
every byte that is not plain.

    sha256sum -c SHA256SUMS

shows whether these files are what was gathered. {secrets}
Logs, histories and command lines may hold passwords that people typed in the wrong place. {words}
Journals, records of logins, and files packed by zstd are as they were: manifest.json says
"searched": false of each. Keep all of this under lock.
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What became of it: bytes and SHA-256 of the archive, what is in it. `left` are the first of the things
    left out, as (what, why); `left_out` counts all."""

    size: int
    sha256: str
    files: int
    processes: int
    left: tuple[tuple[str, str], ...]
    left_out: int

    def says(self, where: str) -> list[str]:
        """What to tell whoever asked for it. `where` it went ("" for standard output)."""
        lines = [
            f"The evidence: {counted(self.files, 'file')} and {counted(self.processes, 'process')}, "
            f"{self.size:,} bytes" + (f", in {where}." if where else "."),
            f"SHA-256 {self.sha256}",
        ]
        if self.left_out:
            lines.append(f"Left out or cut: {self.left_out:,}; manifest.json inside says what and why.")
        lines.append(
            "Copy it to another machine now, note the digest on paper, and then remove it from here."
            if where
            else "Note the digest on paper."
        )
        return lines


def create(path: Path) -> BinaryIO:
    """A new file for it that nobody else may read. Raises FileExistsError for whatever is there, a link
    included."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def write(
    scene: Scene,
    report: Mapping[str, Any],
    target: BinaryIO,
    *,
    secrets: bool = False,
    limit: int = LIMIT,
    progress: Callable[[str], None] = lambda what: None,
) -> Bundle:
    """All of it to `target`, at most `limit` bytes. Raises OSError when `target` takes no more, ValueError
    for a limit below LEAST. `progress` is told what is gathered now."""
    if limit < LEAST:
        raise ValueError(f"a bundle takes at least {LEAST // MIB} MiB")
    return _Writer(scene, report, target, secrets, limit).write(progress)


class _Writer:
    """One archive in the making."""

    def __init__(
        self, scene: Scene, report: Mapping[str, Any], target: BinaryIO, secrets: bool, limit: int
    ) -> None:
        self._scene = scene
        self._report = report
        self._secrets = secrets
        self._when = datetime.fromtimestamp(scene.now, UTC)
        host = stored(str(report["host"]["hostname"] or "host").encode()).replace("/", "_")[:100]
        name = f"evidence-{host}-{self._when:%Y%m%dT%H%M%SZ}"
        self._books = Books(Archive(target, name, limit, scene.now))
        texts = Patient(scene.host.texts, self._left)
        self._copies = Copies(scene, texts, self._books, secrets, _identity(target))
        self._living = Living(scene, texts, self._books, secrets)
        self._walk = Walk(scene, texts, self._left)

    def _left(self, path: bytes, why: str) -> None:
        self._books.leave(escape(path), why)

    def write(self, progress: Callable[[str], None]) -> Bundle:
        """Everything, the most fleeting first."""
        kernel = () if self._scene.host.live.blind else KERNEL
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("the report", self._reports),
            ("sockets", self._living.sockets),
            ("processes", self._living.processes),
            ("the kernel", lambda: self._take(kernel)),
            ("what the report names", lambda: self._take(self._named())),
            ("records of logins", lambda: self._take(LOGINS)),
            ("histories", lambda: self._take(homes(self._scene))),
            ("settings", lambda: self._take(SETTINGS)),
            ("packages", self._packages),
            ("alerts", lambda: self._take(self._alerts())),
            ("logs", lambda: self._take(LOGS)),
        )
        books = self._books
        try:
            for what, step in steps:
                progress(what)
                self._scene.begin()
                try:
                    step()
                except (
                    Late
                ):  # in what is gathered before it is written, or was hung when a check asked for it
                    books.leave(what, "it could not be had in time")
                if self._scene.stop():
                    books.leave(what, f"the rest: the time of {self._scene.options.patience:.0f} s ran out")
            size, sha256 = books.close(
                {
                    "host": self._report["host"],
                    "gathered": timestamp(int(self._scene.now * 1e9)),
                    "secrets": self._secrets,
                }
            )
        except BaseException:
            books.archive.abandon()
            raise
        return Bundle(size, sha256, books.files, books.processes, tuple(books.left), books.left_out)

    def _take(self, places: Iterable[Place]) -> None:
        self._copies.take(self._walk.of(places))

    def _named(self) -> Iterator[Place]:
        """What is suspicious or notable and has a path for a name."""
        items = (item for check in self._report["checks"] for item in check["items"])
        worst = sorted(items, key=lambda item: -LABELS[item["verdict"]])[:NAMED]
        return named((item["name"], LABELS[item["verdict"]]) for item in worst)

    def _alerts(self) -> tuple[Place, ...]:
        return (Place(os.fsencode(self._scene.config.paths.log), 2, 64 * MIB, cleared=False),)

    def _reports(self) -> None:
        report = self._report
        kept = "Environments, password hashes and private keys were left out."
        words = "What looks like one was replaced by ***."
        self._books.text(
            "README.txt",
            README.format(
                host=clean(str(report["host"]["hostname"])),
                when=f"{self._when:%Y-%m-%d %H:%M:%S} UTC",
                version=report["tool"]["version"],
                secrets="It holds secrets, as was asked for." if self._secrets else kept,
                words="They are as they were." if self._secrets else words,
            ),
        )
        self._books.text("report.txt", "\n".join([*page(Paper(100, False, self._when), report, True), ""]))
        self._books.text("report.html", html(report))
        self._books.text("report.json", json.dumps(report, ensure_ascii=False))

    def _packages(self) -> None:
        packages = self._scene.packages
        if packages.problem:
            self._books.leave("packages", packages.problem)
            return
        with at_most(max(SECONDS, self._scene.options.patience)):
            installed = packages.installed()
        lines = (
            "\t".join(
                (
                    clean(one.package),
                    clean(one.version),
                    timestamp(int(one.at * 1e9)),
                    str(one.files),
                    one.level.label,
                    clean(one.signature),
                )
            )
            for one in installed
        )
        self._books.text(
            "packages.txt",
            "".join(f"{line}\n" for line in ("PACKAGE\tVERSION\tINSTALLED\tFILES\tLEVEL\tSIGNATURE", *lines)),
        )


def _identity(target: BinaryIO) -> tuple[int, int] | None:
    """The file that is written to, so that it does not become a part of itself."""
    try:
        found = os.fstat(target.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return found.st_dev, found.st_ino
