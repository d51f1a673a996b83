"""Scales, ticks and bars."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_report import Page
from yibu.pages.svg import Canvas, Scale, bar, nice_ticks, shorten, stacked
from yibu.pages.svg import text_width as width_of


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e4), st.integers(1, 12))
def test_ticks_cover_the_range_at_even_round_steps(low: float, span: float, about: int) -> None:
    high = low + span
    ticks = nice_ticks(low, high, about)
    steps = [after - before for before, after in pairwise(ticks)]
    step = steps[0]
    assert ticks[0] <= low + 1e-6 * step
    assert ticks[-1] >= high - 1e-6 * step
    assert all(abs(other - step) < 1e-6 * step + 1e-9 for other in steps)
    assert len(ticks) <= 2.5 * about + 3


def test_ticks_of_a_single_value() -> None:
    assert nice_ticks(3, 3, 4)[0] <= 3 < nice_ticks(3, 3, 4)[-1]
    assert nice_ticks(0, 0, 4)[-1] > 0


def test_scale_is_linear_and_may_run_backwards() -> None:
    down = Scale(0, 10, 300, 100)
    assert (down(0), down(5), down(10)) == (300, 200, 100)


def test_chinese_is_twice_as_wide_as_latin() -> None:
    assert width_of("心脏", 10) == 20
    assert width_of("ab", 10) == pytest.approx(11.2)


def test_capitals_and_arrows_are_wider_than_small_letters() -> None:
    assert width_of("DIAGNOSIS", 10) > width_of("diagnosis", 10)
    assert width_of("→", 10) > width_of("a", 10)


@given(st.text(max_size=60), st.floats(12, 300))
def test_shortened_text_fits_its_room(text: str, room: float) -> None:
    short = shorten(text, room)
    assert short == text or (short.endswith("…") and width_of(short) <= max(room, width_of("…")))


def test_canvas_escapes_text_and_attributes() -> None:
    canvas = Canvas(10, 10, '"><script>1</script>')
    canvas.text(1, 2, "</text><script>", kind='a"b')
    page = Page(str(canvas.svg()))
    assert page.tags == ["", "svg", "text"]
    assert page.root.all("text")[0].text == "</text><script>"
    assert page.root.children[0].attributes["aria-label"] == '"><script>1</script>'


@pytest.mark.parametrize(("share", "width"), [(0, "0"), (0.5, "50"), (1, "100"), (1.7, "100"), (-1, "0")])
def test_bar_is_as_long_as_its_share(share: float, width: str) -> None:
    rects = Page(str(bar(share))).root.all("rect")
    assert rects[1].attributes["width"] == width


def test_stacked_bar_fills_its_width_and_shows_small_parts() -> None:
    parts = [("a", "A", 900), ("b", "B", 99), ("c", "C", 1), ("d", "D", 0)]
    rects = Page(str(stacked(parts, "rows"))).root.all("rect")
    assert [rect.attributes["class"] for rect in rects] == ["a", "b", "c"], "a part without rows has no bar"
    assert float(rects[2].attributes["width"]) == 2, "one row in a thousand can be seen"
    assert float(rects[1].attributes["x"]) == 900
