"""A browser for tests of pages: what it makes of a page, and its picture."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import struct
import subprocess
import time
import zlib
from collections.abc import Mapping, Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
NO_BROWSER = f"no browser here: none of {', '.join(BROWSERS)}"

# Looks into each page from outside: the pages themselves forbid every script, and are shown as they are.
PROBE = """
function look(frame) {
  const page = frame.contentDocument, root = page.documentElement;
  const shown = (element) => element.getClientRects().length > 0;
  const plots = [...page.querySelectorAll("svg.plot")].filter(shown);
  const outside = [];
  for (const plot of plots) {
    const box = plot.viewBox.baseVal;
    for (const text of plot.querySelectorAll("text")) {
      const place = text.getBBox();
      if (place.x < -1.5 || place.x + place.width > box.width + 1.5 || place.y + place.height > box.height + 3)
        outside.push(text.textContent);
    }
  }
  const scrolled = [...page.querySelectorAll(".scroll")].filter(shown);
  return {
    overflow: root.scrollWidth - root.clientWidth,
    plots: plots.map((plot) => [plot.getBoundingClientRect().width, plot.getBoundingClientRect().height]),
    outside: outside,
    tables: scrolled.filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.ariaLabel),
    height: root.scrollHeight,
    ground: getComputedStyle(page.body).backgroundColor,
    headings: page.querySelectorAll("h2").length,
  };
}
onload = () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) found[frame.id] = look(frame);
  document.getElementById("found").textContent = JSON.stringify(found);
};
"""


def _chrome(folder: Path, *arguments: str) -> bytes:
    assert BROWSER is not None
    common = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'user'}",
    ]
    done = subprocess.run([BROWSER, *common, *arguments], capture_output=True, timeout=120, check=True)
    return done.stdout


def _frame(name: str, page: str, width: int, height: int = 900) -> str:
    return (
        f'<iframe id="{name}@{width}" width="{width}" height="{height}" style="border:0" srcdoc="{escape(page)}">'
        "</iframe>"
    )


def seen_by_browser(folder: Path, pages: Mapping[str, str], widths: Sequence[int]) -> dict[str, Any]:
    """Of every page in every width, as ``<name>@<width>``: what `PROBE` found."""
    frames = "\n".join(_frame(name, page, width) for name, page in pages.items() for width in widths)
    page = f'<!DOCTYPE html><meta charset="utf-8"><pre id="found"></pre>{frames}<script>{PROBE}</script>'
    (folder / "probe.html").write_text(page, encoding="utf-8")
    dump = _chrome(folder, "--virtual-time-budget=10000", "--dump-dom", f"file://{folder / 'probe.html'}").decode()
    found = re.search(r'<pre id="found">(.*?)</pre>', dump, re.S)
    assert found is not None
    result: dict[str, Any] = json.loads(unescape(found[1]))
    return result


def picture(folder: Path, name: str, page: str, width: int, scheme: str) -> tuple[int, int, set[bytes]]:
    """``<name>.png`` of the first 2,400 pixels: its width, height and different lines; `scheme` is light or dark."""
    shown = '<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    frame = _frame(name, page, width, 2400)
    (folder / "page.html").write_text(f'{shown}<body style="margin:0">{frame}', encoding="utf-8")
    size = f"--window-size={max(width, 500)},2400"
    colours = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    _chrome(folder, size, colours, f"--screenshot={folder / f'{name}.png'}", f"file://{folder / 'page.html'}")
    return _lines(folder / f"{name}.png")


def _lines(path: Path) -> tuple[int, int, set[bytes]]:
    """Width, height and the different colours in a thinned picture, from the bytes of a PNG."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, packed, head = 8, b"", b""
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        chunk = data[place + 8 : place + 8 + size]
        head, packed = (chunk, packed) if kind == b"IHDR" else (head, packed + chunk if kind == b"IDAT" else packed)
        place += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", head[:10])
    channels = {2: 3, 6: 4}[colour]
    assert depth == 8
    raw = zlib.decompress(packed)
    line = width * channels + 1
    return width, height, {raw[at * line + 1 : (at + 1) * line] for at in range(height)}


class Chromium:
    """A browser that is told what to do, over the pipe of its own protocol; gone at the end of the block.

    Args:
        folder: for its profile.
        language: that pages see.
    """

    def __init__(self, folder: Path, language: str = "en-GB") -> None:
        assert BROWSER is not None
        (told_by_us, self._commands), (self._answers, told_by_it) = os.pipe(), os.pipe()

        def pipes() -> None:  # its protocol speaks on these two
            os.dup2(told_by_us, 63)
            os.dup2(told_by_it, 64)
            os.dup2(63, 3)
            os.dup2(64, 4)

        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
        arguments += [f"--user-data-dir={folder / 'user'}", f"--accept-lang={language}", f"--lang={language}"]
        self._process = subprocess.Popen(
            [BROWSER, *arguments, "about:blank"],
            preexec_fn=pipes,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(told_by_us)
        os.close(told_by_it)
        self._number, self._rest = 0, b""
        self._session: str | None = None
        target = self._tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._tell("Page.enable")
        self._tell("Emulation.setLocaleOverride", locale=language.replace("-", "_"))

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._commands)
        self._process.terminate()
        self._process.wait(20)
        os.close(self._answers)

    def open(self, address: str, width: int = 1000, height: int = 760, scheme: str = "light") -> None:
        """Load a page."""
        self._tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._tell("Emulation.setEmulatedMedia", features=features)
        self._tell("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """What an expression of the page gives, waited for if it is a promise."""
        done = self._tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, script: str, seconds: float = 30.0) -> None:
        """Until an expression of the page is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.02)

    def picture(self, path: Path) -> None:
        """What is seen."""
        path.write_bytes(base64.b64decode(self._tell("Page.captureScreenshot", format="png")["data"]))

    def _tell(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        told = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            told["sessionId"] = self._session
        os.write(self._commands, json.dumps(told).encode() + b"\0")
        while True:
            *whole, self._rest = self._rest.split(b"\0")
            for place, message in enumerate(whole):
                table = json.loads(message)
                if table.get("id") == self._number:
                    self._rest = b"\0".join([*whole[place + 1 :], self._rest])
                    assert "error" not in table, table["error"]
                    found: dict[str, Any] = table["result"]
                    return found
            got = os.read(self._answers, 1 << 16)
            assert got, "the browser is gone"
            self._rest += got
