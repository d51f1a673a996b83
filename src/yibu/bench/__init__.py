"""Bench: how fast a model answers under load, and what an answer costs.

`settings` says what is asked for, `client` asks, `figures` counts, `sweep` goes from rate to rate, `own` runs a model
of ours in a process that speaks the OpenAI protocol, `plot` draws, `run` is the body of the stage.
"""

from __future__ import annotations

from yibu.bench.settings import BenchConfig, BenchSettings
from yibu.core.stage import Work, stage
from yibu.core.store import Artifact

__all__ = ["BenchConfig", "BenchSettings", "bench"]


@stage(version=2)
def bench(settings: BenchConfig, work: Work, model: Artifact | None = None, data: Artifact | None = None) -> None:
    """Measure a model.

    Writes ``latency.json`` (see `yibu.bench.sweep.sweep` and `yibu.bench.figures`), ``requests.jsonl`` (one line a
    request, no text), ``latency.svg`` and, where it is known what runs, ``efficiency.json``. An endpoint that dies ends
    the sweep, not the stage: ``ended`` says so, and what was measured is kept.

    Args:
        model: artifact of `train`; without one the base alone, or an endpoint, is asked.
        data: rows whose prompts are sent; without them prompts are made up.
    """
    from yibu.bench.run import run

    run(settings, work, model, data)
