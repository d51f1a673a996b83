"""LoRA (Hu et al. 2021, arXiv 2106.09685) by peft, on an explicit list of modules, with peft's variants as settings.

How roles become peft's targets, and what peft does to some of them in silence, is told in ``_targets``. What is saved
is a plain LoRA in peft's format whatever the variant: PiSSA is turned into an update of the untouched base first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from yibu.adapters import Plan, PlannedClass, check_attached
from yibu.adapters._layers import Layers, chosen_layers, depth_of, is_chosen
from yibu.adapters._origin import check_mark, mark_of, read_header, write_tensors
from yibu.adapters._targets import (
    grouped_targets,
    layer_classes,
    modules_by_role,
    peft_targets,
    quiet_peft,
    rewritten_by_peft,
    without_layer,
)
from yibu.core.architecture import Facts, Role
from yibu.core.errors import BaseModelError, RecipeError, TrainingError, nearest
from yibu.core.recipe import Settings as BaseSettings

ADAPTABLE = ("linear", "grouped", "experts")
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
GATE = ".update_gate."


class Settings(BaseSettings):
    """Low-rank updates of frozen matrices.

    ``targets: all`` is attention, MLP, dense and shared experts: what every token passes through. Routed experts are
    left out unless asked for, because a small domain set shows each of them few tokens, because peft then computes an
    update of every expert in every step, and because servers misread such adapters today (vLLM PR 52198, SGLang issue
    25528: a tuned model scored 0.018 in place of 0.68), so that only the merged model can be served.

    The variants are for comparison: with the learning rate tuned, they end within 1 to 2 % of plain LoRA
    (arXiv 2602.04998). ``init``: PiSSA (Meng et al. 2024, arXiv 2404.02948) begins with the largest singular directions
    of each weight, EVA (Paischer et al. 2024, arXiv 2410.07170) with those of each layer's inputs on the train rows.
    """

    kind: Literal["lora"] = "lora"
    r: int = Field(16, ge=1, description="rank of the update")
    alpha: int = Field(32, ge=1, description="the update is scaled by alpha / r")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the update's inputs that training drops")
    targets: Literal["all"] | tuple[str, ...] = Field(
        "all", description="all, or names of roles from the base's facts, such as attention_q or mlp"
    )
    experts: bool = Field(
        False,
        description="adapt the routed experts too, each with rank r / (experts per token)",
    )
    layers: Layers = "all"
    rslora: bool = Field(False, description="scale by alpha / sqrt(r) (Kalajdzievski 2023, arXiv 2312.03732)")
    dora: bool = Field(False, description="train each row's length apart from its direction (arXiv 2402.09353)")
    init: Literal["zero", "pissa", "eva"] = Field("zero", description="how A begins; pissa changes B too")
    lr_ratio: float = Field(1.0, ge=1, le=1000, description="B learns so many times faster than A (LoRA+; try 16)")

    @model_validator(mode="after")
    def _no_dropout_on_experts(self) -> Self:
        if self.experts and self.dropout:
            raise ValueError("experts can only be adapted without dropout (peft adds their update to the weight)")
        return self

    @model_validator(mode="after")
    def _variants_fit(self) -> Self:
        if self.experts and (self.dora or self.init != "zero"):
            raise ValueError("experts know neither dora nor another init than zero (peft has them for layers only)")
        if self.dora and self.init == "pissa":
            raise ValueError("dora and init: pissa exclude each other (the lengths of the rows would be saved wrong)")
        return self


def plan(model: Any, facts: Facts, settings: Settings) -> Plan:
    """What LoRA would adapt, from the model itself (on any device, meta included) and the facts of its architecture.

    Args:
        model: a transformers causal language model without adapters.
        facts: roles of the architecture.

    Raises:
        RecipeError: a role or layer that the architecture or this base does not have, or cannot adapt.
        TrainingError: a linear layer that no role names, or a role that the base should have and has not.
    """
    found = modules_by_role(model, facts)
    chosen = chosen_layers(settings.layers, depth_of(model))
    classes = []
    for role in _wanted_roles(facts, settings):
        there = found.get(role.name, [])
        names = there if settings.layers == "all" else [name for name in there if is_chosen(name, chosen)]
        if names:
            classes.append(_planned(model, role, names, settings))
        elif settings.targets != "all" or role.kind == "experts":
            where = "this base" if not there else f"layers {settings.layers} of this base"
            raise RecipeError(f"The adapter's target {role.name!r} is not in {where}.", allowed=sorted(found))
        elif not there and not role.optional:
            raise TrainingError(
                "The base lacks modules that its architecture should have, so they would not be trained.",
                got=f"no module of the role {role.name} in {type(model).__name__}",
                do="report the architecture and the version of transformers (`yibu doctor`)",
            )
    if not classes:
        raise RecipeError("The adapter would adapt nothing.", got=type(model).__name__, allowed="a base with nn.Linear")
    _check_variant(model, classes, settings)
    return Plan(tuple(classes), sum(parameter.numel() for parameter in model.parameters()))


def attach(model: Any, plan: Plan, settings: Settings, linear_class: type | None = None) -> Any:
    """The model with a fresh adapter; its answers are unchanged until the first step.

    The model is changed in place. Where the base is bf16 or fp16, the adapter is fp32. With ``init: pissa`` the weights
    of the base are reduced by what the adapter begins with, so answers are unchanged up to rounding only (as with
    ``dora`` in 16 bits); with ``init: eva`` nothing can be trained before `initialise`.

    Args:
        model: the model that `plan` was made from.
        linear_class: subclass of `peft.tuners.lora.Linear` for every `nn.Linear`; None is that class itself.

    Returns:
        A `peft.PeftModel` that adapts exactly the planned modules.

    Raises:
        TrainingError: peft adapted something else than planned.
    """
    tuned = inject(model, plan, settings, linear_class)
    check_attached(tuned, plan)
    return tuned


def inject(
    model: Any,
    plan: Plan,
    settings: Settings,
    linear_class: type | None = None,
    own_layers: dict[type, Callable[..., Any]] | None = None,
) -> Any:
    """`attach` without the comparison with the plan, for kinds that add more.

    Args:
        own_layers: module class -> class of its LoRA layer, asked before those of `nn.Linear`.
    """
    from peft import LoraConfig, get_peft_model

    by_module, by_parameter = peft_targets(model, plan)
    share = 0.5 if settings.rslora else 1.0  # of the exponent: keeps the scale of a lower rank that of the others
    patterns = {
        re.escape(without_layer(name)): planned.rank
        for planned in plan.classes
        if planned.rank != settings.r
        for name in planned.names
    }
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=by_module,
        target_parameters=by_parameter or None,
        rank_pattern=patterns,
        alpha_pattern={
            pattern: _number(settings.alpha * (rank / settings.r) ** share) for pattern, rank in patterns.items()
        },
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        init_lora_weights="pissa" if settings.init == "pissa" else True,
    )
    grouped = [name for planned in plan.classes if planned.kind == "grouped" for name in planned.names]
    mark = mark_of(model)
    config._register_custom_module(layer_classes(model, grouped, linear_class, own_layers or {}))
    with quiet_peft():
        tuned = get_peft_model(model, config)
    tuned.yibu_mark = mark
    if settings.init == "pissa":
        tuned.yibu_initial = _tensors(tuned)
    if settings.init == "eva":
        _empty_inputs(tuned)
    return tuned


def initialise(model: Any, settings: Settings, run_sample: Callable[[], None]) -> None:
    """Values that need data: with ``init: eva`` the rows of A become the main directions of each layer's inputs.

    Args:
        model: what `attach` returned.
        run_sample: runs the same few train rows through the model, in the same order at every call; called three times.
    """
    if settings.init == "eva":
        from yibu.adapters._eva import set_main_directions

        set_main_directions(model, run_sample)


def save(model: Any, folder: Path, base: str | None = None) -> None:
    """Write a plain PEFT folder: ``adapter_config.json`` and ``adapter_model.safetensors``.

    The bytes depend on the adapter alone: no path of this machine, no order of a set. The header of the tensors says
    which base they belong to (`yibu.adapters._origin`).

    Args:
        model: what `attach` or `load` returned.
        folder: made if need be.
        base: name of the base, for whoever loads the folder.
    """
    write(model, folder, base, {})


def write(model: Any, folder: Path, base: str | None, more: dict[str, Any]) -> None:
    """`save`, with more in the header of the tensors, for kinds that build upon this one."""
    from safetensors.torch import load_file

    folder.mkdir(parents=True, exist_ok=True)
    # Embeddings are never trained here; left to itself peft would ask the hub whether they might have been.
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    path = folder / CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in ("target_modules", "target_parameters"):
        if isinstance(config.get(key), list):
            config[key] = sorted(config[key])
    config["base_model_name_or_path"] = base
    config["init_lora_weights"] = True
    if config.get("target_parameters"):
        # Dropout is over when the adapter is saved, and plain peft refuses it on a layer named by its weight.
        config["lora_dropout"] = 0.0
    # peft takes whatever lies in one of its layers for a part of the adapter; a gate is kept elsewhere (joint).
    tensors = {name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if GATE not in name}
    initial = getattr(model, "yibu_initial", None)
    if initial is not None:
        tensors = _against_untouched_base(tensors, initial, config)
    path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    mark = getattr(model, "yibu_mark", None) or mark_of(model)
    write_tensors(tensors, folder / WEIGHTS, {"base": mark, **more})


def load(model: Any, folder: Path, linear_class: type | None = None, trainable: bool = False) -> Any:
    """The model with a saved adapter; the model is changed in place.

    Args:
        folder: any plain PEFT LoRA folder.
        linear_class: as in `attach`.
        trainable: whether the adapter can be trained on.

    Raises:
        BaseModelError: no LoRA in safetensors lies there, or one of another base.
        TrainingError: the adapter does not fit this base: some of its tensors found no place, or another one.
    """
    return restore(model, folder, linear_class, trainable)


def restore(
    model: Any,
    folder: Path,
    linear_class: type | None = None,
    trainable: bool = False,
    own_layers: dict[type, Callable[..., Any]] | None = None,
) -> Any:
    """`load`, with layer classes of one's own as in `inject`."""
    from peft import PeftModel
    from safetensors.torch import load_file

    config, mark = _checked_config(model, folder), mark_of(model)
    grouped = grouped_targets(model, config)
    config._register_custom_module(layer_classes(model, grouped, linear_class, own_layers or {}))
    with quiet_peft():
        tuned = PeftModel.from_pretrained(model, str(folder), config=config, is_trainable=trainable)
    tuned.yibu_mark = mark
    _check_loaded(tuned, load_file(folder / WEIGHTS))
    return tuned


def can_share(folder: Path) -> bool:
    """Whether a LoRA can lie beside others on one base: one on plain modules; updates of whole parameters cannot."""
    from peft import PeftConfig

    return not getattr(PeftConfig.from_pretrained(str(folder)), "target_parameters", None)


def add(tuned: Any, folder: Path, name: str, linear_class: type | None = None) -> None:
    """One more LoRA on a model that `load` made, under a name; which one answers, ``tuned.set_adapter(name)`` says.

    Raises:
        BaseModelError, TrainingError: as `load`; the model is then as it was.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    base = tuned.get_base_model()
    config = _checked_config(base, folder)
    config.inference_mode = True
    config._register_custom_module(layer_classes(base, [], linear_class, {}))
    stored = load_file(folder / WEIGHTS)
    with quiet_peft():
        tuned.add_adapter(name, config)
        try:
            set_peft_model_state_dict(tuned, dict(stored), adapter_name=name)
            _check_loaded(tuned, stored, name)
        except Exception:
            tuned.delete_adapter(name)
            raise


def _checked_config(model: Any, folder: Path) -> Any:
    """The config of a LoRA in a folder, of this base."""
    from peft import LoraConfig, PeftConfig

    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise BaseModelError(
            "There is no LoRA adapter in safetensors in this folder.", got=folder, allowed=f"{CONFIG} and {WEIGHTS}"
        )
    config = PeftConfig.from_pretrained(str(folder))
    if not isinstance(config, LoraConfig):
        raise BaseModelError("This adapter is no LoRA.", got=config.peft_type, allowed="LORA")
    check_mark(model, read_header(folder / WEIGHTS).get("base"))
    return config


def merge(model: Any) -> Any:
    """The base with the adapter added into its weights; the adapted model is used up.

    Merging is done in fp32: in bf16 an update smaller than 1/256 of a weight would vanish. Load the base in fp32
    before, or the merged weights inherit the rounding of the loaded ones.

    Returns:
        A plain transformers model.
    """
    return model.float().merge_and_unload(safe_merge=True)


def _wanted_roles(facts: Facts, settings: Settings) -> list[Role]:
    adaptable = {role.name: role for role in facts.roles if role.kind in ADAPTABLE}
    experts = [role for role in adaptable.values() if role.kind == "experts"]
    if settings.experts and not experts:
        raise RecipeError(
            "adapter.experts is on, but this architecture has no routed experts.",
            got=facts.name,
            allowed="experts: true on a mixture of experts such as DeepSeek V2, V3, V3.2 or V4",
            do="set adapter.experts: false",
        )
    if settings.targets == "all":
        wanted = [role for role in adaptable.values() if role.adapt]
    else:
        for target in settings.targets:
            if target not in adaptable:
                close = nearest(target, adaptable)
                raise RecipeError(
                    f"adapter.targets names a role that cannot be adapted in {facts.name}.",
                    got=target,
                    allowed=["all", *adaptable],
                    do=f"did you mean {close!r}?" if close else "name some of the allowed ones, or set targets: all",
                )
        wanted = [role for role in adaptable.values() if role.name in settings.targets]
    return wanted + [role for role in experts if settings.experts and role not in wanted]


def _planned(model: Any, role: Role, names: list[str], settings: Settings) -> PlannedClass:
    kind, rank = role.kind, settings.r
    if kind == "experts":
        # A token sees only num_experts_per_tok of the experts, so their ranks together are the rank it sees
        # (Schulman et al. 2025, "LoRA Without Regret").
        rank = max(1, settings.r // int(getattr(model.config.get_text_config(), "num_experts_per_tok", 1)))
    weights = [model.get_parameter(name if kind == "experts" else f"{name}.weight") for name in names]
    shapes = [tuple(weight.shape) for weight in weights]
    parameters = sum(rank * (shape[-1] + shape[-2]) * (shape[0] if len(shape) == 3 else 1) for shape in shapes)
    if settings.dora:
        parameters += sum(shape[0] for shape in shapes)
    return PlannedClass(
        role=role.name,
        kind=kind,
        names=tuple(names),
        shapes=tuple(sorted(set(shapes))),
        rank=rank,
        base_parameters=sum(weight.numel() for weight in weights),
        parameters=parameters,
    )


def _check_variant(model: Any, classes: list[PlannedClass], settings: Settings) -> None:
    """Refuse what peft could not compute, or could not load again."""
    wrapped = [planned.role for planned in classes if planned.kind != "linear"]
    if wrapped and settings.dropout:
        raise RecipeError(
            "These parts can only be adapted without dropout (peft adds their update to the weight itself).",
            got=wrapped,
            do="set adapter.dropout: 0, or leave them out of adapter.targets",
        )
    if wrapped and (settings.dora or settings.init != "zero"):
        raise RecipeError(
            "peft has dora and other ways to begin for plain linear layers only.",
            got=wrapped,
            do="leave them out of adapter.targets, or take plain LoRA",
        )
    if settings.dora:
        leaves = {name.rpartition(".")[2] for planned in classes for name in planned.names}
        rewritten = rewritten_by_peft(model, leaves)
        by_weight = [p.role for p in classes if any(name.rpartition(".")[2] in rewritten for name in p.names)]
        if by_weight:
            raise RecipeError(
                "peft must be told these parts by their weight in this architecture, and then knows no dora: the saved "
                "adapter could not be loaded by anyone else.",
                got=by_weight,
                allowed=[planned.role for planned in classes if planned.role not in by_weight],
                do="name the allowed ones in adapter.targets, or set adapter.dora: false",
            )
    smallest = min(min(shape[-2:]) for planned in classes for shape in planned.shapes)
    if settings.init != "zero" and settings.r > smallest:
        raise RecipeError(
            f"adapter.init: {settings.init} takes directions of the smallest adapted matrix, which has fewer than r.",
            got=f"r: {settings.r}",
            allowed=f"up to {smallest}",
        )


def _tensors(tuned: Any) -> dict[str, Any]:
    """The adapter under the names of its file, copied."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _against_untouched_base(tensors: dict[str, Any], initial: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """PiSSA as plain LoRA of twice the rank.

    The base was reduced by ``s B0 A0``, so ``W - s B0 A0 + s B A = W + s [B, -B0] [A; A0]`` (PiSSA, section 3).
    """
    import torch

    rank = config["r"]
    config["r"] = 2 * rank
    config["lora_alpha"] = _number(config["lora_alpha"] * (2**0.5 if config["use_rslora"] else 2))
    both = {}
    for name, tensor in tensors.items():
        begun = initial[name].to(tensor)
        both[name] = torch.cat([tensor, begun], dim=0) if ".lora_A." in name else torch.cat([tensor, -begun], dim=1)
    return both


def _empty_inputs(tuned: Any) -> None:
    """All of A zero: no gradient reaches B, so that a run without `initialise` is stopped at its first step."""
    import torch

    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if ".lora_A." in name:
                parameter.zero_()


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _check_loaded(model: Any, stored: dict[str, Any], adapter: str = "default") -> None:
    import torch
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, adapter_name=adapter, save_embedding_layers=False)
    placed = {name: tensor for name, tensor in state.items() if GATE not in name}
    wrong = sorted(set(stored) ^ set(placed)) + sorted(
        name
        for name in set(stored) & set(placed)
        if not torch.equal(stored[name], placed[name].cpu().to(stored[name].dtype))
    )
    if wrong:
        raise BaseModelError(
            "The adapter does not fit this base: its answers would be wrong without an error.",
            got=f"{len(wrong)} tensors, among them {', '.join(wrong[:3])}",
            allowed=f"every tensor of {WEIGHTS} in its place",
            do="load it on the base it was trained on",
        )
