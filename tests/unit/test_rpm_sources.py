"""What the package is made from agrees with itself: versions, pins, pages, snippets, the unit."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest

import hostguardd
from hostguardd.cli import COMMANDS
from hostguardd.destinations import Destination
from hostguardd.health import CONDITIONS, message_id
from hostguardd.rules import Rule
from hostguardd.store.database import VERSION
from hostguardd.watchlist import Watch

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
SPEC = (PACKAGING / "hostguardd.spec").read_text()
MOST_EXPOSED = 3.5


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str | Path) -> str:
    """Standard output of a command that must go well."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def carried() -> dict[str, str]:
    """Name -> version of what requirements.txt pins, but for what only the build uses."""
    vendor = runpy.run_path(str(PACKAGING / "vendor.py"))
    pins = vendor["pins"]((PACKAGING / "requirements.txt").read_text())
    return {name: version for name, (version, _) in pins.items() if name not in vendor["BUILD_ONLY"]}


def test_the_spec_says_what_the_sources_say() -> None:
    assert re.search(r"^Version: +(.*)", SPEC, re.M)[1] == hostguardd.__version__  # type: ignore[index]
    assert f"%global store_format {VERSION}\n" in SPEC
    provided = dict(re.findall(r"bundled\(python3dist\((.*)\)\) = (.*)", SPEC))
    assert provided == carried()


def test_what_is_carried_is_what_is_tested() -> None:
    constraints = dict(re.findall(r"^([\w.-]+)==(.*)", (ROOT / "constraints.txt").read_text(), re.M))
    tested = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in constraints.items()}
    assert carried() == {name: tested[name] for name in carried()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {re.split(r"[<>=]", one)[0] for one in project["dependencies"]} <= carried().keys()


def page(name: str, tmp_path: Path) -> Path:
    made = tmp_path / name
    made.write_text(
        run(
            sys.executable,
            PACKAGING / "manpages.py",
            PACKAGING / "man" / name,
            ROOT / "etc/hostguardd.toml",
            "0",
        )
    )
    return made


@pytest.mark.parametrize(
    "name", ["hostguardd.8", "hostguardd-forward.8", "hostguardctl.8", "hostguardd.toml.5"]
)
def test_a_man_page_is_right_and_has_examples(name: str, tmp_path: Path) -> None:
    made = page(name, tmp_path)
    assert ".Sh EXAMPLES" in made.read_text()
    assert run(program("mandoc"), "-T", "lint", "-W", "warning", made) == ""


def test_the_pages_name_every_command_and_every_setting(tmp_path: Path) -> None:
    shown = run(program("mandoc"), "-T", "ascii", "-O", "width=200", page("hostguardctl.8", tmp_path))
    text = re.sub(r".\x08", "", shown)
    for name in COMMANDS:
        assert re.search(rf"^ +{name}\b", text, re.M), name
    shown = run(program("mandoc"), "-T", "ascii", "-O", "width=200", page("hostguardd.toml.5", tmp_path))
    text = " ".join(re.sub(r".\x08", "", shown).split())
    settings = (ROOT / "etc/hostguardd.toml").read_text().split("# Where alerts are sent")[0]
    defaults = re.findall(r"^#(\w+ = .*)", settings, re.M)
    assert len(defaults) > 25
    for default in defaults:
        assert default in text
    watches = text[text.index("WATCHES AND RULES") :]
    for name in (*(one.name for one in fields(Watch)), *(one.name for one in fields(Rule))):
        assert re.search(rf"\b{name}\b", watches), name
    destinations = text[text.index("DESTINATIONS") :]
    for one in fields(Destination):
        assert re.search(rf"\b{one.name}\b", destinations), one.name


def test_the_catalog_explains_every_message(tmp_path: Path) -> None:
    text = run(sys.executable, PACKAGING / "catalog.py")
    assert re.findall(r"^-- ([0-9a-f]{32})$", text, re.M) == [message_id(code) for code in sorted(CONDITIONS)]
    (tmp_path / "usr/lib/systemd/catalog").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/catalog/hostguardd.catalog").write_text(text)
    run(program("journalctl"), "--root", tmp_path, "--update-catalog")
    shown = run(program("journalctl"), "--root", tmp_path, "--dump-catalog", message_id("coverage.overflow"))
    assert "so no lasting change is missed" in " ".join(shown.split())


def test_rsyslog_takes_the_snippet(tmp_path: Path) -> None:
    config = tmp_path / "rsyslog.conf"
    config.write_text(
        f'global(workDirectory="{tmp_path}" maxMessageSize="256k")\n'
        + (PACKAGING / "rsyslog.conf").read_text()
    )
    said = run(program("rsyslogd"), "-N1", "-f", config)
    assert "End of config validation run" in said
    assert "error" not in said.lower().replace("errors", "")
    assert "warning" not in said.lower()


@pytest.fixture(scope="module")
def completions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Completions as the build makes them, by the pinned shtab if it is here."""
    wheels = sorted((ROOT / "build/wheels").glob("shtab-*.whl"))
    if not wheels:
        pytest.skip("shtab was not fetched: `make rpm` does")
    folder = tmp_path_factory.mktemp("completions")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder / "tool")
    for shell in ("bash", "zsh"):
        for name, parser in (
            ("hostguardctl", "cli.parser"),
            ("hostguardd", "daemon.arguments"),
            ("hostguardd-forward", "forward.arguments"),
        ):
            ran = subprocess.run(
                [sys.executable, "-m", "shtab", "--prog", name, "-s", shell, f"hostguardd.{parser}"],
                env=os.environ | {"PYTHONPATH": f"{ROOT}:{folder / 'tool'}"},
                capture_output=True,
                text=True,
                check=True,
            )
            (folder / f"{name}.{shell}").write_text(ran.stdout)
    return folder


def test_bash_completes_commands(completions: Path) -> None:
    script = f"""
        source {completions}/hostguardctl.bash
        COMP_WORDS=(hostguardctl ba) COMP_CWORD=1
        $(complete -p hostguardctl | sed 's/.*-F \\([^ ]*\\) .*/\\1/') hostguardctl ba hostguardctl
        echo "${{COMPREPLY[@]}}"
    """
    assert run("bash", "-c", script).split() == ["baseline"]


def test_zsh_reads_the_completions(completions: Path) -> None:
    zsh = program("zsh")
    for name in ("hostguardctl", "hostguardd"):
        run(zsh, "-n", completions / f"{name}.zsh")
    assert "baseline" in (completions / "hostguardctl.zsh").read_text()


def test_the_unit_is_little_exposed() -> None:
    analyze = program("systemd-analyze")
    told = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=100", str(ROOT / "systemd/hostguardd.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        pytest.skip(f"this systemd-analyze cannot judge a file: {told.stderr}")
    found = re.search(r"exposure level for hostguardd.service: ([0-9.]+)", told.stdout)
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSED


def test_the_unit_turns_nothing_on_that_would_blind_the_daemon() -> None:
    unit = (ROOT / "systemd/hostguardd.service").read_text()
    on = dict(re.findall(r"^(\w+)=(.*)", unit, re.M))
    for name in (
        "PrivateTmp", "PrivateNetwork", "PrivateDevices", "PrivateUsers", "ProtectKernelModules",
        "ProcSubset", "ProtectProc", "DynamicUser", "IPAddressDeny", "InaccessiblePaths",
        "TemporaryFileSystem", "RootDirectory", "RootImage",
    ):  # fmt: skip
        assert name not in on
    assert on["ProtectHome"] == "read-only"
    assert on["Restart"] == "always"


def test_the_launcher_takes_the_newest_python_and_says_when_there_is_none(tmp_path: Path) -> None:
    text = (PACKAGING / "launcher.in").read_text().replace("@NAME@", "hostguardctl")
    launcher = tmp_path / "launcher"
    launcher.write_text(text.replace("/usr/bin/", f"{tmp_path}/"))
    none = subprocess.run(["sh", launcher], capture_output=True, text=True, check=False)
    assert none.returncode == 127
    assert "needs Python 3.11 or newer" in none.stderr
    assert "dnf install python3.12" in none.stderr
    for minor in (9, 11, 13):
        python = tmp_path / f"python3.{minor}"
        python.write_text(f'#!/bin/sh\necho {minor} "$@"\n')
        python.chmod(0o755)
    assert run("sh", launcher, "status", "a b").split() == [
        "13", "-I", "-S", "-B", "/usr/lib/hostguardd/hostguardctl", "status", "a", "b",
    ]  # fmt: skip


def test_only_pinned_files_are_unpacked(tmp_path: Path) -> None:
    vendor = PACKAGING / "vendor.py"
    (tmp_path / "files").mkdir()
    with zipfile.ZipFile(tmp_path / "files/a-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("a/__init__.py", "")
        wheel.writestr("a-1.dist-info/RECORD", "")
        wheel.writestr("a-1.data/scripts/a", "")
    digest = run("sha256sum", tmp_path / "files/a-1-py3-none-any.whl").split()[0]
    pins = tmp_path / "pins"
    pins.write_text(f"a==1 \\\n    --hash=sha256:{digest}\n")
    run(sys.executable, vendor, "unpack", pins, tmp_path / "files", tmp_path / "tree", "x86_64")
    found = {str(p.relative_to(tmp_path / "tree")) for p in (tmp_path / "tree").rglob("*") if p.is_file()}
    assert found == {"a/__init__.py"}
    pins.write_text(f"a==1 \\\n    --hash=sha256:{'0' * 64}\n")
    refused = subprocess.run(
        [sys.executable, vendor, "check", pins, tmp_path / "files"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "with another digest: a 1" in refused.stderr


def test_of_sources_the_package_is_taken_without_its_parts_in_c(tmp_path: Path) -> None:
    """One tree serves every Python, and what is compiled for one of them serves no other."""
    (tmp_path / "files").mkdir()
    archive = tmp_path / "files/b-2.tar.gz"
    with tarfile.open(archive, "w:gz") as made:
        for name in (
            "PKG-INFO",
            "LICENSE.txt",
            "setup.py",
            "src/b/__init__.py",
            "src/b/_fast.c",
            "src/b.egg-info/x",
        ):
            made.addfile(tarfile.TarInfo(f"b-2/{name}"))
    pins = tmp_path / "pins"
    pins.write_text(f"b==2 \\\n    --hash=sha256:{run('sha256sum', archive).split()[0]}\n")
    run(
        sys.executable,
        PACKAGING / "vendor.py",
        "unpack",
        pins,
        tmp_path / "files",
        tmp_path / "tree",
        "x86_64",
    )
    found = {str(p.relative_to(tmp_path / "tree")) for p in (tmp_path / "tree").rglob("*") if p.is_file()}
    assert found == {"b/__init__.py", "b-2.dist-info/METADATA", "b-2.dist-info/LICENSE.txt"}
