"""Short diffs: readable, bounded, quick whatever is written, and never with a secret in them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.textdiff import MOST_LINES, MOST_WIDTH, unified

SECRETS = [
    b"-----BEGIN PRIVATE KEY-----",
    b"-----BEGIN OPENSSH PRIVATE KEY-----",
    b"-----BEGIN RSA PRIVATE KEY-----",
    b"root:$6$salt$hash:19000:0:99999:7:::",
    b"root:$y$j9T$abc:19000::::::",
    b"root:$1$abc$def:::::::",
    b"root:$2y$10$abcdefgh:::::::",
    b"www:$apr1$abc$def",
    b"root:abJnggxhB/yWI:0:0:root:/root:/bin/sh",
    b"root:_J9..rasmBYk8r9AiWNc:0:0:root:/root:/bin/sh",
    b"userPassword: {SSHA}0c0blFTXXNuAMHECS4uxrj3ZieMoWImr",
    b"password=hunter2",
    b"Passwd : hunter2",
    b"wpa_psk=0123456789",
    b"API_KEY=abcdef",
    b"client_secret: abcdefgh",
    b"proxy=http://me:hunter2@proxy.example:3128/",
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:24].decode())
def test_secrets_mean_no_diff_on_either_side(secret: bytes) -> None:
    plain, with_it = b"first\nlast\n", b"first\n" + secret + b"\nlast\n"
    assert unified(plain, with_it) == ""
    assert unified(with_it, plain) == ""
    assert unified(with_it, with_it + b"harmless\n") == ""


@given(
    st.sampled_from(SECRETS),
    st.lists(st.sampled_from([b"a", b"b b", b"# c"]), max_size=60),
    st.integers(0, 60),
)
def test_secrets_are_found_anywhere(secret: bytes, lines: list[bytes], at: int) -> None:
    lines.insert(min(at, len(lines)), secret)
    assert unified(b"old\n", b"\n".join(lines)) == ""


def test_what_is_no_secret_is_shown() -> None:
    passwd = b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n"
    told = unified(passwd, passwd + b"toor:x:0:0::/root:/bin/bash\n")
    assert told.splitlines()[-1] == "+toor:x:0:0::/root:/bin/bash"
    pam = b"password  requisite  pam_pwquality.so retry=3\n"
    assert "+auth sufficient pam_permit.so" in unified(pam, b"auth sufficient pam_permit.so\n" + pam)
    sudo = b"%wheel ALL=(ALL) ALL\n"
    assert "+eve ALL=(ALL) NOPASSWD: ALL" in unified(sudo, sudo + b"eve ALL=(ALL) NOPASSWD: ALL\n")


def test_same_texts_and_binaries_have_none() -> None:
    assert unified(b"a\n", b"a\n") == ""
    assert unified(b"a\n", b"a\0\n") == ""
    assert unified(b"\0", b"a\n") == ""


def test_bounded_in_lines_and_width() -> None:
    told = unified(b"", b"".join(b"%d " % n + b"x" * 1000 + b"\n" for n in range(300))).splitlines()
    assert len(told) == MOST_LINES + 1
    assert told[-1] == "… 261 more lines"
    assert max(map(len, told)) <= MOST_WIDTH


def test_a_small_change_in_a_long_text_is_shown() -> None:
    lines = [b"%d" % number for number in range(5000)]
    told = unified(b"\n".join(lines), b"\n".join([*lines[:2500], b"eve", *lines[2500:]]))
    assert "+eve" in told.splitlines()


def test_bytes_that_are_no_text_are_kept_apart() -> None:
    assert "+\\xff\\xfe" in unified(b"a\n", b"a\n\xff\xfe\n")


def test_texts_made_to_be_slow_are_not() -> None:
    lines = [b"%x" % number for number in range(12_000)]
    began = time.process_time()
    told = unified(b"\n".join(lines), b"\n".join(reversed(lines)))
    assert time.process_time() - began < 1.0
    assert told == "… 12000 lines became 12000, from line 1 on"
    began = time.process_time()
    unified(b"\n".join(lines[:500]), b"\n".join(reversed(lines[:500])))
    assert time.process_time() - began < 1.0


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_two_texts(before: bytes, after: bytes) -> None:
    told = unified(before, after)
    assert len(told.splitlines()) <= 3 * (MOST_LINES + 1)
    if before == after:
        assert told == ""
