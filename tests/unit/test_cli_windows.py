"""hostguardctl expect and accept --window: what they ask, show and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hostguardd import cli
from hostguardd.errors import Exit
from hostguardd.render import pages, windows
from hostguardd.render.paper import Paper
from tests.fakeengine import NOW, FakeEngine, Run, ago, backup, generation, netcat, status

PAPER = Paper(0, False, NOW)


def window(**more: Any) -> dict[str, Any]:
    """A window as the daemon tells of it."""
    return {
        "id": "w4b1f0c7", "actor": "root (uid 0), login uid 1000 alice", "reason": "deploy 42",
        "paths": ["/srv/app"], "opened": ago(minutes=5), "until": ago(minutes=-25), "state": "open",
        "outside": 0, "inside": 2, **more,
    }  # fmt: skip


def answer(engine: FakeEngine, **answers: dict[str, Any]) -> None:
    """What the daemon answers to each call."""

    def finishing(told: dict[str, Any]) -> Callable[[Any], None]:
        return lambda job: job.finish(told)

    for name, told in answers.items():
        engine.answers[name.replace("_", "-")] = finishing(told)


@pytest.mark.parametrize(
    ("argv", "call", "args"),
    [
        (
            ["--for", "30m", "-m", "deploy 42", "/srv/app"],
            "window-open",
            {"length": 1800, "reason": "deploy 42", "paths": (b"/srv/app",)},
        ),
        (["--for", "2h", "-m", "x"], "window-open", {"length": 7200, "reason": "x", "paths": ()}),
        (["--extend", "w4b1f0c7", "--for", "90s"], "window-extend", {"id": "w4b1f0c7", "length": 90}),
        (["--end", "w4b1f0c7"], "window-end", {"id": "w4b1f0c7"}),
        (["w4b1f0c7"], "window", {"id": "w4b1f0c7", "offset": 0}),
        ([], "windows", {}),
    ],
)
def test_what_is_asked(
    run: Run,
    engine: FakeEngine,
    argv: list[str],
    call: str,
    args: dict[str, Any],
) -> None:
    shown = {"window": window(), "windows": [window()], "findings": [], "more": None, "token": "t"}
    answer(engine, **{call.replace("-", "_"): shown})
    code, out, err = run("expect", *argv)
    assert (code, err) == (Exit.OK, "")
    assert "w4b1f0c7  open until 2026-11-23 " in out
    assert "deploy 42" in out
    assert (engine.seen[-1].call, engine.seen[-1].args) == (call, args)
    assert json.loads(run("expect", *argv, "--json")[1])


@pytest.mark.parametrize(
    "argv",
    [
        ["--for", "30m"],
        ["-m", "why"],
        ["/srv/app"],
        ["w1", "w2"],
        ["--extend", "w1"],
        ["--end", "w1", "--for", "5m"],
        ["--end", "w1", "--extend", "w1", "--for", "5m"],
        ["--end", "w1", "/srv"],
        ["--for", "5m", "-m", "x", "srv"],
        ["--for", "5m", "-m", " "],
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, engine: FakeEngine, argv: list[str]) -> None:
    code, out, err = run("expect", *argv)
    assert (code, out) == (Exit.USAGE, "")
    assert err.startswith("hostguardctl: ")
    assert not engine.seen


@pytest.mark.parametrize("length", ["", "5", "m", "0m", "-5m", "5y", "5.5m", "5 m", "9999999s"])
def test_a_length_that_is_none_is_refused(length: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["expect", f"--for={length}", "-m", "x"])
    assert exit_.value.code == 2
    assert "is no length of time" in capsys.readouterr().err


def test_a_link_is_named_and_not_followed(run: Run, engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    answer(engine, window_open={"window": window()})
    path = str(tmp_path / "link" / "x")
    _, _, err = run("expect", "--for", "5m", "-m", "x", path)
    assert f"{path} leads to {tmp_path / 'real' / 'x'} by a link" in err
    assert engine.seen[-1].args["paths"] == (path.encode(),)
    assert run("expect", "--for", "5m", "-m", "x", str(tmp_path / "real") + "/")[2] == ""


def test_what_lay_inside_is_shown_before_it_is_accepted(run: Run, engine: FakeEngine) -> None:
    ended = window(state="ended", until=ago(minutes=1), outside=3)
    shown = {"window": ended, "findings": [netcat(), backup()], "more": None, "token": "t0ken"}
    answer(engine, window=shown, window_accept={"generation": generation(8), "accepted": ["b07712de"]})
    assert run("accept", "--window", "w4b1f0c7")[0] == Exit.USAGE, "nobody is there to be asked"
    code, out, _ = run("accept", "--window", "w4b1f0c7", "--yes", "-m", "planned")
    assert code == Exit.OK
    for part in (
        "ended",
        "2 open findings inside, 3 told outside",
        "b07712de",
        "Generation 8",
    ):
        assert part in out
    assert engine.seen[-1].args == {"id": "w4b1f0c7", "token": "t0ken", "reason": "planned"}
    assert run("accept", "--window", "w4b1f0c7", "3f9a21c4")[0] == Exit.USAGE
    assert run("accept")[0] == Exit.USAGE


def test_pages_of_each_state() -> None:
    closing, decided = window(state="closing"), window(id="w2", state="ended", inside=0)
    undecided = window(id="w3", state="ended", paths=[])
    page = "\n".join(windows.listed(PAPER, {"windows": [closing, decided, undecided]}))
    assert "w4b1f0c7  ending, with a last look: deploy 42" in page
    assert "w2" not in page
    assert "accept --window w3" in page
    assert "expected: every file but the critical ones" in page
    assert windows.listed(PAPER, {"windows": [decided]}) == [
        "Nothing is announced, and nothing waits for a decision."
    ]
    assert windows.announced(PAPER, window())[0] == (
        "w4b1f0c7  open until 2026-11-23 14:30:30 (in 25 min): deploy 42"
    )
    lines = pages.status(PAPER, status() | {"windows": [window()]})
    assert any("expected" in line and "hostguardctl expect w4b1f0c7" in line for line in lines)
