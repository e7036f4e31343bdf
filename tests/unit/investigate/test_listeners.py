"""Listeners: an ordinary host's are fine, and each kind of back door is found with who is behind it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hostguardd.host.live import ANONYMOUS, DELETED, NoLiveHost
from hostguardd.host.proc import ProcHost
from hostguardd.investigate.checks import listeners
from hostguardd.investigate.interface import Confidence, Item, Known, Verdict
from hostguardd.model import ListenerFact
from tests.fakelive import FakeLive
from tests.owning import Owning
from tests.scenes import Findings, looked, scene


def found(live: FakeLive, **options: object) -> Findings:
    return looked(listeners.look, scene(live=live, packages=Owning(), **options))  # type: ignore[arg-type]


@pytest.fixture
def live() -> FakeLive:
    """A server with sshd, a resolver, and somebody logged in."""
    live = FakeLive()
    sshd = live.add_process(b"/usr/sbin/sshd", age=900, argv=(b"sshd: /usr/sbin/sshd -D",))
    live.listen("tcp", b"0.0.0.0", 22, sshd)
    live.listen("tcp6", b"::", 22, sshd)
    live.listen("udp", b"127.0.0.53", 53, live.add_process(b"/usr/lib/systemd/systemd-resolved", age=900))
    live.listen("unix", b"/run/systemd/private", 0, 1)
    live.listen("udp", b"0.0.0.0", 2049)  # the kernel's own
    return live


def one(live: FakeLive, exe: bytes, port: int = 31337, **fields: object) -> Item:
    """What is said of a listener that is added."""
    live.listen("tcp", b"0.0.0.0", port, live.add_process(exe, age=50, **fields))  # type: ignore[arg-type]
    return found(live).named(f"tcp 0.0.0.0:{port}")


@pytest.mark.parametrize(
    ("address", "exe", "argv", "verdict"),
    [
        (b"@x", b"/usr/bin/python3.11", (b"python3", b"-c", b"import socket"), Verdict.NOTABLE),
        (b"@a b", b"/usr/bin/perl", (b"perl", b"-e", b"use IO"), Verdict.NOTABLE),
        (b"/run/x", b"/usr/bin/python3.11", (b"python3", b"-c", b"import socket"), Verdict.FINE),
        (b"@x", b"/usr/bin/python3.11", (b"python3", b"/usr/bin/tool"), Verdict.FINE),
        (b"@dbus-x", b"/usr/bin/dbus-daemon", (b"dbus-daemon",), Verdict.FINE),
    ],
)
def test_a_program_on_the_command_line_at_a_socket_that_no_file_shows(
    live: FakeLive, address: bytes, exe: bytes, argv: tuple[bytes, ...], verdict: Verdict
) -> None:
    live.listen("unix", address, 0, live.add_process(exe, age=50, argv=argv))
    item = found(live).named(f"unix {address.decode()}")
    assert item.verdict is verdict
    assert ("given its program on the command line" in item.says) is (verdict is not Verdict.FINE)


def test_processes_of_other_network_namespaces_are_counted(live: FakeLive) -> None:
    pod = live.add_process(b"/usr/sbin/nginx", unit=b"docker-0123abcd.scope", namespace="pid:[7]")
    more = live.add_process(b"/usr/sbin/nginx", parent=pod, namespace="pid:[7]")
    alone = live.add_process(b"/usr/bin/sleep", unit=b"private.service")
    live.spaces |= {"net:[5]": [pod, more], "net:[6]": [alone]}
    told = found(live)
    (unseen,) = told.unseen
    assert unseen.reason == (
        "3 processes in 2 other network namespaces were not looked at: "
        f"2 in the container docker-0123abcd.scope (nginx, pid {pod}), "
        f"1 in private.service (sleep, pid {alone})"
    )
    assert unseen.remedy == f"sudo nsenter -t {pod} -n ss -lntup"
    assert not told.suspicious


def test_many_network_namespaces_are_one_line(live: FakeLive) -> None:
    live.spaces |= {f"net:[{n}]": [live.add_process(b"/usr/bin/sleep", unit=b"a\x1b")] for n in range(50)}
    (unseen,) = found(live).unseen
    assert unseen.reason.startswith("50 processes in 50 other network namespaces")
    assert unseen.reason.endswith("and 45 namespaces more")
    assert "\x1b" not in unseen.reason


def test_a_clean_server_has_nothing_but_fine(live: FakeLive) -> None:
    told = found(live)
    assert {item.verdict for item in told.items} == {Verdict.FINE}
    assert not told.unseen
    assert not told.moments
    sshd = told.named("tcp 0.0.0.0:22")
    assert sshd.details["package"] == "base-files 12.4"
    assert sshd.details["parents"] == "systemd (1)"
    assert sshd.details["unit"] == "sshd.service"
    assert "/usr/sbin/sshd (pid 101, root) listens at" in sshd.says
    assert sshd.evidence[0].source == "ss -lntp 'sport = :22'"
    assert "kernel" in told.named("udp 0.0.0.0:2049").says


@pytest.mark.parametrize(
    ("exe", "fields", "clause"),
    [
        (b"/tmp/.X11/xd", {}, "anybody may write"),
        (b"/usr/share/.x/agent", {}, "hidden place"),
        (b"/memfd:x", {"state": ANONYMOUS}, "from memory"),
        (b"/usr/sbin/gone", {"state": DELETED}, "deleted"),
        (b"/dev/shm/a", {}, "anybody may write"),
        (b"/etc/agent", {}, "no package"),
        (b"/usr/libexec/agent", {}, "no package"),
        (b"/usr/bin/bash", {"argv": (b"bash", b"-i")}, "is a shell"),
        (b"/usr/bin/nc.openbsd", {"argv": (b"nc", b"-l", b"31337")}, "hands a connection"),
        (b"/usr/bin/python3.11", {"argv": (b"python3", b"-c", b"import pty")}, "on the command line"),
        (b"/usr/bin/perl", {"argv": (b"perl", b"/var/tmp/b.pl")}, "runs a script from a folder"),
    ],
)
def test_a_back_door(live: FakeLive, exe: bytes, fields: dict[str, object], clause: str) -> None:
    item = one(live, exe, **fields)  # type: ignore[arg-type]
    assert item.verdict is Verdict.SUSPICIOUS
    assert clause in item.says
    assert item.means
    assert item.next
    assert item.technique
    assert str(item.details["pid"]) in item.next


def test_a_program_of_the_administrator_is_no_back_door(live: FakeLive) -> None:
    assert one(live, b"/opt/app/bin/server").verdict is Verdict.FINE
    assert (
        one(live, b"/usr/bin/python3.11", 8000, argv=(b"python3", b"/opt/app/s.py")).verdict is Verdict.FINE
    )


def test_without_a_package_manager_nobody_is_called_unowned(live: FakeLive) -> None:
    live.listen("tcp", b"0.0.0.0", 80, live.add_process(b"/usr/sbin/nginx"))
    told = looked(listeners.look, scene(live=live))
    assert told.named("tcp 0.0.0.0:80").verdict is Verdict.FINE


def test_a_program_that_an_update_replaced_or_removed(live: FakeLive) -> None:
    assert one(live, b"/usr/sbin/nginx", state="replaced").verdict is Verdict.FINE
    assert one(live, b"/opt/x/d", 81, state="replaced").verdict is Verdict.NOTABLE


def test_who_started_it_and_from_where(live: FakeLive) -> None:
    sshd = live.add_process(b"/usr/sbin/sshd", age=500)
    shell = live.add_process(b"/usr/bin/bash", parent=sshd, uid=64001, age=400)
    pid = live.add_process(b"/opt/app/d", parent=shell, uid=64001, age=300)
    live.come_from(pid, login=64001, session=3, client=b"203.0.113.9 50412 192.0.2.1 22")
    live.listen("tcp", b"0.0.0.0", 9000, pid)
    item = found(live).named("tcp 0.0.0.0:9000")
    assert item.verdict is Verdict.NOTABLE
    assert "in uid 64001's login by ssh from 203.0.113.9 (session 3)" in item.says
    assert item.details["parents"] == f"bash ({shell}) < sshd ({sshd}) < systemd (1)"


def test_a_port_whose_process_nobody_finds(live: FakeLive) -> None:
    live.listen("tcp", b"0.0.0.0", 4444, 99_999).holders.clear()
    item = found(live).named("tcp 0.0.0.0:4444")
    assert (item.verdict, item.technique) == (Verdict.SUSPICIOUS, "T1014")


def test_an_ordinary_user_is_told_what_only_root_sees(live: FakeLive) -> None:
    live.hidden = 3
    live.listen("tcp", b"0.0.0.0", 4444, 99_999).holders.clear()
    told = found(live, uid=1000)
    assert told.named("tcp 0.0.0.0:4444").verdict is Verdict.FINE
    assert any(one.remedy == "sudo hostguardctl investigate" for one in told.unseen)


@pytest.mark.parametrize(
    ("exe", "verdict"),
    [
        (b"/usr/local/bin/sniff", Verdict.SUSPICIOUS),
        (b"/usr/bin/tcpdump", Verdict.NOTABLE),
        (b"/usr/sbin/dhclient", Verdict.FINE),
    ],
)
def test_who_hears_packets(live: FakeLive, exe: bytes, verdict: Verdict) -> None:
    live.listen("packet", b"any", 3, live.add_process(exe, age=50))
    assert found(live).named("packet any all").verdict is verdict


def test_the_moment_of_what_is_odd_is_its_process_s_beginning(live: FakeLive) -> None:
    where = scene(live=live, packages=Owning())
    live.listen("tcp", b"0.0.0.0", 31337, live.add_process(b"/tmp/x", age=50, uid=33))
    (moment,) = looked(listeners.look, where).moments
    assert (moment.kind, moment.confidence, moment.verdict) == (
        "listener",
        Confidence.SURE,
        Verdict.SUSPICIOUS,
    )
    assert moment.at == pytest.approx(where.now - 50, abs=1)
    assert moment.who


def test_what_the_baseline_says(live: FakeLive, monkeypatch: pytest.MonkeyPatch) -> None:
    known = scene(live=live, packages=Owning())
    live.listen("tcp", b"0.0.0.0", 31337, live.add_process(b"/usr/bin/socat", age=50))
    monkeypatch.setattr(known.approved, "known", lambda fact: Known.KNOWN)
    (item,) = looked(listeners.look, known).of(Verdict.SUSPICIOUS)  # to make less of it is not its business
    assert (item.name, item.known) == ("tcp 0.0.0.0:31337", Known.KNOWN)
    monkeypatch.setattr(known.approved, "known", lambda fact: Known.NEW)
    told = looked(listeners.look, known)
    assert told.named("tcp 0.0.0.0:22").verdict is Verdict.NOTABLE
    assert told.named("tcp 0.0.0.0:31337").verdict is Verdict.SUSPICIOUS


def test_another_owner_than_the_approved(live: FakeLive, monkeypatch: pytest.MonkeyPatch) -> None:
    where = scene(live=live, packages=Owning())
    (fact,) = [one for one in where.facts(ListenerFact) if one.label == b"tcp 0.0.0.0:22"]
    before = ListenerFact.of((*fact.row()[:4], b"/usr/sbin/dropbear", *fact.row()[5:]))
    monkeypatch.setattr(where.approved, "known", lambda fact: Known.CHANGED)
    monkeypatch.setattr(where.approved, "of", lambda kind, scope: {b"0.0.0.0:22": before.row()})
    item = looked(listeners.look, where).named("tcp 0.0.0.0:22")
    assert item.verdict is Verdict.SUSPICIOUS
    assert "/usr/sbin/dropbear" in item.says


def test_an_image_has_no_listeners() -> None:
    told = looked(listeners.look, scene(live=NoLiveHost()))
    assert not told.items
    assert told.unseen


def test_a_real_back_door(tmp_path: Path, running: Callable[..., subprocess.Popen[bytes]]) -> None:
    """On this machine: a copy of the interpreter in a temporary folder, which listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    image = tmp_path / "xd"
    shutil.copy(Path(sys.executable).resolve(), image)
    code = (
        f"import socket; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen();"
        "print(1, flush=True); s.accept()"
    )
    process = running([str(image), "-c", code], PYTHONHOME=sys.base_prefix)
    with closing(ProcHost()) as real:
        told = looked(listeners.look, scene(live=real)).named(f"tcp 127.0.0.1:{port}")
    assert told.verdict is Verdict.SUSPICIOUS
    assert told.details["pid"] == process.pid
    assert str(image) in str(told.details["exe"])


@pytest.mark.parametrize("proto", ["raw", "packet"])
def test_a_socket_that_was_just_opened_is_told(live: FakeLive, proto: str) -> None:
    """An inquiry looks once: what passes by nature cannot be left to the next look."""
    live.listen(proto, b"0.0.0.0" if proto == "raw" else b"any", 3, live.add_process(b"/tmp/sniff", age=1))
    assert [item.technique for item in found(live).of(Verdict.SUSPICIOUS)]
