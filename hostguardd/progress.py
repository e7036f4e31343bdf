"""A progress bar on standard error, for people only: on a terminal, and only once work is long.

The rule: nothing of it reaches standard output, and without a terminal nothing at all is drawn. rich
is imported when the first report arrives, because most commands end before there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from .record import clean

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PLACE = 40


class ProgressBar:
    """Draws the daemon's progress reports: `{"phase", "done", "total", "where"}`, all optional."""

    def __init__(self, stream: TextIO, wanted: bool) -> None:
        self._stream = stream
        self._wanted = wanted
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._phase = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def report(self, told: Mapping[str, Any]) -> None:
        """Show how far it is. A new phase starts the bar afresh."""
        if not self._wanted:
            return
        bar = self._bar or self._open()
        phase = clean(str(told.get("phase") or "working"))
        if self._task is None or phase != self._phase:
            if self._task is not None:
                bar.remove_task(self._task)
            self._phase, self._task = phase, bar.add_task(phase, total=None, where="")
        bar.update(
            self._task,
            completed=_number(told.get("done")) or 0,
            total=_number(told.get("total")) or None,
            where=_shorten(clean(str(told.get("where") or ""))),
        )

    def _open(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        # markup=False: a folder called [red] is a folder called [red].
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[where]}", style="dim", markup=False),
            console=Console(file=self._stream, highlight=False, markup=False, emoji=False),
            transient=True,
        )
        self._bar.start()
        return self._bar


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value >= 0 else None


def _shorten(place: str) -> str:
    """The end of a long path says more than its beginning."""
    return place if len(place) <= _PLACE else "…" + place[-(_PLACE - 1) :]
