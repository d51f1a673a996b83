"""The mark of a base that an adapter carries, so that it is not put on another one.

A LoRA of one Llama fits any other of the same size, tensor by tensor, and answers nonsense without an error. The mark
is the shape of the base and a few hundred numbers of its embedding, which no adapter here changes but `full`; they are
compared by their cosine, so that a base in 16 or 8 bits is still known as itself. Two tunings of one base have nearly
the same embedding and are not told apart by it; the digest of the base's files, which every run records, does that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yibu.core.errors import BaseModelError

KEY = "yibu"
NUM_SAMPLES = 256
_ALIKE = 0.98  # weights in 4 bits (relative error about 0.1) keep a cosine above 0.99; unrelated ones are near 0


def mark_of(model: Any) -> dict[str, Any]:
    """The mark of a base: plain JSON values.

    Args:
        model: a transformers causal model, or an adapted one around it.
    """
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = causal.config.get_text_config()
    return {
        "model_type": str(config.model_type),
        "hidden_size": int(config.hidden_size),
        "num_layers": int(config.num_hidden_layers),
        "embedding": _samples(causal),
    }


def check_mark(model: Any, mark: dict[str, Any] | None) -> None:
    """Refuse a base that an adapter was not trained on; an adapter without a mark (another tool's) passes.

    Raises:
        BaseModelError: another architecture, another size, or other weights.
    """
    if mark is None:
        return
    found = mark_of(model)
    for key, what in (("model_type", "architecture"), ("hidden_size", "hidden size"), ("num_layers", "layers")):
        if found[key] != mark[key]:
            raise BaseModelError(
                "The adapter was trained on a base of another kind.",
                got=f"{what}: {found[key]}",
                allowed=f"{what}: {mark[key]}",
                do="load it on the base it was trained on",
            )
    if mark["embedding"] and found["embedding"] and _cosine(found["embedding"], mark["embedding"]) < _ALIKE:
        raise BaseModelError(
            "The adapter was trained on another checkpoint of this architecture: its answers would be wrong.",
            got=f"{found['model_type']} with {found['num_layers']} layers and other weights",
            allowed="the checkpoint that it was trained on, in any number of bits",
            do="load it on the base it was trained on",
        )


def read_header(path: Path) -> dict[str, Any]:
    """What yibu wrote into the header of a safetensors file; empty for a file of another tool."""
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        text = (file.metadata() or {}).get(KEY)
    table = json.loads(text) if text else {}
    return table if isinstance(table, dict) else {}


def write_tensors(tensors: dict[str, Any], path: Path, table: dict[str, Any]) -> None:
    """Write safetensors with a table in the header; loaders of other tools ask for ``format`` and pass over the rest.

    The bytes are the same for the same content: safetensors writes the keys of its metadata in the order of a hash
    table, so they are sorted afterwards, which changes no length.
    """
    from safetensors.torch import save_file

    text = json.dumps(table, sort_keys=True)
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(kept, path, metadata={"format": "pt", KEY: text})
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(length))
        head["__metadata__"] = dict(sorted(head["__metadata__"].items()))
        plain = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(plain) <= length
        file.seek(8)
        file.write(plain.ljust(length))


def _samples(causal: Any) -> list[float]:
    import torch

    weight = causal.get_input_embeddings().weight
    if weight.is_meta:
        return []
    flat = weight.detach().reshape(-1)
    places = torch.linspace(0, flat.numel() - 1, NUM_SAMPLES, dtype=torch.float64).long()
    return [round(float(value), 6) for value in flat[places.to(flat.device)].float().cpu()]


def _cosine(left: list[float], right: list[float]) -> float:
    if len(left) != len(right):
        return 0.0
    product = sum(a * b for a, b in zip(left, right, strict=True))
    norms = sum(a * a for a in left) * sum(b * b for b in right)
    return 1.0 if norms == 0 else float(product / norms**0.5)
