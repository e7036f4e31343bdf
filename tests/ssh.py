"""A real sshd, unpacked but not installed, in a mount namespace where it has its own accounts, keys and PAM.

Its program is a copy in /usr/local/sbin while a test runs: one that is only mounted there is not believed to
be sshd.

`python -m tests.ssh FOLDER PORT` runs inside that namespace (unshare -m) as root, and becomes sshd.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BESIDE = Path(os.environ.get("HOSTGUARD_CACHE", "/var/cache/hostguardd-tests"), "beside")
PROGRAM = Path("/usr/local/sbin/sshd")
USER = "visitor"
UID = 23_456

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM yes
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""

PAM = """\
auth required pam_deny.so
account required pam_permit.so
session required pam_loginuid.so
"""
SU = """\
auth sufficient pam_permit.so
account sufficient pam_permit.so
session sufficient pam_permit.so
"""


def prepare(folder: Path) -> None:
    """Keys of the host and of the visitor."""
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized_keys").write_text((folder / "key.pub").read_text())


def main(folder: Path, port: int) -> None:
    """In the namespace: what sshd is to find at its usual places, and sshd itself."""
    for name in ("etc", "run"):
        (folder / name).mkdir()
    etc = folder / "etc"
    (etc / "pam.d").mkdir()
    (etc / "pam.d/sshd").write_text(PAM)
    (etc / "pam.d/su").write_text(SU)
    passwd = Path("/etc/passwd").read_text()
    (etc / "passwd").write_text(
        f"{passwd}{USER}:*:{UID}:65534::/tmp:/bin/bash\n"
        + ("" if "\nsshd:" in passwd else "sshd:x:23457:65534::/run/sshd:/usr/sbin/nologin\n")
    )
    (folder / "run/sshd").mkdir(mode=0o755)
    layers = {"/etc": str(etc), "/run": str(folder / "run")}
    for place, layer in layers.items():
        options = f"lowerdir={layer}:{place}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, place], check=True)
    config = folder / "config"
    config.write_text(CONFIG.format(port=port, folder=folder))
    os.execv(PROGRAM, [str(PROGRAM), "-D", "-e", "-f", str(config)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
