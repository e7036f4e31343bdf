"""The nouns: paths, extended attributes, traits, what covers what."""

from __future__ import annotations

import stat
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.model import (
    BY_KIND,
    FACTS,
    Action,
    Blind,
    Drift,
    Fact,
    FileFact,
    ProcessFact,
    Severity,
    decode_xattrs,
    encode_xattrs,
    join,
    split,
    under,
)
from tests.alerts import FILE, PROCESS, SAMPLES

names = st.binary(min_size=1, max_size=8).filter(lambda n: b"/" not in n and b"\0" not in n)
paths = st.lists(names, max_size=5).map(lambda parts: b"/" + b"/".join(parts))


@pytest.mark.parametrize("fact", SAMPLES, ids=lambda fact: fact.KIND)
def test_a_row_and_a_fact_are_the_same_thing(fact: Fact) -> None:
    kind = type(fact)
    assert kind.of(fact.row()) == fact
    assert kind.columns()[: len(kind.KEY)] == kind.KEY
    assert len(kind.KEY) < kind.QUICK <= len(kind.columns())
    assert set(kind.columns()) >= kind.VOLATILE | kind.SECRET
    assert fact.traits() <= kind.TRAITS
    assert BY_KIND[kind.KIND] is kind
    assert fact.label
    with pytest.raises(FrozenInstanceError):
        setattr(fact, kind.KEY[0], "other")


def test_every_kind_has_a_sample() -> None:
    assert {type(fact) for fact in SAMPLES} == set(FACTS)


def test_severities_are_ordered_by_loudness() -> None:
    words = ["ignore", "info", "low", "medium", "high", "critical"]
    assert [severity.label for severity in sorted(Severity)] == words


# -- paths -------------------------------------------------------------------------------------------


@given(paths.filter(lambda path: path != b"/"))
def test_split_and_join_are_inverse(path: bytes) -> None:
    assert join(*split(path)) == path
    assert under(path, split(path)[0])


@pytest.mark.parametrize(
    ("path", "top", "expected"),
    [
        (b"/etc", b"/etc", True),
        (b"/etc/x", b"/etc", True),
        (b"/etcx", b"/etc", False),
        (b"/etc", b"/etc/x", False),
        (b"/x", b"/", True),
        (b"/", b"/", True),
    ],
)
def test_under(path: bytes, top: bytes, expected: bool) -> None:
    assert under(path, top) is expected


# -- extended attributes ------------------------------------------------------------------------------

xattrs = st.dictionaries(st.binary(min_size=1, max_size=12).filter(lambda n: b"\0" not in n), st.binary())


@given(xattrs)
def test_xattrs_come_back_whatever_they_are_called(pairs: dict[bytes, bytes]) -> None:
    assert decode_xattrs(encode_xattrs(pairs.items())) == pairs


@given(xattrs, st.randoms())
def test_xattrs_are_canonical(pairs: dict[bytes, bytes], random: object) -> None:
    items = list(pairs.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert encode_xattrs(items) == encode_xattrs(pairs.items())


def test_a_newline_in_a_name_does_not_forge_another_attribute() -> None:
    blob = encode_xattrs([(b"user.x\nsecurity.capability", b"\x01")])
    assert list(decode_xattrs(blob)) == [b"user.x\nsecurity.capability"]
    assert "capability" not in replace(FILE, xattrs=blob).traits()


# -- traits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "trait", "there"),
    [
        (stat.S_IFREG | 0o4755, "setuid", True),
        (stat.S_IFDIR | 0o4755, "setuid", False),
        (stat.S_IFREG | 0o2755, "setgid", True),
        (stat.S_IFREG | 0o2644, "setgid", False),
        (stat.S_IFREG | 0o755, "executable", True),
        (stat.S_IFREG | 0o644, "executable", False),
        (stat.S_IFREG | 0o666, "world-writable", True),
        (stat.S_IFLNK | 0o777, "world-writable", False),
        (stat.S_IFDIR | 0o1777, "world-writable", False),
        (stat.S_IFDIR | 0o777, "world-writable", True),
        (stat.S_IFIFO | 0o644, "fifo", True),
    ],
)
def test_traits_of_a_mode(mode: int, trait: str, there: bool) -> None:
    assert (trait in replace(FILE, mode=mode).traits()) is there


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/tmp/x", {"temporary"}),
        (b"/tmp/.x", {"temporary", "hidden"}),
        (b"/usr/lib/ /x", {"hidden"}),
        (b"/usr/lib/.../x", {"hidden"}),
        (b"/tmpx/y", set()),
    ],
)
def test_traits_of_a_path(path: bytes, expected: set[str]) -> None:
    folder, name = split(path)
    assert replace(FILE, folder=folder, name=name).traits() & {"temporary", "hidden"} == expected


def test_gained_is_what_was_not_there_before() -> None:
    after = replace(FILE, mode=stat.S_IFREG | 0o4755)
    assert Drift(FileFact, FILE, after, ("mode",)).gained() == {"setuid", "executable"}
    assert Drift(FileFact, after, FILE, ("mode",)).gained() == set()
    assert "setuid" in Drift(FileFact, None, after, ()).gained()
    assert Drift(FileFact, after, None, ()).gained() == set()


def test_what_happened() -> None:
    assert Drift(FileFact, None, FILE, ()).action is Action.ADDED
    assert Drift(FileFact, FILE, None, ()).action is Action.REMOVED
    assert Drift(FileFact, FILE, FILE, ("mode",)).action is Action.CHANGED
    assert Drift(FileFact, FILE, None, ()).subject is FILE


# -- what says nothing ----------------------------------------------------------------------------------


def test_a_folder_moves_with_its_entries() -> None:
    folder = replace(FILE, mode=stat.S_IFDIR | 0o755)
    noise = FileFact.noise(folder.row(), replace(folder, mtime=1, size=9).row())
    assert {"size", "mtime", "ctime", "links"} <= noise
    assert "mode" not in noise
    assert "mtime" not in FileFact.noise(folder.row(), FILE.row())


def test_who_never_stops_writing_does_not_go_unseen() -> None:
    busy = replace(FILE, unstable=1, size=9, mtime=1, ctime=1)
    noise = FileFact.noise(FILE.row(), busy.row())
    assert "sha256" in noise
    assert not {"size", "mtime", "ctime"} & noise


def test_what_was_being_written_at_approval_measures_nothing() -> None:
    busy = replace(FILE, unstable=1)
    assert {"sha256", "size", "mtime", "ctime"} <= FileFact.noise(busy.row(), FILE.row())


@pytest.mark.parametrize(
    ("before", "after", "noise"), [(1, 2, False), (1, 1, False), (2, 3, True), (3, 1, True)]
)
def test_only_a_single_instance_counts_copies(before: int, after: int, noise: bool) -> None:
    rows = [replace(PROCESS, instances=count).row() for count in (before, after)]
    assert ("instances" in ProcessFact.noise(*rows)) is (noise or after <= 1)


# -- blind scopes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "folder", "name", "covered"),
    [
        (b"/a", b"/a", b"x", True),
        (b"/a", b"/a/b", b"x", True),
        (b"/a/x", b"/a", b"x", True),
        (b"/a/x", b"/a", b"xy", False),
        (b"/a", b"/", b"a", True),
        (b"/a", b"/", b"ab", False),
        (b"/", b"/", b"ab", True),
        (b"*", b"/anything", b"x", True),
    ],
)
def test_a_blind_covers_its_path_and_all_below(
    scope: bytes, folder: bytes, name: bytes, covered: bool
) -> None:
    assert Blind("file", scope, "because of a test").covers(folder, name) is covered


def test_a_blind_of_other_scopes() -> None:
    assert Blind("setid", b"/mnt/x", "closed").covers(b"/", b"/mnt/x/y")
    assert Blind("listener", b"udp", "closed").covers("udp", b"0.0.0.0:53")
    assert not Blind("listener", b"udp", "closed").covers("tcp", b"0.0.0.0:53")
    assert not Blind("process", b"/x", "closed").covers(None)
