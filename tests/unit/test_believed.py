"""Which keys are believed: those that were told, from the next transaction on."""

from __future__ import annotations

from hostguardd.engine.believed import NOTE, Keyring
from hostguardd.model import Value


class Notes(dict[str, Value]):
    def recall(self, name: str) -> Value:
        return self.get(name)

    def remember(self, name: str, value: Value) -> None:
        self[name] = value


def test_what_is_there_at_first_is_believed_and_that_outlasts_a_restart() -> None:
    notes = Notes()
    keyring = Keyring(notes)
    assert keyring.believed is None
    keyring.renew(["one"])
    assert keyring.believed == Keyring(notes).believed == ["one"]


def test_a_key_that_was_not_told_is_not_believed_however_often_it_is_seen() -> None:
    keyring = Keyring(Notes())
    keyring.renew(["one"])
    keyring.renew(["one", "other"])
    assert keyring.believed == ["one"]
    assert keyring.untold(["other"]) == ("other",)


def test_what_was_told_counts_from_the_next_transaction_on() -> None:
    notes = Notes()
    keyring = Keyring(notes)
    keyring.renew(["one"])
    keyring.tell(["other"])
    assert keyring.believed == ["one"]
    assert keyring.untold(["other"]) == ()
    keyring.renew(["one", "other"])
    assert keyring.believed == Keyring(notes).believed == ["one", "other"]


def test_a_key_that_went_is_new_when_it_comes_back() -> None:
    keyring = Keyring(Notes())
    keyring.renew([])
    keyring.tell(["other"])
    keyring.renew(["other"])
    keyring.renew([])
    assert keyring.untold(["other"]) == ("other",)
    keyring.renew(["other"])
    assert keyring.believed == []


def test_a_damaged_note_believes_none_and_learns_none() -> None:
    for damaged in ("garbage", "{}", 7, "[" * 99999):
        keyring = Keyring(Notes({NOTE: damaged}))
        assert keyring.believed == []
        keyring.renew(["one"])
        assert keyring.believed == []
