"""A headless Chromium that does what a person would before a picture is taken: types, waits, looks."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
    "--disable-component-update",
    # Parallel coordinates are drawn by WebGL, for which no card is needed.
    "--enable-unsafe-swiftshader",
)
_START_SECONDS = 60.0


def program(wanted: str | None = None) -> str:
    """The browser to use. Raises SystemExit with the remedy when there is none."""
    found = wanted or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit(
            f"no browser among {', '.join(BROWSERS)}: install one (apt-get install chromium), "
            "or name it with --browser"
        )
    return found


class Browser:
    """One window of `width` x `height` CSS pixels, each `scale` of a picture's, driven through DevTools."""

    def __init__(
        self, width: int, height: int, *, scale: float = 1.0, dark: bool = False, wanted: str | None = None
    ) -> None:
        self.width, self.height, self.scale, self.dark = width, height, scale, dark
        self._program = program(wanted)
        self._number = 0
        self.complaints: list[str] = []
        """Warnings, errors and exceptions that pages wrote to the console."""
        self.requests: list[str] = []
        """Addresses that pages asked for."""

    async def __aenter__(self) -> Self:
        self._profile = tempfile.TemporaryDirectory(prefix="pictures-", ignore_cleanup_errors=True)
        folder = Path(self._profile.name)
        command = [
            self._program,
            *_QUIET,
            f"--user-data-dir={folder}",
            "--remote-debugging-port=0",
            "about:blank",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = await self._port(folder / "DevToolsActivePort")
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            page = next(one for one in await answer.json() if one["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._ask(f"{domain}.enable")
        size = {
            "width": self.width,
            "height": self.height,
            "deviceScaleFactor": self.scale,
            "mobile": self.width < 500,
        }
        await self._ask("Emulation.setDeviceMetricsOverride", size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}]
        await self._ask("Emulation.setEmulatedMedia", {"features": scheme})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        self._process.terminate()
        self._process.wait(10)
        self._profile.cleanup()

    async def remember(self, items: Mapping[str, Any]) -> None:
        """Put `items` into the local storage of every page opened from now on, as JSON."""
        lines = [
            f"localStorage.setItem({json.dumps(k)}, {json.dumps(json.dumps(v))})" for k, v in items.items()
        ]
        await self._ask("Page.addScriptToEvaluateOnNewDocument", {"source": ";".join(lines)})

    async def open(self, url: str, until: str, seconds: float = 60.0) -> None:
        """Open a page and wait until the JavaScript expression `until` is true. Raises TimeoutError."""
        await self._ask("Page.navigate", {"url": url})
        deadline = time.monotonic() + seconds
        while not await self.evaluate(until):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url}: {until} did not come true within {seconds:.0f} s")
            await asyncio.sleep(0.3)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; None where it throws."""
        answer = await self._ask("Runtime.evaluate", {"expression": expression, "returnByValue": True})
        return answer["result"].get("value")

    async def point(self, x: float, y: float, *, click: bool = False) -> None:
        """Move the pointer to a place in the window, and press its button there."""
        await self._ask("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})
        for kind in ("mousePressed", "mouseReleased") if click else ():
            pressed = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            await self._ask("Input.dispatchMouseEvent", pressed)

    async def shoot(self, out: Path, *, of: str | None = None, settle: float = 0.0) -> Path:
        """Photograph the window after `settle` seconds, or the whole of the first element `of` a selector."""
        await asyncio.sleep(settle)
        wanted: dict[str, Any] = {"format": "png"}
        if of is not None:
            box = await self.evaluate(
                f"(b => ({{x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height, scale: 1}}))"
                f"(document.querySelector({json.dumps(of)}).getBoundingClientRect())"
            )
            wanted |= {"clip": box, "captureBeyondViewport": True}
        answer = await self._ask("Page.captureScreenshot", wanted)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(base64.b64decode(answer["data"]))
        return out

    async def _ask(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": dict(params or {})})
        while True:
            told = await self._socket.receive_json(timeout=60)
            self._overhear(told)
            if told.get("id") == self._number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']['message']}")
                result: dict[str, Any] = told["result"]
                return result

    def _overhear(self, told: Mapping[str, Any]) -> None:
        """Keep what a page says by itself."""
        event, about = told.get("method"), told.get("params", {})
        if event == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"].get("exception", about)))
        elif event == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.complaints.append(about["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and about["type"] in ("warning", "error", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one)) for one in about["args"]))

    async def _port(self, file: Path) -> int:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError, IndexError, ValueError):
                return int(file.read_text().splitlines()[0])
            if self._process.poll() is not None:
                break
            await asyncio.sleep(0.1)
        raise SystemExit(f"{self._program} did not start (exit {self._process.poll()})")
