"""What accounts typed, and where that is missing. Read as data, never run; secrets are blanked out.

A history is written by whoever it tells of, who may write anything there or nothing: what is in it is a
reason to ask, what is not in it proves nothing, and its times are the account's own word.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Final

from ...accounts import User
from ...fact import TEMPORARY
from ...facts.logs import WHOLE, LogFact, LoginFact
from ...model import join, split
from ..interface import Confidence, Evidence, Found, Item, Moment, Unseen, Verdict, text, word
from ..logs.commands import LONGEST, Rule, Typed, judge, typed
from ..logs.redact import redact
from ..logs.states import state_of
from ..scene import SUDO, Scene

FILE: Final = 4 * 1024**2
"""Bytes of one history that are read, its end."""

TOGETHER: Final = 64 * 1024**2
SHOWN: Final = 8
"""Lines that are shown of what one account did of one kind, the newest."""

MOMENTS: Final = 2000
JUDGED: Final = 10_000
"""Different commands of which it is remembered what they are: people repeat themselves."""

ACCOUNTS: Final = 5000
SETTINGS: Final = (
    b".bashrc", b".bash_profile", b".bash_login", b".profile", b".bash_logout", b".zshrc", b".zshenv",
    b".kshrc",
)  # fmt: skip
EVERYBODY: Final = (
    b"/etc/profile",
    b"/etc/bashrc",
    b"/etc/bash.bashrc",
    b"/etc/zshrc",
    b"/etc/zsh/zshrc",
    b"/etc/zshenv",
)
NO_SHELL: Final = (b"nologin", b"false", b"sync", b"halt", b"shutdown", b"true", b"git-shell")

MEANS: Final = "It is what intruders do too; only the account's owner can tell whether they did it."
ASK: Final = (
    "Ask the owner of the account, by another way than this host, whether they typed this and when. Save "
    "the history "
    "first: the shell writes it anew when somebody logs out."
)
WIPED: Final = "Intruders keep their shell from writing down what they do, or wipe it when they leave."
LOOK: Final = (
    "Look at what the account did by other traces: its logins (last), what it started by sudo, files it "
    "owns that changed "
    "since."
)
_OFF: Final = re.compile(
    rb"^[ \t]*(?:export\s+|declare\s+-\w+\s+|typeset\s+-\w+\s+)?(?:unset\s+(?:-v\s+)?HISTFILE\b|"
    rb"HISTFILE=[\"']?(?:/dev/null)?[\"']?\s*$|"
    rb"HIST(?:FILE)?SIZE=[\"']?0\b|SAVEHIST=[\"']?0\b|set\s+\+o\s+history|history\s+-c)[^\n]{0,200}",
    re.MULTILINE,
)


@dataclass(slots=True)
class Group:
    """What one account did of one kind."""

    rule: Rule
    count: int = 0
    lines: list[tuple[bytes, Typed]] = field(default_factory=list)


def look(scene: Scene) -> Iterator[Found]:
    """States of the files, what stands in them, who should have one and has none."""
    facts = [fact for fact in scene.facts(LogFact) if fact.view == "histories"]
    yield from _states(scene, facts)
    left, kept = TOGETHER, list[bytes]()
    by_owner: dict[bytes, list[LogFact]] = {}
    for fact in facts:
        by_owner.setdefault(fact.owner, []).append(fact)
    for owner in sorted(by_owner, key=lambda one: (one != b"root", one)):
        groups: dict[str, Group] = {}
        sizes: Counter[bytes] = Counter()
        for fact in by_owner[owner]:
            if scene.stop():
                return
            seen = scene.host.texts.lstat(fact.path)
            start = max(0, seen.st_size - FILE) if seen is not None else 0
            found = scene.host.texts.read(fact.path, min(FILE, left), start)
            if found.problem and found.stat is None:
                yield Unseen(text(fact.path), found.problem, "" if scene.is_root else SUDO)
            if not found.data:
                continue
            left -= len(found.data)
            if start:
                yield Unseen(text(fact.path), f"only its last {FILE >> 20} MiB were read")
            sizes[fact.path] = yield from _read(scene, owner, fact.path, found.data, groups)
            kept.append(owner)
        yield from _items(owner, groups)
        if sizes:
            said = ", ".join(f"{text(path)} ({count})" for path, count in sorted(sizes.items()))
            yield Item(f"histories of {text(owner)}", Verdict.FINE, f"Commands that were read: {said}")
    yield from _without(scene, {fact.owner: fact for fact in facts}, set(kept))
    yield from _switched_off(scene)
    if not kept:
        yield Item("histories", Verdict.FINE, "No account has a history that could be read")
    yield from (one for one in scene.blind(LogFact) if "/var/log/" not in one.scope)


def _read(
    scene: Scene, owner: bytes, path: bytes, data: bytes, groups: dict[str, Group]
) -> Generator[Found, None, int]:
    """Judge every command of one file; how many there were."""
    judged: dict[bytes, Rule | None] = {}
    count = moments = 0
    name = split(path)[1]
    for one in typed(name, data):
        count += 1
        if count % 1000 == 0 and scene.stop():
            break
        command = one.command[:LONGEST]
        if command not in judged:
            if len(judged) >= JUDGED:
                judged.clear()
            judged[command] = judge(command)
        rule = judged[command]
        if rule is None:
            continue
        group = groups.setdefault(rule.name, Group(rule))
        group.count += 1
        group.lines.append((path, one))
        if len(group.lines) > 4 * SHOWN:
            del group.lines[:-SHOWN]
        if scene.since <= one.at <= scene.now + 86400 and moments < MOMENTS:
            moments += 1
            yield Moment(
                one.at, "history", f"{text(owner)}: {_shown(command)}", f"{text(path)}:{one.line}",
                Confidence.FORGEABLE, rule.verdict, text(owner),
            )  # fmt: skip
    return count


def _shown(command: bytes) -> str:
    return text(redact(command), 300)


def _items(owner: bytes, groups: dict[str, Group]) -> Iterator[Found]:
    who = text(owner)
    for group in groups.values():
        rule = group.rule
        times = "once" if group.count == 1 else f"{group.count} times"
        newest = group.lines[-SHOWN:]
        stamps = [one.at for _, one in group.lines if one.at]
        details: dict[str, object] = {"times": group.count}
        if stamps:
            details |= {"last": max(stamps)}
        yield Item(
            f"{who}: {rule.name}",
            rule.verdict,
            f"{who} {rule.says}, {times}",
            rule.means or MEANS,
            ASK,
            technique=rule.technique,
            details=details,
            evidence=tuple(
                Evidence(
                    f"{text(path)}:{one.line}", (f"{_day(one.at)} " if one.at else "") + _shown(one.command)
                )
                for path, one in newest
            ),
        )


def _day(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _states(scene: Scene, facts: list[LogFact]) -> Iterator[Found]:
    """What the daemon's own sensor sees in the files themselves."""
    for fact in facts:
        if fact.state == WHOLE:
            continue
        elsewhere = fact.state == "linked" and not fact.detail.startswith((b"/dev/", b"/proc/", *TEMPORARY))
        quiet = elsewhere or fact.state == "locked"
        verdict = Verdict.NOTABLE if quiet else Verdict.SUSPICIOUS
        yield state_of(scene, fact, verdict, WIPED, LOOK, "T1070.003")


def _without(scene: Scene, owners: dict[bytes, LogFact], kept: set[bytes]) -> Iterator[Found]:
    """Accounts that logged in to a shell and have nothing written down; homes that nobody lets us into."""
    closed = []
    came: dict[bytes, LoginFact] = {}
    for login in scene.facts(LoginFact):
        if login.user not in came or login.at > came[login.user].at:
            came[login.user] = login
    for user in scene.users[:ACCOUNTS]:
        if user.shell.rpartition(b"/")[2] in NO_SHELL or not user.home.startswith(b"/"):
            continue
        if scene.host.texts.lstat(user.home) is None:
            continue
        if scene.host.texts.names(user.home, 100_000) is None:
            closed.append(user.name)
        elif user.name in came and user.name not in kept:
            yield _none(user, came[user.name], there=user.name in owners)
    if closed and not scene.is_root:
        names = ", ".join(text(name) for name in closed[:10]) + (" and others" if len(closed) > 10 else "")
        yield Unseen("histories", f"the homes of {names} may not be looked into", SUDO)


def _none(user: User, login: LoginFact, *, there: bool) -> Item:
    who = text(user.name)
    return Item(
        f"{who}: no history",
        Verdict.NOTABLE,
        f"{who} logs in to a shell ({text(user.shell) or '/bin/sh'}) and has "
        f"{'an empty' if there else 'no'} history",
        WIPED + " Whoever only runs single commands over ssh has none either.",
        LOOK,
        technique="T1070.003",
        details={"home": text(user.home), "last login": login.at, "from": text(login.origin)},
        evidence=(Evidence(text(user.home)), Evidence(f"last {word(who)}")),
    )


def _switched_off(scene: Scene) -> Iterator[Found]:
    """Settings of shells by which nothing is written down."""
    files = [(b"every account", path) for path in EVERYBODY]
    for user in scene.users[:ACCOUNTS]:
        if user.home.startswith(b"/") and user.shell.rpartition(b"/")[2] not in NO_SHELL:
            files += [(user.name, join(user.home, name)) for name in SETTINGS]
    for owner, path in files:
        data = scene.host.texts.read(path, 256 * 1024).data
        if not data or (b"HIST" not in data and b"history" not in data):
            continue
        if found := _OFF.search(data):
            line = data.count(b"\n", 0, found.start()) + 1
            yield Item(
                f"{text(path)}: history off",
                Verdict.SUSPICIOUS if owner == b"root" else Verdict.NOTABLE,
                f"{text(path)} keeps the shell of {text(owner)} from writing a history",
                WIPED,
                "Ask the owner of the account who wrote that line.",
                technique="T1562.003",
                evidence=(Evidence(f"{text(path)}:{line}", text(found[0].strip())),),
            )
