"""The published table has the rows of the acts; what was told and when is another day's."""

from __future__ import annotations

from tests.system.table import PAGE, page, rows
from tests.system.techniques.table import ACTS


def test_the_page_has_a_row_for_each_act() -> None:
    assert rows(PAGE.read_text()) == rows(page({})), "run `make techniques`"
    assert [name for name, _ in rows(page({}))] == list(ACTS)
