"""GGUF files are made by llama.cpp and answer in its server as the model does; where it is not built, tests say so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from servers import needs_llama
from tiny import tiny_base
from tuned import Tuned
from yibu import pipeline
from yibu.core.errors import GateRefused, InputError, YibuError
from yibu.core.store import Artifact
from yibu.exporters import Source, gguf
from yibu.exporters._llama import Llama, pre_tokenizer_of


def exported(made: Tuned, table: str) -> Artifact:
    recipe = made.with_sections(f"export=[{table}]")
    (bundle,) = pipeline.make_bundles(recipe, made.store, made.data, made.model, made.small())
    return bundle


@needs_llama
def test_eight_bits_and_the_adapter_answer_in_llama_server(made: Tuned) -> None:
    bundle = exported(made, "{kind: gguf, quantise: Q8_0, lora: true}")
    parity = bundle.read_json("parity.json")
    assert parity["engine"].startswith("llama.cpp")
    measured = {check["name"]: check["measured"] for check in parity["checks"]}
    for part in ("model", "adapter"):
        assert measured[f"{part}: ids of training = ids of serving"] == 1
        assert measured[f"tuned = {part}: share of the adapter's effect that is missing"] < 0.2
    assert {"bundle/tiny-Q8_0.gguf", "bundle/adapter-f16.gguf"} <= set(bundle.manifest.files)
    assert b"im_start" in bundle.file("bundle/tiny-Q8_0.gguf").read_bytes()[:100_000], "the chat template is inside"


@needs_llama
def test_a_file_with_another_template_is_refused(made: Tuned, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = gguf.write

    def write(source: Source, folder: Path, settings: Any) -> None:
        other = shutil.copytree(source.model, tmp_path / "other", copy_function=shutil.copyfile)
        template = other / "chat_template.jinja"
        template.write_text(template.read_text().replace("<|im_start|>", "<|im_start|> ", 1))
        real(Source(**{**vars(source), "model": other}), folder, settings)

    monkeypatch.setattr(gguf, "write", write)
    with pytest.raises(GateRefused, match="ids of training = ids of serving: FAILED, 0 "):
        exported(made, "{kind: gguf, quantise: f16}")


@needs_llama
def test_an_architecture_that_llama_cpp_does_not_know_says_so(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", "deepseek_v32")
    with pytest.raises(InputError, match=r"llama.cpp cannot put this model into GGUF") as caught:
        Llama.find().convert(base, tmp_path / "out.gguf", "f16")
    assert "safetensors" in (caught.value.do or "")


@needs_llama
def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "odd.gguf").write_bytes(b"GGUF and nothing else")
    with pytest.raises(YibuError, match="does not load"), Llama.find().serve(tmp_path / "odd.gguf", 64):
        pass


def test_without_llama_cpp_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YIBU_LLAMA", str(tmp_path))
    with pytest.raises(InputError) as caught:
        Llama.find()
    assert "make llama" in (caught.value.do or "")


@needs_llama
def test_bits_are_not_rounded_twice(tmp_path: Path) -> None:
    source = Source("tiny", tmp_path, "int4", None, tmp_path, "base", {}, None, (), None, None, None, 8, (1,))
    with pytest.raises(InputError, match="rounded already"):
        gguf.write(source, tmp_path, gguf.Settings())


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ({"type": "ByteLevel", "use_regex": True}, "gpt-2"),
        ({"type": "ByteLevel", "use_regex": False}, "-"),
        ({"pretokenizers": [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel"}]}, "smollm"),
        ({"pretokenizers": [{"type": "Split", "pattern": {"Regex": "x"}}, {"type": "ByteLevel"}]}, "-"),
        (None, "-"),
    ],
)
def test_pre_tokenizers_are_named_by_their_form(tmp_path: Path, steps: Any, name: str) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"pre_tokenizer": steps}))
    assert pre_tokenizer_of(tmp_path / "tokenizer.json") == name
    assert pre_tokenizer_of(tmp_path / "none.json") == "-"
