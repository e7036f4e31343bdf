"""Accounts and groups: who came, who went, who gained what."""

from __future__ import annotations

import time

from .table import ACCOUNTS, Deed, act
from .tools import append, kept, run, sh

KIND = '"kind":"account"'
FILES = ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid")


@act(
    "T1136.001",
    "useradd -m crowd, which touches eight files, is one act",
    "crowd",
    at_most=2,
    within=ACCOUNTS,
)
def account_added_is_one_act() -> Deed:
    with kept(*FILES):
        run("useradd", "-m", "crowd")
        yield
        run("userdel", "-r", "crowd", may_fail=True)


@act("T1136.001", "useradd -m mallory", KIND, "mallory", within=ACCOUNTS)
def account_added() -> Deed:
    with kept(*FILES):
        run("useradd", "-m", "mallory")
        yield
        run("userdel", "-r", "mallory", may_fail=True)


@act("T1136.001 T1078.003", "a line with uid 0 is appended to /etc/passwd", KIND, "toor", within=ACCOUNTS)
def second_root_added() -> Deed:
    with kept(*FILES):
        append("/etc/passwd", "toor:x:0:0::/root:/bin/bash\n")
        yield


@act("T1078.003", "usermod -o -u 0 games", KIND, "games", within=ACCOUNTS)
def uid_0_given() -> Deed:
    with kept(*FILES):
        run("usermod", "-o", "-u", "0", "games")
        yield


@act("T1078.003 T1098", "usermod -g 0 news: root's group as its own", KIND, "news", within=ACCOUNTS)
def gid_0_given() -> Deed:
    with kept(*FILES):
        run("usermod", "-g", "0", "news")
        yield


@act("T1098 T1078.003", "passwd -u on an account that was locked", KIND, "carol", within=ACCOUNTS)
def account_unlocked() -> Deed:
    with kept(*FILES):
        run("passwd", "-u", "carol")
        yield


@act("T1098 T1078.003", "chpasswd gives a daemon's account its first password", KIND, "uucp", within=ACCOUNTS)
def daemon_account_gets_a_password() -> Deed:
    with kept(*FILES):
        run("chpasswd", text="uucp:let-me-in\n")
        yield


@act("T1098 T1078.003", "passwd -d: no password is asked for", KIND, "dave", within=ACCOUNTS)
def password_taken_away() -> Deed:
    with kept(*FILES):
        run("passwd", "-d", "dave")
        yield


@act("T1098", "chpasswd on another user", KIND, "alice", within=ACCOUNTS)
def password_changed() -> Deed:
    with kept(*FILES):
        run("chpasswd", text="alice:correct horse\n")
        yield


@act("T1098", "root's hash is replaced by sed -i on /etc/shadow", KIND, "root", within=ACCOUNTS)
def root_password_replaced() -> Deed:
    with kept(*FILES):
        sh(r"sed -i 's|^root:[^:]*:|root:$6$salt$abcdefghijklmnopqrstuv:|' /etc/shadow")
        yield


@act("T1098 T1078.003", "usermod -s /bin/bash backup, who had nologin", KIND, "backup", within=ACCOUNTS)
def shell_given() -> Deed:
    with kept(*FILES):
        run("usermod", "-s", "/bin/bash", "backup")
        yield


@act("T1098", "usermod -d / irc: another home", KIND, "irc", within=ACCOUNTS)
def home_moved() -> Deed:
    with kept(*FILES):
        run("usermod", "-d", "/dev/shm", "irc")
        yield


@act("T1098", "gpasswd -a alice sudo", KIND, "alice", "sudo", within=ACCOUNTS)
def group_joined() -> Deed:
    with kept(*FILES):
        run("gpasswd", "-a", "alice", "sudo")
        yield


@act(
    "T1098",
    "a name is added to group disk by sed -i on /etc/group alone",
    KIND,
    "dave",
    "disk",
    within=ACCOUNTS,
)
def group_joined_by_hand() -> Deed:
    with kept(*FILES):
        sh(r"sed -i '/^disk:/s/$/dave/' /etc/group")
        yield


@act("T1136.001 T1098", "groupadd wizards", KIND, "wizards", within=ACCOUNTS)
def group_added() -> Deed:
    with kept(*FILES):
        run("groupadd", "wizards")
        yield


@act("T1531", "userdel erin", KIND, "erin", within=ACCOUNTS)
def account_removed() -> Deed:
    with kept(*FILES):
        run("userdel", "erin")
        yield


@act("T1531", "usermod -L and expiry: an administrator is locked out", KIND, "frank", within=ACCOUNTS)
def account_locked_out() -> Deed:
    with kept(*FILES):
        run("usermod", "-L", "-e", "1970-01-02", "frank")
        yield


@act("T1098", "a line is added to /etc/subuid", '"kind":"account"', "games", "0:65536")
def subordinate_ids() -> Deed:
    with kept("/etc/subuid"):
        append("/etc/subuid", "games:0:65536\n")
        yield


@act("T1098 T1136.001 T1556", "login.defs: no hashing worth the name", "/etc/login.defs")
def login_defs() -> Deed:
    with kept("/etc/login.defs"):
        append("/etc/login.defs", "ENCRYPT_METHOD DES\n")
        yield


@act("T1098 T1136.001 T1556", "securetty appears", "/etc/securetty")
def securetty() -> Deed:
    with kept("/etc/securetty"):
        append("/etc/securetty", "pts/0\n")
        yield


@act(
    "T1098 T1136.001",
    "useradd, and a moment later gpasswd -a … sudo: two deeds, the second is told as well",
    KIND,
    "quick",
    "sudo",
)
def group_joined_at_once() -> Deed:
    with kept(*FILES):
        run("useradd", "quick")
        time.sleep(1)
        run("gpasswd", "-a", "quick", "sudo")
        yield


@act(
    "T1098",
    "passwd of one account, and a moment later a line in /etc/subuid by hand",
    '"kind":"account"',
    "daemon",
    "0:65536",
)
def subordinate_ids_behind_another_deed() -> Deed:
    with kept(*FILES):
        run("chpasswd", text="alice:other\n")
        time.sleep(1)
        append("/etc/subuid", "daemon:0:65536\n")
        yield
