"""Marks of systems: base, tuned and baselines differ in shape as well as in colour."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from yibu.pages.svg import Canvas, plain


def system_class(name: str, systems: Sequence[str]) -> str:
    """CSS class of a system: base and tuned keep theirs, baselines are numbered."""
    if name in ("base", "tuned"):
        return f"s-{name}"
    others = [other for other in systems if other not in ("base", "tuned")]
    return f"s-{(others.index(name) if name in others else 0) % 4 + 1}"


def legend_mark(kind: str) -> Markup:
    """The mark of a system alone, for tables."""
    canvas = Canvas(14, 14, "")
    draw_mark(canvas, 7, 7, kind)
    return Markup('<svg class="mark" aria-hidden="true" width="14" height="14" viewBox="0 0 14 14">') + Markup(
        "".join(canvas.parts) + "</svg>"
    )


def draw_mark(canvas: Canvas, x: float, y: float, kind: str) -> None:
    """Systems differ in shape as well as in colour."""
    shapes = {
        "s-1": [(-4.6, -4.6), (4.6, -4.6), (4.6, 4.6), (-4.6, 4.6)],
        "s-2": [(0, -6.2), (6.2, 0), (0, 6.2), (-6.2, 0)],
        "s-3": [(0, -5.8), (5.6, 4.4), (-5.6, 4.4)],
        "s-4": [(0, 5.8), (5.6, -4.4), (-5.6, -4.4)],
    }
    if kind in shapes:
        corners = " ".join(f"{plain(x + dx)},{plain(y + dy)}" for dx, dy in shapes[kind])
        canvas.add("polygon", f"dot {kind}", points=corners)
    else:
        canvas.add("circle", f"dot {kind}", cx=x, cy=y, r=5.4 if kind == "s-tuned" else 4.6)
