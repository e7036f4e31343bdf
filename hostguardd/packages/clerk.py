"""Asks the package manager about what differs after it was at work: in a process of its own, which ends with
its answer, so that neither the time nor the memory this takes is the daemon's.

The rules kept: what could not be compared is told with its reason and never passes for a match; what is
compared is the very inode that lay there before, so that who asked can tell whether it is what was seen.
"""

from __future__ import annotations

import marshal
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from ..host.bundle import Host, image
from ..host.workers import read_frame, write_frame
from ..model import Blind, join, split
from ..record import escape
from .evidence import Answer, Question, Seen, nothing, same_package
from .expected import ANOTHER
from .following import Follows, following
from .former import Former, write
from .interface import Deed, Departure, Level, Owner, PackageHost, PackageLedger
from .make import packages_of
from .reader import identity
from .rpmversion import is_older
from .zones import FARTHEST, recorded

NICE: Final = 5
MOST_DOUBTS: Final = 100


def work() -> None:
    """The process's whole life: one question, its answer, or (asked for no path) the file of owners anew."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # without a parent there is nobody to complain to
    try:
        os.nice(NICE)
    except OSError:
        pass  # a confined daemon may not, and is bounded by its unit
    frame = read_frame(source)
    if frame is None:
        return
    question = Question(*marshal.loads(frame))
    try:
        host = image(question.root)
        packages = packages_of(host)
        if question.paths:
            answer = survey(host, packages, question)
        else:
            answer = renew(packages, question.before)
    except (OSError, ValueError) as error:
        answer = nothing(f"the package database could not be read: {error}")
    write_frame(target, answer.plain())


def renew(packages: PackageLedger, place: bytes) -> Answer:
    """Write down whose each path is now; the answer has the keys that are believed now."""
    versions = {one.package: one.version for one in packages.installed()}
    if packages.problem or not versions:
        return nothing(packages.problem or "there is no package")
    try:
        keys = packages.keys()
        write(place, packages.paths(), versions)
    except OSError as error:
        return nothing(str(error))
    return Answer(packages.name, packages.problem, (), {}, {}, keys=tuple(sorted(keys)))


def survey(
    host: Host, packages: PackageLedger, question: Question, stop: Callable[[], bool] = lambda: False
) -> Answer:
    """The answer to a question, from `packages` of `host`."""
    former = Former.open(question.before)
    # Where rpm keeps its keys outside its database (rpm 6 can), none is known, and a new one would be told by
    # nobody.
    held = packages.keys()  # once, as rpm is run for it
    known = not question.before or not held.isdisjoint(question.keys or ())
    highest = int(Level.SIGNED if known else Level.DIGEST)
    owners = packages.owners(question.paths)
    if packages.problem:
        return nothing(packages.problem)
    there = {path: host.texts.lstat(path) for path in question.paths}
    words, problems, all_of_it = _compared(packages, owners, there, stop)
    if all_of_it:
        return nothing(all_of_it)
    leads = _leading(host, packages, [path for path, one in owners.items() if not one.config])
    follow = following(host, packages, [path for path in question.paths if path not in owners])
    seen: dict[bytes, Seen] = {}
    for path in question.paths:
        owner, departure, follows = owners.get(path), words.get(path), follow.get(path, Follows(""))
        now = None if problems.get(path, "").endswith(ANOTHER) else there[path]
        seen[path] = Seen(
            package=owner.package if owner else "",
            version=owner.version if owner else "",
            level=min(int(owner.level), highest) if owner else 0,
            config=owner.config if owner else False,
            words=departure.changed if departure else (),
            detail=departure.detail if departure else "",
            problem=problems.get(path, "") or (problems.get(owner.package.encode(), "") if owner else ""),
            inode=now.st_ino if now else 0,
            ctime=now.st_ctime_ns if now else 0,
            former=former.owner(path),
            leads=leads.get(path, follows.leads),
            follows=follows.says,
            of=follows.package,
        )
    deeds = _deeds(packages, question.since, former.versions)
    concerned = {one.package for one in owners.values()}
    written = {name: packages.digests_written(name) for name in concerned}
    doubts = [(one.about, one.says) for one in packages.doubts() if one.grave][:MOST_DOUBTS]
    keys = () if question.keys is None else tuple(sorted(held - set(question.keys)))
    return Answer(packages.name, "", tuple(deeds), seen, written, tuple(doubts), keys)


def _compared(
    packages: PackageHost,
    owners: Mapping[bytes, Owner],
    there: Mapping[bytes, os.stat_result | None],
    stop: Callable[[], bool],
) -> tuple[dict[bytes, Departure], dict[bytes, str], str]:
    """How paths depart; why they (or whole packages, by their name) could not be compared; why nothing could.

    What is told under another name than was asked for (/bin is /usr/bin) is told of all that may be meant.
    """
    words: dict[bytes, Departure] = {}
    problems: dict[bytes, str] = {}
    # What is compared must be what the answer is about: who exchanges a folder for a clean one while we look
    # moves neither the inode nor the ctime of what lies in his.
    meant = {path: identity(found) if (found := there.get(path)) else (0, 0, 0) for path in owners}
    for one in packages.verify(stop, meant):
        if isinstance(one, Departure) and one.diverted:
            if one.path in owners:  # another file was put there, which is compared for itself
                problems.setdefault(one.path, one.detail)
        elif isinstance(one, Departure):
            words[one.path] = one
        elif one.scope == b"*":
            return {}, {}, one.reason
        else:
            problems[_subject(one)] = one.reason
    told = {**{path: one.detail for path, one in words.items()}, **problems}
    others = {split(path)[1]: says for path, says in told.items() if path[:1] == b"/" and path not in owners}
    for path in owners if others else ():
        if path not in words and (says := others.get(split(path)[1])) is not None:
            problems.setdefault(path, f"what was compared bears another name: {says}")
    return words, problems, ""


def _subject(blind: Blind) -> bytes:
    return blind.scope if blind.scope.startswith(b"/") else escape(blind.scope).encode()


def _leading(host: Host, packages: PackageHost, paths: Collection[bytes]) -> dict[bytes, bytes]:
    """The targets of those of `paths` that are links to a packaged path. Where a folder's name and `..`
    cancel out, the folder may be a link itself: such a one leads anywhere."""
    targets: dict[bytes, bytes] = {}
    places: dict[bytes, bytes] = {}
    for path in paths:
        target = host.texts.link(path)
        if target and not _turns_back(target):
            place = target if target.startswith(b"/") else join(split(path)[0], target)
            targets[path], places[path] = target, os.path.normpath(place)
    found = packages.owners(list(set(places.values()))) if places else {}
    return {path: targets[path] for path, place in places.items() if place in found}


def _turns_back(target: bytes) -> bool:
    """Whether `..` comes after a name in the target of a link."""
    parts = [part for part in target.split(b"/") if part != b"."]
    while parts and parts[0] == b"..":
        del parts[0]
    return b".." in parts


def _deeds(packages: PackageLedger, since: float, before: Mapping[str, str]) -> list[Deed]:
    """What its log tells. What no log tells of (rpm without dnf) is known from what is installed now and was
    not `before`, or the other way round."""
    found = []
    worked = packages.worked(since - FARTHEST)  # its log may be in another zone
    for deed in recorded(worked, before) if packages.name == "dpkg" else worked:
        earlier = deed.before or ("" if deed.run else _version(before, deed.package))
        action = deed.action
        if action in ("install", "upgrade") and earlier not in ("", deed.after):
            older = packages.name == "rpm" and deed.after and is_older(deed.after, earlier)
            action = "downgrade" if older else "upgrade"
        found.append(deed._replace(action=action, before=earlier))
    if before and packages.name != "dpkg":  # which writes down all that it does
        now = {one.package for one in packages.installed()}
        end = time.time()  # nobody says when
        told = [deed.package for deed in found]
        for name in before.keys() - now:
            if not any(same_package(one, name) for one in told):
                found.append(Deed(name, "remove", before[name], "", end, end, end))
    return found


def _version(before: Mapping[str, str], package: str) -> str:
    return next((version for name, version in before.items() if same_package(package, name)), "")
