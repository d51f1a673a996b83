"""Which layers a setting means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.adapters._layers import chosen_layers, layer_of
from yibu.core.errors import RecipeError


@given(st.integers(1, 90), st.data())
def test_every_form_says_the_same_layers(depth: int, data: st.DataObject) -> None:
    top = data.draw(st.integers(1, depth))
    expected = frozenset(range(depth - top, depth))
    assert chosen_layers(f"top-{top}", depth) == expected
    assert chosen_layers(f"{depth - top}-{depth - 1}", depth) == expected
    assert chosen_layers(tuple(sorted(expected)), depth) == expected
    assert chosen_layers("all", depth) == frozenset(range(depth))


@given(st.integers(1, 90), st.integers(1, 90))
def test_no_form_reaches_beyond_the_depth(depth: int, more: int) -> None:
    for layers in (f"top-{depth + more}", f"0-{depth + more - 1}", (depth + more - 1,)):
        with pytest.raises(RecipeError, match="beyond the depth") as caught:
            chosen_layers(layers, depth)
        assert f"0 to {depth - 1}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("model.layers.12.self_attn.q_proj", 12),
        ("model.layers.3.mlp.experts.7.up_proj", 3),
        ("transformer.h.0.mlp", 0),
        ("lm_head", None),
        ("model.embed_tokens.weight", None),
    ],
)
def test_layer_of_a_name(name: str, layer: int | None) -> None:
    assert layer_of(name) == layer
