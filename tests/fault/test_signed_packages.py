"""What signed packages bring is accepted where that is configured: exactly that, once, and told. The engine
is whole; only what packages say of a file is said by the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd.engine import signed
from hostguardd.engine.keeper import Change
from hostguardd.model import FileFact
from hostguardd.story import Cause, Story
from tests.daemon import guarding, until
from tests.fault.test_change_windows import ask
from tests.fault.test_engine import SECOND, Inside

SIGNED = Story(Cause.PACKAGE, "openssl 3.0.2-1 brings it", "t1", "signed")


class Packages:
    """Says of each file, by its name, how it came to be, before it is told."""

    def __init__(self, inside: Inside) -> None:
        self.stories: dict[str, Story] = {}
        self._mark = inside.engine.windows.mark
        inside.engine.windows.mark = self.mark  # type: ignore[method-assign]

    def mark(self, change: Change, earlier: Change | None) -> Change:
        change = self._mark(change, earlier)
        name = change.key[1].decode() if change.fact is FileFact else ""  # type: ignore[union-attr]
        story = self.stories.get(name)
        return change if story is None else replace(change, story=story)


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    monkeypatch.setattr(signed, "QUIET", SECOND // 2)
    made = Inside(tmp_path, '[baseline]\naccept_packages = "signed"\n')
    with guarding(made):
        yield made


def bring(inside: Inside, packages: Packages, **stories: Story) -> None:
    """Files that come, each with its story."""
    packages.stories |= stories
    for name in stories:
        (inside.tree / name).write_text("new\n")
    for name in stories:
        inside.hears(inside.tree / name, "opened")


def open_ones(inside: Inside) -> set[str]:
    return {Path(one["label"]).name for one in ask(inside, "drift")["findings"]}


def test_exactly_what_is_signed_is_accepted_and_told(inside: Inside) -> None:
    with inside.running():
        before = ask(inside, "status")["generation"]
        packages = Packages(inside)
        bring(
            inside,
            packages,
            a=SIGNED,
            b=SIGNED,
            digest=Story(Cause.PACKAGE, "", "t1", "digest"),
            session=Story(Cause.SESSION, "", "t1", "signed"),
            nothing=Story(),
            actless=Story(Cause.PACKAGE, "", "", "signed"),
        )
        told = inside.told("baseline.packages-accepted")
        assert told["hostguard"]["severity"] == "low"
        assert told["message"].startswith("hostguardd (signed packages) accepted 2 findings as normal")
        assert open_ones(inside) == {"digest", "session", "nothing", "actless"}
        after = ask(inside, "status")["generation"]
        assert after["number"] == before["number"] + 1
        assert after["reviewed"] is before["reviewed"] is False, "nobody has looked at the rest"
        assert inside.hears(inside.tree / "a", "accepted")


def test_one_generation_for_each_transaction(inside: Inside) -> None:
    with inside.running():
        packages = Packages(inside)
        bring(inside, packages, a=SIGNED)
        inside.told("baseline.packages-accepted")
        bring(inside, packages, late=SIGNED, other=Story(Cause.PACKAGE, "", "t2", "signed"))
        inside.told("baseline.packages-accepted", 2)
        assert open_ones(inside) == {"late"}
        (inside.tree / "more").write_text("x\n")
        inside.hears(inside.tree / "more")
        assert len(inside.coded("baseline.packages-accepted")) == 2


def test_what_moved_on_before_it_was_accepted_stays_open(inside: Inside) -> None:
    with inside.running():
        packages = Packages(inside)
        bring(inside, packages, a=SIGNED, b=SIGNED)
        packages.stories["a"] = Story()
        (inside.tree / "a").write_text("patched\n")
        inside.told("baseline.packages-accepted")
        assert "a" in open_ones(inside)
        assert "b" not in open_ones(inside)


def test_never_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed, "QUIET", 0)
    made = Inside(tmp_path)
    with guarding(made), made.running():
        bring(made, Packages(made), a=SIGNED)
        until(lambda: ask(made, "status")["state"] == "watching", "a turn of the loop")
        assert open_ones(made) == {"a"}
        assert not made.coded("baseline.packages-accepted")
