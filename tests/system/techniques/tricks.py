"""How an intruder hides from a watcher: forged names, odd files, swaps, floods."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket

from .table import LIVE, Deed, NotHere, act, add
from .tools import append, impossible, kept, made, run, sh, write

CRON = "T1053.003"
LATE = 3.0
"""Seconds for what raises no event: the pulse looks at what is urgent once a second."""

RENAMEAT2, EXCHANGE, AT_FDCWD, FOLLOW = 316, 2, -100, 0x400
libc = ctypes.CDLL(None, use_errno=True)


def named(name: str, path: bytes, does: str, *words: str) -> None:
    """The row of a file with a hostile name."""

    def deed() -> Deed:
        with open(path, "wb") as file:
            file.write(b"* * * * * root /tmp/x\n")
        yield
        os.unlink(path)

    add(name, deed, CRON, does, *words)


named(
    "name-with-newline",
    b"/etc/cron.d/two\nlines",
    "a name that ends a line and forges the next",
    r"two\\x0alines",
)
named("name-with-escape", b"/etc/cron.d/\x1b[2Jgone", "a name that clears the terminal", r"\\x1b[2Jgone")
named(
    "name-right-to-left",
    "/etc/cron.d/\u202egnp.exe".encode(),
    "a name that is read from right to left",
    r"\\xe2\\x80\\xaegnp.exe",
)
named(
    "name-no-utf-8",
    b"/etc/cron.d/\xff\xfe\xfd",
    "a name whose bytes are no UTF-8",
    r"/etc/cron.d/\\xff\\xfe\\xfd",
)
named(
    "name-with-quote",
    b'/etc/cron.d/a","message":"all is well',
    "a name that would end a string of JSON",
    "all is well",
)
named("name-very-long", b"/etc/cron.d/" + b"n" * 255, "a name of 255 bytes", "n" * 255)


@act(CRON, "mkfifo in cron.d: who reads it waits for ever", "/etc/cron.d/pipe")
def fifo() -> Deed:
    with made("/etc/cron.d/pipe"):
        os.mkfifo("/etc/cron.d/pipe")
        yield


@act(CRON, "a socket in cron.d", "/etc/cron.d/sock")
def socket_file() -> Deed:
    with made("/etc/cron.d/sock"):
        one = socket.socket(socket.AF_UNIX)
        one.bind("/etc/cron.d/sock")
        yield
        one.close()


@act(CRON, "mknod c 1 5 (/dev/zero): who reads it never ends", "/etc/cron.d/zero")
def device() -> Deed:
    with made("/etc/cron.d/zero"):
        try:
            os.mknod("/etc/cron.d/zero", 0o600 | 0o020000, os.makedev(1, 5))
        except PermissionError as error:
            raise NotHere(f"a container may not make devices: {error.strerror}") from None
        yield


@act(CRON, "a sparse file of 10 TB", "/etc/cron.d/huge")
def sparse_file() -> Deed:
    with made("/etc/cron.d/huge"):
        with open("/etc/cron.d/huge", "wb") as file:
            file.truncate(10 * 10**12)
        yield


@act(CRON, "20,000 names in /tmp, and in the middle of it one in cron.d", "/etc/cron.d/in-the-crowd")
def crowd_in_tmp() -> Deed:
    with made("/tmp/crowd/x", "/etc/cron.d/in-the-crowd"):
        os.mkdir("/tmp/crowd")
        for number in range(20_000):
            os.close(os.open(f"/tmp/crowd/{number}", os.O_CREAT | os.O_WRONLY, 0o755))
            if number == 10_000:
                write("/etc/cron.d/in-the-crowd", "x\n")
        yield


@act(f"{CRON} T1070.006", "replaced by rename, as an editor does: one alert", "/etc/anacrontab", at_most=1)
def replaced_by_rename() -> Deed:
    with kept("/etc/anacrontab"):
        sh(
            "cp -p /etc/anacrontab /etc/anacrontab.n",
            "echo '1 1 x /tmp/x' >> /etc/anacrontab.n",
            "mv /etc/anacrontab.n /etc/anacrontab",
        )
        yield


@act(CRON, "O_TMPFILE, then linkat: the file is whole when its name comes", "/etc/cron.d/linked")
def tmpfile_linked() -> Deed:
    with made("/etc/cron.d/linked"):
        fd = os.open("/etc/cron.d", os.O_TMPFILE | os.O_WRONLY, 0o644)
        os.write(fd, b"* * * * * root /tmp/x\n")
        # os.link has no AT_SYMLINK_FOLLOW, which is what open(2) names for this.
        done = libc.linkat(AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, b"/etc/cron.d/linked", FOLLOW)
        os.close(fd)
        assert done == 0, os.strerror(ctypes.get_errno())
        yield


@act(CRON, "a hard link to a file in an unwatched folder", "/etc/cron.d/hard")
def hard_link() -> Deed:
    with made("/etc/cron.d/hard", "/var/lib/misc/hard"):
        write("/var/lib/misc/hard", "* * * * * root /tmp/x\n")
        os.link("/var/lib/misc/hard", "/etc/cron.d/hard")
        yield


@act(CRON, "a symbolic link into /tmp", "/etc/cron.d/soft")
def symbolic_link() -> Deed:
    with made("/etc/cron.d/soft"):
        os.symlink("/tmp/soft", "/etc/cron.d/soft")
        yield


@act(
    "T1548.003",
    "a write through a hard link that was there before, in an unwatched folder",
    "/etc/sudoers.d/README",
    within=LATE,
)
def written_through_a_hard_link() -> Deed:
    assert os.path.samefile("/var/lib/misc/readme", "/etc/sudoers.d/README")
    append("/var/lib/misc/readme", "alice ALL=(ALL) NOPASSWD: ALL\n")
    yield


@act("T1556.003", "truncate(2) by path: no event of closing", "/etc/pam.d/other", within=LATE)
def truncated_by_path() -> Deed:
    with kept("/etc/pam.d/other"):
        os.truncate("/etc/pam.d/other", 0)
        yield


@act("T1556.003", "a write by mmap(2) through a descriptor that stays open", "/etc/pam.d/su", within=LATE)
def written_by_mmap() -> Deed:
    with kept("/etc/pam.d/su"), open("/etc/pam.d/su", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[0:1] = b"~"
        memory.flush()
        yield


@act("T1556.003", "opened long before, written now, not closed", "/etc/pam.d/login", within=LATE)
def written_late() -> Deed:
    with kept("/etc/pam.d/login"), open("/etc/pam.d/login", "a") as file:
        file.write("auth sufficient pam_permit.so\n")
        file.flush()
        yield


@act("T1546", "a folder is renamed and another put in its place", "/etc/logrotate.d/cron-x", within=LATE)
def folder_replaced() -> Deed:
    sh(
        "cp -a /etc/logrotate.d /etc/logrotate.n",
        "echo x > /etc/logrotate.n/cron-x",
        "mv /etc/logrotate.d /etc/logrotate.o",
        "mv /etc/logrotate.n /etc/logrotate.d",
    )
    yield
    sh("mv /etc/logrotate.d /etc/logrotate.n; mv /etc/logrotate.o /etc/logrotate.d; rm -r /etc/logrotate.n")


@act(CRON, "a folder is written to after it was replaced", "/etc/cron.weekly/after")
def written_after_the_swap() -> Deed:
    sh(
        "cp -a /etc/cron.weekly /etc/cron.w",
        "mv /etc/cron.weekly /etc/cron.v",
        "mv /etc/cron.w /etc/cron.weekly",
        "sleep 1",
    )
    write("/etc/cron.weekly/after", "#!/bin/sh\n", 0o755)
    yield
    sh("rm -r /etc/cron.weekly; mv /etc/cron.v /etc/cron.weekly")


@act(
    "T1565.001 T1037.004 T1546",
    "a file and a link to /etc/shadow take turns at one name, very fast",
    "/etc/motd",
    within=LIVE,  # after a storm, such as the folders above make, what is not critical waits up to 8 s
)
def link_swapped_while_read() -> Deed:
    with kept("/etc/motd"):
        sh("cp -p /etc/motd /etc/motd.f; ln -s /etc/shadow /etc/motd.l")
        try:
            for _ in range(2000):
                os.link("/etc/motd.f", "/etc/motd.n")
                os.rename("/etc/motd.n", "/etc/motd")
                os.symlink("/etc/shadow", "/etc/motd.m")
                os.rename("/etc/motd.m", "/etc/motd")
            yield
        finally:
            sh("rm -f /etc/motd.f /etc/motd.l")


@act("T1562.001", "16,384 events and more while the watcher is held", "coverage.overflow", within=20.0)
def queue_flooded() -> Deed:
    flood("/etc/cron.d/flooded")
    yield
    os.unlink("/etc/cron.d/flooded")


@act(CRON, "and what was done behind the flood", "/etc/cron.d/behind", within=20.0)
def behind_the_flood() -> Deed:
    flood("/etc/cron.d/behind")
    yield
    os.unlink("/etc/cron.d/behind")


def flood(planted: str) -> None:
    """More events than the kernel's queue holds, with the daemon held back, and a file planted after them."""
    with open("/proc/sys/fs/inotify/max_queued_events") as file:
        most = int(file.read())
    run("systemctl", "kill", "-s", "STOP", "--kill-who=main", "hostguardd")
    try:
        for number in range(most // 2 + 1000):
            path = f"/usr/local/share/flood{number % 7}"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            os.unlink(path)
        write(planted, "* * * * * root /tmp/x\n")
    finally:
        run("systemctl", "kill", "-s", "CONT", "--kill-who=main", "hostguardd")


impossible(
    "watches-used-up", "T1562.001", "all inotify watches of root are used up", "coverage.watch-limit",
    "watches are counted for root on the whole machine, and fs.inotify is read-only in a container",
)  # fmt: skip
impossible(
    "clock-moved", "T1070.006", "the clock is moved back", "clock.stepped",
    "a container may not set the clock, which is the whole machine's",
)  # fmt: skip


@act(CRON, "/etc as a whole changes places with a copy", "/etc/cron.d/swapped", within=10.0)
def etc_swapped() -> Deed:
    with made("/etc.copy"):
        sh("cp -a /etc /etc.copy; echo x > /etc.copy/cron.d/swapped")
        exchange("/etc", "/etc.copy")
        yield
        exchange("/etc", "/etc.copy")


def exchange(one: str, other: str) -> None:
    """Both names change places in one step, renameat2(2)."""
    done = libc.syscall(RENAMEAT2, AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), EXCHANGE)
    assert done == 0, os.strerror(ctypes.get_errno())
