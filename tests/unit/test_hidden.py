"""What is hidden: views that disagree, and what only seems to. The host is one that the test edits."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.fact import is_odd
from hostguardd.host import parse
from hostguardd.host.files import LinuxFiles
from hostguardd.host.live import NoLiveHost
from hostguardd.host.views import LinuxViews, Listing
from hostguardd.model import Depth, HiddenFact, Sweep
from hostguardd.sensors.hidden import HiddenGlance, HiddenSensor
from hostguardd.sensors.interface import Request
from hostguardd.sensors.oddnames import DT_DIR, DT_REG, oddity
from tests.fakeviews import FakeViews


def never() -> bool:
    return False


def whole(views: FakeViews) -> dict[bytes, HiddenFact]:
    """What a whole look finds, by name."""
    sensor = HiddenSensor(views, list, lambda: 1)
    return facts(list(sensor.sweep(Depth.FULL, never)))


def facts(sweeps: list[Sweep]) -> dict[bytes, HiddenFact]:
    return {row[1]: HiddenFact.of(row) for sweep in sweeps for row in sweep.rows}  # type: ignore[misc]


# -- processes ---------------------------------------------------------------------------------------


def test_a_healthy_host_hides_nothing() -> None:
    views = FakeViews(threads_of={101: 100, 102: 100})
    assert whole(views) == {}


@pytest.mark.parametrize("pid", [4711, 3_999_999, 2_000_000])
def test_a_process_that_no_list_shows_is_found_wherever_its_id_lies(pid: int) -> None:
    views = FakeViews(pids={1, 100, pid}, unlisted={pid})
    (found,) = whole(views).values()
    assert (found.name, found.sign, found.program) == (b"pid %d" % pid, "unlisted", b"/usr/bin/p%d" % pid)


def test_all_ids_are_asked_for_within_four_runs_also_when_the_count_says_nothing() -> None:
    views = FakeViews(pids={1, 100, 3_333_333}, unlisted={3_333_333})
    views.threads = lambda: -1  # type: ignore[method-assign]
    sensor = HiddenSensor(views, list, lambda: 1)
    runs = [facts(list(sensor.sweep(Depth.FULL, never))) for _ in range(4)]
    assert [sorted(run) for run in runs].count([b"pid 3333333"]) == 1
    assert views.asked < 4 * (2**20 + 80_000)


def test_a_process_that_only_the_c_library_leaves_out() -> None:
    (found,) = whole(FakeViews(pids={1, 100, 77}, by_libc={77})).values()
    assert (found.name, found.sign) == (b"pid 77", "libc")


def test_a_process_whose_folder_is_covered() -> None:
    (found,) = whole(FakeViews(over={100})).values()
    assert (found.name, found.sign) == (b"pid 100", "covered")


def test_a_process_that_is_only_named_by_others() -> None:
    views = FakeViews(named={999: b"its child 100", 100: b"its child 2"})
    (found,) = whole(views).values()
    assert (found.name, found.sign) == (b"pid 999", "unlisted")
    assert b"its child 100" in found.detail


def test_a_process_that_answers_nothing_still_counts() -> None:
    (found,) = whole(FakeViews(pids={1, 100, 77}, unlisted={77}, silent={77})).values()
    assert (found.name, found.sign) == (b"threads", "miscounted")
    assert b"1 threads more" in found.detail


@pytest.mark.parametrize("attribute", ["unlisted", "by_libc", "over"])
def test_what_passes_between_two_looks_is_no_fact(attribute: str) -> None:
    views = FakeViews()
    getattr(views, attribute).add(100)
    rest = views.rest

    def over(seconds: float) -> None:
        rest(seconds)
        getattr(views, attribute).clear()

    views.rest = over  # type: ignore[method-assign]
    assert whole(views) == {}


# -- ports -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_a_port_that_is_held_and_in_no_table(proto: str) -> None:
    views = FakeViews()
    views.taken[proto].add(31337)
    (found,) = whole(views).values()
    assert (found.view, found.name, found.sign) == ("ports", f"{proto} 31337".encode(), "unlisted")


def test_a_port_that_is_held_and_does_not_answer_is_nobody() -> None:
    views = FakeViews(mute={31337})
    views.taken["tcp"].add(31337)
    assert whole(views) == {}


@pytest.mark.parametrize(
    ("view", "sign"), [("libc", "libc"), ("kernel", "unlisted"), ("sock_diag", "unlisted")]
)
def test_a_port_that_one_table_leaves_out(view: str, sign: str) -> None:
    (found,) = whole(FakeViews(left_out={("tcp", view): {80}})).values()
    assert (found.name, found.sign) == (b"tcp 80", sign)


def test_ports_that_cannot_be_tried_are_blind() -> None:
    views = FakeViews(refused="Permission denied")
    sweeps = list(HiddenSensor(views, list, lambda: 1).sweep(Depth.FULL, never))
    (blind,) = [blind for sweep in sweeps for blind in sweep.blinds]
    assert (blind.scope, "bind(2)" in blind.reason) == (b"ports", True)


# -- the glance --------------------------------------------------------------------------------------


class Glancing:
    """Polls a glance as the daemon does."""

    def __init__(self, views: FakeViews) -> None:
        self.views = views
        self.sensor = HiddenGlance(views, lambda: 1)
        self.known: dict[bytes, HiddenFact] = {}

    def wait(self, seconds: float) -> dict[bytes, HiddenFact]:
        """What is known after so many seconds of polling."""
        end = self.views.time + seconds
        while self.views.time < end:
            self.views.time += 0.5
            for sweep in self.sensor.sweep(Depth.QUICK, never) if self.sensor.changed() else ():
                assert sweep.only is not None
                self.known = {name: fact for name, fact in self.known.items() if name not in sweep.only}
                self.known |= facts([sweep])
        return self.known


def test_a_glance_costs_little_and_finds_nothing_on_a_healthy_host() -> None:
    glancing = Glancing(FakeViews())
    assert glancing.wait(600) == {}
    assert glancing.views.asked == 0


def test_a_glance_sees_lists_that_differ_and_takes_it_back() -> None:
    glancing = Glancing(FakeViews())
    glancing.views.by_libc = {100}
    assert [fact.sign for fact in glancing.wait(11).values()] == ["libc"]
    glancing.views.by_libc = set()
    assert glancing.wait(11) == {}


def test_a_wrong_count_begins_a_hunt_that_finds_the_process() -> None:
    glancing = Glancing(FakeViews())
    glancing.wait(20)
    glancing.views.pids.add(3_000_000)
    glancing.views.unlisted.add(3_000_000)
    assert list(glancing.wait(90)) == [b"pid 3000000"]
    hunted = glancing.views.asked
    assert list(glancing.wait(300)) == [b"pid 3000000"]
    assert glancing.views.asked < hunted + 1000
    glancing.views.pids.add(3_000_001)
    glancing.views.unlisted.add(3_000_001)
    assert list(glancing.wait(90)) == [b"pid 3000000", b"pid 3000001"]
    glancing.views.pids.discard(3_000_000)
    glancing.views.pids.discard(3_000_001)
    assert glancing.wait(30) == {}


def test_a_hunt_in_vain_leaves_the_count() -> None:
    glancing = Glancing(FakeViews(pids={1, 100, 77}, unlisted={77}, silent={77}))
    assert glancing.wait(10) == {}
    assert list(glancing.wait(150)) == [b"threads"]


# -- files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "...",
        "..  ",
        " ",
        ". .",
        "....",
        ".\xa0",
        "a ",
        " a",
        "x\x1b[2K",
        "a\u200bb",
        "a\u202eb",
        "a\u3000b",
        "\n",
    ],
)
def test_names_that_look_like_nothing(name: str) -> None:
    assert is_odd(name.encode())
    assert oddity(b"/root/" + name.encode(), DT_REG, 0)[0] == "odd-name"


def test_a_blank_of_latin_1_is_one_too() -> None:
    assert is_odd(b".\xa0")


@pytest.mark.parametrize("name", [".x", "a b", "naïve", "日本語", "a.b.c", "..a", b"x\xe9", "-"])
def test_names_that_people_use(name: str | bytes) -> None:
    assert not is_odd(name if isinstance(name, bytes) else name.encode())


@pytest.mark.parametrize(
    ("path", "kind", "mode", "sign"),
    [
        (b"/tmp/.x", DT_DIR, 0, "hidden-folder"),
        (b"/dev/shm/.x", DT_DIR, 0, "hidden-folder"),
        (b"/dev/.x", DT_DIR, 0, "hidden-folder"),
        (b"/usr/lib/.z", DT_DIR, 0, "hidden-folder"),
        (b"/etc/.z", DT_DIR, 0, "hidden-folder"),
        (b"/etc/.z", 0, stat.S_IFDIR | 0o755, "hidden-folder"),
        (b"/tmp/.x", DT_REG, stat.S_IFREG | 0o755, "hidden-file"),
        (b"/tmp/.X11-unix/x", DT_REG, 0, "hidden-file"),
        (b"/dev/x", DT_REG, 0, "file-in-dev"),
        (b"/dev/pts/x", DT_REG, 0, "file-in-dev"),
        (b"/tmp/.x.swp", DT_REG, stat.S_IFREG | 0o644, ""),
        (b"/dev/shm/sem.x", DT_REG, 0, ""),
        (b"/dev/null", 2, 0, ""),
        (b"/tmp/.X11-unix", DT_DIR, 0, ""),
        (b"/tmp/.X11-unix/X0", 12, 0, ""),
        (b"/tmp/.mount_nvimAbc", DT_DIR, 0, ""),
        (b"/home/alice/.ssh", DT_DIR, 0, ""),
        (b"/root/.cache", DT_DIR, 0, ""),
        (b"/etc/.git", DT_DIR, 0, ""),
        (b"/etc/.pwd.lock", DT_REG, stat.S_IFREG | 0o600, ""),
        (b"/usr/bin/.tool.aB3dEf", DT_REG, stat.S_IFREG | 0o755, ""),
        (b"/usr/lib/.build-id", DT_DIR, 0, ""),
    ],
)
def test_where_dot_names_are_odd(path: bytes, kind: int, mode: int, sign: str) -> None:
    assert oddity(path, kind, mode)[0] == sign


def listing(*names: bytes, hidden: tuple[bytes, ...] = (), folders: int = 0) -> Listing:
    return Listing(
        frozenset(names), dict.fromkeys((*names, *hidden), DT_DIR), 2 + len(names) + len(hidden) + folders
    )


def test_an_entry_that_the_c_library_leaves_out() -> None:
    (found,) = whole(FakeViews(folders={b"/usr/lib": listing(b"a", hidden=(b"evil",))})).values()
    assert (found.name, found.sign) == (b"/usr/lib/evil", "libc")


def test_a_preload_list_that_programs_do_not_see() -> None:
    (found,) = whole(FakeViews(preload=(b"", b"/lib/evil.so\n"))).values()
    assert (found.name, found.sign, found.program) == (b"/etc/ld.so.preload", "libc", b"/lib/evil.so")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small host's root."""
    for folder in ("etc", "tmp", "usr/lib", "dev/shm", "root/.ssh"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "dev/shm/sem.x").touch()
    return tmp_path


def over(root: Path) -> HiddenSensor:
    files = LinuxFiles(os.fsencode(root))
    return HiddenSensor(LinuxViews(files, NoLiveHost.blind), files.mounts, lambda: 1)


def test_odd_names_below_a_mounted_image(tree: Path) -> None:
    assert facts(list(over(tree).sweep(Depth.FULL, never))) == {}
    for name in ("tmp/.x", "root/...", "usr/lib/.z", "etc/.. "):
        (tree / name).mkdir()
    (tree / "dev/x").write_text("x")
    (tree / "dev/shm/.run").write_text("x")
    (tree / "dev/shm/.run").chmod(0o755)
    found = facts(list(over(tree).sweep(Depth.FULL, never)))
    assert {name: fact.sign for name, fact in found.items()} == {
        b"/tmp/.x": "hidden-folder",
        b"/root/...": "odd-name",
        b"/usr/lib/.z": "hidden-folder",
        b"/etc/.. ": "odd-name",
        b"/dev/x": "file-in-dev",
        b"/dev/shm/.run": "hidden-file",
    }


def test_processes_and_ports_of_an_image_are_blind(tree: Path) -> None:
    sweeps = list(over(tree).sweep(Depth.FULL, never))
    assert {blind.scope for sweep in sweeps for blind in sweep.blinds} == {b"processes", b"ports"}
    assert not HiddenGlance(FakeViews(blind="no kernel here to ask"), lambda: 1).changed()


def test_a_hint_is_followed_at_once_and_only_there(tree: Path) -> None:
    sensor = over(tree)
    (tree / "tmp/.x").mkdir()
    (tree / "tmp/.y").mkdir()
    asked = [Request(b"/tmp", frozenset({b".x"}))]
    (sweep,) = sensor.look(asked, never)
    assert (sweep.only, list(facts([sweep]))) == (frozenset({b"/tmp/.x"}), [b"/tmp/.x"])
    (tree / "tmp/.x").rmdir()
    (sweep,) = sensor.look(asked, never)
    assert (sweep.only, sweep.rows) == (frozenset({b"/tmp/.x"}), [])
    assert list(sensor.look([Request(b"/srv/app/deep/below", None)], never)) == []
    (sweep,) = sensor.look([Request(b"/tmp", None)], never)
    assert list(facts([sweep])) == [b"/tmp/.y"]


# -- what the kernel says, read ----------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parsers(text: bytes) -> None:
    parse.dirents(text)
    parse.inet_ports(text)
    parse.local_addresses(text)
    parse.numbers(text)
    assert all(0 <= port < 65536 for port in parse.port_ranges(text))


@given(st.lists(st.sampled_from(" .-,0189\nx|LOCAL/32host"), max_size=60).map("".join))
def test_nor_do_likely_ones(text: str) -> None:
    test: Any = test_no_bytes_break_the_parsers
    test.hypothesis.inner_test(text.encode())


def test_reserved_ports() -> None:
    assert parse.port_ranges(b"8080,9000-9002,bad,70000\n") == {8080, 9000, 9001, 9002}


def test_ports_of_every_state_and_of_some() -> None:
    text = (
        b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"
        b"   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n"
        b"   1: 0100007F:1F90 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 2\n"
    )
    assert parse.inet_ports(text) == {22, 8080}
    assert parse.inet_ports(text, frozenset({10})) == {22}
