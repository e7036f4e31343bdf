"""(drift, rules) -> verdict. The first rule that matches wins; what no rule names is the loudest.

Pure. A rule is a conjunction of conditions, and `CONDITIONS` is the table of them: each turns a rule
into a test of one case, or into None when the rule leaves that condition open. Tests are made once
for each rule and kept by kind of fact, the cheapest first, so that a storm of drifts costs little.

A value that is not known matches nothing: a rule that quietens a known program can never quieten an
unknown one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from . import globs
from .homes import NOBODYS, Homes, tilde
from .model import BY_KIND, Action, Drift, FileFact, Severity, Verdict, split
from .rules import Rule
from .vocabulary import NUMBER, PATH, matchable, number_range

UNMATCHED = Verdict(
    "unmatched",
    Severity.CRITICAL,
    "",
    "No rule of the policy names this, so it is told as loudly as can be. Find out what it is; when it "
    "belongs here, accept it, and write a [[rule]] for its kind into conf.d.",
)


@dataclass(frozen=True, slots=True)
class _Case:
    """A drift as rules look at it.

    `unknown` are the fields that could not be compared, for lack of one side's value; `value` gives a
    field of the subject, None when not known.
    """

    action: Action
    changed: frozenset[str]
    unknown: frozenset[str]
    gained: frozenset[str]
    value: Callable[[str], object]


Test: TypeAlias = Callable[[_Case], bool]
ValueTest: TypeAlias = Callable[[object], bool]


def _actions(rule: Rule) -> Test | None:
    return (lambda case: case.action in rule.actions) if rule.actions else None


def _changed(rule: Rule) -> Test | None:
    return (lambda case: not rule.changed.isdisjoint(case.changed)) if rule.changed else None


def _only(rule: Rule) -> Test | None:
    # What came or went changed no single field, and an empty set would be a part of any. A field that
    # could not be compared may have changed as well: "only the times" is no claim about unread contents.
    return (
        (lambda case: bool(case.changed) and case.changed | case.unknown <= rule.only) if rule.only else None
    )


def _gained(rule: Rule) -> Test | None:
    return (lambda case: not rule.gained.isdisjoint(case.gained)) if rule.gained else None


def _where(rule: Rule, homes: Homes) -> Test | None:
    tests = _value_tests(rule, homes)
    return (lambda case: all(test(case.value(name)) for name, test in tests.items())) if tests else None


CONDITIONS: Sequence[Callable[[Rule], Test | None]] = (_actions, _changed, _only, _gained)
"""What a rule may ask, cheapest first, and after all these its `where`. All that it asks must hold."""


def _tests(rule: Rule, homes: Homes) -> tuple[Test, ...]:
    made = [*(make(rule) for make in CONDITIONS), _where(rule, homes)]
    return tuple(test for test in made if test is not None)


def _value_tests(rule: Rule, homes: Homes) -> Mapping[str, ValueTest]:
    """The tests of a rule's `where`, by field."""
    facts = [BY_KIND[rule.kind]] if rule.kind else list(BY_KIND.values())
    kinds: dict[str, str] = {}
    for fact in facts:
        kinds |= matchable(fact)
    return {name: _value_test(kinds[name], values, homes) for name, values in rule.where.items()}


def _value_test(kind: str, values: Sequence[bytes], homes: Homes) -> ValueTest:
    """Whether a field's value matches any of `values`: ranges of numbers, or globs."""
    if kind == NUMBER:
        ranges = [number_range(value) for value in values]
        return lambda value: isinstance(value, int) and any(value in span for span in ranges)
    if kind == PATH and any(map(tilde, values)):
        return _homely_test(values, homes)
    pattern = globs.compile_paths(values) if kind == PATH else globs.compile_texts(values)

    def matches(value: object) -> bool:
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        return isinstance(value, bytes) and pattern.fullmatch(value) is not None

    return matches


def _homely_test(values: Sequence[bytes], homes: Homes) -> ValueTest:
    """Whether a path matches any of `values`, some of which are for every home.

    Asked of the path as its home sees it: thousands of homes then cost no more than one.
    """
    plain = globs.compile_paths(value for value in values if not tilde(value))
    homely = globs.compile_paths(value for value in values if tilde(value))

    def matches(value: object) -> bool:
        return isinstance(value, bytes) and (
            plain.fullmatch(value) is not None
            or any(homely.fullmatch(path) is not None for path in homes.within(value))
        )

    return matches


_PATH_FIELDS = frozenset({"path", "label", "folder", "name"})


@dataclass(frozen=True, slots=True)
class _PathClaim:
    """A rule about files that decides for the paths it names, and whether it is critical there."""

    tests: Mapping[str, ValueTest]
    critical: bool

    def names(self, values: Mapping[str, bytes]) -> bool:
        return all(test(values[name]) for name, test in self.tests.items())


def _path_claims(rules: Iterable[Rule], homes: Homes) -> list[_PathClaim]:
    """The claims that can decide whether a path is urgent, in order.

    A critical rule decides by its globs alone, as its other conditions may come true. A critical
    rule without any (a set-uid bit gained, wherever) would make every path urgent and is left out;
    so are quieter rules with further conditions, as they leave the path open for later ones.
    """
    claims = []
    for rule in rules:
        tests = {name: test for name, test in _value_tests(rule, homes).items() if name in _PATH_FIELDS}
        critical = rule.severity == Severity.CRITICAL
        open_ended = len(tests) == len(rule.where) and not (
            rule.actions or rule.changed or rule.only or rule.gained
        )
        if open_ended or (critical and tests):
            claims.append(_PathClaim(tests, critical))
    return claims


class Policy:
    """The rules, ready to judge, with the homes that `~` in them stands for.

    Thread-safe: nothing but a cache changes after construction.
    """

    def __init__(self, rules: Sequence[Rule], homes: Homes = NOBODYS) -> None:
        self._rules: dict[str, list[tuple[tuple[Test, ...], Verdict]]] = {}
        for kind in BY_KIND:
            self._rules[kind] = [
                (_tests(rule, homes), Verdict(rule.name, rule.severity, rule.technique, rule.advice))
                for rule in rules
                if rule.kind in ("", kind) and _applies(rule, kind)
            ]
        self._claims = _path_claims((rule for rule in rules if rule.kind in ("", FileFact.KIND)), homes)
        self._globs = tuple(
            dict.fromkeys(
                glob
                for rule in rules
                if rule.severity == Severity.CRITICAL and rule.kind in ("", FileFact.KIND)
                for named in (*rule.where.get("path", ()), *rule.where.get("label", ()))
                for glob in homes.globs(named)
            )
        )
        self._decided = lru_cache(maxsize=1024)(self._decide)

    def judge(self, drift: Drift) -> Verdict:
        """The verdict of the first rule that matches; `UNMATCHED` when none does."""
        subject = drift.subject
        case = _Case(
            drift.action,
            frozenset(drift.changed),
            _unknown(drift),
            drift.gained(),
            lambda name: getattr(subject, name),
        )
        for tests, verdict in self._rules[drift.fact.KIND]:
            if all(test(case) for test in tests):
                return verdict
        return UNMATCHED

    def urgent_globs(self) -> tuple[bytes, ...]:
        """The globs of paths that critical rules about files name."""
        return self._globs

    def urgent(self, path: bytes) -> bool:
        """Whether a change of the file at `path` could be critical, so that nothing may wait.

        A critical rule names the path, or no rule settles what it is. Asked for each hint.
        """
        return self._decided(path)

    def _decide(self, path: bytes) -> bool:
        folder, name = split(path)
        values = {"path": path, "label": path, "folder": folder, "name": name}
        claim = next((claim for claim in self._claims if claim.names(values)), None)
        return claim is None or claim.critical


def _unknown(drift: Drift) -> frozenset[str]:
    """The fields of which one side has no value, so that they could not be compared."""
    if drift.before is None or drift.after is None:
        return frozenset()
    sides = zip(drift.fact.columns(), drift.before.row(), drift.after.row(), strict=True)
    return frozenset(name for name, old, new in sides if old is None or new is None) - drift.fact.VOLATILE


def _applies(rule: Rule, kind: str) -> bool:
    """Whether facts of this kind have every field that the rule asks for."""
    return matchable(BY_KIND[kind]).keys() >= rule.where.keys()
