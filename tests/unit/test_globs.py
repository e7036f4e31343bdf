"""Globs over bytes: what crosses a folder, what does not, and what makes no sense."""

from __future__ import annotations

import fnmatch
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.globs import (
    GlobError,
    compile_name,
    compile_path,
    compile_paths,
    compile_texts,
    has_magic,
    quoted,
    unquoted,
)

PATIENCE = 30.0
NAMES = st.binary(min_size=1, max_size=12).filter(lambda name: b"/" not in name and b"\0" not in name)


@contextmanager
def patience() -> Iterator[None]:
    """Break off what takes too long; the matching of a pattern looks for signals."""

    def over(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        (b"/etc/passwd", b"/etc/passwd", True),
        (b"/etc/passwd", b"/etc/passwd-", False),
        (b"/etc/passwd", b"/etc/passwd\n", False),
        (b"/etc/passwd", b"x/etc/passwd", False),
        (b"/etc/*", b"/etc/passwd", True),
        (b"/etc/*", b"/etc/ssh/sshd_config", False),
        (b"/etc/*", b"/etc/", True),
        (b"/etc/**", b"/etc/ssh/sshd_config", True),
        (b"/etc/**", b"/etc", False),
        (b"/etc/**", b"/etcetera", False),
        (b"/etc/**/x", b"/etc/x", True),
        (b"/etc/**/x", b"/etc/a/b/x", True),
        (b"/etc/**/x", b"/etc/ax", False),
        (b"**/x", b"/x", True),
        (b"**/x", b"/a/b/x", True),
        (b"**/x", b"/a/bx", False),
        (b"/usr/**.so", b"/usr/lib/a.so", True),
        (b"/a/***/b", b"/a/b", True),
        (b"/home/*/.ssh/**", b"/home/alice/.ssh/id", True),
        (b"/home/*/.ssh/**", b"/home/alice/x/.ssh/id", False),
        (b"/etc/*", b"/etc/...", True),
        (b"/etc/*", b"/etc/new\nline\xff", True),
        (b"/etc/?", b"/etc/a", True),
        (b"/etc/?", b"/etc/\xc3\xa9", True),
        (b"/etc/?", b"/etc/\xff", True),
        (b"/etc/?", b"/etc/ab", False),
        (b"/etc?x", b"/etc/x", False),
        (b"/rc[0-6].d", b"/rc3.d", True),
        (b"/rc[0-6].d", b"/rc7.d", False),
        (b"/rc[!0-6].d", b"/rcS.d", True),
        (b"/rc[^0-6].d", b"/rc3.d", False),
        (b"/rc[!0-6].d", b"/rc\xc3\xa9.d", True),
        (b"/a[!b]c", b"/a/c", False),
        (b"/a[+-9]c", b"/a/c", False),
        (b"/a[]]c", b"/a]c", True),
        (b"/a[!]]c", b"/a]c", False),
        (b"/a[a-]c", b"/a-c", True),
        (b"/a[a-]c", b"/abc", False),
        (b"/a[.]c", b"/abc", False),
        (rb"/a\*c", b"/a*c", True),
        (rb"/a\*c", b"/abc", False),
        (rb"/a\[c", b"/a[c", True),
        (b"/a.c", b"/abc", False),
        (b"@/tmp/**", b"@/tmp/x/y", True),
    ],
)
def test_paths(glob: bytes, path: bytes, matches: bool) -> None:
    pattern = compile_path(glob)
    assert bool(pattern.fullmatch(path)) is matches
    assert bool(pattern.match(path)) is matches


@pytest.mark.parametrize(
    ("glob", "reason"),
    [
        (b"", "empty"),
        (b"/etc/[ab", 'without its "]"'),
        (b"/etc/[", 'without its "]"'),
        (b"/etc/[]", 'without its "]"'),
        (b"/etc/x\\", "lone"),
        (b"/etc/[z-a]", "backwards"),
        (b"/etc/[\xc3\xa9]", "ASCII"),
        (b"/etc/\0", "NUL"),
    ],
)
def test_a_bad_glob_says_why(glob: bytes, reason: str) -> None:
    with pytest.raises(GlobError, match=re.escape(reason)):
        compile_path(glob)


def test_a_name_glob_takes_no_slash() -> None:
    assert compile_name(b"*.sw?").fullmatch(b".x.swp")
    with pytest.raises(GlobError, match="single name"):
        compile_name(b"a/b")


def test_several_globs_are_one_pattern() -> None:
    pattern = compile_paths([b"/a/*", b"/b"])
    assert [bool(pattern.match(path)) for path in (b"/a/x", b"/b", b"/a/x/y", b"/bb")] == [1, 1, 0, 0]
    assert not compile_paths([]).match(b"")


def test_texts_know_no_folders() -> None:
    assert compile_texts([b"nc * /bin/sh"]).match(b"nc -e /usr /bin/sh")
    assert compile_texts([b"a[/]b"]).match(b"a/b")


@given(st.lists(NAMES, min_size=1, max_size=5))
def test_a_quoted_path_matches_itself_and_nothing_longer(parts: list[bytes]) -> None:
    path = b"/" + b"/".join(parts)
    glob = re.sub(rb"([*?\[\\])", rb"\\\1", path)
    assert compile_path(glob).fullmatch(path)
    assert not compile_path(glob).fullmatch(path + b"\n")
    assert (quoted(path), unquoted(glob)) == (glob, path)


@pytest.mark.parametrize(
    ("glob", "magic"),
    [
        (b"a", False),
        (b"", False),
        (b"]", False),
        (b"\\a", False),
        (b"\\*", True),
        (b"a?", True),
        (b"[a]", True),
    ],
)
def test_which_globs_hold_wildcards(glob: bytes, magic: bool) -> None:
    assert has_magic(glob) is magic


@given(st.lists(NAMES, min_size=1, max_size=5), st.integers(1, 6))
def test_a_star_never_crosses_and_two_always_do(parts: list[bytes], depth: int) -> None:
    path = b"/" + b"/".join(parts)
    assert bool(compile_path(b"/*" * depth).fullmatch(path)) is (depth == len(parts))
    assert compile_path(b"/**").fullmatch(path)


@given(st.text("ab*?[]-!", min_size=1, max_size=8), st.text("ab-]!", max_size=6))
def test_names_agree_with_fnmatch(glob: str, name: str) -> None:
    """Where both understand the glob; fnmatch takes an open bracket and a backward range literally."""
    try:
        mine = bool(compile_name(glob.encode()).fullmatch(name.encode()))
    except GlobError:
        return
    assert mine == bool(re.fullmatch(fnmatch.translate(glob), name))


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        (b"/srv/" + b"*-" * 9 + b"*.log", b"/srv/" + b"-" * 255),
        (b"/srv/" + b"*?-" * 9 + b"*.log", b"/srv/" + b"-" * 255),
        (b"/srv/" + b"*[!b]" * 9 + b"*.log/**", b"/srv/" + b"-" * 255),
        (b"/srv/" + b"**-" * 9 + b"**.log", b"/srv/" + b"-" * 255),
        (b"/srv/" + b"**/-/" * 9 + b"*.log", b"/srv" + b"/-" * 2000),
    ],
)
def test_no_name_makes_a_glob_take_long(glob: bytes, name: bytes) -> None:
    """Whoever names a file would else hold up whoever matches it: for years, with nine stars."""
    for pattern in (compile_path(glob), compile_texts([glob])):
        with patience():
            assert not pattern.match(name)
            assert pattern.match(name + b".log" + b"/x" * glob.endswith(b"/**"))


@given(
    st.lists(st.sampled_from(["a", "*", "**", "**/", "?", "/"]), min_size=1, max_size=9).map("".join),
    st.text("ab/", max_size=12),
)
def test_stars_find_what_trying_everything_finds(glob: str, path: str) -> None:
    means = {"*": "[^/]*", "?": "[^/]", "**/": "(?:.*/)?"}
    plain = re.sub(r"\*{3,}", "**", glob)
    slow = re.sub(r"(?:(?<=/)|^)\*\*+/|\*+|\?", lambda sign: means.get(sign[0], ".*"), plain)
    assert bool(compile_path(glob.encode()).match(path.encode())) is bool(re.fullmatch(slow, path))
