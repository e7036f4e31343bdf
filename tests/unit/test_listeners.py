"""The listeners sensor over a host that the test edits."""

from __future__ import annotations

import pytest

from hostguardd.diff import drift
from hostguardd.host.live import ANONYMOUS
from hostguardd.model import Depth, ListenerFact
from hostguardd.sections import ListenersConfig
from hostguardd.sensors.interface import Request
from hostguardd.sensors.listeners import ListenersSensor
from tests.fakelive import FakeLive

POLL = 0.5


def never() -> bool:
    return False


class Watcher:
    """Polls a sensor as the daemon does, and keeps the facts of the last sweep by label."""

    def __init__(self) -> None:
        self.host = FakeLive()
        self.sshd = self.host.add_process(b"/usr/sbin/sshd", age=900)
        self.door = self.host.listen("tcp", b"0.0.0.0", 22, self.sshd)
        self.sensor = ListenersSensor(self.host, ListenersConfig(), self.host.wall)
        self.look()

    def look(self, depth: Depth = Depth.QUICK) -> None:
        sweeps = list(self.sensor.sweep(depth, never))
        self.facts = {fact.label: fact for sweep in sweeps for fact in map(ListenerFact.of, sweep.rows)}
        self.blinds = {blind for sweep in sweeps for blind in sweep.blinds}

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / POLL)):
            self.host.tick(POLL)
            if self.sensor.changed():
                self.look()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def test_a_listener_and_its_owner(watcher: Watcher) -> None:
    fact = watcher.facts[b"tcp 0.0.0.0:22"]
    assert (fact.exe, fact.pid, fact.uid, fact.port) == (b"/usr/sbin/sshd", watcher.sshd, 0, 22)
    assert fact.command == b"/usr/sbin/sshd"
    assert fact.sha256 == watcher.host.digest(watcher.sshd)
    assert fact.others == b""


@pytest.mark.parametrize(
    ("proto", "address", "port", "label"),
    [
        ("tcp6", b"::", 22, b"tcp6 [::]:22"),
        ("udp6", b"fe80::1%eth0", 546, b"udp6 [fe80::1%eth0]:546"),
        ("raw", b"0.0.0.0", 1, b"raw 0.0.0.0:1"),
        ("sctp", b"0.0.0.0", 3868, b"sctp 0.0.0.0:3868"),
        ("unix", b"/run/x y\n\xff.sock", 0, b"unix /run/x y\n\xff.sock"),
        ("unix", b"@abstract", 0, b"unix @abstract"),
        ("udp", b"0.0.0.0", 40000, b"udp 0.0.0.0:dynamic /usr/sbin/sshd"),
        ("unix", b"@0a1b2", 0, b"unix @dynamic /usr/sbin/sshd"),
    ],
)
def test_labels(watcher: Watcher, proto: str, address: bytes, port: int, label: bytes) -> None:
    watcher.host.listen(proto, address, port, watcher.sshd)
    watcher.wait(6)
    assert watcher.facts[label].port == port


def test_a_new_listener_is_seen_at_the_next_poll_and_costs_one_walk(watcher: Watcher) -> None:
    watcher.wait(5)
    watcher.host.calls.clear()
    watcher.host.listen("tcp", b"0.0.0.0", 4444, watcher.host.add_process(b"/tmp/nc", uid=1000), uid=1000)
    watcher.wait(POLL)
    fact = watcher.facts[b"tcp 0.0.0.0:4444"]
    assert (fact.exe, fact.uid) == (b"/tmp/nc", 1000)
    assert "temporary" in fact.traits()
    watcher.wait(20)
    assert watcher.host.calls["owners"] == 1


def test_a_restart_of_a_service_is_silence(watcher: Watcher) -> None:
    watcher.host.kill(watcher.sshd)
    watcher.wait(10)
    assert b"tcp 0.0.0.0:22" in watcher.facts
    again = watcher.host.add_process(b"/usr/sbin/sshd")
    watcher.host.listen("tcp", b"0.0.0.0", 22, again)
    watcher.wait(40)
    assert watcher.facts[b"tcp 0.0.0.0:22"].pid == again


def test_a_port_that_stays_closed_is_missed_after_the_grace(watcher: Watcher) -> None:
    watcher.host.close(watcher.door)
    watcher.wait(29)
    assert b"tcp 0.0.0.0:22" in watcher.facts
    watcher.wait(2)
    assert watcher.facts == {}


def test_another_program_on_the_same_port_is_told_at_once(watcher: Watcher) -> None:
    watcher.host.kill(watcher.sshd)
    watcher.host.listen("tcp", b"0.0.0.0", 22, watcher.host.add_process(b"/usr/bin/evil"))
    watcher.wait(POLL)
    assert watcher.facts[b"tcp 0.0.0.0:22"].exe == b"/usr/bin/evil"


def test_a_port_shared_with_another_program_names_both(watcher: Watcher) -> None:
    for exe in (b"/tmp/thief", b"/usr/bin/other", b"/tmp/thief", b"/usr/sbin/sshd"):
        watcher.host.listen("tcp", b"0.0.0.0", 22, watcher.host.add_process(exe))
    watcher.wait(POLL)
    fact = watcher.facts[b"tcp 0.0.0.0:22"]
    assert (fact.exe, fact.pid) == (b"/usr/sbin/sshd", watcher.sshd)
    assert fact.others == b"/tmp/thief\0\0/usr/bin/other"
    assert {"shared", "temporary"} <= fact.traits()


def shared_by(watcher: Watcher, *others: tuple[bytes, bytes, int]) -> ListenerFact:
    """The listener of `python /opt/a.py` with such others on its port: (exe, script, uid)."""
    for exe, script, uid in ((b"/usr/bin/python3", b"/opt/a.py", 0), *others):
        pid = watcher.host.add_process(exe, argv=(b"python3", script))
        watcher.host.listen("tcp", b"0.0.0.0", 80, pid, uid=uid)
        watcher.host.tick(0.1)
    watcher.wait(POLL)
    return watcher.facts[b"tcp 0.0.0.0:80"]


def test_a_port_shared_with_another_script_of_the_same_interpreter_names_it(watcher: Watcher) -> None:
    fact = shared_by(
        watcher, (b"/usr/bin/python3", b"/opt/a.py", 0), (b"/usr/bin/python3", b"/tmp/.b/b.py", 0)
    )
    assert fact.others == b"/usr/bin/python3\0/tmp/.b/b.py"
    assert {"shared", "temporary", "hidden"} <= fact.traits()
    assert fact.command == b"python# /opt/a.py"


def test_a_port_shared_with_the_same_program_of_another_user_names_the_user(watcher: Watcher) -> None:
    fact = shared_by(watcher, (b"/usr/bin/python3", b"/opt/a.py", 1000))
    assert fact.others == b"/usr/bin/python3\0/opt/a.py\0uid 1000"


def test_programs_that_share_a_row_share_no_port(watcher: Watcher) -> None:
    for number, script in enumerate((b"/opt/a.py", b"/opt/b.py")):
        pid = watcher.host.add_process(b"/usr/bin/python3", argv=(b"python3", script))
        watcher.host.listen("udp", b"0.0.0.0", 40000 + number, pid, uid=number)
        watcher.host.listen("unix", b"@0000%d" % number, 0, pid, uid=number)
    watcher.wait(6)
    assert watcher.facts[b"udp 0.0.0.0:dynamic /usr/bin/python3"].others == b""
    assert watcher.facts[b"unix @dynamic /usr/bin/python3"].others == b""


def test_workers_that_share_a_port_under_a_title_are_the_same_program(watcher: Watcher) -> None:
    fact = shared_by(watcher, (b"/usr/bin/python3", b"/opt/a.py", 0))
    assert fact.others == b""
    master = fact.pid or 0
    worker = watcher.host.fork(master)
    watcher.host.edit(worker, argv=(b"app: worker 1",))
    watcher.host.listen("tcp", b"0.0.0.0", 80, worker)
    watcher.wait(POLL)
    assert watcher.facts[b"tcp 0.0.0.0:80"].others == b""


def test_a_crowd_of_huge_images_delays_no_listener(watcher: Watcher) -> None:
    began = watcher.host.now
    for port in range(4000, 4040):
        pid = watcher.host.add_process(b"/home/eve/%d" % port, uid=1000)
        watcher.host.reading[pid] = 0.5
        watcher.host.listen("tcp", b"0.0.0.0", port, pid, uid=1000)
    watcher.host.listen("tcp", b"0.0.0.0", 4999, watcher.host.add_process(b"/usr/bin/small"))
    watcher.wait(POLL)
    early = watcher.facts
    assert watcher.host.now - began < 2.0
    assert len(early) == 42
    assert early[b"tcp 0.0.0.0:4999"].sha256 is not None
    assert 35 < len([fact for fact in early.values() if fact.sha256 is None]) < 40
    watcher.wait(60)
    assert [fact for fact in watcher.facts.values() if fact.sha256 is None] == []
    for label, before in early.items():
        assert drift(ListenerFact, (before.row(), watcher.facts[label].row())) is None
        assert drift(ListenerFact, (watcher.facts[label].row(), before.row())) is None
    watcher.host.tick(POLL)
    watcher.sensor.changed()
    watcher.host.tick(POLL)
    assert not watcher.sensor.changed()


def test_a_full_sweep_takes_its_time_for_digests(watcher: Watcher) -> None:
    for port in range(4000, 4030):
        pid = watcher.host.add_process(b"/opt/%d" % port)
        watcher.host.reading[pid] = 0.5
        watcher.host.listen("tcp", b"0.0.0.0", port, pid)
    watcher.look(Depth.FULL)
    assert [fact for fact in watcher.facts.values() if fact.sha256 is None] == []


def test_forked_inheritors_leave_the_owner_as_it_is(watcher: Watcher) -> None:
    child = watcher.host.fork(watcher.sshd)
    watcher.host.execute(child, b"/usr/bin/helper")
    before = watcher.facts
    watcher.look(Depth.FULL)
    assert watcher.facts == before


def test_a_program_replaced_behind_its_socket_is_seen_within_a_minute(watcher: Watcher) -> None:
    watcher.host.execute(watcher.sshd, b"/usr/bin/evil")
    watcher.wait(61)
    assert watcher.facts[b"tcp 0.0.0.0:22"].exe == b"/usr/bin/evil"


def test_a_socket_left_to_a_child_gets_its_new_owner(watcher: Watcher) -> None:
    child = watcher.host.fork(watcher.sshd)
    watcher.host.kill(watcher.sshd)
    watcher.wait(61)
    assert watcher.facts[b"tcp 0.0.0.0:22"].pid == child


def test_passing_udp_sockets_are_silence(watcher: Watcher) -> None:
    named = watcher.host.add_process(b"/usr/sbin/named", age=900)
    watcher.wait(2)
    watcher.host.calls.clear()
    for port in range(40000, 40020):
        asked = watcher.host.listen("udp", b"0.0.0.0", port, named)
        watcher.wait(2)
        watcher.host.close(asked)
        assert list(watcher.facts) == [b"tcp 0.0.0.0:22"]
    assert "owners" not in watcher.host.calls
    watcher.host.listen("udp", b"0.0.0.0", 40100, named)
    watcher.host.listen("udp", b"0.0.0.0", 40101, named)
    watcher.wait(6)
    assert b"udp 0.0.0.0:dynamic /usr/sbin/named" in watcher.facts
    assert len(watcher.facts) == 2


def test_at_the_first_look_the_owner_s_age_stands_for_the_socket_s() -> None:
    host = FakeLive()
    old, young = host.add_process(b"/usr/sbin/avahi", age=900), host.add_process(b"/usr/bin/dig")
    host.listen("udp", b"0.0.0.0", 40000, old)
    host.listen("udp", b"0.0.0.0", 40001, young)
    sensor = ListenersSensor(host, ListenersConfig(), host.wall)
    rows = [row for sweep in sensor.sweep(Depth.FULL, never) for row in sweep.rows]
    assert [row[1] for row in rows] == [b"0.0.0.0:dynamic /usr/sbin/avahi"]


def test_the_kernel_s_own_sockets_have_the_kernel_for_an_owner(watcher: Watcher) -> None:
    watcher.host.listen("udp", b"0.0.0.0", 51820)
    watcher.host.listen("tcp", b"0.0.0.0", 2049)
    watcher.wait(6)
    assert watcher.facts[b"tcp 0.0.0.0:2049"].exe == b"[kernel]"
    assert watcher.facts[b"udp 0.0.0.0:dynamic [kernel]"].exe == b"[kernel]"


def test_a_socket_that_nobody_holds_is_known_to_have_no_owner(watcher: Watcher) -> None:
    ghost = watcher.host.listen("tcp", b"0.0.0.0", 31337, watcher.sshd)
    ghost.holders.clear()
    watcher.wait(POLL)
    fact = watcher.facts[b"tcp 0.0.0.0:31337"]
    assert (fact.exe, fact.sha256, fact.pid) == (b"", b"", None)
    assert watcher.blinds == set()


def test_an_owner_we_may_not_see_is_unknown_and_blind(watcher: Watcher) -> None:
    watcher.host.hidden = 1
    watcher.host.listen("tcp", b"0.0.0.0", 31337, watcher.sshd).holders.clear()
    watcher.host.listen("tcp", b"0.0.0.0", 80, watcher.host.add_process(None))
    watcher.wait(POLL)
    for label in (b"tcp 0.0.0.0:31337", b"tcp 0.0.0.0:80"):
        fact = watcher.facts[label]
        assert (fact.exe, fact.command, fact.sha256, fact.pid) == (None, None, None, None)
        assert fact.uid == 0
    (blind,) = watcher.blinds
    assert "the owners of 2 sockets" in blind.reason


def test_ignored_unix_sockets_are_no_facts(watcher: Watcher) -> None:
    watcher.host.listen("unix", b"/tmp/ssh-XYZ/agent.1", 0, watcher.sshd)
    watcher.host.listen("unix", b"/run/user/1000/bus", 0, watcher.sshd)
    watcher.host.listen("unix", b"@/tmp/.X11-unix/X0", 0, watcher.sshd)
    watcher.host.listen("unix", b"/run/docker.sock", 0, watcher.sshd)
    watcher.host.listen("unix", b"@/tmp/.hidden/X0", 0, watcher.sshd)
    watcher.wait(POLL)
    assert sorted(watcher.facts) == [
        b"tcp 0.0.0.0:22",
        b"unix /run/docker.sock",
        b"unix @/tmp/.hidden/X0",
    ]


def test_unix_sockets_can_be_left_out() -> None:
    host = FakeLive()
    host.listen("unix", b"/run/docker.sock", 0, 1)
    sensor = ListenersSensor(host, ListenersConfig(unix=False), host.wall)
    assert "unix" not in [sweep.scope for sweep in sensor.sweep(Depth.FULL, never)]


def test_an_image_that_is_gone_says_so(watcher: Watcher) -> None:
    pid = watcher.host.add_process(b"/memfd:x", state=ANONYMOUS)
    watcher.host.listen("tcp", b"0.0.0.0", 5555, pid)
    watcher.wait(POLL)
    assert watcher.facts[b"tcp 0.0.0.0:5555"].exe == b"/memfd:x (deleted)"
    assert "deleted" in watcher.facts[b"tcp 0.0.0.0:5555"].traits()


def test_other_namespaces_are_counted_and_named(watcher: Watcher) -> None:
    watcher.host.spaces.update({f"net:[{number}]": [watcher.sshd] for number in range(10)})
    watcher.look(Depth.FULL)
    (blind,) = watcher.blinds
    assert blind.reason.startswith("10 network namespaces")
    assert "sshd" in blind.reason
    assert "and 2 more" in blind.reason


def test_a_table_that_cannot_be_read_hides_nothing_else(watcher: Watcher) -> None:
    watcher.host.close(watcher.door)
    watcher.host.problems["tcp"] = "the table of tcp sockets cannot be read"
    watcher.host.tick(61)
    watcher.look()
    (blind,) = watcher.blinds
    assert blind.covers("tcp", b"0.0.0.0:22")
    assert not blind.covers("udp", b"0.0.0.0:22")


def test_a_look_at_one_endpoint(watcher: Watcher) -> None:
    watcher.host.listen("tcp", b"0.0.0.0", 80, watcher.sshd)
    (sweep,) = watcher.sensor.look([Request("tcp", frozenset({b"0.0.0.0:80"}))], never)
    assert [row[1] for row in sweep.rows] == [b"0.0.0.0:80"]
    assert sweep.only == frozenset({b"0.0.0.0:80"})
    assert list(watcher.sensor.look([Request("ipx", None)], never)) == []


def test_a_socket_closed_while_its_owner_is_looked_for_is_not_there(watcher: Watcher) -> None:
    brief = watcher.host.listen("tcp", b"0.0.0.0", 4444, watcher.sshd)
    brief.holders.clear()
    whole = watcher.host.owners

    def closing(inodes: object) -> object:
        if brief in watcher.host._sockets:
            watcher.host.close(brief)
        return whole(inodes)  # type: ignore[arg-type]

    watcher.host.owners = closing  # type: ignore[method-assign,assignment]
    watcher.wait(POLL)
    assert list(watcher.facts) == [b"tcp 0.0.0.0:22"]
