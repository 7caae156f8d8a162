"""A headless Chromium that is driven through two pipes: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_TIMEOUT = 60.0
# In Chromium the pipes are 3 and 4. Here their numbers are higher, so that none takes another's place.
_START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """A tab of Chromium; `messages` are those of its console, and the errors of its pages."""

    def __init__(self, reading: int, writing: int) -> None:
        self.messages: list[str] = []
        self._reading, self._writing = reading, writing
        self._number, self._rest = 0, b""
        self._events: list[str] = []
        self._tab: str | None = None
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._tab = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")

    def open(self, path: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self._navigate(path.resolve().as_uri())

    def open_empty(self) -> None:
        """Open an empty page."""
        self._navigate("about:blank")

    def _navigate(self, url: str) -> None:
        self._events.clear()
        self._send("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, as JSON has it; a promise is awaited."""
        done = self._send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def show(self, *, width: int, height: int = 900, ground: str = "light") -> None:
        """Set the size of the window, and whether its user prefers a light or a dark ground."""
        self._send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self._send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": ground}])

    def print_on(self, *, paper: bool) -> None:
        """Show the page as it is printed, or on the screen again."""
        self._send("Emulation.setEmulatedMedia", media="print" if paper else "")

    def press_tab(self) -> None:
        """Press the key that goes to the next element."""
        for kind in ("keyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)

    def picture(self, path: Path) -> None:
        """Save a picture of the whole page, as PNG."""
        done = self._send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(done["data"]))

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self._send("Page.printToPDF")["data"])

    def _send(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        session = {"sessionId": self._tab} if self._tab else {}
        message = {"id": self._number, "method": method, "params": parameters, **session}
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + _TIMEOUT
        while b"\0" not in self._rest:
            assert time.monotonic() < deadline, "Chromium does not answer"
            more = os.read(self._reading, 1 << 20)
            assert more, "Chromium has ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        method, facts = message.get("method", ""), message.get("params", {})
        self._events.append(method)
        if method == "Log.entryAdded":
            self.messages.append(facts["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
            self.messages.append(json.dumps(facts))
        elif method == "Network.requestWillBeSent" and not facts["request"]["url"].startswith(
            ("file:", "data:", "about:")
        ):
            self.messages.append(f"request: {facts['request']['url']}")


def _higher(descriptor: int) -> int:
    higher = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return higher


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile, and end it."""
    assert CHROMIUM is not None
    to_read, written = map(_higher, os.pipe())
    read, to_write = map(_higher, os.pipe())
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    words = [CHROMIUM, *options, "--remote-debugging-pipe", "--hide-scrollbars", f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        [sys.executable, "-c", _START, str(to_read), str(to_write), *words],
        pass_fds=(to_read, to_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        yield Browser(read, written)
    finally:
        os.close(written)
        os.close(read)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
