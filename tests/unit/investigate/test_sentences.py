"""How the inquiry counts in its sentences: `1 login`, never `1 logins`; `no entries`, never `0 entries`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.investigate.about import about
from hostguardd.investigate.inquiry import inquire
from hostguardd.investigate.report import build
from hostguardd.words.interface import counted
from tests.fakelive import FakeLive
from tests.fakepackages import FakePackages
from tests.scenes import scene

WRONG = re.compile(
    r"(?<![\w.:,/-])(?:1 (?:(?:more|older|other|refused|packaged|harmless) )?(?!was\b|has\b)[a-z]+(?<!s)s"
    r"|(?<!of )0 (?!of\b)[a-z-]+)\b"
)
"""One of many, and none with a number."""


def sentences(value: Any, name: str = "") -> Iterator[str]:
    """Every text of a report that is not a name of the host's."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key not in ("details", "source", "name"):
                yield from sentences(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from sentences(one, name)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("login",), "no logins"),
        (1, ("login",), "1 login"),
        (1284, ("entry",), "1,284 entries"),
        (2, ("process",), "2 processes"),
        (2, ("key",), "2 keys"),
        (1, ("login was", "logins were"), "1 login was"),
        (0, ("login was", "logins were"), "no logins were"),
    ],
)
def test_a_number_and_its_noun(number: int, words: tuple[str, ...], said: str) -> None:
    assert counted(number, *words) == said


def test_the_sentences_of_a_whole_report_count_right(tmp_path: Path) -> None:
    """A host with one of most things and none of the others."""
    for path, text in {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "etc/group": "root:x:0:\n",
        "etc/crontab": "* * * * * root /bin/true\n",
        "etc/zsh/zlogin": "# nothing\n",
        "var/log/syslog": "2026-11-25T10:00:00+00:00 web1 kernel: up\n",
        "var/log/auth.log": "2026-11-25T10:00:00+00:00 web1 sshd[7]: Failed password for root from "
        "192.0.2.7 port 22 ssh2\n",
        "root/.bash_history": "ls\n",
        "srv/chroot/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "srv/chroot/usr/bin/su": "su",
        "srv/chroot/bin/sh": "sh",
        "tmp/.ICE-unix/x": "x",
        "tmp/.../x": "x",
        "usr/bin/odd": "\x7fELF",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "srv/chroot/usr/bin/su").chmod(0o4755)
    (tmp_path / "usr/bin/odd").chmod(0o755)
    live = FakeLive()
    live.add_process(None, comm=b"secret", uid=1001)
    live.add_process(b"/usr/bin/odd")
    where = scene(bytes(tmp_path), live=live, packages=FakePackages(), uid=1000)
    report = build(inquire(where), about(where, {}))
    texts = [text for text in sentences(report) if not text.startswith("/")]
    assert len(texts) > 200
    assert "the programs of 1 process may not be seen by this account" in texts
    assert "\n".join(text for text in texts if WRONG.search(text)) == ""
