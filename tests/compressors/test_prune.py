"""What is dropped is what the rows do not need, and plain transformers loads what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from tiny import ARCHITECTURES, SPECIAL, VOCABULARY, tiny_ids, tiny_model, tiny_tokenizer
from yibu import bases
from yibu.compress.calibrate import has_routers
from yibu.compressors import Calibration, prune
from yibu.compressors._layers import drop_layers, influences
from yibu.compressors._vocabulary import check_round_trip, closed, counts_of, trimmed
from yibu.core.errors import InputError
from yibu.model.experts import score_experts
from yibu.model.render import Example

ROWS = [row.tolist() for row in tiny_ids(4)]
MIXTURES = [name for name in ARCHITECTURES if name.startswith("deepseek")]


def calibration(**parts: Any) -> Calibration:
    return Calibration(**{"rows": ROWS, "tokenizer": tiny_tokenizer(), **parts})


def shares_of(model: Any) -> Any:
    facts = bases.facts_for(model.config)
    examples = [Example(tuple(row), (True,) * len(row), str(number)) for number, row in enumerate(ROWS)]
    return score_experts(model, facts, examples, packed=False, pack_tokens=512).token


def compressed(model: Any, given: Calibration, **settings: Any) -> dict[str, Any]:
    return prune.compress(model, prune.Settings(**settings), bases.facts_for(model.config), given)


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


def reloaded(model: Any, folder: Path) -> Any:
    prune.save(model, folder, prune.Settings(layers=1))
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def test_a_layer_that_does_nothing_has_no_influence_and_goes_first() -> None:
    model = tiny_model(num_hidden_layers=4)
    for name, parameter in model.model.layers[2].named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.data.zero_()
    scores = influences(model, ROWS)
    assert scores[2] == pytest.approx(0, abs=1e-6)
    assert min(scores[:2] + scores[3:]) > 0.01
    before = logits(model, torch.tensor(ROWS))
    assert drop_layers(model, scores, 1) == [2]
    assert torch.allclose(logits(model, torch.tensor(ROWS)), before, atol=1e-5)


def test_influence_is_the_mean_turn_of_every_token() -> None:
    model = tiny_model()
    with torch.no_grad():
        states = [model(input_ids=torch.tensor([row]), output_hidden_states=True).hidden_states for row in ROWS]
    turns = [1 - torch.cosine_similarity(one[0][0], one[1][0], dim=-1) for one in states]
    assert influences(model, ROWS)[0] == pytest.approx(float(torch.cat(turns).mean()), rel=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fewer_layers_are_read_by_plain_transformers(architecture: str, tmp_path: Path) -> None:
    model = tiny_model(architecture)
    number = model.config.num_hidden_layers
    told = compressed(model, calibration(), layers=1)
    assert model.config.num_hidden_layers == number - 1
    assert told["parameters"] < told["of"]
    read = reloaded(model, tmp_path)
    assert len(read.model.layers) == number - 1
    assert torch.allclose(logits(read, tiny_ids()), logits(model, tiny_ids()), atol=1e-5)
    cached = model.generate(tiny_ids(1), max_new_tokens=3, do_sample=False)
    assert torch.equal(read.generate(tiny_ids(1), max_new_tokens=3, do_sample=False), cached)


def test_config_of_layers_follows(tmp_path: Path) -> None:
    model = tiny_model("gemma3")
    types = list(model.config.layer_types)
    gone = compressed(model, calibration(), layers=1)["layers"]
    assert model.config.layer_types == [kind for number, kind in enumerate(types) if number not in gone]
    deep = tiny_model("deepseek_v3", num_hidden_layers=3)
    assert drop_layers(deep, [0.1, 0.5, 0.6], 1) == [0]
    assert deep.config.first_k_dense_replace == 0
    assert torch.allclose(logits(reloaded(deep, tmp_path), tiny_ids()), logits(deep, tiny_ids()), atol=1e-5)


def test_not_all_layers_can_go() -> None:
    with pytest.raises(InputError, match="More layers"):
        compressed(tiny_model(), calibration(), layers=2)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "deepseek_v3"])
def test_a_trimmed_vocabulary_gives_the_same_model_under_new_ids(architecture: str, tmp_path: Path) -> None:
    """Tied and untied output layers; ids of the config and the embedding follow."""
    model, tokenizer = tiny_model(architecture), tiny_tokenizer()
    text = "The patient has chest pain and a cough. 患者咳嗽"
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    before = logits(model, ids)
    given = calibration(kept=frozenset(ids[0].tolist()), stops=[4])
    told = compressed(model, given, vocabulary=True)["vocabulary"]
    kept = closed(tokenizer, ids[0].tolist())
    assert told["kept"] == len(kept) == model.config.vocab_size < VOCABULARY
    after = torch.tensor([given.tokenizer(text)["input_ids"]])
    assert [kept[number] for number in after[0].tolist()] == ids[0].tolist()
    read = reloaded(model, tmp_path)
    assert read.get_input_embeddings().weight.shape[0] == len(kept)
    assert torch.allclose(logits(read, after), before[:, :, kept], atol=1e-5)
    assert kept[read.config.eos_token_id] == 4
    assert given.tokenizer.convert_tokens_to_ids("<|im_end|>") == kept.index(4)


def test_any_text_survives_a_trimmed_tokenizer_and_known_text_keeps_its_tokens(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    known = "The patient has a fever."
    kept = closed(tokenizer, counts_of(tokenizer, [known]))
    small = trimmed(tokenizer, kept)
    strange = ["Über straße 🙂 \x00", "患者咳嗽三天", "<|im_start|>user\nhi<|im_end|>\n", "  two  blanks", "allergies"]
    assert check_round_trip(tokenizer, small, kept, [known, *strange]) == {"texts": 6, "in_the_same_tokens": 1}
    assert small.chat_template == tokenizer.chat_template
    small.save_pretrained(tmp_path)
    again = type(small).from_pretrained(tmp_path)
    assert [again(text)["input_ids"] for text in strange] == [small(text)["input_ids"] for text in strange]
    assert [kept[number] for number in small.all_special_ids] == tokenizer.all_special_ids
    assert len(kept) < VOCABULARY - len(SPECIAL)


def test_a_text_that_is_another_one_is_noticed() -> None:
    tokenizer = tiny_tokenizer()
    kept = closed(tokenizer, counts_of(tokenizer, ["cough"]))
    with pytest.raises(InputError, match="no longer the same"):
        check_round_trip(tokenizer, trimmed(tokenizer, kept), [*kept[:-2], kept[-1], kept[-2]], ["cough", "heart"])


def test_tokenizers_of_another_type_say_so() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(InputError, match="cannot be trimmed"):
        compressed(tiny_model(), calibration(tokenizer=words), vocabulary=True)


def test_general_text_keeps_what_it_says_often_enough(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("cough cough cough\nallergies\n", encoding="utf-8")
    sizes = [
        compressed(tiny_model(), calibration(), vocabulary=True, **more)["vocabulary"]["kept"]
        for more in ({}, {"general": str(tmp_path)}, {"general": str(tmp_path / "a.txt"), "least": 2})
    ]
    assert sizes[0] < sizes[2] < sizes[1]
    with pytest.raises(InputError, match="no general text"):
        compressed(tiny_model(), calibration(), vocabulary=True, general=str(tmp_path / "nothing"))


@pytest.mark.parametrize("architecture", [name for name in MIXTURES if name != "deepseek_v4"])
def test_experts_that_are_asked_least_go(architecture: str, tmp_path: Path) -> None:
    model = tiny_model(architecture)
    assert has_routers(model, bases.facts_for(model.config))
    shares = shares_of(model)
    told = compressed(model, calibration(shares=shares), experts=3)
    for layer, kept in told["experts"].items():
        gone = set(range(4)) - set(kept)
        assert len(gone) == 1
        assert shares[layer][gone.pop()] == min(shares[layer])
    assert model.config.n_routed_experts == 3
    read = reloaded(model, tmp_path)
    assert read.model.layers[1].mlp.experts.down_proj.shape[0] == 3
    assert torch.allclose(logits(read, tiny_ids()), logits(model, tiny_ids()), atol=1e-5)


def test_an_expert_that_nobody_asks_changes_nothing() -> None:
    model = tiny_model("deepseek_v3")
    router = model.model.layers[1].mlp.gate
    router.e_score_correction_bias[2] = -100.0
    before = logits(model, torch.tensor(ROWS))
    told = compressed(model, calibration(shares=shares_of(model)), experts=3)
    assert told["experts"] == {1: [0, 1, 3]}
    assert torch.allclose(logits(model, torch.tensor(ROWS)), before, atol=1e-5)


def test_experts_stay_equally_many_in_every_group() -> None:
    model = tiny_model("deepseek_v3", n_routed_experts=8, n_group=2, topk_group=1)
    told = compressed(model, calibration(shares=shares_of(model)), experts=6)
    (kept,) = told["experts"].values()
    assert [sum(expert < 4 for expert in kept), sum(expert >= 4 for expert in kept)] == [3, 3]
    with pytest.raises(InputError, match="multiple"):
        compressed(
            tiny_model("deepseek_v3", n_routed_experts=8, n_group=2), calibration(shares={1: [0.1] * 8}), experts=5
        )


@pytest.mark.parametrize("count", [1, 4])
def test_a_number_of_experts_that_the_router_cannot_use(count: int) -> None:
    model = tiny_model("deepseek_v3")
    with pytest.raises(InputError, match="So many experts"):
        compressed(model, calibration(shares=shares_of(model)), experts=count)


@pytest.mark.parametrize("architecture", ["llama", "deepseek_v4"])
def test_experts_that_cannot_be_dropped(architecture: str) -> None:
    model = tiny_model(architecture)
    shares = shares_of(model) if architecture != "llama" else {}
    with pytest.raises(InputError, match=r"no routed experts|A table names experts"):
        compressed(model, calibration(shares=shares), experts=3)


@pytest.mark.parametrize("settings", [{}, {"layers": 1, "general": "x.txt"}, {"layers": -1}])
def test_settings_that_drop_nothing(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        prune.Settings(**settings)
