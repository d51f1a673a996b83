"""A base as the graph that openvino-genai runs: traced from transformers, with keys and values as its state.

openvino-genai puts its paged attention where it finds transformers' own (a state, what is new behind it, a scaled dot
product), and LoRA where names of matrices are those of PEFT. The graph that is written is asked the same as the model,
and is not kept if it answers something else: what a tracer cannot see (a choice of experts) is lost in silence.

Run as ``python -m yibu.engines._stateful MODEL OUT``, so that the memory of torch is given back.

Legend: B rows, T new tokens, S tokens with those before, P tokens before, H heads, D width of a head.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from yibu.core.errors import InputError, YibuError

LINEARS = "linears.json"
"""Names of the matrices that a LoRA may be put on."""

_LARGEST_DIFFERENCE = 1e-2
_OTHER = "the engines transformers and llamacpp run it"


def convert(model: Path, place: Path) -> None:
    """Write the graph of a Hugging Face folder, in a process of its own.

    Args:
        place: gets ``openvino_model.xml`` and ``.bin``, ``config.json`` and `LINEARS`.

    Raises:
        InputError: OpenVINO cannot express the architecture.
    """
    place.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "yibu.engines._stateful", str(model), str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise InputError(
            "OpenVINO cannot run this base as transformers does.",
            got=lines[-1] if lines else f"exit code {done.returncode}",
            allowed="dense models with plain attention, such as Llama and Qwen2",
            do=_OTHER,
        )


def write(model: Path, place: Path) -> None:
    """Body of the process.

    Raises:
        YibuError: the architecture keeps more than keys and values, or the graph does not answer as the model does.
    """
    import openvino
    import torch

    from yibu.model.resolve import load_model

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    network = load_model(model, torch.float32, attn_implementation="sdpa")
    kinds = sorted(set(getattr(network.config.get_text_config(), "layer_types", None) or ["full_attention"]))
    if kinds != ["full_attention"]:
        raise YibuError(f"layers of the kinds {', '.join(kinds)}")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, about shapes that are the same for every request
        graph = _traced(network)
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    openvino.save_model(graph, place / "openvino_model.xml", compress_to_fp16=dtype != "float32")
    del graph
    _compare(network, place)
    names = [node.get_friendly_name() for node in openvino.Core().read_model(place / "openvino_model.xml").get_ops()]
    prefix, suffix = "__module.network.", "/aten::linear/MatMul"
    linears = [name[len(prefix) : -len(suffix)] for name in names if name.startswith(prefix) and name.endswith(suffix)]
    (place / LINEARS).write_text(json.dumps(sorted(linears)), encoding="utf-8")
    shutil.copyfile(model / "config.json", place / "config.json")


def _traced(network: Any) -> Any:
    """The graph with ids ``[B, T]``, mask ``[B, S]``, positions ``[B, T]`` and rows to go on with ``[B]`` as inputs."""
    import openvino
    import torch
    from openvino._offline_transformations import apply_make_stateful_transformation
    from transformers import DynamicCache

    cache = DynamicCache()
    network(input_ids=torch.zeros((1, 3), dtype=torch.long), past_key_values=cache, use_cache=True)
    past = [part.repeat(2, 1, 1, 1) for layer in cache.layers for part in (layer.keys, layer.values)]  # [B, H, P, D]
    example = {
        "input_ids": torch.zeros((2, 5), dtype=torch.long),
        "attention_mask": torch.ones((2, 8), dtype=torch.long),
        "position_ids": torch.arange(3, 8).repeat(2, 1),
        "beam_idx": torch.arange(2, dtype=torch.int32),
        "past": past,
    }
    graph = openvino.convert_model(_module(network), example_input=example)
    for node, name in zip(graph.inputs[:4], example, strict=False):
        node.get_tensor().set_names({name})
        node.get_node().set_partial_shape(openvino.PartialShape([-1] * (1 if name == "beam_idx" else 2)))
    graph.outputs[0].get_tensor().set_names({"logits"})
    states = {}
    for place, (before, after, part) in enumerate(zip(graph.inputs[4:], graph.outputs[1:], past, strict=True)):
        name = f"{place // 2}.{('key', 'value')[place % 2]}"
        before.get_tensor().set_names({f"past_key_values.{name}"})
        after.get_tensor().set_names({f"present.{name}"})
        before.get_node().set_partial_shape(openvino.PartialShape([-1, part.shape[1], -1, part.shape[3]]))
        states[f"past_key_values.{name}"] = f"present.{name}"
    graph.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(graph, states)
    _begin_empty(graph)
    return graph


def _module(network: Any) -> Any:
    import torch
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    class Graph(torch.nn.Module):
        """What is traced; plain arguments, since a graph has no caches."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: Any, attention_mask: Any, position_ids: Any, beam_idx: Any, past: Any) -> Any:
            cache = DynamicCache()
            for keys, values in zip(past[::2], past[1::2], strict=True):
                layer = DynamicLayer()
                layer.keys, layer.values = keys.index_select(0, beam_idx), values.index_select(0, beam_idx)
                layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
                cache.layers.append(layer)
            places = torch.arange(attention_mask.shape[1])
            mine = places[attention_mask.shape[1] - input_ids.shape[1] :]
            seen_BTS = (places[None] <= mine[:, None])[None] & (attention_mask[:, None] > 0)
            hidden = torch.zeros(seen_BTS.shape).masked_fill(~seen_BTS, torch.finfo(torch.float32).min)[:, None]
            output = self.network(
                input_ids=input_ids,
                position_ids=position_ids,
                attention_mask=hidden,
                past_key_values=cache,
                use_cache=True,
            )
            return (output.logits, *(part for layer in cache.layers for part in (layer.keys, layer.values)))

    return Graph()


def _begin_empty(graph: Any) -> None:
    """Give each state its first value, no token at all: openvino-genai takes for attention only what has one."""
    import numpy as np
    from openvino import opset13

    rows = opset13.gather(
        opset13.shape_of(graph.input("input_ids"), output_type="i64"), opset13.constant([0]), opset13.constant(0)
    )
    for node in graph.get_ops():
        if node.get_type_name() == "ReadValue":
            _, *widths = (size.min_length for size in node.get_output_partial_shape(0))
            parts = [rows, *(opset13.constant(np.array([width], np.int64)) for width in widths)]
            nothing = opset13.constant(0.0, dtype=node.get_output_element_type(0))
            node.set_arguments([opset13.broadcast(nothing, opset13.concat(parts, axis=0))])
    graph.validate_nodes_and_infer_types()


def _compare(network: Any, place: Path) -> None:
    """
    Raises:
        YibuError: the graph does not answer as the model does, to prompts of other lengths than that of the tracing.
    """
    import numpy as np
    import openvino
    import torch

    options = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "INFERENCE_NUM_THREADS": 1}
    request = openvino.Core().compile_model(place / "openvino_model.xml", "CPU", options).create_infer_request()
    chance = torch.Generator().manual_seed(0)
    for width in (7, 19):
        ids = torch.randint(network.get_input_embeddings().weight.shape[0], (1, width), generator=chance)
        with torch.no_grad():
            expected = network(input_ids=ids).logits.log_softmax(-1)
        request.reset_state()
        found, begin = [], 0
        for end in (width - 2, width):  # a prompt, and what goes on behind it
            inputs = {
                "input_ids": ids[:, begin:end].numpy(),
                "attention_mask": np.ones((1, end), np.int64),
                "position_ids": np.arange(begin, end)[None],
                "beam_idx": np.zeros(1, np.int32),
            }
            found.append(torch.from_numpy(np.array(request.infer(inputs)["logits"])))
            begin = end
        apart = float((torch.cat(found, 1).log_softmax(-1) - expected).abs().max())
        if not apart < _LARGEST_DIFFERENCE:
            raise YibuError(f"log probabilities that are {apart:.2g} apart from those of transformers")


if __name__ == "__main__":
    try:
        write(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # the tracer and the converter raise whatever they like; the last line is what is told
        said = error.what if isinstance(error, YibuError) else str(error).strip().splitlines()[-1:]
        sys.exit(f"{type(error).__name__}: {said if isinstance(said, str) else ''.join(said)}")
