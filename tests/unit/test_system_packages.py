"""tools/system-packages: what is there is not asked for, and nothing has to leave for another."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("bash", "awk", "cat", "dirname", "grep", "mkdir", "mktemp", "rm", "xargs")

TABLE = """\
# purpose command deb rpm why
test bash bash-deb bash-rpm is there
test {folder}/here here-deb here-rpm is there
test {folder}/nowhere/x|{folder}/h*e there-deb there-rpm is there
test no-such-command command-deb command-rpm is not
test {folder}/n*e/x.so|{folder}/x.so plug-in-deb plug-in-rpm is not
test no-such-server +server-deb server-rpm is not, and may not be
bench no-such-bench bench-deb bench-rpm is for something else
"""

APT = """\
#!/bin/bash
echo "apt-get $*" >>"$LOG"
case "$*" in
    *-s*) echo "Remv precious"; echo "Inst server-deb (1)"; echo "Inst library-deb (2)" ;;
    *download*) while [ "$1" != download ]; do shift; done; shift; for name; do : >"$name.deb"; done ;;
esac
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tool with a table of its own, and a folder of the few commands it may find."""
    for folder in ("tools", "tests", "bin"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "tools/system-packages", tmp_path / "tools")
    (tmp_path / "here").touch()
    (tmp_path / "tests/system-packages.txt").write_text(TABLE.format(folder=tmp_path))
    for name in NEEDED:
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    return tmp_path


def program(tree: Path, name: str, text: str) -> None:
    path = tree / "bin" / name
    path.write_text(text)
    path.chmod(0o755)


def run(tree: Path) -> str:
    environment = {
        "PATH": str(tree / "bin"),
        "HOSTGUARD_CACHE": str(tree / "cache"),
        "LOG": str(tree / "log"),
    }
    done = subprocess.run(
        [tree / "tools/system-packages", "test"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_elsewhere_it_says_what_to_install(tree: Path) -> None:
    program(tree, "id", "#!/bin/bash\necho 0\n")
    told = run(tree)
    assert told.endswith("sudo dnf install command-rpm plug-in-rpm server-rpm\n")
    assert f"missing: no-such-command {tree}/n*e/x.so|{tree}/x.so no-such-server." in told


def test_on_debian_root_gets_it_installed_or_unpacked(tree: Path) -> None:
    program(tree, "id", "#!/bin/bash\necho 0\n")
    program(tree, "apt-get", APT)
    program(tree, "dpkg-deb", '#!/bin/bash\necho "dpkg-deb $*" >>"$LOG"\n')
    run(tree)
    called = (tree / "log").read_text().splitlines()
    beside = tree / "cache/beside"
    assert called[:2] == [
        "apt-get -qq update",
        "apt-get -qq install --no-install-recommends command-deb plug-in-deb",
    ]
    assert [line for line in called if line.startswith("dpkg-deb")] == [
        f"dpkg-deb -x library-deb.deb {beside}",
        f"dpkg-deb -x server-deb.deb {beside}",
    ]
    assert not any(line.endswith("server-deb") and " -s " not in line for line in called if "install" in line)
    assert beside.is_dir()


def test_on_debian_others_are_told_who_can(tree: Path) -> None:
    program(tree, "id", "#!/bin/bash\necho 1000\n")
    program(tree, "apt-get", APT)
    assert run(tree).endswith("sudo tools/system-packages test\n")
    assert not (tree / "log").exists()


def test_every_row_of_the_table_has_its_columns() -> None:
    rows = [line.split(maxsplit=4) for line in (ROOT / "tests/system-packages.txt").read_text().splitlines()]
    rows = [row for row in rows if row[0] != "#"]
    assert all(len(row) == 5 for row in rows)
    assert {row[0] for row in rows} == {"test", "bench", "rpm", "central", "report"}
    assert os.access(ROOT / "tools/system-packages", os.X_OK)
