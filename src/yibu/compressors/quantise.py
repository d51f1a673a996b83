"""Weights of linear layers in fewer bits, in forms that plain transformers (and vLLM) loads.

``int8`` and ``int4`` have a symmetric step per group, in the form of compressed-tensors (``pack-quantized``): rounded
to the nearest, where in 4 bits the step of each group is the one of several that loses least; or by GPTQ (Frantar et
al. 2022, arXiv 2210.17323) on rows of train. ``nf4`` is that of bitsandbytes (Dettmers et al. 2023, arXiv 2305.14314).

The routed experts of a mixture are rounded one by one, where transformers fuses them to one weight too; bitsandbytes
leaves those whole. Embedding and output layer stay in bf16 unless they are asked for; norms, routers and layers that
transformers keeps out of fewer bits always do, and in fp32 where it reads them so.
"""

from __future__ import annotations

import importlib.util
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from yibu.compressors import Calibration, narrow
from yibu.compressors._gptq import products_before_head, round_layers
from yibu.compressors._packed import Steps, pack_folder, steps_on_disk
from yibu.compressors._rounding import gptq, nearest
from yibu.core.architecture import Facts
from yibu.core.errors import InputError, MissingExtra
from yibu.core.log import get
from yibu.core.recipe import Settings as BaseSettings

log = get("quantise")
CHANGES = "bits"
_NF4_BLOCK = 64
_LAYER = ".layers."
_EXPERT = re.compile(r"\.experts\.\d+\.")
_FUSED = (".gate_up_proj", ".down_proj")  # weights in which transformers fuses routed experts


class Settings(BaseSettings):
    """How many bits, in which form, rounded how."""

    kind: Literal["quantise"] = "quantise"
    scheme: Literal["int8", "int4", "nf4"] = Field("int4", description="nf4 needs bitsandbytes wherever it is loaded")
    group: Literal[32, 64, 128] = Field(32, description="weights of a row that share a scale, for int8 and int4")
    method: Literal["nearest", "gptq"] = Field(
        "nearest", description="gptq: later weights make up for earlier ones, on train rows; for int8 and int4"
    )
    act_order: bool = Field(False, description="gptq takes the columns of the largest inputs first")
    embedding: bool = Field(
        False,
        description="embedding and output layer too, in as many bits, since plain transformers reads one number",
    )
    expert_tokens: int = Field(
        128,
        ge=1,
        description="tokens that gptq wants each routed expert to see: rows are added while there are any",
    )

    @model_validator(mode="after")
    def _of_one_form(self) -> Self:
        if self.scheme == "nf4" and (self.method != "nearest" or self.embedding):
            raise ValueError(
                "nf4 is rounded by bitsandbytes, linear layers alone; gptq and embedding need int4 or int8"
            )
        if self.act_order and self.method != "gptq":
            raise ValueError("act_order is an order of gptq; say method: gptq")
        return self


def bits(settings: Settings) -> int:
    """Of a weight."""
    return 8 if settings.scheme == "int8" else 4


def compress(model: Any, settings: Settings, facts: Facts, calibration: Calibration) -> dict[str, Any]:
    """Round the weights; those of ``nf4`` are rounded when they are saved. Rows are looked at for GPTQ alone.

    Raises:
        MissingExtra: the package of the form is missing.
        InputError: the group does not divide the rows of a layer, or there is no linear layer to quantise.
    """
    linears, ends, fused = _linears(model, facts), _ends(model) if settings.embedding else [], _fused(model)
    if settings.scheme == "nf4":
        linears, fused = _plain(model, linears), []
    if not linears:
        raise InputError("There is no linear layer that could be quantised.", got=type(model).__name__)
    _require("bitsandbytes" if settings.scheme == "nf4" else "compressed_tensors")
    shapes = {name: model.get_submodule(name).weight.shape for name in [*linears, *ends]}
    shapes |= {name: model.get_parameter(name).shape for name in fused}
    _check_rows(shapes, settings)
    total = sum(parameter.numel() for parameter in model.parameters())
    told: dict[str, Any] = {"scheme": settings.scheme, "method": settings.method, "layers": len(shapes)}
    told |= {"weights": sum(shape.numel() for shape in shapes.values()), "of": total}
    if settings.scheme != "nf4":
        model.yibu_scales, coverage = _round(model, settings, linears, ends, fused, calibration)
        told |= {} if coverage is None else {"coverage": coverage}
    return told


def save(model: Any, folder: Path, settings: Settings) -> None:
    """A Hugging Face folder whose config says how its weights are to be read.

    Raises:
        InputError: the form of compressed-tensors cannot be written for this architecture.
    """
    import torch

    with tempfile.TemporaryDirectory(prefix=".yibu-", dir=folder.parent) as name:
        place = Path(name)
        if settings.scheme != "nf4":
            narrow(model, torch.bfloat16).save_pretrained(place)
            steps = steps_on_disk(model, model.yibu_scales)
            _check_packed(model, steps, pack_folder(place, folder, steps, bits(settings)))
            _write_form(folder / "config.json", [one.owner for one in steps.values()], settings)
            return
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig

        how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
        model.save_pretrained(place)
        rounded = AutoModelForCausalLM.from_pretrained(
            place, quantization_config=how, dtype=torch.bfloat16, local_files_only=True, use_safetensors=True
        )
        rounded.save_pretrained(folder)


def _linears(model: Any, facts: Facts) -> list[str]:
    """Names of the linear layers, without output layer, routers, and those that transformers leaves whole, too."""
    from torch import nn

    head = model.get_output_embeddings()
    roles = {name: facts.role_of(name) for name, _ in model.named_modules()}
    # What its makers ship in 16 bits where all else has 8: V4's compressor and indexer, which choose and merge keys.
    whole = [f".{part}." for part in getattr(model, "_keep_in_fp32_modules", None) or ()]
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module is not head
        and getattr(roles[name], "kind", None) != "router"
        and not any(part in f".{name}." for part in whole)
    ]


def _plain(model: Any, names: Sequence[str]) -> list[str]:
    """Layers that multiply all of their input by all of their weight: not V4's output projection, by groups."""
    from torch import nn

    return [name for name in names if type(model.get_submodule(name)) is nn.Linear]


def _head(model: Any) -> str:
    """Name of the module whose weight is that of the output layer: itself, or the embedding that it is tied to."""
    weight = (model.get_output_embeddings() or model.get_input_embeddings()).weight
    names: list[str] = [name for name, one in model.named_modules() if getattr(one, "weight", None) is weight]
    return names[0]


def _ends(model: Any) -> list[str]:
    """Names of the embedding, and of an output layer with a weight of its own."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is None or head.weight is embedding.weight
    return [name for name, module in model.named_modules() if module is embedding or (module is head and not tied)]


def _fused(model: Any) -> list[str]:
    """Names of the weights of routed experts ``[E, R, C]``."""
    return [name for name, one in model.named_parameters() if one.dim() == 3 and name.endswith(_FUSED)]


def _round(
    model: Any,
    settings: Settings,
    linears: Sequence[str],
    ends: Sequence[str],
    fused: Sequence[str],
    given: Calibration,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Round in place; the steps by module, those of fused experts as one, and how many tokens the experts saw."""
    import torch

    scales: dict[str, Any] = {}

    def keep(name: str, weight_RC: Any, scale_RN: Any) -> Any:
        scales[name] = scale_RN
        return weight_RC

    def to_nearest(name: str, weight_RC: Any) -> Any:
        return keep(name, *nearest(weight_RC, bits(settings), settings.group))

    def by_inputs(name: str, weight_RC: Any, hessian_CC: Any, num_tokens: int) -> Any:
        if hessian_CC is None or len(hessian_CC) != weight_RC.shape[1]:  # not asked, or a layer of another product
            return to_nearest(name, weight_RC)
        made = gptq(weight_RC, hessian_CC, bits(settings), settings.group, settings.act_order, num_tokens)
        return keep(name, *made)

    coverage = None
    if settings.method == "gptq":
        mixtures = sorted({name.rpartition(".")[0] for name in fused})
        inside = [name for name in _plain(model, linears) if _LAYER in f".{name}"]
        seen = round_layers(model, given.rows, inside, mixtures, by_inputs)
        coverage = _coverage(seen, settings.expert_tokens)
        head = _head(model)
        if head in ends:  # a tied embedding is rounded for what it does at the end: that is where the error counts
            module = model.get_submodule(head)
            products_CC = products_before_head(model, given.rows)
            module.weight.data = by_inputs(head, module.weight.data, products_CC, sum(map(len, given.rows)))
    for name in [*linears, *ends]:
        if name not in scales:
            module = model.get_submodule(name)
            module.weight.data = to_nearest(name, module.weight.data)
    for name in fused:
        owner, _, own = name.rpartition(".")
        weight_ERC = model.get_parameter(name).data
        for expert in range(len(weight_ERC) if settings.method == "nearest" else 0):
            weight_ERC[expert] = to_nearest(f"{owner}.{expert}.{own}", weight_ERC[expert])
        scales[name] = torch.stack([scales.pop(f"{owner}.{expert}.{own}") for expert in range(len(weight_ERC))])
    return scales, coverage


def _coverage(seen: Mapping[str, Sequence[int]], wanted: int) -> dict[str, Any] | None:
    """How many calibration tokens the routed experts were sent; said, since an expert without is only rounded."""
    counts = sorted(count for layer in seen.values() for count in layer)
    if not counts:
        return None
    enough = sum(count >= wanted for count in counts)
    log.info(
        "experts: %d of %d saw %d calibration tokens or more (least %d, median %d)",
        *(enough, len(counts), wanted, counts[0], counts[len(counts) // 2]),
    )
    return {
        "experts": len(counts),
        "enough": enough,
        "wanted": wanted,
        "least": counts[0],
        "median": counts[len(counts) // 2],
    }


def _check_packed(model: Any, steps: Mapping[str, Steps], packed: Sequence[str]) -> None:
    """Every rounded weight is in the file, as a matrix of its own.

    Raises:
        InputError: transformers writes this architecture in other forms.
    """
    if lost := sorted(set(steps) - set(packed)):
        raise InputError(
            "transformers writes weights of this architecture in another form than one matrix for each layer and "
            "expert, so they cannot be packed.",
            got=f"{type(model).__name__}; {len(lost)} weights, among them {lost[0]}",
            allowed="architectures whose files have each layer and each routed expert as a matrix of its own",
            do="leave compress.quantise out, or quantise in another format that knows the architecture",
        )


def _write_form(path: Path, packed: Sequence[str], settings: Settings) -> None:
    """What readers need to know; the experts by one pattern, for there are tens of thousands of them."""
    experts = [name for name in packed if _EXPERT.search(name)]
    parts = "|".join(sorted({name.rpartition(".")[2] for name in experts}))
    targets = sorted(set(packed) - set(experts)) + ([rf"re:.*\.experts\.\d+\.({parts})$"] if experts else [])
    weights = {"num_bits": bits(settings), "type": "int", "strategy": "group", "group_size": settings.group}
    table = json.loads(path.read_text(encoding="utf-8"))
    table["quantization_config"] = {
        "format": "pack-quantized",
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"targets": targets, "weights": {**weights, "symmetric": True}}},
        "quantization_status": "compressed",
        # transformers 5.23 with compressed-tensors 0.20 has no forward pass on packed weights: they are unpacked when
        # loaded.
        "dequantize": True,
    }
    path.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        if package == "bitsandbytes":
            raise MissingExtra("bitsandbytes", extra="qlora", use="compress.quantise: nf4")
        raise MissingExtra("compressed-tensors", extra="quantise", use="compress.quantise: int8 or int4")


def _check_rows(shapes: Mapping[str, Any], settings: Settings) -> None:
    """Groups lie within a row; bitsandbytes on a CPU needs that of its blocks, too, and fails on others when asked."""
    group = _NF4_BLOCK if settings.scheme == "nf4" else settings.group
    odd = sorted(name for name, shape in shapes.items() if shape[-1] % group)
    if odd:
        raise InputError(
            "The group does not divide the rows of these layers.",
            got=f"{settings.scheme} in groups of {group}; {len(odd)} layers, among them {odd[0]}",
            allowed=f"rows whose length is a multiple of {group}",
            do="say compress: {quantise: {scheme: int4, group: 32}}",
        )
