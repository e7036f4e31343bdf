"""The client's end of the control socket: one request, its progress, its items, its result.

The rule: every way in which the daemon can be out of reach becomes one sentence that names the socket
and says what to do; every refusal comes back as the same error that the daemon raised, so that exit
codes need no second table.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import (
    BaselineError,
    ConfigError,
    Exit,
    ForbiddenError,
    HostguardError,
    UnreachableError,
    UsageError,
)
from .address import folder_of
from .calls import CALLS, VERSION

CONNECT_TIME = 5
BEAT = 1.0
"""Seconds of one wait. A ^C that comes just before recv(2) begins is only noticed when that returns."""

_ERRORS: Mapping[int, type[HostguardError]] = {
    Exit.USAGE: UsageError,
    Exit.UNREACHABLE: UnreachableError,
    Exit.FORBIDDEN: ForbiddenError,
    Exit.BASELINE: BaselineError,
}

_ITEM = b'{"item":'


PAGES: Mapping[str, tuple[str, str]] = {
    "drift": ("drift", "findings"),
    "check": ("drift", "findings"),
    "review": ("drift", "findings"),
    "diff": ("diff", "changes"),
    "window": ("window", "findings"),
    "group": ("group", "findings"),
}
"""Calls whose list may come in pages: the call that gives the next one, and the list's key."""


def call(
    path: str,
    name: str,
    args: Mapping[str, Any],
    on_progress: Callable[[dict[str, Any]], None] = lambda progress: None,
    on_item: Callable[[bytes], None] = lambda item: None,
) -> dict[str, Any]:
    """Ask the daemon on the socket `path`; its result, all pages of it.

    `on_item` gets each item's JSON as the daemon sent it (an alert: the very bytes of its line).
    Raises UnreachableError, ForbiddenError, … by the error's code; a failure the daemon has no
    particular code for is a plain HostguardError.
    """
    result = _call(path, name, args, on_progress, on_item)
    following, key = PAGES.get(name, ("", ""))
    more = result.pop("more", None)
    while more:
        asked = args if following == name else {}
        page = _call(path, following, {**asked, "offset": more}, on_progress, on_item)
        result[key] += page[key]
        more = page["more"] if page[key] else None
    return result


def _call(
    path: str,
    name: str,
    args: Mapping[str, Any],
    on_progress: Callable[[dict[str, Any]], None],
    on_item: Callable[[bytes], None],
) -> dict[str, Any]:
    """One request and its result."""
    request = json.dumps({"v": VERSION, "call": name, "args": args}, separators=(",", ":"))
    with _connect(path) as connection:
        connection.settimeout(BEAT)
        try:
            connection.sendall(request.encode("ascii") + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # it refused before reading; why stands in its answer
        except TimeoutError:
            raise _silent(path) from None
        for line in _lines(connection, path, CALLS[name].patience):
            message = _parse(line, path)
            if "progress" in message:
                on_progress(message["progress"])
            elif "item" in message:
                raw = line.startswith(_ITEM) and line.endswith(b"}")
                on_item(line[len(_ITEM) : -1] if raw else json.dumps(message["item"]).encode())
            elif "result" in message:
                return dict(message["result"])
            elif "error" in message:
                raise _error(message["error"])
    raise UnreachableError(
        f"the daemon on {path} ended the connection before its answer was complete; "
        "`systemctl status hostguardd` or its journal may say why"
    )


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Not settimeout: it makes connect(2) fail at once, rather than wait, while the queue is full.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", CONNECT_TIME, 0))
    try:
        with folder_of(path) as (_, address):
            connection.connect(address)
    except OSError as problem:
        connection.close()
        raise _no_connection(path, problem) from None
    return connection


def _no_connection(path: str, problem: OSError) -> HostguardError:
    if isinstance(problem, PermissionError):
        return ForbiddenError(
            f"you may not use {path}: it is for root and for members of the group in [control] group; "
            "try sudo, or ask to be added to that group"
        )
    if isinstance(problem, FileNotFoundError | ConnectionRefusedError):
        return UnreachableError(
            f"hostguardd is not running, or listens elsewhere than {path}; "
            "start it (`systemctl start hostguardd`) or name its configuration with --config"
        )
    if isinstance(problem, TimeoutError | BlockingIOError):
        return _silent(path)
    return UnreachableError(f"cannot reach hostguardd on {path}: {problem.strerror or problem}")


def _silent(path: str) -> UnreachableError:
    return UnreachableError(
        f"hostguardd on {path} does not answer; it may be stuck: see `systemctl status hostguardd`"
    )


def _lines(connection: socket.socket, path: str, patience: float | None) -> Iterator[bytes]:
    """Complete lines, without their newlines, until the daemon closes or is silent for too long."""
    buffer = bytearray()
    silence = 0.0
    while True:
        try:
            data = connection.recv(256 * 1024)
            silence = 0.0
        except TimeoutError:
            silence += BEAT
            if patience is not None and silence >= patience:
                raise _silent(path) from None
            continue
        except ConnectionResetError:
            return
        if not data:
            return
        start = len(buffer)
        buffer += data
        if b"\n" not in data:
            continue
        whole = buffer.rfind(b"\n", start)
        yield from bytes(buffer[:whole]).split(b"\n")
        del buffer[: whole + 1]


def _parse(line: bytes, path: str) -> dict[str, Any]:
    try:
        # A line of the alert log that somebody damaged is still shown, as far as it can be.
        message = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise UnreachableError(f"what listens on {path} is not hostguardd: it does not speak its protocol")
    return message


def _error(told: Mapping[str, Any]) -> HostguardError:
    code, message = told.get("code"), str(told.get("message", "the daemon gave no reason"))
    if code == Exit.CONFIG:
        return ConfigError([str(problem) for problem in told.get("problems", [message])])
    return _ERRORS.get(code, HostguardError)(message) if isinstance(code, int) else HostguardError(message)
