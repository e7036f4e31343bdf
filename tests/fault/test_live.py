"""The real kernel: real sockets, real processes, and what an intruder really does with them.

What runs below this test process is a helper of somebody; settings that settle at once make it a
fact, so that nobody waits a minute here. Everything started is ended by the fixture.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from hostguardd.host import sockets as tables
from hostguardd.host.digests import LARGEST
from hostguardd.host.live import ANONYMOUS, DELETED, REPLACED, RUNNING, Process, Sockets
from hostguardd.host.netlink import Netlink
from hostguardd.host.proc import ProcHost
from hostguardd.model import Depth, ListenerFact, ProcessFact
from hostguardd.sections import ListenersConfig, ProcessesConfig
from hostguardd.sensors import processes
from hostguardd.sensors.listeners import ListenersSensor
from hostguardd.sensors.processes import ProcessesSensor

AT_ONCE = ProcessesConfig(detached=0.0, managed=0.0, helper=0.0, missing=0.0, instances=0.0)
SLEEP = shutil.which("sleep") or "/bin/sleep"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def never() -> bool:
    return False


T = TypeVar("T")


def until(look: Callable[[], T | None], seconds: float = 20.0) -> T:
    """The first true answer of `look`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


class Started:
    """Starts programs and ends them all."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[bytes]] = []
        self.pids: list[int] = []

    def __call__(self, *argv: str | bytes, **options: object) -> subprocess.Popen[bytes]:
        made: subprocess.Popen[bytes] = subprocess.Popen(argv, **options)  # type: ignore[call-overload]
        self.all.append(made)
        return made

    def python(self, code: str, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        """A Python program; returns once it has written a line (kept in `said`)."""
        options["stdout"] = subprocess.PIPE
        made = self(sys.executable, "-c", textwrap.dedent(code), *arguments, **options)
        assert made.stdout is not None
        self.said = made.stdout.readline().strip()
        return made

    def end(self) -> None:
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for one in self.all:
            one.kill()
            one.wait()
            if one.stdout:
                one.stdout.close()


@pytest.fixture
def start() -> Iterator[Started]:
    made = Started()
    yield made
    made.end()


@pytest.fixture
def host() -> Iterator[ProcHost]:
    made = ProcHost()
    yield made
    made.close()


def settled(host: ProcHost, pid: int, wanted: Callable[[Process], bool]) -> Process:
    """The process once it looks as wanted (it forks first, executes later)."""

    def look() -> Process | None:
        found = host.process(pid)
        return found if found is not None and wanted(found) else None

    return until(look)


def copy_of_sleep(folder: Path, name: bytes = b"program") -> bytes:
    path = os.fsencode(folder) + b"/" + name
    shutil.copy(os.fsencode(SLEEP), path)
    return path


def read(host: ProcHost, pid: int) -> bytes | None:
    """The digest of its image, read if it was not."""
    host.read(pid, never)
    return host.digest(pid)


def executes(path: bytes) -> Callable[[Process], bool]:
    return lambda process: process.exe == path


# -- processes ---------------------------------------------------------------------------------------


def test_this_process_is_described_truly(host: ProcHost) -> None:
    found = host.process(os.getpid())
    assert found is not None
    other = psutil.Process()
    assert found.exe == os.fsencode(os.path.realpath(f"/proc/{os.getpid()}/exe"))
    assert found.state == RUNNING
    assert found.parent == os.getppid()
    assert found.uid == os.geteuid()
    assert found.session == os.getsid(0)
    assert found.argv == tuple(os.fsencode(word) for word in other.cmdline())
    assert found.cwd == os.fsencode(os.getcwd())
    assert not found.kernel
    assert abs(host.seconds(found.started) - (host.uptime() - (time.time() - other.create_time()))) < 5


def test_it_agrees_with_psutil_on_every_process(host: ProcHost) -> None:
    compared = 0
    for pid in host.pids():
        try:
            other = psutil.Process(pid)
            names, parent, uid, born = other.name(), other.ppid(), other.uids().effective, other.status()
        except psutil.Error:
            continue
        found = host.process(pid)
        if found is None or born == psutil.STATUS_ZOMBIE or found.parent != parent:
            continue
        assert found.uid == uid
        assert os.fsencode(names).startswith(found.comm) or found.comm.startswith(os.fsencode(names)[:15])
        compared += 1
    assert compared > 2


def test_a_deleted_program(host: ProcHost, start: Started, tmp_path: Path) -> None:
    path = copy_of_sleep(tmp_path)
    pid = start(path, b"60").pid
    found = settled(host, pid, executes(path))
    digest = read(host, pid)
    assert found.state == RUNNING
    os.unlink(path)
    gone = host.process(pid)
    assert gone is not None
    assert (gone.exe, gone.state) == (path, DELETED)
    assert read(host, pid) == digest is not None


def test_a_program_whose_name_ends_as_if_it_were_deleted(
    host: ProcHost, start: Started, tmp_path: Path
) -> None:
    path = copy_of_sleep(tmp_path, b"program (deleted)")
    pid = start(path, b"60").pid
    assert settled(host, pid, executes(path)).state == RUNNING
    os.unlink(path)
    gone = host.process(pid)
    assert gone is not None
    assert (gone.exe, gone.state) == (path, DELETED)


def test_a_replaced_program_and_one_replaced_by_the_same(
    host: ProcHost, start: Started, tmp_path: Path
) -> None:
    path = copy_of_sleep(tmp_path)
    pid = start(path, b"60").pid
    settled(host, pid, executes(path))
    os.rename(copy_of_sleep(tmp_path, b"new"), path)
    unread = host.process(pid)
    assert unread is not None
    assert (unread.exe, unread.state) == (path, REPLACED)
    assert host.unread(pid) == 2 * os.path.getsize(path)
    read(host, pid)
    assert host.unread(pid) == 0
    same = host.process(pid)
    assert same is not None
    assert (same.exe, same.state) == (path, RUNNING)
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    os.rename(other, path)
    replaced = host.process(pid)
    assert replaced is not None
    assert (replaced.exe, replaced.state) == (path, REPLACED)


def test_a_fifo_in_the_place_of_a_running_program_blocks_nobody(
    host: ProcHost, start: Started, tmp_path: Path
) -> None:
    path = copy_of_sleep(tmp_path)
    pid = start(path, b"60").pid
    settled(host, pid, executes(path))
    os.unlink(path)
    os.mkfifo(path)
    read(host, pid)
    found = host.process(pid)
    assert found is not None
    assert found.state == REPLACED


def test_a_crowd_of_huge_images_holds_nobody_up(host: ProcHost, start: Started, tmp_path: Path) -> None:
    """A program runs on with any tail: whoever fills the lane with digests could silence the rest."""
    huge = {copy_of_sleep(tmp_path, b"huge-%d" % number) for number in range(30)}
    for path in huge:
        os.truncate(path, LARGEST - 4096)
        settled(host, start(path, b"60").pid, executes(path))
    tmp_small = copy_of_sleep(tmp_path, b"small")
    settled(host, start(tmp_small, b"60").pid, executes(tmp_small))
    sensor = ProcessesSensor(host, ProcessesConfig(), time.time_ns)
    began = time.monotonic()
    (sweep,) = sensor.sweep(Depth.QUICK, never)
    spent = time.monotonic() - began
    one = time.monotonic()
    facts = {fact.exe: fact for fact in map(ProcessFact.of, sweep.rows)}
    assert huge <= facts.keys()
    assert facts[tmp_small].sha256 == hashlib.sha256(Path(os.fsdecode(tmp_small)).read_bytes()).digest()
    unknown = [path for path in huge if facts[path].sha256 is None]
    assert len(unknown) > 20
    host.read(facts[unknown[0]].pid, never)
    assert spent < 1.0 + 4 * (time.monotonic() - one)
    until(sensor.changed)


def test_an_image_is_left_off_when_told_to_stop(host: ProcHost, start: Started, tmp_path: Path) -> None:
    path = copy_of_sleep(tmp_path)
    os.truncate(path, LARGEST)
    pid = start(path, b"60").pid
    settled(host, pid, executes(path))
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 3

    host.read(pid, stop)
    assert len(asked) == 4
    assert host.digest(pid) is None
    assert host.unread(pid) == LARGEST
    absurd = copy_of_sleep(tmp_path, b"absurd")
    os.truncate(absurd, LARGEST + 1)
    pid = start(absurd, b"60").pid
    settled(host, pid, executes(absurd))
    assert host.unread(pid) == 0


def test_a_full_sweep_has_a_digest_for_every_image(host: ProcHost) -> None:
    (sweep,) = ProcessesSensor(host, AT_ONCE, time.time_ns).sweep(Depth.FULL, never)
    assert sweep.rows
    for fact in map(ProcessFact.of, sweep.rows):
        assert fact.sha256 is not None or not host.process(fact.pid)


def test_a_program_in_memory(host: ProcHost, start: Started) -> None:
    code = f"""
        import os
        handle = os.memfd_create("kworker")
        os.write(handle, open({SLEEP!r}, "rb").read())
        print("ready", flush=True)
        os.execve(handle, ["[kworker/0:1]", "60"], {{}})
    """
    pid = start.python(code).pid
    found = settled(host, pid, lambda process: process.state == ANONYMOUS)
    assert found.exe == b"/memfd:kworker"
    sensor = ProcessesSensor(host, ProcessesConfig(), time.time_ns)
    (sweep,) = sensor.sweep(Depth.QUICK, never)
    (fact,) = [fact for fact in map(ProcessFact.of, sweep.rows) if fact.pid == pid]
    assert {"anonymous", "masquerade"} <= fact.traits()
    assert fact.sha256 is not None


def test_a_program_in_a_temporary_folder_is_a_fact_at_once(host: ProcHost, start: Started) -> None:
    folder = Path(f"/tmp/hostguardd-test-{os.getpid()}")
    folder.mkdir()
    try:
        path = copy_of_sleep(folder)
        sensor = ProcessesSensor(host, ProcessesConfig(), time.time_ns)
        list(sensor.sweep(Depth.QUICK, never))
        pid = start(path, b"60").pid
        settled(host, pid, executes(path))
        until(sensor.changed)
        (sweep,) = sensor.sweep(Depth.QUICK, never)
        (fact,) = [fact for fact in map(ProcessFact.of, sweep.rows) if fact.exe == path]
        assert (fact.pid, fact.uid) == (pid, os.geteuid())
        assert "temporary" in fact.traits()
    finally:
        shutil.rmtree(folder)


def test_a_double_fork_is_a_helper_until_its_maker_ends(
    host: ProcHost, start: Started, tmp_path: Path
) -> None:
    """And a service from then on. It lies in a temporary folder, so it is news while its maker lives."""
    path = os.fsdecode(copy_of_sleep(tmp_path))
    sensor = ProcessesSensor(host, ProcessesConfig(), time.time_ns)
    list(sensor.sweep(Depth.QUICK, never))
    code = """
        import os, sys
        if os.fork() == 0:
            os.setsid()
            pid = os.fork()
            if pid == 0:
                null = os.open("/dev/null", os.O_RDWR)
                os.dup2(null, 1)
                os.execv(sys.argv[1], ["program", "60"])
            print(pid, flush=True)
            sys.stdin.readline()
            os._exit(0)
        os.wait()
    """
    maker = start.python(code, path, stdin=subprocess.PIPE)
    assert maker.stdin is not None
    pid = int(start.said)
    start.pids.append(pid)
    made = settled(host, pid, executes(os.fsencode(path)))

    def has_role(role: str) -> bool:
        rows = [row for sweep in sensor.sweep(Depth.QUICK, never) for row in sweep.rows]
        return any((fact.pid, fact.role) == (pid, role) for fact in map(ProcessFact.of, rows))

    until(lambda: sensor.changed() and has_role("helper"))
    maker.stdin.close()
    maker.wait()
    settled(host, pid, lambda process: process.parent != made.parent)
    until(lambda: sensor.changed() and has_role("service"))


def test_a_name_that_is_no_text(host: ProcHost, start: Started) -> None:
    code = r"""
        import ctypes, time
        ctypes.CDLL(None).prctl(15, b"\xff) R 1 1\n\x1b[", 0, 0, 0)
        print("ready", flush=True)
        time.sleep(60)
    """
    pid = start.python(code).pid
    found = host.process(pid)
    assert found is not None
    assert found.comm == b"\xff) R 1 1\n\x1b["
    assert found.parent == os.getpid()
    assert found.uid == os.geteuid()


def test_a_process_whose_first_thread_has_ended_is_no_zombie(host: ProcHost, start: Started) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the number of exit(2) is another one here")
    code = """
        import ctypes, threading, time, sys, socket
        door = socket.create_server(("127.0.0.1", 0))
        def live():
            time.sleep(0.2)
            print(door.getsockname()[1], flush=True)
            time.sleep(60)
        threading.Thread(target=live).start()
        ctypes.CDLL(None).syscall(60, 0)
    """
    pid = start.python(code).pid
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)  # its first thread has ended
    found = host.process(pid)
    assert found is not None
    assert found.exe == os.fsencode(os.path.realpath(sys.executable))
    assert read(host, pid) is not None
    fact = listener(host, b"127.0.0.1:" + start.said)
    assert fact.pid == pid


def test_a_zombie_is_gone(host: ProcHost, start: Started) -> None:
    made = start(SLEEP, "0")
    until(lambda: psutil.Process(made.pid).status() == psutil.STATUS_ZOMBIE)
    assert host.process(made.pid) is None
    assert read(host, made.pid) is None


def test_what_never_was_is_gone(host: ProcHost) -> None:
    assert host.process(2**22 + 5) is None
    assert read(host, 2**22 + 5) is None


def test_processes_that_come_and_go_under_our_eyes(host: ProcHost, start: Started) -> None:
    start(
        "/bin/sh", "-c", "i=0; while [ $i -lt 600 ]; do /bin/true; /bin/sleep 0.001 & i=$((i+1)); done; wait"
    )
    processes = ProcessesSensor(host, AT_ONCE, time.time_ns)
    listeners = ListenersSensor(host, ListenersConfig(), time.time_ns)
    deadline = time.monotonic() + 10
    while start.all[0].poll() is None and time.monotonic() < deadline:
        for sensor in (processes, listeners):
            list(sensor.sweep(Depth.FULL, never))


def test_kernel_threads_are_told_from_programs(host: ProcHost) -> None:
    if not Path("/proc/2/comm").exists() or Path("/proc/2/comm").read_text() != "kthreadd\n":
        pytest.skip("no kernel threads in this pid namespace")
    found = host.process(2)
    assert found is not None
    assert (found.kernel, found.exe) == (True, b"")


def test_the_fork_mark_moves(host: ProcHost, start: Started) -> None:
    before = host.fork_mark()
    start(SLEEP, "60")
    assert host.fork_mark() != before


@needs_root
def test_a_service_in_a_mount_namespace_of_its_own(host: ProcHost, start: Started, tmp_path: Path) -> None:
    """Its /tmp is not our /tmp: what lies there under the same name in ours says nothing."""
    inside = tmp_path / "inside"
    inside.mkdir()
    copy_of_sleep(inside)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "program").write_bytes(b"another")
    script = f"mount --bind {inside} {outside} && exec {outside}/program 60"
    try:
        probe = subprocess.run(["unshare", "-m", "true"], check=False)
    except FileNotFoundError:
        pytest.skip("no unshare(1)")
    if probe.returncode:
        pytest.skip("no mount namespaces here")
    pid = start("unshare", "-m", "sh", "-c", script).pid
    found = settled(host, pid, lambda process: process.comm == b"program")
    assert (found.exe, found.state) == (os.fsencode(outside / "program"), RUNNING)


@needs_root
def test_a_container_s_processes_are_blind(
    host: ProcHost, start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    if subprocess.run(["unshare", "-pf", "true"], check=False).returncode:
        pytest.skip("no pid namespaces here")
    start("unshare", "-pfn", "--kill-child", SLEEP, "61")
    sensor = ProcessesSensor(host, AT_ONCE, time.time_ns)

    def look() -> str:
        (sweep,) = sensor.sweep(Depth.FULL, never)
        assert not any(fact.command == b"%s 61" % SLEEP.encode() for fact in map(ProcessFact.of, sweep.rows))
        return next((b.reason for b in sweep.blinds if b.scope == b"pid namespaces"), "")

    monkeypatch.setattr(processes, "NAMED", 1000)  # others may run containers here, too
    assert until(lambda: "sleep" in look())
    listeners = ListenersSensor(host, ListenersConfig(), time.time_ns)
    blinds = {blind for sweep in listeners.sweep(Depth.FULL, never) for blind in sweep.blinds}
    assert any(blind.scope == b"net namespaces" and "net:[" in blind.reason for blind in blinds)


@needs_root
def test_without_rights_others_are_hidden_and_nothing_is_guessed(tmp_path: Path) -> None:
    code = """
        import os, sys, time
        from pathlib import Path
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        from hostguardd.sections import ListenersConfig, ProcessesConfig
        from hostguardd.host.proc import ProcHost
        from hostguardd.model import Depth
        from hostguardd.sensors.listeners import ListenersSensor
        from hostguardd.sensors.processes import ProcessesSensor
        host = ProcHost()
        settings = ProcessesConfig(helper=0, detached=0)
        (one,) = ProcessesSensor(host, settings, time.time_ns).sweep(Depth.FULL, lambda: False)
        assert {row[2] for row in one.rows} <= {65534}, one.rows
        assert any("may not be read" in blind.reason for blind in one.blinds), one.blinds
        sweeps = list(ListenersSensor(host, ListenersConfig(), time.time_ns).sweep(Depth.FULL, lambda: False))
        row = next(row for sweep in sweeps for row in sweep.rows if row[1] == sys.argv[1].encode())
        assert row[3] == 0 and row[4:9] == (None,) * 5, row
        assert any("owners of" in blind.reason for blind in sweeps[0].blinds)
        print("fine")
    """
    # It runs from the source tree, which nobody else may be able to read after it became nobody.
    loaded = "import hostguardd.sensors.listeners, hostguardd.sensors.processes, hostguardd.host.proc\n"
    with socket.create_server(("127.0.0.1", 0)) as door:
        endpoint = f"127.0.0.1:{door.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", loaded + textwrap.dedent(code), endpoint],
            capture_output=True,
            check=False,
            text=True,
            cwd=Path(__file__).parents[2],
        )
    assert done.stdout == "fine\n", done.stderr


# -- listeners ---------------------------------------------------------------------------------------


def facts(host: ProcHost, depth: Depth = Depth.QUICK) -> list[ListenerFact]:
    sensor = ListenersSensor(host, ListenersConfig(udp_settle=0.0, ignore_unix=()), time.time_ns)
    return [ListenerFact.of(row) for sweep in sensor.sweep(depth, never) for row in sweep.rows]


def listener(host: ProcHost, endpoint: bytes) -> ListenerFact:
    (found,) = [fact for fact in facts(host) if fact.endpoint == endpoint]
    return found


@pytest.fixture(params=[True, False], ids=["netlink", "proc"])
def either(request: pytest.FixtureRequest) -> Iterator[ProcHost]:
    """A host asked by sock_diag, and one that must read /proc/net."""
    made = ProcHost(netlink=request.param)
    yield made
    made.close()


FAMILIES = [
    ("tcp", socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", b"127.0.0.1:"),
    ("tcp6", socket.AF_INET6, socket.SOCK_STREAM, "::1", b"[::1]:"),
    ("udp", socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1", b"127.0.0.1:dynamic "),
    ("udp6", socket.AF_INET6, socket.SOCK_DGRAM, "::1", b"[::1]:dynamic "),
]


@pytest.mark.parametrize(("proto", "family", "kind", "address", "prefix"), FAMILIES)
def test_inet_listeners(
    either: ProcHost, proto: str, family: int, kind: int, address: str, prefix: bytes
) -> None:
    with socket.socket(family, kind) as door:
        try:
            door.bind((address, 0))
        except OSError:
            pytest.skip(f"no {proto} here")
        if kind == socket.SOCK_STREAM:
            door.listen()
        port = door.getsockname()[1]
        exe = os.fsencode(os.path.realpath(sys.executable))
        endpoint = prefix + (exe if b"dynamic" in prefix else b"%d" % port)
        (fact,) = [one for one in facts(either) if one.proto == proto and one.endpoint == endpoint]
        assert (fact.port, fact.pid, fact.exe, fact.uid) == (port, os.getpid(), exe, os.geteuid())
        assert fact.inode == os.fstat(door.fileno()).st_ino
        assert fact.sha256 is not None


def test_connected_sockets_do_not_wait(either: ProcHost) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        socket.create_connection(door.getsockname()) as client,
    ):
        port = client.getsockname()[1]
        assert port not in {fact.port for fact in facts(either)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("127.0.0.1", 9))
        assert asking.getsockname()[1] not in {fact.port for fact in facts(either)}


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
@pytest.mark.parametrize("name", [b"x y\xff\x1b.sock", b"@hostguardd \xff\x01"])
def test_unix_listeners(either: ProcHost, tmp_path: Path, kind: int, name: bytes) -> None:
    path = name if name.startswith(b"@") else os.fsencode(tmp_path) + b"/" + name
    with socket.socket(socket.AF_UNIX, kind) as door:
        door.bind(b"\0" + path[1:] if path.startswith(b"@") else path)
        assert path not in {fact.endpoint for fact in facts(either)}
        door.listen()
        fact = next(one for one in facts(either) if one.endpoint == path)
        assert (fact.proto, fact.pid, fact.inode) == ("unix", os.getpid(), os.fstat(door.fileno()).st_ino)


@needs_root
def test_raw_sockets(either: ProcHost) -> None:
    try:
        door = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    except PermissionError:
        pytest.skip("no raw sockets here")
    with door:
        fact = next(one for one in facts(either) if one.inode == os.fstat(door.fileno()).st_ino)
        assert (fact.proto, fact.endpoint, fact.port) == ("raw", b"0.0.0.0:1", 1)


def test_both_ways_agree_with_psutil() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        wanted = {
            (conn.laddr[1], conn.pid)
            for conn in psutil.net_connections("tcp4")
            if conn.laddr and conn.status == psutil.CONN_LISTEN and conn.pid
        }
        assert (port, os.getpid()) in wanted
        for netlink in (True, False):
            host = ProcHost(netlink=netlink)
            seen = {(fact.port, fact.pid) for fact in facts(host) if fact.proto == "tcp"}
            assert wanted <= seen
            host.close()


def test_a_second_program_on_a_shared_port_is_named(host: ProcHost, start: Started, tmp_path: Path) -> None:
    thief = tmp_path / "thief"
    shutil.copy(os.path.realpath(sys.executable), thief)
    code = """
        import socket, sys, time
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        door.bind(("127.0.0.1", int(sys.argv[1])))
        door.listen()
        print("ready", flush=True)
        time.sleep(60)
    """
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        door.bind(("127.0.0.1", 0))
        door.listen()
        port = door.getsockname()[1]
        endpoint = b"127.0.0.1:%d" % port
        assert listener(host, endpoint).others == b""
        environment = {**os.environ, "PYTHONHOME": sys.base_prefix}
        made = start(
            str(thief), "-c", textwrap.dedent(code), str(port), stdout=subprocess.PIPE, env=environment
        )
        assert made.stdout is not None
        if made.stdout.readline() != b"ready\n":
            pytest.skip("a copied interpreter does not run here")
        fact = listener(host, endpoint)
        assert fact.pid == os.getpid()
        assert fact.others == os.fsencode(thief)
        assert "shared" in fact.traits()


def test_an_inherited_socket_belongs_to_the_oldest(host: ProcHost, start: Started) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        os.set_inheritable(door.fileno(), True)
        start(SLEEP, "60", close_fds=False)
        endpoint = b"127.0.0.1:%d" % door.getsockname()[1]
        assert listener(host, endpoint).pid == os.getpid()
        child = start.all[0].pid
        settled(host, child, lambda process: process.comm == b"sleep")
    fact = listener(host, endpoint)
    assert (fact.pid, fact.exe) == (child, os.fsencode(os.path.realpath(SLEEP)))


SO_COOKIE = 57


def each(cookies: bytes) -> set[bytes]:
    return {cookies[at : at + 8] for at in range(0, len(cookies), 8)}


def test_a_poll_notices_each_open_and_close(host: ProcHost) -> None:
    for proto in ("tcp", "unix"):
        door = socket.socket(socket.AF_INET if proto == "tcp" else socket.AF_UNIX)
        door.bind(("127.0.0.1", 0) if proto == "tcp" else b"\0hostguardd-%d" % os.getpid())
        door.listen()
        mine = door.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8)
        assert mine in each(host.cookies(proto)), "others may open and close theirs at the same time"
        door.close()
        assert mine not in each(host.cookies(proto))


def test_a_socket_in_a_thread_s_own_file_table_is_found(host: ProcHost, start: Started) -> None:
    code = """
        import ctypes, socket, threading, time
        def live():
            if ctypes.CDLL(None, use_errno=True).unshare(0x400):
                print("refused", flush=True)
            door = socket.create_server(("127.0.0.1", 0))
            print(door.getsockname()[1], flush=True)
            time.sleep(60)
        threading.Thread(target=live).start()
    """
    pid = start.python(code).pid
    if start.said == b"refused":
        pytest.skip("unshare(CLONE_FILES) is refused here")
    assert listener(host, b"127.0.0.1:" + start.said).pid == pid


def test_a_table_larger_than_a_datagram(host: ProcHost) -> None:
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        doors = []
        try:
            for _ in range(900):
                door = socket.socket()
                doors.append(door)
                door.bind(("127.0.0.1", 0))
                door.listen()
            ports = {door.getsockname()[1] for door in doors}
            assert ports <= {found.port for found in host.sockets("tcp").found}
            assert len(host.cookies("tcp")) % 8 == 0
            assert len(host.cookies("tcp")) >= 900 * 8
        finally:
            for door in doors:
                door.close()


class Liar:
    """A netlink socket whose answers are spoiled: each of `faults` once, then the truth."""

    def __init__(self, real: socket.socket, faults: list[str]) -> None:
        self._real = real
        self._faults = faults

    def send(self, data: bytes) -> int:
        return self._real.send(data)

    def recvmsg_into(self, buffers: list[bytearray]) -> tuple[int, list[tuple[int, int, bytes]], int, object]:
        size, extra, flags, sender = self._real.recvmsg_into(buffers)
        fault = self._faults.pop(0) if self._faults else ""
        if fault == "truncated":
            flags |= socket.MSG_TRUNC
        elif fault == "garbled":
            buffers[0][0:4] = b"\xff\xff\xff\xff"
        elif fault == "overrun":
            raise OSError(105, "No buffer space available")
        elif fault == "silent":
            raise BlockingIOError(11, "Resource temporarily unavailable")
        elif fault == "interrupted":
            buffers[0][6] |= 0x10
        return size, extra, flags, sender

    def close(self) -> None:
        self._real.close()


def test_spoiled_answers_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in ("truncated", "garbled", "overrun", "silent", "interrupted"):
        table = tables.SocketTable()
        faults = [fault]
        opened = table._door._open

        def lying(asking: Netlink = table._door, faults: list[str] = faults, opened=opened) -> Liar:  # type: ignore[no-untyped-def]
            asking._door = Liar(opened(), faults)  # type: ignore[assignment]
            return asking._door  # type: ignore[return-value]

        monkeypatch.setattr(table._door, "_open", lying)
        with socket.create_server(("127.0.0.1", 0)) as door:
            found = table.sockets("tcp")
            assert faults == []
            assert door.getsockname()[1] in {one.port for one in found.found}
            assert found.problem == ""
        table.close()


def test_a_table_that_never_stands_still_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tables.SocketTable()
    asking = table._door
    opened = asking._open

    def lying() -> Liar:
        asking._door = Liar(opened(), ["interrupted"] * 100)  # type: ignore[assignment]
        return asking._door  # type: ignore[return-value]

    monkeypatch.setattr(asking, "_open", lying)
    with socket.create_server(("127.0.0.1", 0)) as door:
        found = table.sockets("tcp")
        assert door.getsockname()[1] in {one.port for one in found.found}
        assert "kept changing" in found.problem
    table.close()


def test_a_refused_netlink_falls_back_to_the_text_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tables.SocketTable()

    def refused() -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(table._door, "_open", refused)
    with socket.create_server(("127.0.0.1", 0)) as door:
        before = table.cookies("tcp")
        assert door.getsockname()[1] in {one.port for one in table.sockets("tcp").found}
    assert table.cookies("tcp") != before


def test_a_protocol_the_kernel_does_not_have_has_no_sockets(tmp_path: Path) -> None:
    table = tables.SocketTable(os.fsencode(tmp_path), netlink=False)
    for proto in ("tcp", "sctp", "raw6", "unix"):
        assert table.sockets(proto) == Sockets()
    (tmp_path / "net" / "sctp").mkdir(parents=True)
    table = tables.SocketTable(os.fsencode(tmp_path), netlink=False)
    assert "sctp_diag" in table.sockets("sctp").problem
