"""How fast alerts leave: to an rsyslog of our own, by its real protocols."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostguardd.destinations import Destination
from hostguardd.envelope import entry
from hostguardd.record import GENESIS, render
from hostguardd.sinks.make import sink
from tests.alerts import IDENTITY, alert
from tests.certificates import Authority
from tests.logservers import CLIENT, Rsyslog, rsyslog_lacks

from .figures import Figure, told

if TYPE_CHECKING:
    from .cases import Bench

COUNT, BATCH = 50_000, 500
GOAL = 20_000
NAMES = {"relp": "RELP", "relps": "RELP over TLS", "tls": "syslog over TLS"}


def lines(count: int) -> list[bytes]:
    """As the alert log has them, of 900 bytes."""
    return [
        render(
            alert(
                number,
                message=f"/usr/lib/x changed: mode, owner. {'y' * 200}",
                fields={"file.path": "/usr/lib/x", "file.mode": "0644", "file.owner": "root"},
                data={
                    "key": "/usr/lib/x",
                    "changed": ["mode", "uid"],
                    "advice": "Ask whose change this was.",
                },
            ),
            IDENTITY,
            number,
            GENESIS,
        )
        for number in range(1, count + 1)
    ]


def relp(bench: Bench) -> Iterator[Figure]:
    """alerts a second to an rsyslog on this host, acknowledged, by RELP and TLS"""
    lacking = rsyslog_lacks()
    if lacking:
        raise SystemExit(f"{lacking}; `tools/system-packages bench` says what to install")
    authority = Authority(bench.folder / "papers")
    server, client = authority.issue("server"), authority.issue("client", f"DNS:{CLIENT}")
    receiver = Rsyslog(bench.folder / "rsyslog", authority.root.certificate, server)
    tls: dict[str, Any] = {
        "tls": True,
        "ca": str(authority.root.certificate),
        "certificate": str(client.certificate),
        "key": str(client.key),
    }
    sent = lines(COUNT)
    try:
        for name, what in NAMES.items():
            kind = "relp" if name.startswith("relp") else "tcp"
            to = Destination("bench", kind, address=("127.0.0.1", receiver.ports[name]))
            wall, busy = _deliver(to if name == "relp" else replace(to, **tls), sent)
            rate = COUNT / wall
            yield told(
                f"{what}, alerts a second", f"{rate:,.0f} ({busy / COUNT * 1e6:.0f} µs of ours each)",
                rate >= GOAL, f"≥ {GOAL:,}",
            )  # fmt: skip
            came = _came(receiver, name)
            yield told(f"{what}, alerts that came", f"{came:,}", came == COUNT, f"{COUNT:,}")
    finally:
        receiver.kill()


def _deliver(to: Destination, sent: list[bytes]) -> tuple[float, float]:
    """Seconds, and seconds of our processor, from opening until everything is confirmed."""
    out, under_way = sink(to), 0
    wall, busy = time.monotonic(), time.process_time()
    out.open()
    for first in range(0, len(sent), BATCH):
        while under_way >= out.window:
            under_way -= out.confirmed(1)
        out.send([entry(line) for line in sent[first : first + BATCH]])
        under_way += 1
    out.finish()
    return time.monotonic() - wall, time.process_time() - busy


def _came(receiver: Rsyslog, name: str) -> int:
    ends = time.monotonic() + 20
    while len(receiver.lines(name)) < COUNT and time.monotonic() < ends:
        time.sleep(0.1)
    return len(receiver.lines(name))
