"""What of a command line is stable."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.sensors.commands import LONGEST, command, script, stable


def words(text: str) -> list[bytes]:
    return text.encode().split(b" ")


@pytest.mark.parametrize(
    ("exe", "argv", "expected"),
    [
        ("/usr/bin/python3.11", "python3 -u /opt/app/main.py --port 80", "/opt/app/main.py"),
        ("/usr/bin/python3.11", "python3 -W ignore -X dev app.py", "/srv/app.py"),
        ("/usr/bin/python3.11", "python3 -Wignore ./../app.py", "/app.py"),
        ("/usr/bin/python3.11", "python3 -Esm http.server 80", "-m http.server"),
        ("/usr/bin/python3.11", "python3 -c print(12345)", "-c print(#)"),
        ("/usr/bin/python3.11", "python3", "-"),
        ("/usr/bin/python3.11", "python3 -", "-"),
        ("/usr/bin/python3.11-dbg", "python3 x", "/srv/x"),
        ("/usr/bin/dash", "sh -c sleep", "-c sleep"),
        ("/usr/bin/bash", "bash -xec sleep", "-c sleep"),
        ("/usr/bin/bash", "bash -o errexit +x --norc /etc/rc.local start", "/etc/rc.local"),
        ("/usr/bin/bash", "-bash", "-"),
        ("/usr/bin/bash", "bash --rcfile /etc/x /tmp/run", "/tmp/run"),
        ("/usr/bin/bash", "bash -- -odd", "/srv/-odd"),
        ("/usr/bin/perl", "perl -w -I lib /usr/sbin/tool", "/usr/sbin/tool"),
        ("/usr/bin/perl", "perl -MIO::Socket -e while(1){}", "-e while(#){}"),
        ("/usr/bin/node", "node --require ./x --max-old-space-size=9 server.js", "/srv/server.js"),
        ("/usr/bin/node", "node --eval=1", "--eval #"),
        ("/usr/lib/jvm/bin/java", "java -Xmx1g -cp a.jar:b.jar org.example.Main run", "org.example.Main"),
        ("/usr/lib/jvm/bin/java", "java -Dx=y -jar /opt/kafka.jar", "/opt/kafka.jar"),
        ("/usr/bin/php8.2", "php -d x=1 -f worker.php", "/srv/worker.php"),
        ("/usr/bin/ruby3.1", "ruby -I lib bin/puma", "/srv/bin/puma"),
        ("/usr/bin/busybox", "httpd -f", "httpd"),
        ("/usr/bin/busybox", "busybox nc -l", "nc"),
        ("/usr/sbin/sshd", "/usr/sbin/sshd -D", ""),
        ("/usr/bin/python3.11", "celery: worker", "-"),
    ],
)
def test_script(exe: str, argv: str, expected: str) -> None:
    title = [argv.encode()] if argv.startswith("celery") else words(argv)
    assert script(exe.encode(), title, b"/srv") == (b"" if argv.startswith("celery") else expected.encode())


def test_a_relative_script_without_a_known_folder_stays_as_it_is() -> None:
    assert script(b"/usr/bin/python3", [b"python3", b"app.py"]) == b"app.py"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "docker-proxy -host-port 80 -container-ip 172.17.0.3",
            "docker-proxy -host-port 80 -container-ip 172.17.0.9",
        ),
        (
            "qemu -uuid 123e4567-e89b-12d3-a456-426614174000",
            "qemu -uuid 823e4567-e89b-12d3-a456-4266141740ff",
        ),
        ("run --pidfile /tmp/x.8fK2aQ7b", "run --pidfile /tmp/x.Zk21pQ9c"),
    ],
)
def test_passing_parts_do_not_count(one: str, other: str) -> None:
    assert stable(words(one)) == stable(words(other)) != b""


def test_other_options_do_count() -> None:
    assert stable(words("sshd -f /etc/ssh/sshd_config")) != stable(words("sshd -f /tmp/sshd_config"))


def test_a_title_is_not_stable() -> None:
    assert stable([b"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"]) == b""
    assert stable([b"postgres:", b"checkpointer"]) == b""


@pytest.mark.parametrize(
    "argv",
    [
        ["mysqld", "--password=hunter2"],
        ["curl", "--token", "hunter2"],
        ["app", "DB_PASSWORD=hunter2"],
        ["app", '{"API_KEY": "hunter2", "x": 1}'],
        ["app", "postgres://joe:hunter2@db/x"],
        ["sh", "-c", "export AWS_SECRET=hunter2; run"],
    ],
)
def test_secrets_are_masked(argv: list[str]) -> None:
    shown = command([word.encode() for word in argv])
    assert b"hunter2" not in shown
    assert b"***" in shown
    assert b"hunter2" not in script(b"/usr/bin/dash", [b"sh", b"-c", " ".join(argv).encode()])


@pytest.mark.parametrize(
    "word", [b"a" * 65536, b"-" * 65536, b"password" * 8192, b"://:" * 16384, b"_1a" * 20000]
)
def test_long_arguments_cost_nothing_much(word: bytes) -> None:
    began = time.process_time()
    argv = [b"python3", b"-c", word, word]
    command(argv)
    stable(argv)
    script(b"/usr/bin/python3", argv)
    assert time.process_time() - began < 0.2


@given(
    st.lists(st.binary(max_size=40), max_size=20), st.sampled_from([b"python3", b"bash", b"java", b"nginx"])
)
def test_any_arguments_are_bounded_and_steady(argv: list[bytes], name: bytes) -> None:
    exe = b"/usr/bin/" + name
    assert len(command(argv)) <= LONGEST
    assert script(exe, argv, b"/srv") == script(exe, argv, b"/srv")
    assert stable(argv) == stable(list(argv))
