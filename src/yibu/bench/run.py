"""The body of the stage: who is asked, with which prompts, and what it cost."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from yibu import meters, tasks
from yibu.bench.figures import rate_of_the_matrix
from yibu.bench.own import OwnEngine
from yibu.bench.plot import drawn
from yibu.bench.settings import BenchConfig
from yibu.bench.sweep import sweep
from yibu.core.errors import InputError
from yibu.core.recipe import Settings
from yibu.core.record import read_rows
from yibu.core.store import Artifact, Work
from yibu.engines import ProcessSettings, Prompt, transformers

ANSWER_TOKENS = 64
"""Of an answer, where neither settings nor task say."""

_MOST_PROMPTS = 1000
_WORDS = ("the", "a", "patient", "report", "of", "in", "with", "no", "pain", "days", "left", "right", "blood", "normal")


def run(config: BenchConfig, work: Work, model: Artifact | None, data: Artifact | None) -> None:
    """See `yibu.bench.bench`.

    Raises:
        InputError: neither a model nor an endpoint.
        YibuError: what is to be measured answers no request at all.
    """
    settings = config.bench
    task = None if config.task is None or data is None else _task(config.task, data)
    prompts, where_from = _prompts(config, task, data)
    longest = settings.max_new_tokens or getattr(task, "max_new_tokens", None) or ANSWER_TOKENS
    # What runs behind an endpoint may be on another machine, so there a meter must be named.
    meter = meters.choose(settings.meter) if settings.engine is None or settings.meter is not None else None
    phases = None if meter is None else meters.Phases(meter)

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        if phases is None:
            yield
        else:
            with phases.phase(name):
                yield

    file = work.file("requests.jsonl")
    file.touch()
    with _asked(config, model) as (engine, facts):
        found = sweep(settings, engine, prompts, longest, file, phase)
    wanted = settings.at or (settings.rates[-1] if settings.rates else None)
    result = {
        **found,
        "at": rate_of_the_matrix(found["rates"], wanted),
        "moment": config.moment,
        "engine": facts,
        "prompts": {"from": where_from, "num_prompts": len(prompts)},
        "max_new_tokens": longest,
        "energy": None if phases is None else phases.as_dict(),
    }
    work.write_json("latency.json", result)
    work.write_text("latency.svg", drawn(found["rates"]))
    if config.base_path is not None:
        from yibu.bench.efficiency import efficiency

        told = efficiency(config.base_path, model, found["rates"], None if phases is None else phases.as_dict())
        work.write_json("efficiency.json", told)
    work.notes.update(ended=found["ended"], num_rates=len(found["rates"]))


@contextmanager
def _asked(config: BenchConfig, model: Artifact | None) -> Iterator[tuple[Settings, dict[str, Any]]]:
    """Whom clients ask, and what is known of it."""
    wanted: Any = config.bench.engine
    if isinstance(wanted, ProcessSettings):
        raise InputError(
            "An endpoint is measured, and this engine is a process that would have to be started.",
            got=f"bench.engine.kind: {wanted.kind}",  # type: ignore[attr-defined]
            do="leave bench.engine out to measure a model of the store, or name the address of a `yibu serve`",
        )
    if wanted is not None:
        yield wanted, {"kind": wanted.kind, "endpoint": wanted.endpoint, "model": wanted.model}
        return
    if config.base_path is None:
        raise InputError(
            "There is nothing to measure.", allowed="a model of the store, or an endpoint (bench.engine, --endpoint)"
        )
    own = transformers.Settings(
        base_path=config.base_path,
        adapter_path=None if model is None else str(model.path / "adapter"),
        adapter_kind="lora" if model is None else model.read_json("summary.json")["adapter"]["kind"],
        device=config.device,
        dtype=config.dtype,
        threads=config.threads,
    )
    with OwnEngine(own, ignore_eos=config.bench.ignore_eos) as engine:
        yield engine.settings, {"kind": "own", **engine.facts}


def _task(settings: Settings, data: Artifact) -> Any:
    return tasks.build(settings, data.read_json("summary.json")["labels"])


def _prompts(config: BenchConfig, task: Any, data: Artifact | None) -> tuple[Sequence[Prompt], str]:
    """Prompts in an order drawn from the seed, and where they are from."""
    draws = random.Random(config.bench.seed)
    if task is not None and data is not None:
        rows = list(read_rows(data.file(f"{config.bench.split}.jsonl")))
        draws.shuffle(rows)
        found = [[dict(message) for message in task.messages(row)] for row in rows[:_MOST_PROMPTS]]
        found = [messages for messages in found if messages]
        if found:
            return found, f"{len(found)} rows of {config.bench.split}"
    made = [" ".join(draws.choices(_WORDS, k=config.bench.prompt_words)) for _ in range(32)]
    return made, f"made up, {config.bench.prompt_words} words"
