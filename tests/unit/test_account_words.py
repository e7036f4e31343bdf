"""What is said of accounts and keys: by name, without secrets, in lines that the schema knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hostguardd.describe import finding_alert
from hostguardd.facts.accounts import DAMAGED, AccountFact, KeyFact
from hostguardd.model import Drift, Fact
from hostguardd.record import GENESIS, render
from hostguardd.sentences import sentence
from tests.alerts import ACCOUNT, IDENTITY, KEY, NAMES, NOW, SAMPLES, check, drift, finding
from tests.verdicts.accounts import GROUP
from tests.verdicts.accounts import SAMPLES as VERDICTS

HOSTILE = b"\xff\n\x1b[31m\xe2\x80\xae"


@pytest.mark.parametrize("change", [one for one, *_ in VERDICTS], ids=lambda one: one.subject.label.decode())
def test_every_sentence_names_the_account_and_every_line_is_valid(change: Drift) -> None:
    subject = change.subject
    said = sentence(change, NAMES)
    assert "None" not in said
    if isinstance(subject, KeyFact):
        assert subject.account.decode() in said
        assert subject.path.decode() in said
    elif isinstance(subject, AccountFact):
        name = b"/etc/passwd" if subject.database == DAMAGED else subject.name
        assert name.decode() in said
    line = render(
        finding_alert(finding(change.before, change.after), "opened", NOW, NAMES), IDENTITY, 1, GENESIS
    )
    record = check(line)
    assert record["message"] == said
    assert b"secret" not in line.replace(b'"secret"]', b"").replace(b'"secret",', b""), "but for its name"
    assert (b"\5" * 32).hex().encode() not in line


@pytest.mark.parametrize(
    ("before", "changes", "said"),
    [
        (ACCOUNT, {"id": 0}, "Account mallory gained uid 0 (it is root now; it had uid 1001)"),
        (ACCOUNT, {"groups": b"audio,docker"}, "Account mallory joined audio, docker, left wheel"),
        (ACCOUNT, {"secret": b"x"}, "Account mallory has another password"),
        (ACCOUNT, {"password": "none", "secret": b""}, "Account mallory needs no password any more"),
        (ACCOUNT, {"password": "locked"}, "Account mallory was locked"),
        (
            replace(ACCOUNT, password="locked"),
            {"password": "set", "secret": b"x"},
            "Account mallory was unlocked with another password",
        ),
        (
            replace(ACCOUNT, password="unset"),
            {"password": "set"},
            "Account mallory got a password, it had none",
        ),
        (
            ACCOUNT,
            {"shell": b"", "home": b"/x"},
            "mallory has the shell /bin/sh now (had /bin/bash), has the home /x now (had /home/mallory)",
        ),
        (ACCOUNT, {"expires": 0}, "Account mallory expires on 1970-01-01 (was never)"),
        (ACCOUNT, {"expires": 2**32}, "Account mallory expires on day 4294967296 (was never)"),
        (GROUP, {"groups": b"eve"}, "Group wheel was joined by eve, of whom there is no local account"),
        (KEY, {"options": b'from="10.*"\nrestrict'}, 'options none → from="10.*",restrict'),
    ],
)
def test_sentences(before: Fact, changes: dict[str, Any], said: str) -> None:
    assert said in sentence(drift(before, replace(before, **changes)), NAMES)


def test_a_key_that_was_added() -> None:
    assert sentence(drift(None, KEY), NAMES) == (
        "SSH key SHA256:abc (ssh-ed25519, comment mallory@evil) was added for alice"
        " in /home/alice/.ssh/authorized_keys"
    )


@pytest.mark.parametrize("fact", [fact for fact in SAMPLES if isinstance(fact, (AccountFact, KeyFact))])
def test_hostile_bytes_are_harmless_and_long_fields_bearable(fact: Fact) -> None:
    texts = [name for name in fact.columns() if isinstance(getattr(fact, name), bytes) and name != "secret"]
    worse = replace(fact, **dict.fromkeys(texts, HOSTILE + b"x" * 5000))
    for change in (drift(None, worse), drift(worse, None), drift(fact, worse)):
        said = sentence(change, NAMES)
        assert len(said) < 4000
        assert said.isprintable()
        check(
            render(
                finding_alert(finding(change.before, change.after), "opened", NOW, NAMES),
                IDENTITY,
                1,
                GENESIS,
            )
        )
