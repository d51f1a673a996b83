"""vLLM as an engine: what is asked of it, how it starts and ends, what it refuses; and a real one, where it is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from engines.fake_vllm import LONGEST, fake_python
from serve.running import wait_for
from serve.served import ECHO, WRITE, adapters_of, alone, is_running, scores_alone, trained
from servers import needs_vllm
from tiny import tiny_base
from yibu import bases
from yibu.core.errors import InputError, YibuError
from yibu.engines import Adapter, EngineFailed, Sampling, vllm
from yibu.engines._vllm_python import VllmPython
from yibu.model.assemble import load_renderer

HELLO = [{"role": "user", "content": "cough and fever"}]
WORDS = ["lung", "hand", "heart and lung"]


def adapter(folder: Path, name: str = "", **config: Any) -> Adapter:
    """A folder that looks like a LoRA."""
    folder.mkdir(exist_ok=True)
    table = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"], **config}
    (folder / "adapter_config.json").write_text(json.dumps(table))
    (folder / "adapter_model.safetensors").write_bytes(b"weights of " + folder.name.encode())
    return Adapter(name or f"train-{folder.name}", folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("vllm") / "base")


def settings_of(base: Path, home: Path, first: Adapter | None = None, **changes: Any) -> vllm.Settings:
    given = {} if first is None else {"adapter_path": str(first.path), "adapter_name": first.name}
    return vllm.Settings(base_path=str(base), python=str(home), **given, **changes)


async def said(engine: vllm.Engine, *words: Any, **changes: Any) -> str:
    return "".join([piece.text async for piece in engine.generate(HELLO, 12, *words, **changes)])


def asked(home: Path, path: str) -> list[dict[str, Any]]:
    """What it was asked at an address."""
    lines = [json.loads(line) for line in (home / "asked.jsonl").read_text().splitlines()]
    return [body for where, body in lines if where == path]


def test_it_is_started_asked_killed_and_started_again(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    home, first = fake_python(tmp_path / "home"), adapter(tmp_path / "first", r=20)
    second, third = adapter(tmp_path / "second"), adapter(tmp_path / "third")
    changed = adapter(tmp_path / "changed", name=second.name)
    from transformers import AutoConfig

    renderer = load_renderer(base, bases.facts_for(AutoConfig.from_pretrained(base)))
    ids = renderer.prompt(HELLO)
    scores = [-float(sum(answer) + 100 * len(answer)) for answer in (renderer.answer(word, HELLO) for word in WORDS)]

    async def whole() -> list[int]:
        engine = vllm.Engine(settings_of(base, home, first, max_loras=3, dtype="fp32", enforce_eager=True))
        pids: list[int] = []
        try:
            await engine.start()
            pids += [engine.pid or 0, int((home / "core.pid").read_text())]
            assert await engine.is_healthy()
            started = json.loads((home / "started.json").read_text())
            words, environment = started["words"], started["environment"]
            key = environment["VLLM_API_KEY"]
            for name, value in (("--max-lora-rank", "32"), ("--max-loras", "3"), ("--dtype", "float32")):
                assert words[words.index(name) + 1] == value
            assert "--enforce-eager" in words
            assert environment["HF_HUB_OFFLINE"] == environment["VLLM_NO_USAGE_STATS"] == "1"
            for pid in (pids[0], engine._child.pid):  # type: ignore[union-attr]
                assert key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
            facts = await engine.facts()
            assert key not in json.dumps(facts)
            assert stat.S_IMODE(Path(facts["socket"]).parent.stat().st_mode) == 0o700
            async with httpx.AsyncClient(trust_env=False) as stranger:
                address = f"http://127.0.0.1:{facts['port']}/ids"
                assert (await stranger.post(address, json={"messages": HELLO})).status_code == 401

            # Ids are those of training, and an answer ends where training ended it.
            pieces = [piece async for piece in engine.generate(HELLO, 12)]
            assert "".join(piece.text for piece in pieces) == f"{first.name} {len(ids)}"
            assert [piece.finish for piece in pieces if piece.finish] == ["stop"]
            assert (pieces[-1].total_tokens, pieces[-1].prompt_tokens) == (3, len(ids))
            (body,) = asked(home, "/v1/completions")
            assert (body["prompt"], body["stop_token_ids"]) == (ids, renderer.stop_ids)
            assert (body["ignore_eos"], body["temperature"], body["max_tokens"]) == (True, 0, 12)
            await said(engine, Sampling(0.7, 0.9, 3, ("\n",)))
            body = asked(home, "/v1/completions")[-1]
            assert [body[name] for name in ("temperature", "top_p", "seed", "stop")] == [0.7, 0.9, 3, ["\n"]]
            await anext(engine.generate("cough", 3))
            plain = list(renderer.tokenizer("cough")["input_ids"])
            assert asked(home, "/v1/completions")[-1]["prompt"] == plain
            with pytest.raises(EngineFailed, match="status_413"):
                await anext(engine.generate([{"role": "user", "content": "cough " * 300}], 5))
            await anext(engine.generate(HELLO, 10 * LONGEST))
            assert asked(home, "/v1/completions")[-1]["max_tokens"] == LONGEST - len(ids)
            with pytest.raises(EngineFailed, match="status_400"):
                await anext(engine.generate([{"role": "user"}], 5))  # type: ignore[list-item]
            with pytest.raises(EngineFailed, match="status_404"):
                await said(engine, adapter="nobody")
            assert await engine.score(HELLO, WORDS) == scores

            # Adapters come and go; a name is never another's.
            await engine.load_adapter(second)
            assert await said(engine, adapter=second.name) == f"{second.name} {len(ids)}"
            with pytest.raises(InputError, match="already been loaded"):
                await engine.load_adapter(second)
            await engine.unload_adapter(second.name)
            with pytest.raises(EngineFailed, match="status_404"):
                await said(engine, adapter=second.name)
            with pytest.raises(InputError, match="never used again"):
                await engine.load_adapter(changed)
            await engine.load_adapter(second)
            (third.path / "adapter_model.safetensors").rename(third.path / "away")
            with pytest.raises(InputError, match="No adapter found"):
                await engine.load_adapter(third)

            # A second one comes while the first is answering.
            stream = engine.generate(HELLO, 60, Sampling(stop=("never",)))
            begin = (await anext(stream)).text
            answers = await asyncio.gather(*(said(engine, adapter=one.name) for one in (first, second) * 4))
            assert answers == [f"{one.name} {len(ids)}" for one in (first, second) * 4]
            assert (begin + "".join([piece.text async for piece in stream])).count(first.name) == 20

            os.kill(pids[0], signal.SIGKILL)
            await asyncio.to_thread(wait_for, lambda: not engine.is_alive)
            await asyncio.to_thread(wait_for, lambda: not is_running(pids[1]))
            assert not await engine.is_healthy()
            assert "vLLM ended: killed by signal 9" in capfd.readouterr().err
            with pytest.raises(EngineFailed, match="down"):
                await said(engine)
            await engine.start()
            pids += [engine.pid or 0, int((home / "core.pid").read_text())]
            assert json.loads((home / "started.json").read_text())["environment"]["VLLM_API_KEY"] != key
            assert await said(engine, adapter=second.name) == f"{second.name} {len(ids)}"

            os.kill(engine._child.pid, signal.SIGKILL)  # type: ignore[union-attr, arg-type]
            await asyncio.to_thread(wait_for, lambda: not any(map(is_running, pids)))
            assert not engine.is_alive
        finally:
            folder = Path((await engine.facts())["socket"]).parent
            await engine.close()
            assert not folder.exists()
        return pids

    pids = asyncio.run(whole())
    wait_for(lambda: not any(map(is_running, pids)))


def test_one_that_does_not_start_says_why(base: Path, tmp_path: Path) -> None:
    home = fake_python(tmp_path)
    (home / "fails").touch()
    engine = vllm.Engine(settings_of(base, home))
    with pytest.raises(YibuError, match="the odd architecture is not known") as raised:
        asyncio.run(engine.start())
    asyncio.run(engine.close())
    log = Path((raised.value.do or "").partition(": ")[2])
    assert "See root cause above" in log.read_text()
    log.unlink()


def test_where_it_is_looked_for(monkeypatch: pytest.MonkeyPatch, base: Path, tmp_path: Path) -> None:
    home = fake_python(tmp_path / ".cache" / "yibu" / "vllm")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("YIBU_VLLM", raising=False)
    assert VllmPython.find() == VllmPython(home / "bin" / "python", "0.32.0", True)
    other = fake_python(tmp_path / "other")
    monkeypatch.setenv("YIBU_VLLM", str(other))
    assert VllmPython.find().program == other / "bin" / "python"
    assert VllmPython.find(str(home / "bin" / "python")).program == home / "bin" / "python"
    monkeypatch.setenv("YIBU_VLLM", str(tmp_path / "nowhere"))
    engine = vllm.Engine(vllm.Settings(base_path=str(base)))
    with pytest.raises(InputError, match="nowhere") as raised:
        asyncio.run(engine.start())
    assert "make vllm" in (raised.value.do or "")
    asyncio.run(engine.close())


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "whole modules"),
        ({"target_parameters": ["mlp.experts"]}, "routed experts"),
        ({"bias": "all"}, "biases"),
        ({"r": 1024}, "up to 512"),
        ({"rank_pattern": {"q_proj": 64}}, "max_lora_rank=64"),
    ],
)
def test_what_it_cannot_carry_is_refused(base: Path, tmp_path: Path, config: dict[str, Any], reason: str) -> None:
    odd = adapter(tmp_path / "odd", **config)
    engine = vllm.Engine(settings_of(base, fake_python(tmp_path / "home"), odd, max_lora_rank=8))
    with pytest.raises(InputError, match=reason):
        asyncio.run(engine.start())
    asyncio.run(engine.close())
    assert not (tmp_path / "home" / "started.json").exists()


@pytest.mark.parametrize(
    "word", ["--trust-remote-code", "--trust_remote", "--api-key=x", "--hos", "--generation-config"]
)
def test_promises_are_not_for_arguments_to_break(word: str) -> None:
    with pytest.raises(ValidationError, match="not for the recipe"):
        vllm.Settings(arguments=(word,))
    assert vllm.Settings(arguments=("--max-num-seqs", "64")).arguments == ("--max-num-seqs", "64")


@needs_vllm
def test_a_real_one(tmp_path: Path) -> None:
    """Answers and scores of two adapters are those of the model alone, in fp32; they come and go while it runs."""
    _, models = trained(tmp_path, {"write": WRITE, "other": ECHO}, head_dim=32)  # it has no attention for smaller heads
    adapters = adapters_of(models)
    expected = alone(tmp_path / "base", adapters, HELLO, 12)
    first, second = adapters["write"], adapters["other"]
    settings = vllm.Settings(
        base_path=str(tmp_path / "base"),
        adapter_path=str(first.path),
        adapter_name=first.name,
        dtype="fp32",
        enforce_eager=True,
        cpu_cache_gib=1,
        max_loras=2,
        arguments=("--max-num-seqs", "8"),
    )

    async def whole() -> list[int]:
        engine, pids = vllm.Engine(settings), []
        try:
            await engine.start()
            pids = descendants(engine.pid or 0)
            assert len(pids) > 1
            assert (await said(engine)).strip() == expected["write"]
            pieces = [piece async for piece in engine.generate(HELLO, 1)]
            assert (pieces[-1].total_tokens, [piece.finish for piece in pieces if piece.finish]) == (1, ["length"])
            with pytest.raises(EngineFailed, match="status_404"):
                await said(engine, adapter="nobody")
            assert await engine.score(HELLO, WORDS) == pytest.approx(
                scores_alone(tmp_path / "base", first, HELLO, WORDS), abs=1e-3
            )

            stream = engine.generate(HELLO, 100)
            begin = (await anext(stream)).text
            await engine.load_adapter(second)
            answers = await asyncio.gather(*(said(engine, adapter=one.name) for one in (first, second) * 4))
            assert [answer.strip() for answer in answers] == [expected["write"], expected["other"]] * 4
            whole = begin + "".join([piece.text async for piece in stream])
            assert whole.strip().startswith(expected["write"])
            found = await engine.score(HELLO, WORDS, second.name)
            assert found == pytest.approx(scores_alone(tmp_path / "base", second, HELLO, WORDS), abs=1e-3)
            await engine.unload_adapter(second.name)
            with pytest.raises(EngineFailed, match="status_404"):
                await said(engine, adapter=second.name)
            os.kill(pids[0], signal.SIGKILL)
            await asyncio.to_thread(wait_for, lambda: not engine.is_alive)
            await asyncio.to_thread(wait_for, lambda: not any(map(is_running, pids)))
        finally:
            await engine.close()
        return pids

    pids = asyncio.run(whole())
    wait_for(lambda: not any(map(is_running, pids)))


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [other for child in thread.read_text().split() for other in descendants(int(child))]
    return found
