"""hostguardctl against the real control socket: what it asks, shows and returns."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hostguardd import cli
from hostguardd.cli.moments import since
from hostguardd.control.calls import CALLS
from hostguardd.control.job import Job
from hostguardd.errors import BaselineDamaged, Exit, ForbiddenError, UsageError
from hostguardd.host.ready import ready
from hostguardd.investigate import command
from hostguardd.model import Severity
from tests import inquiries, scenes
from tests.fakeengine import FakeEngine, Run, alert, generation, netcat


@pytest.mark.parametrize(
    ("argv", "code", "shown"),
    [
        ("status", Exit.OK, "0.1.0, watching, pid 812"),
        ("drift", Exit.DRIFT, "3 open findings against generation 7"),
        ("drift --severity critical", Exit.DRIFT, "1 open finding against"),
        ("explain b07712de", Exit.OK, "New listener tcp 0.0.0.0:4444"),
        ("check", Exit.DRIFT, "Quick check in 1.4 s: 3 open findings, 1 of them new"),
        ("check --full", Exit.DRIFT, "Full check"),
        ("accept 3f9a21c4 b07712de -m fine", Exit.OK, "accepted: 3f9a21c4 b07712de"),
        ("history", Exit.OK, "openssl security update"),
        ("diff", Exit.OK, "3 changes from generation 6 to 7"),
        ("diff 2 5", Exit.OK, "3 changes from generation 2 to 5"),
        ("rollback 6 -m oops", Exit.OK, "Generation 8 is the truth now"),
        ("verify", Exit.OK, "numbers 1 to 1,284, chain unbroken"),
        ("doctor", Exit.DRIFT, "1 thing to put right."),
        ("alerts", Exit.OK, "HIGH      /etc/passwd changed: content"),
    ],
)
def test_commands(run: Run, argv: str, code: Exit, shown: str) -> None:
    returned, out, err = run(*argv.split())
    assert (returned, err) == (code, "")
    assert shown in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("argv", "key"),
    [
        ("status", "pid"), ("drift", "findings"), ("explain b07712de", "finding"), ("check", "duration"),
        ("accept 3f9a21c4", "accepted"), ("history", "generations"), ("diff", "changes"),
        ("rollback 6", "generation"), ("verify", "log"), ("doctor", "checks"),
        ("baseline --yes", "review"), ("config check", "watches"),
    ],
)  # fmt: skip
def test_json_is_nothing_but_json(run: Run, argv: str, key: str) -> None:
    _, out, err = run(*argv.split(), "--json")
    assert key in json.loads(out)
    assert err == ""


def test_what_is_asked_of_the_daemon(run: Run, engine: FakeEngine) -> None:
    run("alerts", "--since", "2026-11-23T14:00:00+00:00", "--severity", "high")
    run("alerts")
    run("accept", "a", "b", "-m", "why")
    assert engine.seen[0].args == {
        "follow": False, "since": 1795442400 * 10**9, "severity": Severity.HIGH, "limit": 0,
    }  # fmt: skip
    assert engine.seen[1].args["limit"] == 50
    assert engine.seen[2].args == {"ids": ("a", "b"), "token": None, "reason": "why"}


def test_no_drift_is_fine(run: Run, engine: FakeEngine) -> None:
    engine.findings = []
    assert run("drift")[:2] == (Exit.OK, "No drift. This host is as approved in generation 7.\n")
    assert run("check")[0] == Exit.OK


def test_a_failed_verification_is_one(run: Run, engine: FakeEngine) -> None:
    problem = "alerts.jsonl:7: the chain is broken"
    engine.answers["verify"] = lambda job: job.finish(
        {"ok": False, "baseline": {}, "log": {"problem": problem}}
    )
    code, out, _ = run("verify")
    assert code == Exit.DRIFT
    assert problem in out


def test_a_baseline_that_is_gone_has_its_own_exit_code(run: Run, engine: FakeEngine) -> None:
    engine.answers["verify"] = lambda job: job.finish(
        {"ok": False, "baseline": {"problem": "baseline.db is gone", "missing": True}, "log": {}}
    )
    code, out, _ = run("verify")
    assert code == Exit.BASELINE
    assert "baseline.db is gone" in out


def test_ages_are_counted_when_they_are_shown(run: Run, engine: FakeEngine) -> None:
    def answer(job: Job) -> None:
        time.sleep(1.2)  # a sweep, at the end of which something is found
        now = datetime.now(UTC).isoformat()
        job.finish({"findings": [netcat() | {"first_seen": now}], "new": 1, "duration": 1.2})

    engine.answers["check"] = answer
    _, out, _ = run("check", "--full")
    assert "just now" in out


def test_alerts_in_json_are_the_lines_of_the_log(run: Run, engine: FakeEngine) -> None:
    engine.alerts = [alert(1, message="é"), alert(2), b'{"message":"\xff\xc2\x9b31m"}']
    _, out, _ = run("alerts", "--json")
    assert out.splitlines()[:2] == [line.decode() for line in engine.alerts[:2]]
    assert out.splitlines()[2] == r'{"message":"\xff\xc2\x9b31m"}'


# Approving


def test_baseline_asks_shows_and_approves_with_yes(run: Run, engine: FakeEngine) -> None:
    code, out, err = run("baseline", "--yes", "-m", "weekly updates")
    assert code == Exit.OK
    assert out.index("3 differences from generation 7") < out.index("Generation 8 is the truth now")
    assert err == ""
    assert [job.call for job in engine.seen] == ["review", "approve"]
    assert engine.seen[1].args == {"token": "t0ken", "reason": "weekly updates", "trust": ""}


def test_baseline_does_nothing_when_nobody_can_be_asked(
    run: Run, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    code, _, err = run("baseline")
    assert code == Exit.USAGE
    assert "--yes" in err
    assert engine.seen == []


def test_baseline_without_drift_makes_no_generation(run: Run, engine: FakeEngine) -> None:
    engine.findings = []
    code, out, _ = run("baseline", "--yes")
    assert code == Exit.OK
    assert "Nothing to approve." in out
    assert [job.call for job in engine.seen] == ["review"]


def test_baseline_approves_what_nobody_reviewed_even_without_drift(run: Run, engine: FakeEngine) -> None:
    engine.findings, engine.generation = [], generation(1, reviewed=False)
    code, out, _ = run("baseline", "--yes", "--no-investigate")
    assert code == Exit.OK
    assert "Nobody has reviewed generation 1 yet" in out
    assert "Generation 2 is the truth now" in out
    assert engine.seen[-1].args["trust"] == ""


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (inquiries.clean(), ("packaged paths match", "nothing suspicious")),
        (inquiries.broken_into(), ("things suspicious (",)),
    ],
)
def test_before_the_first_approval_it_is_told_how_far_the_host_can_be_trusted(
    run: Run,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    report: dict[str, Any],
    words: tuple[str, ...],
) -> None:
    where = scenes.scene(b"/")
    monkeypatch.setattr(command, "investigate", lambda *_: (where, report))
    engine.generation = generation(1, reviewed=False)
    code, out, _ = run("baseline", "--yes")
    assert code == Exit.OK
    assert out.index("HOW FAR THIS HOST CAN BE TRUSTED") < out.index("Generation 2 is the truth now")
    trust = engine.seen[-1].args["trust"]
    assert all(word in trust for word in words), trust
    assert CALLS["approve"].args["trust"].parse(trust) == trust


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_an_inquiry_that_fails_keeps_nobody_from_approving(
    run: Run, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, json: tuple[str, ...]
) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("no \x1bluck")

    monkeypatch.setattr(command, "investigate", failing)
    engine.generation = generation(1, reviewed=False)
    code, _, err = run("baseline", "--yes", *json)
    assert code == Exit.OK
    assert "nobody looked for signs of an intrusion, as that failed: no \\x1bluck" in err
    assert "that failed: no \\x1bluck" in engine.seen[-1].args["trust"]


def test_a_host_that_changes_meanwhile_is_not_inquired_again(
    run: Run, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def once(*_: object) -> tuple[object, dict[str, Any]]:
        asked.append(1)
        return scenes.scene(b"/"), inquiries.clean()

    monkeypatch.setattr(command, "investigate", once)
    engine.generation = generation(1, reviewed=False)
    busy(engine, 1)
    assert run("baseline", "--yes")[0] == Exit.OK
    assert [job.call for job in engine.seen] == ["review", "approve"] * 2
    assert len(asked) == 1


def test_a_reviewed_baseline_is_approved_without_an_inquiry(
    run: Run, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "investigate", None)
    assert run("baseline", "--yes")[0] == Exit.OK


def busy(engine: FakeEngine, times: int) -> None:
    """A host that changes between review and approval, so many times."""
    approve = engine.answers["approve"]

    def answer(job: Job) -> None:
        if len([seen for seen in engine.seen if seen.call == "approve"]) <= times:
            job.fail(UsageError("the host changed since that review: look at it again, then approve"))
        else:
            approve(job)

    engine.answers["approve"] = answer


def test_with_yes_a_host_that_changes_meanwhile_is_reviewed_again(run: Run, engine: FakeEngine) -> None:
    busy(engine, 2)
    code, out, err = run("baseline", "--yes")
    assert (code, err) == (Exit.OK, "")
    assert out.count("3 differences from generation 7") == 3
    assert out.count("The baseline moved meanwhile: looking again.") == 2
    assert "Generation 8 is the truth now" in out
    assert [job.call for job in engine.seen] == ["review", "approve"] * 3


def test_looking_again_ends_after_three_times(run: Run, engine: FakeEngine) -> None:
    busy(engine, 99)
    code, out, err = run("baseline", "--yes", "--json")
    assert (code, out) == (Exit.USAGE, "")
    assert "nothing was approved, run hostguardctl baseline again" in err
    assert [job.call for job in engine.seen] == ["review", "approve"] * 3


def test_without_yes_a_host_that_changes_meanwhile_is_for_the_administrator(engine: FakeEngine) -> None:
    busy(engine, 1)
    screen = Screen("--config", str(engine.config), "baseline", environ={"COLUMNS": "200"})
    screen.read_until("[y/N]")
    assert screen.finish("y\n") == Exit.USAGE
    assert "the host changed since that review" in screen.text
    assert "run hostguardctl baseline again" in screen.text
    assert [job.call for job in engine.seen] == ["review", "approve"]


def test_a_reason_that_cannot_be_kept_is_refused_before_the_look(run: Run, engine: FakeEngine) -> None:
    code, _, err = run("baseline", "--yes", "-m", "two\nlines")
    assert (code, err) == (Exit.USAGE, "hostguardctl: --reason may hold printable characters only\n")
    assert engine.seen == []


class Screen:
    """A command on a terminal of its own."""

    def __init__(self, *argv: str, environ: Mapping[str, str] | None = None) -> None:
        self.master, slave = pty.openpty()
        self.text = ""
        usual = {"TERM": "xterm-256color", "COLUMNS": "80", "PATH": os.environ["PATH"]}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hostguardd.cli", *argv],
            stdin=slave, stdout=slave, stderr=slave, env=usual | dict(environ or {}),
        )  # fmt: skip
        os.close(slave)

    def read_until(self, wanted: str) -> None:
        """Read until `wanted` shows, or to the end if it is ""."""
        deadline = time.monotonic() + 60
        while not wanted or wanted not in self.text:
            assert time.monotonic() < deadline, f"{wanted!r} did not come: {self.text!r}"
            if not ready([self.master], 0.1):
                continue
            try:
                self.text += os.read(self.master, 65536).decode()
            except OSError:  # EIO: the other side is closed
                break

    def finish(self, answer: str = "") -> int:
        """Type the answer (^C is its signal: the terminal is nobody's controlling one); the exit code."""
        if answer == "\x03":
            self.process.send_signal(signal.SIGINT)
        else:
            os.write(self.master, answer.encode())
        self.read_until("")
        code = self.process.wait(60)
        os.close(self.master)
        return code


@pytest.mark.parametrize(
    ("answer", "code", "calls", "told"),
    [
        ("y\n", Exit.OK, ["review", "approve"], "Generation 8 is the truth now"),
        ("\n", Exit.DRIFT, ["review"], "Nothing was approved."),
        ("n\n", Exit.DRIFT, ["review"], "Nothing was approved."),
        ("\x04", Exit.DRIFT, ["review"], "Nothing was approved."),
        ("\x03", cli.INTERRUPTED, ["review"], "[y/N]"),
    ],
    ids=["yes", "enter", "no", "end-of-file", "interrupt"],
)
def test_baseline_asks_on_a_terminal(
    engine: FakeEngine, answer: str, code: int, calls: list[str], told: str
) -> None:
    screen = Screen("--config", str(engine.config), "baseline")
    screen.read_until("[y/N]")
    assert "3f9a21c4" in screen.text
    assert screen.finish(answer) == code
    assert told in screen.text
    assert [job.call for job in engine.seen] == calls


def test_colours_and_a_progress_bar_on_a_terminal(engine: FakeEngine) -> None:
    screen = Screen("--config", str(engine.config), "check")
    assert screen.finish() == Exit.DRIFT
    assert "\x1b[1;37;41m CRITICAL \x1b[0m" in screen.text
    assert "files" in screen.text[: screen.text.index("CRITICAL")]


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_no_colours_where_none_are_wanted(engine: FakeEngine, environ: dict[str, str]) -> None:
    screen = Screen("--config", str(engine.config), "drift", environ=environ)
    assert screen.finish() == Exit.DRIFT
    assert "\x1b[" not in screen.text


def test_following_alerts_until_interrupted(engine: FakeEngine) -> None:
    screen = Screen("--config", str(engine.config), "alerts", "-f")
    screen.read_until("/etc/passwd changed")
    engine.seen[0].item(alert(9, message="this just in"))
    screen.read_until("this just in")
    assert not engine.seen[0].cancelled
    assert screen.finish("\x03") == cli.INTERRUPTED
    deadline = time.monotonic() + 10
    while not engine.seen[0].cancelled:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_reader_that_has_seen_enough(engine: FakeEngine) -> None:
    engine.alerts = [alert(n) for n in range(1, 4001)]
    argv = [sys.executable, "-m", "hostguardd.cli", "--config", str(engine.config), "alerts", "-n", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == Exit.OK


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_matter(engine: FakeEngine, closed: str) -> None:
    argv = f'"$0" -m hostguardd.cli --config "$1" drift {closed}'
    told = subprocess.run(["sh", "-c", argv, sys.executable, engine.config], capture_output=True, check=False)
    assert told.returncode == Exit.DRIFT
    assert not told.stderr
    assert bool(told.stdout) == (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="nothing here is always full")
def test_a_page_that_finds_no_room_is_no_success(engine: FakeEngine) -> None:
    argv = [sys.executable, "-m", "hostguardd.cli", "--config", str(engine.config), "status"]
    with open("/dev/full", "wb") as full:
        told = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, check=False)
    assert told.stderr == b"hostguardctl: cannot write standard output: No space left on device\n"
    assert told.returncode == Exit.USAGE


def test_a_bundle_for_a_closed_output_is_refused(tmp_path: Path) -> None:
    argv = '"$0" -m hostguardd.cli investigate --root "$1" --bundle - >&-'
    told = subprocess.run(["sh", "-c", argv, sys.executable, tmp_path], capture_output=True, check=False)
    assert told.stderr == b"hostguardctl: --bundle -: standard output is closed\n"
    assert told.returncode == Exit.USAGE


def test_a_terminal_that_speaks_only_ascii(engine: FakeEngine) -> None:
    environ = {"PYTHONIOENCODING": "ascii", "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-m", "hostguardd.cli", "--config", str(engine.config), "drift"]
    told = subprocess.run(argv, capture_output=True, env=environ, check=False)
    assert told.returncode == Exit.DRIFT
    assert b"2,291 bytes -> 2,337 bytes" in told.stdout


# Errors


def test_errors_go_to_standard_error_with_their_exit_code(run: Run, engine: FakeEngine) -> None:
    engine.problem = ForbiddenError("approve is for root; you are \x1b[2Jalice")
    assert run("status") == (Exit.FORBIDDEN, "", "hostguardctl: approve is for root; you are \\x1b[2Jalice\n")
    engine.problem = BaselineDamaged("/var/lib/hostguardd/baseline.db is damaged")
    assert run("status")[0] == Exit.BASELINE
    engine.problem = None
    code, _, err = run("explain", "nosuch")
    assert (code, err) == (Exit.USAGE, "hostguardctl: there is no open finding nosuch\n")


def test_no_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f"[paths]\nrun = {json.dumps(str(tmp_path))}\n")
    assert cli.main(["drift", "--config", str(config)]) == Exit.UNREACHABLE
    err = capsys.readouterr().err
    assert str(tmp_path / "control.sock") in err
    assert err.count("\n") == 1


def test_a_configuration_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--config", "/no/such.toml"]) == Exit.CONFIG
    assert capsys.readouterr().err == "hostguardctl: /no/such.toml: there is no such file\n"


@pytest.mark.parametrize(
    "argv",
    ["", "nonsense", "drift --severity loud", "rollback", "rollback x", "alerts --since soonish"],
)
def test_usage_errors(argv: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv.split())
    assert exit_.value.code == Exit.USAGE
    assert "usage: hostguardctl" in capsys.readouterr().err


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main([*command.split(), "--help"])
    assert exit_.value.code == 0
    assert cli.COMMANDS[command].help in " ".join(capsys.readouterr().out.split())


# The configuration, without a daemon


def test_config_check_tells_every_mistake_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[sweeps]\nqick = 5\n[control]\ngroup = 7\n[[watch]]\nname = "x"\n')
    assert cli.main(["config", "check", "--config", str(config)]) == Exit.CONFIG
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith(f"hostguardctl: {config}: ") for line in lines)
    assert cli.main(["config", "check", "--config", str(config), "--json"]) == Exit.CONFIG
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert [f"hostguardctl: {problem}" for problem in told["problems"]] == lines


def test_config_check_says_what_is_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        '[[watch]]\nname = "site"\npaths = ["/srv/www"]\ndepth = 2\ngrowing = true\nexclude = ["*.tmp"]\n'
    )
    assert cli.main(["config", "check", "--config", str(config)]) == Exit.OK
    out = capsys.readouterr().out
    assert "The configuration is sound." in out
    assert str(config) in out
    assert "/srv/www  (2 levels deep; append-only; without *.tmp)" in out


def test_the_configuration_that_comes_with_it_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    packaged = Path(cli.__file__).parents[1] / "etc" / "hostguardd.toml"
    assert cli.main(["config", "check", "--config", str(packaged)]) == Exit.OK


# Times as people type them


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("10 min", 600), ("2h", 7200), ("3d", 259200), ("1w", 604800)],
)
def test_since_a_span(text: str, seconds: int) -> None:
    assert abs(time.time() - seconds - since(text)) < 5


def test_since_a_day_or_a_time() -> None:
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    assert since("today") in (midnight.timestamp(), midnight.timestamp() + 86400)
    assert since("yesterday") < since("today")
    assert since("2026-11-23T14:00:00+02:00") == 1795435200
    assert since("2026-11-23") == datetime(2026, 11, 23).timestamp()


def test_starting_imports_nothing_heavy() -> None:
    code = "import sys, hostguardd.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"structlog", "watchdog", "sqlite3", "rich", "psutil", "hostguardd.config"} & set(
        loaded.split()
    )


def test_a_quick_answer_draws_no_bar(engine: FakeEngine) -> None:
    screen = Screen("--config", str(engine.config), "status")
    assert screen.finish() == Exit.OK
    assert "━" not in screen.text
