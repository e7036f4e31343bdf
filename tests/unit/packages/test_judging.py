"""What a transaction explains, and what it does not: one case for each way to forge an explanation."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.diff import drift as drift_between
from hostguardd.model import Drift, FileFact, SetIdFact, encode_xattrs, split
from hostguardd.packages.evidence import Answer, Seen, nothing, same_package, transactions
from hostguardd.packages.interface import Deed, Level
from hostguardd.packages.judging import Apart, Became, Bench, Judged, asked
from hostguardd.packages.places import may_wait
from tests.alerts import NOW
from tests.state import file

AT = NOW / 10**9
TOOL = b"/usr/bin/tool"
DEED = Deed("tool:all", "upgrade", "1.0", "1.1", AT, AT + 2, AT + 5, AT)
SEEN = Seen("tool", "1.1", Level.DIGEST, inode=5, ctime=NOW + 10**9)
BEFORE = file(TOOL, mode=stat.S_IFREG | 0o755)
AFTER = replace(BEFORE, sha256=b"\x09" * 32, inode=5, ctime=NOW + 10**9)


def between(before: FileFact | None, after: FileFact | None) -> Drift:
    found = drift_between(
        FileFact, (before.row() if before else None, after.row() if after else None), frozenset()
    )
    assert found is not None
    return found


def judge(
    before: FileFact | None = BEFORE,
    after: FileFact | None = AFTER,
    seen: Seen = SEEN,
    deeds: tuple[Deed, ...] = (DEED,),
    manager: str = "dpkg",
    became: Became = Became.NEWS,
    written: float = AT + 1,
    **more: Any,
) -> Judged:
    drift = between(before, after)
    path = drift.subject.label
    answer = Answer(manager, "", deeds, {path: seen}, {"tool": written})._replace(**more)
    return Bench(answer).judge(drift, became)


def at(path: bytes, fact: FileFact) -> FileFact:
    folder, name = split(path)
    return replace(fact, folder=folder, name=name)


def test_what_matches_is_explained() -> None:
    found = judge()
    assert (found.apart, found.deed, found.level, found.says) == (
        None,
        DEED,
        Level.DIGEST,
        "tool 1.1 brings it",
    )
    assert judge(before=None).apart is None


SIGNED = SEEN._replace(level=Level.SIGNED)
RPM = {"manager": "rpm", "deeds": (DEED._replace(run=0.0),), "written": 0.0}
CAPABLE = encode_xattrs([(b"security.capability", b"\1")])
LABELLED = encode_xattrs([(b"security.selinux", b"bin_t")])


@pytest.mark.parametrize(
    ("case", "apart"),
    [
        ({"seen": SEEN._replace(package="")}, Apart.STRAY),
        ({"seen": SEEN._replace(package="other")}, Apart.TAMPERED),
        ({"seen": SEEN._replace(package="tool2")}, Apart.TAMPERED),
        ({"seen": SEEN._replace(words=("content",))}, Apart.TAMPERED),
        ({"seen": SEEN._replace(words=("content",), package="other")}, Apart.TAMPERED),
        ({"seen": SEEN._replace(words=("content",), config=True)}, Apart.SIDE),
        ({"seen": SEEN._replace(words=("content",), config=True, package="other")}, Apart.STRAY),
        (
            {"seen": SEEN._replace(package="other"), "after": replace(BEFORE, inode=5, ctime=AFTER.ctime)},
            Apart.UNSURE,
        ),
        ({"seen": SEEN._replace(problem="it cannot be read")}, Apart.UNSURE),
        ({"seen": SEEN._replace(level=Level.LISTED)}, Apart.UNSURE),
        ({"seen": SEEN._replace(inode=6)}, Apart.AGAIN),
        ({"seen": SEEN._replace(ctime=NOW)}, Apart.AGAIN),
        ({"seen": Seen()}, Apart.AGAIN),
        ({"deeds": ()}, Apart.TAMPERED),
        ({"deeds": (DEED._replace(action="remove", after=""),)}, Apart.TAMPERED),
        # Patched after the manager's last word about the package, or long before.
        ({"deeds": (DEED._replace(begin=AT - 50, unpacked=AT - 49, ended=AT - 40),)}, Apart.TAMPERED),
        ({"deeds": (DEED._replace(begin=AT + 50, unpacked=AT + 51, ended=AT + 60),)}, Apart.TAMPERED),
        # Its digests were written anew: afterwards patched, or only not to be compared any more.
        ({"written": AT + 9, "deeds": (DEED._replace(unpacked=AT - 9),)}, Apart.TAMPERED),
        ({"written": AT + 9}, Apart.SIDE),
        ({"written": AT - 90}, Apart.SIDE),
        # What dpkg does not keep.
        ({"after": replace(AFTER, mode=stat.S_IFREG | 0o4755)}, Apart.TAMPERED),
        ({"after": replace(AFTER, mode=stat.S_IFREG | 0o777)}, Apart.TAMPERED),
        ({"after": replace(AFTER, uid=1000)}, Apart.TAMPERED),
        ({"after": replace(AFTER, gid=42)}, Apart.TAMPERED),
        ({"after": replace(AFTER, xattrs=CAPABLE)}, Apart.TAMPERED),
        ({"after": replace(AFTER, flags=0x80010)}, Apart.TAMPERED),
        ({"after": replace(AFTER, links=2)}, Apart.TAMPERED),
        ({"after": replace(AFTER, unstable=1)}, Apart.TAMPERED),
        ({"after": replace(AFTER, device=9)}, Apart.TAMPERED),
        ({"after": replace(AFTER, mode=stat.S_IFIFO | 0o644)}, Apart.TAMPERED),
        ({"before": None, "after": replace(AFTER, mode=stat.S_IFREG | 0o4755)}, Apart.TAMPERED),
        ({"before": None, "after": replace(AFTER, mode=stat.S_IFREG | 0o757)}, Apart.TAMPERED),
        ({"before": None, "after": replace(AFTER, uid=1000)}, Apart.TAMPERED),
        # A new file that a group of accounts may write to: dpkg keeps no owner.
        ({"before": None, "after": replace(AFTER, gid=42, mode=stat.S_IFREG | 0o664)}, Apart.UNSURE),
        ({"before": None, "after": replace(AFTER, gid=42, mode=stat.S_IFDIR | 0o775)}, Apart.UNSURE),
        # A link in the place of a file, to nobody's.
        ({"after": replace(AFTER, mode=stat.S_IFLNK | 0o777, target=b"/srv/x")}, Apart.TAMPERED),
        # What was there and is put out of use: dpkg keeps no target of a link, and brings no setting as one.
        ({"after": replace(AFTER, mode=stat.S_IFLNK | 0o777, target=b"/dev/null")}, Apart.TAMPERED),
        (
            {
                "seen": SEEN._replace(config=True),
                "after": replace(AFTER, mode=stat.S_IFLNK | 0o777, target=b"/dev/null"),
            },
            Apart.TAMPERED,
        ),
        (
            {
                "seen": SEEN._replace(config=True),
                "before": None,
                "after": replace(AFTER, mode=stat.S_IFLNK | 0o777, target=b"/dev/null"),
            },
            Apart.TAMPERED,
        ),
        # rpm without a signature says modes, and an intruder may have written them.
        ({**RPM, "before": None, "after": replace(AFTER, mode=stat.S_IFREG | 0o4755)}, Apart.TAMPERED),
        # A signature by a key that came along.
        (
            {
                **RPM,
                "seen": SIGNED,
                "keys": ("gpg-pubkey 1",),
                "before": None,
                "after": replace(AFTER, mode=stat.S_IFREG | 0o4755),
            },
            Apart.TAMPERED,
        ),
        ({**RPM, "seen": SIGNED._replace(words=("mode",))}, Apart.TAMPERED),
        (
            {**RPM, "seen": SIGNED, "after": replace(AFTER, xattrs=encode_xattrs([(b"user.x", b"1")]))},
            Apart.TAMPERED,
        ),
    ],
)
def test_what_does_not_match_is_not(case: dict[str, object], apart: Apart) -> None:
    found = judge(**case)  # type: ignore[arg-type]
    assert found.apart is apart, found
    assert found.says
    assert found.deed is None


@pytest.mark.parametrize(
    ("case", "level"),
    [
        ({"after": replace(AFTER, xattrs=LABELLED)}, Level.DIGEST),
        (
            {"after": replace(AFTER, ctime=NOW + 7 * 10**9), "seen": SEEN._replace(ctime=NOW + 7 * 10**9)},
            Level.DIGEST,
        ),
        (
            {"seen": SEEN._replace(config=True), "written": AT + 90},
            Level.DIGEST,
        ),  # its digest is in the status
        (
            {
                "before": replace(BEFORE, mode=stat.S_IFREG | 0o4755),
                "after": replace(AFTER, mode=stat.S_IFREG | 0o4755),
            },
            Level.DIGEST,
        ),
        (
            {
                "after": replace(AFTER, mode=stat.S_IFLNK | 0o777, target=b"tool2"),
                "seen": SEEN._replace(leads=b"tool2"),
            },
            Level.LISTED,
        ),
        (
            {
                "before": None,
                "after": replace(AFTER, mode=stat.S_IFDIR | 0o755),
                "seen": SEEN._replace(level=Level.LISTED, ctime=1),
            },
            Level.LISTED,
        ),
        ({**RPM, "seen": SIGNED}, Level.SIGNED),
        (
            {"before": None, "after": replace(AFTER, mode=stat.S_IFLNK | 0o777, target=b"/dev/null")},
            Level.LISTED,
        ),
        (
            {
                "before": replace(BEFORE, mode=stat.S_IFLNK | 0o777, target=b"/run/x"),
                "after": replace(AFTER, mode=stat.S_IFLNK | 0o777, target=b"/run/x"),
            },
            Level.LISTED,
        ),
        (
            {
                **RPM,
                "seen": SIGNED,
                "before": None,
                "after": replace(AFTER, mode=stat.S_IFREG | 0o4755, xattrs=CAPABLE),
            },
            Level.SIGNED,
        ),
        ({**RPM, "seen": SIGNED._replace(ctime=1), "after": replace(AFTER, ctime=1)}, Level.SIGNED),
        ({**RPM}, Level.DIGEST),
    ],
)
def test_what_is_harmless_or_signed_is_explained(case: dict[str, object], level: Level) -> None:
    found = judge(**case)  # type: ignore[arg-type]
    assert (found.apart, found.level) == (None, level), found


GONE = Seen(former="tool")


@pytest.mark.parametrize(
    ("seen", "apart"),
    [
        (GONE, None),
        (GONE._replace(former=""), Apart.STRAY),
        (GONE._replace(former="other"), Apart.STRAY),
        (GONE._replace(package="tool", version="1.1"), Apart.TAMPERED),
        (GONE._replace(inode=5), Apart.AGAIN),
    ],
)
def test_what_is_gone_was_its_packages_or_not(seen: Seen, apart: Apart | None) -> None:
    assert judge(after=None, seen=seen).apart is apart


SUMS = b"/var/lib/dpkg/info/tool.md5sums"


@pytest.mark.parametrize(
    ("path", "ctime", "apart"),
    [
        (SUMS, AT + 1, None),
        (SUMS, AT + 4.5, Apart.TAMPERED),  # after the unpacking, while it was still worked on
        (b"/var/lib/dpkg/info/tool.list", AT + 4.5, None),
        (b"/var/lib/dpkg/info/tool.list", AT + 9, Apart.TAMPERED),
        (b"/var/lib/dpkg/info/tool:all.md5sums", AT + 1, None),
        (b"/var/lib/dpkg/info/tool.postinst", AT + 4.5, Apart.TAMPERED),
        (b"/var/lib/dpkg/info/other.md5sums", AT + 1, Apart.TAMPERED),
        (b"/var/lib/dpkg/info/tool2.md5sums", AT + 1, Apart.TAMPERED),
        (b"/var/lib/dpkg/info/x/tool.md5sums", AT + 1, Apart.STRAY),
    ],
)
def test_what_dpkg_writes_down_is_written_at_its_time(path: bytes, ctime: float, apart: Apart | None) -> None:
    after = at(path, replace(AFTER, ctime=int(ctime * 10**9)))
    found = judge(before=None, after=after, seen=Seen(inode=5, ctime=after.ctime))
    assert found.apart is apart, found


@pytest.mark.parametrize("mode", [0o4755, 0o646])
def test_what_dpkg_writes_down_lends_nobody_rights(mode: int) -> None:
    after = at(b"/var/lib/dpkg/info/tool.list", replace(AFTER, mode=stat.S_IFREG | mode))
    seen = Seen(inode=5, ctime=after.ctime)
    assert judge(before=None, after=after, seen=seen).apart is Apart.TAMPERED


@pytest.mark.parametrize("was", [None, 0o6755])
def test_a_set_id_file_among_what_dpkg_writes_down_is_none_of_it(was: int | None) -> None:
    path = b"/var/lib/dpkg/info/tool.sh"
    after = SetIdFact(b"/", path, stat.S_IFREG | 0o4755, 0, 0, 1, AFTER.ctime, 5, b"\2" * 32, b"")
    before = replace(after, mode=stat.S_IFREG | was) if was else None
    answer = Answer("dpkg", "", (DEED,), {path: Seen(inode=5, ctime=after.ctime)}, {"tool": AT})
    found = Bench(answer).judge(Drift(SetIdFact, before, after, ("mode",)))
    assert found.apart is Apart.TAMPERED


def test_rpms_own_database_is_explained_as_long_as_its_headers_are() -> None:
    path = b"/usr/lib/sysimage/rpm/rpmdb.sqlite"
    before, after = at(path, BEFORE), at(path, AFTER)
    seen = Seen(inode=5, ctime=after.ctime)
    assert judge(before, after, seen, **RPM).apart is None  # type: ignore[arg-type]
    doubts = (("tool", "its header is broken"),)
    assert judge(before, after, seen, doubts=doubts, **RPM).apart is Apart.TAMPERED  # type: ignore[arg-type]
    assert judge(before, after, seen, deeds=(), manager="rpm").apart is Apart.TAMPERED


def test_what_triggers_make_is_told_in_the_words_of_the_transaction() -> None:
    after = at(b"/etc/ld.so.cache", AFTER)
    assert judge(after=after, before=at(b"/etc/ld.so.cache", BEFORE), seen=Seen()).apart is Apart.SIDE


@pytest.mark.parametrize(
    ("name", "seen", "apart"),
    [
        (b"tool.dpkg-new", Seen(), None),
        (b"tool;1a2b3c4d", Seen(), None),
        (b"other.dpkg-new", Seen(), Apart.STRAY),
        (b"tool.dpkg-new", Seen(inode=3), Apart.STRAY),
        (b"tool.passing", Seen(), Apart.STRAY),
    ],
)
def test_drafts_pass(name: bytes, seen: Seen, apart: Apart | None) -> None:
    drift = between(None, replace(AFTER, name=name))
    path = b"/usr/bin/" + name
    answer = Answer("dpkg", "", (DEED,), {path: seen, TOOL: SEEN}, {})
    assert Bench(answer).judge(drift, Became.PASSED).apart is apart
    assert path in asked([drift])
    assert name != b"tool.dpkg-new" or TOOL in asked([drift])


@pytest.mark.parametrize(
    ("name", "place", "ctime", "inode", "apart"),
    [
        (b"tool.dpkg-new", SEEN, AT + 3, 6, Apart.STRAY),  # something else is in its place
        (b"tool.dpkg-new", SEEN, AT + 60, 5, Apart.STRAY),  # nothing was unpacked then
        (b"tool.dpkg-tmp", SEEN, AT + 60, 4, Apart.STRAY),
        (b"tool.dpkg-tmp", SEEN, AT + 1, 4, None),  # what was in its place before
        (b"tool.dpkg-new", SEEN._replace(config=True), AT + 3, 6, None),  # the administrator's was kept
        (b"tool.dpkg-new", SEEN._replace(config=True), AT + 60, 6, Apart.STRAY),
    ],
)
def test_a_draft_is_of_its_time_and_comes_into_its_place(
    name: bytes, place: Seen, ctime: float, inode: int, apart: Apart | None
) -> None:
    drift = between(None, replace(AFTER, name=name, ctime=int(ctime * 10**9), inode=inode))
    answer = Answer("dpkg", "", (DEED,), {b"/usr/bin/" + name: Seen(), TOOL: place}, {})
    assert Bench(answer).judge(drift, Became.PASSED).apart is apart


@pytest.mark.parametrize(
    ("name", "before", "inode", "config", "apart"),
    [
        (b"tool.dpkg-new", 0o755, 5, False, None),  # it came into its place, where it is judged
        (b"tool.dpkg-tmp", 0o4755, 4, False, None),  # what was in its place before
        (b"tool.dpkg-tmp", 0o4755, 6, False, Apart.STRAY),
        (b"tool.dpkg-tmp", 0o755, 4, False, Apart.STRAY),
        (b"tool.dpkg-tmp", None, 4, False, Apart.STRAY),
        (b"tool.dpkg-new", 0o755, 6, True, Apart.STRAY),  # no settings lend rights
    ],
)
def test_a_draft_lends_no_rights_that_what_it_is_of_did_not(
    name: bytes, before: int | None, inode: int, config: bool, apart: Apart | None
) -> None:
    was = before and replace(BEFORE, mode=stat.S_IFREG | before, inode=4)
    now = replace(AFTER, name=name, mode=stat.S_IFREG | 0o4755, inode=inode, ctime=int((AT + 1) * 10**9))
    place = SEEN._replace(config=config)
    answer = Answer("dpkg", "", (DEED,), {b"/usr/bin/" + name: Seen(), TOOL: place}, {})
    bench = Bench(answer, beside=[between(was, AFTER)] if was else [])
    assert bench.judge(between(None, now), Became.PASSED).apart is apart


def test_a_page_of_the_manual_about_keys_is_none() -> None:
    assert may_wait(at(b"/usr/share/man/man5/authorized_keys.5.gz", AFTER))
    assert not may_wait(at(b"/etc/ssh/authorized_keys.d/root", AFTER))
    assert not may_wait(at(b"/usr/share/authorized_keys", AFTER))


def test_a_name_may_hold_a_newline() -> None:
    assert not may_wait(at(b"/etc/sudoers.d/a\nb", AFTER))
    assert not may_wait(at(b"/usr/local/bin/a\nb", AFTER))


def test_who_could_not_look_explains_nothing() -> None:
    found = Bench(nothing("no database")).judge(between(BEFORE, AFTER))
    assert (found.apart, found.says) == (Apart.STRAY, "no database")


@given(st.binary(max_size=30), st.sampled_from(list(Became)))
def test_no_name_raises(name: bytes, became: Became) -> None:
    fact = replace(AFTER, name=name or b"x")
    answer = Answer("dpkg", "", (DEED,), {}, {})
    Bench(answer).judge(between(None, fact), became)
    may_wait(fact)


def test_a_set_id_file_keeps_what_it_had() -> None:
    before = SetIdFact(b"/", b"/opt/su", stat.S_IFREG | 0o4755, 0, 0, 1, NOW, 4, b"\1" * 32, b"")
    after = replace(before, inode=5, ctime=NOW + 10**9, sha256=b"\2" * 32)
    answer = Answer("dpkg", "", (DEED,), {b"/opt/su": SEEN}, {"tool": AT})

    def of(now: SetIdFact, was: SetIdFact | None = before) -> Apart | None:
        return Bench(answer).judge(Drift(SetIdFact, was, now, ("sha256",))).apart

    assert of(after) is None
    assert of(replace(after, caps=b"\1")) is Apart.TAMPERED
    assert of(after, None) is Apart.TAMPERED


def test_packages_by_either_name() -> None:
    assert same_package("tool:all", "tool")
    assert same_package("libc6:i386", "libc6:i386")
    assert not same_package("libc6:i386", "libc6:amd64")
    assert not same_package("tool:all", "tool2")


def test_which_deeds_are_one_transaction() -> None:
    def deed(package: str, begin: float, run: float = 0.0, action: str = "upgrade") -> Deed:
        return Deed(package, action, "1", "2", begin, begin + 1, begin + 2, run)

    def names(*deeds: Deed, known: tuple[tuple[float, float], ...] = ()) -> list[str]:
        return ["".join(one.package for one in some) for some in transactions(deeds, known)]

    assert names(deed("a", 10), deed("b", 50), deed("c", 200)) == ["ab", "c"]
    assert names(deed("a", 10, 9), deed("b", 50, 9), deed("c", 53, 52)) == ["abc"], (
        "one run may wait for long"
    )
    assert names(deed("a", 10, 9), deed("b", 50, 49)) == ["a", "b"]
    assert names(deed("a", 10), deed("b", 13), known=((9, 12),)) == ["a", "b"]
    (only,) = transactions([deed("a", 10, 9, "remove"), deed("a", 11, 9, "remove")])
    assert [one.action for one in only] == ["remove"]
    (only,) = transactions([deed("a", 10, 9, "install")._replace(before=""), deed("a", 12, 9)])
    assert [(one.action, one.before, one.after) for one in only] == [("install", "", "2")]
