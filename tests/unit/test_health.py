"""Health alerts: a closed table of codes, deterministic ids, sentences that name what they are about."""

from __future__ import annotations

import string
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.health import CONDITIONS, Param, Reaction, alert, span
from hostguardd.model import Severity

AT = 1_700_000_000 * 10**9
SECOND = 10**9

EXPECTED = {
    "host.rebooted", "host.rebooted-unclean",
    "daemon.started", "daemon.stopping", "daemon.gap", "daemon.unprivileged",
    "baseline.captured-unreviewed", "baseline.approved", "baseline.accepted", "baseline.rolledback",
    "baseline.damaged", "baseline.restored", "control.lost", "coverage.overflow",
    "coverage.watch-limit", "coverage.watch-denied", "coverage.watcher-dead", "coverage.restored",
    "coverage.blind", "coverage.seen-again", "log.repaired", "log.unwritable", "log.reserve-used",
    "store.unwritable", "config.reloaded", "config.refused", "clock.stepped", "sensor.failed",
    "sweep.late", "storm",
}  # fmt: skip


def sample(code: str) -> dict[str, Param]:
    """Parameters of the right types: numbers where the sentence formats times, words elsewhere."""
    numeric = {
        name for _, name, spec, _ in string.Formatter().parse(CONDITIONS[code].sentence) if name and spec
    }
    return {name: AT if name in numeric else f"<{name}>" for name in CONDITIONS[code].params}


def test_no_code_goes_missing() -> None:
    assert set(CONDITIONS) >= EXPECTED


@pytest.mark.parametrize("code", sorted(CONDITIONS))
def test_every_code_makes_a_whole_alert(code: str) -> None:
    condition, params = CONDITIONS[code], sample(code)
    told = alert(code, AT, **params)
    assert (told.kind, told.rule, told.at, told.severity) == ("health", code, AT, condition.severity)
    assert told.action == code.replace(".", "-")
    assert told.severity > Severity.IGNORE
    assert told.data["details"] == params
    assert told.data["reaction"] == condition.reaction.value
    assert "{" not in told.message
    assert all(value in told.message for value in params.values() if isinstance(value, str))
    assert condition.advice.endswith(".")
    assert "!" not in condition.advice + condition.sentence, "calm"


@pytest.mark.parametrize("code", [code for code in CONDITIONS if CONDITIONS[code].params])
def test_a_missing_parameter_is_a_programming_error(code: str) -> None:
    params = sample(code)
    name, _ = params.popitem()
    with pytest.raises(TypeError, match=name):
        alert(code, AT, **params)


def test_an_unknown_code_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        alert("daemon.dreaming", AT)


def test_the_same_event_has_the_same_id_and_another_another() -> None:
    first = alert("sensor.failed", AT, sensor="files", problem="x")
    assert first == alert("sensor.failed", AT, problem="x", sensor="files")
    others = [
        alert("sensor.failed", AT + 1, sensor="files", problem="x"),
        alert("sensor.failed", AT, sensor="setid", problem="x"),
        alert("sensor.failed", AT, sensor="files", problem="x", try_number=2),
        alert("sweep.late", AT, sensor="files", problem="x", late=1),
    ]
    assert len({first.id, *(other.id for other in others)}) == 5
    assert len(first.id) == 20


def test_names_from_the_host_may_be_any_bytes() -> None:
    told = alert("coverage.watch-denied", AT, path=b"/tmp/\xff\x1b{since}", problem="denied")
    assert told.message == "/tmp/\udcff\x1b{since} cannot be watched live: denied", "record escapes it"


def test_times_and_spans_are_readable() -> None:
    told = alert("daemon.gap", AT, since=0, until=90 * SECOND, gap=90 * SECOND)
    assert told.message == (
        "Nobody watched from 1970-01-01 00:00:00 UTC to 1970-01-01 00:01:30 UTC (1 min 30 s)"
    )


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [
        (0, "0 ms"),
        (250_000_000, "250 ms"),
        (SECOND, "1 s"),
        (-90 * SECOND, "-1 min 30 s"),
        (3600 * SECOND, "1 h"),
        (3605 * SECOND, "1 h"),
        (90_000 * SECOND, "1 d 1 h"),
    ],
)
def test_spans(nanoseconds: int, words: str) -> None:
    assert span(nanoseconds) == words


@given(st.integers(0, 10**15), st.integers(1, 10**9))
def test_a_longer_span_never_reads_like_a_negative_one(nanoseconds: int, more: int) -> None:
    assert not span(nanoseconds).startswith("-")
    assert span(-nanoseconds - more * 10**6).startswith("-")


@given(st.integers(0, 4 * 10**18))
def test_any_time_of_this_age_can_be_told(nanoseconds: int) -> None:
    message = alert("coverage.restored", AT, since=nanoseconds, until=nanoseconds).message
    shown = message.split("from ")[1].split(" to ")[0]
    seconds = datetime.strptime(shown, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()
    assert seconds == nanoseconds // SECOND


def test_only_what_cannot_be_worked_around_ends_the_daemon() -> None:
    assert {code for code, row in CONDITIONS.items() if row.reaction == Reaction.EXIT} == {"baseline.damaged"}
