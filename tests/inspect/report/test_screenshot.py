"""The page as a browser draws it: on a screen and on a telephone, in English and in Chinese, light and dark.

Nothing here compares pixels with a stored picture, which would break with every font. It is asked what a person would
ask: is anything cut off, does the page scroll sideways, is every plot there, is text inside its plot, is the picture
not blank.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import zlib
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from sample_data import bare, binary, chinese, english
from yibu.inspect.report import DataFigures, render

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser here: none of {', '.join(BROWSERS)}")

WIDTHS = (1200, 390, 320)
PAGES: dict[str, tuple[DataFigures, str]] = {
    "chinese.zh": (chinese(), "zh"),
    "chinese.en": (chinese(), "en"),
    "english.en": (english(), "en"),
    "english.zh": (english(), "zh"),
    "binary.en": (binary(), "en"),
    "bare.zh": (bare(), "zh"),
}

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


def _frame(name: str, width: int) -> str:
    figures, lang = PAGES[name]
    page = escape(render(figures, lang))  # type: ignore[arg-type]
    return f'<iframe id="{name}@{width}" width="{width}" height="900" style="border:0" srcdoc="{page}"></iframe>'


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser made of every page in every width."""
    folder = tmp_path_factory.mktemp("probe")
    frames = "\n".join(_frame(name, width) for name in PAGES for width in WIDTHS)
    page = f'<!DOCTYPE html><meta charset="utf-8"><pre id="found"></pre>{frames}<script>{PROBE}</script>'
    (folder / "probe.html").write_text(page, encoding="utf-8")
    dump = _chrome(folder, "--virtual-time-budget=10000", "--dump-dom", f"file://{folder / 'probe.html'}").decode()
    found = re.search(r'<pre id="found">(.*?)</pre>', dump, re.S)
    assert found is not None
    result: dict[str, Any] = json.loads(unescape(found[1]))
    return result


CASES = [f"{name}@{width}" for name in PAGES for width in WIDTHS]


@pytest.mark.parametrize("case", CASES)
def test_nothing_scrolls_sideways(seen: dict[str, Any], case: str) -> None:
    assert seen[case]["overflow"] <= 0
    assert seen[case]["height"] > 600


@pytest.mark.parametrize("case", [case for case in CASES if not case.endswith("@320")])
def test_no_table_is_wider_than_its_place(seen: dict[str, Any], case: str) -> None:
    """On a very small telephone a table may scroll within its own box; from 390 pixels on none has to."""
    assert seen[case]["tables"] == []


@pytest.mark.parametrize("case", CASES)
def test_every_plot_is_there_and_its_text_is_inside(seen: dict[str, Any], case: str) -> None:
    name, width = case.split("@")
    plots = seen[case]["plots"]
    least = {"chinese": 10, "english": 5, "binary": 3, "bare": 1}[name.split(".")[0]]
    assert len(plots) >= least
    assert all(0 < wide <= int(width) and high > 20 for wide, high in plots)
    assert seen[case]["outside"] == []


def _picture(path: Path) -> tuple[int, int, set[bytes]]:
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


@pytest.mark.parametrize(("name", "width", "scheme"), [("chinese.zh", 1200, "light"), ("english.en", 390, "dark")])
def test_picture(tmp_path: Path, name: str, width: int, scheme: str) -> None:
    """Kept beside the test's other files, to be looked at: ``pytest --basetemp=FOLDER``."""
    frame = _frame(name, width).replace('height="900"', 'height="2400"')
    shown = '<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    (tmp_path / "page.html").write_text(f'{shown}<body style="margin:0">{frame}', encoding="utf-8")
    picture = tmp_path / f"{name}.{width}.{scheme}.png"
    size = f"--window-size={max(width, 500)},2400"
    dark = (
        ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else ["--blink-settings=preferredColorScheme=1"]
    )
    _chrome(tmp_path, size, *dark, f"--screenshot={picture}", f"file://{tmp_path / 'page.html'}")
    wide, high, lines = _picture(picture)
    assert (wide, high) == (max(width, 500), 2400)
    assert len(lines) > 300, "the picture is nearly blank"
