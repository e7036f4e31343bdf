"""Kernel, boot loader, trust, names, containers: files that decide about the host as a whole."""

from __future__ import annotations

import os

from .table import Deed, act
from .tools import extended, planted

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
planted("kernel-install", "T1542 T1546", "/etc/kernel/postinst.d/x", "#!/bin/sh\n", mode=0o755)

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
    "T1610",
    "/etc/systemd/system/docker.service.d/x.conf",
    "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H tcp://0.0.0.0:2375\n",
)
planted("docker-daemon-json", "T1610", "/etc/docker/daemon.json", '{"hosts": ["tcp://0.0.0.0:2375"]}\n')
planted("containerd-config", "T1610", "/etc/containerd/config.toml", "\n")
planted("podman-quadlet", "T1610 T1543.002", "/etc/containers/systemd/x.container", "[Container]\nImage=x\n")


@act("T1610", "chmod 666 /run/docker.sock: everybody may start containers as root", "/run/docker.sock")
def container_socket_opened() -> Deed:
    os.chmod("/run/docker.sock", 0o666)
    yield
    os.chmod("/run/docker.sock", 0o660)
