"""What is running, as evidence: each process, its files and libraries, every socket, and programs without a
file.

The rule kept: what a process was given in its environment, and the passwords among its arguments, are not
ours to hand on, unless that is asked for.
"""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any, Final

from ...host.live import PROTOCOLS, RUNNING, Process
from ...host.running import open_image
from ...host.texts import TextHost
from ...model import join
from ...record import escape, timestamp
from ..logs.redact import arguments
from ..patience import Late, at_most
from ..scene import Scene
from .archive import TooLarge
from .books import Books
from .gathering import MIB
from .patient import SECONDS

PROCESSES: Final = 50_000
DESCRIPTORS: Final = 2000
STATUS: Final = 64 * 1024
MAPS: Final = 2 * MIB

IMAGES: Final = 50
LARGEST: Final = 64 * MIB
"""How many programs that have no file are saved, and how large one may be."""


class Living:
    """Processes and sockets of one host into one archive."""

    def __init__(self, scene: Scene, texts: TextHost, books: Books, secrets: bool) -> None:
        self._scene = scene
        self._texts = texts
        self._books = books
        self._secrets = secrets

    def sockets(self) -> None:
        """Every socket that waits for others, and who holds it."""
        live = self._scene.host.live
        if live.blind:
            self._books.leave("sockets", live.blind)
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
                self._books.leave(f"sockets {proto}", sockets.problem)
        holders = live.owners(inodes).holders
        for one in (one for several in found.values() for one in several):
            one["pids"] = list(holders.get(one["inode"], ()))
        self._books.text("sockets.json", json.dumps(found, indent=1, ensure_ascii=False))

    def processes(self) -> None:
        """Every process."""
        images = 0
        with at_most(max(SECONDS, self._scene.options.patience)):
            found = self._scene.processes
        for number, (pid, process) in enumerate(found.items()):
            if number >= PROCESSES or self._scene.stop():
                self._books.leave("processes", f"all after the first {number}")
                return
            try:
                told = json.dumps(self._process(pid, process), indent=1, ensure_ascii=False)
                self._books.archive.add(f"live/{pid}.json", told.encode(), self._scene.began(process))
                self._books.processes += 1
            except TooLarge:
                self._books.leave(f"process {pid}", "there was no room for it")
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
            "argv": [escape(one) for one in (process.argv if self._secrets else arguments(process.argv))],
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
            self._books.leave(f"the image of process {pid}", "it cannot be read")
            return 0
        fd, found = opened
        try:
            size = found.st_size
            if size > LARGEST:
                self._books.leave(f"the image of process {pid}", f"{size} bytes are too many")
                return 0
            offset = 0

            def read(count: int) -> bytes:
                nonlocal offset
                try:
                    with at_most(SECONDS):
                        data = os.pread(fd, min(count, MIB), offset)
                except (OSError, Late):  # what is missing is zeros; an error of the target is another matter
                    return b""
                offset += len(data)
                return data

            member, _ = self._books.archive.stream(f"live/{pid}.image", size, read)
            self._books.note(process.exe or b"", member.name, found, {"sha256": member.sha256, "bytes": size})
        except TooLarge:
            self._books.leave(f"the image of process {pid}", "there was no room for it")
            return 0
        finally:
            os.close(fd)
        return 1
