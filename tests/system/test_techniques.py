"""Every technique and every trick, done on a booted host with the shipped configuration, and judged."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.store.chain import read
from tests.alerts import check
from tests.daemon import ROOT
from tests.system import guest, techniques
from tests.system.techniques.table import ACTS, Act

for room in techniques.ROOMS:
    importlib.import_module(f"tests.system.techniques.{room}")

PATIENCE = 900.0
SLACK = 2.0
"""Times the promise that one act may take on a machine that is busy with other tests."""

HIDE = """\
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
struct dirent *readdir(DIR *d) {
    static struct dirent *(*real)(DIR *);
    struct dirent *e;
    if (!real) real = dlsym(RTLD_NEXT, "readdir");
    while ((e = real(d)) && atoi(e->d_name) > 1 && atoi(e->d_name) % 2);
    return e;
}
"""
"""Hides every second process from whoever lists /proc by the C library."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE + 300)]


@pytest.fixture(scope="module")
def day(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of a host after all that was done to it."""

    def live(root: Path) -> None:
        guest.copied(debian, root)
        guest.install(root)
        trial = root / "trial"
        shutil.copytree(
            ROOT / "tests/system/techniques",
            trial / "techniques",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        compile_hide(trial)
        guest.program(
            root,
            f"/usr/bin/env -C /trial /usr/bin/python3 -m techniques {os.environ.get('HOSTGUARD_ACTS', '')}",
        )
        guest.boot(root, PATIENCE)

    with guest.kept(tmp_path_factory.mktemp("techniques"), "HOSTGUARD_DAY", live) as root:
        yield root


def compile_hide(folder: Path) -> None:
    if compiler := shutil.which("cc"):
        (folder / "hide.c").write_text(HIDE)
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", str(folder / "hide.so"), str(folder / "hide.c"), "-ldl"],
            check=True,
        )


@pytest.fixture(scope="module")
def result(day: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((day / "result.json").read_text())
    assert "failed" not in found, found["failed"]
    return found


def test_the_day_was_whole(result: dict[str, Any]) -> None:
    assert result["code"] == 0, result["said"]
    assert "HOSTGUARD_ACTS" in os.environ or result["acts"].keys() == ACTS.keys()


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_technique(result: dict[str, Any], act: Act) -> None:
    found = result["acts"].get(act.name)
    if found is None and "HOSTGUARD_ACTS" in os.environ:
        pytest.skip("not among HOSTGUARD_ACTS")
    assert found is not None, result["said"][-2000:]
    if "not here" in found:
        pytest.skip(found["not here"])
    assert "failed" not in found, found["failed"]
    assert "undo failed" not in found, found["undo failed"]
    if "shown" in found:
        return
    told = "\n".join(
        f"  {one['technique']:10} {one['rule']:24} {one['message'][:160]}" for one in found.get("told", ())
    )
    assert "named" in found, f"nothing named {act.names}; what was told:\n{told}"
    assert "alert" in found, f"named, but not as {act.techniques}:\n{told}"
    assert found["seconds"] <= act.within * SLACK, found["alert"]
    if act.at_most:
        assert found["count"] <= act.at_most, told


def test_files_are_told_within_a_second(result: dict[str, Any]) -> None:
    seconds = sorted(
        found["seconds"]
        for name, found in result["acts"].items()
        if ACTS[name].within == 1.0 and "seconds" in found
    )
    if not seconds:
        pytest.skip("no file was touched")
    assert seconds[int(len(seconds) * 0.95)] <= 1.0, seconds[-20:]


def test_what_was_told_fits_the_schema_and_gives_no_secret_away(day: Path, result: dict[str, Any]) -> None:
    lines = [line for _, line in read(str(day / "trial/log"), 0)]
    assert len(lines) >= len(result["acts"]) / 2
    for line in lines:
        check(line)
    hashes = re.findall(r"\$(?:y|6)\$[^:]+", (day / "etc/shadow").read_text())
    assert hashes
    everything = b"\n".join(lines)
    assert not [one for one in hashes if one.encode() in everything]
    assert b"$6$salt$" not in everything
    assert b"PRIVATE KEY" not in everything
