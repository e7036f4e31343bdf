"""Rights: sudo, doas, polkit, set-uid, capabilities, modes, owners, ACLs, attributes, time stamps."""

from __future__ import annotations

import os
import shutil

from .table import CHECK, Deed, NotHere, act, add
from .tools import extended, kept, made, planted, run, sh

extended(
    "sudoers",
    "T1548.003",
    "/etc/sudoers",
    "alice ALL=(ALL) NOPASSWD: ALL\n",
    does="sudoers: NOPASSWD for alice",
)
planted(
    "sudoers-drop-in", "T1548.003", "/etc/sudoers.d/90-cloud", "ALL ALL=(ALL) NOPASSWD: ALL\n", mode=0o440
)
planted(
    "sudo-timestamp",
    "T1548.003",
    "/etc/sudoers.d/zz",
    "Defaults timestamp_timeout=-1,!tty_tickets\n",
    mode=0o440,
    does="timestamp_timeout=-1 and !tty_tickets in sudoers.d",
)
planted("doas", "T1548.003", "/etc/doas.conf", "permit nopass alice\n")
planted(
    "polkit-rule",
    "T1548.003 T1548",
    "/etc/polkit-1/rules.d/00-x.rules",
    "polkit.addRule(function(){return 'yes'});\n",
)
planted(
    "polkit-rule-shipped",
    "T1548.003 T1548",
    "/usr/share/polkit-1/rules.d/00-x.rules",
    "polkit.addRule(function(){return 'yes'});\n",
)
planted("polkit-action", "T1548.003 T1548", "/usr/share/polkit-1/actions/x.policy", "<policyconfig/>\n")


def set_id(name: str, path: str, mode: int) -> None:
    """The row of a copy of a shell that acts with its owner's rights."""

    def deed() -> Deed:
        with made(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copy("/bin/bash", path)
            os.chmod(path, mode)
            yield

    add(name, deed, "T1548.001", f"cp /bin/bash {path}; chmod {mode:o}", path)


set_id("set-uid-in-tmp", "/tmp/.x/bash", 0o4755)
set_id("set-uid-in-shm", "/dev/shm/bash", 0o4755)
set_id("set-uid-in-usr", "/usr/lib/x86_64-linux-gnu/helper", 0o4755)
set_id("set-gid-in-home", "/home/alice/prog", 0o2755)
set_id("set-uid-in-var-tmp", "/var/tmp/sh", 0o4755)
set_id("set-uid-in-root", "/root/sh", 0o4755)


@act("T1548.001", "a file is created with mode 4755 at once, by open(2)", "/tmp/born-suid")
def set_uid_at_creation() -> Deed:
    with made("/tmp/born-suid"):
        before = os.umask(0)
        os.close(os.open("/tmp/born-suid", os.O_CREAT | os.O_WRONLY, 0o4755))
        os.umask(before)
        yield


@act(
    "T1548.001",
    "cp /bin/bash /var/lib/misc/bash; chmod 4755: where no watch is, found by the inventory",
    "/var/lib/misc/bash",
    within=CHECK,
)
def set_uid_anywhere() -> Deed:
    with made("/var/lib/misc/bash"):
        shutil.copy("/bin/bash", "/var/lib/misc/bash")
        os.chmod("/var/lib/misc/bash", 0o4755)
        yield


@act("T1548.001", "chmod u+s on a system program that had no such bit", "/usr/bin/find")
def set_uid_on_find() -> Deed:
    with kept("/usr/bin/find"):
        os.chmod("/usr/bin/find", 0o4755)
        yield


@act("T1548.001", "setcap cap_setuid+ep on a copy of python", "/usr/local/bin/py")
def capabilities() -> Deed:
    with made("/usr/local/bin/py"):
        shutil.copy("/usr/bin/python3.11", "/usr/local/bin/py")
        run("setcap", "cap_setuid+ep", "/usr/local/bin/py")
        yield


@act("T1548.001", "setcap cap_dac_override+ep on a program in /tmp", "/tmp/capped")
def capabilities_in_tmp() -> Deed:
    with made("/tmp/capped"):
        shutil.copy("/bin/cat", "/tmp/capped")
        run("setcap", "cap_dac_override+ep", "/tmp/capped")
        yield


@act("T1548.001", "a set-uid program appears by rename from another folder", "/usr/bin/renamed-suid")
def set_uid_by_rename() -> Deed:
    with made("/usr/bin/renamed-suid", "/var/lib/misc/step"):
        shutil.copy("/bin/true", "/var/lib/misc/step")
        os.chmod("/var/lib/misc/step", 0o4755)
        os.rename("/var/lib/misc/step", "/usr/bin/renamed-suid")
        yield


@act("T1222.002", "chmod 666 of a file of sudoers.d", "/etc/sudoers.d/frank")
def mode_loosened() -> Deed:
    with kept("/etc/sudoers.d/frank"):
        os.chmod("/etc/sudoers.d/frank", 0o666)
        yield


@act("T1222.002", "chmod o+w on a folder of the path", "/usr/local/sbin")
def folder_writable() -> Deed:
    os.chmod("/usr/local/sbin", 0o777)
    yield
    os.chmod("/usr/local/sbin", 0o755)


@act("T1222.002", "chown alice on a unit", "/usr/lib/systemd/system/cron.service")
def owner_changed() -> Deed:
    with kept("/usr/lib/systemd/system/cron.service"):
        shutil.chown("/usr/lib/systemd/system/cron.service", "alice")
        yield


@act("T1222.002", "setfacl -m u:alice:rw on /etc/crontab", "/etc/crontab")
def acl() -> Deed:
    with kept("/etc/crontab"):
        run("setfacl", "-m", "u:alice:rw", "/etc/crontab")
        yield


@act("T1222.002", "an extended attribute is set (trusted.x)", "/etc/hosts.allow")
def extended_attribute() -> Deed:
    with kept("/etc/hosts.allow"):
        os.setxattr("/etc/hosts.allow", "trusted.x", b"1")
        yield


@act("T1222.002", "chattr +i: an administrator can no longer change it", "/etc/pam.d/cron", within=3.0)
def immutable() -> Deed:
    with kept("/etc/pam.d/cron"):
        try:
            run("chattr", "+i", "/etc/pam.d/cron")
        except AssertionError as error:
            raise NotHere(f"chattr is refused: {error}") from None
        try:
            yield
        finally:
            run("chattr", "-i", "/etc/pam.d/cron")


@act("T1070.006", "touch -d 2019 on a file that was changed before", "/etc/bash.bashrc", within=1.0)
def backdated() -> Deed:
    with kept("/etc/bash.bashrc"):
        path = "/etc/bash.bashrc"
        sh(
            f"cp -p {path} /var/lib/trial/ref",
            f"echo '#' >> {path}",
            f"touch -r /var/lib/trial/ref {path}",
        )
        yield


@act("T1070.006", "touch -r: a file's time is set back, its content untouched", "/etc/issue")
def touched() -> Deed:
    with kept("/etc/issue"):
        sh("touch -d '2001-01-01' /etc/issue")
        yield


@act("T1070.006", "changed and put back within a second, times forged", "/etc/issue.net")
def changed_and_restored() -> Deed:
    with kept("/etc/issue.net"):
        sh(
            "cp -p /etc/issue.net /var/lib/trial/i",
            "echo evil > /etc/issue.net",
            "cat /var/lib/trial/i > /etc/issue.net",
            "touch -r /var/lib/trial/i /etc/issue.net",
        )
        yield


@act("T1554 T1195 T1070.006", "a system program is replaced, touch -r gives it the old time", "/usr/bin/who")
def program_replaced() -> Deed:
    with kept("/usr/bin/who"):
        sh(
            "cp -p /usr/bin/who /var/lib/trial/who.old",
            "cp /usr/bin/id /usr/bin/who",
            "touch -r /var/lib/trial/who.old /usr/bin/who",
        )
        yield


@act("T1554 T1195", "a library is replaced by rename", "/usr/lib/x86_64-linux-gnu/libanl.so.1")
def library_replaced() -> Deed:
    path = "/usr/lib/x86_64-linux-gnu/libanl.so.1"
    with kept(path):
        sh(f"cp -p {path} {path}.new; printf x >> {path}.new; mv {path}.new {path}")
        yield


planted(
    "program-shadowed",
    "T1554 T1195 T1574",
    "/usr/local/bin/ls",
    '#!/bin/sh\n/tmp/x\nexec /bin/ls "$@"\n',
    mode=0o755,
    does="a program of a known name earlier in the path",
)
planted("program-in-opt", "T1554 T1195", "/opt/vendor/bin/agent", "#!/bin/sh\n", mode=0o755)


@act("T1554 T1195 T1562", "a program is removed", "/usr/bin/lastlog")
def program_removed() -> Deed:
    with kept("/usr/bin/lastlog"):
        os.unlink("/usr/bin/lastlog")
        yield


@act("T1070.006", "a time stamp in the future", "/etc/host.conf")
def future() -> Deed:
    with kept("/etc/host.conf"):
        sh("touch -d '2037-01-01' /etc/host.conf")
        yield
