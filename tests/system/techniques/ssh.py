"""Keys that open accounts, and what else sshd obeys."""

from __future__ import annotations

import os

from .table import ACCOUNTS, Deed, act
from .tools import append, extended, kept, made, planted, run, sh, write

KEY = '"kind":"sshkey"'


def new_key(comment: str) -> str:
    """The public half of a key pair made for it."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", f"/var/lib/trial/{comment}")
    with open(f"/var/lib/trial/{comment}.pub") as file:
        return file.read()


@act(
    "T1098.004",
    "ssh-keygen, then echo key >> ~alice/.ssh/authorized_keys",
    KEY,
    "alice",
    "mallory-key",
    within=ACCOUNTS,
)
def key_added() -> Deed:
    with kept("/home/alice/.ssh/authorized_keys"):
        append("/home/alice/.ssh/authorized_keys", new_key("mallory-key"))
        yield


@act("T1098.004", "a key for root", KEY, "root", "root-key", within=ACCOUNTS)
def key_added_for_root() -> Deed:
    with kept("/root/.ssh/authorized_keys"):
        append("/root/.ssh/authorized_keys", new_key("root-key"))
        yield


@act(
    "T1098.004",
    "authorized_keys2, which sshd reads as well",
    "/home/alice/.ssh/authorized_keys2",
    "second-key",
    within=ACCOUNTS,
)
def second_key_file() -> Deed:
    with made("/home/alice/.ssh/authorized_keys2"):
        write("/home/alice/.ssh/authorized_keys2", new_key("second-key"), 0o600)
        yield


@act(
    "T1098.004",
    "a first key in the home of a daemon's account (www-data, /var/www)",
    KEY,
    "www-data",
    within=ACCOUNTS,
)
def key_for_a_daemon() -> Deed:
    with made("/var/www/.ssh/authorized_keys"):
        write("/var/www/.ssh/authorized_keys", new_key("www-key"), 0o600)
        yield


@act("T1098.004", "a key in the home of an account that was added a moment ago", KEY, "late", within=10.0)
def key_for_a_late_account() -> Deed:
    with kept("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"):
        run("useradd", "-m", "-d", "/srv/late", "late")
        write("/srv/late/.ssh/authorized_keys", new_key("late-key"), 0o600)
        yield
        run("userdel", "-r", "late", may_fail=True)
        sh("rm -rf /srv/late")


@act(
    "T1098.004",
    'a command="…" is put before a key that is known',
    "alice",
    "authorized_keys",
    within=ACCOUNTS,
)
def key_options() -> Deed:
    with kept("/home/alice/.ssh/authorized_keys"):
        sh("sed -i '1s|^|command=\"/tmp/x\" |' /home/alice/.ssh/authorized_keys")
        yield


planted("ssh-rc", "T1098.004", "/home/alice/.ssh/rc", "/tmp/x\n")
planted("ssh-environment", "T1098.004", "/home/alice/.ssh/environment", "LD_PRELOAD=/tmp/x.so\n")
planted("root-ssh-rc", "T1098.004", "/root/.ssh/rc", "/tmp/x\n")
planted("system-sshrc", "T1098.004", "/etc/ssh/sshrc", "/tmp/x\n")
extended(
    "sshd-config",
    "T1098.004",
    "/etc/ssh/sshd_config",
    "AuthorizedKeysCommand /tmp/keys\nAuthorizedKeysCommandUser root\n",
    does="sshd_config gets an AuthorizedKeysCommand",
)
planted(
    "sshd-config-drop-in",
    "T1098.004",
    "/etc/ssh/sshd_config.d/99-x.conf",
    "PermitRootLogin yes\nAuthorizedKeysFile /tmp/k\n",
)
planted(
    "shosts", "T1098.004", "/etc/ssh/shosts.equiv", "+\n", does="hosts trusted without a key: shosts.equiv"
)
planted("rhosts", "T1098.004 T1098", "/home/alice/.rhosts", "+ +\n", does="~/.rhosts with + +")


@act("T1098.004", "the host's own key is replaced", "/etc/ssh/ssh_host_ed25519_key")
def host_key() -> Deed:
    with kept("/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub"):
        for end in ("", ".pub"):
            os.unlink(f"/etc/ssh/ssh_host_ed25519_key{end}")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/ssh_host_ed25519_key")
        yield


@act(
    "T1098.004 T1222.002",
    "chmod 666 on authorized_keys: anybody may add a key",
    "/home/alice/.ssh/authorized_keys",
    within=ACCOUNTS,
)
def keys_writable() -> Deed:
    with kept("/home/alice/.ssh/authorized_keys"):
        os.chmod("/home/alice/.ssh/authorized_keys", 0o666)
        yield
