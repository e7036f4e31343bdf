"""What a report advises: whom to ask what, and what to do next, in the order in which to do it. Pure.

The rule kept: nothing that is advised may destroy evidence or tell the intruder, before the evidence is safe.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ..record import clean, timestamp
from .about import About
from .inquiry import Check
from .interface import Moment, Result, Verdict
from .scene import SUDO

Data: TypeAlias = dict[str, Any]
Results: TypeAlias = Sequence[tuple[Check, Result]]

LATEST: Final = 253402300799
"""The last second of the year 9999, as far as clocks are believed."""

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
"""A host's name that may stand in a command: no option, no path, no sign of a shell."""


def iso(at: float) -> str:
    """ISO 8601 in UTC. What the host gives for a time may be no such thing: then the nearest end of time."""
    if not math.isfinite(at):
        at = 0.0
    return timestamp(round(min(max(at, 0.0), LATEST) * 1e6) * 1000)


def questions(results: Results) -> list[Data]:
    """What to ask whom, in the order in which it came up."""
    asked: dict[str, dict[str, None]] = {}
    for _, result in results:
        for item in result.items:
            for question in _questions(item.details):
                account = item.details.get("account") or item.details.get("user") or item.name
                asked.setdefault(clean(str(account)), {})[clean(question)] = None
    return [{"account": account, "questions": list(questions)} for account, questions in asked.items()]


def _questions(details: Mapping[str, object]) -> Iterator[str]:
    found = details.get("ask")
    several = [found] if isinstance(found, str) else found
    if isinstance(several, Iterable):
        yield from (question for question in map(str, several) if question)


NETWORK: Final = ("listeners", "connections")
"""The checks whose suspicious items are ports and peers."""


def _step(do: str, why: str, *commands: str) -> Data:
    return {"do": clean(do), "why": clean(why), "commands": [clean(one) for one in commands]}


def steps(results: Results, verdict: Verdict, about: About, moments: Sequence[Moment]) -> list[Data]:
    """In the order in which to do them."""
    host = about.hostname if _NAME.fullmatch(about.hostname) else "HOST"
    elsewhere = _step(
        "Look from another machine",
        "A port that is open from outside and not listed here is hidden: no answer of this host shows that.",
        f"nmap -Pn -sT -p- {host}",
    )
    if verdict is Verdict.SUSPICIOUS:
        return _broken_into(results, host, elsewhere, moments)
    found = []
    if verdict is Verdict.NOTABLE:
        found.append(
            _step(
                "Have each notable thing explained",
                "By whoever is responsible for it, not by the host. What nobody can explain is a sign.",
            )
        )
    if not about.root:
        found.append(_step("Look again as root", "Much of a host is shown to root alone.", SUDO))
    if any(result.unseen for _, result in results):
        found.append(
            _step(
                "Read what could not be looked at",
                "An intruder is where nobody looks. What stays out of sight is not fine, it is unknown.",
            )
        )
    if about.root and not about.options.packages:
        found.append(
            _step(
                "Verify the packages, too",
                "It takes longer, and shows programs that were replaced.",
                SUDO,
            )
        )
    found.append(elsewhere)
    if about.generation is None:
        found.append(
            _step(
                "Take a baseline once you believe the host",
                "Then the next look tells what is new, and the daemon tells within a second.",
                "sudo hostguardctl baseline",
            )
        )
    found.append(
        _step(
            "Keep this report away from the host",
            "The next one can be held against it.",
            f"ssh {host} {SUDO} --json > {host}-report.json",
        )
    )
    return found


def _broken_into(results: Results, host: str, elsewhere: Data, moments: Sequence[Moment]) -> list[Data]:
    ports = [
        item.name
        for check, result in results
        for item in result.items
        if check.name in NETWORK and item.verdict is Verdict.SUSPICIOUS
    ]
    first = min((one.at for one in moments if one.verdict is Verdict.SUSPICIOUS), default=0.0)
    named = f" Here: {', '.join(ports[:5])}{' and others' if len(ports) > 5 else ''}." if ports else ""
    since = (
        f" The first sign in the time line is of {iso(first)[:16].replace('T', ' ')} UTC." if first else ""
    )
    return [
        _step(
            "Stay calm; do not reboot, do not shut down",
            "A reboot destroys what only memory holds, and may be what a logic bomb waits for.",
        ),
        _step(
            "Work as an ordinary user, with sudo only where it is needed",
            "A login of root is what an intruder watches for, and may be what sets something off.",
        ),
        _step(
            "Save the evidence onto another machine, before anything is changed",
            "Run it there: then nothing is written to the disk of this host, where it may overwrite traces.",
            f"ssh {host} {SUDO} --bundle - > {host}-evidence.tar.gz",
        ),
        _step(
            "Write down the strange ports, who is connected to them, and since when",
            f"They lead to where the intruder came from, and are gone with the connection.{named}",
            "ss -tunap",
        ),
        elsewhere,
        _step(
            "Then take it off the network, and leave it running",
            "Pull the cable, or isolate it at the switch or hypervisor; believe no command of the host.",
        ),
        _step(
            "Copy the disks, and the memory if you can",
            "From the hypervisor or from clean media. What is found later must be found on the copy.",
        ),
        _step(
            "Ask the owners of the accounts whether it was them",
            "In person or by telephone: whoever has the account may also read its mail.",
        ),
        _step(
            "Change passwords and keys, from another machine",
            "All that were used on this host or lie on it. Then look at each host that they open.",
        ),
        _step(
            "Build the host anew from clean media",
            "Cleaning is guessing. Restore data from before the break-in, and close the way in before it "
            f"goes back online.{since}",
        ),
    ]
