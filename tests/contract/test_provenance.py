"""An honest update is one quiet alert and an intruder in it is loud, whatever the package manager: one set of
tests, and each manager joins with how it makes, installs and forges. Packages, databases and signatures are
real.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hostguardd.engine.explaining import evidence
from hostguardd.engine.outcome import drift_of
from hostguardd.host.atwork import AtWork
from hostguardd.host.bundle import image
from hostguardd.packages.clerk import survey
from hostguardd.packages.evidence import NEXT_RUN, Question
from hostguardd.packages.judging import Apart, Bench, asked
from hostguardd.packages.make import packages_of
from tests import packaged, rights
from tests.unit.packages.test_following import cache
from tests.updating import Watched

COUNT = 6
CAP_SYS_ADMIN = bytes.fromhex("0100000200002000000000000000000000000000")
FILES = 8


def content(name: str, version: str) -> dict[str, tuple[int, bytes]]:
    """What a package brings in a version. A library's name is another one in each."""
    found = {
        f"usr/bin/{name}": (0o755, f"#!/bin/sh\necho {version}\n".encode()),
        f"usr/lib/{name}/lib.so.{version}": (0o644, f"\x7fELF {version}".encode()),
        f"etc/{name}.conf": (0o644, f"version = {version}\n".encode()),
        f"etc/cron.d/{name}": (0o644, f"# {version}\n".encode()),
        f"usr/bin/{name}-su": (0o4755, f"#!/bin/sh\necho su {version}\n".encode()),
    }
    return found | {f"usr/share/{name}/{n}": (0o644, f"{version} {n}\n".encode()) for n in range(FILES)}


def name(number: int) -> str:
    return f"trial{number}"


def paths(alert: dict[str, Any]) -> set[str]:
    """All that a transaction's alert names."""
    return {path for found in alert["hostguard"]["paths"].values() for path in found}


def quiet(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The only alert: a transaction."""
    assert [one["hostguard"]["kind"] for one in told] == ["transaction"], [one["message"] for one in told]
    (only,) = told
    assert only["hostguard"]["severity"] == "info"
    return only


def loud(told: list[dict[str, Any]]) -> dict[str, str]:
    """Severity by path of what has an alert of its own and is louder than medium."""
    return {
        one["file"]["path"]: one["hostguard"]["severity"]
        for one in told
        if one["hostguard"]["kind"] == "file" and one["hostguard"]["severity"] in ("high", "critical")
    }


def _exchange(one: Path, other: Path) -> None:
    """Both at once: renameat2(2), RENAME_EXCHANGE."""
    libc = ctypes.CDLL(None, use_errno=True)
    at = -100  # AT_FDCWD
    if libc.renameat2(at, os.fsencode(one), at, os.fsencode(other), 2):
        raise OSError(ctypes.get_errno(), "renameat2")


class Updates:
    """`made` has a host with COUNT packages in version 1.0."""

    manager: ClassVar[str]
    level: ClassVar[str]
    own: ClassVar[int]
    """Files of its own database that the manager writes in an update of all, at least."""

    @classmethod
    def make(cls, folder: Path) -> Path:
        raise NotImplementedError

    def install(self, root: Path, shelf: Path, version: str, *numbers: int) -> None:
        raise NotImplementedError

    def remove(self, root: Path, number: int) -> None:
        raise NotImplementedError

    def forge(self, root: Path, path: str, package: str) -> None:
        """Make the database agree with what is at `path` now."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = cls.make(tmp_path_factory.mktemp("made"))
        (folder / "root/usr/bin/site-tool").write_text("#!/bin/sh\n")
        time.sleep(1.1)  # logs count whole seconds, and all this is to be over when it is approved
        return folder

    @pytest.fixture
    def root(self, made: Path, tmp_path: Path) -> Path:
        return packaged.copied(made / "root", tmp_path / "root")

    @pytest.fixture
    def watched(self, root: Path, tmp_path: Path) -> Iterator[Watched]:
        found = Watched(root, tmp_path)
        yield found
        found.close()

    def test_an_honest_update_is_one_quiet_alert(self, watched: Watched, root: Path, made: Path) -> None:
        watched.update(lambda: self.install(root, made, "1.1", *range(COUNT)))
        only = quiet(watched.told())
        transaction = only["hostguard"]["transaction"]
        assert transaction["manager"] == self.manager
        assert transaction["level"] == self.level
        assert transaction["package_count"] == COUNT
        assert {(one["action"], one["from"][:3], one["to"][:3]) for one in transaction["packages"]} == {
            ("upgrade", "1.0", "1.1")
        }
        assert transaction["apart"] == 0
        assert only["hostguard"]["count"] >= COUNT * (FILES + 5) + self.own
        assert "/usr/bin/trial0-su" in paths(only), "its mode is as it was"
        assert {"/usr/lib/trial0/lib.so.1.0", "/usr/lib/trial0/lib.so.1.1"} <= paths(only)
        stories = watched.stories()
        assert stories["/usr/bin/trial3"] == ("package", self.level)
        assert {cause for cause, _ in stories.values()} == {"package"}
        severities = {one.verdict.severity.label for one in watched.state.findings.open()}
        assert {"high", "critical"} <= severities, "what was judged stays"

    def test_an_intruder_in_it_is_loud_three_times(self, watched: Watched, root: Path, made: Path) -> None:
        self.install(root, made, "1.1", *range(COUNT))
        time.sleep(self.pause)
        (root / "usr/lib/planted").write_text("#!/bin/sh\n")
        with open(root / "usr/share/trial1/3", "a") as file:
            file.write("patched\n")
        (root / "usr/bin/trial2").write_bytes(b"#!/bin/sh\necho xxx\n")  # as long as it was
        self.forge(root, "usr/bin/trial2", name(2))
        watched.update()
        told = watched.told()
        assert [one["hostguard"]["kind"] for one in told].count("transaction") == 1
        found = loud(told)
        assert {"/usr/lib/planted", "/usr/share/trial1/3", "/usr/bin/trial2"} <= found.keys()
        named = {path for one in told if one["hostguard"]["kind"] == "transaction" for path in paths(one)}
        assert not {"/usr/lib/planted", "/usr/share/trial1/3", "/usr/bin/trial2"} & named
        assert watched.stories()["/usr/bin/trial2"][0] == "unexplained"
        assert self.forgery_told(told), [one["message"] for one in told]

    pause: ClassVar[float] = 0.0

    def forgery_told(self, told: list[dict[str, Any]]) -> bool:
        raise NotImplementedError

    def test_what_is_removed_is_explained_and_what_somebody_else_removes_is_not(
        self, watched: Watched, root: Path
    ) -> None:
        self.remove(root, 4)
        (root / "usr/bin/site-tool").unlink()
        (root / "usr/share/trial5/1").unlink()
        watched.update()
        told = watched.told()
        (one,) = (one for one in told if one["hostguard"]["kind"] == "transaction")
        assert {"/usr/bin/trial4", "/usr/share/trial4/0"} <= paths(one)
        assert [deed["action"] for deed in one["hostguard"]["transaction"]["packages"]] == ["remove"]
        assert loud(told) == {"/usr/bin/site-tool": "high", "/usr/share/trial5/1": "high"}

    def test_a_second_update_is_another_transaction(self, watched: Watched, root: Path, made: Path) -> None:
        watched.update(lambda: self.install(root, made, "1.1", 0, 1))
        first = quiet(watched.told())
        time.sleep(1.1)
        watched.update(lambda: self.install(root, made, "1.2", 0))
        second = quiet(watched.told())
        assert first["hostguard"]["transaction"]["id"] != second["hostguard"]["transaction"]["id"]
        (deed,) = second["hostguard"]["transaction"]["packages"]
        assert (deed["from"][:3], deed["to"][:3]) == ("1.1", "1.2")
        assert second["hostguard"]["transaction"]["passed"] >= 1, "a library came and went again"

    def test_one_that_nobody_saw_is_found_at_the_next_start(
        self, watched: Watched, root: Path, made: Path
    ) -> None:
        watched.start()
        self.install(root, made, "1.1", *range(COUNT))
        watched.start()
        watched.managers.moved += 1
        watched.look()
        quiet(watched.told())

    def test_a_restart_while_it_waits_loses_nothing(self, watched: Watched, root: Path, made: Path) -> None:
        watched.update(lambda: self.install(root, made, "1.1", 0))
        assert len(watched.provenance.held) > FILES
        assert not list(watched.state.findings.open())
        watched.start()
        watched.look()
        assert "/usr/bin/trial0" in paths(quiet(watched.told()))

    def test_what_lies_beside_a_package_is_not_its(self, watched: Watched, root: Path, made: Path) -> None:
        self.install(root, made, "1.1", 0)
        (root / "usr/bin/trial0-more").write_text("#!/bin/sh\n")
        (root / "etc/cron.d/trial0-more").write_text("* * * * * root /usr/bin/trial0-more\n")
        watched.update()
        told = watched.told()
        assert loud(told) == {"/usr/bin/trial0-more": "high", "/etc/cron.d/trial0-more": "critical"}

    def test_configuration_that_the_administrator_changed_comes_in_its_words(
        self, watched: Watched, root: Path, made: Path
    ) -> None:
        self.install(root, made, "1.1", 0, 1)
        for number in (0, 1):
            (root / f"etc/trial{number}.conf").write_text("mine\n")
        watched.update()
        told = watched.told()
        (group,) = (one for one in told if one["hostguard"]["kind"] == "group")
        assert {one["key"] for one in group["hostguard"]["members"]} == {
            "/etc/trial0.conf",
            "/etc/trial1.conf",
        }
        assert group["message"].startswith(f"While {self.manager} upgraded 2 packages (trial0")
        assert group["hostguard"]["severity"] == "medium"

    def test_a_mode_that_no_package_gave_is_loud(self, watched: Watched, root: Path, made: Path) -> None:
        self.install(root, made, "1.1", 0, 1)
        (root / "usr/bin/trial0").chmod(0o4755)
        (root / "usr/bin/trial1").chmod(0o777)
        watched.update()
        found = loud(watched.told())
        assert found == {"/usr/bin/trial0": "critical", "/usr/bin/trial1": "high"}

    def test_what_a_package_says_now_is_told_with_a_finding(self, root: Path) -> None:
        place = os.fsencode(root)
        whole = evidence(place, b"/usr/bin/trial0")
        assert whole["owner"].partition(".")[0] == "trial0", "rpm adds the architecture"
        assert (whole["departs"], whole["problem"]) == ([], "")
        assert whole["level"] == self.level
        (root / "usr/bin/trial0").write_text("patched\n")
        assert "content" in evidence(place, b"/usr/bin/trial0")["departs"]
        assert evidence(place, b"/usr/bin/site-tool")["owner"] is None

    def test_who_exchanges_a_folder_while_it_is_compared_proves_nothing(
        self, watched: Watched, root: Path, made: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.install(root, made, "1.1", 0)
        real, clean = root / "usr/lib/trial0", root / "usr/lib/clean"
        shutil.copytree(real, clean)
        (real / "lib.so.1.1").write_bytes(b"EVIL")
        watched.update()
        drifts = [found[0] for change in watched.provenance.held if (found := drift_of(change))]
        host = image(os.fsencode(root))
        packages = packages_of(host)
        compare = packages.verify

        def verify(*args: Any) -> Iterator[Any]:
            """Its name and times are as they were when that is over."""
            _exchange(real, clean)
            yield from list(compare(*args))
            _exchange(real, clean)

        monkeypatch.setattr(packages, "verify", verify)
        since, keys = time.time() - 900, watched.provenance._keys.believed
        question = Question(os.fsencode(root), since, asked(drifts), watched.place, keys)
        bench = Bench(survey(host, packages, question))
        judged = {drift.subject.label: bench.judge(drift) for drift in drifts}
        assert judged[b"/usr/lib/trial0/lib.so.1.1"].apart is Apart.AGAIN
        assert judged[b"/usr/bin/trial0"].deed is not None

    def test_a_packaged_file_without_its_transaction_is_told_at_once_and_alone(
        self, watched: Watched, root: Path
    ) -> None:
        with open(root / "usr/bin/trial3", "a") as file:
            file.write("x")
        watched.update()
        assert loud(watched.told()) == {"/usr/bin/trial3": "high"}

    def test_a_database_of_garbage_explains_nothing(self, watched: Watched, root: Path, made: Path) -> None:
        self.install(root, made, "1.1", *range(COUNT))
        for path in (root / "var/lib/dpkg/status", *(root / packaged.FOLDER).glob("rpmdb.sqlite*")):
            if path.exists():
                path.write_bytes(b"garbage")
        watched.update()
        told = watched.told()
        assert {one["hostguard"]["kind"] for one in told} <= {"group", "file"}
        assert max(one["event"]["severity"] for one in told) == 99
        assert {cause for cause, _ in watched.stories().values()} == {"unexplained"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only what root installs is as packaged: links are root's")
@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
class TestDpkg(Updates):
    manager = "dpkg"
    level = "digest"
    own = 2 * COUNT
    pause = 3.2  # the log counts whole seconds, and a ctime may be two later

    @classmethod
    def make(cls, folder: Path) -> Path:
        root = packaged.host(folder / "root")
        admin = root / "var/lib/dpkg"
        for one in ("info", "updates", "triggers"):
            (admin / one).mkdir(parents=True)
        for one in ("status", "diversions", "statoverride"):
            (admin / one).touch()
        cls.put(root, folder, "1.0", *range(COUNT))
        return folder

    @staticmethod
    def put(root: Path, shelf: Path, version: str, *numbers: int) -> None:
        debs = []
        for number in numbers:
            one, deb = name(number), shelf / f"{name(number)}_{version}.deb"
            if not deb.exists():
                packaged.deb(
                    shelf,
                    one,
                    content(one, version),
                    f"/etc/{one}.conf\n/etc/cron.d/{one}\n",
                    version=version,
                )
            debs.append(deb)
        packaged.dpkg(root, "--install", *debs)

    def install(self, root: Path, shelf: Path, version: str, *numbers: int) -> None:
        self.put(root, shelf, version, *numbers)

    def remove(self, root: Path, number: int) -> None:
        packaged.dpkg(root, "--purge", name(number))

    def forge(self, root: Path, path: str, package: str) -> None:
        sums = root / f"var/lib/dpkg/info/{package}.md5sums"
        digest = hashlib.md5((root / path).read_bytes(), usedforsecurity=False).hexdigest()
        lines = [
            f"{digest}  {path}" if line.endswith(f" {path}") else line
            for line in sums.read_text().splitlines()
        ]
        sums.write_text("\n".join(lines) + "\n")

    def forgery_told(self, told: list[dict[str, Any]]) -> bool:
        return loud(told).get("/var/lib/dpkg/info/trial2.md5sums") == "high"

    def test_a_link_that_leads_to_no_package_is_loud(
        self, watched: Watched, root: Path, tmp_path: Path
    ) -> None:
        tree = {"usr/lib/linked/lib.so.1": (0o644, b"\x7fELF")}
        deb = tmp_path / "linked-1"
        packaged.lay(deb, tree)
        (deb / "usr/lib/linked/lib.so").symlink_to("lib.so.1")
        (deb / "usr/lib/linked/other.so").symlink_to("/srv/lib.so.1")
        made = packaged.deb(tmp_path, "linked", tree, version="1")
        packaged.install(root, made)
        watched.update()
        told = watched.told()
        assert loud(told) == {"/usr/lib/linked/other.so": "high"}

    def test_a_link_that_leads_to_a_package_in_its_words_alone_is_loud(
        self, watched: Watched, root: Path, tmp_path: Path
    ) -> None:
        tree = {"usr/lib/linked/lib.so.1": (0o644, b"\x7fELF")}
        deb = tmp_path / "linked-1"
        packaged.lay(deb, tree)
        (deb / "usr/lib/linked/lib.so").symlink_to("/tmp/any/../../usr/lib/linked/lib.so.1")
        (deb / "usr/lib/linked/up.so").symlink_to("../linked/lib.so.1")
        packaged.install(root, packaged.deb(tmp_path, "linked", tree, version="1"))
        watched.update()
        assert loud(watched.told()) == {"/usr/lib/linked/lib.so": "high"}, "/tmp/any may be a link itself"

    def test_what_was_put_aside_does_not_vouch_for_what_came_in_its_place(
        self, watched: Watched, root: Path, made: Path
    ) -> None:
        self.install(root, made, "1.1", 1)
        tool, aside = root / "usr/bin/trial1", "/usr/bin/trial1.distrib"
        tool.rename(f"{root}{aside}")
        (root / "var/lib/dpkg/diversions").write_text(
            f"/usr/bin/trial1\n{aside}\n:\n/usr/share/trial1/3\n/usr/bin/trial1\n:\n"
        )
        tool.write_text("planted\n")
        tool.chmod(0o755)
        watched.update()
        assert loud(watched.told())["/usr/bin/trial1"] == "high"

    def test_a_diversion_of_settings_vouches_for_nothing_that_differs(
        self, watched: Watched, root: Path, made: Path
    ) -> None:
        """Not even as settings of an administrator's: he leads the package's own out of the way of his."""
        self.install(root, made, "1.1", 1)
        (root / "var/lib/dpkg/diversions").write_text("/etc/trial1.conf\n/etc/cron.d/planted\n:\n")
        (root / "etc/cron.d/planted").write_text("* * * * * root /tmp/evil\n")
        (root / "etc/trial1.conf").write_text("mine\n")
        watched.update()
        assert "/etc/cron.d/planted" in loud(watched.told())

    def test_settings_that_were_left_are_purged_quietly(
        self, watched: Watched, root: Path, made: Path
    ) -> None:
        packaged.dpkg(root, "--remove", name(1))
        watched.update()
        quiet(watched.told())
        time.sleep(1.1)
        packaged.dpkg(root, "--purge", name(1))
        (root / "etc/cron.d/trial2").unlink()
        watched.update()
        told = watched.told()
        assert loud(told).keys() == {"/etc/cron.d/trial2"}
        (one,) = (one for one in told if one["hostguard"]["kind"] == "transaction")
        assert {"/etc/cron.d/trial1", "/etc/trial1.conf"} <= paths(one)

    def test_who_brings_a_zone_of_his_own_along_is_as_quiet(
        self, watched: Watched, root: Path, made: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """dpkg's log does not say in which zone it is."""
        watched.managers.working = AtWork("dpkg", 1, b"/usr/bin/dpkg", None)
        (root / "usr/share/trial4/0").write_text("patched\n")
        watched.look()
        monkeypatch.setenv("TZ", "Asia/Kathmandu")
        self.install(root, made, "1.1", *range(3))
        monkeypatch.delenv("TZ")
        watched.update()
        watched.pass_time(3)
        watched.managers.working = None
        told = watched.told()
        assert loud(told) == {"/usr/share/trial4/0": "high"}
        (one,) = (one for one in told if one["hostguard"]["kind"] == "transaction")
        transaction = one["hostguard"]["transaction"]
        assert transaction["package_count"] == 3
        assert abs(datetime.fromisoformat(transaction["began"]).timestamp() - time.time()) < 60

    def test_what_is_installed_is_not_written_down_by_hand(
        self, watched: Watched, root: Path, made: Path
    ) -> None:
        self.install(root, made, "1.1", 0)
        watched.update()
        assert "/var/lib/dpkg/status" in paths(quiet(watched.told()))
        time.sleep(3.2)
        status = root / "var/lib/dpkg/status"
        status.write_text(status.read_text().replace("install ok installed", "hold ok installed"))
        watched.update()
        (one,) = watched.told()
        assert (one["file"]["path"], one["hostguard"]["severity"]) == ("/var/lib/dpkg/status", "medium")
        assert "no package came or went" in one["message"]

    def test_what_a_trigger_does_long_afterwards_is_still_its_run(
        self, watched: Watched, root: Path, tmp_path: Path
    ) -> None:
        packaged.install(root, packaged.deb(
            tmp_path, "slow", {"usr/share/slow/1": (0o644, b"1")},
            scripts={"triggers": "interest /usr/share/trial9\n",
                     "postinst": "#!/bin/sh\n[ \"$1\" != triggered ] || sleep 4\n"},
        ))  # fmt: skip
        watched.update()
        quiet(watched.told())
        time.sleep(1.1)
        deb = packaged.deb(tmp_path, "pulls", {"usr/share/trial9/1": (0o644, b"1")})
        watched.update(lambda: packaged.install(root, deb))
        assert "/var/lib/dpkg/status" in paths(quiet(watched.told()))

    def test_what_follows_from_packages_alone_is_one_alert(
        self, watched: Watched, root: Path, tmp_path: Path
    ) -> None:
        """Links that its script makes, and the linker's cache; and links like these that lead elsewhere."""
        unit = b"[Service]\n[Install]\nWantedBy=multi-user.target\nAlias=other.service\n"
        library = next(Path("/usr/lib").glob("*-linux-gnu*/libresolv.so.2")).read_bytes()
        system = "$DPKG_ROOT/etc/systemd/system"
        script = f"""#!/bin/sh
set -e
mkdir -p {system}/multi-user.target.wants {system}/sysinit.target.wants
for at in multi-user.target.wants/linked.service sysinit.target.wants/linked.service other.service; do
    ln -sf /lib/systemd/system/linked.service {system}/$at
done
ln -sf /etc/systemd/system/evil.service {system}/multi-user.target.wants/evil.service
ln -sf /usr/lib/systemd/system/old.service {system}/multi-user.target.wants/old.service
update-alternatives --root $DPKG_ROOT --install /usr/bin/pick pick /usr/bin/linked 10
ln -sf /usr/bin/site-tool $DPKG_ROOT/etc/alternatives/evil
mkdir -p $DPKG_ROOT/etc/rc2.d $DPKG_ROOT/etc/ssl/certs
ln -s ../init.d/linked $DPKG_ROOT/etc/rc2.d/S01linked
ln -s ../init.d/linked $DPKG_ROOT/etc/rc2.d/S01evil
ln -s /usr/share/ca-certificates/a.crt $DPKG_ROOT/etc/ssl/certs/a.pem
ln -s a.pem $DPKG_ROOT/etc/ssl/certs/01234567.0
ln -s /usr/share/ca-certificates/evil.crt $DPKG_ROOT/etc/ssl/certs/evil.pem
ln -s evil.pem $DPKG_ROOT/etc/ssl/certs/89abcdef.0
ldconfig -r $DPKG_ROOT
"""
        old = packaged.deb(tmp_path, "old", {"usr/lib/systemd/system/old.service": (0o644, unit)})
        packaged.install(root, old)
        watched.update()
        quiet(watched.told())
        time.sleep(NEXT_RUN + 2.2)
        tree = {
            "usr/bin/linked": (0o755, b"#!/bin/sh\n"),
            "lib/systemd/system/linked.service": (0o644, unit),
            "usr/lib/libresolv.so.2": (0o644, library),
            "usr/share/ca-certificates/a.crt": (0o644, b"certificate"),
            "etc/init.d/linked": (0o755, b"#!/bin/sh\n"),
        }
        deb = packaged.deb(tmp_path, "linked", tree, scripts={"postinst": script})
        watched.update(lambda: packaged.install(root, deb))
        told = watched.told()
        (group,) = (
            one for one in told if one["message"].startswith("Led to packages, and no package vouches")
        )
        assert {one["key"] for one in group["hostguard"]["members"]} == {
            "/etc/systemd/system/multi-user.target.wants/linked.service", "/etc/systemd/system/other.service",
            "/etc/alternatives/pick", "/usr/bin/pick", "/etc/ld.so.cache", "/etc/rc2.d/S01linked",
            "/etc/ssl/certs/a.pem", "/etc/ssl/certs/01234567.0",
        }  # fmt: skip
        assert group["hostguard"]["severity"] in ("high", "critical")
        others = json.dumps(
            [one for one in told if one is not group and one["hostguard"]["kind"] != "transaction"]
        )
        for path in (
            "/etc/systemd/system/multi-user.target.wants/evil.service",
            "/etc/systemd/system/multi-user.target.wants/old.service",
            "/etc/systemd/system/sysinit.target.wants/linked.service", "/etc/alternatives/evil",
            "/etc/rc2.d/S01evil", "/etc/ssl/certs/evil.pem", "/etc/ssl/certs/89abcdef.0",
        ):  # fmt: skip
            assert f'"{path}"' in others, path
        assert {"unexplained"} == {watched.stories()[one["key"]][0] for one in group["hostguard"]["members"]}

    def test_nothing_follows_from_settings_that_anybody_may_have_written(
        self, watched: Watched, root: Path, made: Path
    ) -> None:
        self.install(root, made, "1.1", 1)
        (root / "etc/trial1.conf").write_bytes(b"\x7fELF evil")
        (root / "etc/ld.so.cache").write_bytes(cache(b"/etc/trial1.conf"))
        (root / "var/lib/dpkg/alternatives").mkdir()
        (root / "var/lib/dpkg/alternatives/pick").write_text(
            "auto\n/usr/bin/pick\n\n/etc/trial1.conf\n10\n\n"
        )
        (root / "etc/alternatives").mkdir()
        (root / "etc/alternatives/pick").symlink_to("/etc/trial1.conf")
        (root / "usr/bin/pick").symlink_to("/etc/alternatives/pick")
        watched.update()
        told = json.dumps(watched.told())
        assert "it names packaged libraries only" not in told
        assert "it is an alternative" not in told
        assert "Led to packages" not in told

    def test_a_shell_for_all_that_is_called_like_a_draft_is_told_though_it_is_gone(
        self, watched: Watched, root: Path, made: Path
    ) -> None:
        watched.managers.working = AtWork("dpkg", 1, b"/usr/bin/dpkg", None)
        self.install(root, made, "1.1", 1)
        shell = root / "usr/bin/trial1.dpkg-tmp"
        shell.write_text("#!/bin/sh\n")
        shell.chmod(0o4755)
        watched.look()
        shell.unlink()
        watched.look()
        watched.managers.working = None
        watched.update()
        assert "/usr/bin/trial1.dpkg-tmp" in json.dumps(
            [one for one in watched.told() if one["hostguard"]["kind"] != "transaction"]
        )

    def test_a_package_that_was_struck_off_the_list_was_not_removed(
        self, watched: Watched, root: Path, made: Path
    ) -> None:
        status = root / "var/lib/dpkg/status"
        kept = [one for one in status.read_bytes().split(b"\n\n") if b"Package: trial1\n" not in one]
        status.write_bytes(b"\n\n".join(kept))
        for path in (root / "var/lib/dpkg/info").glob("trial1.*"):
            path.unlink()
        (root / "usr/bin/trial1").unlink()
        (root / "var/log/dpkg.log").write_bytes(b"")  # rotated long ago
        watched.update()
        assert "/usr/bin/trial1" in loud(watched.told())

    def test_settings_that_lead_to_nothing_are_loud(self, watched: Watched, root: Path, made: Path) -> None:
        self.install(root, made, "1.1", 1)
        settings = root / "etc/cron.d/trial1"
        settings.unlink()
        settings.symlink_to("/dev/null")
        watched.update()
        assert "/etc/cron.d/trial1" in loud(watched.told())

    def test_one_that_was_broken_off_explains_none_of_its_files(
        self, watched: Watched, root: Path, made: Path
    ) -> None:
        self.install(root, made, "1.1", 0, 1)
        status = root / "var/lib/dpkg/status"
        before, mark, after = status.read_bytes().partition(b"Package: trial1\nStatus: install ok installed")
        status.write_bytes(before + mark.replace(b"ok installed", b"ok half-installed") + after)
        watched.update()
        told = watched.told()
        transaction = next(one for one in told if one["hostguard"]["kind"] == "transaction")
        assert "/usr/bin/trial0" in paths(transaction)
        assert "/usr/bin/trial1" not in paths(transaction)
        assert "/usr/bin/trial1" in loud(told)

    def test_lines_of_the_log_that_anybody_wrote_explain_nothing_that_does_not_match(
        self, watched: Watched, root: Path
    ) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S").encode()
        with open(root / "var/log/dpkg.log", "ab") as log:
            log.write(now + b" upgrade trial3:all 1.0 1.0\n" + now + b" status installed trial3:all 1.0\n")
            log.write(b"9999-99-99 99:99:99 upgrade \xff\x1b[2J:all 1 2\n" + os.urandom(5000) + b"\n" * 50)
            log.write(now + b" install \xe2\x80\xae\x1b]0;x <none> 1\n" + now + b" upgrade " + b"x" * 90_000)
        with open(root / "usr/bin/trial3", "a") as file:
            file.write("patched\n")
        watched.update()
        told = watched.told()
        assert loud(told) == {"/usr/bin/trial3": "high"}
        assert "it is not what trial3 1.0 brings: content" in told[0]["message"]


@pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("rpmbuild", "rpmsign", "gpg", "rpm")),
    reason="rpmbuild, rpmsign, gpg or rpm is not installed",
)
@pytest.mark.skipif(not rights.ROOT, reason="needs root, as rpm changes its root to install there")
class TestRpm(Updates):
    manager = "rpm"
    level = "signed"
    own = 0

    @classmethod
    def make(cls, folder: Path) -> Path:
        root = packaged.host(folder / "root")
        (root / packaged.FOLDER).mkdir(parents=True)
        packaged.key(folder)
        packaged.run("rpmkeys", "--dbpath", root / packaged.FOLDER, "--import", folder / "key.asc")
        cls.put(root, folder, "1.0", *range(COUNT))
        return folder

    @staticmethod
    def put(root: Path, shelf: Path, version: str, *numbers: int) -> None:
        rpms = []
        for number in numbers:
            one = name(number)
            made = shelf / f"build/RPMS/noarch/{one}-{version}-1.noarch.rpm"
            if not made.exists():
                tree = shelf / f"{one}-{version}"
                packaged.lay(tree, content(one, version))
                lines = (
                    f"%config(noreplace) /{path}" if path.startswith("etc/") else f"/{path}"
                    for path in content(one, version)
                )
                packaged.rpm(
                    shelf,
                    one,
                    tree,
                    "\n".join((*lines, f"%dir /usr/lib/{one}", f"%dir /usr/share/{one}")),
                    version,
                )
                packaged.sign(shelf, made)
            rpms.append(made)
        packaged.put(root, *rpms)

    def install(self, root: Path, shelf: Path, version: str, *numbers: int) -> None:
        time.sleep(1.1)  # the time of installation counts whole seconds
        self.put(root, shelf, version, *numbers)

    def remove(self, root: Path, number: int) -> None:
        packaged.run(
            "rpm", "--force-debian", "--root", root, "--dbpath", f"/{packaged.FOLDER}", "-e", name(number)
        )

    def forge(self, root: Path, path: str, package: str) -> None:
        """In the header's blob, where SQLite keeps it."""
        digest = hashlib.sha256((root / path).read_bytes()).hexdigest().encode()
        before = hashlib.sha256(content(package, "1.1")[path][1]).hexdigest().encode()
        packaged.run(
            "rpm", "--dbpath", root / packaged.FOLDER, "--force-debian", "-q", "gpg-pubkey"
        )  # folds the log of the database into it
        found = 0
        for file in (root / packaged.FOLDER).glob("rpmdb.sqlite*"):
            data = file.read_bytes()
            found += data.count(before)
            file.write_bytes(data.replace(before, digest))
        assert found

    def forgery_told(self, told: list[dict[str, Any]]) -> bool:
        return any(one.get("rule", {}).get("name") == "package.forged" for one in told)

    def test_a_key_that_was_not_believed_before_is_loud_and_vouches_for_nothing_yet(
        self, watched: Watched, root: Path, made: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        other.mkdir()
        packaged.key(other)
        packaged.run("rpmkeys", "--dbpath", root / packaged.FOLDER, "--import", other / "key.asc")
        watched.update(lambda: self.install(root, made, "1.1", 0))
        told = watched.told()
        (one,) = (one for one in told if one["hostguard"]["kind"] == "transaction")
        assert one["hostguard"]["transaction"]["level"] == "digest"
        (key,) = (one for one in told if one.get("rule", {}).get("name") == "package.key-added")
        assert key["hostguard"]["severity"] == "high"
        watched.update(lambda: self.install(root, made, "1.2", 1))
        assert quiet(watched.told())["hostguard"]["transaction"]["level"] == "signed"

    def test_an_older_version_is_told_as_one(self, watched: Watched, root: Path, made: Path) -> None:
        watched.update(lambda: self.install(root, made, "0.9", 0))
        one = quiet(watched.told())
        (deed,) = one["hostguard"]["transaction"]["packages"]
        assert (deed["action"], deed["from"][:3], deed["to"][:3]) == ("downgrade", "1.0", "0.9")
        assert "rpm downgraded 1 package (trial0" in one["message"]

    def test_rights_that_the_package_does_not_have_verified_are_nobodys_word(
        self, watched: Watched, root: Path, tmp_path: Path, made: Path
    ) -> None:
        """As SUSE packages its set-id programs."""
        tree = tmp_path / "lax-tree"
        packaged.lay(tree, {"usr/bin/lax": (0o755, b"#!/bin/sh\n"), "usr/bin/given": (0o755, b"#!/bin/sh\n")})
        for name in ("somewhere", "later"):
            (tree / f"usr/bin/{name}").symlink_to("lax")
        shutil.copytree(made / "gpg", tmp_path / "gpg")
        one = packaged.rpm(
            tmp_path, "lax", tree,
            "%verify(not mode) /usr/bin/lax\n%verify(not caps) /usr/bin/given\n"
            "%verify(not link) /usr/bin/somewhere\n%ghost /usr/bin/later\n",
        )  # fmt: skip
        packaged.sign(tmp_path, one)
        packaged.put(root, one)
        (root / "usr/bin/lax").chmod(0o4755)
        os.setxattr(root / "usr/bin/given", "security.capability", CAP_SYS_ADMIN)
        for name in ("somewhere", "later"):
            (root / f"usr/bin/{name}").unlink(missing_ok=True)
            (root / f"usr/bin/{name}").symlink_to("/tmp/evil")
        watched.update()
        watched.told()
        assert {path for path, (cause, _) in watched.stories().items() if cause != "package"} == {
            "/usr/bin/lax", "/usr/bin/given", "/usr/bin/somewhere", "/usr/bin/later",
        }  # fmt: skip
