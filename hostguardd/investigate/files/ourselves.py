"""hostguardd's own files against the records that were installed with them: pip's RECORD, the RPM's manifest.

Nobody signs either: it catches who changes a file of ours so that we look away, not who writes the record
anew as well. Against the RPM's signed digests the check `packages` compares the same files. Neither tells of
the bytecode that Python keeps beside a module and runs in its place (PEP 3147): that is held against the
source.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import marshal
import os
import sys
from collections.abc import Iterator
from typing import Final

from ... import manifest
from ...host.globbing import glob_paths
from ...host.mounts import MountMap
from ...model import join, split
from ..scene import Scene

RECORDS: Final = tuple(
    top + b"/lib/python3*/*-packages/hostguardd-*.dist-info/RECORD"
    for top in (b"/usr", b"/usr/local", b"/opt/*")
)
HERE: Final = os.fsencode(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__)))))
"""Where the program that looks was installed, if that is on the host that it looks at."""

LARGEST: Final = 16 * 1024**2
"""Bytes of one file that are read; ours are smaller."""


def records(scene: Scene) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """Each record there is, and the SHA-256 of each path that it tells."""
    files, texts = scene.host.files, scene.host.texts
    data = texts.read(manifest.PLACE, manifest.LARGEST).data
    if data:
        told = {path: one.sha256 for path, one in manifest.parse(data).items() if one.sha256}
        yield manifest.PLACE, {path: digest for path, digest in told.items() if path[:5] != b"/etc/"}
    mounts = MountMap(files.mounts)
    paths = [
        path
        for glob in RECORDS
        for path in glob_paths(files, glob, lambda one: mounts.away(one) is not None, lambda *_: None)
    ]
    if files.root == b"/":
        paths += [
            join(join(HERE, name), b"RECORD")
            for name in texts.names(HERE, 100_000) or ()
            if name.startswith(b"hostguardd-") and name.endswith(b".dist-info")
        ]
    for place in dict.fromkeys(paths):
        site = split(split(place)[0])[0]
        said = recorded(texts.read(place, LARGEST).data or b"").items()
        yield place, {os.path.normpath(join(site, path)): digest for path, digest in said}


def recorded(text: bytes) -> dict[bytes, bytes]:
    """Path -> SHA-256 of what is run, of a RECORD: `path,sha256=BASE64,size`. Pure."""
    found = {}
    try:
        for row in csv.reader(text.decode("utf-8", "surrogateescape").splitlines()):
            ours = len(row) > 1 and "\0" not in row[0] and ".dist-info/" not in row[0]
            if ours and row[1].startswith("sha256="):
                found[os.fsencode(row[0])] = base64.urlsafe_b64decode(row[1][7:] + "==")
    except (csv.Error, ValueError):
        pass  # what stands before is compared
    return found


def changed(scene: Scene, said: dict[bytes, bytes]) -> list[bytes]:
    """The paths whose content is another. What is not there does nothing."""
    found = []
    for path, digest in said.items():
        if scene.stop():
            break
        data = scene.host.texts.read(path, LARGEST).data
        if data is not None and hashlib.sha256(data).digest() != digest:
            found.append(path)
    return found


def replaced(scene: Scene) -> list[bytes]:
    """The bytecode that was run here in place of modules of ours, and is not what their source says. Nothing
    of an image: its Python is another one, and what is made to harm may harm whoever reads it."""
    if scene.host.files.root != b"/":
        return []
    found = []
    for name, module in sorted(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if scene.stop() or spec is None or not f"{name}.".startswith("hostguardd.") or not spec.cached:
            continue
        source, cached = (os.fsencode(path) for path in (spec.origin or "", spec.cached))
        text, code = scene.host.texts.read(source, LARGEST), scene.host.texts.read(cached, LARGEST)
        if text.data is None or text.stat is None or code.data is None:
            continue
        if is_read(code.data, text.stat) and not is_compiled(code.data, text.data):
            found.append(cached)
    return found


def is_read(code: bytes, source: os.stat_result) -> bool:
    """Whether Python would run this bytecode, and not compile its source anew (PEP 552)."""
    flags = int.from_bytes(code[4:8], "little")
    times = b"".join(
        (int(one) & 0xFFFFFFFF).to_bytes(4, "little") for one in (source.st_mtime, source.st_size)
    )
    return code[:4] == importlib.util.MAGIC_NUMBER and (flags != 0 or code[8:16] == times)


def is_compiled(code: bytes, source: bytes) -> bool:
    """Whether bytecode, which this Python has already run, is what its source says."""
    try:
        return bool(marshal.loads(code[16:]) == compile(source, "", "exec", dont_inherit=True))
    except (EOFError, SyntaxError, TypeError, ValueError):
        return False
