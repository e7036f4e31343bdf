"""Hidden things as an inquiry judges them: what hides is suspicious, a name alone by what is behind it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd.facts import hidden as signs
from hostguardd.host import parse, reach
from hostguardd.host.bundle import image
from hostguardd.host.files import LinuxFiles
from hostguardd.host.views import LinuxViews
from hostguardd.investigate.checks import hidden
from hostguardd.investigate.interface import Known, Verdict
from hostguardd.investigate.scene import Scene
from hostguardd.model import HiddenFact
from hostguardd.sensors import unlisted
from tests.fakeviews import FakeViews
from tests.owning import Owning
from tests.scenes import Findings, looked, scene

LATER = time.time() + 30 * 86400
"""A month on: nothing that a test made just now is new."""


def over(
    root: Path, views: FakeViews | None = None, packages: Owning | None = None, now: float = LATER
) -> Scene:
    """A scene over the files below `root` and views that a test edits."""
    host = image(bytes(root))
    if views is None:
        return scene(host, packages=packages, now=now)
    return scene(replace(host, views=views), packages=packages, now=now)


def found(root: Path, packages: Owning | None = None, now: float = LATER) -> Findings:
    return looked(hidden.look, over(root, None, packages, now))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc/.java/.systemPrefs", "usr/bin", "usr/lib/x", "dev", "tmp", "usr/share"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_a_clean_host_hides_nothing(root: Path) -> None:
    (item,) = looked(hidden.look, over(root, FakeViews())).items
    assert item.verdict is Verdict.FINE
    assert "no port answers" in item.says


def test_what_only_one_view_shows(root: Path) -> None:
    views = FakeViews(unlisted={100}, over={2})
    told = looked(hidden.look, over(root, views))
    assert sorted(told.suspicious) == ["pid 100", "pid 2"]
    assert told.named("pid 100").technique == "T1014"


def test_a_port_that_answers_and_is_not_listed(root: Path) -> None:
    """Bound by nobody, so that bind(2) finds it free: a redirection inside the kernel."""
    views = FakeViews()
    views.answers = lambda port: port == 31337  # type: ignore[method-assign]
    told = looked(hidden.look, over(root, views))
    item = told.named("tcp 31337")
    assert item.verdict is Verdict.SUSPICIOUS
    assert "127.0.0.1" in item.evidence[0].text


def test_a_port_that_both_ways_find_is_told_once(root: Path) -> None:
    views = FakeViews()
    views.taken["tcp"].add(31337)
    assert looked(hidden.look, over(root, views)).suspicious == ["tcp 31337"]


def test_connecting_stops_in_time_and_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "SCANNING", -1.0)
    told = looked(hidden.look, over(root, FakeViews()))
    assert any(one.scope == "ports by connecting" for one in told.unseen)


def test_where_ports_are_not_to_be_tried_nobody_connects(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = FakeViews()
    where = over(root, views)
    settings = replace(where.config.hidden, ports=False)
    monkeypatch.setattr(where, "config", replace(where.config, hidden=settings))
    monkeypatch.setattr(views, "accepting", None)
    assert not looked(hidden.look, where).suspicious


@pytest.mark.parametrize(("path", "mode", "verdict"), [
    ("usr/share/.../kit", 0o644, Verdict.NOTABLE),
    ("usr/share/.../kit", 0o755, Verdict.SUSPICIOUS),
    ("usr/lib/x/.install/log", 0o644, Verdict.NOTABLE),
    ("usr/lib/x/.install/bin/agent", 0o755, Verdict.SUSPICIOUS),
    ("usr/bin/.ps", 0o755, Verdict.SUSPICIOUS),
    ("dev/ptyp", 0o644, Verdict.NOTABLE),
    ("dev/ptyp", 0o755, Verdict.SUSPICIOUS),
])  # fmt: skip
def test_a_name_is_judged_by_what_is_behind_it(root: Path, path: str, mode: int, verdict: Verdict) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"x")
    place.chmod(mode)
    (item,) = found(root).items
    assert item.verdict is verdict
    assert item.means
    assert item.next


def test_what_is_new_is_suspicious_and_has_its_moment(root: Path) -> None:
    (root / "usr/share/...").mkdir()
    (root / "usr/share/.../kit").write_bytes(b"x")
    told = found(root, now=time.time())
    assert told.suspicious == ["/usr/share/..."]
    (moment,) = told.moments
    assert moment.kind == "file"
    assert abs(moment.at - time.time()) < 60


def test_in_a_temporary_folder_all_is_new_and_a_checkout_is_a_checkout(root: Path) -> None:
    (root / "tmp/a/.cache").mkdir(parents=True)
    (root / "tmp/a/.cache/x").write_bytes(b"")
    assert not found(root, now=time.time()).suspicious
    (root / "tmp/b/.git").mkdir(parents=True)
    (root / "tmp/b/.ci").mkdir(parents=True)
    (root / "tmp/b/.ci/run").write_bytes(b"")
    (root / "tmp/b/.ci/run").chmod(0o755)
    assert not found(root, now=time.time()).suspicious


def test_what_a_package_brought_or_was_approved(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "usr/bin/.ps").write_bytes(b"")
    (root / "usr/bin/.ps").chmod(0o755)
    assert found(root, Owning()).named("/usr/bin/.ps").verdict is Verdict.FINE
    where = over(root)
    monkeypatch.setattr(where.approved, "known", lambda fact: Known.KNOWN)
    assert looked(hidden.look, where).named("/usr/bin/.ps").verdict is Verdict.NOTABLE


def test_a_folder_of_many_names_is_looked_at_in_part(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "MOST_INSIDE", 5)
    (root / "usr/share/...").mkdir()
    for number in range(50):
        (root / f"usr/share/.../{number}").write_bytes(b"")
    (item,) = found(root).items
    assert item.verdict is Verdict.NOTABLE


def test_every_sign_has_its_words() -> None:
    assert set(hidden.SAYS) == HiddenFact.TRAITS
    assert signs.ODD_NAME in hidden.NAMES


# -- connecting ----------------------------------------------------------------------------------------


def test_who_accepts_on_this_machine() -> None:
    with socket.socket() as server, socket.socket() as bound:
        for one in (server, bound):
            one.bind(("127.0.0.1", 0))
        server.listen()
        ports = [server.getsockname()[1], bound.getsockname()[1]]
        assert reach.accepting(b"127.0.0.1", ports) == ports[:1]
        assert reach.accepting(b"no address", ports) == []


def test_own_addresses() -> None:
    text = (
        b"00000000000000000000000000000001 01 80 10 80       lo\n"
        b"fe800000000000000000000000000001 02 40 20 80     eth0\n"
        b"20010db8000000000000000000000002 02 40 00 80     eth0\nx\n"
    )
    assert parse.local_addresses_6(text) == [b"2001:db8::2", b"::1"]
    own = LinuxViews(LinuxFiles()).addresses()
    assert own[0] == b"127.0.0.1"


def test_an_address_that_others_use_is_connected_to() -> None:
    views = FakeViews()
    assert unlisted.scanned(views) == b"127.0.0.1"
    views.addresses = lambda: [b"127.0.0.1", b"::1", b"192.0.2.1", b"192.0.2.2"]  # type: ignore[method-assign]
    assert unlisted.scanned(views) == b"192.0.2.1"


def test_listed_ports_are_not_connected_to() -> None:
    views, tried = FakeViews(), set[int]()

    def accepting(address: bytes, ports: Sequence[int]) -> list[int]:
        tried.update(ports)
        return []

    views.accepting = accepting  # type: ignore[method-assign]
    assert list(unlisted.answering_ports(views, lambda: False)) == []
    assert tried == set(range(1, 65536)) - {22, 80}


@pytest.mark.parametrize("silent", [False, True])
def test_greetings(silent: bool) -> None:
    with socket.socket() as server, closing(socket.socket()) as deaf:
        server.bind(("127.0.0.1", 0))
        server.listen()
        deaf.bind(("127.0.0.1", 0))
        ends = [(b"127.0.0.1", server.getsockname()[1]), (b"127.0.0.1", deaf.getsockname()[1])]
        if (child := os.fork()) == 0:
            try:
                one, _ = server.accept()
                if silent:
                    one.recv(10)
                one.sendall(b"uid=0(root)\n" * 1000)
                one.close()
            finally:
                os._exit(0)
        try:
            told = reach.greetings(ends, 1.0, ask=True)
        finally:
            os.waitpid(child, 0)
    assert told[ends[0]].said.startswith(b"uid=0(root)\n")
    assert len(told[ends[0]].said) <= reach.LONGEST
    assert told[ends[1]] == reach.Greeting(False)
