"""The report of an inquiry as one HTML file that stands alone: no script, no link, no picture from anywhere.

The rules kept: whatever comes from the host is made harmless by `record.clean` and escaped by jinja2, with
no way around it in the templates; the file's own Content-Security-Policy forbids everything but its one
style sheet, by digest, so that a name which got through all the same could load and run nothing. And it
stays a few MB, however much there is to tell.

* `page`      what is shown of a report, cut to what a browser can bear
* `timeline`  moments as marks in lanes
* `look.css`, `*.html`  how it looks
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...record import clean
from .page import page

_FOLDER = Path(__file__).parent


def html(report: Mapping[str, Any]) -> str:
    """The file."""
    style, digest = _style()
    # Ours, and without it the page would escape its own style sheet.
    return _environment().get_template("report.html").render(page(report), style=Markup(style), digest=digest)


def _shown(value: object) -> object:
    """What an expression of a template brings, before it is escaped."""
    return value if isinstance(value, Markup) else clean(str(value))


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


@cache
def _style() -> tuple[str, str]:
    """The style sheet, and its digest as a Content-Security-Policy names it."""
    style = (_FOLDER / "look.css").read_text(encoding="ascii")
    return style, "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
