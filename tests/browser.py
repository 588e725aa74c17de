"""Debian's chromium without a screen, spoken to through two pipes: how a page looks, what it says on its console, what it asks for."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("chromium")


def needed() -> None:
    """Skip the test, loudly, where there is no browser."""
    if PROGRAM is None:
        pytest.skip("NO BROWSER: chromium is not installed (apt-get install chromium); no page was looked at")


class Browser:
    """One tab.

    Attributes:
        console: errors and warnings of the page, in words.
        requests: addresses that the page asked for.
    """

    def __init__(self, folder: Path) -> None:
        """Start it, with its files in a folder of its own."""
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # The browser reads its orders from file 3 and answers on file 4.
        script = f'exec 3<&{to_read} 4>&{to_write}; exec "$@"'
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync", f"--user-data-dir={folder}"]
        command = ["bash", "-c", script, "browser", str(PROGRAM), *flags, "about:blank"]
        self._process = subprocess.Popen(
            command, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self._rest, self._number, self._session = b"", 0, None
        self._events: list[dict[str, Any]] = []
        self.console: list[str] = []
        self.requests: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        os.close(self._read)
        os.close(self._write)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One order, and its answer."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters} | ({"sessionId": self._session} if self._session else {})
        os.write(self._write, json.dumps(order).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    def _next(self, seconds: float = 120) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            part = os.read(self._read, 1 << 20) if ready else b""
            assert part, "the browser says nothing any more"
            self._rest += part
        text, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(text)
        self._hear(message)
        return message

    def _hear(self, message: dict[str, Any]) -> None:
        said, about = message.get("method"), message.get("params", {})
        self._events.append(message)
        if said == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.console.append(str(about["args"]))
        if said == "Runtime.exceptionThrown":
            self.console.append(str(about["exceptionDetails"]))
        if said == "Log.entryAdded":
            self.console.append(f"{about['entry']['level']}: {about['entry']['text']}")
        if said == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    def show(self, page: Path, width: int, dark: bool = False, height: int = 900) -> None:
        """Open a file at a width, and wait until it is there."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self._events.clear()
        self.ask("Page.navigate", url=page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._next()

    def value(self, expression: str) -> Any:
        """What a script says."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def picture(self, path: Path, whole: bool = False) -> None:
        """What is seen, as PNG."""
        clip = {"captureBeyondViewport": True} if whole else {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            clip |= {"clip": {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 16000), "scale": 1}}
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", **clip)["data"]))
