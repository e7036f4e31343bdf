"""authorized_keys as sshd reads it, held against ssh-keygen where there is one."""

from __future__ import annotations

import shutil
import subprocess
import time
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.authorized import files, parse, places, split_options
from hostguardd.facts.accounts import KeyFact
from hostguardd.sensors.keys import key_rows


def key(type: bytes = b"ssh-ed25519", body: bytes = b"\0\0\0\x20" + b"k" * 32) -> bytes:
    return type + b" " + b64encode(len(type).to_bytes(4, "big") + type + body)


ED = key()
RSA = key(b"ssh-rsa", b"\0\0\0\3\1\0\1" + b"n" * 260)


@pytest.mark.parametrize(
    ("line", "options", "comment"),
    [
        (ED, (), b""),
        (ED + b" alice@host", (), b"alice@host"),
        (b"  " + ED + b"\tlong comment here \r", (), b"long comment here"),
        (b"no-pty " + ED, (b"no-pty",), b""),
        (b'command="echo \\"a, b\\" c",from="10.0.0.0/8,!10.1.1.1" ' + ED + b" x",
         (b'command="echo \\"a, b\\" c"', b'from="10.0.0.0/8,!10.1.1.1"'), b"x"),
        (b'environment="LD_PRELOAD=/tmp/x y" \t' + ED, (b'environment="LD_PRELOAD=/tmp/x y"',), b""),
        (b"restrict,cert-authority " + ED, (b"restrict", b"cert-authority"), b""),
    ],
)  # fmt: skip
def test_lines_that_are_keys(line: bytes, options: tuple[bytes, ...], comment: bytes) -> None:
    (found,), bad = parse(line)
    assert not bad
    assert (found.type, found.options, found.comment) == (b"ssh-ed25519", options, comment)
    assert found.authority is (b"cert-authority" in options)


@pytest.mark.parametrize(
    "line",
    [
        b"root:$6$salt$hash:1:0:::::",
        b"ssh-ed25519",
        b"ssh-ed25519 AAAA",
        b"ssh-ed25519 !!!!",
        b"ssh-rsa " + ED.split(b" ")[1],
        b'command="unclosed ' + ED,
        b"no-pty no-pty " + ED,
        b"-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_lines_that_are_none_show_nothing(line: bytes) -> None:
    found, (bad,) = parse(line)
    assert not found
    for row in key_rows(b"alice", b"/h/.ssh/authorized_keys", line).values():
        shown = repr(row)
        assert "salt" not in shown
        assert "BEGIN" not in shown
        assert bad.mark.decode() in shown


def test_comments_and_empty_lines_are_passed_over_and_the_rest_is_read() -> None:
    found, bad = parse(b"# " + ED + b"\n\n \t\njunk\n" + RSA + b" r\n" + ED)
    assert [(one.type, one.line) for one in found] == [(b"ssh-rsa", 5), (b"ssh-ed25519", 6)]
    assert [one.line for one in bad] == [4]


def test_a_key_that_stands_there_twice_is_two_facts() -> None:
    rows = key_rows(b"alice", b"/k", b"restrict " + ED + b"\n" + ED)
    facts = [KeyFact.of(row) for row in rows.values()]
    assert [(fact.options, b" (2) in /k" in fact.key) for fact in facts] == [
        (b"restrict", False),
        (b"", True),
    ]


def test_traits() -> None:
    (row,) = key_rows(b"a", b"/k", b'cert-authority,command="x",environment="A=b" ' + ED).values()
    assert KeyFact.of(row).traits() == {"authority", "command", "environment"}


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="there is no ssh-keygen here")
@pytest.mark.parametrize("type", ["ed25519", "rsa", "ecdsa"])
def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path, type: str) -> None:
    file = tmp_path / "k"
    subprocess.run(["ssh-keygen", "-q", "-t", type, "-N", "", "-C", "me", "-f", str(file)], check=True)
    said = subprocess.run(["ssh-keygen", "-lf", f"{file}.pub"], check=True, capture_output=True).stdout
    (found,), bad = parse(Path(f"{file}.pub").read_bytes())
    assert not bad
    assert found.fingerprint == said.split()[1]
    assert found.comment == b"me"
    assert parse(file.read_bytes())[0] == [], "a private key is no key that opens anything"


def test_where_keys_lie() -> None:
    text = (
        b"# AuthorizedKeysFile none\nauthorizedKEYSfile .ssh/a %h/b\n"
        b'Match User x\n\tAuthorizedKeysFile="/etc/ssh/keys/%u file" /k/%U%% none # c\n'
        b"AuthorizedKeysFileX /no\nAuthorizedKeysCommand /bin/x\n"
    )
    found = places(text)
    assert found == [b".ssh/a", b"%h/b", b"/etc/ssh/keys/%u file", b"/k/%U%%"]
    assert list(files(found, b"eve", 1000, b"/home/eve/")) == [
        b"/home/eve/.ssh/a", b"/home/eve/b", b"/etc/ssh/keys/eve file", b"/k/1000%",
    ]  # fmt: skip
    assert list(files([b"a\0b", b"%h"], b"eve", None, b"/")) == []


PIECES = st.sampled_from(
    [ED, RSA, b" ", b"\t", b",", b'"', b"\\", b"=", b"#", b"\0", b"\xff", b"no-pty", b"ssh-rsa", b"\n"]
)
TEXTS = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=14).map(b"".join))


@given(TEXTS)
def test_whatever_stands_there_rows_come_out(text: bytes) -> None:
    rows = key_rows(b"alice", b"/k", text)
    for name, row in rows.items():
        fact = KeyFact.of(row)
        assert fact.key == name
        assert fact.traits() <= KeyFact.TRAITS
        assert fact.key.startswith((b"SHA256:", b"damaged line ", b"more damaged "))
    places(text)
    split_options(text)


@given(TEXTS, TEXTS)
def test_a_bad_line_takes_no_other_with_it(before: bytes, after: bytes) -> None:
    found, _ = parse(before + b"\n" + ED + b" mine\n" + after)
    assert any(one.comment == b"mine" for one in found)


def test_a_file_made_to_be_slow_is_not() -> None:
    began = time.process_time()
    parse(b'"' * 10**5 + b"\n" + b"\\" * 10**5 + b"\n" + b"," * 10**5 + b"\n" + b"x " * 10**5)
    parse((b"no-pty " + ED + b"\n") * 2000)
    parse(b"x\n" * 10**5)
    assert time.process_time() - began < 10
