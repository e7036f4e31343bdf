"""Reading the configuration's files: their order, and every file that cannot be read named."""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path

import pytest

from hostguardd.config import parse
from hostguardd.defaults import MOST_BYTES, POLICIES, default_sources
from hostguardd.errors import ConfigError


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder like /etc/hostguardd."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "hostguardd.toml").write_text("[sweeps]\nquick = 60\n")
    return tmp_path


def names(sources: list[tuple[str, str]]) -> list[str]:
    return [Path(name).name for name, _ in sources]


def problems(file: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        default_sources(str(file))
    return caught.value.problems


def test_the_package_alone_is_a_working_configuration(tmp_path: Path) -> None:
    sources = default_sources(installed=str(tmp_path / "absent" / "hostguardd.toml"))
    assert names(sources) == [*POLICIES, "hostguardd.toml"]
    assert parse(sources).rules


def test_each_packaged_policy_is_about_kinds_of_its_own() -> None:
    """A later file's rules are asked first, and would go before all that another says of the kind."""
    owners: dict[str, str] = {}
    for name, text in default_sources()[: len(POLICIES)]:
        for rule in tomllib.loads(text).get("rule", ()):
            assert owners.setdefault(rule["kind"], name) == name, rule["name"]


def test_the_installed_file_is_taken_when_there_is_one(site: Path) -> None:
    sources = default_sources(installed=str(site / "hostguardd.toml"))
    assert parse(sources).sweeps.quick == 60


def test_drop_ins_come_last_by_name_and_only_toml(site: Path) -> None:
    for name in ("20-b.toml", "10-a.toml", "note.txt", ".10-a.toml.swp.toml", "30.toml~"):
        (site / "conf.d" / name).write_text(f"[sweeps]\nquick = {len(name)}\n")
    sources = default_sources(str(site / "hostguardd.toml"))
    assert names(sources) == [*POLICIES, "hostguardd.toml", "10-a.toml", "20-b.toml"]
    assert parse(sources).sweeps.quick == 9


def test_drop_ins_work_without_an_installed_file(site: Path) -> None:
    (site / "hostguardd.toml").unlink()
    (site / "conf.d" / "a.toml").write_text("[sweeps]\nquick = 7\n")
    assert parse(default_sources(installed=str(site / "hostguardd.toml"))).sweeps.quick == 7


def test_a_file_named_without_a_folder_finds_its_drop_ins(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "conf.d" / "a.toml").write_text("[sweeps]\nquick = 7\n")
    monkeypatch.chdir(site)
    assert parse(default_sources("hostguardd.toml")).sweeps.quick == 7


def test_a_missing_file_is_an_error_only_when_it_was_asked_for(site: Path) -> None:
    absent = site / "absent.toml"
    assert problems(absent) == (f"{absent}: cannot be read: No such file or directory",)


def test_everything_that_cannot_be_read_is_named_at_once(site: Path) -> None:
    folder = site / "conf.d"
    (folder / "a.toml").write_bytes(b"x = '\xff'")
    (folder / "b.toml").write_bytes(b"#" * (MOST_BYTES + 1))
    (folder / "c.toml").mkdir()
    os.mkfifo(folder / "d.toml")
    (folder / "e.toml").symlink_to("/nonexistent")
    (folder / "g.toml").symlink_to("/dev/zero")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "h.toml"))
    listening.close()
    told = problems(site / "hostguardd.toml")
    reasons = [line.removeprefix(f"{folder}/") for line in told]
    assert reasons == [
        "a.toml: is not UTF-8 text (byte 5)",
        "b.toml: is larger than 1024 KiB, which no configuration is",
        "c.toml: is no regular file",
        "d.toml: is no regular file",
        "e.toml: cannot be read: No such file or directory",
        "g.toml: is no regular file",
        "h.toml: cannot be read: No such device or address",
    ]


def test_the_largest_file_allowed_is_read(site: Path) -> None:
    (site / "hostguardd.toml").write_bytes(b"#" * MOST_BYTES)
    found = dict(default_sources(str(site / "hostguardd.toml")))
    assert len(found[str(site / "hostguardd.toml")]) == MOST_BYTES


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_no_permission_is_told(site: Path) -> None:
    (site / "hostguardd.toml").chmod(0)
    assert problems(site / "hostguardd.toml")[0].endswith("cannot be read: Permission denied")


def test_a_drop_in_folder_that_is_none_is_told(site: Path) -> None:
    (site / "conf.d").rmdir()
    (site / "conf.d").write_text("")
    assert problems(site / "hostguardd.toml") == (f"{site}/conf.d: cannot be read: Not a directory",)


@pytest.mark.parametrize("table", ["rule", "watch"])
def test_no_packaged_entry_takes_the_place_of_another(table: str) -> None:
    texts = [text for name, text in default_sources(installed="/nonexistent") if "policy" in name]
    names = [entry["name"] for text in texts for entry in tomllib.loads(text).get(table, [])]
    assert len(names) > 20
    assert len(names) == len(set(names))
