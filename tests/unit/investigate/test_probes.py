"""What ports say: nobody is connected to unasked, services are fine, shells are not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hostguardd.host.live import NoLiveHost
from hostguardd.host.reach import End, Greeting
from hostguardd.investigate.checks import probes
from hostguardd.investigate.interface import Verdict
from hostguardd.investigate.scene import Options
from tests.fakelive import FakeLive
from tests.fakeviews import FakeViews
from tests.scenes import Findings, looked, scene

PROBE = Options(probe=True)


def found(said: dict[int, bytes], options: Options = PROBE) -> Findings:
    """What is told of a host with listeners that say this."""
    live, views = FakeLive(), FakeViews(said=said)
    for port in said:
        live.listen("tcp", b"0.0.0.0", port, live.add_process(b"/usr/sbin/d%d" % port, age=99))
    views.taken["tcp"] = set(said)
    return looked(probes.look, scene(live=live, views=views, options=options))


def test_nobody_is_connected_to_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeViews, "greetings", None)
    (item,) = found({22: b""}, Options()).items
    assert item.verdict is Verdict.FINE
    assert "--probe" in item.says


@pytest.mark.parametrize("said", [
    b"", b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", b"220 mail.example.org ESMTP Postfix\r\n", b"+OK\r\n",
    b"* OK [IMAP4rev1] ready\r\n", b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n<p>$ ",
    b"-ERR unknown command\r\n", b"J\x00\x00\x00\x0a8.0\x00", b"\xff\xfd\x18\xff\xfd ",
    b"@RSYNCD: 31.0\n", b"AMQP\x00\x00\x09\x01", b"ERROR\r\n", b"RFB 003.008\n",
])  # fmt: skip
def test_services_greet_as_they_do(said: bytes) -> None:
    (item,) = found({8022: said}).items
    assert item.verdict is Verdict.FINE


@pytest.mark.parametrize("said", [
    b"uid=0(root) gid=0(root)\n", b"root@host:~# ", b"sh-5.1# ", b"bash-5.2$ ", b"$ ",
    b"HTTP/1.1 200 OK\r\n\r\nuid=0(root)", b"/bin/sh: 1: \r: not found\n", b"C:\\Users> ", b"[root@host /]> ",
    b"Linux host 6.1.0-18-amd64 #1 SMP x86_64 GNU/Linux\n", b"bash: no job control in this shell\n", b"# ",
    b"password: ", b"Enter key:",
])  # fmt: skip
def test_a_shell_gives_itself_away(said: bytes) -> None:
    (item,) = found({31337: said}).items
    assert item.verdict is Verdict.SUSPICIOUS
    assert item.name == "tcp 0.0.0.0:31337 says"
    assert item.means
    assert item.next


def test_what_is_not_known_is_worth_a_note_and_cannot_write_on_the_terminal() -> None:
    (item,) = found({7000: b"\x1b[2Jhello"}).items
    assert item.verdict is Verdict.NOTABLE
    assert "\x1b" not in item.says


def test_too_many_ports_are_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MOST", 2)
    told = found({1: b"", 2: b"", 3: b""})
    assert len(told.items) == 2
    assert told.unseen


def test_by_which_address_a_listener_is_reached() -> None:
    live, views, asked = FakeLive(), FakeViews(), list[End]()
    ends = (("tcp6", b"::"), ("tcp", b"192.0.2.1"), ("tcp6", b"2001:db8::1"), ("udp", b"0.0.0.0"))
    for proto, address in ends:
        live.listen(proto, address, 80, live.add_process(b"/usr/sbin/d", age=99))

    def greetings(ends: Sequence[End], seconds: float, ask: bool) -> dict[End, Greeting]:
        asked.extend(ends)
        return dict.fromkeys(ends, Greeting(False))

    views.greetings = greetings  # type: ignore[method-assign]
    told = looked(probes.look, scene(live=live, views=views, options=PROBE))
    assert asked == [(b"192.0.2.1", 80), (b"2001:db8::1", 80), (b"::1", 80)]
    assert all("did not take" in item.says for item in told.items)


def test_an_image_says_nothing() -> None:
    assert looked(probes.look, scene(live=NoLiveHost(), options=PROBE)).unseen
