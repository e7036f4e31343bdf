"""How fast alerts leave by RELP to an rsyslog here, beside rsyslog's own way to send the same file."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.certificates import Authority
from tests.logservers import Rsyslog, rsyslog_lacks
from tests.sending import Sending, sending

from .figures import Figure, bounded, compared, percentile

ALERTS = 100_000
LEAST = 20_000.0
"""Alerts a second."""

SAMPLES = 300

PEER = """
global(workDirectory="{0}" maxMessageSize="64k")
module(load="imfile") module(load="omrelp")
input(type="imfile" file="{1}" tag="hostguardd:" ruleset="out" freshStartTail="off")
ruleset(name="out" queue.type="FixedArray" queue.size="200000") {{
    action(type="omrelp" target="127.0.0.1" port="{2}" template="RSYSLOG_SyslogProtocol23Format")
}}
"""


def rates(folder: Path) -> Iterator[Figure]:
    """Throughput beside imfile and omrelp, latency of single alerts, memory."""
    if lacking := rsyslog_lacks():
        raise SystemExit(f"forward: {lacking}")
    folder.mkdir()
    authority = Authority(folder / "papers")
    server = Rsyslog(folder / "server", authority.root.certificate, authority.issue("server"))
    try:
        (folder / "host").mkdir()
        with sending(folder / "host", "relp", f"127.0.0.1:{server.ports['relp']}") as one:
            one.end()
            for _ in range(ALERTS // 1000):
                one.write(1000)
            ours = _until(server, one.start)
            yield compared(
                f"{ALERTS:,} alerts by RELP", ours, "imfile, omrelp:", _peer(folder, server, one), 2.0
            )
            yield bounded("what one such alert takes", ours / ALERTS * 1e6, "µs", 1e6 / LEAST)
            yield from _latency(server, one)
            yield bounded("most memory of the forwarder", one.memory() / 2**20, "MiB", 32)
    finally:
        server.kill()


def _until(server: Rsyslog, start: Callable[[], object]) -> float:
    """Seconds from `start` until the server has filed all alerts once more."""
    wanted = len(server.lines("relp")) + ALERTS
    path = server.folder / "relp.log"
    began = time.monotonic()
    start()
    size = -1
    while True:
        time.sleep(0.02)
        now = path.stat().st_size if path.exists() else 0
        if now == size and len(server.lines("relp")) >= wanted:
            return time.monotonic() - began
        size = now


def _peer(folder: Path, server: Rsyslog, one: Sending) -> float:
    config = folder / "peer.conf"
    (folder / "peer").mkdir()
    config.write_text(PEER.format(folder / "peer", one.log.path, server.ports["relp"]))
    program = shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program is not None
    started: list[subprocess.Popen[bytes]] = []
    try:
        return _until(
            server,
            lambda: started.append(subprocess.Popen([program, "-n", "-i", "NONE", "-f", str(config)])),
        )
    finally:
        for process in started:
            process.kill()
            process.wait()


def _latency(server: Rsyslog, one: Sending) -> Iterator[Figure]:
    dice = random.Random(1)
    path = server.folder / "relp.log"
    took = []
    for _ in range(SAMPLES):
        time.sleep(dice.uniform(0.0, 0.05))
        size = path.stat().st_size
        one.write(1)
        began = time.monotonic()
        while path.stat().st_size == size:
            time.sleep(0.0005)
        took.append((time.monotonic() - began) * 1000)
    yield bounded(f"from fsync to the other log, p99 of {SAMPLES}", percentile(took, 99), "ms", 100)
    yield bounded("the same, p50", percentile(took, 50), "ms", 50)
