"""Small hosts of real packages, made by dpkg-deb and rpmbuild, installed by dpkg and rpm."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from hostguardd.host.bundle import image
from hostguardd.model import Blind
from hostguardd.packages.interface import Departure, PackageHost
from hostguardd.packages.make import packages_of

FILES = {
    "usr/bin/tool": (0o755, b"#!/bin/sh\necho tool\n"),
    "usr/lib/x86_64-linux-gnu/libtool.so.1": (0o644, b"\x7fELF library"),
    "usr/lib/systemd/system/tool.service": (0o644, b"[Service]\nExecStart=/usr/bin/tool\n"),
    "usr/share/tool/data": (0o644, b"data\n"),
    "usr/share/doc/tool/README": (0o644, b"read me\n"),
    "usr/share/tool/it's \xe9 \xff odd".encode("latin-1").decode("utf-8", "surrogateescape"): (
        0o644,
        b"odd\n",
    ),
    "etc/tool.conf": (0o644, b"a = 1\n"),
}
"""What the package `tool` brings."""


def run(*command: str | bytes | Path, env: dict[str, str] | None = None) -> bytes:
    """The standard output of a command that must succeed."""
    ran = subprocess.run(command, capture_output=True, check=False, env={**os.environ, **(env or {})})
    assert ran.returncode == 0, (command, ran.stderr)
    return ran.stdout


def lay(folder: Path, files: dict[str, tuple[int, bytes]]) -> None:
    """Write files below a folder, whatever the umask."""
    for name, (mode, data) in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


def host(folder: Path) -> Path:
    """A root as /usr-merged hosts have it, without a package."""
    for name in ("usr/bin", "usr/sbin", "usr/lib", "etc", "var/log"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib"):
        (folder / name).symlink_to(f"usr/{name}")
    (folder / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
    )
    (folder / "etc/group").write_text("root:x:0:\nalice:x:1000:\n")
    return folder


def deb(
    folder: Path,
    name: str,
    files: dict[str, tuple[int, bytes]],
    conffiles: str = "",
    sums: bool = True,
    version: str = "1.0-1",
    scripts: dict[str, str] | None = None,
) -> Path:
    """A Debian package. `scripts` are files that dpkg keeps of it."""
    tree = folder / f"{name}-{version}"
    lay(tree, files)
    control = tree / "DEBIAN"
    control.mkdir(mode=0o755)
    (control / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\n"
        "Installed-Size: 8\nDescription: test\n"
    )
    for script, text in (scripts or {}).items():
        (control / script).write_text(text)
        (control / script).chmod(0o755 if text.startswith("#!") else 0o644)
    if conffiles:
        (control / "conffiles").write_text(conffiles)
    if sums:
        told = [
            _sum(path, tree)
            for path in sorted(tree.rglob("*"))
            if path.is_file()
            and not path.is_symlink()
            and control not in path.parents
            and f"/{path.relative_to(tree)}\n" not in conffiles
        ]
        (control / "md5sums").write_bytes(b"".join(told))
    made = folder / f"{name}_{version}.deb"
    run("dpkg-deb", "-Zgzip", "-b", tree, made)
    return made


def _sum(path: Path, tree: Path) -> bytes:
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return digest.encode() + b"  " + os.fsencode(path.relative_to(tree)) + b"\n"


def debian(folder: Path) -> Path:
    """A host with the package `tool`, installed by dpkg."""
    root = host(folder / "root")
    admin = root / "var/lib/dpkg"
    for name in ("info", "updates", "triggers"):
        (admin / name).mkdir(parents=True)
    for name in ("status", "diversions", "statoverride"):
        (admin / name).touch()
    install(root, deb(folder, "tool", FILES, "/etc/tool.conf\n"))
    return root


def dpkg(root: Path, *arguments: str | Path) -> None:
    """dpkg, on that root."""
    run(
        "dpkg",
        f"--root={root}",
        "--force-not-root",
        "--force-bad-path",
        "--force-script-chrootless",  # its root has no shell
        "--log",
        root / "var/log/dpkg.log",
        *arguments,
    )


def install(root: Path, package: Path) -> None:
    """Install a Debian package."""
    dpkg(root, "--install", package)


SPEC = """\
Name: {name}
Version: {version}
Release: 1
Summary: test
License: none
BuildArch: noarch
%description
test
%install
mkdir -p %{{buildroot}}
cp -a {tree}/. %{{buildroot}}
%files
%defattr(-,root,root)
{files}
"""


def rpm(folder: Path, name: str, tree: Path, files: str, version: str = "1.0") -> Path:
    """An RPM of a tree. `files` are the lines of %files."""
    spec = folder / f"{name}.spec"
    spec.write_bytes(os.fsencode(SPEC.format(name=name, version=version, tree=tree, files=files)))
    defines = {
        "_topdir": folder / "build",
        "_build_id_links": "none",
        "_invalid_encoding_terminates_build": "0",
        "__os_install_post": "%{nil}",
    }
    options = [part for key, value in defines.items() for part in ("--define", f"{key} {value}")]
    run("rpmbuild", "-bb", *options, spec, env={"HOME": str(folder)})
    (made,) = (folder / "build/RPMS/noarch").glob(f"{name}-{version}-*.rpm")
    return made


FOLDER = "var/lib/rpm"


USER = "hostguardd test <test@example.org>"


def key(folder: Path) -> None:
    """A key of a test's own below a folder, exported to key.asc."""
    home = folder / "gpg"
    home.mkdir(mode=0o700)
    gpg = {"GNUPGHOME": str(home)}
    made = ("--batch", "--quiet", "--passphrase", "", "--quick-gen-key", USER, "rsa2048", "sign", "never")
    run("gpg", *made, env=gpg)
    (folder / "key.asc").write_bytes(run("gpg", "--armor", "--export", env=gpg))
    run("gpgconf", "--kill", "all", env=gpg)


def exchange_key(root: Path, scratch: Path, other: Path) -> None:
    """Put the key of the folder `other` in the place, and under the name, of the one that a root believes."""
    scratch.mkdir()
    run("rpmkeys", "--dbpath", scratch, "--import", other / "key.asc")
    ask = ("-q", "gpg-pubkey", "--qf", "%{VERSION} %{RELEASE}")
    places = (scratch, root / FOLDER)
    new, old = (run("rpm", "--dbpath", place, "--force-debian", *ask).split() for place in places)
    with closing(sqlite3.connect(scratch / "rpmdb.sqlite")) as database:
        ((blob,),) = database.execute("SELECT blob FROM Packages").fetchall()
    for one, another in zip(new, old, strict=True):
        blob = blob.replace(one, another)
    ours = ("rpm", "--dbpath", root / FOLDER)
    number = int(run(*ours, "-q", "gpg-pubkey", "--qf", "%{DBINSTANCE}"))
    with closing(sqlite3.connect(root / FOLDER / "rpmdb.sqlite")) as database:
        for _ in range(2):  # rpm itself says which digests the header is to have
            database.execute("UPDATE Packages SET blob = ? WHERE hnum = ?", (blob, number))
            database.commit()
            ran = subprocess.run((*ours, "-qa", "-vv"), capture_output=True, check=True)
            for wanted, found in re.findall(rb"Expected ([0-9a-f]+) != ([0-9a-f]+)", ran.stderr):
                blob = blob.replace(wanted, found)


def sign(folder: Path, *packages: Path) -> None:
    """Sign RPMs with the key of a folder."""
    gpg = {"GNUPGHOME": str(folder / "gpg")}
    defines = ("--define", f"__gpg {shutil.which('gpg')}", "--define", f"_gpg_name {USER}")
    run("rpmsign", *defines, "--addsign", *packages, env=gpg)
    run("gpgconf", "--kill", "all", env=gpg)


def redhat(folder: Path) -> Path:
    """A host with the signed package `tool`, the key of who signed it, and `plain`, which nobody signed."""
    root = host(folder / "root")
    (root / FOLDER).mkdir(parents=True)
    tree = folder / "tree"
    lay(tree, FILES)
    (tree / "usr/bin/tool-link").symlink_to("tool")
    names = "".join(
        f'"/{name}"\n' if name.startswith("usr/share/tool/it") else f"/{name}\n"
        for name in FILES
        if name not in ("etc/tool.conf", "usr/bin/tool", "usr/share/doc/tool/README")
    )
    files = (
        names + "%attr(0755,root,root) %caps(cap_net_raw=ep) /usr/bin/tool\n/usr/bin/tool-link\n"
        "%config(noreplace) /etc/tool.conf\n%doc /usr/share/doc/tool/README\n"
        "%ghost %attr(0600,root,root) /var/log/tool.log\n%ghost %attr(0755,root,root) /usr/bin/ghost\n"
        "%verify(not size filedigest mtime) /usr/share/tool/cache\n"
    )
    (tree / "usr/share/tool/cache").write_text("cache")
    (tree / "var/log").mkdir(parents=True)
    (tree / "var/log/tool.log").touch()
    (tree / "usr/bin/ghost").touch(0o755)
    signed = rpm(folder, "tool", tree, files)
    plain = folder / "plain-tree"
    lay(plain, {"usr/bin/plain": (0o755, b"#!/bin/sh\n")})
    key(folder)
    sign(folder, signed)
    run("rpmkeys", "--dbpath", root / FOLDER, "--import", folder / "key.asc")
    for package in (signed, rpm(folder, "plain", plain, "/usr/bin/plain\n")):
        put(root, package)
    return root


def put(root: Path, *packages: Path, replace: bool = False) -> None:
    """Install RPMs, of whichever version; `replace`: also over what other ones brought."""
    options = ["--oldpackage"]
    options += ["--force-debian"] if os.path.exists("/etc/debian_version") else []
    options += ["--replacefiles"] if replace else []
    run("rpm", *options, "--root", root, "--dbpath", f"/{FOLDER}", "--nodeps", "-U", *packages)


def copied(root: Path, to: Path) -> Path:
    """A host of one's own to spoil."""
    run("cp", "-a", root, to)
    return to


def manager(root: Path) -> PackageHost:
    """The package manager of a root."""
    return packages_of(image(os.fsencode(root)))


def departures(packages: PackageHost, only: list[bytes] | None = None) -> dict[bytes, Departure]:
    """What departs, by path; no blindness is allowed."""
    found = list(packages.verify(lambda: False, only))
    blind = [one for one in found if isinstance(one, Blind)]
    assert not blind
    return {one.path: one for one in found if isinstance(one, Departure)}
