"""Who became root, or wanted to, by su, sudo, doas, pkexec: by the lines that these write themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from ...accounts import User
from ...sensors.commands import script
from ..interface import Confidence, Evidence, Found, Item, Moment, Verdict, text
from ..logins.habits import has_shell
from ..logs.logfiles import Reading, reading
from ..logs.passage import Turn
from ..logs.redact import redact
from ..scene import Scene

SHOWN: Final = 5
"""Lines that are shown of one account's switches, the newest."""

MOMENTS: Final = 500

MANY: Final = 5
"""Denials that are more than mistyping."""

MEANS: Final = (
    "Whoever stole an ordinary account needs root next; and what root does, no log tells by itself."
)
NEXT: Final = (
    "Ask the owner of the account whether it was them, and compare the time with when they were logged in."
)
DENIED: Final = "Somebody who may not, or who does not know the password, wanted to be root."

FIRST_PERSON: Final = 1000
"""Uids below it are those of the system's accounts (login.defs(5), UID_MIN)."""

ASKING: Final = frozenset({b"--version", b"--help", b"-V"})
"""Words with which an interpreter tells of itself, and runs nothing."""

SHELL_MEANS: Final = "A service is run by programs, which need no shell: somebody types to it, and is root."
SHELL_NEXT: Final = (
    "Save this log and the service's own; look for what else ran then (history, processes), "
    "and in sudoers for the rule that let it."
)

Key = tuple[bytes, bytes, bytes, bool]


def look(scene: Scene) -> Iterator[Found]:
    """An item for each account, service and target."""
    found = scene.once(reading)
    counts, turns = _together(found)
    accounts = {user.name: user for user in scene.users}
    for key, count in sorted(counts.items(), key=lambda one: (not one[0][3], -one[1], one[0])):
        lines, by = turns.get(key, []), key[1]
        account = accounts.get(by)
        unknown = account is None and not by.startswith(b"uid ")
        yield _item(key, count, lines, unknown, _by_shell(key, lines, account))
    if not counts:
        yield Item("switches of account", Verdict.FINE, "No log tells that anybody became another account")
    told = sorted((turn for one in turns.values() for turn in one), key=lambda turn: -turn.at)
    for turn in told[:MOMENTS]:
        became = "was denied to become" if turn.denied else "became"
        says = f"{text(turn.by)} {became} {text(turn.user)} by {text(turn.service)}"
        yield Moment(
            turn.at, "switch", says, text(bytes(turn.where)), Confidence.LIKELY,
            Verdict.NOTABLE if turn.denied else Verdict.FINE, text(turn.by),
        )  # fmt: skip
    yield from found.unseen


def _item(key: Key, count: int, lines: list[Turn], unknown: bool, by_shell: Verdict) -> Item:
    """One account and what it became. To root, and what failed, an administrator should know."""
    service, by, user, denied = key
    who, target = text(by), text(user)
    times = "once" if count == 1 else f"{count} times"
    if denied:
        says = f"{who} wanted to become {target} by {text(service)} and was denied, {times}"
    else:
        says = f"{who} became {target} by {text(service)}, {times}"
    if unknown:
        says += "; no account of that name is in /etc/passwd"
    if by_shell:
        says += "; it is a service's account, and took a shell"
    # One who mistyped, and an administrator's sudo, are every day's business.
    plain = service == b"sudo" and not denied
    quiet = not unknown and (plain or user != b"root" or (denied and count < MANY))
    verdict = max(by_shell, Verdict.FINE if quiet else Verdict.NOTABLE)
    means, then = (SHELL_MEANS, SHELL_NEXT) if by_shell else (DENIED if denied else MEANS, NEXT)
    newest = sorted(lines, key=lambda turn: turn.at)[-SHOWN:]
    details: dict[str, object] = {"times": count, "service": text(service), "to": target}
    if newest:
        details |= {"first": min(turn.at for turn in lines), "last": newest[-1].at}
    return Item(
        f"{who} to {target} by {text(service)}" + (" (denied)" if denied else ""),
        verdict,
        says,
        means if verdict else "",
        then if verdict else "",
        technique="T1548.003" if service == b"sudo" else "T1078",
        details=details,
        evidence=tuple(Evidence(text(bytes(turn.where)), text(redact(turn.sample))) for turn in newest),
    )


def _by_shell(key: Key, lines: list[Turn], account: User | None) -> Verdict:
    """What to think of a service's account that became root to be given commands there. FINE: it did not."""
    _, _, user, denied = key
    is_service = account is not None and 0 < (account.uid or 0) < FIRST_PERSON
    if account is None or not is_service or denied or user != b"root":
        return Verdict.FINE
    if not any(_is_shell(turn.command) for turn in lines):
        return Verdict.FINE
    return Verdict.NOTABLE if has_shell(account) else Verdict.SUSPICIOUS


def _is_shell(commands: bytes) -> bool:
    """Whether a command only opens a shell. Its words may look like the next one's: each counts."""
    for command in commands.split(b" ; COMMAND="):
        exe, *words = command.split() or [b""]
        name = exe.rpartition(b"/")[2]
        if name == b"su" and set(words) <= {b"-", b"-l", b"--login", b"root"}:
            return True
        if name != b"java" and script(exe, (exe, *words)) == b"-" and not ASKING & {*words}:
            return True
    return False


def _together(found: Reading) -> tuple[dict[Key, int], dict[Key, list[Turn]]]:
    """Of each kind the log that tells most is believed: they tell of the same."""
    counts: dict[Key, int] = {}
    turns: dict[Key, list[Turn]] = {}
    for passage in found.passages.values():
        mine: dict[Key, list[Turn]] = defaultdict(list)
        for turn in passage.turns:
            mine[turn[1:5]].append(turn)
        for key, count in passage.turned.items():
            if count > counts.get(key, 0):
                counts[key], turns[key] = count, mine.get(key, [])
    return counts, turns
