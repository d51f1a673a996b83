"""Where the families meet: a base, its facts, an adapter and a task become a model that can be trained or asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from yibu import adapters, bases
from yibu.core.errors import InputError, TrainingError
from yibu.core.log import get
from yibu.core.machine import cpu_flags
from yibu.core.recipe import Settings
from yibu.model import attention
from yibu.model.lora_linear import FusedLoraLinear
from yibu.model.packing import causal_model, example_losses, make_pack
from yibu.model.render import Example, Renderer
from yibu.model.resolve import load_model, load_tokenizer

log = get("assemble")


@dataclass(frozen=True)
class Assembled:
    """A model that is ready, and what belongs to it.

    Attributes:
        model: a transformers model, or a peft model around one.
        renderer: the base's tokenizer and chat template.
        facts: what yibu knows of the architecture.
        plan: what an adapter covers; None without one.
        packed: True if rows may share a forward pass.
        device, dtype: where the model lies and the type of its frozen weights.
    """

    model: Any
    renderer: Renderer
    facts: bases.Facts
    plan: adapters.Plan | None
    packed: bool
    device: torch.device
    dtype: torch.dtype


def for_training(base_path: Path, adapter: Settings, device: str, dtype: str, recompute: bool = False) -> Assembled:
    """Base with a fresh adapter attached; what is trained is fp32, whatever the rest is.

    Raises:
        InputError: an adapter whose targets the base does not have.
        TrainingError: the adapted modules are not those of the plan.
    """
    where = choose_device(device)
    kind = choose_dtype(dtype, where)
    plug = adapters.FAMILY.load(adapter.kind)  # type: ignore[attr-defined]
    masters = getattr(plug, "MASTERS", False)
    shrinks = getattr(plug, "SHRINKS", False)
    model, renderer, facts = _load(
        base_path, torch.device("cpu") if shrinks else where, torch.float32 if masters else kind
    )
    plan = plug.plan(model, facts, adapter)
    tuned = plug.attach(model, plan, adapter, linear_class=FusedLoraLinear)
    adapters.check_attached(tuned, plan, plug.adapted(tuned) if hasattr(plug, "adapted") else None)
    if masters:
        adapters.hold_masters(tuned, kind)
    if shrinks:
        tuned = tuned.to(where)
    if recompute:
        causal_model(tuned).activation_checkpointing_enable({"use_reentrant": False})
        causal_model(tuned).enable_input_require_grads()
    return Assembled(tuned, renderer, facts, plan, facts.isolated_packing, where, kind)


def for_answers(base_path: Path, adapter_path: Path | None, kind: str, device: str, dtype: str) -> Assembled:
    """Base, or base with a trained adapter, in evaluation mode."""
    where = choose_device(device)
    number = choose_dtype(dtype, where)
    if adapter_path is None:
        model, renderer, facts = _load(base_path, where, number)
        return Assembled(model.eval(), renderer, facts, None, facts.isolated_packing, where, number)
    plug = adapters.FAMILY.load(kind)
    shrinks = getattr(plug, "SHRINKS", False)
    model, renderer, facts = _load(base_path, torch.device("cpu") if shrinks else where, number)
    model = plug.load(model, adapter_path, linear_class=FusedLoraLinear)
    if shrinks:
        model = model.to(where)
    return Assembled(model.eval(), renderer, facts, None, facts.isolated_packing, where, number)


def merged(base_path: Path, adapter_path: Path, kind: str) -> Any:
    """A plain transformers model in fp32 on the CPU: the base as it is on disk with the adapter in its weights.

    An adapter that was trained on a base in fewer bits is put on the whole one.

    Raises:
        InputError: adapters of this kind cannot be merged.
    """
    model = load_model(base_path, dtype=torch.float32)
    plug = adapters.FAMILY.load(on_whole_base(kind))
    return plug.merge(plug.load(model, adapter_path)).eval()


def on_whole_base(kind: str) -> str:
    """The kind that an adapter is on a base which is not made smaller: a QLoRA is a LoRA there."""
    return "lora" if getattr(adapters.FAMILY.load(kind), "SHRINKS", False) else kind


def _load(base_path: Path, device: torch.device, dtype: torch.dtype) -> tuple[Any, Renderer, bases.Facts]:
    model = load_model(base_path, dtype=dtype, device=device)
    facts = bases.facts_for(model.config)
    renderer = load_renderer(base_path, facts)
    if facts.isolated_packing:
        use_packed_attention(model)
    return model, renderer, facts


def load_renderer(base_path: Path, facts: bases.Facts) -> Renderer:
    """The base's tokenizer and chat template, or its family's template where it brings none.

    Raises:
        TemplateError: a template that cannot carry an answer and its end.
    """
    tokenizer = load_tokenizer(base_path)
    if tokenizer.chat_template is None and facts.template is not None:
        log.info("the base brings no chat template; the template of the family %s is used", facts.name)
        tokenizer.chat_template = facts.template
    return Renderer(tokenizer, facts.stop_tokens)


def use_packed_attention(model: Any) -> None:
    """For training and scoring; generation needs `use_generating_attention`, which knows caches."""
    causal_model(model).set_attn_implementation(attention.NAME)


def use_generating_attention(model: Any, facts: bases.Facts) -> None:
    """The architecture's own attention, which knows caches and padding."""
    causal_model(model).set_attn_implementation(facts.attention)


def choose_device(wanted: str) -> torch.device:
    """`auto` is the GPU that this process has set as its own (else the first), or the CPU where there is none.

    Raises:
        InputError: cuda was asked for and is not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "train.device is cuda, but torch sees no GPU here.", do="use device: auto, or see `yibu doctor`"
        )
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device("cuda", torch.cuda.current_device()) if wanted == "cuda" else torch.device("cpu")


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`auto`: bf16 where the hardware computes it, else fp16 on a GPU and fp32 on a CPU."""
    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if wanted != "auto":
        return named[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"} else torch.float32


def packing_is_exact(assembled: Assembled, examples: list[Example], prefix: int) -> bool:
    """Whether a pack gives the losses of its rows alone, and both those of the model's own forward pass.

    Asked at every start on a few of the user's own rows: a neighbour that can be seen, or a head that does more than a
    product, would otherwise pass as a slightly different loss.

    Raises:
        TrainingError: the loss of a row alone is not that of the model's own forward pass.
    """
    assembled.model.eval()
    # In 16 bits the same row differs by several hundredths of its loss between two orders of summation; a neighbour
    # that is seen, or a head that does more than a product, moves it by far more.
    tolerance = 2e-4 if assembled.dtype == torch.float32 else 8e-2
    alone = torch.cat(
        [example_losses(assembled.model, make_pack([example]).to(assembled.device)) for example in examples]
    )
    own = torch.stack([_own_loss(assembled, example) for example in examples])
    if not torch.allclose(alone, own, rtol=tolerance, atol=tolerance):
        raise TrainingError(
            "yibu's loss of a row is not the loss of the model's own forward pass, so it would train something else.",
            got=f"largest difference {float((alone - own).abs().max()):.3g} in architecture {assembled.facts.name}",
            do="report the architecture; its output layer does more than yibu knows of",
        )
    if not assembled.packed:
        return False
    together = example_losses(assembled.model, make_pack(examples, prefix).to(assembled.device))
    if torch.allclose(together, alone, rtol=tolerance, atol=tolerance):
        return True
    log.warning(
        "packed rows see their neighbours in this architecture (losses differ by %.3g); rows run one by one",
        float((together - alone).abs().max()),
    )
    return False


@torch.no_grad()
def _own_loss(assembled: Assembled, example: Example) -> torch.Tensor:
    """Summed loss by the plain path of transformers: every logit, attention as the library has it."""
    causal = causal_model(assembled.model)
    before = causal.config._attn_implementation
    causal.set_attn_implementation(assembled.facts.attention)
    try:
        ids = torch.tensor([example.ids], device=assembled.device)
        logits = causal(input_ids=ids, use_cache=False).logits[0, :-1].float()
    finally:
        causal.set_attn_implementation(before)
    wanted = torch.tensor(example.trained[1:], device=assembled.device)
    return torch.nn.functional.cross_entropy(logits[wanted], ids[0, 1:][wanted], reduction="sum")
