"""hostguardd's own files against the records that were installed with them: pip's RECORD, the RPM's manifest.

Nobody signs either: it catches who changes a file of ours so that we look away, not who writes the record
anew as well. Against the RPM's signed digests the check `packages` compares the same files.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
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
