"""What the packaged rules say of files: (drift, rule, severity, technique). Each rule has at least one."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import Any

from hostguardd.model import Drift, Fact, FileFact, Severity, encode_xattrs, split

REG, DIR, LNK, SOCK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFSOCK
IGNORE, INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity


def file(path: str, mode: int = REG | 0o644, **fields: Any) -> FileFact:
    folder, name = split(path.encode())
    fact = FileFact(folder, name, mode, 0, 0, 10, 1, 1, 1, 1, 0, b"", b"\1" * 32, b"", 0, 0)
    return replace(fact, **fields)


def added(fact: Fact) -> Drift:
    return Drift(type(fact), None, fact, ())


def removed(fact: Fact) -> Drift:
    return Drift(type(fact), fact, None, ())


def changed(before: Fact, **fields: Any) -> Drift:
    return Drift(
        type(before), before, replace(before, **fields), tuple(n for n in before.columns() if n in fields)
    )


def edited(path: str) -> Drift:
    """The content of a file changed in place."""
    return changed(file(path), size=11, mtime=2, ctime=2, sha256=b"\2" * 32)


CAPABILITY = encode_xattrs([(b"security.capability", b"\1")])

SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    # What is grave wherever it happens.
    (changed(file("/usr/bin/cp"), mode=REG | 0o4755), "file-gained-privileges", CRITICAL, "T1548.001"),
    (added(file("/etc/x", REG | 0o2755)), "file-gained-privileges", CRITICAL, "T1548.001"),
    (changed(file("/usr/bin/python3"), xattrs=CAPABILITY), "file-gained-privileges", CRITICAL, "T1548.001"),
    (changed(file("/etc/ssl", DIR | 0o755), device=42, inode=2), "mounted-over", CRITICAL, "T1564.013"),
    (edited("/etc/hostguardd/hostguardd.toml"), "hostguard-itself", CRITICAL, "T1562.001"),
    (edited("/usr/bin/hostguardd"), "hostguard-itself", CRITICAL, "T1562.001"),
    (removed(file("/usr/lib/systemd/system/hostguardd.service")), "hostguard-itself", CRITICAL, "T1562.001"),
    # Attributes alone.
    (changed(file("/etc/passwd"), mtime=2, ctime=2), "touched-sensitive", MEDIUM, "T1070.006"),
    (changed(file("/root/.ssh/authorized_keys"), inode=2, ctime=2), "touched-sensitive", MEDIUM, "T1070.006"),
    (changed(file("/usr/bin/ls"), ctime=2), "touched", LOW, "T1070.006"),
    (changed(file("/etc/motd"), mtime=2), "touched", LOW, "T1070.006"),
    (changed(file("/etc/shadow"), mode=REG | 0o646, ctime=2), "writable-by-everyone", HIGH, "T1222.002"),
    (changed(file("/etc/shadow"), mode=REG | 0o640, ctime=2), "owner-or-mode-sensitive", HIGH, "T1222.002"),
    (changed(file("/usr/bin/ls"), uid=1000, ctime=2), "owner-or-mode", MEDIUM, "T1222.002"),
    (changed(file("/usr/bin/ls"), flags=16, ctime=2), "owner-or-mode", MEDIUM, "T1222.002"),
    (changed(file("/usr/bin/su"), links=2, ctime=2), "hard-link-made", LOW, "T1548.001"),
    # Places.
    (edited("/etc/passwd-"), "account-backups", LOW, "T1136.001"),
    (
        changed(file("/etc/shadow"), mode=REG | 0o666, sha256=b"\2" * 32, ctime=2, mtime=2),
        "account-table-open",
        CRITICAL,
        "T1222.002 T1136.001",
    ),
    (edited("/etc/passwd"), "account-database", CRITICAL, "T1136.001"),
    (edited("/etc/shadow"), "account-database", CRITICAL, "T1136.001"),
    (added(file("/etc/userdb/eve.user")), "account-database", CRITICAL, "T1136.001"),
    (added(file("/run/systemd/userdb/x.Eve", SOCK)), "user-record-service-unknown", CRITICAL, "T1136.001"),
    (added(file("/run/systemd/userdb/io.systemd.Home", SOCK)), "user-record-services", LOW, "T1136.001"),
    (edited("/etc/group"), "group-database", CRITICAL, "T1098"),
    (edited("/etc/gshadow"), "group-database", CRITICAL, "T1098"),
    (edited("/etc/sudoers"), "privilege-rules", CRITICAL, "T1548.003"),
    (added(file("/etc/sudoers.d/zz")), "privilege-rules", CRITICAL, "T1548.003"),
    (added(file("/etc/ld.so.preload")), "linker-preload", CRITICAL, "T1574.006"),
    (added(file("/etc/ld.so.conf.d/x.conf")), "linker-configuration", HIGH, "T1574.006"),
    (edited("/etc/ld.so.cache"), "linker-configuration", HIGH, "T1574.006"),
    (added(file("/root/.ssh/authorized_keys")), "ssh-keys", CRITICAL, "T1098.004"),
    (edited("/home/alice/.ssh/authorized_keys2"), "ssh-keys", CRITICAL, "T1098.004"),
    (added(file("/var/www/.ssh/authorized_keys")), "ssh-keys", CRITICAL, "T1098.004"),
    (edited("/etc/ssh/sshd_config"), "ssh-server", HIGH, "T1098.004"),
    (added(file("/etc/ssh/sshd_config.d/x.conf")), "ssh-server", HIGH, "T1098.004"),
    (added(file("/home/alice/.ssh/config")), "ssh-accounts", MEDIUM, "T1098.004"),
    (edited("/etc/pam.d/sshd"), "login-rules", CRITICAL, "T1556.003"),
    (edited("/usr/lib64/security/pam_unix.so"), "login-rules", CRITICAL, "T1556.003"),
    (edited("/usr/lib/x86_64-linux-gnu/security/pam_unix.so"), "login-rules", CRITICAL, "T1556.003"),
    (edited("/etc/nsswitch.conf"), "name-services", HIGH, "T1556"),
    (added(file("/etc/cron.d/.job.swp")), "editor-temporaries", INFO, ""),
    (added(file("/etc/sudoers~")), "editor-temporaries", INFO, ""),
    (edited("/etc/crontab"), "cron", CRITICAL, "T1053.003"),
    (added(file("/etc/cron.hourly/.x")), "cron", CRITICAL, "T1053.003"),
    (added(file("/etc/cron.d/4913")), "cron", CRITICAL, "T1053.003"),
    (added(file("/var/spool/cron/root")), "cron", CRITICAL, "T1053.003"),
    (added(file("/var/spool/cron/crontabs/root")), "cron", CRITICAL, "T1053.003"),
    (added(file("/var/spool/at/a0001")), "at-jobs", HIGH, "T1053.002"),
    (edited("/etc/rc.d/rc.local"), "start-up-scripts", CRITICAL, "T1037.004"),
    (edited("/etc/rc.local"), "start-up-scripts", CRITICAL, "T1037.004"),
    (added(file("/etc/rc3.d/S99x", LNK | 0o777, target=b"x")), "start-up-scripts", CRITICAL, "T1037.004"),
    (added(file("/etc/init.d/x", REG | 0o755)), "start-up-scripts", CRITICAL, "T1037.004"),
    (edited("/etc/rc.boot/x"), "start-up-scripts", CRITICAL, "T1037.004"),
    (edited("/etc/inetd.conf"), "super-servers", CRITICAL, "T1543.002"),
    (added(file("/etc/xinetd.d/x")), "super-servers", CRITICAL, "T1543.002"),
    (added(file("/etc/systemd/system/x.service")), "services", HIGH, "T1543.002"),
    (edited("/usr/lib/systemd/system/sshd.service"), "services", HIGH, "T1543.002"),
    (edited("/etc/profile.d/x.sh"), "shell-start-up", HIGH, "T1546.004"),
    (edited("/etc/bashrc"), "shell-start-up", HIGH, "T1546.004"),
    (added(file("/etc/udev/rules.d/99-x.rules")), "event-triggers", HIGH, "T1546"),
    (added(file("/usr/lib/python3.11/site-packages/x.pth")), "event-triggers", HIGH, "T1546"),
    (added(file("/usr/lib/modules/6.1/extra/x.ko")), "kernel-modules", HIGH, "T1547.006"),
    (edited("/etc/modprobe.d/x.conf"), "kernel-modules", HIGH, "T1547.006"),
    (edited("/boot/grub2/grubenv"), "boot-environment", MEDIUM, "T1542"),
    (edited("/boot/vmlinuz-6.1"), "boot", HIGH, "T1542"),
    (edited("/etc/default/grub"), "boot", HIGH, "T1542"),
    (added(file("/etc/pki/ca-trust/source/anchors/x.crt")), "trusted-certificates", HIGH, "T1553.004"),
    (edited("/etc/selinux/config"), "defences", HIGH, "T1562"),
    (edited("/etc/hosts"), "resolver", HIGH, "T1565"),
    (edited("/etc/resolv.conf"), "resolver", HIGH, "T1565"),
    (edited("/usr/lib/sysimage/rpm/rpmdb.sqlite"), "package-records", LOW, "T1195"),
    (edited("/usr/share/doc/x/README"), "documentation", LOW, "T1564.001"),
    (added(file("/usr/lib/python3/__pycache__/x.cpython-311.pyc")), "python-cache", LOW, "T1554"),
    (edited("/usr/lib/python3/__pycache__/x.cpython-311.pyc"), "system-programs", HIGH, "T1554"),
    (edited("/usr/bin/ls"), "system-programs", HIGH, "T1554"),
    (edited("/usr/local/bin/x"), "system-programs", HIGH, "T1554"),
    (edited("/lib64/libc.so.6"), "system-programs", HIGH, "T1554"),
    (changed(file("/bin", LNK | 0o777, target=b"usr"), target=b"tmp"), "system-programs", HIGH, "T1554"),
    (edited("/etc/whatever.conf"), "other-settings", MEDIUM, "T1565.001"),
    (edited("/srv/site/index.html"), "unmatched", CRITICAL, ""),
    # Places where anybody writes.
    (added(file("/run/docker.sock", SOCK | 0o660)), "container-socket", CRITICAL, "T1610"),
    (changed(file("/run/crio/crio.sock", SOCK), mode=SOCK | 0o666), "container-socket", CRITICAL, "T1610"),
    (changed(file("/run/podman/podman.sock", SOCK | 0o660), uid=1000), "container-socket", CRITICAL, "T1610"),
    (removed(file("/run/docker.sock", SOCK | 0o660)), "container-socket-gone", IGNORE, "T1489"),
    (added(file("/tmp/... ", DIR | 0o755)), "odd-name-in-temporary-place", HIGH, "T1564.001"),
    (added(file("/dev/shm/.. ", REG | 0o755)), "odd-name-in-temporary-place", HIGH, "T1564.001"),
    (added(file("/dev/...", DIR | 0o755)), "odd-name-in-temporary-place", HIGH, "T1564.001"),
    (added(file("/var/tmp/rpm-tmp.aB3dE6", REG | 0o755)), "package-work", IGNORE, "T1059"),
    (added(file("/var/tmp/dracut.x/initramfs/usr/bin/sh", REG | 0o755)), "package-work", IGNORE, "T1059"),
    (added(file("/var/tmp/dracut.x/sh", REG | 0o755, uid=1000)), "temporary-program", LOW, "T1059"),
    (added(file("/var/tmp/dracut.x/sh", REG | 0o4755)), "file-gained-privileges", CRITICAL, "T1548.001"),
    (added(file("/tmp/.X11-unix", DIR | 0o1777)), "known-hidden-folders", IGNORE, "T1564.001"),
    (added(file("/tmp/.x/y", REG | 0o755)), "hidden-in-temporary-place", MEDIUM, "T1564.001"),
    (added(file("/var/tmp/a/.b/c/d", REG | 0o755)), "hidden-in-temporary-place", MEDIUM, "T1564.001"),
    (added(file("/dev/shm/.x", REG | 0o755)), "hidden-in-temporary-place", MEDIUM, "T1564.001"),
    (added(file("/tmp/.x", DIR | 0o755)), "hidden-folder-in-temporary-place", LOW, "T1564.001"),
    (changed(file("/tmp", DIR | 0o1777), mode=DIR | 0o777), "temporary-place-itself", HIGH, "T1222.002"),
    (removed(file("/dev/shm", DIR | 0o1777)), "temporary-place-itself", HIGH, "T1222.002"),
    (added(file("/tmp/systemd-private-1-x.service-2", DIR | 0o700)), "temporary-folder", IGNORE, "T1059"),
    (added(file("/run/user/1000", DIR | 0o700, device=42)), "temporary-folder", IGNORE, "T1059"),
    (added(file("/tmp/x", DIR | 0o777)), "temporary-folder", IGNORE, "T1059"),
    (removed(file("/tmp/x", REG | 0o755)), "temporary-program-gone", IGNORE, "T1070.004"),
    (added(file("/tmp/x", REG | 0o755)), "temporary-program", LOW, "T1059"),
    (added(file("/tmp/x", REG | 0o777)), "temporary-program", LOW, "T1059"),
    (edited("/run/user/1000/x"), "temporary-program", LOW, "T1059"),
    (added(file("/dev/shm/x", REG | 0o755)), "temporary-program", LOW, "T1059"),
    (added(file("/dev/mapper", DIR | 0o755)), "device-folders", IGNORE, "T1564.001"),
    (added(file("/dev/ptyp")), "file-among-devices", HIGH, "T1564.001"),
    (added(file("/dev/.udev/x")), "file-among-devices", HIGH, "T1564.001"),
    (removed(file("/var/www/html/x.php")), "web-page-gone", LOW, "T1505.003"),
    # Forged times.
    (changed(file("/etc/shadow"), mtime=0, ctime=2), "time-forged-sensitive", HIGH, "T1070.006"),
    (changed(file("/root/.ssh/known"), mtime=0, ctime=2), "time-forged-sensitive", HIGH, "T1070.006"),
    (changed(file("/usr/bin/ls"), mtime=0, ctime=2), "time-forged", MEDIUM, "T1070.006"),
    (changed(file("/usr/bin/ls"), mtime=10**18, ctime=2), "time-forged", MEDIUM, "T1070.006"),
    (changed(file("/usr/bin/ls"), mtime=0, ctime=2, inode=2), "touched", LOW, "T1070.006"),
    (changed(file("/usr/bin/ls"), sha256=b"\2" * 32, ctime=2), "program-backdated", HIGH, "T1554 T1070.006"),
    (changed(file("/etc/x"), sha256=b"\2" * 32, size=9, ctime=2), "content-backdated", HIGH, "T1070.006"),
    (changed(file("/etc/passwd"), sha256=b"\2" * 32, ctime=2), "account-database", CRITICAL, "T1136.001"),
    (changed(file("/etc/x"), sha256=b"\2" * 32, mtime=2, ctime=2, mode=REG | 0o666),
     "changed-and-open-to-everyone", HIGH, "T1222.002"),
    (added(file("/etc/cron.d/x", REG | 0o666)), "cron", CRITICAL, "T1053.003"),
    (added(file("/etc/...", DIR | 0o755)), "odd-name", HIGH, "T1564.001"),
    (added(file("/usr/lib/.. ", DIR | 0o755)), "odd-name", HIGH, "T1564.001"),
    (added(file("/usr/lib/.x", DIR | 0o755)), "hidden-among-programs", HIGH, "T1564.001"),
    (added(file("/usr/lib/.x/run", REG | 0o755)), "hidden-among-programs", HIGH, "T1564.001"),
    (added(file("/usr/share/man/man1/.x", REG | 0o755)), "hidden-among-texts", MEDIUM, "T1564.001"),
    (changed(file("/usr/lib", DIR | 0o755), device=42), "mounted-over", CRITICAL, "T1564.013"),
    # Web.
    (added(file("/var/www/html/uploads/2026", DIR | 0o777)), "web-folders", IGNORE, "T1505.003"),
    (added(file("/var/www/html/uploads/x.php")), "web-page", HIGH, "T1505.003"),
    (edited("/var/www/html/index.php"), "web-page", HIGH, "T1505.003"),
    (added(file("/usr/share/nginx/html/x.php", REG | 0o666)), "web-page", HIGH, "T1505.003"),
    (added(file("/var/lib/tomcat9/webapps/x.war")), "web-page", HIGH, "T1505.003"),
    (added(file("/opt/tomcat/webapps/ROOT/x.jsp")), "web-page", HIGH, "T1505.003"),
    (added(file("/home/eve/public_html/x.php")), "web-page", HIGH, "T1505.003"),
    (edited("/etc/httpd/conf/httpd.conf"), "web-server", HIGH, "T1505.003"),
    (edited("/etc/php.ini"), "web-server", HIGH, "T1505.003"),
    # Rights.
    (added(file("/usr/share/polkit-1/rules.d/x.rules")), "privilege-rules", CRITICAL, "T1548.003"),
    (added(file("/usr/share/polkit-1/actions/x.policy")), "privilege-declarations", HIGH, "T1548.003"),
    (edited("/etc/doas.conf"), "privilege-rules", CRITICAL, "T1548.003"),
    (added(file("/usr/lib64/security/pam_x.so")), "login-rules", CRITICAL, "T1556.003"),
    (edited("/etc/security/access.conf"), "login-rules", CRITICAL, "T1556.003"),
    (edited("/etc/authselect/system-auth"), "login-rules", CRITICAL, "T1556.003"),
    (edited("/etc/krb5.conf"), "name-services", HIGH, "T1556"),
    (added(file("/home/eve/.rhosts")), "account-trust", CRITICAL, "T1098"),
    # Time and start.
    (added(file("/var/spool/cron/tmp.XXXXab12")), "crontab-temporaries", INFO, ""),
    (added(file("/var/spool/cron/atjobs/a0001")), "at-jobs", HIGH, "T1053.002"),
    (edited("/etc/anacrontab"), "cron", CRITICAL, "T1053.003"),
    (added(file("/etc/cron.allow")), "cron", CRITICAL, "T1053.003"),
    (added(file("/var/spool/incron/root")), "cron", CRITICAL, "T1053.003"),
    (added(file("/etc/systemd/system/x.timer")), "timers", HIGH, "T1053.006"),
    (added(file("/run/systemd/transient/run-u1.timer")), "timers", HIGH, "T1053.006"),
    (added(file("/home/eve/.config/systemd/user/x.timer")), "timers", HIGH, "T1053.006"),
    (added(file("/run/systemd/transient/run-u1.service")), "transient-units", MEDIUM, "T1543.002"),
    (added(file("/run/systemd/generator/x.service")), "generated-units", MEDIUM, "T1543.002"),
    (added(file("/run/systemd/system/x.service")), "services", HIGH, "T1543.002"),
    (added(file("/run/systemd/generator", DIR | 0o755)), "runtime-folders", IGNORE, "T1543.002"),
    (removed(file("/run/systemd/generator/x.service")), "runtime-setting-gone", IGNORE, "T1489"),
    (added(file("/etc/systemd/user-generators/x")), "unit-generators", CRITICAL, "T1543.002"),
    (added(file("/run/systemd/system-generators/x")), "unit-generators", CRITICAL, "T1543.002"),
    (added(file("/usr/lib/systemd/system-generators/x", REG | 0o755)), "services", HIGH, "T1543.002"),
    (added(file("/usr/local/lib/systemd/user/x.service")), "services", HIGH, "T1543.002"),
    (added(file("/home/eve/.config/systemd/user/x.service")), "account-services", HIGH, "T1543.002"),
    (added(file("/var/lib/systemd/linger/eve")), "account-services", HIGH, "T1543.002"),
    (added(file("/etc/rc.local")), "start-up-scripts", CRITICAL, "T1037.004"),
    (added(file("/etc/update-motd.d/99-x", REG | 0o755)), "start-up-scripts", CRITICAL, "T1037.004"),
    # What accounts run.
    (edited("/root/.bashrc"), "account-start-up", HIGH, "T1546.004"),
    (added(file("/home/eve/.zshenv")), "account-start-up", HIGH, "T1546.004"),
    (added(file("/home/eve/.bash_logout")), "account-start-up", HIGH, "T1546.004"),
    (added(file("/home/eve/.shrc")), "account-start-up", HIGH, "T1546.004"),
    (added(file("/home/eve/.config/fish/conf.d/x.fish")), "account-start-up", HIGH, "T1546.004"),
    (added(file("/home/eve/.pam_environment")), "account-start-up", HIGH, "T1546.004"),
    (added(file("/home/eve/.config/autostart/x.desktop")), "account-triggers", HIGH, "T1546"),
    (added(file("/root/.gitconfig")), "account-triggers", HIGH, "T1546"),
    (added(file("/root/.vimrc")), "account-triggers", HIGH, "T1546"),
    (added(file("/home/eve/.forward")), "account-triggers", HIGH, "T1546"),
    (added(file("/root/.local/lib/python3.11/site-packages/x.pth")), "account-triggers", HIGH, "T1546"),
    (added(file("/home/eve/.local/bin/ls", REG | 0o755)), "account-programs", LOW, "T1574.007"),
    # What is run when something happens.
    (added(file("/usr/share/dbus-1/system-services/x.service")), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/dbus-1/system.d/x.conf")), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/NetworkManager/dispatcher.d/x", REG | 0o755)), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/networkd-dispatcher/routable.d/x", REG | 0o755)), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/network/if-up.d/x", REG | 0o755)), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/ppp/ip-up.d/x", REG | 0o755)), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/logrotate.d/x")), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/xdg/autostart/x.desktop")), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/apt/apt.conf.d/99x")), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/dnf/plugins/x.conf")), "event-triggers", HIGH, "T1546"),
    (added(file("/usr/lib/python3.9/site-packages/dnf-plugins/x.py")), "event-triggers", HIGH, "T1546"),
    (added(file("/usr/lib/python3/dist-packages/dnf-plugins/x.py")), "event-triggers", HIGH, "T1546"),
    (added(file("/usr/share/git-core/templates/hooks/x", REG | 0o755)), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/tmpfiles.d/x.conf")), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/sysctl.d/x.conf")), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/.git/hooks/pre-commit", REG | 0o755)), "event-triggers", HIGH, "T1546"),
    (added(file("/etc/.git/objects/ab/cdef")), "settings-repository", INFO, ""),
    (edited("/var/lib/dpkg/info/bash.postinst"), "package-scripts-in-place", HIGH, "T1546.016"),
    (added(file("/var/lib/dpkg/info/x.postinst", REG | 0o755)), "package-scripts", LOW, "T1546.016"),
    (edited("/etc/docker/daemon.json"), "containers", HIGH, "T1610"),
    (added(file("/etc/containers/systemd/x.container")), "containers", HIGH, "T1610"),
    (edited("/etc/kernel/cmdline"), "boot", HIGH, "T1542"),
    # Defences, names, clocks.
    (added(file("/etc/systemd/journald.conf.d/x.conf")), "journal-and-resolver-settings", HIGH, "T1562"),
    (edited("/etc/audit/rules.d/audit.rules"), "defences", HIGH, "T1562"),
    (edited("/etc/fail2ban/jail.conf"), "defences", HIGH, "T1562"),
    (edited("/etc/systemd/resolved.conf"), "resolver-service", HIGH, "T1565"),
    (edited("/etc/chrony.conf"), "resolver-service", HIGH, "T1565"),
    (added(file("/usr/local/share/ca-certificates/x.crt")), "trusted-certificates", HIGH, "T1553.004"),
    # Beside the system.
    (added(file("/opt/x", DIR | 0o755)), "folders-beside-the-system", LOW, "T1554"),
    (added(file("/opt/x/bin/y", REG | 0o755)), "system-programs", HIGH, "T1554"),
    (added(file("/opt/venv/lib/python3.11/site-packages/x.pth")), "event-triggers", HIGH, "T1546"),
    (changed(file("/etc/alternatives/java", LNK | 0o777, target=b"a"), target=b"/tmp/x", inode=2, ctime=2),
     "system-programs", HIGH, "T1554"),
    (edited("/run/tmpfiles.d/x.conf"), "event-triggers", HIGH, "T1546"),
    (edited("/run/systemd/system.conf.d/x.conf"), "services", HIGH, "T1543.002"),
    (added(file("/etc/dnsmasq.d/x")), "resolver", HIGH, "T1565"),
    (added(file("/run/credstore/x")), "other-runtime-settings", MEDIUM, "T1565.001"),
    # A content that could not be read is not "as approved" because nothing else moved.
    (changed(file("/usr/lib/huge.img", sha256=None), mtime=2, ctime=2), "system-programs", HIGH, "T1554"),
    (
        changed(file("/etc/shadow", sha256=None), mode=REG | 0o600),
        "account-table-open",
        CRITICAL,
        "T1222.002 T1136.001",
    ),
]  # fmt: skip
