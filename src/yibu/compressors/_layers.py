"""Layers that do little, and a model without them.

Legend: T tokens of a row, H width of what passes from layer to layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from yibu.core.errors import InputError
from yibu.core.progress import track

# Keys of transformers configs that hold one value for each layer.
_PER_LAYER = ("layer_types", "mlp_layer_types", "no_rope_layers")
_DENSE_FIRST = "first_k_dense_replace"  # so many layers at the bottom have no experts


def influences(model: Any, rows: Sequence[Sequence[int]]) -> list[float]:
    """Block influence of each layer (Men et al. 2024, arXiv 2403.03853): 1 - cosine of what goes in and what comes out.

    Mean over all tokens of the rows. A layer that turns nothing has 0.
    """
    import torch

    layers = layers_of(model)
    turned, num_tokens = [0.0] * len(layers), 0
    begins: dict[int, Any] = {}

    def before(number: int) -> Any:
        def listen(module: Any, inputs: Any, keywords: Any) -> None:
            begins[number] = inputs[0] if inputs else keywords["hidden_states"]

        return listen

    def behind(number: int) -> Any:
        def listen(module: Any, inputs: Any, output: Any) -> None:
            # [1, T, ...]: architectures with several streams between layers (V4) are taken as one wide one.
            one_TH, other_TH = (
                side.flatten(0, 1).flatten(1).float()
                for side in (begins.pop(number), output[0] if isinstance(output, tuple) else output)
            )
            turned[number] += float((1 - torch.cosine_similarity(one_TH, other_TH, dim=-1)).sum())

        return listen

    handles = [layer.register_forward_pre_hook(before(n), with_kwargs=True) for n, layer in enumerate(layers)]
    handles += [layer.register_forward_hook(behind(n)) for n, layer in enumerate(layers)]
    try:
        with torch.no_grad(), track("influence of layers", total=len(rows)) as bar:
            for row in rows:
                model.get_decoder()(input_ids=torch.tensor([list(row)]), use_cache=False)
                num_tokens += len(row)
                bar.advance()
    finally:
        for handle in handles:
            handle.remove()
    return [value / num_tokens for value in turned]


def drop_layers(model: Any, scores: Sequence[float], count: int) -> list[int]:
    """Take the `count` layers of least influence out of the model and its config; their numbers.

    Raises:
        InputError: no layer would be left.
    """
    from torch import nn

    layers = layers_of(model)
    if count >= len(layers):
        raise InputError(
            "More layers are to be dropped than can be.",
            got=f"layers: {count}",
            allowed=f"1 to {len(layers) - 1}, for this base has {len(layers)}",
        )
    gone = sorted(sorted(range(len(layers)), key=lambda number: scores[number])[:count])
    kept = [number for number in range(len(layers)) if number not in gone]
    model.get_decoder().layers = nn.ModuleList(layers[number] for number in kept)
    for new, number in enumerate(kept):
        for module in layers[number].modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = new
    config = model.config.get_text_config()
    for key in _PER_LAYER:
        values = getattr(config, key, None)
        if isinstance(values, list) and len(values) == len(layers):
            setattr(config, key, [values[number] for number in kept])
    dense = getattr(config, _DENSE_FIRST, None)
    if isinstance(dense, int):
        setattr(config, _DENSE_FIRST, sum(number < dense for number in kept))
    config.num_hidden_layers = len(kept)
    return gone


def layers_of(model: Any) -> Any:
    """The decoder's layers, from the bottom up.

    Raises:
        InputError: an architecture that keeps them elsewhere.
    """
    layers = getattr(model.get_decoder(), "layers", None)
    if layers is None:
        raise InputError("This architecture does not say where its layers are.", got=type(model).__name__)
    return layers
