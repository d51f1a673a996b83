"""What compress and export make is served by its ref, too, in an engine that reads it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest

from engines.fake_vllm import fake_python
from serve.served import Served
from servers import needs_llama
from tuned import Tuned, tuned
from yibu import pipeline
from yibu.chat.partner import open_partner
from yibu.cli.serving import refs_of
from yibu.core.errors import InputError
from yibu.engines import llamacpp, openvino, transformers, vllm
from yibu.serve.choose import choose
from yibu.serve.weights import Weights, weights_of

ASKED: list[Any] = [{"role": "user", "content": "Which one?\nbroken thumb"}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tuned(tmp_path_factory.mktemp("weights"), num_rows=120, train={"lr": 1e-2, "epochs": 1, "threads": 1})


def test_names_and_refs(made: Tuned) -> None:
    store = made.store
    assert refs_of(["tiny", "serve.port=1"], store) == ({"tiny": "tiny/model"}, ["serve.port=1"])
    assert refs_of(["tiny/model"], store)[0] == {"tiny": "tiny/model"}
    assert refs_of(["tiny/data"], store)[0] == {"tiny/data": "tiny/data"}
    store.set_ref("other", made.data, "for the test")
    store.set_ref("other/model", made.model, "for the test")
    assert refs_of(["other/model"], store)[0] == {"other/model": "other/model"}, "`other` is another ref"
    with pytest.raises(InputError, match="Only what a ref names"):
        refs_of([made.model.id], store)


def test_a_compressed_model_by_its_ref(made: Tuned) -> None:
    small = made.small()
    with Served(made.store, "tiny/small", "--open") as served:
        assert served.told["why"] == "transformers: it reads every plain folder as it is"
        found = httpx.post(
            f"{served.address}/v1/classify", json={"model": "tiny/small", "input": "broken thumb"}, timeout=60
        ).json()
    reply = open_partner(made.model, made.store).ask("broken thumb")
    assert (found["artifact"], found["label"]) == (small.id, reply.text)
    assert max(found["probabilities"].values()) == pytest.approx(reply.choices[0][1], abs=0.05)  # of two dtypes


@needs_llama
def test_an_exported_file_by_its_ref(made: Tuned) -> None:
    recipe = made.with_sections("export=[{kind: gguf, quantise: f16}]")
    (bundle,) = pipeline.make_bundles(recipe, made.store, made.data, made.model, made.small())
    with (
        Served(made.store, "tiny/gguf", "--open") as served,
        openai.OpenAI(base_url=f"{served.address}/v1", api_key="none", max_retries=0) as client,
    ):
        assert served.told["why"].startswith("llamacpp")
        assert [model.id for model in client.models.list()] == ["tiny/gguf"]
        answer = client.chat.completions.create(model="tiny/gguf", messages=ASKED, max_tokens=8)
        assert answer.system_fingerprint == bundle.id
        assert answer.choices[0].message.content.strip() in {"heart", "lung", "hand"}
        found = httpx.post(
            f"{served.address}/v1/classify", json={"model": "tiny/gguf", "input": "broken thumb"}, timeout=60
        ).json()
        reply = open_partner(made.model, made.store).ask("broken thumb")
        assert found["label"] == reply.text
        assert found["probabilities"] == pytest.approx(dict(reply.choices), abs=0.05)
        refused = httpx.post(f"{served.address}/v1/embeddings", json={"model": "tiny/gguf", "input": "x"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (501, "unable")


def test_what_an_engine_cannot_carry_is_refused(made: Tuned) -> None:
    plain = weights_of(made.model, made.store)
    assert choose(plain, made.store, None).settings.kind == "transformers"  # type: ignore[attr-defined]
    file = Weights(**{**vars(plain), "form": "gguf", "adapter": None, "path": made.path, "base": None})
    assert choose(file, made.store, None).settings.kind == "llamacpp"  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="does not read"):
        choose(file, made.store, transformers.Settings())
    assert plain.adapter is not None
    odd = Weights(**{**vars(plain), "adapter": type(plain.adapter)("a", plain.adapter.path, "bottleneck")})
    assert choose(odd, made.store, transformers.Settings()).settings.adapter_kind == "bottleneck"  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="adapters of this kind"):
        choose(odd, made.store, llamacpp.Settings())
    for weights, why in ((odd, "adapters of this kind"), (file, "does not read")):
        with pytest.raises(InputError, match=why):
            choose(weights, made.store, openvino.Settings())
    traced = choose(plain, made.store, openvino.Settings())
    assert traced.why == "openvino: the recipe asks for it"
    assert traced.settings.adapter_name == plain.id  # type: ignore[attr-defined]
    assert traced.settings.work_path == str(made.store.root / "serve" / "openvino")  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="adapters of this kind"):
        choose(odd, made.store, vllm.Settings())
    with pytest.raises(InputError, match="no model"):
        weights_of(made.data, made.store)


def test_vllm_is_taken_where_it_is_the_better_one(made: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = weights_of(made.model, made.store)
    assert plain.adapter is not None
    writes = replace(plain, asked=replace(plain.asked, task=SimpleNamespace(closed_set=False)))  # type: ignore[arg-type]
    home = fake_python(tmp_path / "gpu", "vllm 0.32.0")

    def why(weights: Weights) -> str:
        chosen = choose(weights, made.store, None)
        assert chosen.why.startswith(str(chosen.settings.kind))  # type: ignore[attr-defined]
        return chosen.why

    monkeypatch.setenv("YIBU_VLLM", str(home))
    assert "vllm" not in why(writes).lower(), "there is no GPU"
    monkeypatch.setattr("yibu.serve.choose.has_nvidia_gpu", lambda: True)
    assert why(writes) == "vllm: there is a GPU, and vLLM is installed"
    chosen = choose(writes, made.store, None).settings
    assert (chosen.adapter_name, chosen.dtype) == (made.model.id, plain.dtype)  # type: ignore[attr-defined]
    assert "labels one after the other" in why(plain)
    assert why(replace(writes, device="cpu")).startswith("transformers")
    dora = tmp_path / "dora"
    shutil.copytree(plain.adapter.path, dora)
    config = json.loads((dora / "adapter_config.json").read_text())
    (dora / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    odd = replace(writes, adapter=replace(plain.adapter, path=dora))
    assert "does not load this adapter" in why(odd)
    with pytest.raises(InputError, match="DoRA"):
        choose(odd, made.store, vllm.Settings())
    small = tmp_path / "small"
    small.mkdir()
    (small / "config.json").write_text('{"quantization_config": {}}')
    assert "fewer bits" in why(replace(writes, adapter=None, base=None, path=small))
    monkeypatch.setenv("YIBU_VLLM", str(fake_python(tmp_path / "cpu")))
    assert "build for processors" in why(writes)
    monkeypatch.setenv("YIBU_VLLM", str(tmp_path / "nowhere"))
    assert "make vllm" in why(writes)
