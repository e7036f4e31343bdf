"""Which files of a host run something, when, and who reads them. A table, and nothing that acts.

Whoever adds a kind adds a row here, and its format to `entries` if that is a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from ...globs import compile_paths
from .entries import (
    Entry,
    anacrontab,
    apt,
    at_job,
    audit,
    crontab,
    desktop,
    dpkg,
    git,
    inetd,
    inittab,
    interfaces,
    modprobe,
    pam,
    script,
    ssh,
    udev,
    unit,
    xinetd,
)


class Kind(NamedTuple):
    """A kind of setting. `what` it is called, `globs` its files, `read` its entries; `scripts`: a file is one
    entry as a whole, and only its worst lines are told. `own`: everybody writes theirs, so that it is nothing
    that no package brought it, but for root's."""

    what: str
    globs: tuple[bytes, ...]
    read: Callable[[bytes], Iterable[Entry]]
    technique: str
    scripts: bool = False
    own: bool = False


AT_LOGIN: Final = "T1546.004"
"""The technique of whoever plants what a login runs."""

_UNIT_NAMES: Final = tuple(b"/*." + kind for kind in (b"service", b"timer", b"socket", b"path", b"conf"))
_UNITS: Final = tuple(
    top + name
    for top in (
        b"/etc/systemd/system", b"/etc/systemd/user", b"/run/systemd/system", b"/run/systemd/transient",
        b"/usr/local/lib/systemd/system", b"/etc/systemd/system/*.d", b"/etc/systemd/system.control/*.d",
        b"/etc/systemd/user/*.d", b"/run/systemd/system/*.d", b"/run/systemd/system.control/*.d",
        b"/run/systemd/transient/*.d", b"/usr/local/lib/systemd/system/*.d", b"/usr/lib/systemd/system/*.d",
    )
    for name in _UNIT_NAMES
)  # fmt: skip

KINDS: Final[tuple[Kind, ...]] = (
    Kind("the system's table of cron", (b"/etc/crontab", b"/etc/cron.d/*"), crontab, "T1053.003"),
    Kind("the table of anacron", (b"/etc/anacrontab",), anacrontab, "T1053.003"),
    Kind("a job of at", (b"/var/spool/at/*", b"/var/spool/cron/atjobs/*", b"/var/spool/atjobs/*"), at_job,
        "T1053.002"),
    Kind("a unit of systemd", _UNITS, unit, "T1543.002"),
    Kind("inittab", (b"/etc/inittab",), inittab, "T1037.004"),
    Kind("inetd", (b"/etc/inetd.conf", b"/etc/inetd.d/*"), inetd, "T1543"),
    Kind("xinetd", (b"/etc/xinetd.conf", b"/etc/xinetd.d/*"), xinetd, "T1543"),
    Kind("a rule of udev", (b"/etc/udev/rules.d/*", b"/run/udev/rules.d/*"), udev, "T1546.017"),
    Kind("a module of PAM", (b"/etc/pam.d/*", b"/etc/pam.conf"), pam, "T1556.003"),
    Kind("a hook of the package manager", (b"/etc/apt/apt.conf", b"/etc/apt/apt.conf.d/*"), apt, "T1546.016"),
    Kind("a hook of the package manager", (b"/etc/dpkg/dpkg.cfg", b"/etc/dpkg/dpkg.cfg.d/*"), dpkg,
        "T1546.016"),
    Kind("a network interface", (b"/etc/network/interfaces", b"/etc/network/interfaces.d/*"), interfaces,
        "T1546"),
    Kind("a plugin of auditd", (b"/etc/audit/plugins.d/*.conf", b"/etc/audisp/plugins.d/*.conf"), audit,
        "T1543"),
    Kind("an order to modprobe", (b"/etc/modprobe.d/*", b"/run/modprobe.d/*", b"/usr/lib/modprobe.d/*"),
        modprobe, "T1547.006"),
    Kind("git's settings", (b"/etc/gitconfig",), git, "T1546"),
    Kind("ssh's settings", (b"/etc/ssh/ssh_config", b"/etc/ssh/ssh_config.d/*"), ssh, "T1546"),
    Kind(
        "a script run at start",
        (
            b"/etc/rc.local", b"/etc/rc.d/rc.local", b"/etc/rc.d/rc", b"/etc/rc.d/rc.sysinit",
            b"/etc/rc.boot/*",
            b"/etc/init.d/*", b"/etc/rc.d/init.d/*", b"/etc/rc.common", b"/etc/boot.d/*",
        ),
        script, "T1037.004", scripts=True,
    ),
    Kind(
        "a script run at start, before all units",
        tuple(
            top + b"/systemd/" + folder + b"/*"
            for top in (b"/etc", b"/run", b"/usr/local/lib")
            for folder in (
                b"system-generators", b"user-generators", b"system-environment-generators",
                b"user-environment-generators", b"system-sleep", b"system-shutdown",
            )
        ),
        script, "T1543.002", scripts=True,
    ),
    Kind("what starts with a desktop", (b"/etc/xdg/autostart/*.desktop",), desktop, "T1547.013"),
    Kind("a service of D-Bus", (b"/usr/share/dbus-1/*services/*.service",
        b"/usr/local/share/dbus-1/*services/*.service", b"/etc/dbus-1/*services/*.service"),
        desktop, "T1543"),
    Kind("a rotation of logs", (b"/etc/logrotate.conf", b"/etc/logrotate.d/*"), script, "T1053.003",
        scripts=True),
    Kind(
        "a script run by cron",
        (b"/etc/cron.hourly/*", b"/etc/cron.daily/*", b"/etc/cron.weekly/*", b"/etc/cron.monthly/*"),
        script, "T1053.003", scripts=True,
    ),
    Kind(
        "a script run at a login",
        (
            b"/etc/profile", b"/etc/profile.d/*", b"/etc/bashrc", b"/etc/bash.bashrc", b"/etc/zsh/*",
            b"/etc/zshrc",
            b"/etc/zshenv", b"/etc/zprofile", b"/etc/csh.*", b"/etc/environment", b"/etc/environment.d/*",
            b"/etc/bash_completion.d/*", b"/etc/X11/Xsession.d/*", b"/etc/X11/xinit/xinitrc.d/*",
            b"/etc/update-motd.d/*", b"/etc/ssh/sshrc", b"/etc/bash.bash_logout", b"/etc/skel/.*",
            b"/etc/fish/config.fish", b"/etc/fish/conf.d/*",
        ),
        script, AT_LOGIN, scripts=True,
    ),
    Kind(
        "a script run for the network",
        (
            b"/etc/NetworkManager/dispatcher.d/*", b"/etc/NetworkManager/dispatcher.d/*/*",
            b"/usr/lib/NetworkManager/dispatcher.d/*", b"/usr/lib/NetworkManager/dispatcher.d/*/*",
            b"/etc/network/if-up.d/*", b"/etc/network/if-down.d/*", b"/etc/network/if-pre-up.d/*",
            b"/etc/network/if-post-down.d/*", b"/etc/dhcp/dhclient-enter-hooks.d/*",
            b"/etc/dhcp/dhclient-exit-hooks.d/*", b"/etc/networkd-dispatcher/*/*", b"/etc/ppp/ip-up.d/*",
            b"/etc/sysconfig/network-scripts/if*-local", b"/usr/sbin/ifup-local", b"/usr/sbin/ifdown-local",
        ),
        script, "T1546", scripts=True,
    ),
    Kind(
        "a hook of the package manager",
        (
            b"/etc/yum/pluginconf.d/*", b"/etc/dnf/plugins/*", b"/etc/kernel/*.d/*",
            b"/etc/dnf/libdnf5-plugins/*",
            b"/etc/initramfs/post-update.d/*",
        ),
        script, "T1546.016", scripts=True,
    ),
    Kind(
        "a script that makes what the host starts from",
        (b"/etc/initramfs-tools/hooks/*", b"/etc/initramfs-tools/scripts/*/*", b"/etc/grub.d/*"),
        script, "T1542", scripts=True,
    ),
    Kind("a script that makes what the host starts from", (b"/etc/dracut.conf", b"/etc/dracut.conf.d/*"),
        script, "T1542", scripts=True, own=True),
    Kind("what a service starts with", (b"/etc/apache2/envvars", b"/etc/security/namespace.init"),
        script, "T1543.002", scripts=True, own=True),
    Kind("a hook of git", (b"/usr/share/git-core/templates/hooks/*",), script, "T1546", scripts=True),
    Kind("a script run when an account is made or goes",
        (b"/usr/local/sbin/adduser.local", b"/usr/local/sbin/deluser.local"), script, "T1546", scripts=True),
    Kind(
        "a hook of a service",
        (
            b"/etc/letsencrypt/renewal-hooks/*/*", b"/etc/libvirt/hooks/*", b"/etc/libvirt/hooks/*/*",
            b"/etc/needrestart/hook.d/*", b"/etc/needrestart/notify.d/*", b"/etc/needrestart/restart.d/*",
            b"/etc/resolvconf/update.d/*", b"/etc/acpi/events/*", b"/etc/pm/sleep.d/*",
            b"/etc/qemu/fsfreeze-hook.d/*", b"/var/lib/cloud/scripts/per-*/*",
        ),
        script, "T1546", scripts=True,
    ),
    Kind("what an editor starts with", (b"/etc/vimrc.local", b"/etc/vim/vimrc.local"), script, "T1546",
        scripts=True, own=True),
    Kind(
        "a start-up hook of Python",
        (
            b"/usr/local/lib/python3*/*-packages/*.pth", b"/usr/local/lib/python3*/*-packages/*customize.py",
            b"/usr/lib/python3*/*-packages/*.pth", b"/usr/lib/python3*/*-packages/*customize.py",
            b"/usr/lib64/python3*/*-packages/*.pth",
        ),
        script, "T1546.018", scripts=True,
    ),
)  # fmt: skip

HOMES: Final = tuple(
    b"/" + name
    for name in (
        b".bashrc", b".bash_profile", b".bash_login", b".bash_logout", b".profile", b".zshrc", b".zshenv",
        b".zprofile", b".zlogin", b".kshrc", b".cshrc", b".tcshrc", b".login", b".xprofile", b".xinitrc",
        b".xsession", b".ssh/rc", b".pam_environment", b".forward", b".procmailrc", b".vimrc", b".inputrc",
        b".bash_aliases", b".xsessionrc", b".config/fish/config.fish", b".tmux.conf", b".screenrc", b".exrc",
        b".gdbinit", b".psqlrc", b".selected_editor", b".lessfilter",
    )
)  # fmt: skip
"""What runs when an account logs in or starts one of its tools, below its home."""

OF_ACCOUNT: Final[tuple[Kind, ...]] = (
    Kind("a unit of systemd", tuple(
        top + below + name
        for top in (b"/.config/systemd/user", b"/.local/share/systemd/user", b"/.config/systemd/user.control")
        for below in (b"", b"/*.d")
        for name in _UNIT_NAMES
    ), unit, "T1543.002"),
    Kind("what starts with a desktop", (b"/.config/autostart/*.desktop",), desktop, "T1547.013"),
    Kind("a start-up hook of Python", (b"/.local/lib/python3*/site-packages/*.pth",
        b"/.local/lib/python3*/site-packages/*customize.py"), script, "T1546.018", scripts=True),
    Kind("ssh's settings", (b"/.ssh/config", b"/.ssh/config.d/*"), ssh, "T1546", own=True),
    Kind("a script run at a login or by a tool", (b"/.config/fish/conf.d/*.fish",
        b"/.config/environment.d/*.conf", b"/.config/plasma-workspace/env/*", b"/.vim/plugin/*.vim"),
        script, AT_LOGIN, scripts=True, own=True),
    Kind("git's settings", (b"/.gitconfig", b"/.config/git/config"), git, "T1546", own=True),
)  # fmt: skip
"""Tables below an account's home; what they run, runs as that account, whoever wrote it."""

SPOOLS: Final = (b"/var/spool/cron/crontabs", b"/var/spool/cron", b"/var/spool/fcron", b"/var/spool/incron")

CRON_OF_ACCOUNT: Final = Kind("an account's table of cron", (), crontab, "T1053.003")
LOGIN_OF_ACCOUNT: Final = Kind("a script run at a login or by a tool", (), script, AT_LOGIN, scripts=True)

MADE_BY_SCRIPTS: Final = compile_paths(
    [
        b"/etc/profile", b"/etc/environment", b"/etc/bash.bashrc", b"/root/.bashrc", b"/root/.profile",
        b"/etc/pam.d/common-*", b"/etc/pam.d/*-auth", b"/etc/pam.d/postlogin*", b"/etc/pam.d/*-ac",
        b"/etc/pam.d/systemd-user", b"/etc/apt/apt.conf.d/00*", b"/etc/apt/apt.conf.d/01autoremove*",
        b"/etc/apt/apt.conf.d/70debconf", b"/etc/profile.d/lang.*",
        b"/etc/tmpfiles.d/static-nodes-permissions.conf",
        b"/etc/aliases", b"/etc/hosts", b"/etc/resolv.conf", b"/etc/ld.so.conf", b"/etc/ssh/sshd_config",
        b"/etc/ssh/sshd_config.d/50-cloud-init.conf",
        b"/etc/ssh/sshd_config.d/01-permitrootlogin.conf", b"/etc/sudoers.d/90-cloud-init-users",
        b"/run/systemd/transient/*", b"/run/tmpfiles.d/*", b"/run/udev/rules.d/*", b"/run/systemd/system/**",
    ]
)  # fmt: skip
"""What installers and scripts of packages make, so that no package owns it; what it holds still counts."""
