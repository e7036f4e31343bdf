"""The real kernel: nothing is hidden on this machine, also under load; and what is hidden here is found."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostguardd.facts.hidden import HIDDEN_FILE, HIDDEN_FOLDER
from hostguardd.host.bundle import this_host
from hostguardd.host.files import LinuxFiles
from hostguardd.host.raw import Raw
from hostguardd.host.views import LinuxViews
from hostguardd.model import Depth, Row
from hostguardd.sensors import unlisted
from hostguardd.sensors.hidden import HiddenGlance, HiddenSensor

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def views() -> LinuxViews:
    made = LinuxViews(LinuxFiles())
    if made.blind:
        pytest.skip(made.blind)
    return made


def whole() -> list[Row]:
    """What a whole look at this machine finds, but for dot names that were simply there before."""
    host = this_host()
    sensor = HiddenSensor(host.views, host.files.mounts, time.time_ns)
    rows = [row for sweep in sensor.sweep(Depth.FULL, never) for row in sweep.rows]
    return [row for row in rows if row[2] not in (HIDDEN_FOLDER, HIDDEN_FILE)]


@contextmanager
def forking(seconds: float) -> Iterator[None]:
    """Some hundreds of short-lived processes a second, and threads."""
    code = """
        import os, sys, threading, time
        end = time.monotonic() + float(sys.argv[1])
        while time.monotonic() < end:
            for _ in range(10):
                pid = os.fork()
                if not pid:
                    os._exit(0)
                os.waitpid(pid, 0)
            threading.Thread(target=time.sleep, args=[0.001]).start()
            time.sleep(0.008)
    """
    load = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(seconds)])
    try:
        yield
    finally:
        load.kill()
        load.wait()


def test_nothing_is_hidden_on_this_machine(views: LinuxViews) -> None:
    assert whole() == []


@pytest.mark.slow
def test_nothing_is_hidden_while_processes_come_and_go(views: LinuxViews) -> None:
    glance = HiddenGlance(views, time.time_ns)
    with forking(60):
        assert whole() == []
        for _ in range(40):
            glance._due = glance._tables_due = 0.0
            assert list(glance.sweep(Depth.QUICK, never)) == []
        for _ in range(10):
            ids = range(1, views.limits()[1])
            suspects = list(unlisted.answering(views, ids, never))
            assert unlisted.confirmed(lambda s=suspects: unlisted.check_pids(views, s), views, never) == {}  # type: ignore[misc]
            assert unlisted.confirmed(lambda: unlisted.mentioned(views), views, never) == {}


def test_the_raw_views_agree_with_the_libraries(views: LinuxViews) -> None:
    assert os.getpid() in views.raw_listed()
    for folder in (b"/etc", b"/usr/bin", b"/dev"):
        seen = views.folder(folder)
        assert seen is not None
        assert seen.names == seen.raw.keys()
    assert views.folder(b"/nonexistent") is None
    assert views.texts(b"/etc/passwd") == (Path("/etc/passwd").read_bytes(),) * 2


def test_ids_that_answer_are_processes_and_threads(views: LinuxViews) -> None:
    ended = threading.Event()
    threads = [threading.Thread(target=ended.wait) for _ in range(3)]
    for one in threads:
        one.start()
    try:
        ids = [one.native_id or 0 for one in threads]
        assert Raw().answering([*ids, os.getpid(), 2**22 + 5]) == [*ids, os.getpid()]
        assert [views.leads(one) for one in (*ids, os.getpid())] == [False, False, False, True]
        assert views.covered([os.getpid()])[1] == threading.active_count()
    finally:
        ended.set()
        for one in threads:
            one.join()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_ports_that_are_held_are_found_and_told_of(views: LinuxViews, kind: str, family: int) -> None:
    sort = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    try:
        made = socket.socket(family, sort)
        made.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    except OSError as error:
        pytest.skip(f"no such sockets here: {error}")
    with made:
        if kind == "tcp":
            made.listen()
        port = made.getsockname()[1]
        assert views.held(kind, [port]) == [port]
        assert port in views.told(kind)
        assert all(port in ports for ports in (views.waiting(kind) or {}).values())
        if kind == "tcp":
            assert views.answers(port)
    assert views.held(kind, [port]) == []


def test_a_server_gets_its_port_although_it_is_being_tried(views: LinuxViews) -> None:
    """Both sides set SO_REUSEADDR: the probe never stands in the way of a server that starts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ended = threading.Event()

    def probe() -> None:
        while not ended.is_set():
            views.held("tcp", [port])

    prober = threading.Thread(target=probe)
    prober.start()
    try:
        for _ in range(300):
            with socket.socket() as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("0.0.0.0", port))
                server.listen()
    finally:
        ended.set()
        prober.join()


# -- a library that lies -------------------------------------------------------------------------------

LIAR = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static int hides(const char *name) {
    const char *hidden = getenv("TEST_HIDES");
    return hidden && !strcmp(name, hidden);
}

struct dirent *readdir(DIR *folder) {
    static struct dirent *(*real)(DIR *);
    struct dirent *found;
    if (!real) real = dlsym(RTLD_NEXT, "readdir");
    while ((found = real(folder)) && hides(found->d_name));
    return found;
}

struct dirent64 *readdir64(DIR *folder) {
    static struct dirent64 *(*real)(DIR *);
    struct dirent64 *found;
    if (!real) real = dlsym(RTLD_NEXT, "readdir64");
    while ((found = real(folder)) && hides(found->d_name));
    return found;
}
"""

LOOK = """
    import time
    from hostguardd.host.bundle import this_host
    from hostguardd.model import Depth
    from hostguardd.sensors.hidden import HiddenGlance, HiddenSensor
    host = this_host()
    sensor = HiddenSensor(host.views, host.files.mounts, time.time_ns)
    glance = HiddenGlance(host.views, time.time_ns)
    for how, one in ((Depth.FULL, sensor), (Depth.QUICK, glance)):
        for sweep in one.sweep(how, lambda: False):
            for row in sweep.rows:
                if row[2] in ("libc", "covered"):
                    print(how.value, row[1].decode(), row[2], flush=True)
"""


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library that hides what TEST_HIDES names from readdir(3)."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("liar")
    (folder / "liar.c").write_text(LIAR)
    command = [compiler, "-shared", "-fPIC", "-o", "liar.so", "liar.c", "-ldl"]
    subprocess.run(command, cwd=folder, check=True)
    return str(folder / "liar.so")


def looked(**environment: str) -> list[str]:
    """What a process of its own finds."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOOK)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()


def test_a_preloaded_library_hides_a_process(views: LinuxViews, liar: str) -> None:
    with subprocess.Popen([shutil.which("sleep") or "sleep", "60"]) as hidden:
        try:
            found = looked(LD_PRELOAD=liar, TEST_HIDES=str(hidden.pid))
            assert found == [f"full pid {hidden.pid} libc", f"quick pid {hidden.pid} libc"]
            assert looked() == []
        finally:
            hidden.send_signal(signal.SIGKILL)


def test_a_preloaded_library_hides_a_file(views: LinuxViews, liar: str) -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp", prefix="liar-") as hidden:
        name = os.path.basename(hidden.name)
        assert looked(LD_PRELOAD=liar, TEST_HIDES=name) == [f"full {hidden.name} libc"]


# -- a mount over a process ------------------------------------------------------------------------------

COVERED = """
    import ctypes, os, sys
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x00020000) == 0  # CLONE_NEWNS
    assert libc.mount(b"none", b"/", None, 16384 | 1 << 18, None) == 0  # MS_REC | MS_PRIVATE
    assert libc.mount(b"/mnt", b"/proc/%d" % int(sys.argv[1]), None, 4096, None) == 0  # MS_BIND
"""


@needs_root
def test_a_mount_over_a_process(views: LinuxViews) -> None:
    with subprocess.Popen([shutil.which("sleep") or "sleep", "60"]) as hidden:
        try:
            ran = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(COVERED) + textwrap.dedent(LOOK), str(hidden.pid)],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                capture_output=True,
                text=True,
                check=False,
            )
            if "AssertionError" in ran.stderr:
                pytest.skip("nothing can be mounted here")
            assert ran.stdout.splitlines() == [
                f"full pid {hidden.pid} covered",
                f"quick pid {hidden.pid} covered",
            ]
        finally:
            hidden.send_signal(signal.SIGKILL)


# -- costs -------------------------------------------------------------------------------------------


def test_it_stops_at_once(views: LinuxViews) -> None:
    host = this_host()
    sensor = HiddenSensor(host.views, host.files.mounts, time.time_ns)
    for after in (0.0, 0.02, 0.3):
        told: list[float] = []

        def stop(end: float = time.monotonic() + after, told: list[float] = told) -> bool:
            if time.monotonic() > end:
                told.append(time.thread_time())  # a busy machine takes time from us, but no time of ours
            return bool(told)

        list(sensor.sweep(Depth.FULL, stop))
        assert not told or time.thread_time() - told[0] < 0.25


def test_the_interpreter_is_not_the_one_that_lies() -> None:
    """The libraries of the C library's own handle are its own, whatever is preloaded."""
    assert ctypes.CDLL("libc.so.6").getpgid(0) == os.getpgid(0)
