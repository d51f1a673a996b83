"""Any other causal language model that transformers has: every linear layer but the head."""

from __future__ import annotations

from yibu.bases import Facts, Role

FACTS = Facts(
    name="generic",
    model_types=(),
    roles=(
        Role("head", r"(.*\.)?(lm_head|embed_out)", "head"),
        Role("router", r".*\.(gate|router|wg)", "router"),
        Role("indexer", r".*\.indexer\..*", "indexer"),
        Role("vision", r"(.*\.)?(vision|visual|audio|multi_modal|multimodal)\w*(\..*)?", "other"),
        Role("experts", r".*\.experts\.(gate_up_proj|down_proj)", "experts", optional=True),
        Role("linear", r".*", "linear", adapt=True),
    ),
    stop_tokens=("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "</s>"),
    template=None,
    isolated_packing=False,
    attention="eager",
    attentions=("eager",),
    notes=(
        "Packing is off: whether an unknown attention keeps rows apart cannot be known without a look at it.",
        "A linear layer that routes tokens to experts is taken for a router by its usual names and left alone.",
    ),
)
