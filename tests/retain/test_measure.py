"""Figures are counted as lm-evaluation-harness counts them; the references here are written out with transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tiny import tiny_base
from yibu.core.store import Store
from yibu.model.assemble import for_answers
from yibu.model.likelihood import Asked
from yibu.retain import RetainConfig, SetSettings, retain
from yibu.retain.measure import asked, encode, measure, number_of, windows
from yibu.retain.refusals import refuses
from yibu.retain.sets import Item, read


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return for_answers(tiny_base(tmp_path_factory.mktemp("base")), None, "lora", "cpu", "fp32")


def log_prob(system: Any, context: str, continuation: str) -> float:
    """As lm-evaluation-harness: tokens of the whole text behind those of the context."""
    tokenizer = system.renderer.tokenizer
    before = tokenizer(context)["input_ids"] if context else [tokenizer.bos_token_id]
    ids = tokenizer(context + continuation)["input_ids"] if context else before + tokenizer(continuation)["input_ids"]
    system.model.set_attn_implementation("sdpa")
    with torch.no_grad():
        logs = system.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logs[place - 1, ids[place]]) for place in range(len(before), len(ids)))


def test_pairs(system: Any) -> None:
    sentences = [("The lung is ill.", "The lung are ill."), ("He ran.", "He ran. He"), ("Same.", "Same.")]
    items = [Item(str(n), contexts=("", ""), continuations=pair, choices=pair) for n, pair in enumerate(sentences)]
    found = measure(system, SetSettings(kind="pairs", path="x"), items)
    for record, (good, bad) in zip(found.items, sentences, strict=True):
        margin = log_prob(system, "", good) - log_prob(system, "", bad)
        assert record["margin"] == pytest.approx(margin, abs=1e-3)
        assert record["value"] == float(margin >= 0)


def test_choices_by_likelihood_and_by_length(system: Any) -> None:
    choices = ("a cough", "no", "pain in the chest and a fever")
    item = Item("1", contexts=("The patient has",) * 3, continuations=tuple(" " + c for c in choices), choices=choices)
    found = measure(system, SetSettings(kind="choices", path="x"), [item])
    wanted = np.array([log_prob(system, "The patient has", " " + choice) for choice in choices])
    assert found.items[0]["log_probs"] == pytest.approx(wanted, abs=1e-3)
    assert found.value == float(wanted.argmax() == 0)
    by_length = wanted / np.array([len(choice) for choice in choices])
    assert found.more["accuracy_by_length"] == float(by_length.argmax() == 0)


def test_a_corpus_weighs_by_tokens(system: Any) -> None:
    text = "The patient has had a cough and a fever. 血压正常。"
    found = measure(system, SetSettings(kind="corpus", path="x", window=8), [Item("0", text=text)])
    tokenizer = system.renderer.tokenizer
    ids = tokenizer(text)["input_ids"]
    parts = windows(ids, tokenizer.bos_token_id, 8)
    assert [token for part in parts for token in part.continuation] == ids
    assert all(len(part.context) + len(part.continuation) == 9 for part in parts)
    system.model.set_attn_implementation("sdpa")
    total = 0.0
    for part in parts:
        with torch.no_grad():
            logs = system.model(torch.tensor([part.context + part.continuation])).logits[0].log_softmax(-1)
        total -= sum(float(logs[len(part.context) - 1 + n, token]) for n, token in enumerate(part.continuation))
    assert found.value == pytest.approx(total / len(ids), rel=1e-4)
    assert found.more["bits_per_byte"] == pytest.approx(total / len(text.encode()) / np.log(2), rel=1e-4)
    assert found.better == "lower"


def test_a_cloze_is_right_where_every_token_is_the_first_choice(system: Any) -> None:
    prompt = encode(system.renderer.tokenizer, "The patient has")
    system.model.set_attn_implementation("sdpa")
    with torch.no_grad():
        best = int(system.model(torch.tensor([prompt])).logits[0, -1].argmax())
    word = system.renderer.tokenizer.decode([best])
    items = [Item("0", text="The patient has", target=word), Item("1", text="The patient has", target=" zzz")]
    found = measure(system, SetSettings(kind="cloze", path="x"), items)
    assert [item["value"] for item in found.items] == [1.0, 0.0]


def test_texts_are_cut_where_tokenizers_cut(system: Any) -> None:
    tokenizer = system.renderer.tokenizer
    spaced, plain = asked(tokenizer, "a cough ", "now", 99), asked(tokenizer, "a cough", " now", 99)
    assert spaced == plain
    short = asked(tokenizer, "a cough", " now", len(plain.continuation))
    assert short == Asked(plain.context[-1:], plain.continuation)
    assert asked(tokenizer, "", "<s>now", 99) == asked(tokenizer, "", "now", 99)
    assert encode(tokenizer, "<s>now").count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("so\n#### 1,234.", "1234"),
        ("#### -5", "-5"),
        ("#### $5", ""),
        ("5", ""),
        ("Question: x #### 5", ""),
        ("#### 7\nQuestion: #### 8", "7"),
    ],
)
def test_the_strict_match(answer: str, number: str) -> None:
    assert number_of(answer) == number


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help.",
        "I’m unable to do that.",
        "抱歉，我无法提供。",
        "作为一个人工智能助手",
        "我拒绝回答。",
    ],
)
def test_refusals(answer: str) -> None:
    assert refuses(answer)


@pytest.mark.parametrize(
    "answer",
    ["", "Sure, here is how.", "好的，步骤如下。", "He said hello. " * 20 + "I cannot", "The patient cannot walk."],
)
def test_no_refusals(answer: str) -> None:
    assert not refuses(answer)


def test_the_stage_writes_each_sets_items_and_does_not_measure_twice(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    rows = [{"question": f"{n} + {n}?", "answer": f"#### {2 * n}"} for n in range(4)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "asks.jsonl").write_text('{"prompt": "How?"}\n')
    (tmp_path / "text.txt").write_text("The patient has had a cough.")
    sets = (
        {"kind": "problems", "path": str(tmp_path / "sums.jsonl"), "shots": 1, "max_new_tokens": 3},
        {"kind": "refusals", "path": str(tmp_path / "asks.jsonl"), "max_new_tokens": 3},
        {"kind": "corpus", "path": str(tmp_path / "text.txt")},
    )
    config = {"base_path": str(base), "base_digest": "0" * 64, "retain": {"sets": sets, "dtype": "fp32"}}
    store = Store(tmp_path / "store")
    made = store.run(retain, RetainConfig.model_validate(config))
    figures = made.read_json("retention.json")
    assert [(one["name"], one["n"]) for one in figures["sets"]] == [("sums", 3), ("asks", 1), ("text", 1)]
    items = made.file("items-sums.jsonl").read_text().splitlines()
    assert json.loads(items[0]).keys() >= {"id", "group", "value", "weight"}
    assert store.run(retain, RetainConfig.model_validate(config)).id == made.id
    (tmp_path / "text.txt").write_text("The patient has had a fever.")
    assert store.artifact_id(retain, RetainConfig.model_validate(config)) != made.id


def test_problems_need_some_that_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text('{"question": "1?", "answer": "#### 1"}\n')
    settings = {"sets": ({"kind": "problems", "path": str(tmp_path / "sums.jsonl")},)}
    config = RetainConfig.model_validate({"base_path": "x", "base_digest": "", "retain": settings})
    with pytest.raises(Exception, match="no problems left"):
        Store(tmp_path / "store").run(retain, config)
    assert read(config.retain.sets[0])
