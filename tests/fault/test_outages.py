"""The forwarder's process and a real rsyslog: both die, the network is cut, and every alert arrives by RELP.

No daemon here: the alert log is written as the daemon writes it, only faster.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from hostguardd.forward import ENDED
from tests.certificates import Authority, Issued
from tests.daemon import until
from tests.logservers import Rsyslog, rsyslog_lacks
from tests.rights import NAMESPACES
from tests.sending import sending

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(rsyslog_lacks()), reason=rsyslog_lacks() or "-"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl"),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def ca(authority: Authority) -> Path:
    return authority.root.certificate


@pytest.fixture(scope="module")
def server_certificate(authority: Authority) -> Issued:
    return authority.issue("server")


def arrived(server: Rsyslog, name: str) -> list[int]:
    """The numbers, in the order in which they were filed."""
    found = []
    for line in server.lines(name):
        try:
            found.append(int(json.loads(line)["event"]["sequence"]))
        except ValueError:
            continue  # half a line: the server was killed in it, and had not acknowledged it
    return found


def in_order(numbers: list[int]) -> bool:
    """Whether each number comes for the first time only after all smaller ones."""
    seen, highest = set[int](), 0
    for number in numbers:
        if number not in seen and number < highest:
            return False
        seen.add(number)
        highest = max(highest, number)
    return True


@pytest.mark.parametrize("kind", ["relp", "tcp"])
def test_ten_thousand_alerts_whoever_is_killed(
    tmp_path: Path, ca: Path, server_certificate: Issued, kind: str
) -> None:
    """The receiver dies twenty times, and the forwarder twenty times."""
    server = Rsyslog(tmp_path / "server", ca, server_certificate)
    dice = random.Random(7)
    (tmp_path / "host").mkdir()
    try:
        with sending(tmp_path / "host", kind, f"127.0.0.1:{server.ports[kind]}") as one:
            for turn in range(40):
                writer = threading.Thread(target=one.write, args=(25, 10))
                writer.start()
                threading.Event().wait(dice.uniform(0.0, 0.15))
                if turn % 2:
                    server.kill()
                    server.start()
                else:
                    one.end(signal.SIGKILL)
                    one.start()
                writer.join()
            until(lambda: 10_000 in arrived(server, kind), "the last one is there")
            until(lambda: one.cursor == 10_000, "and acknowledged")
            numbers = arrived(server, kind)
            missing = sorted(set(range(1, 10_001)) - set(numbers))
            assert missing == []
            assert in_order(numbers)
            assert one.memory() <= 40 * 2**20
            assert one.end() == ENDED
    finally:
        server.kill()


@pytest.mark.skipif(
    not NAMESPACES or shutil.which("ip") is None,
    reason="networks of one's own need root with CAP_SYS_ADMIN, and ip(8)",
)
def test_a_network_that_is_cut_ten_times(tmp_path: Path, ca: Path, server_certificate: Issued) -> None:
    """Two network namespaces with a cable between them, which is pulled while alerts are on it."""
    here, there = f"hg{os.getpid()}a", f"hg{os.getpid()}b"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    for name in (here, there):
        ip("netns", "add", name)
    try:
        ip("link", "add", "up0", "netns", here, "type", "veth", "peer", "name", "up0", "netns", there)
        for name, address in ((here, "192.0.2.1"), (there, "192.0.2.2")):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "up0")
            ip("-n", name, "link", "set", "up0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        server = Distant(tmp_path / "server", ca, server_certificate, there)
        (tmp_path / "host").mkdir()
        try:
            with sending(
                tmp_path / "host", "relp", f"192.0.2.2:{server.ports['relp']}", ("ip", "netns", "exec", here)
            ) as one:
                for turn in range(10):
                    one.write(500)
                    until(lambda turn=turn: one.cursor > turn * 500, "some are there")  # type: ignore[misc]
                    ip("-n", here, "link", "set", "up0", "down")
                    one.write(500)
                    threading.Event().wait(0.2)
                    ip("-n", here, "link", "set", "up0", "up")
                until(lambda: one.cursor == 10_000, "all are acknowledged")
                numbers = arrived(server, "relp")
                assert sorted(set(numbers)) == list(range(1, 10_001))
                assert in_order(numbers)
        finally:
            server.kill()
    finally:
        for name in (here, there):
            ip("netns", "delete", name)


class Distant(Rsyslog):
    """In a network of its own."""

    inputs = ("relp",)

    def __init__(self, folder: Path, ca: Path, server: Issued, network: str) -> None:
        self.network = network
        super().__init__(folder, ca, server)

    def configuration(self, ca: Path, server: Issued) -> str:
        return super().configuration(ca, server).replace('address="127.0.0.1" ', "")

    def command(self) -> tuple[list[str], dict[str, str]]:
        words, environment = super().command()
        return ["ip", "netns", "exec", self.network, *words], dict(environment)

    def _listens(self) -> bool:
        assert self._process is not None
        table = Path(f"/proc/{self._process.pid}/net/tcp").read_text()
        return f"00000000:{self.ports['relp']:04X} 00000000:0000 0A" in table


def test_a_day_without_the_receiver(tmp_path: Path, ca: Path, server_certificate: Issued) -> None:
    """86,400 alerts wait; then all arrive, in order, and the forwarder never grew."""
    server = Rsyslog(tmp_path / "server", ca, server_certificate)
    server.kill()
    (tmp_path / "host").mkdir()
    try:
        with sending(tmp_path / "host", "relp", f"127.0.0.1:{server.ports['relp']}") as one:
            for _ in range(864):
                one.write(100)
            server.start()
            until(lambda: one.cursor == 86_400, "all are acknowledged")
            assert arrived(server, "relp") == list(range(1, 86_401))
            assert one.memory() <= 32 * 2**20, f"{one.memory() // 1024} KiB"
            assert one.end() == ENDED
    finally:
        server.kill()
