"""Checks mark how things stand to the baseline, and leave it to one place to make less of what is known."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostguardd.investigate.checks import accounts, folders, names, recent, setid, settings, strays
from hostguardd.investigate.files import standing
from hostguardd.investigate.interface import Found, Known, Verdict
from hostguardd.investigate.scene import Scene
from tests.fakepackages import FakePackages, installed_at
from tests.scenes import looked, scene
from tests.trees import OWNED, clean, put

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root owns a host's files")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with something to tell of each kind."""
    put(clean(tmp_path), "/etc/cron.d/own", "17 3 * * * root /usr/bin/ls -l\n")
    put(tmp_path, "/etc/passwd", "root:x:0:0::/root:/bin/bash\ntoor:x:0:0::/root:/bin/bash\n")
    put(tmp_path, "/etc/rc.local", "#!/bin/sh\n/usr/bin/ls\n", 0o755)
    put(tmp_path, "/usr/bin/own", b"x", 0o4755)
    put(tmp_path, "/usr/lib/.own/x")
    put(tmp_path, "/usr/lib/open", b"x", 0o666)
    put(tmp_path, "/dev/shm/own", b"x", 0o755)
    return tmp_path


def told(root: Path, look: Callable[[Scene], Iterator[Found]], known: Known) -> dict[str, Verdict]:
    """What a check tells of a host of which everything stands to the baseline as `known` says."""
    done = installed_at(1e9, "base-files")
    where = scene(bytes(root), packages=FakePackages(OWNED, done=done))
    where.approved.known = lambda seen: known  # type: ignore[method-assign]
    found = looked(look, where)
    assert {one.known for one in found.items if one.verdict > Verdict.FINE} == {known}
    assert {one.known for one in found.moments if one.verdict > Verdict.FINE} <= {known}
    return {one.name: one.verdict for one in found.items if one.verdict > Verdict.FINE}


@pytest.mark.parametrize(
    "check", [accounts, folders, names, recent, setid, settings, strays], ids=lambda check: check.__name__
)
def test_less_is_made_of_what_is_known_in_one_place(
    root: Path, monkeypatch: pytest.MonkeyPatch, check: object
) -> None:
    look = check.look  # type: ignore[attr-defined]
    for known in (Known.KNOWN, Known.NOT_ASKED):
        stands = lambda *_, known=known: known  # noqa: E731
        for name in ("known", "standing", "standing_of_all"):
            if callable(getattr(check, name, None)):
                monkeypatch.setattr(check, name, stands)
        monkeypatch.setattr(standing, "standing", stands)
        monkeypatch.setattr(names, "marks", lambda _, known=known: {b"/usr/lib/.own": known})
        if known is Known.KNOWN:
            before = told(root, look, known)
    assert before
    assert told(root, look, Known.NOT_ASKED) == before
