"""A headless Chromium for the tests of pages, driven by the DevTools protocol over two pipes."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

PROGRAM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
needs_browser = pytest.mark.skipif(
    PROGRAM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"
)
SECONDS = 60


class Browser:
    """One tab, without network; collects what the console shows."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        to_child, own_output = os.pipe()
        own_input, from_child = os.pipe()
        options = (
            "--headless --no-sandbox --disable-gpu --no-first-run --disable-extensions --remote-debugging-pipe "
            f"--host-resolver-rules='MAP * ~NOTFOUND' --user-data-dir='{profile}' about:blank"
        )
        # The protocol wants to be read from descriptor 3 and written to 4.
        command = f"exec '{PROGRAM}' {options} 3<&{to_child} 4>&{from_child}"
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            pass_fds=(to_child, from_child),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        self._output, self._input = own_output, own_input
        self._buffer = b""
        self._number = 0
        self.complaints: list[str] = []
        """Errors and warnings of the console, uncaught exceptions, what was blocked."""
        self.requests: list[str] = []
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")

    _session: str | None = None

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._output)
        os.close(self._input)

    def open(self, page: Path) -> None:
        """Load a file from the disk and wait until it has run."""
        self.complaints.clear()
        self.requests.clear()
        self._send("Page.navigate", url=page.resolve().as_uri())
        deadline = time.monotonic() + SECONDS
        while self.run("document.readyState + location.protocol") != "completefile:":
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """The value of an expression, as JSON has it."""
        found = self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """A key on the keyboard: ``"Tab"``, ``"Enter"``, or a character."""
        codes = {"Tab": 9, "Enter": 13}
        text = {"text": "\r"} if key == "Enter" else {} if key in codes else {"text": key}
        code = codes.get(key, ord(key[0]))
        for kind in ("keyDown", "keyUp"):
            extra = text if kind == "keyDown" else {}
            self._send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra)

    def point(self, selector: str, x: float, y: float) -> None:
        """Move the pointer over an element, to a place in shares of its width and height."""
        found = self.run(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect(); "
            f"return [r.x + {x} * r.width, r.y + {y} * r.height] }})(document.querySelector({json.dumps(selector)}))"
        )
        self._send("Input.dispatchMouseEvent", type="mouseMoved", x=found[0], y=found[1])

    def media(self, scheme: str, medium: str = "screen") -> None:
        """Colour scheme that is preferred, and medium."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._send("Emulation.setEmulatedMedia", media=medium, features=features)

    def resize(self, width: int, height: int) -> None:
        """Size of the window, in CSS pixels."""
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._output, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._input, 1 << 16)
            assert piece, "the browser has ended"
            self._buffer += piece
        text, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(text))

    def _note(self, event: dict[str, Any]) -> None:
        method, values = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(values["exceptionDetails"]))
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(values["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(values["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
