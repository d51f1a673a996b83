"""Kept lower layers change no loss and no gradient; where they would, they are refused."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open

from tiny import tiny_ids, tiny_model
from yibu import adapters, bases
from yibu.adapters.lora import Settings
from yibu.core.errors import InputError, NoSpace
from yibu.model import attention, kept_rows
from yibu.model import lower as module
from yibu.model.kept_rows import bytes_used, remove
from yibu.model.lora_linear import FusedLoraLinear
from yibu.model.lower import Lower
from yibu.model.packing import example_losses, make_pack, pack_loss
from yibu.model.render import Example

DEEPER: dict[str, dict[str, Any]] = {
    "gemma3": {"layer_types": ["sliding_attention", "full_attention"] * 2},
    "deepseek_v4": {
        "layer_types": [
            "sliding_attention",
            "compressed_sparse_attention",
            "heavily_compressed_attention",
            "compressed_sparse_attention",
        ],
        "mlp_layer_types": ["hash_moe", "moe", "hash_moe", "moe"],
    },
}
PACKABLE = ("llama", "qwen2", "gemma3", "deepseek_v2", "deepseek_v2_low_rank_q", "deepseek_v3")
ALONE = ("deepseek_v32", "deepseek_v4")
DIGEST = "a" * 64
Usage = namedtuple("Usage", "total used free")


def adapted(architecture: str, top: int = 2, seed: int = 0, packed: bool = True, **changes: Any) -> Any:
    """Four layers, LoRA in the upper `top`, whose B is not zero, so that it has an effect."""
    base = tiny_model(architecture, seed, **{"num_hidden_layers": 4, **DEEPER.get(architecture, {}), **changes})
    facts = bases.facts_for(base.config)
    if packed and facts.isolated_packing:
        base.set_attn_implementation(attention.NAME)
    plug, settings = adapters.FAMILY.load("lora"), Settings(r=4, layers=f"top-{top}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = plug.attach(base, plug.plan(base, facts, settings), settings, linear_class=FusedLoraLinear)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if ".lora_B." in name:
                    parameter.normal_(std=0.05)
    return model


def rows(prefix: int = 0, lengths: tuple[int, ...] = (21, 6, 40, 13), seed: int = 0) -> list[Example]:
    start = tuple(tiny_ids(1, prefix, 99)[0].tolist()) if prefix else ()
    made = []
    for index, length in enumerate(lengths):
        ids = start + tuple(tiny_ids(1, length, seed + index)[0].tolist())
        made.append(Example(ids, tuple(place >= prefix + length // 2 for place in range(len(ids))), f"row-{index}"))
    return made


def losses_and_gradients(model: Any, packs: list[Any], lower: Lower | None) -> tuple[torch.Tensor, dict[str, Any]]:
    """Gradients accumulated over packs, as a training step does."""
    model.zero_grad(set_to_none=True)
    total = sum(pack.num_targets for pack in packs)
    losses = []
    for pack in packs:
        if lower is None:
            loss = pack_loss(model, pack) / total
        else:
            with lower.feeding(pack):
                loss = pack_loss(model, pack) / total
        loss.backward()
        losses.append(loss.detach())
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return torch.stack(losses), gradients


def compare(model: Any, packs: list[Any], lower: Lower) -> None:
    model.train()
    losses, gradients = losses_and_gradients(model, packs, None)
    kept_losses, kept_gradients = losses_and_gradients(model, packs, lower)
    torch.testing.assert_close(kept_losses, losses, rtol=1e-5, atol=1e-5)
    assert kept_gradients.keys() == gradients.keys()
    assert all(float(gradient.abs().max()) > 0 for gradient in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            kept_gradients[name], gradient, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("prefix", [0, 11])
@pytest.mark.parametrize("architecture", PACKABLE)
def test_packs_have_the_losses_and_gradients_of_the_whole_model(architecture: str, prefix: int, tmp_path: Path) -> None:
    model, data = adapted(architecture), rows(prefix)
    lower = Lower(model, tmp_path, DIGEST)
    assert lower.first == 2
    lower.fill(data, prefix)
    assert lower.check(data, prefix) <= 1e-5
    compare(model, [make_pack(data[:3], prefix), make_pack(data[3:], prefix)], lower)


@pytest.mark.parametrize("architecture", ALONE)
def test_rows_alone_have_the_losses_and_gradients_of_the_whole_model(architecture: str, tmp_path: Path) -> None:
    model, data = adapted(architecture), rows()
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(data)
    assert lower.check(data) <= 1e-5
    compare(model, [make_pack([row]) for row in data], lower)


def test_hyper_connections_keep_every_stream(tmp_path: Path) -> None:
    lower = Lower(adapted("deepseek_v4"), tmp_path, DIGEST)
    assert lower.shape == (2, 64)
    assert lower.token_bytes == 2 * 64 * 4


@pytest.mark.parametrize("prefix", [3, 30])
def test_a_window_reaches_into_the_common_beginning_as_far_as_it_does_without(prefix: int, tmp_path: Path) -> None:
    """The tiny Gemma's window is 16 tokens: shorter than this beginning, and longer."""
    model, data = adapted("gemma3", top=1), rows(prefix)
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(data, prefix)
    compare(model, [make_pack(data, prefix)], lower)


@pytest.mark.parametrize("top", [1, 3])
def test_any_depth_and_the_models_own_layers_are_back_afterwards(top: int, tmp_path: Path) -> None:
    model, data = adapted("llama", top), rows()
    names = [name for name, _ in model.named_modules()]
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(data)
    pack = make_pack(data)
    with pytest.raises(ZeroDivisionError), lower.feeding(pack):
        _ = 1 / 0
    assert [name for name, _ in model.named_modules()] == names
    compare(model, [pack], lower)
    assert lower.first == 4 - top


def test_lower_layers_are_not_run(tmp_path: Path) -> None:
    model, data = adapted("llama"), rows()
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(data)
    calls: list[int] = []
    for number, layer in enumerate(model.get_base_model().model.layers):
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    with lower.feeding(make_pack(data)):
        pack_loss(model, make_pack(data))
    assert calls == [2, 3]


def test_recomputed_activations_give_the_same_gradients(tmp_path: Path) -> None:
    model, data = adapted("llama"), rows()
    plain = losses_and_gradients(model.train(), [make_pack(data)], None)[1]
    model.get_base_model().activation_checkpointing_enable({"use_reentrant": False})
    model.get_base_model().enable_input_require_grads()
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(data)
    kept = losses_and_gradients(model.train(), [make_pack(data)], lower)[1]
    for name, gradient in plain.items():
        torch.testing.assert_close(kept[name], gradient, rtol=1e-4, atol=1e-5)


def test_another_order_of_accumulation_changes_no_gradient(tmp_path: Path) -> None:
    model, data = adapted("llama"), rows()
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(data)
    together = losses_and_gradients(model, [make_pack(data)], lower)[1]
    apart = losses_and_gradients(model, [make_pack([row]) for row in data], lower)[1]
    for name, gradient in together.items():
        torch.testing.assert_close(apart[name], gradient, rtol=1e-4, atol=1e-5)


def test_sixteen_bits_are_kept_in_sixteen_bits(tmp_path: Path) -> None:
    model, data = adapted("llama").to(torch.bfloat16), rows()
    lower = Lower(model, tmp_path, DIGEST)
    kept = lower.fill(data)
    assert lower.dtype == torch.bfloat16
    assert kept.bytes_written == 80 * 64 * 2
    assert lower.check(data) < 5e-2


def test_new_rows_alone_are_computed(tmp_path: Path) -> None:
    data = rows(11)
    first = Lower(adapted("llama"), tmp_path, DIGEST)
    assert first.need(data[:2], 11) == (11 + 21 + 6) * 64 * 4
    kept = first.fill([*data[:2], data[0]], 11)
    assert (kept.computed, kept.found) == (3, 0)  # the beginning and two rows; the third is the first once more
    second = Lower(adapted("llama"), tmp_path, DIGEST)
    kept = second.fill(data, 11)
    assert (kept.computed, kept.found) == (2, 3)
    assert second.need(data, 11) == 0
    assert second.bytes_used == bytes_used(tmp_path) >= (11 + 80) * 64 * 4
    assert first.fill(data, 11).computed == 0  # the first sees what the second wrote


def test_what_is_kept_of_a_row_does_not_depend_on_the_rows_around_it(tmp_path: Path) -> None:
    model, data = adapted("llama"), rows(11)
    one, other = Lower(model, tmp_path / "one", DIGEST), Lower(model, tmp_path / "other", DIGEST)
    one.fill(data, 11)
    other.fill([data[2]], 11)
    other.fill(data[::-1], 11)
    for a, b in zip(one.hidden(data, 11), other.hidden(data, 11), strict=True):
        assert torch.equal(a, b)
    pack = make_pack(data, 11)
    assert torch.equal(one.of_pack(pack), other.of_pack(pack))


def test_another_base_layer_type_or_thread_count_is_another_key(tmp_path: Path) -> None:
    def folder(model: Any, digest: str = DIGEST) -> Path:
        return Lower(model, tmp_path, digest).folder

    known = folder(adapted("llama"))
    assert folder(adapted("llama")) == known
    changed = adapted("llama")
    with torch.no_grad():  # as a merged adapter or a base in fewer bits would
        changed.get_base_model().model.layers[1].mlp.up_proj.weight *= 1.01
    upper = adapted("llama")
    with torch.no_grad():
        upper.get_base_model().model.layers[3].mlp.up_proj.base_layer.weight *= 1.01
    others = [
        folder(adapted("llama"), "b" * 64),
        folder(adapted("llama", top=1)),
        folder(adapted("llama").to(torch.bfloat16)),
        folder(adapted("llama", seed=1)),
        folder(changed),
    ]
    assert len({known, *others}) == 6
    assert folder(upper) == known
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert folder(adapted("llama")) != known
    finally:
        torch.set_num_threads(threads)


def test_another_template_is_another_row(tmp_path: Path) -> None:
    lower, data = Lower(adapted("llama"), tmp_path, DIGEST), rows()
    lower.fill(data)
    longer = [replace(row, ids=(7, *row.ids), trained=(False, *row.trained)) for row in data]
    assert lower.fill(longer).computed == len(data)


def test_a_killed_run_leaves_nothing_that_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_rows, "_FILE_ROWS", 2)
    model, data = adapted("llama"), rows()
    lower = Lower(model, tmp_path, DIGEST)
    run, calls = lower._run, []

    def dies(*args: Any) -> torch.Tensor:
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return run(*args)

    monkeypatch.setattr(lower, "_run", dies)
    with pytest.raises(KeyboardInterrupt):
        lower.fill(data)
    (lower.folder / ".0.yibu-tmp").write_bytes(b"of a run that was killed while it wrote")
    again = Lower(model, tmp_path, DIGEST)
    kept = again.fill(data)
    assert (kept.computed, kept.found) == (2, 2)  # the first file was whole
    assert sorted(path.suffix for path in again.folder.iterdir()) == ["", ".safetensors", ".safetensors"]
    compare(model, [make_pack(data)], again)


def test_a_damaged_file_is_left_out_and_made_again(tmp_path: Path) -> None:
    model, data = adapted("llama"), rows()
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(data)
    (path,) = lower.folder.glob("rows-*")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again = Lower(model, tmp_path, DIGEST)
    assert again.fill(data).computed == len(data)
    assert path.read_bytes() == whole


def test_files_are_safetensors_for_the_owner_alone(tmp_path: Path) -> None:
    lower, data = Lower(adapted("llama"), tmp_path, DIGEST), rows()
    lower.fill(data)
    (path,) = lower.folder.glob("rows-*")
    assert path.stat().st_mode & 0o777 == 0o600
    with safe_open(path, framework="pt") as file:
        assert len(list(file.keys())) == len(data)
    assert not any(row.name in path.name for row in data)


def test_a_disk_without_room_is_told_with_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lower, data = Lower(adapted("llama"), tmp_path, DIGEST), rows()
    need = lower.need(data)
    assert need == 80 * 64 * 4
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, module.RESERVE + need - 1))
    with pytest.raises(NoSpace, match=f"{need:,} bytes are needed") as caught:
        lower.fill(data)
    assert f"{need - 1:,} bytes free" in str(caught.value)
    assert bytes_used(tmp_path) == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, module.RESERVE + need))
    assert lower.fill(data).bytes_written == need


def test_a_limit_counts_what_is_kept_already(tmp_path: Path) -> None:
    model, data = adapted("llama"), rows()
    Lower(model, tmp_path, DIGEST).fill(data[:2])
    used = bytes_used(tmp_path)
    need = (40 + 13) * 64 * 4
    with pytest.raises(NoSpace, match=r"of [\d,]+ allowed"):
        Lower(model, tmp_path, DIGEST, max_bytes=used + need - 1).fill(data)
    assert Lower(model, tmp_path, DIGEST, max_bytes=used + need).fill(data).computed == 2


def test_removing_frees_what_was_used(tmp_path: Path) -> None:
    model = adapted("llama")
    Lower(model, tmp_path / "lower", DIGEST).fill(rows())
    used = bytes_used(tmp_path)
    assert remove(tmp_path / "lower") == used > 0
    assert bytes_used(tmp_path) == 0
    assert remove(tmp_path / "lower") == 0
    assert Lower(model, tmp_path / "lower", DIGEST).fill(rows()).computed == 4


def test_a_pack_of_other_rows_is_no_key(tmp_path: Path) -> None:
    model, data = adapted("llama"), rows()
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(data[:2])
    with pytest.raises(KeyError), lower.feeding(make_pack(data)):
        pass
    with pytest.raises(AssertionError, match="other tokens"), lower.feeding(make_pack(data[:1])):
        pack_loss(model, make_pack(data))


def test_an_adapter_in_the_lowest_layer_leaves_nothing_to_keep(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no frozen layers below") as caught:
        Lower(adapted("llama", top=4), tmp_path, DIGEST)
    assert "layer 0 is trained" in str(caught.value)
    frozen = tiny_model("llama").requires_grad_(False)
    with pytest.raises(InputError, match="no layer is trained"):
        Lower(frozen, tmp_path, DIGEST)


@pytest.mark.parametrize("recompute", [False, True])
def test_a_trained_embedding_is_refused(recompute: bool, tmp_path: Path) -> None:
    model = adapted("llama")
    if recompute:  # which lets the embedding's output ask for a gradient whether or not it is trained
        model.get_base_model().enable_input_require_grads()
        Lower(model, tmp_path, DIGEST)
    model.get_base_model().get_input_embeddings().weight.requires_grad_(True)
    with pytest.raises(InputError, match="trained lies below layer 2"):
        Lower(model, tmp_path, DIGEST)


def test_dropout_in_the_base_is_refused_and_in_the_adapter_not(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    with pytest.raises(InputError, match="something else in training"):
        Lower(adapted("llama", attention_dropout=0.5), tmp_path, DIGEST)
    assert torch.equal(torch.get_rng_state(), state)
    model = adapted("llama")
    for child in model.modules():
        if (
            isinstance(child, torch.nn.ModuleDict)
            and "default" in child
            and isinstance(child["default"], torch.nn.Identity)
        ):
            child["default"] = torch.nn.Dropout(0.5)
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(rows())
    assert lower.check(rows()) <= 1e-5


def kept_and_checked(model: Any, root: Path) -> None:
    lower = Lower(model, root, DIGEST)
    lower.fill(rows())
    lower.check(rows())


_SMALL: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
_GEMMA: dict[str, Any] = {
    **_SMALL,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size_per_layer_input": 512,
    "hidden_size_per_layer_input": 16,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 2,
}
SHARING: dict[str, tuple[str, dict[str, Any]]] = {
    # Upper layers take keys and values of lower ones; Gemma 3n also has several streams before the batch.
    "Gemma3nForCausalLM": ("Gemma3nTextConfig", {**_GEMMA, "laurel_rank": 8, "activation_sparsity_pattern": None}),
    "Gemma4ForCausalLM": ("Gemma4TextConfig", {**_GEMMA, "global_head_dim": 16}),
    # Layers take the choice of keys from the layer below.
    "GlmMoeDsaForCausalLM": (
        "GlmMoeDsaConfig",
        {
            **_SMALL,
            "num_key_value_heads": 4,
            "moe_intermediate_size": 32,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "q_lora_rank": 24,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 16,
            "index_topk": 8,
            "index_head_dim": 16,
            "index_n_heads": 2,
            "first_k_dense_replace": 1,
            "indexer_types": ["full", "shared", "full", "shared"],
        },
    ),
}


def of_class(config: str, arguments: dict[str, Any], first: int) -> Any:
    """A random model of a transformers class whose layers from `first` on are trained."""
    model = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, config)(**arguments), attn_implementation="eager"
    )
    model.eval().requires_grad_(False)
    for layer in model.model.layers[first:]:
        layer.requires_grad_(True)
    return model


@pytest.mark.parametrize("first", [1, 3])
@pytest.mark.parametrize("architecture", SHARING)
def test_layers_that_share_state_across_depth_are_refused(architecture: str, first: int, tmp_path: Path) -> None:
    model = of_class(*SHARING[architecture], first)
    with pytest.raises(InputError, match=rf"{architecture}\) cannot be run once and kept"):
        kept_and_checked(model, tmp_path)


@pytest.mark.parametrize(
    ("config", "more"),
    [("GraniteConfig", {"embedding_multiplier": 3.0}), ("CohereConfig", {"eos_token_id": 1}), ("Gemma2Config", {})],
)
def test_architectures_without_facts_are_kept_where_the_check_says_so(
    config: str, more: dict[str, Any], tmp_path: Path
) -> None:
    """They scale their embeddings outside of the embedding; what enters an upper layer has that already."""
    model = of_class(config, {**_SMALL, "num_key_value_heads": 2, "head_dim": 16, **more}, 2)
    kept_and_checked(model, tmp_path)


def test_a_state_that_is_shared_in_silence_is_found_by_its_losses(tmp_path: Path) -> None:
    """No exception: an upper layer adds what a lower one left behind."""
    model, data = adapted("llama"), rows()
    layers = model.get_base_model().model.layers
    left: list[torch.Tensor] = [torch.zeros(1)]
    layers[0].register_forward_hook(lambda layer, inputs, output: left.__setitem__(0, output.mean(dim=(0, 1))))
    layers[3].register_forward_hook(lambda layer, inputs, output: output + left[0])
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(data)
    with pytest.raises(InputError, match="losses of the same rows differ"):
        lower.check(data)
    # A single row: what its own run in `fill` left behind must not pass for a state that the check has found.
    alone = Lower(model, tmp_path / "alone", DIGEST)
    alone.fill(data[:1])
    with pytest.raises(InputError, match="losses of the same rows differ"):
        alone.check(data[:1])


def test_processes_that_ask_at_once_compute_each_row_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from test_lower import DIGEST, Lower, adapted, rows;"
        "print(Lower(adapted('llama'), Path(sys.argv[1]), DIGEST).fill(rows()).computed)"
    )
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent), *sys.path])}
    processes = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    assert sorted(process.communicate(timeout=120)[0].strip() for process in processes) == ["0", "4"]


@pytest.mark.parametrize("wrong", [float("nan"), 1.0])
def test_kept_rows_that_are_wrong_are_refused(wrong: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lower, data = Lower(adapted("llama"), tmp_path, DIGEST), rows()
    lower.fill(data)
    read = lower._rows.read
    spoiled = lower.hidden(data)[3]
    monkeypatch.setattr(
        lower._rows, "read", lambda key: read(key) + wrong if torch.equal(read(key), spoiled) else read(key)
    )
    with pytest.raises(InputError, match="losses of the same rows differ"):
        lower.check(data)


def test_validation_losses_are_the_same(tmp_path: Path) -> None:
    model, data = adapted("llama"), rows(5)
    lower = Lower(model, tmp_path, DIGEST)
    lower.fill(data, 5)
    pack = make_pack(data, 5)
    plain = example_losses(copy.deepcopy(model).eval(), pack)
    with lower.feeding(pack):
        torch.testing.assert_close(example_losses(model.eval(), pack), plain, rtol=1e-5, atol=1e-5)
