"""What runs when somebody logs in or a shell starts."""

from __future__ import annotations

from .tools import extended, planted

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
    ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".zshrc",
    ".zshenv", ".shrc", ".kshrc", ".cshrc", ".tcshrc",
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
    "T1562.003",
    "/root/.bash_profile",
    "unset HISTFILE; HISTSIZE=0\n",
    does="HISTFILE unset in root's start-up file",
)
planted("motd", "T1037.004 T1546.004 T1546", "/etc/motd.d/x", "hello\n")
planted(
    "update-motd", "T1037.004 T1546.004 T1546", "/etc/update-motd.d/99-x", "#!/bin/sh\n/tmp/x\n", mode=0o755
)
planted("skel", SHELL, "/etc/skel/.bash_profile", "/tmp/x &\n")
