"""openvino-genai on real tiny models: answers are those of the model alone, adapters come and go, it may be killed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from serve.running import wait_for
from serve.served import ECHO, WRITE, adapters_of, alone, is_running, trained
from servers import needs_openvino
from tiny import tiny_base, tiny_model
from yibu.core.errors import InputError, YibuError
from yibu.core.store import Artifact
from yibu.engines import Adapter, EngineFailed, Sampling, openvino
from yibu.engines._pipelines import adapter_bytes
from yibu.engines._stateful import _compare, write
from yibu.model.assemble import for_answers, use_generating_attention
from yibu.model.generate import generate

HELLO = [{"role": "user", "content": "cough and fever"}]
Made = tuple[dict[str, Artifact], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("openvino")
    _, models = trained(root, {"write": WRITE, "other": ECHO})
    return models, root


async def said(engine: openvino.Engine, *words: Any, num_tokens: int = 12, **changes: Any) -> str:
    return "".join([piece.text async for piece in engine.generate(HELLO, num_tokens, *words, **changes)]).strip()


@needs_openvino
def test_adapters_of_a_base(made: Made) -> None:
    models, root = made
    adapters = adapters_of(models)
    expected = alone(root / "base", adapters, HELLO, 12)
    base = for_answers(root / "base", None, "", "cpu", "fp32")
    use_generating_attention(base.model, base.facts)
    ids = base.renderer.prompt(HELLO)
    bare = generate(base.model, base.renderer, [ids], 12)[0].text
    first, second = adapters["write"], adapters["other"]
    settings = openvino.Settings(
        base_path=str(root / "base"),
        adapter_path=str(first.path),
        adapter_name=first.name,
        work_path=str(root),
        dtype="fp32",
    )

    async def asked() -> list[int | None]:
        engine, pids = openvino.Engine(settings), []
        try:
            await engine.start()
            pids.append(engine.pid)
            assert await engine.is_healthy()
            assert await said(engine) == expected["write"]
            pieces = [piece async for piece in engine.generate(HELLO, 1)]
            assert (pieces[-1].total_tokens, [piece.finish for piece in pieces if piece.finish]) == (1, ["length"])
            assert pieces[-1].prompt_tokens == len(ids)
            with pytest.raises(EngineFailed, match="status_404"):
                await said(engine, adapter="nobody")
            with pytest.raises(EngineFailed, match="status_413"):
                await anext(engine.generate([{"role": "user", "content": "cough " * 300}], 5))
            with pytest.raises(EngineFailed, match="unable"):
                await engine.load_adapter(Adapter("odd", first.path, "bottleneck"))
            with pytest.raises(EngineFailed, match="status_400"):
                await engine.load_adapter(Adapter(first.name, first.path))

            # Drawn as asked for, beside others, and from nearly nothing the likeliest.
            hot = (said(engine, Sampling(5.0, seed=seed)) for seed in (1, 1, 2))
            drawn = await asyncio.gather(*hot, said(engine, Sampling(5.0, top_p=1e-6, seed=1)))
            assert drawn[0] == drawn[1] != drawn[2]
            assert drawn[3] == expected["write"]
            stop = expected["write"][1:3]
            cut = [piece async for piece in engine.generate(HELLO, 12, Sampling(stop=(stop, "never said")))]
            assert "".join(piece.text for piece in cut).strip() == expected["write"][:1].strip()
            assert [piece.finish for piece in cut if piece.finish] == ["stop"]

            # A second adapter comes while the first is answering, in the same process; the base answers beside them.
            stream = engine.generate(HELLO, 60)
            begin = (await anext(stream)).text
            await engine.load_adapter(second)
            assert engine.pid == pids[0]
            assert (begin + "".join([piece.text async for piece in stream])).strip() == expected["write"]
            names = [first.name, second.name, "base"] * 4
            answers = await asyncio.gather(*(said(engine, adapter=name) for name in names))
            assert answers == [expected["write"], expected["other"], bare] * 4

            os.kill(pids[0], signal.SIGKILL)  # type: ignore[arg-type]
            await asyncio.to_thread(wait_for, lambda: not engine.is_alive)
            with pytest.raises(EngineFailed, match="down"):
                await said(engine)
            await engine.start()
            pids.append(engine.pid)
            assert await said(engine, adapter=second.name) == expected["other"]
            await engine.unload_adapter(second.name)
            with pytest.raises(EngineFailed, match="status_404"):
                await said(engine, adapter=second.name)
            # Who hangs up is not worked for: the longest answer there can be would keep the process from its end.
            gone = engine.generate(HELLO, 200)
            await anext(gone)
            await gone.aclose()  # type: ignore[attr-defined]
            assert await said(engine) == expected["write"]
        finally:
            await engine.close()
        return pids

    pids = asyncio.run(asked())
    wait_for(lambda: not any(is_running(pid) for pid in pids if pid is not None))
    assert len(list(root.glob("base-*"))) == 1, "the graph was made once"


@needs_openvino
def test_a_base_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    engine = openvino.Engine(openvino.Settings(base_path=str(tiny_base(tmp_path / "base", "gemma3"))))
    with pytest.raises(InputError, match="cannot run this base") as raised:
        asyncio.run(engine.start())
    assert "sliding_attention" in str(raised.value.got)
    asyncio.run(engine.close())


@needs_openvino
def test_a_graph_that_answers_something_else_is_refused(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", "qwen2")
    (tmp_path / "graph").mkdir()
    write(base, tmp_path / "graph")
    other = tiny_model("qwen2", seed=0)
    _compare(other, tmp_path / "graph")
    with torch.no_grad():
        other.model.layers[0].self_attn.q_proj.weight *= 1.2
    with pytest.raises(YibuError, match="apart from those of transformers"):
        _compare(other, tmp_path / "graph")


def test_an_adapter_becomes_tensors_of_scale_one(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load

    names = ["q_proj", "down_proj"]
    config = LoraConfig(
        r=4,
        lora_alpha=16,
        target_modules=names,
        rank_pattern={"down_proj": 2},
        alpha_pattern={"layers.1.mlp.down_proj": 3},
    )
    tuned = get_peft_model(tiny_model(), config)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    tuned.save_pretrained(tmp_path)
    layers = {
        name.removeprefix("base_model.model."): module
        for name, module in tuned.named_modules()
        if hasattr(module, "lora_A")
    }
    found = load(adapter_bytes(tmp_path, frozenset(layers)))
    assert len(found) == 2 * len(layers) == 8
    for name, layer in layers.items():
        prefix = f"base_model.model.{name}.lora_"
        update = found[f"{prefix}B.weight"] @ found[f"{prefix}A.weight"]
        torch.testing.assert_close(update, layer.get_delta_weight("default"))
    with pytest.raises(InputError, match="more than plain updates"):
        adapter_bytes(tmp_path, frozenset(list(layers)[:-1]))
