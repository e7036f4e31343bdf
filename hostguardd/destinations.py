"""`[[destination]]`: where alerts are sent, and what such a table accepts. Pure.

Read by the forwarder, which sends, and by the daemon, which must know who has yet to get a line of the alert
log before it throws that line away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .model import Severity
from .readers import NAME, SEVERITIES, own_path
from .validate import (
    Mistake,
    Reader,
    boolean,
    choice,
    duration,
    invalid,
    many,
    reads,
    show,
    size,
    text,
    whole,
)

KIB = 1024
DAY = 86400.0

RELP = "relp"
TCP = "tcp"
UDP = "udp"
JOURNALD = "journald"
COMMAND = "command"
KINDS = (RELP, TCP, UDP, JOURNALD, COMMAND)
REMOTE = (RELP, TCP, UDP)

FACILITIES: Mapping[str, int] = {
    "user": 1, "daemon": 3, "auth": 4, "syslog": 5, "authpriv": 10,
    **{f"local{number}": 16 + number for number in range(8)},
}  # fmt: skip
"""RFC 5424, section 6.2.1, as far as an integrity alert may have reason to use it."""

TOLD = {label: severity for label, severity in SEVERITIES.items() if severity}

_ADDRESS = re.compile(
    r"(?:\[([0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?)\]|([^\[\]:\s/]+)):([0-9]{1,5})"
)


def address(value: object) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as (host, port)."""
    given = text(allowed='a host and a port, such as "logs.example.org:6514" or "[2001:db8::1]:6514"')(value)
    found = _ADDRESS.fullmatch(given)
    if found is None or not 0 < int(found[3]) < 65536:
        raise invalid(f"{show(given)} is no host and port", '"logs.example.org:6514" or "[2001:db8::1]:6514"')
    return found[1] or found[2], int(found[3])


def plain_file() -> Reader[str]:
    """The absolute path of a file, or "" for none."""
    path = own_path()
    return lambda value: "" if value == "" else path(value)


@dataclass(frozen=True, slots=True)
class Destination:
    """`[[destination]]`: one place that alerts go to.

    `severity` is the least that is sent, `limit` the bytes of one message, `rate` how many messages a second
    may leave (0: as many as will; alerts of high and critical overtake the others when there are more),
    `heartbeat` after how many seconds the other end hears that we are alive (0: never), `timeout` how many
    seconds it may take to connect, to take a message or to acknowledge one.
    """

    name: str = field(metadata=reads(NAME))
    kind: str = field(metadata=reads(choice({kind: kind for kind in KINDS})))
    enabled: bool = field(default=True, metadata=reads(boolean))
    address: tuple[str, int] = field(default=("", 0), metadata=reads(address))
    tls: bool = field(default=False, metadata=reads(boolean))
    ca: str = field(default="", metadata=reads(plain_file()))
    certificate: str = field(default="", metadata=reads(plain_file()))
    key: str = field(default="", metadata=reads(plain_file()))
    server_name: str = field(default="", metadata=reads(text()))
    command: tuple[str, ...] = field(default=(), metadata=reads(many(text())))
    severity: Severity = field(default=Severity.INFO, metadata=reads(choice(TOLD)))
    facility: str = field(default="authpriv", metadata=reads(choice({name: name for name in FACILITIES})))
    limit: int = field(default=8 * KIB, metadata=reads(size(1 * KIB, 16 * KIB * KIB)))
    rate: int = field(default=0, metadata=reads(whole(0, 1_000_000)))
    heartbeat: float = field(default=60.0, metadata=reads(duration(0, DAY)))
    timeout: float = field(default=10.0, metadata=reads(duration(0.1, 600)))

    @property
    def place(self) -> str:
        """Where it is, for a person."""
        if self.kind in REMOTE:
            host, port = self.address
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            return f"{self.kind}{'+tls' if self.tls else ''}://{shown}"
        # Not its arguments, which may hold a password.
        return self.command[0] if self.kind == COMMAND else self.kind


def check_destination(one: Destination) -> list[Mistake]:
    """What does not go together."""
    found: list[Mistake] = []
    if one.kind in REMOTE and not one.address[0]:
        found.append((".address", f'is missing, and a destination of kind "{one.kind}" needs it'))
    if one.kind not in REMOTE and one.address[0]:
        found.append((".address", f'has no meaning for kind "{one.kind}", which stays on this host'))
    if one.kind == COMMAND and not (one.command and one.command[0].startswith("/")):
        found.append((".command", "must be a list whose first entry is the absolute path of a program"))
    if one.kind != COMMAND and one.command:
        found.append((".command", f'has no meaning for kind "{one.kind}"'))
    if one.tls and one.kind not in (RELP, TCP):
        found.append((".tls", f'is not known of kind "{one.kind}", allowed: with "relp" and "tcp"'))
    if not one.tls:
        for key in ("ca", "certificate", "key", "server_name"):
            if getattr(one, key):
                found.append((f".{key}", "has no meaning without tls = true"))
    if bool(one.certificate) != bool(one.key):
        lacking = "key" if one.certificate else "certificate"
        found.append((f".{lacking}", "is missing: a client's certificate and its key go together"))
    return found
