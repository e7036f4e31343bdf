"""What is usual of logins on this host, by its own history. Pure.

The rules, plain enough to be explained to whoever is asked about a login:

* Something is said only of an account with enough history: `ENOUGH` logins, the first of them `DAYS` days
  before the time that is looked at. Of others nobody knows what is usual.
* An **origin** is unusual when the account never came from there, nor from the network around it (IPv4: the
  same /16, IPv6: the same /48, a name: the same domain): people's addresses change, their networks seldom.
* An **hour** is unusual when of at least `HOURLY` logins none began within `NEAR` hours of it, on a clock of
  24 hours. No averages: one login at night a month makes the night usual.
* An **account** is unusual when nobody should log in by it: it has no shell to log in with, or is gone.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ...accounts import User
from ...loglines import CONSOLE
from ...words.interface import counted
from ..interface import Verdict, text
from .register import DAY, Session

ENOUGH: Final = 20
DAYS: Final = 14
HOURLY: Final = 50
NEAR: Final = 2

ORDINARY: Final = 1000
"""The first uid of people, login.defs(5) UID_MIN."""

LOCAL: Final = CONSOLE.decode()

NO_SHELL: Final = (b"nologin", b"false", b"sync", b"halt", b"shutdown")


@dataclass(slots=True)
class _Habit:
    count: int = 0
    first: float = 0.0
    origins: set[str] = field(default_factory=set)
    networks: set[str] = field(default_factory=set)
    hours: Counter[int] = field(default_factory=Counter)


class Habits:
    """The habits of each account until `before` (seconds since the epoch), by the logins until then. `hour`
    gives the hour of a time in the host's own zone."""

    def __init__(self, sessions: Iterable[Session], before: float, hour: Callable[[float], int]) -> None:
        self._before = before
        self._hour = hour
        self._habits: dict[str, _Habit] = {}
        for one in sessions:
            if one.began < before:
                habit = self._habits.setdefault(one.user, _Habit(first=one.began))
                habit.count += 1
                habit.first = min(habit.first, one.began)
                habit.origins.add(one.origin)
                habit.networks.add(network(one.origin))
                habit.hours[hour(one.began)] += 1

    def knows(self, user: str) -> bool:
        """Whether enough is known of an account to call anything unusual."""
        habit = self._habits.get(user)
        return habit is not None and habit.count >= ENOUGH and self._before - habit.first >= DAYS * DAY

    def usual(self, user: str, source: str) -> bool:
        """Whether the account came from there before, or from near it."""
        habit = self._habits.get(user)
        return habit is not None and (source in habit.origins or network(source) in habit.networks)

    def odd_hour(self, user: str, at: float) -> str:
        """Why the hour of a login is unusual; "" when it is not, or nobody knows."""
        habit = self._habits.get(user)
        if habit is None or not self.knows(user) or habit.count < HOURLY:
            return ""
        hour = self._hour(at)
        if any(habit.hours[(hour + near) % 24] for near in range(-NEAR, NEAR + 1)):
            return ""
        return f"none of {counted(habit.count, 'login')} before began within {NEAR} hours of {hour:02}:00"


def network(source: str) -> str:
    """What is the same for all addresses that one place may have."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        _, dot, domain = source.partition(".")
        return domain if dot and "." in domain else source
    width = 16 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, width), strict=False))


class Oddity(NamedTuple):
    """Why a login is not as it should be: a clause, what it may mean, and its technique."""

    verdict: Verdict
    says: str
    means: str
    technique: str


@dataclass(slots=True)
class Accounts:
    """The accounts there are. `elsewhere`: also a directory service may know some."""

    users: Mapping[str, User]
    elsewhere: bool

    def oddity(self, user: str, source: str, habits: Habits, brief: bool) -> Oddity | None:
        """Why nobody should log in by this account from there; None when somebody may.
        `brief`: it is not known to the time before the one that is looked at."""
        account = self.users.get(user)
        if account is None or account.uid is None:
            if self.elsewhere:
                return None
            verdict = Verdict.SUSPICIOUS if brief and source != LOCAL else Verdict.NOTABLE
            means = "An account that was made for an intrusion, and removed after it, leaves this behind."
            return Oddity(verdict, "there is no such account (any more)", means, "T1136.001")
        if source == LOCAL:
            return None
        if account.uid == 0:
            if habits.knows(user) and habits.usual(user, source):
                return None
            means = "Whoever comes as root directly leaves no trace of who it was."
            return Oddity(
                Verdict.NOTABLE, f"{user} was logged in to directly from elsewhere", means, "T1078.003"
            )
        system = 0 < account.uid < ORDINARY
        if not has_shell(account):
            verdict = Verdict.SUSPICIOUS if system else Verdict.NOTABLE
            means = "An account that has no shell is of a service, or was locked: nobody logs in by it."
            return Oddity(verdict, f"its shell is {text(account.shell)}", means, "T1078.003")
        if system and not (habits.knows(user) and habits.usual(user, source)):
            means = "The accounts of services are taken over to log in by them unnoticed."
            return Oddity(Verdict.NOTABLE, "it is the account of a service", means, "T1078.003")
        return None


def has_shell(account: User) -> bool:
    """Whether one can log in to a shell by it."""
    return account.shell.rpartition(b"/")[2] not in NO_SHELL


def elsewhere(nsswitch: bytes | None, sssd: bool) -> bool:
    """Whether accounts come from elsewhere than the table of accounts, by nsswitch.conf(5). `sssd`: it is
    set up, or nobody can say."""
    for line in (nsswitch or b"").split(b"\n"):
        words: Sequence[bytes] = line.partition(b"#")[0].split()
        if words[:1] == [b"passwd:"]:
            local = {b"files", b"compat", b"systemd"} | (set() if sssd else {b"sss"})
            return any(word not in local and not word.startswith(b"[") for word in words[1:])
    return False
