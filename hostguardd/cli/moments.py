"""Times and lengths of time as somebody types them."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta

SPANS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def since(text: str) -> float:
    """Seconds since the epoch of `10m`, `2h`, `3d`, `today`, `yesterday` or an ISO 8601 time.

    A time without a zone is the reader's own. argparse.ArgumentTypeError for anything else.
    """
    now = datetime.now().astimezone()
    span = re.fullmatch(r"(\d{1,9}) ?([a-z]+)", text)
    days = {"today": 0, "yesterday": 1}.get(text)
    try:
        if span and span[2] in SPANS:
            return now.timestamp() - int(span[1]) * SPANS[span[2]]
        if days is not None:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            return (midnight - timedelta(days=days)).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: say 10m, 2h, 3d, today, yesterday or 2026-01-31T14:00"
        ) from None


def above_zero(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def span(text: str) -> int:
    """Seconds of `90s`, `30m`, `2h`, `1d`. argparse.ArgumentTypeError for anything else."""
    found = re.fullmatch(r"(\d{1,6})([a-z]+)", text, re.ASCII)
    seconds = int(found[1]) * SPANS[found[2]] if found and found[2] in SPANS else 0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time: say 90s, 30m, 2h or 1d")
    return seconds
