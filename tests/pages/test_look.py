"""Colours that can be told apart in light, in dark and on paper; the ground that every page stands on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from yibu import pages


def _palettes() -> dict[str, dict[str, str]]:
    style = (Path(pages.__file__).parent / "base.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    assert len(blocks) == 3
    named = [dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6})", block)) for block in blocks]
    assert named[0].keys() == named[1].keys() == named[2].keys()
    return dict(zip(("light", "dark", "print"), named, strict=True))


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", ["light", "dark", "print"])
def test_contrast_meets_wcag_aa(palette: str) -> None:
    colours = _palettes()[palette]
    grounds = ("paper", "panel", "good-panel", "bad-panel", "warn-panel", "neutral-panel")
    pairs = [(text, ground, 4.5) for text in ("ink", "muted") for ground in grounds]
    pairs += [(text, "paper", 4.5) for text in ("tuned", "good", "bad", "warn")] + [("on-tuned", "tuned", 4.5)]
    pairs += [(mark, "paper", 3.0) for mark in ("tuned", "base", "one", "two", "three", "four")]  # graphics: 3
    for text, ground, least in pairs:
        light, dark = sorted((_luminance(colours[text]), _luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, f"{text} on {ground}"


def test_what_is_put_into_a_page_is_escaped_and_a_missing_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.html.j2").write_text("<p>{{ name }}</p>", encoding="utf-8")
    page = pages.template(tmp_path)
    assert page.render(name="<script>") == "<p>&lt;script&gt;</p>"
    with pytest.raises(UndefinedError):
        page.render()


def test_a_page_may_use_the_common_pieces(tmp_path: Path) -> None:
    text = '{% from "macros.html.j2" import pairs %}{{ pairs([("a", "b<")]) }}'
    (tmp_path / "page.html.j2").write_text(text, encoding="utf-8")
    assert "<dt>a</dt><dd>b&lt;</dd>" in pages.template(tmp_path).render()


def test_half_a_surrogate_pair_does_not_cost_the_page() -> None:
    assert pages.valid_utf8("心\ud83d.") == "心?."


@pytest.mark.parametrize(
    ("name", "html"),
    [
        ("card_payment_fee", "card_<wbr>payment_<wbr>fee"),
        ("a/b", "a/<wbr>b"),
        ("<b>_&", "&lt;b&gt;_<wbr>&amp;"),
        ("呼吸内科", "呼吸内科"),
        ("", ""),
    ],
)
def test_names_may_be_broken_after_their_joints_only(name: str, html: str) -> None:
    assert pages.breakable(name) == html
