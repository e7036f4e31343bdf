"""Which watch applies to a path: the rules one by one, and all of them against a plain reading of the doc."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hostguardd.globs import compile_name, compile_path
from hostguardd.model import join, split
from hostguardd.watches import Watches
from hostguardd.watchlist import Watch


def watch(name: str, *paths: bytes, depth: int = -1, exclude: tuple[bytes, ...] = ()) -> Watch:
    return Watch(name, paths, depth=depth, exclude=exclude)


def found(watches: list[Watch], path: bytes) -> str | None:
    applies = Watches(watches).find(path)
    return applies.name if applies else None


ETC = watch("etc", b"/etc")

CASES: list[tuple[str, list[Watch], bytes, str | None]] = [
    ("below", [ETC], b"/etc/a/b", "etc"),
    ("itself", [ETC], b"/etc", "etc"),
    ("not above", [ETC], b"/", None),
    ("not beside", [ETC], b"/etcetera", None),
    ("the root reaches all", [watch("all", b"/")], b"/x/y", "all"),
    ("the root itself", [watch("all", b"/")], b"/", "all"),
    ("named beats above", [watch("f", b"/etc/f"), ETC], b"/etc/f", "f"),
    ("nearest above", [watch("sub", b"/etc/sub"), ETC], b"/etc/sub/x/y", "sub"),
    ("later of two", [watch("one", b"/a"), watch("two", b"/a")], b"/a/x", "two"),
    ("literal beats glob", [watch("f", b"/a/b"), watch("g", b"/a/*")], b"/a/b", "f"),
    ("glob beats above", [watch("g", b"/a/*.d"), watch("a", b"/a")], b"/a/x.d", "g"),
    ("later glob", [watch("g", b"/a/*"), watch("h", b"/a/?")], b"/a/b", "h"),
    ("glob of folders", [watch("ssh", b"/home/*/.ssh")], b"/home/eve/.ssh/authorized_keys", "ssh"),
    ("a star stays in its folder", [watch("g", b"/a/*")], b"/a/b/c", "g"),
    ("a star is one component", [watch("g", b"/a/*/x")], b"/a/b/c/x", None),
    ("depth 0", [watch("d", b"/a", depth=0)], b"/a/b", None),
    ("depth 1", [watch("d", b"/a", depth=1)], b"/a/b", "d"),
    ("beyond depth 1", [watch("d", b"/a", depth=1)], b"/a/b/c", None),
    ("a shallow one leaves the rest to the outer", [watch("d", b"/etc/d", depth=0), ETC], b"/etc/d/x", "etc"),
    ("and below", [watch("d", b"/etc/d", depth=1), ETC], b"/etc/d/x/y", "etc"),
    ("excluded by name", [watch("a", b"/a", exclude=(b"*.swp",))], b"/a/b/.x.swp", None),
    ("excluded by path", [watch("a", b"/a", exclude=(b"/a/b",))], b"/a/b", None),
    ("with what is below", [watch("a", b"/a", exclude=(b"/a/b",))], b"/a/b/c/d", None),
    ("but for what is named", [watch("a", b"/a", exclude=(b"/a/b",)), watch("n", b"/a/b/c")], b"/a/b/c", "n"),
    ("and below that", [watch("a", b"/a", exclude=(b"/a/b",)), watch("n", b"/a/b/c")], b"/a/b/c/d", "n"),
    ("not its sister", [watch("a", b"/a", exclude=(b"/a/b",)), watch("n", b"/a/b/c")], b"/a/b/d", None),
    ("named is never excluded", [watch("a", b"/a", exclude=(b"/a/*",)), watch("n", b"/a/b")], b"/a/b", "n"),
    ("two stars are also none", [watch("a", b"/a", exclude=(b"/a/**/x",))], b"/a/x", None),
    ("two stars in the middle", [watch("a", b"/a", exclude=(b"/a/**/x",))], b"/a/p/q/x", None),
    ("two stars at the end", [watch("a", b"/a", exclude=(b"/a/b/**",))], b"/a/b/c/d", None),
    ("which is not the folder itself", [watch("a", b"/a", exclude=(b"/a/b/**",))], b"/a/b", "a"),
    ("excludes are its own", [watch("a", b"/a", exclude=(b"x",)), watch("b", b"/b")], b"/b/x", "b"),
    ("hostile bytes", [watch("a", b"/a", exclude=(b"*.tmp",))], b"/a/\xff\n\x1b.tmp", None),
    ("a newline is no end", [watch("a", b"/a", exclude=(b"x",))], b"/a/x\n", "a"),
]  # fmt: skip


@pytest.mark.parametrize(("watches", "path", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_rules(watches: list[Watch], path: bytes, expected: str | None) -> None:
    assert found(watches, path) == expected


def test_a_shallow_watch_on_a_folder_does_not_end_the_way_down() -> None:
    watches = Watches([ETC, watch("d", b"/etc/d", depth=0)])
    reach = watches.at(b"/etc/d")
    assert reach is not None
    assert (reach.watch.name, reach.levels) == ("d", -1)


def test_levels_run_out() -> None:
    watches = Watches([watch("a", b"/a", depth=2)])
    levels = [watches.at(path) for path in (b"/a", b"/a/b", b"/a/b/c")]
    assert [reach.levels for reach in levels if reach] == [2, 1, 0]
    assert watches.at(b"/a/b/c/d") is None


def test_plain_folders_need_no_look_at_names() -> None:
    watches = Watches([ETC, watch("f", b"/etc/x/f"), watch("e", b"/e", exclude=(b"*~",))])
    assert watches.plan(b"/etc/y").plain
    assert not watches.plan(b"/etc/x").plain
    assert not watches.plan(b"/e").plain
    assert not watches.plan(b"/nowhere").plain
    assert watches.plan(b"/nowhere").empty


def test_a_path_as_deep_as_the_kernel_allows_is_no_danger() -> None:
    path = b"/etc" + b"/d" * 2000
    assert found([ETC], path) == "etc"
    assert found([watch("tmp", b"/tmp")], path) is None


def test_threads_may_ask_at_once() -> None:
    watches = Watches([ETC, watch("deep", b"/etc/1/2/3", exclude=(b"x*",))])
    paths = [b"/etc/%d/2/3/%d" % (a, b) for a in range(40) for b in range(100)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda path: watches.find(path), paths * 4))
    assert all(answer and answer.name == ("deep" if p.startswith(b"/etc/1/") else "etc")
               for p, answer in zip(paths * 4, answers, strict=True))  # fmt: skip


# A plain reading of the module's docstring, without caches or plans -----------------------------------


def names(one: Watch, path: bytes) -> int:
    """2 when it names the path literally, 1 by a glob."""
    best = 0
    for given_ in one.paths:
        magic = re.search(rb"[*?\[]", given_)
        if magic and path != b"/" and compile_path(given_).fullmatch(path):
            best = max(best, 1)
        elif not magic and given_ == path:
            best = 2
    return best


def named(watches: list[Watch], path: bytes) -> Watch | None:
    ranked = [(names(one, path), at) for at, one in enumerate(watches) if names(one, path)]
    return watches[max(ranked)[1]] if ranked else None


def above(path: bytes) -> list[bytes]:
    found_ = []
    while path != b"/":
        path = split(path)[0]
        found_.append(path)
    return found_


def leaves_out(one: Watch, path: bytes) -> bool:
    name = split(path)[1]
    return any(
        compile_path(glob).fullmatch(path) if glob.startswith(b"/") else compile_name(glob).fullmatch(name)
        for glob in one.exclude
    )


def reaching(watches: list[Watch], path: bytes) -> list[Watch]:
    """Watches of folders above that reach `path`, the nearest first."""
    result = []
    for distance, folder in enumerate(above(path), 1):
        one = named(watches, folder)
        ways = above(path)[: distance - 1]
        if one and (one.depth < 0 or distance <= one.depth) and not any(cut(watches, way) for way in ways):
            result.append(one)
    return result


def cut(watches: list[Watch], path: bytes) -> bool:
    nearest = reaching(watches, path)
    return bool(nearest) and leaves_out(nearest[0], path)


def oracle(watches: list[Watch], path: bytes) -> Watch | None:
    if one := named(watches, path):
        return one
    nearest = reaching(watches, path)
    return None if not nearest or leaves_out(nearest[0], path) else nearest[0]


words = st.sampled_from([b"a", b"b", b"cc", b"a\n", b"\xff"])
globbed = st.sampled_from([b"a", b"b", b"cc", b"*", b"?", b"[ab]", b"a*"])
paths = st.lists(words, max_size=5).map(lambda parts: b"/" + b"/".join(parts))
patterns = st.lists(globbed, min_size=1, max_size=4).map(lambda parts: b"/" + b"/".join(parts))
excludes = st.one_of(
    globbed,
    st.lists(st.one_of(globbed, st.just(b"**")), min_size=1, max_size=4).map(lambda p: b"/" + b"/".join(p)),
)
watch_lists = st.lists(
    st.tuples(
        st.lists(st.one_of(paths, patterns), min_size=1, max_size=2).map(tuple),
        st.sampled_from([-1, -1, 0, 1, 2]),
        st.lists(excludes, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=5,
).map(
    lambda all_: [Watch(name, p, depth=d, exclude=e) for name, (p, d, e) in zip("abcde", all_, strict=False)]
)


@settings(max_examples=400, deadline=None)
@given(watch_lists, st.lists(paths, min_size=1, max_size=8))
@example([Watch("a", (b"/",), exclude=(b"/**/a",))], [b"/a"])
@example([Watch("a", (b"/a",)), Watch("b", (b"/a/b",), depth=0)], [b"/a/b/a", b"/a/b"])
def test_agrees_with_a_plain_reading(watches: list[Watch], asked: list[bytes]) -> None:
    built = Watches(watches)
    for path in asked:
        expected = oracle(watches, path)
        assert built.find(path) is expected, path
        below = built.at(path)
        if below is not None and below.levels == 0:
            # Whoever walks does not go on here: nothing right below may be watched but by its own name.
            for name in (b"a", b"b", b"cc"):
                child = join(path, name)
                assert built.find(child) is named(watches, child)
