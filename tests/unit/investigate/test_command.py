"""The files that an inquiry leaves: what was not finished is removed, and which one failed is said."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from hostguardd.defaults import default_sources
from hostguardd.errors import ConfigError, UsageError
from hostguardd.investigate import command
from hostguardd.investigate.command import Leaving, Wanted, prepare
from tests import inquiries
from tests.scenes import CONFIG, scene
from tests.state import State, file
from tests.trees import clean

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="nothing here is always full")


def quiet(_: object) -> None:
    pass


def test_an_image_has_its_own_baseline_and_never_ours(tmp_path: Path) -> None:
    State(tmp_path / "baseline.db", [file(b"/etc/hosts")]).close()
    state = tmp_path / "root" / CONFIG.paths.state.lstrip("/")
    state.parent.mkdir(parents=True)
    state.symlink_to(tmp_path)  # absolute: within the image there is no such folder
    with closing(prepare(Wanted(root=str(tmp_path / "root"))).approved) as approved:
        assert approved.generation is None
    state.unlink()
    state.symlink_to("../own")
    (state.parent.parent / "own").mkdir()
    (tmp_path / "baseline.db").rename(state.parent.parent / "own/baseline.db")
    with closing(prepare(Wanted(root=str(tmp_path / "root"))).approved) as approved:
        assert approved.generation is not None


def test_what_was_not_finished_is_removed(tmp_path: Path) -> None:
    page, bundle = tmp_path / "page", tmp_path / "bundle"
    with suppress(KeyboardInterrupt), Leaving(str(page), str(bundle)):
        assert page.exists()
        assert bundle.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_that_somebody_else_removed_it_matters_no_more(tmp_path: Path) -> None:
    with Leaving(str(tmp_path / "page"), None):
        (tmp_path / "page").unlink()


def test_what_is_there_already_stays_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("mine")
    leaving = Leaving(str(tmp_path / "page"), str(tmp_path / "bundle"))
    with pytest.raises(UsageError, match="bundle is there already"):
        leaving.__enter__()
    assert [one.name for one in tmp_path.iterdir()] == ["bundle"]


@FULL
@pytest.mark.parametrize(("failing", "other"), [("page", "bundle"), ("bundle", "page")])
def test_a_full_disk_is_told_of_the_file_that_it_hit(tmp_path: Path, failing: str, other: str) -> None:
    leaving = Leaving(str(tmp_path / "page"), str(tmp_path / "bundle"))
    with leaving, open("/dev/full", "wb", buffering=0) as full:
        os.dup2(full.fileno(), leaving._files[failing].fileno())
        said = leaving.write(scene(bytes(tmp_path)), inquiries.clean(), False, quiet)
    (problem,) = leaving.problems
    assert (
        problem == f"cannot write {tmp_path / failing}: No space left on device; the {failing} was not saved"
    )
    assert str(tmp_path / other) in " ".join(said)
    assert str(tmp_path / failing) not in " ".join(said)
    assert (tmp_path / other).stat().st_size


def test_what_somebody_put_in_its_place_stays(tmp_path: Path) -> None:
    page = tmp_path / "page"
    with suppress(KeyboardInterrupt), Leaving(str(page), None):
        page.rename(tmp_path / "taken")
        page.write_text("another's")
        raise KeyboardInterrupt
    assert page.read_text() == "another's"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_lost_connection_leaves_no_half_file(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, Leaving(str(tmp_path / "page"), None):
        signal.raise_signal(number)
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) is before
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_for_whoever_reads_no_more_is_said(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hostguardd.investigate.command import Leaving;"
        "from tests import inquiries; from tests.scenes import scene\n"
        "with Leaving(None, '-') as leaving:\n"
        "    leaving.write(scene(sys.argv[1].encode()), inquiries.clean(), False, lambda _: None)\n"
        "print(leaving.problems, file=sys.stderr)"
    )
    (tmp_path / "var/log").mkdir(parents=True)
    (tmp_path / "var/log/messages").write_bytes(os.urandom(1 << 20))
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as out:
        told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdout=out, stderr=subprocess.PIPE)
    assert told.stderr == b"['cannot write standard output: Broken pipe; the bundle was not saved']\n"
    assert told.returncode == 0


def test_an_installed_configuration_that_is_broken_stops_no_inquiry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever broke into the host could otherwise forbid it by one letter."""
    broken = tmp_path / "hostguardd.toml"
    broken.write_text("[paths")
    monkeypatch.setattr(command, "default_sources", partial(default_sources, installed=str(broken)))
    scene = prepare(Wanted(root=str(clean(tmp_path / "host"))))
    (problem,) = scene.problems
    assert str(broken) in problem.reason
    with pytest.raises(ConfigError):
        prepare(Wanted(config=str(broken)))


def test_an_uncompiled_installation_is_not_compiled_by_an_inquiry(tmp_path: Path) -> None:
    """What nobody compiled would be at the first run of root's: files on a host that nothing is to change."""
    package = Path(command.__file__).parents[1]
    shutil.copytree(package, tmp_path / "hostguardd", ignore=shutil.ignore_patterns("__pycache__"))
    ask = [sys.executable, "-m", "hostguardd.cli", "investigate", "--check", "probes", "--root", "."]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    told = subprocess.run(ask, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "What the ports say" in told.stdout
    compiled = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.pyc")]
    assert [path.parent for path in compiled] == [Path("hostguardd/__pycache__")]  # before it can say so
    assert compiled[0].name.startswith("__init__.")
