"""What runs when something happens: a device, a network, a package, a start of Python."""

from __future__ import annotations

from .tools import extended, planted

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
planted("dnf-plugin", EVENT, "/usr/lib/python3.11/site-packages/dnf-plugins/x.py", "import os\n")
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
