"""Marks of systems."""

from __future__ import annotations

from yibu.evaluate.report.marks import legend_mark, system_class


def test_base_and_tuned_keep_their_class_whatever_the_order() -> None:
    systems = ["svm", "tuned", "copy", "base"]
    assert [system_class(name, systems) for name in systems] == ["s-1", "s-tuned", "s-2", "s-base"]


def test_systems_differ_in_shape() -> None:
    shapes = {str(legend_mark(kind)).replace(kind, "") for kind in ("s-base", "s-tuned", "s-1", "s-2", "s-3", "s-4")}
    assert len(shapes) == 6
