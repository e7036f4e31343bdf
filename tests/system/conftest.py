"""The one host that all tests here boot copies of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system import guest


@pytest.fixture(scope="session")
def debian() -> Path:
    """The root of a small Debian, made if it is not there yet."""
    return guest.debian()
