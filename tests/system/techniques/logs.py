"""Logs, records of logins and histories wiped or edited; logging stopped; who came in and who tried."""

from __future__ import annotations

import os
import struct

from .prepare import ssh
from .table import LOGS, Deed, act
from .tools import kept, run, sh

KIND = '"kind":"log"'
WIPED = "T1070.002 T1070"
HISTORY = "T1070.003"


@act(WIPED, "truncate -s 0 /var/log/auth.log", KIND, "/var/log/auth.log", within=LOGS)
def log_truncated() -> Deed:
    run("truncate", "-s", "0", "/var/log/auth.log")
    yield


@act(WIPED, "> /var/log/syslog by the shell, then lines come again", KIND, "/var/log/syslog", within=LOGS)
def log_emptied() -> Deed:
    sh(": > /var/log/syslog; logger after")
    yield


@act(WIPED, "rm /var/log/dpkg.log", KIND, "/var/log/dpkg.log", within=LOGS)
def log_removed() -> Deed:
    os.unlink("/var/log/dpkg.log")
    yield


@act(WIPED, "sed -i '/alice/d' /var/log/cron.log", KIND, "/var/log/cron.log", within=LOGS)
def log_edited() -> Deed:
    sh("sed -i '/alice/d' /var/log/cron.log")
    yield


@act(
    WIPED,
    "grep -v … > tmp; cat tmp > log: the same inode, lines missing",
    KIND,
    "/var/log/user.log",
    within=LOGS,
)
def log_rewritten_in_place() -> Deed:
    sh("grep -v alice /var/log/user.log > /var/lib/trial/l; cat /var/lib/trial/l > /var/log/user.log")
    yield


@act(WIPED, "ln -sf /dev/null /var/log/mail.log", KIND, "/var/log/mail.log", within=LOGS)
def log_linked_to_null() -> Deed:
    run("ln", "-sf", "/dev/null", "/var/log/mail.log")
    yield


@act(
    WIPED,
    "one byte in the middle of a log is overwritten, its length and time as before",
    KIND,
    "/var/log/nginx/access.log",
    within=LOGS,
)
def log_patched() -> Deed:
    path = "/var/log/nginx/access.log"
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(before.st_size // 2)
        file.write(b"X")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    yield


@act(WIPED, "rm of the journal's own file", "system.journal", within=LOGS)
def journal_removed() -> Deed:
    sh("rm /var/log/journal/*/system.journal")
    yield
    run("systemctl", "restart", "systemd-journald")


@act(
    WIPED,
    "journalctl --rotate --vacuum-time=1s: rotated, and the archives thrown away",
    ".journal",
    within=LOGS,
)
def journal_vacuumed() -> Deed:
    run("journalctl", "--rotate")
    run("journalctl", "--vacuum-time=1s", "--vacuum-files=1")
    yield


RECORD = 384


def approve() -> None:
    """As the host is: the record was written anew, which would hide what is done to it next."""
    run("hostguardctl", "baseline", "--yes", "--unexplained", "-m", "put back")


@act(WIPED, "> /var/log/wtmp", KIND, "/var/log/wtmp", within=LOGS)
def wtmp_emptied() -> Deed:
    with kept("/var/log/wtmp"):
        sh(": > /var/log/wtmp")
        yield
    approve()


@act(WIPED, "one record in the middle of wtmp is zeroed (zap)", KIND, "/var/log/wtmp", within=LOGS)
def wtmp_zapped() -> Deed:
    path = "/var/log/wtmp"
    with kept(path):
        count = os.path.getsize(path) // RECORD
        assert count > 2, "wtmp has hardly a record"
        with open(path, "r+b") as file:
            file.seek(count // 2 * RECORD)
            file.write(bytes(RECORD))
        yield
    approve()


@act(WIPED, "the records of alice are cut out of wtmp", KIND, "/var/log/wtmp", within=LOGS)
def wtmp_edited() -> Deed:
    path = "/var/log/wtmp"
    with kept(path):
        with open(path, "rb") as file:
            whole = file.read()
        records = [whole[at : at + RECORD] for at in range(0, len(whole), RECORD)]
        left = [one for one in records if not one[44:76].startswith(b"alice")]
        assert len(left) < len(records), "alice has no record"
        with open(path, "wb") as file:
            file.write(b"".join(left))
        yield
    approve()


@act(WIPED, "rm /var/log/btmp", KIND, "/var/log/btmp", within=LOGS)
def btmp_removed() -> Deed:
    wrong_password("127.0.0.1", "alice")
    approve()
    with kept("/var/log/btmp"):
        os.unlink("/var/log/btmp")
        yield
    approve()


@act(WIPED, "the entry of alice in lastlog is zeroed", KIND, "/var/log/lastlog", within=LOGS)
def lastlog_zapped() -> Deed:
    import pwd

    path, size = "/var/log/lastlog", struct.calcsize("I32s256s")
    with kept(path):
        with open(path, "r+b") as file:
            file.seek(pwd.getpwnam("alice").pw_uid * size)
            assert file.read(4) != bytes(4), "alice has no entry in lastlog"
            file.seek(-4, 1)
            file.write(bytes(size))
        yield


@act(f"{WIPED} T1070.003", "utmp is emptied while people are logged in", "utmp", within=LOGS)
def utmp_emptied() -> Deed:
    with kept("/run/utmp"):
        sh(": > /run/utmp")
        yield


@act(HISTORY, "> ~/.bash_history", KIND, "/root/.bash_history", within=LOGS)
def history_wiped() -> Deed:
    with kept("/root/.bash_history"):
        sh(": > /root/.bash_history")
        yield


@act(HISTORY, "ln -sf /dev/null ~alice/.bash_history", KIND, "/home/alice/.bash_history", within=LOGS)
def history_linked_to_null() -> Deed:
    with kept("/home/alice/.bash_history"):
        run("ln", "-sf", "/dev/null", "/home/alice/.bash_history")
        yield


@act(HISTORY, "rm of root's .python_history", KIND, "/root/.python_history", within=LOGS)
def history_removed() -> Deed:
    with kept("/root/.python_history"):
        os.unlink("/root/.python_history")
        yield


@act(HISTORY, "a history is cut to a tenth of what it was", KIND, "/home/frank/.bash_history", within=LOGS)
def history_cut() -> Deed:
    with kept("/home/frank/.bash_history"):
        sh(
            "tail -n 20 /home/frank/.bash_history > /var/lib/trial/h",
            "cat /var/lib/trial/h > /home/frank/.bash_history",
        )
        yield


@act(
    "T1078.003 T1078 T1021.004",
    "alice logs in from where she never did",
    '"kind":"login"',
    "alice",
    "198.51.100.7",
    within=LOGS,
)
def login_from_a_new_origin() -> Deed:
    run("ip", "address", "add", "198.51.100.7/32", "dev", "lo")
    ssh("-b", "198.51.100.7", "alice@127.0.0.1", "sleep 2")
    yield
    run("ip", "address", "del", "198.51.100.7/32", "dev", "lo")


@act("T1110", "passwords are guessed from one address", '"kind":"event"', "198.51.100.8", within=LOGS)
def passwords_guessed() -> Deed:
    run("ip", "address", "add", "198.51.100.8/32", "dev", "lo")
    for user in ("root", "admin", "oracle", "test", "alice", "git", "ubuntu", "pi"):
        wrong_password("198.51.100.8", user)
    yield
    run("ip", "address", "del", "198.51.100.8/32", "dev", "lo")


@act(
    "T1548.003 T1548 T1078.003",
    "frank becomes root by sudo for the first time",
    '"kind":"event"',
    "frank",
    within=LOGS,
)
def sudo_to_root() -> Deed:
    # frank may: he is in group sudo, and has a rule without a password.
    sh("su frank -c 'sudo -n id'")
    yield


@act("T1548.003 T1548 T1078 T1110", "dave tries sudo and may not", '"kind":"event"', "dave", within=LOGS)
def sudo_denied() -> Deed:
    sh("su dave -s /bin/sh -c 'echo x | sudo -S id' 2>&1", may_fail=True)
    yield


@act("T1078.003 T1548", "su to root from another account", '"kind":"event"', "frank", within=LOGS)
def su_to_root() -> Deed:
    sh("su frank -c \"printf 'root-password\\n' | su root -c id\"")
    yield


@act("T1562", "systemctl stop rsyslog syslog.socket", "rsyslog", within=40.0)
def syslog_stopped() -> Deed:
    run("systemctl", "stop", "syslog.socket", "rsyslog")
    run("pkill", "-KILL", "-x", "rsyslogd", may_fail=True)  # in a container the stop may not reach it
    yield
    run("systemctl", "start", "rsyslog")


def wrong_password(origin: str, user: str) -> None:
    """One login by password that is refused."""
    sh(
        "SSH_ASKPASS=/trial/wrong SSH_ASKPASS_REQUIRE=force setsid -w ssh -o StrictHostKeyChecking=no "
        "-o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 -o PubkeyAuthentication=no "
        f"-b {origin} {user}@127.0.0.1 true < /dev/null",
        may_fail=True,
    )
