"""The evaluation report as a browser draws it: wide and narrow, in English and in Chinese, light and dark.

As in ``tests/inspect/report``: no stored pictures, but what a person would ask. Is anything cut off, does the page
scroll sideways, is every plot there with its text inside, is the picture not blank.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from browser import BROWSER, NO_BROWSER, picture, seen_by_browser
from sample_report import classified, generated, proven
from yibu.evaluate.report import render

pytestmark = pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)

WIDTHS = (1200, 390, 320)
PAGES = {
    "whole.en": (proven(), 9),
    "whole.zh": (proven(), 9),
    "holes.zh": (proven(with_load=False), 3),
    "generated.en": (generated(), 1),
    "classified.en": (classified(), 3),
}


def _page(name: str) -> str:
    return render(PAGES[name][0], name.split(".")[1])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser made of every page in every width."""
    return seen_by_browser(tmp_path_factory.mktemp("probe"), {name: _page(name) for name in PAGES}, WIDTHS)


CASES = [f"{name}@{width}" for name in PAGES for width in WIDTHS]


@pytest.mark.parametrize("case", CASES)
def test_nothing_scrolls_sideways(seen: dict[str, Any], case: str) -> None:
    assert seen[case]["overflow"] <= 0
    assert seen[case]["height"] > 600


@pytest.mark.parametrize("case", [case for case in CASES if not case.endswith("@320")])
def test_no_table_is_wider_than_its_place(seen: dict[str, Any], case: str) -> None:
    assert seen[case]["tables"] == []


@pytest.mark.parametrize("case", CASES)
def test_every_plot_is_there_and_its_text_is_inside(seen: dict[str, Any], case: str) -> None:
    name, width = case.split("@")
    plots = seen[case]["plots"]
    assert len(plots) >= PAGES[name][1]
    assert all(0 < wide <= int(width) and high > 20 for wide, high in plots)
    assert seen[case]["outside"] == []


@pytest.mark.parametrize(("name", "width", "scheme"), [("whole.zh", 1200, "light"), ("whole.en", 390, "dark")])
def test_picture(tmp_path: Path, name: str, width: int, scheme: str) -> None:
    """Kept beside the test's other files, to be looked at: ``pytest --basetemp=FOLDER``."""
    wide, high, lines = picture(tmp_path, f"{name}.{width}.{scheme}", _page(name), width, scheme)
    assert (wide, high) == (max(width, 500), 2400)
    assert len(lines) > 300, "the picture is nearly blank"
