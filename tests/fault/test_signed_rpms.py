"""What signed packages bring is accepted, and nothing else that changed in the same minute: rpm, its
database, keys and signatures are real, and so is the whole engine, which watches the root that rpm installs
into. Only that rpm worked is said by the test.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostguardd.engine import signed
from hostguardd.engine.engine import OWNERS
from hostguardd.host.bundle import Host, image
from hostguardd.packages.clerk import survey
from hostguardd.packages.evidence import Question
from hostguardd.packages.interface import Level
from hostguardd.packages.rpm import Rpm
from tests import packaged, rights
from tests.daemon import guarding, until
from tests.fault.test_change_windows import ask
from tests.fault.test_engine import SECOND, Inside
from tests.updating import Managers

pytestmark = [
    pytest.mark.skipif(
        any(shutil.which(program) is None for program in ("rpmbuild", "rpmsign", "gpg", "rpm")),
        reason="rpmbuild, rpmsign, gpg or rpm is not installed",
    ),
    pytest.mark.skipif(not rights.ROOT, reason="needs root, as rpm changes its root to install there"),
]

CAP_NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
ACL = bytes.fromhex(
    "0200000001000600ffffffff02000600e803000004000600ffffffff10000600ffffffff20000400ffffffff"
)
"""user::rw-, user:1000:rw-, group::rw-, mask::rw-, other::r--: the mode is 0664 with it and without."""


def content(version: str) -> dict[str, tuple[int, bytes]]:
    """What the signed package brings."""
    bins = ("as-packaged", "patched", "opened", "given", "taken", "lent")
    return {
        **{f"usr/bin/{name}": (0o755, f"#!/bin/sh\necho {version}\n".encode()) for name in bins},
        "usr/bin/as-su": (0o4755, f"#!/bin/sh\necho {version}\n".encode()),
        "usr/share/tool/shared": (0o664, f"shared {version}\n".encode()),
        f"usr/lib/tool/lib.so.{version}": (0o644, f"\x7fELF {version}".encode()),
        "usr/share/tool/gone": (0o644, f"{version}\n".encode()),
        "etc/kept.conf": (0o644, f"version = {version}\n".encode()),
        "etc/edited.conf": (0o644, f"version = {version}\n".encode()),
    }


TAKEN = {"/usr/bin/as-packaged", "/usr/bin/as-su", "/usr/lib/tool/lib.so.1.1", "/etc/kept.conf"}
LEFT = {
    "/usr/lib/tool/planted", "/usr/bin/patched", "/usr/bin/opened", "/usr/bin/given", "/usr/bin/taken",
    "/usr/bin/lent", "/usr/share/tool/shared", "/usr/share/tool/gone", "/etc/edited.conf",
    "/usr/bin/unsigned", "/usr/bin/strange",
    "/usr/lib/tool/lib.so.1.0",  # no signature vouches for what is gone
}  # fmt: skip


def build(
    shelf: Path, name: str, version: str, files: dict[str, tuple[int, bytes]], sign: Path | None
) -> Path:
    """A package, signed with the key of a folder."""
    tree = shelf / f"{name}-{version}"
    packaged.lay(tree, files)
    lines = [f"%config(noreplace) /{path}" if path.startswith("etc/") else f"/{path}" for path in files]
    made = packaged.rpm(shelf, name, tree, "\n".join(lines), version)
    if sign is not None:
        packaged.sign(sign, made)
    return made


def others(version: str) -> dict[str, dict[str, tuple[int, bytes]]]:
    """What is in the packages that are not to be believed, by their name."""
    return {
        name: {f"usr/bin/{name}": (0o755, f"#!/bin/sh\necho {version}\n".encode())}
        for name in ("unsigned", "strange")
    }


class Shelf:
    """Packages in two versions: `tool`, signed by whom the host believes; `strange`, by somebody else; and
    `unsigned`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.other = folder, folder / "other"
        self.other.mkdir()
        for one in (folder, self.other):
            packaged.key(one)
        signer = {"unsigned": None, "strange": self.other}
        self.packages = {
            version: [
                build(folder, "tool", version, content(version), folder),
                *(
                    build(folder, name, version, files, signer[name])
                    for name, files in others(version).items()
                ),
            ]
            for version in ("1.0", "1.1")
        }


class Rpms(Inside):
    """The engine, watching a root into which rpm installed version 1.0."""

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        super().__init__(folder)
        self.shelf = shelf
        self.root = packaged.host(folder / "root")
        (self.root / packaged.FOLDER).mkdir(parents=True)
        self.believe(shelf.folder)
        packaged.put(self.root, *shelf.packages["1.0"])
        time.sleep(1.1)  # rpm counts whole seconds, and all this is to be over when it is approved
        self.managers = Managers()

    def configure(self, sections: str = "", more: str = "") -> None:
        """As it is packaged."""
        paths = {"state": self.state, "log": self.log, "run": self.run, "forward": self.folder / "forward"}
        lines = [f'{name} = "{path}"' for name, path in paths.items()]
        self.config.write_text("\n".join(("[paths]", *lines, "[baseline]", 'accept_packages = "signed"')))

    def host(self) -> Host:
        return image(os.fsencode(self.root))

    def believe(self, folder: Path) -> None:
        """Have the host believe the key of a folder."""
        packaged.run("rpmkeys", "--dbpath", self.root / packaged.FOLDER, "--import", folder / "key.asc")

    @contextmanager
    def noted(self) -> Iterator[None]:
        """As `running`, from when it knows which keys were believed before."""
        with self.running():
            self.engine.provenance._managers = self.managers
            until(lambda: self.engine.provenance.keys_known, "which keys are believed is noted")
            until((self.state / OWNERS).exists, "whose each path is is noted")
            yield

    def update(self) -> None:
        time.sleep(1.1)
        packaged.put(self.root, *self.shelf.packages["1.1"])

    def look(self) -> set[str]:
        """Have the engine see that rpm worked, and what it did; what is open then."""
        self.managers.moved += 1
        ask(self, "check", full=True)
        until(lambda: not self.engine.signed._waiting, "what is signed was decided about")
        return {one["label"] for one in ask(self, "drift")["findings"]}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def rpms(tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rpms]:
    monkeypatch.setattr(signed, "QUIET", SECOND)
    made = Rpms(tmp_path, shelf)
    with guarding(made):
        yield made


def test_exactly_what_is_signed_and_as_packaged_is_accepted(rpms: Rpms) -> None:
    root = rpms.root
    with rpms.noted():
        rpms.update()
        (root / "usr/lib/tool/planted").write_text("#!/bin/sh\n")
        with (root / "usr/bin/patched").open("a") as file:
            file.write("patched\n")
        (root / "usr/bin/opened").chmod(0o777)
        os.setxattr(root / "usr/bin/given", "security.capability", CAP_NET_RAW)
        os.chown(root / "usr/bin/taken", 1000, 1000)
        (root / "usr/bin/lent").chmod(0o4755)
        os.setxattr(root / "usr/share/tool/shared", "system.posix_acl_access", ACL)
        assert (root / "usr/share/tool/shared").stat().st_mode & 0o777 == 0o664
        (root / "usr/share/tool/gone").unlink()
        (root / "etc/edited.conf").write_text("mine\n")
        assert rpms.look() == LEFT
        assert rpms.told("baseline.packages-accepted")["hostguard"]["details"]["unexplained"] == 0
        assert {path for path, state, _ in rpms.stories() if state == "accepted"} == TAKEN
        assert len(rpms.coded("baseline.packages-accepted")) == 1
        assert rpms.look() == LEFT, "nor is it later"


def test_a_key_that_came_with_it_vouches_for_nothing(rpms: Rpms) -> None:
    with rpms.noted():
        rpms.believe(rpms.shelf.other)
        rpms.update()
        assert rpms.look() >= {"/usr/bin/as-packaged", "/usr/bin/strange"}
        assert rpms.coded("package.key-added")
        assert not rpms.coded("baseline.packages-accepted")


def test_another_key_under_the_name_of_one_that_is_believed_vouches_for_nothing(rpms: Rpms) -> None:
    with rpms.noted():
        packaged.exchange_key(rpms.root, rpms.folder / "scratch", rpms.shelf.other)
        rpms.update()
        assert rpms.look() >= {"/usr/bin/as-packaged", "/usr/bin/strange"}
        assert rpms.coded("package.key-added")
        assert not rpms.coded("baseline.packages-accepted")


def test_without_knowing_which_keys_were_believed_before_nothing_is_signed(rpms: Rpms) -> None:
    with rpms.noted():
        rpms.engine.provenance._keys._believed = None
        rpms.update()
        assert rpms.look() >= {"/usr/bin/as-packaged", "/usr/bin/strange"}
        assert not rpms.coded("baseline.packages-accepted")


def test_a_key_written_into_the_file_of_owners_vouches_for_nothing(rpms: Rpms) -> None:
    place = rpms.state / OWNERS
    with rpms.noted():
        rpms.believe(rpms.shelf.other)
        head, _, entries = place.read_bytes().partition(b"\n")
        forged = {**json.loads(head), "keys": sorted(Rpm(rpms.host()).keys())}
        place.write_bytes(json.dumps(forged).encode() + b"\n" + entries)
        rpms.update()
        assert rpms.look() >= {"/usr/bin/as-packaged", "/usr/bin/strange"}
        assert rpms.coded("package.key-added")
        assert not rpms.coded("baseline.packages-accepted")


def test_a_key_that_came_while_nobody_looked_is_told_whatever_the_file_of_owners_says(rpms: Rpms) -> None:
    with rpms.noted():
        pass
    (rpms.state / OWNERS).unlink()
    rpms.believe(rpms.shelf.other)
    with rpms.noted():
        rpms.update()
        assert rpms.look() >= {"/usr/bin/as-packaged", "/usr/bin/strange"}
        assert rpms.coded("package.key-added")
        assert not rpms.coded("baseline.packages-accepted")


def test_where_rpm_keeps_its_keys_elsewhere_no_signature_counts(
    rpms: Rpms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As rpm 6 does: a key that is added there would be told by nobody."""
    monkeypatch.setattr(Rpm, "keys", lambda self: frozenset())
    packages = Rpm(rpms.host())
    path = b"/usr/bin/as-packaged"
    assert packages.owners([path])[path].level is Level.SIGNED
    answer = survey(rpms.host(), packages, Question(os.fsencode(rpms.root), 0.0, [path], b"/nonexistent", []))
    assert answer.seen[path].level == Level.DIGEST
