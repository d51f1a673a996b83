"""Bases: what yibu knows of an architecture, as data.

One file is one architecture: a module that defines ``FACTS``. Nothing outside this package asks for a model type; code
asks the facts: which modules are linear and of which role, where experts lie, which template and stop tokens the family
uses, whether rows may share a forward pass. An architecture without a file of its own, but known to transformers, works
through ``generic``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from yibu.core.log import get
from yibu.core.plugs import Family

FAMILY = Family(__name__, requires=("FACTS",))
log = get("bases")

Kind = Literal["linear", "grouped", "experts", "router", "indexer", "head", "embedding", "norm", "other"]


@dataclass(frozen=True)
class Role:
    """A class of modules or parameters that play one part in every layer.

    Attributes:
        name: what recipes call it (``adapter.targets``) and tables print.
        pattern: regular expression that matches the whole dotted name of a module, or of a parameter that no linear
            module owns (fused experts).
        kind: ``linear`` an `nn.Linear` that computes ``x W^T + b``; ``grouped`` an `nn.Linear` subclass that does not;
            ``experts`` a parameter ``[num_experts, out, in]``; the other kinds are never adapted.
        adapt: adapted when a recipe asks for all.
        optional: a legal configuration may lack it (dense layers of a mixture of experts), so its absence is no error.
    """

    name: str
    pattern: str
    kind: Kind
    adapt: bool = False
    optional: bool = False

    def matches(self, name: str) -> bool:
        return re.fullmatch(self.pattern, name) is not None


@dataclass(frozen=True)
class Facts:
    """One architecture.

    Attributes:
        name: the file's name.
        model_types: ``config.model_type`` of transformers that these facts hold for.
        roles: every linear layer and expert of the architecture; the first role that matches a name is its role.
        stop_tokens: end-of-turn tokens of the family, the preferred first; a tokenizer need not have all of them.
        template: Jinja chat template for a tokenizer that has none; None if the family has no format of its own.
        isolated_packing: rows laid end to end can be kept apart by attention alone, through transformers'
            attention interface (``cu_seq_lens_q``).
        masks_padding: an attention mask hides padding in front of a row, so rows of different length may share a
            forward pass; where False, only rows of one length may.
        attention: transformers attention implementation for a forward pass of the plain kind and for generation.
        attentions: every implementation that the architecture supports.
        remote_code: classes that official repositories name in ``auto_map`` and that transformers has natively under
            this model type; they are never run, so a repository that names only these is safe to read.
        examples: hub ids of such models.
        notes: traps, each with its source.
    """

    name: str
    model_types: tuple[str, ...]
    roles: tuple[Role, ...]
    stop_tokens: tuple[str, ...]
    template: str | None
    isolated_packing: bool
    attention: str
    attentions: tuple[str, ...]
    masks_padding: bool = True
    remote_code: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def role_of(self, name: str) -> Role | None:
        """The role that a module or parameter of this full name plays, or None."""
        return next((role for role in self.roles if role.matches(name)), None)


def known() -> dict[str, Facts]:
    """Model type -> facts, for every architecture with a file of its own."""
    every = (plug.FACTS for plug in FAMILY.all().values())
    return {model_type: facts for facts in every for model_type in facts.model_types}


def facts_for(config: Any) -> Facts:
    """Facts of the architecture that a transformers config describes.

    Args:
        config: anything with a ``model_type``.

    Returns:
        The facts of that model type, else those of ``generic`` (with a warning).
    """
    model_type = str(config.model_type)
    found = known().get(model_type)
    if found is not None:
        return found
    log.warning(
        "no facts about the architecture %r: all linear layers but the head are adapted, no packing", model_type
    )
    generic: Facts = FAMILY.load("generic").FACTS
    # transformers has by now chosen what this model supports; eager is what every model has.
    attention = getattr(config, "_attn_implementation", None) or generic.attention
    return replace(generic, model_types=(model_type,), attention=attention, attentions=(attention,))
