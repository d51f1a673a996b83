"""Expert-specialised tuning (ESFT): the experts that a task uses are trained, everything else stays as it is.

Wang et al. 2024, "Let the Expert Stick to His Last" (arXiv 2407.01906). Experts are scored on a sample of the training
rows (`yibu.model.experts`), and in each layer the smallest set whose share of the scores reaches ``p`` is chosen. The
chosen ones are trained whole (``method: whole``, the paper's way) or by a low-rank update (``method: lora``).

transformers keeps all experts of a layer in two tensors ``[num_experts, out, in]``, so a mask on the gradient would not
do: weight decay would still move the experts that are masked. Here the tensors of the base are never written. What is
trained is a difference to them, for the chosen experts alone, in parameters of its own; it begins at zero, weight decay
pulls it back to the base, and it is what is saved. The forward pass is in `yibu.adapters._chosen`.

Beside the contract of the family there are ``needs_scores``, ``with_scores`` and ``foreseen``, because a plan needs a
choice, and a choice needs forward passes over the rows. ``adapted`` and ``check`` read off a model what is trained.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from yibu.adapters import Plan, PlannedClass
from yibu.adapters._chosen import FUSED, PART, difference, empty_part, shapes_of, use_chosen, use_plain
from yibu.adapters._origin import check_mark, mark_of
from yibu.core.architecture import Facts
from yibu.core.errors import BaseModelError, RecipeError, TrainingError
from yibu.core.recipe import Settings as BaseSettings

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "expert_deltas.json"
WEIGHTS = "expert_deltas.safetensors"

Method = Literal["whole", "lora"]
Choice = dict[int, tuple[int, ...]]


class Scores(BaseSettings):
    """How much each expert of each layer is used by a sample of rows.

    ``token`` sums to 1 over the experts of a layer; ``gate`` sums to what the gate weights of a token sum to, which
    depends on the architecture (about 0.35 in V2-Lite, 2.5 in V3).
    """

    token: dict[int, tuple[float, ...]] = Field(description="layer -> share of the sample's choices, per expert")
    gate: dict[int, tuple[float, ...]] = Field(description="layer -> mean gate weight over the tokens, per expert")
    num_tokens: int = Field(ge=1, description="tokens of the sample")
    num_rows: int = Field(ge=1, description="rows of the sample")


class Settings(BaseSettings):
    """Which experts are trained, and how.

    A choice of one's own (``experts``) needs no scores. ``p`` is a share of the layer's scores: 0.2 of the tokens is
    the paper's. Its 0.1 of the gate weight is no share but a mean weight, about 0.3 of the share in V2-Lite.
    """

    kind: Literal["experts"] = "experts"
    method: Method = Field("whole", description="whole: every number of a chosen expert; lora: a low-rank update of it")
    score: Literal["token", "gate"] = Field("token", description="what an expert's use is measured by")
    p: float = Field(0.2, gt=0, le=1, description="share of a layer's scores that its chosen experts reach together")
    sample_tokens: int = Field(131_072, ge=1, description="tokens of training rows that experts are scored on")
    experts: Choice | None = Field(None, description="layer -> experts, in place of a choice by scores")
    scores: Scores | None = Field(None, description="filled in by training, from the sample")
    r: int = Field(16, ge=1, description="lora: rank of the update of one expert")
    alpha: int = Field(32, ge=1, description="lora: the update is scaled by alpha / r")
    dropout: float = Field(0.0, ge=0, lt=1, description="lora: share of the update's inputs that training drops")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.method == "whole" and self.dropout:
            raise ValueError("dropout is for method: lora; experts that are trained whole have no input of their own")
        for layer, chosen in (self.experts or {}).items():
            if not chosen or len(set(chosen)) != len(chosen):
                raise ValueError(f"experts of layer {layer}: name each one once, and at least one")
        if self.experts is not None and not self.experts:
            raise ValueError("experts: name at least one layer, or leave it out")
        return self


@dataclass(frozen=True)
class ExpertsPlan(Plan):
    """A plan that knows which experts it means.

    Attributes:
        choice: layer -> chosen experts, the most used first.
        layers: name of an experts module -> its layer.
    """

    choice: Mapping[int, tuple[int, ...]]
    layers: Mapping[str, int]

    def table(self) -> list[dict[str, Any]]:
        """As of every plan, and which experts it is of each layer."""
        chosen = {str(layer): list(experts) for layer, experts in self.choice.items()}
        return [{**row, "experts": chosen} for row in super().table()]

    def role_of(self, parameter: str) -> str:
        """Role that a trained parameter belongs to."""
        module = parameter.removeprefix("network.").partition(f".{PART}.")[0]
        if module not in self.layers:
            raise TrainingError("A parameter would be trained that no planned class holds.", got=parameter)
        return self.classes[0].role


def choose(scores: Mapping[int, Sequence[float]], p: float) -> Choice:
    """The smallest set of experts of each layer whose share of the layer's scores reaches `p`, as DeepSeek's code does.

    Experts come in falling order of their score, the lower index first among equals, until the sum reaches `p`
    (arXiv 2407.01906, section 3.3). Scores are made shares of their layer first.

    Args:
        scores: layer -> score of each expert, none negative.

    Raises:
        RecipeError: a layer without any use.
    """
    choice: Choice = {}
    for layer, values in scores.items():
        total = math.fsum(values)
        if not total > 0 or min(values) < 0:
            raise RecipeError("The scores of a layer's experts do not say which are used.", got=f"layer {layer}")
        chosen: list[int] = []
        reached = 0.0
        for expert in sorted(range(len(values)), key=lambda expert: -values[expert]):
            if reached >= p:
                break
            chosen.append(expert)
            reached += values[expert] / total
        choice[layer] = tuple(chosen)
    return choice


def needs_scores(settings: Settings) -> bool:
    """Whether experts must be scored on the training rows before `plan` can be made."""
    return settings.experts is None and settings.scores is None


def with_scores(settings: Settings, scores: Scores) -> Settings:
    """The settings, completed by what was measured; `plan` and `attach` can follow."""
    return settings.model_copy(update={"scores": scores})


def foreseen(model: Any, facts: Facts, settings: Settings) -> Settings:
    """Settings for a plan before anything was measured: as many experts as could be needed at most.

    No scores need more than ``ceil(p * num_experts)`` experts: that many are needed where all are used alike.
    """
    if not needs_scores(settings):
        return settings
    modules = _expert_modules(model, facts)
    most = {m.layer: tuple(range(math.ceil(settings.p * m.num_experts - 1e-9))) for m in modules}
    return settings.model_copy(update={"experts": most})


def plan(model: Any, facts: Facts, settings: Settings) -> ExpertsPlan:
    """Which experts would be trained, from the model (on any device, meta included), its facts and the choice.

    Raises:
        RecipeError: an architecture without routed experts, a layer that has none, an expert out of range, or no
            scores yet.
    """
    modules = {module.layer: module for module in _expert_modules(model, facts)}
    choice = _choice(modules, settings)
    chosen = {layer: modules[layer] for layer in sorted(choice)}
    weights = {
        f"{module.name}.{part}": (model.get_parameter(f"{module.name}.{part}"), len(choice[layer]))
        for layer, module in chosen.items()
        for part in FUSED
    }
    shapes = [tuple(weight.shape) for weight, _ in weights.values()]
    planned = PlannedClass(
        role=next(iter(chosen.values())).role,
        kind="experts" if settings.method == "lora" else "whole",
        names=tuple(weights),
        shapes=tuple(sorted(set(shapes))),
        rank=settings.r if settings.method == "lora" else 0,
        base_parameters=sum(weight.numel() for weight, _ in weights.values()),
        parameters=sum(
            num * (settings.r * sum(weight.shape[1:]) if settings.method == "lora" else weight[0].numel())
            for weight, num in weights.values()
        ),
    )
    total = sum(parameter.numel() for parameter in model.parameters())
    return ExpertsPlan((planned,), total, dict(sorted(choice.items())), {m.name: m.layer for m in chosen.values()})


def attach(model: Any, plan: ExpertsPlan, settings: Settings, linear_class: type | None = None) -> Any:
    """The model with a fresh difference on its chosen experts, which is zero; all else is frozen.

    The model is changed in place. Where the base is bf16 or fp16, what is trained is fp32.

    Args:
        model: the model that `plan` was made from.
        linear_class: of the family's contract; experts are no linear layers.

    Returns:
        An `yibu.adapters._adapted.Adapted`.

    Raises:
        TrainingError: experts of a layout that yibu cannot train, or something else trainable than planned.
    """
    tuned = _hang(model, plan, settings, fresh=True)
    check(tuned, plan)
    return tuned


def check(model: Any, plan: ExpertsPlan) -> None:
    """Compare what is trained with the plan: the same tensors, the same experts, as many numbers, nothing else.

    Raises:
        TrainingError: says what differs.
    """
    found = {name: experts.chosen.experts for name, experts in _adapted_modules(model)}
    planned = {name: plan.choice[layer] for name, layer in plan.layers.items()}
    if found != planned:
        raise TrainingError("The experts that are trained are not those of the plan.", got=found, allowed=planned)
    trained = 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            plan.role_of(name)
            trained += parameter.numel()
    if trained != plan.parameters:
        raise TrainingError(
            "The adapter has another size than planned.", got=f"{trained:,} parameters", allowed=f"{plan.parameters:,}"
        )


def adapted(model: Any) -> list[str]:
    """Whole names of the fused tensors whose chosen experts are trained, read off the model."""
    return sorted(f"{name}.{fused}" for name, _ in _adapted_modules(model) for fused in FUSED)


def save(model: Any, folder: Path, base: str | None = None) -> None:
    """Write the difference alone: ``expert_deltas.safetensors``, and ``expert_deltas.json`` with choice and scores.

    One row of the base in each layer goes with it, so that another base of the same shape is noticed.

    Args:
        model: what `attach` or `load` returned.
        folder: made if need be.
        base: name of the base, for whoever loads the folder.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    num_experts = 0
    for name, experts in _adapted_modules(model):
        for key, parameter in experts.chosen.named_parameters():
            tensors[f"{name}.{key}"] = parameter.detach().cpu().contiguous()
        tensors[f"{name}.base"] = _base_row(experts, experts.chosen.experts[0])
        num_experts = experts.num_experts
    if not tensors:
        raise TrainingError("The model has no trained experts to save.", got=type(model).__name__)
    save_file(tensors, folder / WEIGHTS)
    stored = {
        "base": base,
        "base_mark": mark_of(model),
        "num_experts": num_experts,
        "settings": model.record,
    }
    text = json.dumps(stored, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load(model: Any, folder: Path, linear_class: type | None = None, trainable: bool = False) -> Any:
    """The model with a saved difference; the model is changed in place, its own tensors are not.

    Args:
        folder: what `save` wrote.
        linear_class: of the family's contract.
        trainable: whether it can be trained on.

    Raises:
        BaseModelError: nothing of the kind lies there, or it was trained on another base.
    """
    import torch
    from safetensors.torch import load_file

    stored = _read(folder)
    settings: Settings = stored["settings"]
    tensors = load_file(folder / WEIGHTS)
    modules = {name.rpartition(".")[0] for name in tensors if name.endswith(".base")}
    check_mark(model, stored["base_mark"])
    _check_places(model, stored["num_experts"], modules)
    names = {_layer(name): name for name in modules}
    chosen = settings.experts or {}
    in_range = all(0 <= expert < stored["num_experts"] for layer in chosen.values() for expert in layer)
    if settings.experts is None or set(names) != set(chosen) or not in_range:
        raise BaseModelError("The tensors of these experts are not those of their choice.", got=folder)
    for layer, name in names.items():
        row = _base_row(model.get_submodule(name), chosen[layer][0])
        if not _same_row(tensors.pop(f"{name}.base"), row):
            raise _another_base(f"other weights in {name}")
    shown = tuple(f"{names[layer]}.{fused}" for layer in sorted(names) for fused in FUSED)
    expected = sum(tensor.numel() for tensor in tensors.values())
    planned = PlannedClass("experts", "experts", shown, (), settings.r, 0, expected)
    layers = {name: layer for layer, name in names.items()}
    tuned = _hang(model, ExpertsPlan((planned,), 0, settings.experts, layers), settings, fresh=False)
    wanted = {name.replace(f".{PART}.", "."): p for name, p in model.named_parameters() if f".{PART}." in name}
    if wrong := sorted(set(tensors) ^ set(wanted)) or [n for n in wanted if wanted[n].shape != tensors[n].shape]:
        raise _another_base(f"{len(wrong)} tensors, among them {', '.join(wrong[:3])}")
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(tensors[name])
            parameter.requires_grad_(trainable)
    return tuned


def merge(model: Any) -> Any:
    """The base with the difference added into its chosen experts, in fp32; the adapted model is used up.

    Returns:
        A plain transformers model; experts that were not chosen keep their bits.
    """
    import torch

    causal = model.get_base_model().float()
    with torch.no_grad():
        for _, experts in list(_adapted_modules(causal)):
            part = experts.chosen
            index = torch.tensor(part.experts, device=experts.down_proj.device)
            for fused in FUSED:
                getattr(experts, fused).index_add_(0, index, difference(part, fused))
            delattr(experts, PART)
    use_plain(causal)
    return causal


def _hang(model: Any, plan: ExpertsPlan, settings: Settings, fresh: bool) -> Any:
    """Give the planned modules their trained part, and the model the forward pass that knows it.

    Args:
        fresh: begin as peft's LoRA does, with a random A; otherwise all is zero, to be written over.
    """
    import torch

    from yibu.adapters._adapted import Adapted

    model.requires_grad_(False)
    use_chosen(model)
    parts = []
    for name, layer in plan.layers.items():
        chosen = plan.choice[layer]
        experts = model.get_submodule(name)
        part = empty_part(experts, name, chosen, settings)
        for fused in FUSED:
            weight = getattr(experts, fused)
            for kind, shape in shapes_of(tuple(weight.shape), len(chosen), settings).items():
                trained = torch.zeros(shape, dtype=torch.float32, device=weight.device)
                if kind == "A" and fresh:
                    for matrix in trained:
                        torch.nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))
                part.register_parameter(f"{fused}_{kind}", torch.nn.Parameter(trained))
        experts.add_module(PART, part)
        parts.append(part)
    record = settings.model_copy(update={"experts": dict(plan.choice)}).as_config()
    return Adapted(model, record, switches=parts).train(model.training)


@dataclass(frozen=True)
class _ExpertsModule:
    name: str
    role: str
    layer: int
    num_experts: int


def _expert_modules(model: Any, facts: Facts) -> list[_ExpertsModule]:
    """Every module of routed experts that has both fused tensors, from the bottom up."""
    found: dict[str, dict[str, Any]] = {}
    roles: dict[str, str] = {}
    for name, parameter in model.named_parameters():
        role = facts.role_of(name)
        if parameter.ndim == 3 and role is not None and role.kind == "experts":
            module, _, part = name.rpartition(".")
            found.setdefault(module, {})[part] = parameter
            roles[module] = role.name
    modules = [
        _ExpertsModule(module, roles[module], _layer(module), int(parts["down_proj"].shape[0]))
        for module, parts in found.items()
        if set(FUSED) <= set(parts)
    ]
    if not modules:
        raise RecipeError(
            "adapter.kind is experts, but this base has no routed experts: it is dense, or yibu does not know them.",
            got=f"{type(model).__name__}, architecture {facts.name}",
            allowed="a mixture of experts such as DeepSeek V2, V3, V3.2 or V4",
            do="use adapter.kind: lora",
        )
    return sorted(modules, key=lambda module: module.layer)


def _choice(modules: Mapping[int, _ExpertsModule], settings: Settings) -> Choice:
    """The choice of the settings, or by their scores; every index is of this model."""
    if settings.experts is not None:
        choice = settings.experts
    elif settings.scores is not None:
        scores = getattr(settings.scores, settings.score)
        sizes = {layer: len(values) for layer, values in scores.items()}
        if sizes != {layer: module.num_experts for layer, module in modules.items()}:
            raise RecipeError("The scores of the experts are those of another base.", got=f"{len(sizes)} layers")
        choice = choose(scores, settings.p)
    else:
        raise RecipeError(
            "The experts have not been scored yet, so there is no choice among them.",
            got="neither adapter.experts nor adapter.scores",
            allowed="one of them",
            do="give adapter.experts, or let training score them on its rows",
        )
    for layer, chosen in choice.items():
        if layer not in modules:
            raise RecipeError(
                "adapter.experts names a layer that has no routed experts.",
                got=layer,
                allowed=sorted(modules),
                do="take the layer out of adapter.experts; the first layers of DeepSeek's mixtures are dense",
            )
        num = modules[layer].num_experts
        if wrong := [expert for expert in chosen if not 0 <= expert < num]:
            raise RecipeError(
                f"adapter.experts names experts that layer {layer} does not have.",
                got=wrong,
                allowed=f"0 to {num - 1}",
                do="experts are counted from 0; leave adapter.experts out to have them chosen by the rows",
            )
    return choice


def _layer(name: str) -> int:
    """The number of the layer that a module of this name lies in."""
    found = re.search(r"\.layers\.(\d+)\.", f".{name}.")
    if found is None:
        raise TrainingError("These experts lie in no numbered layer.", got=name)
    return int(found.group(1))


def _adapted_modules(model: Any) -> Iterator[tuple[str, Any]]:
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    for name, module in causal.named_modules():
        if hasattr(module, PART) and hasattr(module, FUSED[0]):
            yield name, module


def _base_row(experts: Any, expert: int) -> Tensor:
    """A row of the base's own weights of an expert, by which the base is known again."""
    row: Tensor = experts.gate_up_proj[expert, 0].detach()
    return row.cpu().clone()


def _same_row(saved: Tensor, found: Tensor) -> bool:
    """Equal bits in equal types; between types, equal but for the rounding of the coarser one (bf16: 2**-8)."""
    import torch

    if saved.shape != found.shape:
        return False
    if saved.dtype == found.dtype:
        return torch.equal(saved, found)
    return torch.allclose(saved.float(), found.float(), rtol=2**-7, atol=1e-6)


def _read(folder: Path) -> dict[str, Any]:
    """``expert_deltas.json``, its settings parsed."""
    path = folder / CONFIG
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise BaseModelError(
            "There are no trained experts in this folder.", got=folder, allowed=f"{CONFIG} and {WEIGHTS}"
        )
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {
            "base_mark": dict(stored["base_mark"]),
            "num_experts": int(stored["num_experts"]),
            "settings": Settings.model_validate(stored["settings"]),
        }
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise BaseModelError(f"{CONFIG} is damaged.", got=f"{type(error).__name__} in {folder}") from error


def _check_places(model: Any, num_experts: int, modules: set[str]) -> None:
    """As many experts, in the same places."""
    present = dict(model.named_modules())
    if missing := sorted(name for name in modules if name not in present or not hasattr(present[name], FUSED[0])):
        raise _another_base(f"no experts in {', '.join(missing[:3])}")
    for name in sorted(modules):
        if (num := int(present[name].num_experts)) != num_experts:
            raise _another_base(f"{num} experts in {name} in place of {num_experts}")


def _another_base(got: str) -> BaseModelError:
    return BaseModelError(
        "These experts do not fit this base: its answers would be wrong without an error.",
        got=got,
        allowed="the base that they were trained on",
        do="load them on that base",
    )
