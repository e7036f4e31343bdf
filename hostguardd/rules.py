"""`[[rule]]`, how loud a drift is: what such an entry accepts. `policy` applies it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from . import globs
from .model import BY_KIND, Action, Severity
from .readers import ACTIONS, NAME, SEVERITIES, TECHNIQUE, WORD, where
from .validate import Mistake, choice, invalid, reads, show, some, text
from .vocabulary import NUMBER, TRAITS, comparable, matchable, number_range


@dataclass(frozen=True, slots=True)
class Rule:
    """`[[rule]]`: how loud a drift is. The first rule that matches wins.

    `kind` is the fact's kind ("" any). `actions`, `changed` (any of these fields), `only` (these
    fields and no others), `gained` (any of these traits) are empty for "any". `where` maps a field of
    the fact (or `label`, for files also `path` and `type`) to globs, numbers or ranges (`1-1023`) as
    text; every entry must match one of its values. Globs of paths may begin with `~/` (`homes`).
    """

    name: str = field(metadata=reads(NAME))
    severity: Severity = field(metadata=reads(choice(SEVERITIES)))
    kind: str = field(default="", metadata=reads(choice({kind: kind for kind in ("", *BY_KIND)})))
    actions: frozenset[Action] = field(default=frozenset(), metadata=reads(some(choice(ACTIONS))))
    changed: frozenset[str] = field(default=frozenset(), metadata=reads(some(WORD)))
    only: frozenset[str] = field(default=frozenset(), metadata=reads(some(WORD)))
    gained: frozenset[str] = field(default=frozenset(), metadata=reads(some(WORD)))
    where: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, metadata=reads(where))
    technique: str = field(default="", metadata=reads(TECHNIQUE))
    advice: str = field(default="", metadata=reads(text()))


def check_rule(rule: Rule) -> list[Mistake]:
    """What is wrong with a rule as a whole: words that its kind of fact does not know."""
    facts = [BY_KIND[rule.kind]] if rule.kind else list(BY_KIND.values())
    kind = rule.kind or "any fact"
    compared = frozenset(chain.from_iterable(comparable(fact) for fact in facts))
    traits = frozenset(chain.from_iterable(TRAITS[fact.KIND] for fact in facts))
    known: dict[str, str] = dict(chain.from_iterable(matchable(fact).items() for fact in facts))
    mistakes = list(
        chain(
            _strangers(".changed", rule.changed, compared, f"no compared field of {kind}"),
            _strangers(".only", rule.only, compared, f"no compared field of {kind}"),
            _strangers(".gained", rule.gained, traits, f"no trait of {kind}"),
            _strangers(".where", rule.where, known, f"no field of {kind}"),
            *(
                _misfits(f".where.{name}", known[name], rule.where[name])
                for name in rule.where
                if name in known
            ),
        )
    )
    if rule.actions and Action.CHANGED not in rule.actions and (rule.changed or rule.only):
        mistakes.append((".actions", 'never "changed", though the rule asks for changed fields'))
    if rule.actions == {Action.REMOVED} and rule.gained:
        mistakes.append((".actions", "what was removed gains nothing, though the rule asks for it"))
    return mistakes


def _strangers(
    place: str, words: Sequence[str] | frozenset[str] | Mapping[str, object], known: Any, what: str
) -> Iterator[Mistake]:
    """A mistake for each of `words` that is not among the `known`."""
    for word in sorted(words):
        if word not in known:
            yield from invalid(f"{show(word)} is {what}", ", ".join(sorted(known)), word, known).below(place)


def _misfits(place: str, kind: str, values: tuple[bytes, ...]) -> Iterator[Mistake]:
    """A mistake for each of the `values` that a field of this kind could not be compared with."""
    for value in values:
        try:
            number_range(value) if kind == NUMBER else globs.compile_path(value)
        except globs.GlobError as error:
            yield place, f"{show(value.decode())} is a bad glob, it {error}"
        except ValueError:
            yield place, f'{show(value.decode())} is no number, allowed: 22, "1-1023", "1024-", "0o4755"'
