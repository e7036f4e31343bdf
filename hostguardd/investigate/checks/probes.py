"""What the ports of this host say to whoever connects: `telnet localhost PORT` for each. Only when asked for.

A back door that talks gives itself away by its greeting: a prompt, the answer of id(1), a shell's complaint.
Services notice a connection that says nothing, and log it: therefore nobody is connected to unasked, and
nobody but this host at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ...model import ListenerFact
from ...words.interface import counted
from ..interface import Evidence, Found, Item, Unseen, Verdict, text, word
from ..scene import Scene

SECONDS: Final = 1.0
MOST: Final = 1000

SHELL: Final = re.compile(
    rb"uid=\d+\(|gid=\d+\(|: (?:command )?not found|Microsoft Windows \[Version"
    rb"|(?:^|[\r\n])Linux \S+ \d+\.\d+\.\d|no job control in this shell|cannot set terminal process group"
)
"""What shells say: the answer of id(1) or uname(1), a complaint."""

PROMPT: Final = re.compile(rb"(?:^|[\r\n])[^\r\n]{0,120}(?:[#$%]|[\w~/\])]>) ?$")
"""How shells ask for a command."""

ASKS: Final = re.compile(rb"(?i)^[^\r\n]{0,60}(?:pass(?:word|wd|code)?|pwd|key|auth)\s*[:?>]\s*$")

GREETINGS: Final = tuple(
    re.compile(one, re.DOTALL)
    for one in (
        rb"SSH-[12]\.", rb"220[ -]", rb"\+OK", rb"\* (?:OK|PREAUTH)", rb"HTTP/1\.[01] ",
        rb"-(?:ERR|NOAUTH|DENIED) ",
        rb"RFB \d{3}\.\d{3}", rb".\x00\x00\x00[\x0a\xff]", rb"@RSYNCD: ", rb"AMQP", rb"[\xff\x15\x16]",
        rb"ERROR\r\n", rb"20[01] ", rb"<[?!a-z]",
    )
)  # fmt: skip
"""How well-known protocols begin: SSH, SMTP and FTP, POP3, IMAP, HTTP, Redis, VNC, MySQL, rsync, AMQP,
telnet and TLS, memcached, NNTP, and what speaks in marks."""

MEANS: Final = "A port that answers with a shell gives whoever finds it the rights of its owner, unasked."
NEXT: Final = (
    "Do not type anything there. The listeners above name its process: save /proc/PID/exe and its memory, "
    "then see who connected to it (connections, firewall logs)."
)
ODD: Final = "It greets by no protocol that is commonly known, which own programs do, and back doors as well."
ASK: Final = "Ask whoever runs the program behind it (listeners) what this protocol is."


def look(scene: Scene) -> Iterator[Found]:
    """What is said at each TCP port that can be reached by the loopback or an own address."""
    if not scene.options.probe:
        yield Item(
            "probes",
            Verdict.FINE,
            "no port was connected to: hostguardctl investigate --probe asks each for its greeting",
        )
        return
    if scene.host.live.blind:
        yield Unseen("probes", scene.host.live.blind)
        return
    ends: dict[tuple[bytes, int], ListenerFact] = {}
    for fact in scene.facts(ListenerFact):
        if fact.proto in ("tcp", "tcp6"):
            ends.setdefault((_reached(fact), fact.port), fact)
    wanted = sorted(ends)[:MOST]
    if len(ends) > len(wanted):
        yield Unseen(
            "probes",
            f"{counted(len(ends) - len(wanted), 'port was', 'ports were')} not tried: there are too many",
        )
    told = scene.host.views.greetings(wanted, SECONDS, True)
    for end in wanted:
        accepted, said = told[end]
        yield _item(scene, ends[end], end, accepted, said)


def _reached(fact: ListenerFact) -> bytes:
    """The own address by which a listener is reached."""
    host = fact.endpoint.rpartition(b":")[0].strip(b"[]").partition(b"%")[0]
    return {b"0.0.0.0": b"127.0.0.1", b"::": b"::1"}.get(host, host)


def _item(scene: Scene, fact: ListenerFact, end: tuple[bytes, int], accepted: bool, said: bytes) -> Item:
    name = f"{text(fact.label)} says"
    who = text(fact.exe or b"") or "an unseen program"
    shown = text(said, 200)
    evidence = (Evidence(f"nc {word(text(end[0]))} {end[1]} (by hand: telnet)", shown),)
    known = scene.known(fact)
    more = {"port": end[1], "banner": shown}
    if not accepted:
        return Item(
            name, Verdict.FINE, f"{who} at {text(fact.label)} did not take the connection", details=more
        )
    if not said:
        return Item(
            name, Verdict.FINE, f"{who} at {text(fact.label)} takes connections and waits", details=more
        )
    greets = any(one.match(said) for one in GREETINGS)
    if SHELL.search(said) or (PROMPT.search(said) and not greets):
        says = f"{who} at {text(fact.label)} answers as a shell does: {shown}"
        return Item(name, Verdict.SUSPICIOUS, says, MEANS, NEXT, known, "T1059", more, evidence)
    if ASKS.search(said) and fact.port != 23:
        says = f"{who} at {text(fact.label)} asks for a password, by no protocol that is known: {shown}"
        return Item(name, Verdict.SUSPICIOUS, says, MEANS, NEXT, known, "T1205", more, evidence)
    if not greets:
        says = f"{who} at {text(fact.label)} greets in an unusual way: {shown}"
        return Item(name, Verdict.NOTABLE, says, ODD, ASK, known, "", more, evidence)
    return Item(
        name, Verdict.FINE, f"{who} at {text(fact.label)} greets: {shown}", details=more, evidence=evidence
    )
