"""How sweeps travel from the crew's processes: plain values that `marshal` knows (see `host.workers`)."""

from __future__ import annotations

from typing import TypeAlias

from ..model import Blind, Depth, FileFact, Row, Sweep

Told: TypeAlias = tuple[
    bytes, list[Row], list[tuple[str, bytes, str]], tuple[bytes, bytes] | None, dict[bytes, bytes], int, int
]


def pack(sweep: Sweep) -> tuple[object, ...]:
    """A full sweep of files as plain values."""
    blinds = [(blind.kind, blind.scope, blind.reason) for blind in sweep.blinds]
    return (sweep.scope, sweep.rows, blinds, sweep.span, dict(sweep.contents), sweep.began, sweep.ended)


def unpack(told: Told) -> Sweep:
    """The inverse of `pack`."""
    scope, rows, blinds, span, contents, began, ended = told
    return Sweep(
        FileFact,
        scope,
        Depth.FULL,
        rows,
        tuple(Blind(*one) for one in blinds),
        None,
        span,
        contents,
        began,
        ended,
    )
