"""The journal's catalog of what the daemon says about itself, from the table in hostguardd/health.py.

Written to stdout by the package's build: `journalctl -x` then shows under each such message what it means
and what to do. The format: https://www.freedesktop.org/wiki/Software/systemd/catalog/
"""

from __future__ import annotations

import string
import textwrap

from hostguardd.health import CONDITIONS, Condition, message_id


def entry(code: str, condition: Condition) -> str:
    """One entry; a technique is named where there is one."""
    fields = string.Formatter().parse(condition.sentence)
    subject = "".join(text + (f"<{name}>" if name else "") for text, name, _, _ in fields)
    lines = [
        f"-- {message_id(code)}",
        f"Subject: {subject}",
        "Defined-By: hostguardd",
        "Documentation: man:hostguardd(8)",
        "",
        textwrap.fill(condition.advice, 76),
    ]
    if condition.technique:
        page = condition.technique.replace(".", "/")
        lines += ["", f"What an intruder would do so for: https://attack.mitre.org/techniques/{page}/"]
    lines += ["", f"Code {code}, severity {condition.severity.label}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print("\n".join(entry(code, condition) for code, condition in sorted(CONDITIONS.items())))
