"""LoRA (Hu et al. 2021, arXiv 2106.09685) by peft, on an explicit list of modules.

peft rewrites some targets in silence: on every architecture whose experts transformers fuses, a target named
``gate_proj``, ``up_proj`` or ``down_proj`` becomes "the routed experts", and the shared expert or dense layer that was
meant gets nothing. Such layers are therefore named by their weight (``target_parameters``), which peft leaves alone;
the folder that is saved says the same, so that plain peft loads it to the same weights.

By its weight, peft would adapt a layer as ``(W + BA) x``, which costs a full weight gradient and knows no dropout.
Here every `nn.Linear` gets a real LoRA layer, ``W x + B A x``, through peft's registry of custom layers: equal weights,
equal file. Only parameters that no linear layer owns (experts ``[num_experts, out, in]``) keep peft's wrapper.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from yibu.adapters import Facts, Plan, PlannedClass, Role, check_attached
from yibu.core.errors import BaseModelError, RecipeError, TrainingError, nearest
from yibu.core.recipe import Settings as BaseSettings

ADAPTABLE = ("linear", "grouped", "experts")
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


class Settings(BaseSettings):
    """Low-rank updates of frozen matrices.

    ``targets: all`` is attention, MLP, dense and shared experts: what every token passes through. Routed experts are
    left out unless asked for, because a small domain set shows each of them few tokens, because peft then computes an
    update of every expert in every step, and because servers misread such adapters today (vLLM PR 52198, SGLang issue
    25528: a tuned model scored 0.018 in place of 0.68), so that only the merged model can be served.
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

    @model_validator(mode="after")
    def _no_dropout_on_experts(self) -> Self:
        if self.experts and self.dropout:
            raise ValueError("experts can only be adapted without dropout (peft adds their update to the weight)")
        return self


def plan(model: Any, facts: Facts, settings: Settings) -> Plan:
    """What LoRA would adapt, from the model itself (on any device, meta included) and the facts of its architecture.

    Args:
        model: a transformers causal language model without adapters.
        facts: roles of the architecture.

    Raises:
        RecipeError: a role that the architecture or this base does not have, or cannot adapt.
        TrainingError: a linear layer that no role names, or a role that the base should have and has not.
    """
    found = _modules_by_role(model, facts)
    classes = []
    for role in _wanted_roles(facts, settings):
        if names := found.get(role.name):
            classes.append(_planned(model, role, names, settings))
        elif settings.targets != "all" or role.kind == "experts":
            raise RecipeError(f"The adapter's target {role.name!r} is not in this base.", allowed=sorted(found))
        elif not role.optional:
            raise TrainingError(
                "The base lacks modules that its architecture should have, so they would not be trained.",
                got=f"no module of the role {role.name} in {type(model).__name__}",
                do="report the architecture and the version of transformers (`yibu doctor`)",
            )
    if not classes:
        raise RecipeError("The adapter would adapt nothing.", got=type(model).__name__, allowed="a base with nn.Linear")
    wrapped = [planned.role for planned in classes if planned.kind != "linear"]
    if wrapped and settings.dropout:
        raise RecipeError(
            "These parts can only be adapted without dropout (peft adds their update to the weight itself).",
            got=wrapped,
            do="set adapter.dropout: 0, or leave them out of adapter.targets",
        )
    return Plan(tuple(classes), sum(parameter.numel() for parameter in model.parameters()))


def attach(model: Any, plan: Plan, settings: Settings, linear_class: type | None = None) -> Any:
    """The model with a fresh adapter; its answers are unchanged until the first step.

    The model is changed in place. Where the base is bf16 or fp16, the adapter is fp32.

    Args:
        model: the model that `plan` was made from.
        linear_class: subclass of `peft.tuners.lora.Linear` for every `nn.Linear`; None is that class itself.

    Returns:
        A `peft.PeftModel` that adapts exactly the planned modules.

    Raises:
        TrainingError: peft adapted something else than planned.
    """
    from peft import LoraConfig, get_peft_model

    by_module, by_parameter = _peft_targets(model, plan)
    patterns = {
        re.escape(_without_layer(name)): planned.rank
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
        alpha_pattern={pattern: _number(settings.alpha * rank / settings.r) for pattern, rank in patterns.items()},
    )
    grouped = [name for planned in plan.classes if planned.kind == "grouped" for name in planned.names]
    config._register_custom_module(_layer_classes(model, grouped, linear_class))
    with _quiet_peft():
        tuned = get_peft_model(model, config)
    check_attached(tuned, plan)
    return tuned


def save(model: Any, folder: Path, base: str | None = None) -> None:
    """Write a plain PEFT folder: ``adapter_config.json`` and ``adapter_model.safetensors``.

    The bytes depend on the adapter alone: no path of this machine, no order of a set.

    Args:
        model: what `attach` or `load` returned.
        folder: made if need be.
        base: name of the base, for whoever loads the folder.
    """
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
    if config.get("target_parameters"):
        # Dropout is over when the adapter is saved, and plain peft refuses it on a layer named by its weight.
        config["lora_dropout"] = 0.0
    path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def load(model: Any, folder: Path, linear_class: type | None = None, trainable: bool = False) -> Any:
    """The model with a saved adapter; the model is changed in place.

    Args:
        folder: any plain PEFT LoRA folder.
        linear_class: as in `attach`.
        trainable: whether the adapter can be trained on.

    Raises:
        BaseModelError: no LoRA in safetensors lies there.
        TrainingError: the adapter does not fit this base: some of its tensors found no place, or another one.
    """
    from peft import LoraConfig, PeftConfig, PeftModel

    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise BaseModelError(
            "There is no LoRA adapter in safetensors in this folder.", got=folder, allowed=f"{CONFIG} and {WEIGHTS}"
        )
    config = PeftConfig.from_pretrained(str(folder))
    if not isinstance(config, LoraConfig):
        raise BaseModelError("This adapter is no LoRA.", got=config.peft_type, allowed="LORA")
    config._register_custom_module(_layer_classes(model, _grouped_targets(model, config), linear_class))
    with _quiet_peft():
        tuned = PeftModel.from_pretrained(model, str(folder), config=config, is_trainable=trainable)
    _check_loaded(tuned, folder / WEIGHTS)
    return tuned


def merge(model: Any) -> Any:
    """The base with the adapter added into its weights; the adapted model is used up.

    Merging is done in fp32: in bf16 an update smaller than 1/256 of a weight would vanish. Load the base in fp32
    before, or the merged weights inherit the rounding of the loaded ones.

    Returns:
        A plain transformers model.
    """
    return model.float().merge_and_unload(safe_merge=True)


def _modules_by_role(model: Any, facts: Facts) -> dict[str, list[str]]:
    """Role -> whole names of its linear modules and expert parameters."""
    from torch import nn

    head = model.get_output_embeddings()
    found: dict[str, list[str]] = {}
    unknown = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head:
            role = facts.role_of(name)
            if role is None:
                unknown.append(name)
            else:
                found.setdefault(role.name, []).append(name)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 3 and (role := facts.role_of(name)) is not None and role.kind == "experts":
            found.setdefault(role.name, []).append(name)
    if unknown:
        raise TrainingError(
            f"Linear layers of this base have no role in the facts of {facts.name}, so they would not be trained.",
            got=unknown[:6],
            do="add the role to the architecture's file in yibu/bases, or report it with `yibu doctor`",
        )
    return found


def _wanted_roles(facts: Facts, settings: Settings) -> list[Role]:
    adaptable = {role.name: role for role in facts.roles if role.kind in ADAPTABLE}
    experts = [role for role in adaptable.values() if role.kind == "experts"]
    if settings.experts and not experts:
        raise RecipeError("adapter.experts is on, but this architecture has no routed experts.", got=facts.name)
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
                    do=f"did you mean {close!r}?" if close else None,
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
    return PlannedClass(
        role=role.name,
        kind=kind,
        names=tuple(names),
        shapes=tuple(sorted(set(shapes))),
        rank=rank,
        base_parameters=sum(weight.numel() for weight in weights),
        parameters=parameters,
    )


def _peft_targets(model: Any, plan: Plan) -> tuple[list[str], list[str]]:
    """The plan as peft's ``target_modules`` and ``target_parameters``, each name as short as it can be."""
    modules: set[str] = set()
    parameters: set[str] = set()
    linear = [name for planned in plan.classes if planned.kind == "linear" for name in planned.names]
    rewritten = _rewritten_by_peft(model, {name.rpartition(".")[2] for name in linear})
    for planned in plan.classes:
        for name in planned.names:
            if planned.kind == "experts":
                parameters.add(name)
            elif planned.kind == "grouped" or name.rpartition(".")[2] in rewritten:
                parameters.add(f"{name}.weight")
            else:
                modules.add(name)
    return (
        _shortest(modules, [name for name, _ in model.named_modules()], least=1),
        _shortest(parameters, [name for name, _ in model.named_parameters()], least=2),
    )


def _rewritten_by_peft(model: Any, leaves: Collection[str]) -> set[str]:
    """Which of these module names peft would turn into other targets for this model.

    Asked of peft itself, so that a version that no longer does it, or does it to more, is followed.
    """
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    rewritten = set()
    for leaf in leaves:
        probe = LoraConfig(target_modules=[leaf])
        try:
            convert_peft_config_for_transformers(probe, model=model, conversions=None)
        except ValueError:  # it would, and asks for a companion that is fused with this one
            rewritten.add(leaf)
        else:
            if leaf not in probe.target_modules:
                rewritten.add(leaf)
    return rewritten


def _shortest(wanted: set[str], names: list[str], least: int) -> list[str]:
    """Shortest dotted endings, of `least` parts or more, that match the wanted names and no other as peft matches."""
    endings: set[str] = set()
    for name in sorted(wanted):
        parts = name.split(".")
        ends = [".".join(parts[-length:]) for length in range(least, len(parts) + 1)]
        if endings.isdisjoint(ends):
            endings.add(next(end for end in ends if {n for n in names if f".{n}".endswith(f".{end}")} <= wanted))
    return sorted(endings)


def _without_layer(name: str) -> str:
    """The part of a name behind the number of its layer."""
    return re.sub(r".*\.\d+\.", "", name)


def _layer_classes(model: Any, grouped: Collection[str], linear_class: type | None) -> dict[type, Callable[..., Any]]:
    """Module class -> class of its LoRA layer; layers that compute by group keep peft's wrapper of a parameter."""
    from peft.tuners.lora import Linear, ParamWrapper
    from torch import nn

    classes: dict[type, Callable[..., Any]] = {type(model.get_submodule(name)): ParamWrapper for name in grouped}
    return {**classes, nn.Linear: linear_class or Linear}


def _grouped_targets(model: Any, config: Any) -> list[str]:
    """Modules that an adapter's config names by their weight and that are more than an `nn.Linear`."""
    from torch import nn

    endings = tuple(f".{target}" for target in config.target_parameters or ())
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and type(module) is not nn.Linear and f".{name}.weight".endswith(endings)
    ]


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value


@contextmanager
def _quiet_peft() -> Iterator[None]:
    """Without two warnings that are not the user's: of a rank pattern that matched no module (peft looks at modules
    only, ours name parameters), and of a name that peft still uses and transformers has changed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message="`is_gradient_checkpointing`")
        warnings.filterwarnings("ignore", message=r"The following (rank|alpha)_pattern keys did not match")
        yield


def _check_loaded(model: Any, path: Path) -> None:
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import load_file

    stored = load_file(path)
    placed = get_peft_model_state_dict(model, save_embedding_layers=False)
    wrong = sorted(set(stored) ^ set(placed)) + sorted(
        name
        for name in set(stored) & set(placed)
        if not torch.equal(stored[name], placed[name].cpu().to(stored[name].dtype))
    )
    if wrong:
        raise TrainingError(
            "The adapter does not fit this base: its answers would be wrong without an error.",
            got=f"{len(wrong)} tensors, among them {', '.join(wrong[:3])}",
            allowed=f"every tensor of {path.name} in its place",
            do="load it on the base it was trained on",
        )
