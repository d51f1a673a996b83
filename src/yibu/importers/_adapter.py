"""Keys about the adapter: which kind, how large, on which modules, which variant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from yibu.core.architecture import Facts
from yibu.importers._draft import Draft

# The layer of Llama and Qwen2, and multi-head latent attention: what the tools' users write, and the roles here.
_ROLES = {
    "q_proj": "attention_q",
    "q_a_proj": "attention_q",
    "q_b_proj": "attention_q",
    "k_proj": "attention_kv",
    "v_proj": "attention_kv",
    "kv_a_proj_with_mqa": "attention_kv",
    "kv_b_proj": "attention_kv",
    "o_proj": "attention_o",
    "gate_proj": "mlp",
    "up_proj": "mlp",
    "down_proj": "mlp",
}
_TOGETHER = (
    {"k_proj", "v_proj"},
    {"gate_proj", "up_proj", "down_proj"},
    {"q_a_proj", "q_b_proj"},
    {"kv_a_proj_with_mqa", "kv_b_proj"},
)
_PLACES = ("{}", "model.layers.0.{}", "model.layers.0.self_attn.{}", "model.layers.0.mlp.{}")
_MIXED = ("model.layers.0.mlp.shared_experts.{}",)
_ALL = {"all", "all-linear", "all_linear"}
_ADAPTABLE = ("linear", "grouped", "experts")


def choose_kind(draft: Draft, name: str, kind: str) -> bool:
    """Set ``adapter.kind``; False where this version of yibu has no such adapter."""
    if draft.put({"adapter": {"kind": kind}}) is None:
        draft.take(name, "adapter.kind", kind)
        return True
    draft.leave(name, f"this version of yibu has no adapter {kind!r}; the recipe trains LoRA")
    return False


def choose_quantised(draft: Draft, name: str, bits: Any) -> None:
    """4 bits are `qlora`; 8 bits have no counterpart."""
    if bits in (None, 0, False):
        draft.agree(name, "the base is not quantised")
    elif bits in (4, "4"):
        choose_kind(draft, name, "qlora")
    else:
        draft.leave(name, "4 bits only (adapter.kind: qlora); the base is kept in 16")


def choose_double(draft: Draft, name: str, default: bool) -> None:
    """Whether the scales of a base in 4 bits are quantised too; only asked of `qlora`."""
    value = draft.table.get(name)
    if draft.value("adapter.kind") != "qlora":
        if name in draft.table:
            draft.leave(name, "the base is not quantised")
    elif value is None:
        draft.default(name, default, "adapter.double_quant", default)
    else:
        draft.take(name, "adapter.double_quant", bool(value))


def choose_targets(draft: Draft, name: str, wanted: Any) -> None:
    """``targets`` from names of modules, a list, or one of the words for all."""
    if isinstance(wanted, str) and (re.search(r"[\\^$|()*]", wanted) or ".*" in wanted):
        draft.leave(name, "a regular expression; name roles in adapter.targets (`yibu check` prints them)")
        return
    names = as_list(wanted)
    facts = draft.facts
    mixed = facts is not None and any(role.kind == "experts" for role in facts.roles)
    if set(names) & _ALL:
        why = (
            "all means attention, dense and shared experts here; in peft it means the routed experts and the router, "
            "and shared experts get nothing. Routed experts: adapter.experts"
        )
        draft.take(name, "adapter.targets", "all", why if mixed else "", state="changed" if mixed else "taken")
        return
    roles, missing = _roles(names, facts)
    told = [f"{', '.join(missing)}: not adapted in yibu"] if missing else []
    if not roles:
        draft.leave(name, "; ".join(told) or "it names no module")
        return
    leaves = {one.rpartition(".")[2] for one in names}
    extra = sorted({leaf for group in _TOGETHER if group & leaves for leaf in group - leaves})
    if extra:
        told.append(f"{', '.join(extra)} too: they share a role with what is named")
    if mixed and leaves & _TOGETHER[1]:
        told.append("dense layers and shared experts; routed experts: adapter.experts")
    if facts is None:
        told.append("taken for a base with the layers of Llama")
    whole = {role.name for role in facts.roles if role.adapt} if facts else set(_ROLES.values())
    value: Any = "all" if set(roles) == whole else roles
    draft.take(name, "adapter.targets", value, "; ".join(told), state="changed" if extra or missing else "taken")


def choose_parameters(draft: Draft, name: str, wanted: Any, others: bool) -> None:
    """``target_parameters``: how the tools name fused experts.

    Args:
        others: whether modules are named besides; if not, experts alone are adapted.
    """
    if not any("experts" in one for one in as_list(wanted)):
        draft.leave(name, "only the parameters of routed experts have a counterpart (adapter.experts)")
    elif others:
        draft.change(name, "adapter.experts", True, "each expert gets the rank r / (experts per token)")
    else:
        draft.change(name, "adapter.targets", ["experts"], "each expert gets the rank r / (experts per token)")


def choose_init(draft: Draft, name: str, value: Any) -> None:
    """How a low-rank update begins."""
    word = str(value).lower()
    if word in ("true", "default", "lora"):
        draft.agree(name, "the update begins at zero")
    elif word.startswith("pissa"):
        draft.take(name, "adapter.init", "pissa")
    elif word == "eva":
        draft.take(name, "adapter.init", "eva")
    else:
        draft.leave(name, "yibu knows zero, pissa and eva (adapter.init)")


def choose_flag(draft: Draft, name: str, path: str) -> None:
    """A switch that is off here too unless set."""
    if draft.table[name]:
        draft.take(name, path, draft.table[name])
    else:
        draft.agree(name, "off here too")


def as_list(value: Any) -> list[str]:
    """A list, or words between commas or blanks, as a list."""
    if value is None:
        return []
    if isinstance(value, str):
        return [part for part in re.split(r"[\s,]+", value) if part]
    return [str(part) for part in value] if isinstance(value, (list, tuple, dict)) else [str(value)]


def _roles(names: Sequence[str], facts: Facts | None) -> tuple[list[str], list[str]]:
    """Roles that the names mean, in the order of the facts, and names that mean none."""
    found: set[str] = set()
    missing = []
    for name in names:
        if facts is None:
            role = _ROLES.get(name.rpartition(".")[2])
            roles = {role} if role else set()
        else:
            places = [place.format(name) for place in (*_PLACES, *_MIXED)]
            seen = [facts.role_of(place) for place in places]
            roles = {role.name for role in seen if role is not None and role.kind in _ADAPTABLE}
        found |= roles
        if not roles:
            missing.append(name)
    order = [role.name for role in facts.roles] if facts else list(dict.fromkeys(_ROLES.values()))
    return [name for name in order if name in found], missing
