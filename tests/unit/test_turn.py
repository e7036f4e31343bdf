"""While a port is tried by taking it for a moment, nobody lists sockets: our own probe is no listener."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from hostguardd.host.ports import Ports
from hostguardd.host.proc import ProcHost

PATIENCE = 30.0

DOERS: dict[str, Callable[[threading.Lock], object]] = {
    "sockets": lambda turn: ProcHost(netlink=False, turn=turn).sockets("udp"),
    "cookies": lambda turn: ProcHost(netlink=False, turn=turn).cookies("udp"),
    "held": lambda turn: Ports(b"/proc", lambda path, limit: b"", turn).held("udp", [65000]),
}


@pytest.mark.parametrize("name", DOERS)
def test_each_waits_for_its_turn(name: str) -> None:
    turn = threading.Lock()
    done = threading.Event()

    def work() -> None:
        DOERS[name](turn)
        done.set()

    with turn:
        worker = threading.Thread(target=work)
        worker.start()
        assert not done.wait(0.2)
    assert done.wait(PATIENCE)
    worker.join(PATIENCE)
    assert not turn.locked()
