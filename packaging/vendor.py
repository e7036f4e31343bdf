"""Puts the packages that requirements.txt pins into one tree, each file checked by its digest.

    vendor.py check REQUIREMENTS FOLDER               is there all that is pinned?
    vendor.py unpack REQUIREMENTS FOLDER TREE ARCH [NAME]    into TREE: all of it, or only NAME

The rules kept here: a file whose digest is not written down is no source; nothing of a package is run
to install it (no setup.py); and the same files always give the same tree. Standard library only, since
it runs in the package's build, where there is nothing else and no network.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

BUILD_ONLY = frozenset({"shtab"})
"""Makes the completions; is not carried along."""

LEFT_OUT = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
"""Of a wheel's metadata: lists for an installer that nobody runs here."""


def pins(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Name (as PEP 503 writes it) -> version, SHA-256 digests."""
    found = {}
    for line in text.replace("\\\n", " ").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==(\S+) ", line):
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            found[name] = (match[2], frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", line)))
    return found


def sources(requirements: Path, folder: Path) -> dict[str, list[Path]]:
    """The files of each pinned package; SystemExit names what is missing."""
    wanted = pins(requirements.read_text(encoding="ascii"))
    there = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in sorted(folder.iterdir())}
    missing = [
        f"{name} {version} ({digest[:12]}…)"
        for name, (version, digests) in wanted.items()
        for digest in sorted(digests)
        if digest not in there
    ]
    if missing:
        raise SystemExit(f"not in {folder}, or with another digest: {', '.join(missing)}")
    return {name: [there[d] for d in sorted(digests)] for name, (_, digests) in wanted.items()}


def of_arch(files: list[Path], arch: str) -> Path:
    """The one file that runs on an architecture: its own, or the one for all."""
    fitting = [f for f in files if f.name.endswith((f"_{arch}.whl", "-any.whl", ".tar.gz"))]
    if len(fitting) != 1:
        raise SystemExit(f"{len(fitting)} files for {arch} among {', '.join(f.name for f in files)}")
    return fitting[0]


def unpack(source: Path, tree: Path) -> None:
    """The packages of a wheel, or of a source archive that holds one as it is (there or in `src`).

    Parts written in C are left out: what they would be compiled to is of one Python, and a package that is
    pinned as sources has to work without.
    """
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            for name in wheel.namelist():
                if not name.endswith("/"):
                    _write(tree, PurePosixPath(name), wheel.read(name))
        return
    with tarfile.open(source) as archive:
        top, version = source.name.removesuffix(".tar.gz").rsplit("-", 1)
        for member in archive:
            path = PurePosixPath(member.name)
            if path.parts[1:2] == ("src",):
                path = PurePosixPath(path.parts[0], *path.parts[2:])
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            if path.parts[1:2] == (top,):
                _write(tree, PurePosixPath(*path.parts[1:]), content.read())
            elif path.parts[1:] in (("PKG-INFO",), ("LICENSE.txt",)):
                name = "METADATA" if path.name == "PKG-INFO" else path.name
                _write(tree, PurePosixPath(f"{top}-{version}.dist-info", name), content.read())


def _write(tree: Path, name: PurePosixPath, content: bytes) -> None:
    """One file, always 0644: nothing in the tree is a program."""
    if name.is_absolute() or ".." in name.parts:
        raise SystemExit(f"{name} would leave the tree")
    if name.name in LEFT_OUT or name.suffix == ".c" or name.parts[0].endswith(".data"):
        return
    target = tree / name
    if not target.parent.exists():
        target.parent.mkdir(parents=True)
    target.write_bytes(content)
    target.chmod(0o644)


def main(argv: list[str]) -> None:
    """As the module says."""
    what, requirements, folder, *rest = argv
    found = sources(Path(requirements), Path(folder))
    if what == "check":
        return
    tree, arch, only = Path(rest[0]), rest[1], rest[2:]
    for name, files in found.items():
        if name in only or (not only and name not in BUILD_ONLY):
            unpack(of_arch(files, arch), tree)
    for cache in tree.rglob("__pycache__"):
        shutil.rmtree(cache)


if __name__ == "__main__":
    main(sys.argv[1:])
