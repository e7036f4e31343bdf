"""The rules of the house that a linter has no word for, and the proof that the linter knows the others."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "hostguardd"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = {contract["name"]: contract for contract in PROJECT["tool"]["importlinter"]["contracts"]}
PURE = "Pure rooms decide and never act"

ACTS = {
    "open": "opens a file",
    "print": "writes to the terminal",
    "input": "asks the terminal",
    "now": "reads the clock",
    "utcnow": "reads the clock",
    "today": "reads the clock",
    "fromtimestamp": "reads the time zone of the host unless it is told one",
}
"""Calls an import rule cannot see. The last is fine with a second argument."""


def room(name: str) -> Path:
    """The source of a room: a module, or the folder of a package."""
    path = PACKAGE.parent / name.replace(".", "/")
    return path if path.is_dir() else path.with_suffix(".py")


def sources(name: str) -> list[Path]:
    path = room(name)
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def acts(tree: ast.AST) -> list[str]:
    """What a module does to the world by builtins and `datetime`, as `line: call, reason`."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        told = name == "fromtimestamp" and len(node.args) + len(node.keywords) > 1
        if name in ACTS and not told:
            found.append(f"line {node.lineno}: {name}() {ACTS[name]}")
    return found


@pytest.mark.parametrize("name", CONTRACTS[PURE]["source_modules"])
def test_pure_rooms_do_not_act_by_builtins(name: str) -> None:
    for path in sources(name):
        found = acts(ast.parse(path.read_text()))
        assert not found, f"{path.name} is a pure room. {CONTRACTS[PURE]['broken_contract_guidance']} {found}"


def test_the_rule_above_finds_what_acts() -> None:
    tree = ast.parse("open('x')\ndatetime.now()\ndatetime.fromtimestamp(1)\ndatetime.fromtimestamp(1, UTC)\n")
    assert [line.split()[2] for line in acts(tree)] == ["open()", "now()", "fromtimestamp()"]


def test_every_room_below_the_host_is_held_to_be_pure() -> None:
    layers = [re.findall(r"\w+", layer) for layer in CONTRACTS["Imports point one way"]["layers"]]
    below = layers[layers.index(["host"]) + 1 :]
    rooms = {f"hostguardd.{name}" for layer in below for name in layer}
    # Above it a part of a room may be pure as well.
    assert rooms == {name for name in CONTRACTS[PURE]["source_modules"] if name.count(".") == 1}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_every_room_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if tree.body:
        assert ast.get_docstring(tree), f"{path}: what is this room for, what rule does it keep?"


def test_every_room_is_on_the_map() -> None:
    layers = " ".join(CONTRACTS["Imports point one way"]["layers"])
    on_the_map = (ROOT / "CONTRIBUTING.md").read_text()
    for name in re.findall(r"\w+", layers):
        assert f"`{name}.py`" in on_the_map or f"`{name}/`" in on_the_map, (
            f"CONTRIBUTING.md does not show {name}"
        )


def test_a_broken_contract_is_told_with_its_reason(tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("etc", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "hostguardd", symlinks=True, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "hostguardd/sensors/nosy.py").write_text(
        "import psutil\nimport watchdog\nfrom ..store import baseline\n"
    )
    (tmp_path / "hostguardd/engine/nosy.py").write_text("from ..forwarding import courier\n")
    (tmp_path / "hostguardd/forwarding/nosy.py").write_text("from ..host import files\n")
    with (tmp_path / "hostguardd/diff.py").open("a") as diff:
        diff.write("\nimport time\n")

    linter = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    ran = subprocess.run(
        linter, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )

    assert ran.returncode != 0
    told = " ".join(ran.stdout.split())
    for name in (
        PURE,
        "A sensor judges nothing and stores nothing",
        "Only hostguardd/host asks psutil",
        "Only sensors/watch.py knows watchdog and inotify",
        "The daemon and the forwarder share files, not code that acts",
        "The forwarder knows the alert log, not the host",
    ):
        assert f"{name} BROKEN" in told
        assert CONTRACTS[name]["broken_contract_guidance"] in told
