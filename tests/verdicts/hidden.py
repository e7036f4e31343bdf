"""What the packaged rules say of what is hidden: (drift, rule, severity, technique), at least one a rule."""

from __future__ import annotations

from dataclasses import replace

from hostguardd.model import Drift, Severity
from tests.alerts import HIDDEN, drift

IGNORE, INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity


def hidden(view: str, name: bytes, sign: str) -> Drift:
    return drift(None, replace(HIDDEN, view=view, name=name, sign=sign))


SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    (drift(HIDDEN, None), "hidden-gone", INFO, ""),
    (drift(None, HIDDEN), "hidden-process", CRITICAL, "T1014"),
    (hidden("processes", b"threads", "miscounted"), "hidden-process", CRITICAL, "T1014"),
    (hidden("processes", b"pid 7", "libc"), "hidden-by-preload", CRITICAL, "T1574.006"),
    (hidden("files", b"/etc/ld.so.preload", "libc"), "hidden-by-preload", CRITICAL, "T1574.006"),
    (hidden("processes", b"pid 7", "covered"), "hidden-by-mount", CRITICAL, "T1564.013"),
    (hidden("ports", b"tcp 31337", "unlisted"), "hidden-port", CRITICAL, "T1014"),
    (hidden("files", b"/usr/lib", "unlisted"), "hidden-folders", CRITICAL, "T1014"),
    (hidden("files", b"/root/...", "odd-name"), "name-made-to-be-overlooked", HIGH, "T1564.001"),
    (hidden("files", b"/dev/x", "file-in-dev"), "found-among-devices", HIGH, "T1564.001"),
    (hidden("files", b"/tmp/.x", "hidden-folder"), "found-in-temporary-place", HIGH, "T1564.001"),
    (hidden("files", b"/dev/shm/.x", "hidden-file"), "found-in-temporary-place", HIGH, "T1564.001"),
    (hidden("files", b"/usr/lib/.x", "hidden-folder"), "hidden-in-odd-place", MEDIUM, "T1564.001"),
]
