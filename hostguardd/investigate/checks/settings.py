"""The settings that run something, entry by entry: which file and line, as whom, when, and what.

The guide tells an administrator to read these files for entries they do not know. An entry is fine when its
file and its program are as packages brought them; it is told when nobody brought it, and louder when what
it does is what intruders do (`deeds`). The texts of the table below are read with their own programs'
eyes (`entries`).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from ...attributes import moment
from ...globs import quoted
from ...host.globbing import glob_paths
from ...host.mounts import MountMap
from ...model import join
from ...words.interface import counted
from ..files import sudo
from ..files.belongs import Belongs, belongs, odd_place
from ..files.deeds import LONGEST, code, deeds, program
from ..files.entries import MOST, Entry, crontab, script
from ..files.kinds import (
    AT_LOGIN,
    CRON_OF_ACCOUNT,
    HOMES,
    KINDS,
    LOGIN_OF_ACCOUNT,
    MADE_BY_SCRIPTS,
    OF_ACCOUNT,
    SPOOLS,
    Kind,
)
from ..files.lines import Option, cut
from ..files.options import LOOKS, WHOLE
from ..files.running import LARGEST
from ..files.searchpath import searched
from ..files.standing import standing as known
from ..files.sudoers import sudoers
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Unseen, Verdict, text
from ..logs.redact import redact
from ..scene import SUDO, Scene
from .folders import entry_of

MOST_FILES: Final = 5000
MOST_BYTES: Final = 32 * 1024**2
"""Of all files: the system's own come first, and homes last."""

MOST_HOMES: Final = 2000

MEANS: Final = (
    "What a setting runs comes back after every reboot and every login: intruders plant it to stay."
)
NEXT: Final = (
    "Copy the file and what it runs away as evidence. Ask who wrote the entry and when; if nobody did, "
    "take it "
    "out before the next start, and look for what it did (its account's processes, connections and files)."
)
NEXT_UNKNOWN: Final = (
    "Ask the administrators whether one of them wrote it. If so, hostguardctl baseline makes it known; "
    "if not, "
    "keep a copy as evidence before removing it."
)


class File(NamedTuple):
    """One file of settings as it was read."""

    path: bytes
    kind: Kind
    data: bytes
    mode: int
    uid: int
    mtime: float
    ctime: float
    owner: bytes = b""
    """The account whose table it is."""

    def entries(self) -> Iterable[Entry]:
        """What it runs."""
        return crontab(self.data, self.owner) if self.kind is CRON_OF_ACCOUNT else self.kind.read(self.data)


def look(scene: Scene) -> Iterator[Found]:
    """Every entry, and options of other settings that open a door."""
    unseen: list[Unseen] = []
    files = read(scene, unseen)
    entries = [(file, list(file.entries())) for file in files]
    programs = {program(one.command) for file, found in entries if not file.kind.scripts for one in found} - {
        b""
    }
    doors = list(options(scene, unseen))
    owned = belongs(scene, {file.path for file in files} | {file.path for file, _ in doors} | programs)
    for file, found in entries:
        worst, standing = Verdict.FINE, known(scene, file.path)
        items = (
            [whole(scene, file, found, owned[file.path], standing)]
            if file.kind.scripts
            else [one_entry(scene, file, entry, owned, standing) for entry in found if entry.command]
        )
        for item in items:
            worst = max(worst, item.verdict)
            yield item
        if file.ctime >= scene.since and not owned[file.path].as_brought:
            yield Moment(
                file.ctime, "file", f"{text(file.path)} ({file.kind.what}) was made or changed",
                f"ctime of {text(file.path)}", Confidence.LIKELY, worst, scene.user(file.uid),
                known=standing,
            )  # fmt: skip
    for file, opened in doors:
        for option in opened:
            yield of_option(scene, file, option, owned[file.path])
    yield from unseen


# -- reading ----------------------------------------------------------------------------------------


def read(scene: Scene, unseen: list[Unseen]) -> list[File]:
    """All files of settings that run something, each once."""
    found: dict[bytes, File] = {}
    size = 0
    for path, kind, owner in places(scene, unseen):
        if scene.stop() or len(found) >= MOST_FILES or size > MOST_BYTES:
            reason = f"{counted(len(found), 'file')} of {size:,} bytes were looked at, and there are more"
            unseen.append(Unseen("settings", reason))
            break
        file = read_one(scene, path, kind, owner, unseen) if path not in found else None
        if file is not None:
            size += len(file.data)
            found.setdefault(file.path, file)
    return list(found.values())


def paths_of(scene: Scene, kind: Kind, unseen: list[Unseen]) -> Iterator[bytes]:
    """The paths of a kind that there are."""
    mounts = MountMap(scene.host.files.mounts)

    def closed(folder: bytes, error: OSError) -> None:
        reason = f"cannot be listed: {error.strerror or error}"
        unseen.append(Unseen(text(folder), reason, "" if scene.is_root else SUDO))

    for pattern in kind.globs:
        yield from glob_paths(scene.host.files, pattern, lambda path: mounts.away(path) is not None, closed)


def places(scene: Scene, unseen: list[Unseen]) -> Iterator[tuple[bytes, Kind, bytes]]:
    """(path, kind, owner) of what there is."""
    mounts = MountMap(scene.host.files.mounts)
    for kind in KINDS:
        for path in paths_of(scene, kind, unseen):
            yield path, kind, b""
    for spool in SPOOLS:
        names = scene.host.texts.names(spool, 10_000)
        if names is None and scene.host.texts.lstat(spool) is not None:
            unseen.append(Unseen(text(spool), "cannot be listed", "" if scene.is_root else SUDO))
        for name in names or ():
            if not name.startswith((b".", b"tmp.")) and not name.endswith((b".orig", b"~")):
                yield join(spool, name), CRON_OF_ACCOUNT, name
    for user in scene.users[:MOST_HOMES]:
        if user.home.startswith(b"/") and user.home != b"/" and mounts.away(user.home) is None:
            home = user.home.rstrip(b"/")
            for name in HOMES:
                yield home + name, LOGIN_OF_ACCOUNT, user.name
            yield from tables(scene, home, user.name, unseen)


def tables(
    scene: Scene, home: bytes, name: bytes, unseen: list[Unseen]
) -> Iterator[tuple[bytes, Kind, bytes]]:
    """Those of one account."""
    mounts = MountMap(scene.host.files.mounts)
    refused: list[OSError] = []

    def away(path: bytes) -> bool:
        return mounts.away(path) is not None

    def closed(_: bytes, error: OSError) -> None:
        refused.append(error)

    for kind in OF_ACCOUNT:
        for pattern in kind.globs:
            for path in glob_paths(scene.host.files, quoted(home) + pattern, away, closed):
                yield path, kind, name
    if refused:  # for one home once
        reason = f"settings below it cannot be listed: {refused[0].strerror or refused[0]}"
        unseen.append(Unseen(text(home), reason, "" if scene.is_root else SUDO))


def read_one(scene: Scene, path: bytes, kind: Kind, owner: bytes, unseen: list[Unseen]) -> File | None:
    """One file; None when there is none, or it is nothing to read."""
    texts = scene.host.texts
    found = texts.lstat(path)
    if found is None or stat.S_ISDIR(found.st_mode):
        return None
    if stat.S_ISLNK(found.st_mode):
        if texts.link(path) == b"/dev/null":
            return None  # how systemd and udev switch a file of a package off
        try:
            path = scene.host.files.real(path)
        except OSError:
            return None
        target = texts.lstat(path)
        if target is None or not stat.S_ISREG(target.st_mode):
            return None
    elif not stat.S_ISREG(found.st_mode):
        return None
    result = texts.read(path, LARGEST)
    if result.data is None or result.stat is None:
        if result.problem:
            unseen.append(
                Unseen(text(path), f"cannot be read: {result.problem}", "" if scene.is_root else SUDO)
            )
        return None
    seen = result.stat
    short = unread(result.data, seen.st_size)
    if short:
        unseen.append(Unseen(text(path), short))
    return File(path, kind, result.data, seen.st_mode, seen.st_uid, seen.st_mtime, seen.st_ctime, owner)


def unread(data: bytes, size: int) -> str:
    """What of a file is not looked at, as a clause: what is to be overlooked may stand behind a long
    beginning."""
    if size > len(data):
        return f"only the first {len(data)} of its {size} bytes were read"
    if data.count(b"\n") > MOST and len(code(data)) > MOST:
        return f"only its first {MOST} entries were looked at"
    return ""


# -- judging ----------------------------------------------------------------------------------------


def one_entry(
    scene: Scene, file: File, entry: Entry, owned: Mapping[bytes, Belongs], standing: Known
) -> Item:
    """The item of one entry of a table."""
    place = f"{text(file.path)}:{entry.line}"
    runs = program(entry.command)
    source, target = owned[file.path], owned.get(runs, Belongs(None, (), asked=False))
    systems = file.path.startswith((b"/etc/", b"/run/", b"/usr/", b"/lib/"))
    who = text(entry.who or file.owner) or ("root" if systems else scene.user(file.uid))
    verdict, reasons, technique = Verdict.FINE, list[str](), file.kind.technique
    for deed in deeds(entry.command):
        trusted = source.as_brought and deed.verdict < Verdict.SUSPICIOUS
        verdict = max(verdict, Verdict.FINE if trusted else deed.verdict)
        reasons.append(f"it {deed.clause}")
        technique = deed.technique or technique
    for worse, reason in of_program(scene, runs, target):
        verdict = max(verdict, Verdict.FINE if source.as_brought and worse < Verdict.SUSPICIOUS else worse)
        reasons.append(reason)
    worse, reason = of_file(file, source, standing)
    verdict = max(verdict, worse)
    reasons += [reason] if reason else []
    command = redact(entry.command)
    does = "run" if file.kind.what.endswith("'s settings") else "runs"
    says = f"{place}: {file.kind.what} {does} `{text(command, 300)}` as {who}"
    says += f", {entry.when}" if entry.when else ""
    return finished(file, place, says, verdict, reasons, standing, technique, command, {
        "account": who, "when": entry.when, "command": text(command), "program": text(runs),
        "file": source.says, "program_is": target.says if runs else "",
    })  # fmt: skip


def whole(scene: Scene, file: File, lines: list[Entry], source: Belongs, standing: Known) -> Item:
    """The item of a script, with the worst of its lines."""
    place = text(file.path)
    verdict, reasons, technique = Verdict.FINE, list[str](), file.kind.technique
    shown = b""
    user = next((one for one in scene.users if file.owner and one.name == file.owner), None)
    for line in lines if not source.as_brought else ():
        paths = searched(scene, line.command, user) if file.kind.technique == AT_LOGIN else ()
        for deed in (*deeds(line.command), *paths):
            if deed.verdict > verdict:
                verdict, shown, technique = deed.verdict, redact(line.command), deed.technique or technique
                reasons = [f"line {line.line} {deed.clause}: `{text(shown, 200)}`"]
    worse, reason = of_file(file, source, standing)
    if worse > Verdict.FINE and file.kind.technique == AT_LOGIN and (file.owner or in_homes(file.path)):
        worse, reason = Verdict.FINE, ""  # everybody writes their own
    verdict = max(verdict, worse)
    reasons += [reason] if reason else []
    says = f"{place}: {file.kind.what}, {counted(len(lines), 'line')} of code"
    return finished(file, place, says, verdict, reasons, standing, technique, shown, {"file": source.says})


def in_homes(path: bytes) -> bool:
    """Whether it is one of the files of HOMES, in whoever's home."""
    return any(path.endswith(name) for name in HOMES)


def finished(
    file: File, place: str, says: str, verdict: Verdict, reasons: list[str], standing: Known, technique: str,
    shown: bytes, details: dict[str, object],
) -> Item:  # fmt: skip
    """The item of an entry or a script."""
    fine = verdict is Verdict.FINE
    if reasons and not fine:
        says += ": " + "; ".join(reasons)
    details |= {"changed": moment(int(file.ctime * 1e9)), "modified": moment(int(file.mtime * 1e9))}
    return Item(
        place, verdict, says, "" if fine else MEANS,
        "" if fine else NEXT if verdict is Verdict.SUSPICIOUS else NEXT_UNKNOWN,
        standing, "" if fine else technique, details, (Evidence(place, text(shown, 500)),),
    )  # fmt: skip


def of_file(file: File, source: Belongs, standing: Known) -> tuple[Verdict, str]:
    """What is to be said of the file that an entry stands in."""
    if file.mode & 0o002:
        return Verdict.SUSPICIOUS, "anybody may write to this file"
    if source.stray and not MADE_BY_SCRIPTS.fullmatch(file.path):
        told = entry_of(file.path) or (file.kind.own and file.owner != b"root")
        return Verdict.FINE if told else Verdict.NOTABLE, "no package owns this file"
    if source.changed and not (source.owner and source.owner.config):
        return Verdict.NOTABLE, f"this file is {source.says}"
    if standing in (Known.NEW, Known.CHANGED) and not source.as_brought:
        return Verdict.NOTABLE, f"this file is {standing.label} against the approved baseline"
    return Verdict.FINE, ""


def of_program(scene: Scene, path: bytes, target: Belongs) -> Iterator[tuple[Verdict, str]]:
    """What is to be said of the program that an entry runs."""
    if not path:
        return
    name = text(path)
    try:
        found = scene.host.texts.lstat(scene.host.files.real(path))
    except OSError:
        found = None
    if found is None:
        if place := odd_place(scene, path):
            yield Verdict.SUSPICIOUS, f"{name} {place} (it is not there now)"
        return
    if found.st_mode & 0o002 and stat.S_ISREG(found.st_mode):
        yield Verdict.SUSPICIOUS, f"anybody may write to {name}"
    if target.stray and stat.S_ISREG(found.st_mode):
        yield Verdict.NOTABLE, f"no package owns {name}"
    elif "content" in target.changed:
        yield Verdict.SUSPICIOUS, f"{name} is not the program that was packaged"


# -- options of other settings -------------------------------------------------------------------------


def options(scene: Scene, unseen: list[Unseen]) -> Iterator[tuple[File, list[Option]]]:
    """Files that run nothing, and their options that open a door."""
    size = 0
    for one in LOOKS:
        kind = Kind(one.what, one.globs, script, one.technique)
        paths = dict.fromkeys(paths_of(scene, kind, unseen))
        if one.read is sudoers:
            more, closed = sudo.further(scene)
            paths |= dict.fromkeys(more)
            unseen += closed
        for path in paths:
            if scene.stop() or size > MOST_BYTES:
                unseen.append(
                    Unseen("options of settings", f"{size:,} bytes were looked at, and there are more")
                )
                return
            file = read_one(scene, path, kind, b"", unseen)
            size += len(file.data) if file is not None else 0
            if file is not None and one.read not in WHOLE and (length := cut(file.data)):
                reason = f"only the first {LONGEST} bytes of a line of {length} were looked at"
                unseen.append(Unseen(text(path), reason))
            if file is not None and (found := list(one.read(file.data))):
                yield file._replace(data=b""), found


def of_option(scene: Scene, file: File, option: Option, source: Belongs) -> Item:
    """The item of one option."""
    place = f"{text(file.path)}:{option.line}"
    standing = known(scene, file.path) if option.verdict > Verdict.FINE else Known.NOT_ASKED
    verdict = option.verdict
    if verdict is Verdict.NOTABLE and source.as_brought:
        verdict = Verdict.FINE
    fine = verdict is Verdict.FINE
    shown = redact(option.shown)
    return Item(
        place, verdict, f"{place}: `{text(shown, 200)}` {option.clause} ({source.says})",
        "" if fine else option.means or MEANS,
        "" if fine else NEXT if verdict is Verdict.SUSPICIOUS else NEXT_UNKNOWN, standing,
        "" if fine else file.kind.technique, {"file": source.says},
        (Evidence(place, text(shown, 300)),),
    )  # fmt: skip
