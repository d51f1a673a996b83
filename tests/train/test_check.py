from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tiny import tiny_base, tiny_tokenizer
from yibu.adapters import lora, qlora
from yibu.core.errors import MissingExtra, TemplateError
from yibu.core.recipe import parse
from yibu.core.store import Artifact, Store
from yibu.model.render import Renderer
from yibu.prepare import PrepareConfig, prepare
from yibu.tasks import settings_of
from yibu.train import BaseSettings, Config, TrainSettings
from yibu.train.check import Outlook, check, outline, pack_sizes, pieces

CLASSIFY = {"kind": "classify", "prompt": "{text}", "label": "{label}"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def data(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    source = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [
        {"text": f"咳嗽 cough {'again ' * (number % 7)}{number}", "label": "ab"[number % 2]} for number in range(60)
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = parse(PrepareConfig, {"data": {"source": str(source)}, "task": CLASSIFY})
    return store.run(prepare, config)


def outlook(base: Path, data: Artifact, adapter: dict[str, Any] | None = None, **settings: Any) -> Outlook:
    config = Config(
        base=BaseSettings(name="tiny", path=str(base), digest=""),
        task=settings_of(CLASSIFY),
        adapter=parse(lora.Settings, adapter or {}),
        train=TrainSettings(**settings),
    )
    return check(config, data)


def test_it_sees_what_training_would_see(base: Path, data: Artifact, store: Store) -> None:
    found = outlook(base, data, batch=4, accumulate=2, epochs=3)
    rows = found.rows["splits"]["train"]
    assert found.refusals == ()
    assert found.lengths is not None
    assert found.lengths.count == rows == found.stops_trained
    assert sum(count for _, _, count in found.lengths.histogram) == rows
    assert found.lengths.p50 <= found.lengths.p90 <= found.lengths.p99 <= found.lengths.max
    assert found.trained == sum(row["parameters"] for row in found.plan) > 0
    assert found.course is not None
    assert found.course.steps == 3 * -(-rows // 8)
    assert found.course.train_seconds > 0
    assert found.memory is not None
    assert found.memory.total > found.memory.activations > 0
    assert json.loads(json.dumps(found.as_dict()))["stop_token"] == "<|im_end|>"
    assert [artifact.id for artifact in store.artifacts()] == [data.id], "nothing was made"


def test_a_preview_is_the_row_token_by_token(base: Path, data: Artifact) -> None:
    (first, *_), tokenizer = outlook(base, data).previews, tiny_tokenizer()
    kinds = [kind for _, kind in first]
    assert kinds[-2:] == ["target", "stop"]
    assert first[-1][0] == "<|im_end|>"
    text = "".join(piece for piece, _ in first)
    assert "�" not in text, "characters of several tokens are whole"
    assert "咳嗽" in text
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == [
        token for piece, _ in first for token in tokenizer(piece, add_special_tokens=False)["input_ids"]
    ]


def test_special_tokens_of_the_prompt_are_not_shown_as_trained() -> None:
    renderer = Renderer(tiny_tokenizer())
    row = pieces(renderer.example([{"role": "user", "content": "ask"}], "answer"), renderer)
    assert [(text, kind) for text, kind in row if kind in ("special", "stop")] == [
        ("<|im_end|>", "special"),
        ("<|im_end|>", "stop"),
    ]
    assert ("answer", "target") in row


def test_rows_too_long_are_named_and_refused(base: Path, data: Artifact) -> None:
    limit = 30
    found = outlook(base, data, max_length=limit)
    assert found.lengths is not None
    assert found.lengths.too_long
    assert len(found.refusals) == 1
    assert "a target is never cut" in found.refusals[0].what
    assert found.refusals[0].exit_code == 2
    assert found.plan, "the rest is looked at all the same"


def test_a_missing_package_is_told_before_the_run(base: Path, data: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else real(name))
    config = Config(
        base=BaseSettings(name="tiny", path=str(base), digest=""),
        task=settings_of(CLASSIFY),
        adapter=parse(qlora.Settings, {"kind": "qlora"}),
        train=TrainSettings(),
    )
    found = check(config, data)
    (refusal,) = found.refusals
    assert isinstance(refusal, MissingExtra)
    assert refusal.do == 'pip install "yibu[qlora]"'
    assert found.plan, "the rest is looked at all the same"


def test_rows_too_long_may_be_left_out(base: Path, data: Artifact) -> None:
    whole = outlook(base, data)
    assert whole.lengths is not None
    limit = whole.lengths.max - 2
    found = outlook(base, data, max_length=limit, too_long="drop")
    assert found.lengths is not None
    assert found.refusals == ()
    assert found.lengths.too_long
    assert found.lengths.limit == limit
    assert found.pack_tokens < whole.pack_tokens


def test_more_than_the_context_and_a_wrong_target_are_both_told(base: Path, data: Artifact) -> None:
    found = outlook(base, data, {"targets": ["attention_x"]}, max_length=100_000)
    told = " ".join(error.what for error in found.refusals)
    assert len(found.refusals) == 2
    assert "context" in told
    assert "adapter.targets" in told
    assert found.plan == ()
    assert found.memory is None


def test_a_template_without_a_stop_token_is_refused(tmp_path: Path, data: Artifact) -> None:
    base = tiny_base(tmp_path / "base")
    (base / "chat_template.jinja").write_text(
        "{% for message in messages %}{{ message['content'] }}{% endfor %}", encoding="utf-8"
    )
    with pytest.raises(TemplateError, match="stop"):
        outlook(base, data)


def test_the_outline_reads_no_weights(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    (base / "model.safetensors").unlink()
    model = outline(base)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_passes_are_cut_as_the_training_loop_cuts_them() -> None:
    renderer = Renderer(tiny_tokenizer())
    rows = [renderer.example([{"role": "user", "content": "x " * size}], "y") for size in (5, 10, 20)]
    lengths = [len(row.ids) for row in rows]
    prefix = 3
    assert pack_sizes(rows, TrainSettings(batch=3), packed=True, prefix=0) == [sum(lengths)]
    assert pack_sizes(rows, TrainSettings(batch=3), packed=True, prefix=prefix) == [sum(lengths) - 2 * prefix]
    assert sorted(pack_sizes(rows, TrainSettings(batch=3), packed=False, prefix=0)) == sorted(lengths)
    assert sorted(pack_sizes(rows, TrainSettings(batch=1, accumulate=3), packed=True, prefix=0)) == sorted(lengths)
    assert sorted(pack_sizes(rows, TrainSettings(batch=3, pack_tokens=16), packed=True, prefix=0)) == sorted(lengths)
    assert pack_sizes([], TrainSettings(), packed=True, prefix=0) == []
