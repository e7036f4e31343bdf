"""Lines that are no text, or senselessly long: what remains of bytes sent where a name was expected.

The theory. An attack that fills a buffer leaves its filling, its code and its addresses in the message that
the service writes about it, if it survives that. So such a line of a service that strangers can talk to
is a trace of an attack; and a crash close to it, that it may have worked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from ...tidings import PROGRAMS, SAME
from ..interface import Confidence, Evidence, Found, Item, Moment, Verdict, text
from ..logs.logfiles import reading
from ..logs.passage import NEAR, Fault, Odd, Passage
from ..logs.redact import redact
from ..scene import Scene

EXPOSED: Final = (frozenset((*PROGRAMS, *SAME)) - {b"kernel", b"audit"}) | {
    b"rpc.statd", b"rpc.mountd", b"rpcbind", b"portmap", b"rpc.yppasswdd", b"named", b"httpd", b"apache2",
    b"nginx", b"smbd", b"nmbd", b"winbindd", b"telnetd", b"in.telnetd", b"ftpd", b"in.ftpd", b"wu-ftpd",
    b"imapd", b"ipop3d", b"openvpn", b"charon", b"pluto", b"stunnel", b"saslauthd", b"sshd-session",
    b"sendmail", b"exim", b"exim4", b"lpd", b"cupsd", b"ntpd", b"chronyd", b"snmpd", b"dhcpd", b"dnsmasq",
    b"squid",
    b"postmaster", b"postgres", b"mysqld", b"mariadbd", b"slapd", b"inetd", b"rlogind", b"rshd", b"dropbear",
}  # fmt: skip
"""Programs that strangers talk to."""

SHOWN: Final = 5
MOMENTS: Final = 200
CRASHES: Final = 5
"""Crashes of one program that are more than bad luck."""

WHAT: Final = {
    "control bytes": "lines full of control bytes",
    "no UTF-8": "lines that are no text in any usual encoding",
    "one byte repeated": "lines with one byte repeated hundreds of times",
    "overlong": "lines longer than any log service writes by itself",
}
MEANS: Final = "Bytes like these are what an attempt to overflow a service's buffer leaves in its log."
CRASHED: Final = "A program crashed within minutes of it: the attempt may have worked."
NEXT: Final = (
    "Save the log. Look at the service that wrote the line: its version, its processes and connections, "
    "and what was "
    "started or written right after that time."
)


def look(scene: Scene) -> Iterator[Found]:
    """An item for each log, program and kind of garbage; and the crashes."""
    found = scene.once(reading)
    faults = sorted({fault for one in found.passages.values() for fault in one.faults})
    for passage in found.passages.values():
        yield from _garbled(passage, faults)
    yield from _crashes(faults)
    if found.passages and not faults and not any(one.odd or one.holed for one in found.passages.values()):
        yield Item("lines of the logs", Verdict.FINE, "Every line that was read is text of a bearable length")
    yield from found.unseen


def _garbled(passage: Passage, faults: list[Fault]) -> Iterator[Found]:
    kept: dict[tuple[bytes, str], list[Odd]] = defaultdict(list)
    for odd in passage.odd:
        kept[odd.program, odd.what].append(odd)
    for (program, what), count in sorted(passage.odds.items()):
        lines = kept[program, what]
        near = next((fault for odd in lines if (fault := _near(faults, odd.at))), None)
        exposed = program in EXPOSED and what != "overlong"
        verdict = Verdict.SUSPICIOUS if exposed or near else Verdict.NOTABLE
        by = f" of {text(program)}" if program else ""
        says = f"{text(passage.path)} holds {WHAT[what]}{by} ({count})"
        if near:
            says += f"; {text(near.program)} crashed close to one of them"
        newest = lines[-SHOWN:]
        evidence = [Evidence(text(bytes(odd.where)), text(redact(odd.sample), 400)) for odd in newest]
        evidence += [Evidence(text(bytes(near.where)), text(redact(near.sample), 400))] if near else []
        yield Item(
            f"{text(passage.path)}: {text(program) or 'unknown program'}, {what}",
            verdict,
            says,
            MEANS + (f" {CRASHED}" if near else ""),
            NEXT,
            technique="T1190" if exposed or near else "",
            details={
                "lines": count,
                "longest": max((odd.size for odd in lines), default=0),
                "first": min((odd.at for odd in lines), default=0),
                "last": max((odd.at for odd in lines), default=0),
            },
            evidence=tuple(evidence),
        )  # fmt: skip
        for odd in lines[-MOMENTS:]:
            where = text(bytes(odd.where))
            yield Moment(
                odd.at, "log", f"A line{by} that is no text: {what}", where, Confidence.LIKELY, verdict
            )


def _near(faults: list[Fault], at: int) -> Fault | None:
    """A crash within NEAR seconds. `faults` are in the order of time."""
    place = bisect_left(faults, at - NEAR, key=lambda fault: fault.at)
    return faults[place] if place < len(faults) and faults[place].at <= at + NEAR else None


def _crashes(faults: list[Fault]) -> Iterator[Found]:
    by_program: dict[bytes, list[Fault]] = defaultdict(list)
    for fault in faults:
        by_program[fault.program].append(fault)
    counts = Counter({program: len(found) for program, found in by_program.items()})
    for program, count in counts.most_common():
        found = by_program[program]
        smashed = any(b"smashing" in fault.sample for fault in found)
        notable = smashed or count >= CRASHES or program in EXPOSED
        yield Item(
            f"crashes of {text(program)}",
            Verdict.NOTABLE if notable else Verdict.FINE,
            f"{text(program)} crashed {'once' if count == 1 else f'{count} times'}"
            + (", once at least because its stack was overwritten" if smashed else ""),
            "Who tries to break into a program makes it crash until the attempt works." if notable else "",
            "Look at what was sent to it at these times, and update it. Crashes that began with an update "
            "are a bug."
            if notable
            else "",
            technique="T1203" if notable else "",
            details={"crashes": count, "first": found[0].at, "last": found[-1].at},
            evidence=tuple(
                Evidence(text(bytes(fault.where)), text(redact(fault.sample))) for fault in found[-SHOWN:]
            ),
        )
    for fault in faults[-MOMENTS:]:
        where = text(bytes(fault.where))
        yield Moment(fault.at, "log", f"{text(fault.program)} crashed", where, Confidence.LIKELY)
