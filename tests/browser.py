"""A real browser, driven by the DevTools protocol over a pipe: what it asked for, what it complained of.

https://chromedevtools.github.io/devtools-protocol/: JSON objects, each ended by a NUL byte, on descriptors 3
(to the browser) and 4 (from it).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import pytest

from hostguardd.host.ready import ready

PATIENCE = 30.0

NAMES = ("chromium", "chromium-browser", "google-chrome")


def browser() -> str:
    """The program; skips where there is none."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip("no chromium is installed: make report-check")


class Browser:
    """One page. `requests` are the URLs it asked for, `complaints` whatever reached its console or log."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._events: list[dict[str, Any]] = []
        self._number = 0
        self._buffer = b""
        self._folder = tempfile.mkdtemp(prefix="hostguardd-browser-")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [
            browser(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
            "--hide-scrollbars",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            f"--user-data-dir={self._folder}", "about:blank",
        ]  # fmt: skip
        # 3 and 4 may be what the pipes got: they are moved out of the way first.
        script = 'exec 8<&"$0" 9>&"$1" && exec 3<&8 4>&9 8<&- 9>&- && shift && exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", script, str(theirs_in), str(theirs_out), *command],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._session = ""
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Log", "Runtime"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command, and its result."""
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._out, json.dumps(asked).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while (told := self._read(deadline)).get("id") != self._number:
            self._note(told)
        assert "error" not in told, told["error"]
        result: dict[str, Any] = told["result"]
        return result

    def open(self, path: Path) -> None:
        """Load a file, and wait until it has settled."""
        self.requests.clear()
        self.complaints.clear()
        self._events.clear()
        self.call("Page.navigate", url=path.as_uri())
        deadline = time.monotonic() + PATIENCE
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._note(self._read(deadline))
        self.run("new Promise(done => setTimeout(done, 200))")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; its own policy does not bind it."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def screen(self, width: int, height: int = 900) -> None:
        """As large as that."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def media(self, medium: str = "screen", scheme: str = "light") -> None:
        """As shown in that medium to somebody who prefers that scheme."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)

    def press(self, key: str, code: int) -> None:
        """One key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def _note(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Page.javascriptDialogOpening":
                self.complaints.append(json.dumps(params))

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            there = ready([self._in], deadline - time.monotonic())
            assert there, "the browser says nothing"
            part = os.read(self._in, 1 << 20)
            assert part, "the browser is gone"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        return told

    def close(self) -> None:
        """End it, and take away what it kept."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
