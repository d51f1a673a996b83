"""The network of a base as a graph of OpenVINO: keys and values go in and come out, attention is told by a mask."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from yibu.core.errors import InputError, MissingExtra

_OTHER = "safetensors, gguf, vllm or triton carry it"


def save_network(model: Path, place: Path, half: bool) -> dict[str, Any]:
    """Write ``network.xml`` and ``network.bin``.

    The graph takes ids ``[B, T]``, positions ``[B, T]``, what is added to the scores of attention ``[B, 1, T, S]``,
    places ``[K]`` in ``[B * T]``, tokens ``[N]``, and keys and values of each layer ``[B, H, P, D]``; it gives
    ``log p`` of the tokens behind each place ``[K, N]``, and the keys and values of the T tokens.

    Args:
        model: Hugging Face folder.
        half: weights in fp16.

    Returns:
        ``vocabulary``, the tokens that the head has, and ``kept``, the heads and width of each kept array.

    Raises:
        MissingExtra: openvino is not installed.
        InputError: the architecture keeps more than keys and values, or OpenVINO cannot express it.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra("openvino", extra="openvino", use="exporting to OpenVINO") from error
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, local_files_only=True).eval()
    kinds = sorted(set(getattr(network.config.get_text_config(), "layer_types", None) or ["full_attention"]))
    if kinds != ["full_attention"]:
        raise InputError("Layers that see a window or keep a state are not exported to OpenVINO.", got=kinds, do=_OTHER)
    ids = torch.zeros((1, 3), dtype=torch.long)
    cache = DynamicCache()
    with torch.no_grad():
        network(input_ids=ids, past_key_values=cache, use_cache=True)
    past = [part.repeat(2, 1, 1, 1) for layer in cache.layers for part in (layer.keys, layer.values)]
    example = {
        "ids": torch.zeros((2, 5), dtype=torch.long),
        "positions": torch.arange(3, 8).repeat(2, 1),
        "mask": torch.zeros(2, 1, 5, 8),
        "places": torch.tensor([1, 3, 7]),
        "tokens": torch.tensor([0, 1]),
        "past": past,
    }
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the tracer, about shapes that are the same for every request
            graph = openvino.convert_model(_graph_of(network), example_input=example)
    except Exception as error:  # the tracer and the converter raise whatever they like
        raise InputError(
            f"OpenVINO cannot express the architecture {network.config.model_type!r}.",
            got=f"{type(error).__name__}: {str(error).strip().splitlines()[0]}",
            do=_OTHER,
        ) from error
    openvino.save_model(graph, place / "network.xml", compress_to_fp16=half)
    kept = [[part.shape[1], part.shape[3]] for part in past]
    return {"vocabulary": int(network.get_output_embeddings().weight.shape[0]), "kept": kept}


def _graph_of(network: Any) -> Any:
    import torch
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    from yibu.exporters._network import log_probs_of

    class Graph(torch.nn.Module):
        """What is traced; plain arguments, since a graph has no caches."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Any, positions: Any, mask: Any, places: Any, tokens: Any, past: list[Any]) -> Any:
            cache, before = DynamicCache(), past[0].shape[2]
            for keys, values in zip(past[::2], past[1::2], strict=True):
                layer = DynamicLayer()
                layer.keys, layer.values, layer.dtype, layer.device = keys, values, keys.dtype, keys.device
                layer.is_initialized = True
                cache.layers.append(layer)
            found = log_probs_of(self.network, cache, ids, positions, mask, places).index_select(1, tokens)
            kept = [part for layer in cache.layers for part in (layer.keys, layer.values)]
            return (found, *(part[:, :, before:] for part in kept))

    return Graph()
