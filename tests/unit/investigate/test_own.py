"""What hostguardd itself can say in an inquiry: the baseline, the drift from it, its alert log."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import marshal
import os
import py_compile
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd.config import Config
from hostguardd.investigate.approved import Approved
from hostguardd.investigate.checks import alerts, drift
from hostguardd.investigate.interface import Confidence, Item, Known, Moment, Verdict
from hostguardd.investigate.scene import Options, Scene
from hostguardd.model import FileFact, Severity
from hostguardd.sections import AlertLogConfig
from hostguardd.store.alertlog import AlertLog
from tests import rights, scenes
from tests.alerts import IDENTITY, alert
from tests.fakelive import FakeLive
from tests.state import State, file

Opened = Callable[[Path], Approved]
HOSTS = file(b"/etc/hosts")


def settings(tmp_path: Path) -> Config:
    paths = replace(scenes.CONFIG.paths, state=str(tmp_path), log="/log", run=str(tmp_path))
    return replace(scenes.CONFIG, paths=paths)


def scene(tmp_path: Path, approved: Approved | None = None) -> Scene:
    where = scenes.scene(bytes(tmp_path / "root"), live=FakeLive())
    return Scene(
        where.host, settings(tmp_path), approved or Approved(None), Options(), uid=0, clock=where.clock
    )


@pytest.fixture
def opened() -> Iterator[Opened]:
    """What is approved, by the database's path; let go of after the test."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(closing(Approved(path)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "baseline.db", [HOSTS])
    made.close()
    return made


def test_the_baseline_knows_what_is_known_changed_and_new(state: State, opened: Opened) -> None:
    approved = opened(state.path)
    assert approved.known(HOSTS) is Known.KNOWN
    assert approved.known(replace(HOSTS, mode=0o100666)) is Known.CHANGED
    assert approved.known(file(b"/etc/other")) is Known.NEW


def test_without_a_baseline_nobody_is_asked(tmp_path: Path) -> None:
    approved = Approved(tmp_path / "none.db")
    assert approved.known(HOSTS) is Known.NOT_ASKED
    assert "no baseline" in approved.problem


def test_a_damaged_baseline_is_said_and_stops_nothing(tmp_path: Path, root: Path, opened: Opened) -> None:
    path = tmp_path / "baseline.db"
    path.write_bytes(os.urandom(9000))
    approved = opened(path)
    found = scenes.looked(drift.look, scene(tmp_path, approved))
    assert str(path) in found.unseen[0].reason
    assert not found.items


def test_drift_is_told_by_how_loud_it_is(tmp_path: Path, state: State, root: Path, opened: Opened) -> None:
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (root / "etc/ld.so.preload").write_text("/tmp/x.so\n")
    found = scenes.looked(drift.look, scene(tmp_path, opened(state.path)))
    assert "file /etc/ld.so.preload" in found.suspicious
    hosts = found.named("file /etc/hosts")
    assert hosts.known is Known.CHANGED
    assert hosts.next
    assert any("/etc/ld.so.preload" in one.says for one in found.moments)


def test_a_baseline_that_nobody_reviewed_is_notable(tmp_path: Path, root: Path, opened: Opened) -> None:
    made = State(tmp_path / "baseline.db")
    number = made.baseline.begin_capture()
    made.baseline.add(number, FileFact, [HOSTS.row()])
    made.baseline.finish_capture(number, 1, "hostguardd", "first start", reviewed=False)
    made.close()
    found = scenes.looked(drift.look, scene(tmp_path, opened(made.path)))
    assert "nobody reviewed" in found.named("generation 1").says


def written(tmp_path: Path, *severities: Severity) -> Path:
    folder = tmp_path / "root/log"
    folder.mkdir(exist_ok=True)
    where = scenes.scene()
    log = AlertLog(str(folder), AlertLogConfig(), IDENTITY)
    log.append([alert(number, severity=one, at=where.clock.wall()) for number, one in enumerate(severities)])
    log.close()
    return folder / "alerts.jsonl"


def test_a_whole_log_is_fine_and_its_loud_alerts_are_moments(tmp_path: Path, root: Path) -> None:
    written(tmp_path, Severity.INFO, Severity.LOW, Severity.CRITICAL)
    found = scenes.looked(alerts.look, scene(tmp_path))
    assert found.named("alert log").verdict is Verdict.FINE
    assert [one.verdict for one in found.moments] == [Verdict.FINE, Verdict.SUSPICIOUS]
    assert "1 critical, 1 low" in found.named("alerts").says
    assert not found.suspicious


def test_an_edited_log_is_suspicious(tmp_path: Path, root: Path) -> None:
    log = written(tmp_path, Severity.HIGH, Severity.LOW, Severity.LOW)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + lines[2])
    found = scenes.looked(alerts.look, scene(tmp_path))
    assert found.suspicious == ["alert log"]
    assert "alerts.jsonl:2" in found.named("alert log").evidence[0].source


@pytest.mark.skipif(not rights.ROOT, reason="gives up root's rights")
def test_who_may_not_read_the_log_accuses_nobody() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "root/etc").mkdir(parents=True)
        log = written(folder, Severity.HIGH)
        (log.parent / "alerts.pruned").write_text("{}")
        for one in (log, log.parent / "alerts.pruned"):
            one.chmod(0o600)
        where = scene(folder)
        os.seteuid(65534)
        try:
            found = scenes.looked(alerts.look, where)
        finally:
            os.seteuid(0)
    assert not found.suspicious
    assert "Permission denied" in found.unseen[0].reason


def test_a_host_that_never_had_the_daemon_is_fine(tmp_path: Path, root: Path) -> None:
    found = scenes.looked(alerts.look, scene(tmp_path))
    assert {one.verdict for one in found.items} == {Verdict.FINE}


def test_an_image_has_its_own_alerts_and_no_daemon(tmp_path: Path, root: Path) -> None:
    log = written(tmp_path, Severity.HIGH)
    image = Scene(scenes.scene(bytes(root)).host, settings(tmp_path), Approved(None), Options(), uid=0)
    found = scenes.looked(alerts.look, image)
    assert found.named("alert log").says.startswith(str(log.parent))
    assert [one.name for one in found.items] == ["alert log", "alerts"]
    assert [one.scope for one in found.unseen] == ["hostguardd"]


def test_a_link_in_an_image_leads_to_no_alerts_of_ours(tmp_path: Path, root: Path) -> None:
    written(tmp_path, Severity.HIGH).parent.rename(tmp_path / "ours")
    (root / "log").symlink_to(tmp_path / "ours")
    found = scenes.looked(alerts.look, scene(tmp_path))
    assert "there is no alert log" in found.named("alert log").says


def test_a_daemon_with_a_baseline_that_does_not_run_is_notable(
    tmp_path: Path, state: State, root: Path, opened: Opened
) -> None:
    found = scenes.looked(alerts.look, scene(tmp_path, opened(state.path)))
    assert found.named("hostguardd").verdict is Verdict.NOTABLE


@pytest.mark.parametrize(
    ("reviewed", "known", "before", "after"),
    [
        (True, Known.KNOWN, Verdict.SUSPICIOUS, Verdict.NOTABLE),
        (True, Known.KNOWN, Verdict.NOTABLE, Verdict.FINE),
        (True, Known.KNOWN, Verdict.FINE, Verdict.FINE),
        (True, Known.NEW, Verdict.NOTABLE, Verdict.NOTABLE),
        (True, Known.CHANGED, Verdict.SUSPICIOUS, Verdict.SUSPICIOUS),
        (True, Known.NOT_ASKED, Verdict.NOTABLE, Verdict.NOTABLE),
        (False, Known.KNOWN, Verdict.NOTABLE, Verdict.NOTABLE),
    ],
)
def test_what_was_approved_is_a_grade_less(
    tmp_path: Path, root: Path, reviewed: bool, known: Known, before: Verdict, after: Verdict, opened: Opened
) -> None:
    made = State(tmp_path / "baseline.db")
    number = made.baseline.begin_capture()
    made.baseline.finish_capture(number, 1, "alice", "", reviewed=reviewed)
    made.close()
    approved = opened(made.path)
    told = approved.lowered(Item("x", before, "x is odd", "means", "next", known))
    assert told.verdict is after
    assert ("approved in generation 1" in told.says) == (before is not after)
    moment = Moment(1.0, "file", "x came", "ctime of x", Confidence.LIKELY, before, known=known)
    assert approved.lowered(moment).verdict is after


def installed(root: Path, name: str = "hostguardd/diff.py") -> Path:
    """A file of ours as pip installs it, with its record."""
    site = root / "usr/local/lib/python3.11/dist-packages"
    (site / "hostguardd").mkdir(parents=True)
    (site / "hostguardd-1.0.dist-info").mkdir()
    (site / name).write_text("def changed(): ...\n")
    digest = (
        base64.urlsafe_b64encode(hashlib.sha256((site / name).read_bytes()).digest()).decode().rstrip("=")
    )
    (site / "hostguardd-1.0.dist-info/RECORD").write_text(
        f"{name},sha256={digest},19\n../../../bin/hostguardctl,sha256={digest},19\n"
        "hostguardd/__pycache__/diff.cpython-311.pyc,,\nhostguardd-1.0.dist-info/RECORD,,\n"
    )
    return site / name


def test_a_file_of_ours_that_differs_from_pips_record_is_suspicious(tmp_path: Path, root: Path) -> None:
    own = installed(root)
    (record,) = [one for one in scenes.looked(alerts.look, scene(tmp_path)).items if "RECORD" in one.name]
    assert record.verdict is Verdict.FINE
    own.write_text("def changed(): return ()\n")
    (root / "usr/local/bin").mkdir()
    (root / "usr/local/bin/hostguardctl").write_text("exit 0\n")
    assert scenes.looked(alerts.look, scene(tmp_path)).suspicious == [
        "/usr/local/lib/python3.11/dist-packages/hostguardd/diff.py",
        "/usr/local/bin/hostguardctl",
    ]


def test_a_file_of_ours_that_differs_from_the_rpms_manifest_is_suspicious(tmp_path: Path, root: Path) -> None:
    place = root / "usr/lib/hostguardd"
    (place / "site/hostguardd").mkdir(parents=True)
    (place / "site/hostguardd/diff.py").write_text("pass\n")
    (root / "etc/hostguardd").mkdir()
    (root / "etc/hostguardd/hostguardd.toml").write_text("# edited, as it may be\n")
    digest = hashlib.sha256(b"pass\n").hexdigest()
    (place / "manifest").write_text(
        f"sha256:{digest} 0644 /etc/hostguardd/hostguardd.toml\n"
        f"sha256:{digest} 0644 /usr/lib/hostguardd/site/hostguardd/diff.py\n"
    )
    assert not scenes.looked(alerts.look, scene(tmp_path)).suspicious
    (place / "site/hostguardd/diff.py").write_text("return\n")
    found = scenes.looked(alerts.look, scene(tmp_path))
    assert found.suspicious == ["/usr/lib/hostguardd/site/hostguardd/diff.py"]


@pytest.mark.parametrize(
    "record", [b"\xff\x00,sha256=,\n", b"x,sha256=!,1\n", b"x\n\n,", b'"', b"\0,sha256=AA\n"]
)
def test_a_record_that_says_nothing_harms_nobody(tmp_path: Path, root: Path, record: bytes) -> None:
    own = installed(root)
    (own.parents[1] / "hostguardd-1.0.dist-info/RECORD").write_bytes(record)
    assert not scenes.looked(alerts.look, scene(tmp_path)).suspicious


@pytest.mark.parametrize("change", ["as compiled", "changed", "stale", "unchecked", "garbage", "gone"])
def test_bytecode_of_ours_that_is_not_what_its_source_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """By its header Python takes it for the source's own."""
    source = tmp_path / "planted.py"
    source.write_text("def look():\n    return [1, 'x', frozenset({1, 2})]\n")
    spec = importlib.util.spec_from_file_location("hostguardd.planted", source)
    assert spec is not None
    assert spec.cached is not None
    cached = Path(spec.cached)
    py_compile.compile(str(source), doraise=True)
    head, evil = cached.read_bytes()[:16], marshal.dumps(compile("def look(): return []", "", "exec"))
    if change == "stale":
        head = head[:8] + bytes(8)
    elif change == "unchecked":
        head = head[:4] + b"\1\0\0\0" + bytes(8)
    if change == "gone":
        cached.unlink()
    elif change != "as compiled":
        cached.write_bytes(head + (b"\xff" if change == "garbage" else evil))
    monkeypatch.setitem(sys.modules, "hostguardd.planted", importlib.util.module_from_spec(spec))
    found = scenes.looked(alerts.look, scenes.scene())
    told = [item.name for item in found.of(Verdict.SUSPICIOUS) if "planted" in item.name]
    assert told == ([str(cached)] if change in ("changed", "unchecked", "garbage") else [])
