"""Our own package's list: what agrees with it is an update of ours, and nothing else is."""

from __future__ import annotations

import hashlib
import runpy
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.manifest import PLACE, agrees, is_own, parse
from hostguardd.model import FileFact, split

ROOT = Path(__file__).parents[2]
BIN = b"/usr/bin/hostguardd"
LINK = b"/usr/lib/hostguardd/link"
DIGEST = hashlib.sha256(b"new").digest()
TEXT = b"\n".join(
    [
        b"sha256:" + DIGEST.hex().encode() + b" 0755 " + BIN,
        b"sha256:" + DIGEST.hex().encode() + b" 0644 /etc/hostguardd/hostguardd.toml",
        b"link:../x - " + LINK,
        b"sha256:zz 0644 /usr/lib/hostguardd/broken",
    ]
)
MANIFEST = parse(TEXT)


def seen(path: bytes, mode: int = stat.S_IFREG | 0o755, **more: object) -> FileFact:
    folder, name = split(path)
    plain = FileFact(folder, name, mode, 0, 0, 3, 1, 1, 1, 1, 0, None, DIGEST, b"", 0, 0)
    return replace(plain, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path",
    [
        "/usr/bin/hostguardd", "/usr/bin/hostguardctl", "/usr/lib/hostguardd",
        "/usr/lib/hostguardd/site/rich/a.py",
        "/usr/lib/systemd/system/hostguardd.service", "/usr/share/man/man8/hostguardctl.8.gz",
        "/usr/share/zsh/site-functions/_hostguardctl", "/usr/lib/sysusers.d/hostguardd.conf",
        "/usr/lib/systemd/system/hostguardd-forward.service",
        "/etc/hostguardd/hostguardd.toml", "/etc/hostguardd/hostguardd.toml.rpmnew",
    ],
)  # fmt: skip
def test_a_path_of_our_package_is_own(path: str) -> None:
    assert is_own(path.encode())


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "/usr/bin/hostguarddx", "/usr/bin/ssh", "/etc/hostguardd/conf.d/quiet.toml",
        "/etc/systemd/system/hostguardd.service", "/etc/systemd/system/hostguardd.service.d/blind.conf",
        "/tmp/usr/lib/hostguardd/x", "/usr/bin/xhostguardd", "/usr",
    ],
)  # fmt: skip
def test_what_an_intruder_would_want_held_back_is_not(path: str) -> None:
    assert not is_own(path.encode())


def test_exactly_what_the_package_says_agrees() -> None:
    assert agrees(MANIFEST, BIN, seen(BIN).row())
    assert agrees(MANIFEST, BIN, seen(BIN, xattrs=b"security.selinux=00").row())
    assert agrees(MANIFEST, LINK, seen(LINK, stat.S_IFLNK | 0o777, target=b"../x", sha256=None).row())
    assert agrees(MANIFEST, b"/usr/lib/hostguardd", seen(b"/usr/lib/hostguardd", stat.S_IFDIR | 0o755).row())
    conf = b"/etc/hostguardd/hostguardd.toml.rpmnew"
    assert agrees(MANIFEST, conf, seen(conf, stat.S_IFREG | 0o644).row())
    itself = seen(PLACE, stat.S_IFREG | 0o644, sha256=hashlib.sha256(TEXT).digest())
    assert agrees(MANIFEST, PLACE, itself.row())
    assert agrees(MANIFEST, b"/usr/lib/hostguardd/of_the_old_version.py", None)


@pytest.mark.parametrize(
    "more",
    [
        {"sha256": b"x" * 32}, {"sha256": None}, {"uid": 1000}, {"gid": 1000}, {"links": 2}, {"unstable": 1},
        {"mode": stat.S_IFREG | 0o4755}, {"mode": stat.S_IFREG | 0o777}, {"mode": stat.S_IFIFO | 0o755},
        {"xattrs": b"security.capability=01"}, {"xattrs": b"system.posix_acl_access=01"},
        {"mode": stat.S_IFLNK | 0o777, "target": b"/tmp/x", "sha256": None},
        {"mode": stat.S_IFDIR | 0o755},
    ],
)  # fmt: skip
def test_nothing_else_does(more: dict[str, object]) -> None:
    assert not agrees(MANIFEST, BIN, replace(seen(BIN), **more).row())  # type: ignore[arg-type]


def test_what_the_package_has_is_not_gone_and_what_it_has_not_is_not_there() -> None:
    assert not agrees(MANIFEST, BIN, None)
    assert not agrees(MANIFEST, b"/usr/lib/hostguardd", None)
    other = b"/usr/lib/hostguardd/site/evil.py"
    assert not agrees(MANIFEST, other, seen(other).row())
    folder = b"/usr/lib/hostguardd/evil"
    assert not agrees(MANIFEST, folder, seen(folder, stat.S_IFDIR | 0o755).row())
    open_to_all = seen(b"/usr/lib/hostguardd", stat.S_IFDIR | 0o777)
    assert not agrees(MANIFEST, b"/usr/lib/hostguardd", open_to_all.row())
    assert not agrees(parse(b""), BIN, seen(BIN).row())


@given(st.binary(max_size=300))
def test_any_text_is_read(text: bytes) -> None:
    assert all(path.startswith(b"/") for path in parse(text))


def test_what_the_build_writes_is_what_we_read(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/hostguardd").write_bytes(b"new")
    (tmp_path / "usr/bin/hostguardd").chmod(0o755)
    (tmp_path / "usr/lib/hostguardd").mkdir(parents=True)
    (tmp_path / "usr/lib/hostguardd/link").symlink_to("../x")
    lines = runpy.run_path(str(ROOT / "packaging/manifest.py"))["lines"]
    found = parse("\n".join(lines(str(tmp_path))).encode())
    assert found.keys() == {BIN, LINK, PLACE}
    assert found[BIN] == MANIFEST[BIN]
    assert found[LINK] == MANIFEST[LINK]
