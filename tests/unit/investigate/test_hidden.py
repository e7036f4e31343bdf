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
from hostguardd.investigate.interface import Verdict
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


def test_names_are_left_to_their_own_check(root: Path) -> None:
    (root / "usr/bin/.ps").write_bytes(b"")
    (root / "usr/bin/.ps").chmod(0o755)
    where = over(root)
    assert [fact.name for fact in where.facts(HiddenFact)] == [b"/usr/bin/.ps"]
    assert not looked(hidden.look, where).items


def test_every_sign_has_its_words_or_its_own_check() -> None:
    names = {signs.ODD_NAME, signs.HIDDEN_FOLDER, signs.HIDDEN_FILE, signs.IN_DEV}
    assert set(hidden.SAYS) | names == HiddenFact.TRAITS


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
