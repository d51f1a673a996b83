"""A real llama-server: answers are those of the model alone, adapters come and go, it may be killed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from serve.running import wait_for
from serve.served import ECHO, WRITE, adapters_of, alone, is_running, scores_alone, trained
from servers import needs_llama
from yibu.core.errors import InputError, YibuError
from yibu.core.store import Artifact
from yibu.engines import Adapter, EngineFailed, Sampling, llamacpp

WORDS = ["lung", "hand", "heart and lung"]
HELLO = [{"role": "user", "content": "cough and fever"}]
Made = tuple[dict[str, Artifact], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("llamacpp")
    _, models = trained(root, {"write": WRITE, "other": ECHO})
    return models, root


async def said(engine: llamacpp.Engine, *words: Any, **changes: Any) -> str:
    return "".join([piece.text async for piece in engine.generate(HELLO, 12, *words, **changes)]).strip()


@needs_llama
def test_adapters_of_a_base(made: Made) -> None:
    models, root = made
    adapters = adapters_of(models)
    expected = alone(root / "base", adapters, HELLO, 12)
    first, second = adapters["write"], adapters["other"]
    settings = llamacpp.Settings(
        base_path=str(root / "base"),
        adapter_path=str(first.path),
        adapter_name=first.name,
        work_path=str(root),
        max_batch=4,
        context=256,
    )

    async def asked() -> list[int]:
        engine, pids = llamacpp.Engine(settings), []
        try:
            await engine.start()
            pids.append(engine.pid)
            assert await engine.is_healthy()
            assert await said(engine) == expected["write"]
            pieces = [piece async for piece in engine.generate(HELLO, 1)]
            assert (pieces[-1].total_tokens, [piece.finish for piece in pieces if piece.finish]) == (1, ["length"])
            assert pieces[-1].prompt_tokens > len(HELLO)
            with pytest.raises(EngineFailed, match="status_404"):
                await said(engine, adapter="nobody")
            with pytest.raises(EngineFailed, match="status_413"):
                await anext(engine.generate([{"role": "user", "content": "cough " * 300}], 5))
            with pytest.raises(EngineFailed, match="unable"):
                await engine.load_adapter(Adapter("odd", first.path, "bottleneck"))

            # Scores are those of the model, and those of each adapter its own.
            found = await engine.score(HELLO, WORDS)
            assert found == pytest.approx(scores_alone(root / "base", first, HELLO, WORDS), abs=0.1)
            with pytest.raises(EngineFailed, match="unable"):
                await engine.score("a text", WORDS)

            # Drawn as asked for, and at a temperature of nearly nothing the likeliest.
            drawn = [await said(engine, Sampling(5.0, seed=seed)) for seed in (1, 1, 2)]
            assert drawn[0] == drawn[1] != drawn[2]
            assert await said(engine, Sampling(1e-4, seed=1)) == expected["write"]

            # A second adapter comes while the first is answering: that answer is the first one's to its end.
            stream = engine.generate(HELLO, 60)
            begin = (await anext(stream)).text
            await engine.load_adapter(second)
            pids.append(engine.pid)
            assert pids[0] != pids[1]
            assert is_running(pids[0])
            whole = begin + "".join([piece.text async for piece in stream])
            assert whole.strip() == expected["write"]
            answers = await asyncio.gather(*(said(engine, adapter=one.name) for one in (first, second) * 4))
            assert answers == [expected["write"], expected["other"]] * 4
            await asyncio.to_thread(wait_for, lambda: not is_running(pids[0]))
            found = await asyncio.gather(*(engine.score(HELLO, WORDS, one.name) for one in (first, second)))
            assert found[0] == pytest.approx(scores_alone(root / "base", first, HELLO, WORDS), abs=0.1)
            assert found[1] == pytest.approx(scores_alone(root / "base", second, HELLO, WORDS), abs=0.1)
            assert found[0] != pytest.approx(found[1], abs=0.5)

            os.kill(pids[1], signal.SIGKILL)
            await asyncio.to_thread(wait_for, lambda: not engine.is_alive)
            with pytest.raises(EngineFailed, match="down"):
                await said(engine)
            await engine.start()
            pids.append(engine.pid)
            assert await said(engine, adapter=second.name) == expected["other"]
            await engine.unload_adapter(second.name)
        finally:
            await engine.close()
        return pids

    pids = asyncio.run(asked())
    wait_for(lambda: not any(is_running(pid) for pid in pids))
    assert len(list(root.glob("base-*-f16.gguf"))) == 1
    assert len(list(root.glob("adapter-*.gguf"))) == 2


@needs_llama
def test_a_watcher_that_is_killed_leaves_no_server(made: Made) -> None:
    _, root = made

    async def asked() -> int:
        engine = llamacpp.Engine(llamacpp.Settings(base_path=str(root / "base"), work_path=str(root), context=64))
        try:
            await engine.start()
            server, watcher = engine.pid, engine._running.child.pid  # type: ignore[union-attr]
            os.kill(watcher, signal.SIGKILL)  # type: ignore[arg-type]
            await asyncio.to_thread(wait_for, lambda: not is_running(server))
            assert not engine.is_alive
        finally:
            await engine.close()
        return server

    asyncio.run(asked())


@needs_llama
def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "odd.gguf").write_bytes(b"GGUF and nothing else")
    engine = llamacpp.Engine(llamacpp.Settings(base_path=str(tmp_path / "odd.gguf")))
    with pytest.raises(YibuError, match="does not load") as raised:
        asyncio.run(engine.start())
    assert "fail" in str(raised.value.got)
    asyncio.run(engine.close())


def test_without_llama_cpp_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YIBU_LLAMA", str(tmp_path))
    engine = llamacpp.Engine(llamacpp.Settings(base_path=str(tmp_path)))
    with pytest.raises(InputError) as raised:
        asyncio.run(engine.start())
    assert "make llama" in (raised.value.do or "")
    asyncio.run(engine.close())
