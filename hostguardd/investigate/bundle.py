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
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from ..host.live import PROTOCOLS, RUNNING, Process
from ..host.running import open_image
from ..host.texts import TextHost, mark
from ..model import join, split
from ..record import clean, escape, timestamp
from ..render.html import html
from ..render.inquiry import page
from ..render.paper import Paper
from .archive import Archive, TooLarge, stored
from .evidence import KERNEL, LOGINS, LOGS, MIB, NAMED, SETTINGS, Found, Place, Walk, homes, named
from .interface import Verdict
from .scene import Scene
from .secrets import without_secrets

LIMIT: Final = 2048 * MIB
"""Bytes of an archive, if nothing else is asked for."""

LEAST: Final = 4 * MIB
"""Below this there is not even room for the report."""

WHOLE: Final = 16 * MIB
"""Files up to this are read at once, so that they can be searched for secrets."""

CHUNK: Final = MIB
PROCESSES: Final = 50_000
DESCRIPTORS: Final = 2000
IMAGES: Final = 50
STATUS: Final = 64 * 1024
MAPS: Final = 2 * MIB
FILES: Final = 30_000
KEPT: Final = 2000
"""Lines on what was left out that are kept; more are counted."""

LABELS: Final = {verdict.label: int(verdict) for verdict in Verdict}

README = """\
Evidence of {host}, gathered {when} by hostguardd {version}.

report.txt, report.html and report.json say what was found. files/ holds copies of files by their path on the
host; manifest.json says for each what it was called there, its times and its inode, and whether it was cut,
changed while it was read, or cleared of secrets. live/ has the processes. Names are written with %XX for
every byte that is not plain.

    sha256sum -c SHA256SUMS

shows whether these files are what was gathered. {secrets}
Logs, histories and command lines may hold passwords that people typed in the wrong place: keep all of this
under lock.
"""


@dataclass(slots=True)
class Bundle:
    """What became of it. `left` are the first of the things left out, as (what, why); `left_out` counts
    all."""

    size: int = 0
    sha256: str = ""
    files: int = 0
    processes: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)
    left_out: int = 0

    def says(self, where: str) -> list[str]:
        """What to tell whoever asked for it. `where` it went ("" for standard output)."""
        lines = [
            f"The evidence: {self.files:,} files and {self.processes:,} processes, {self.size:,} bytes"
            + (f", in {where}." if where else "."),
            f"SHA-256 {self.sha256}",
        ]
        if self.left_out:
            lines.append(
                f"{self.left_out:,} things were left out or cut; manifest.json inside says which and why."
            )
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
        self._texts: TextHost = scene.host.texts
        when = datetime.fromtimestamp(scene.now, UTC)
        host = stored(str(report["host"]["hostname"] or "host").encode()).replace("/", "_")[:100]
        self._when = when
        self._archive = Archive(target, f"evidence-{host}-{when:%Y%m%dT%H%M%SZ}", limit, scene.now)
        self._bundle = Bundle()
        self._manifest: list[dict[str, Any]] = []
        self._own = _identity(target)

    def write(self, progress: Callable[[str], None]) -> Bundle:
        """Everything, the most fleeting first."""
        walk = Walk(self._scene, lambda path, why: self._leave(escape(path), why))
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("the report", self._reports),
            ("sockets", self._sockets),
            ("processes", self._processes),
            ("the kernel", lambda: self._files(walk.of(KERNEL if not self._scene.host.live.blind else ()))),
            ("what the report names", lambda: self._files(walk.of(self._named()))),
            ("records of logins", lambda: self._files(walk.of(LOGINS))),
            ("histories", lambda: self._files(walk.of(homes(self._scene)))),
            ("settings", lambda: self._files(walk.of(SETTINGS))),
            ("packages", self._packages),
            ("alerts", lambda: self._files(walk.of(self._alerts()))),
            ("logs", lambda: self._files(walk.of(LOGS))),
        )
        try:
            for what, step in steps:
                progress(what)
                self._scene.begin()
                step()
                if self._scene.stop():
                    self._leave(what, f"the rest: the time of {self._scene.options.patience:.0f} s ran out")
            self._close()
        except BaseException:
            self._archive.abandon()
            raise
        return self._bundle

    # -- what was found ------------------------------------------------------------------------------

    def _reports(self) -> None:
        report = self._report
        kept = "Environments, password hashes and private keys were left out."
        self._text(
            "README.txt",
            README.format(
                host=clean(str(report["host"]["hostname"])),
                when=f"{self._when:%Y-%m-%d %H:%M:%S} UTC",
                version=report["tool"]["version"],
                secrets="It holds secrets, as was asked for." if self._secrets else kept,
            ),
        )
        self._text("report.txt", "\n".join([*page(Paper(100, False, self._when), report, True), ""]))
        self._text("report.html", html(report))
        self._text("report.json", json.dumps(report, ensure_ascii=False))

    def _text(self, name: str, text: str) -> None:
        try:
            self._archive.add(name, text.encode())
        except TooLarge:
            self._leave(name, "there was no room for it")

    # -- what is running -----------------------------------------------------------------------------

    def _sockets(self) -> None:
        live = self._scene.host.live
        if live.blind:
            self._leave("sockets", live.blind)
            return
        found: dict[str, Any] = {}
        inodes: set[int] = set()
        for proto in PROTOCOLS:
            sockets = live.sockets(proto)
            inodes |= {one.inode for one in sockets.found}
            found[proto] = [
                {"address": escape(one.address), "port": one.port, "uid": one.uid, "inode": one.inode}
                for one in sockets.found
            ]
            if sockets.problem:
                self._leave(f"sockets {proto}", sockets.problem)
        holders = live.owners(inodes).holders
        for one in (one for several in found.values() for one in several):
            one["pids"] = list(holders.get(one["inode"], ()))
        self._text("sockets.json", json.dumps(found, indent=1, ensure_ascii=False))

    def _processes(self) -> None:
        images = 0
        for number, (pid, process) in enumerate(self._scene.processes.items()):
            if number >= PROCESSES or self._scene.stop():
                self._leave("processes", f"all after the first {number}")
                return
            try:
                told = json.dumps(self._process(pid, process), indent=1, ensure_ascii=False)
                self._archive.add(f"live/{pid}.json", told.encode(), self._scene.began(process))
                self._bundle.processes += 1
            except TooLarge:
                self._leave(f"process {pid}", "there was no room for it")
                continue
            if process.state != RUNNING and not process.kernel and images < IMAGES:
                images += self._image(pid, process)

    def _process(self, pid: int, process: Process) -> dict[str, Any]:
        folder = b"/proc/%d" % pid
        read = partial(self._proc, folder)
        mapped = dict.fromkeys(
            line[73:] for line in read(b"maps", MAPS).splitlines() if line[73:74] in (b"/", b"[")
        )
        status = (line.partition(b":") for line in read(b"status", STATUS).splitlines())
        numbers = (
            self._texts.names(join(folder, b"fd"), DESCRIPTORS) if not self._scene.host.live.blind else None
        )
        told: dict[str, Any] = {
            "pid": pid,
            "parent": process.parent,
            "began": timestamp(int(self._scene.began(process) * 1e9)),
            "uid": process.uid,
            "user": self._scene.user(process.uid),
            "comm": escape(process.comm),
            "exe": None if process.exe is None else escape(process.exe),
            "state": process.state,
            "argv": [escape(one) for one in process.argv],
            "cwd": escape(process.cwd),
            "unit": escape(process.unit),
            "kernel": process.kernel,
            "tracer": process.tracer,
            "namespace": process.namespace,
            "status": {escape(name): escape(value.strip()) for name, _, value in status},
            "mapped": [escape(one) for one in mapped],
            "descriptors": None
            if numbers is None
            else {escape(n): escape(self._texts.link(join(folder, b"fd/" + n))) for n in numbers},
        }
        if self._secrets:
            told["environment"] = [escape(one) for one in read(b"environ", MAPS).split(b"\0") if one]
        return told

    def _proc(self, folder: bytes, name: bytes, limit: int) -> bytes:
        """A file of a process; b"" where there is no kernel, or we may not."""
        if self._scene.host.live.blind:
            return b""
        return self._texts.read(join(folder, name), limit).data or b""

    def _image(self, pid: int, process: Process) -> int:
        """What a process runs, where the file system has it no more. Whether it was stored."""
        opened = open_image(pid, self._scene.host.live.image(pid))
        if opened is None:
            self._leave(f"the image of process {pid}", "it cannot be read")
            return 0
        fd, found = opened
        try:
            size = found.st_size
            if size > 64 * MIB:
                self._leave(f"the image of process {pid}", f"{size} bytes are too many")
                return 0
            offset = 0

            def read(count: int) -> bytes:
                nonlocal offset
                try:
                    data = os.pread(fd, min(count, CHUNK), offset)
                except OSError:  # what is missing is zeros; an error of the target is another matter
                    return b""
                offset += len(data)
                return data

            member, _ = self._archive.stream(f"live/{pid}.image", size, read)
            self._note(process.exe or b"", member.name, found, {"sha256": member.sha256, "bytes": size})
        except TooLarge:
            self._leave(f"the image of process {pid}", "there was no room for it")
            return 0
        finally:
            os.close(fd)
        return 1

    # -- files -----------------------------------------------------------------------------------------

    def _named(self) -> Iterator[Place]:
        """What is suspicious or notable and has a path for a name."""
        items = (item for check in self._report["checks"] for item in check["items"])
        worst = sorted(items, key=lambda item: -LABELS[item["verdict"]])[:NAMED]
        return named((item["name"], LABELS[item["verdict"]]) for item in worst)

    def _alerts(self) -> tuple[Place, ...]:
        return (Place(os.fsencode(self._scene.config.paths.log), 2, 64 * MIB, cleared=False),)

    def _files(self, found: Iterator[Found]) -> None:
        for one in found:
            if self._scene.stop():
                return
            if len(self._manifest) >= FILES:
                self._leave(escape(one.path), f"more than {FILES} files")
                continue
            self._file(one.path, one.place)

    def _file(self, path: bytes, place: Place) -> None:
        """One entry: its content where it is a regular file, else only what it is."""
        seen = self._texts.lstat(path)
        if seen is None:
            return
        if not stat.S_ISREG(seen.st_mode):
            target = {"target": escape(self._texts.link(path))} if stat.S_ISLNK(seen.st_mode) else {}
            self._note(path, "", seen, target)
            return
        if (seen.st_dev, seen.st_ino) == self._own:
            return
        try:
            if seen.st_size <= WHOLE:
                self._small(path, place, seen)
            else:
                self._large(path, place, seen)
        except TooLarge:
            self._left_file(path, seen, "there was no room for it")

    def _small(self, path: bytes, place: Place, seen: os.stat_result) -> None:
        # /proc says 0 bytes of everything, and logs grow: more than was said is asked for.
        limit = place.most if not seen.st_size else min(seen.st_size + MIB, WHOLE)
        read = self._texts.read(path, limit)
        if read.data is None or read.stat is None:
            self._left_file(path, seen, read.problem or "it was gone")
            return
        if (read.stat.st_dev, read.stat.st_ino) != (seen.st_dev, seen.st_ino):
            self._left_file(path, seen, "another file took its place while it was read")
            return
        if len(read.data) > place.most and place.whole:
            self._left_file(path, seen, f"{len(read.data)} bytes are too many")
            return
        data = read.data
        cleared: list[str] = []
        if place.cleared and not self._secrets:  # before it is cut: half a key looks like none
            data, cleared = without_secrets(split(path)[1], data)
        offset = _start(place, len(data), place.most)
        cut = len(data) > place.most
        data = data[offset : offset + place.most]
        member = self._archive.add(f"files/{stored(path)}", data, seen.st_mtime)
        told: dict[str, Any] = {"sha256": member.sha256, "offset": offset, "bytes": len(data), "cut": cut}
        if cleared:
            told["without"] = cleared
        self._stored(path, member.name, read.stat, told)

    def _large(self, path: bytes, place: Place, seen: os.stat_result) -> None:
        if place.cleared and not self._secrets and place.most <= WHOLE:
            self._left_file(path, seen, "it is too large to be searched for secrets")
            return
        size = min(seen.st_size, place.most, self._archive.room)
        if size < seen.st_size and (place.whole or size < MIB):
            self._left_file(path, seen, f"{seen.st_size} bytes are too many")
            return
        start = offset = _start(place, seen.st_size, size)
        size = min(size, seen.st_size - start)
        swapped = False

        def read(count: int) -> bytes:
            nonlocal offset, swapped
            part = self._texts.read(path, min(count, CHUNK), offset)
            if part.data is None or part.stat is None or part.stat.st_ino != seen.st_ino:
                swapped = True
                return b""
            offset += len(part.data)
            return part.data

        member, short = self._archive.stream(f"files/{stored(path)}", size, read, seen.st_mtime)
        told: dict[str, Any] = {
            "sha256": member.sha256,
            "offset": start,
            "bytes": size,
            "cut": size < seen.st_size,
        }
        if short:
            note = "another file took its place" if swapped else "it was cut"
            told["problem"] = f"{note} while it was read: zeros stand for what is missing"
            self._leave(escape(path), told["problem"])
        self._stored(path, member.name, seen, told)

    # -- the list ----------------------------------------------------------------------------------------

    def _stored(self, path: bytes, name: str, seen: os.stat_result, told: dict[str, Any]) -> None:
        told["changed"] = mark(self._texts.lstat(path)) != mark(seen)
        if told["cut"]:
            self._leave(escape(path), f"only {told['bytes']} bytes from {told['offset']} on were taken")
        self._note(path, name, seen, told)
        self._bundle.files += 1

    def _left_file(self, path: bytes, seen: os.stat_result, why: str) -> None:
        self._leave(escape(path), why)
        self._note(path, "", seen, {"problem": why})

    def _note(self, path: bytes, name: str, seen: os.stat_result, more: dict[str, Any]) -> None:
        """An entry of the manifest; room for it is kept."""
        entry = {
            "path": escape(path),
            "stored": name,
            "mode": f"{seen.st_mode:o}",
            "uid": seen.st_uid,
            "gid": seen.st_gid,
            "size": seen.st_size,
            "inode": seen.st_ino,
            "device": seen.st_dev,
            "links": seen.st_nlink,
            "modified": timestamp(seen.st_mtime_ns, 9),
            "changed_at": timestamp(seen.st_ctime_ns, 9),
            "accessed": timestamp(seen.st_atime_ns, 9),
            **more,
        }
        self._manifest.append(entry)
        self._archive.reserve(len(json.dumps(entry)) + 2)

    def _leave(self, what: str, why: str) -> None:
        """Say that something was left out."""
        self._bundle.left_out += 1
        if len(self._bundle.left) < KEPT:
            self._bundle.left.append((clean(what), clean(why)))
            self._archive.reserve(len(json.dumps(self._bundle.left[-1])) + 64)

    def _packages(self) -> None:
        packages = self._scene.packages
        if packages.problem:
            self._leave("packages", packages.problem)
            return
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
            for one in packages.installed()
        )
        self._text(
            "packages.txt",
            "".join(f"{line}\n" for line in ("PACKAGE\tVERSION\tINSTALLED\tFILES\tLEVEL\tSIGNATURE", *lines)),
        )

    def _close(self) -> None:
        told = {
            "schema": 1,
            "host": self._report["host"],
            "gathered": timestamp(int(self._scene.now * 1e9)),
            "secrets": self._secrets,
            "files": self._manifest,
            "left_out": {
                "count": self._bundle.left_out,
                "first": [{"what": what, "why": why} for what, why in self._bundle.left],
            },
        }
        data = json.dumps(told).encode()
        self._archive.reserve(-len(data))
        self._archive.add("manifest.json", data)
        self._bundle.size, self._bundle.sha256 = self._archive.close()


def _start(place: Place, size: int, most: int) -> int:
    """Where to begin in a file of which `most` bytes are taken: at the beginning of a record."""
    start = 0 if place.head else max(0, size - most)
    return -(-start // place.record) * place.record


def _identity(target: BinaryIO) -> tuple[int, int] | None:
    """The file that is written to, so that it does not become a part of itself."""
    try:
        found = os.fstat(target.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return found.st_dev, found.st_ino
