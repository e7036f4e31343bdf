"""The dynamic linker, PAM, name services, and what decides about logging and refusing."""

from __future__ import annotations

from .table import Deed, act
from .tools import extended, kept, planted, sh

LINKER = "T1574.006"
planted("ld-so-preload", LINKER, "/etc/ld.so.preload", "\n")
planted("ld-so-conf-d", LINKER, "/etc/ld.so.conf.d/00-x.conf", "/tmp/lib\n")
extended("ld-so-conf", LINKER, "/etc/ld.so.conf", "/tmp/lib\n")
planted(
    "ld-preload-in-a-unit",
    "T1574.006",
    "/etc/systemd/system/nginx.service.d/env.conf",
    "[Service]\nEnvironment=LD_PRELOAD=/tmp/x.so\n",
)
planted("ld-audit-in-a-profile", "T1574.006 T1546.004", "/etc/profile.d/ld.sh", "export LD_AUDIT=/tmp/x.so\n")


@act(LINKER, "ldconfig rewrites the cache with another folder in it", "/etc/ld.so.cache")
def ld_so_cache() -> Deed:
    with kept("/etc/ld.so.cache"):
        sh(
            "mkdir -p /var/lib/trial/lib",
            "cp /usr/lib/x86_64-linux-gnu/libanl.so.1 /var/lib/trial/lib/libz9.so.1",
            "ldconfig /var/lib/trial/lib",
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
            f"cp -p {path} {path}.n",
            f"printf x >> {path}.n",
            f"touch -r {path} {path}.n",
            f"mv {path}.n {path}",
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
