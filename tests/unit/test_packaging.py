"""The wheel that is built holds all that runs: real files where the tree has a link, and both commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built from a copy, because setuptools leaves things in the tree it builds from."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("hostguardd", "etc"):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", tree / "dist", tree],
        check=True,
    )
    (built,) = (tree / "dist").glob("hostguardd-*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


def test_the_configuration_in_the_wheel_is_real_files(wheel: zipfile.ZipFile) -> None:
    for path in (ROOT / "etc").glob("*.toml"):
        assert wheel.read(f"hostguardd/etc/{path.name}") == path.read_bytes()


def test_every_module_and_schema_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    package = ROOT / "hostguardd"
    looks = (*package.glob("render/html/*.html"), *package.glob("render/html/*.css"))
    wanted = {*package.rglob("*.py"), *package.glob("schema/*.json"), *looks, package / "py.typed"}
    assert {str(path.relative_to(ROOT)) for path in wanted} <= set(wheel.namelist())


def test_nothing_but_the_package_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    assert {name.split("/")[0].split("-")[0] for name in wheel.namelist()} == {"hostguardd"}


def test_the_commands_are_installed(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    points = wheel.read(name).decode()
    assert "hostguardd = hostguardd.daemon:main" in points
    assert "hostguardctl = hostguardd.cli:main" in points
    assert "hostguardd-forward = hostguardd.forward:main" in points
