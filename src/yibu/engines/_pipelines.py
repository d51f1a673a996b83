"""openvino-genai's continuous batching behind the desk of our own server: a pipeline for each adapter, in turns.

Prompts go in as token ids and answers come out as token ids: the chat template, the stops and the text are ours.

openvino-genai 2026.4 puts an adapter on a pipeline, not on a request of a batch: ``add_request`` does not read
``adapters``, and ``generate``, which does, wants the pipeline for itself. Each adapter therefore gets a pipeline, with
its LoRA beside the weights (``MODE_STATIC``), and the pipelines take steps in turns. None of what one computes can
reach an answer of another; the price is the memory of the weights for each.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yibu.core.errors import InputError
from yibu.engines import Adapter, EngineFailed
from yibu.engines._job import Job, ScoreJob, tell
from yibu.engines._stateful import LINEARS
from yibu.engines._words import Words, say


@dataclass(eq=False)
class _Answer:
    """One that is being written, and openvino-genai's hold on it."""

    job: Job
    words: Words
    handle: Any


@dataclass(eq=False)
class _Pipeline:
    """What answers by one adapter."""

    runs: Any
    answers: list[_Answer] = field(default_factory=list)


class Pipelines(threading.Thread):
    """The thread that takes the steps.

    Args:
        graph: folder of `yibu.engines._stateful.convert`.
        renderer: of the model.
        max_batch: answers at once, of each adapter.
        max_tokens: tokens of one pass, those of prompts included.
        options: of OpenVINO's plugin for CPUs.
    """

    def __init__(self, graph: Path, renderer: Any, max_batch: int, max_tokens: int, options: Mapping[str, Any]) -> None:
        super().__init__(daemon=True, name="pipelines")
        self._graph, self._renderer, self._options = graph, renderer, dict(options)
        self._max_batch, self._max_tokens = max_batch, max_tokens
        self._stops = frozenset(renderer.stop_ids)
        self._linears = frozenset(json.loads((graph / LINEARS).read_text(encoding="utf-8")))
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._opened: dict[str | None, _Pipeline] = {}
        self._opening = threading.Lock()
        self._last_id = 0

    @property
    def names(self) -> list[str]:
        """Adapters that may be asked for."""
        return sorted(name for name in list(self._opened) if name is not None)

    def put(self, wanted: Job | ScoreJob) -> None:
        """Hand a request over; openvino-genai mixes up the scores of a prompt with those of its neighbours, so that
        none are given."""
        if isinstance(wanted, Job):
            self._waiting.put(wanted)
        else:
            wanted.error = EngineFailed("unable")
            wanted.done.set()

    def load(self, adapter: Adapter) -> None:
        """One more adapter, while others answer; see `yibu.engines._job.Desk.load`."""
        with self._opening:
            if adapter.name in self._opened:
                raise InputError("An adapter of this name is loaded; names are never used again.", got=adapter.name)
            try:
                self._opened[adapter.name] = self._open(adapter)
            except RuntimeError as error:  # OpenVINO knows no other; its words name files of this machine
                raise InputError("OpenVINO cannot put this adapter on its graph.", got=type(error).__name__) from error

    def forget(self, name: str) -> None:
        """Unload an adapter; what it is writing it writes to its end."""
        if name not in self.names:
            raise InputError("No adapter of this name is loaded.", got=name, allowed=self.names)
        del self._opened[name]

    def embed(self, texts: Sequence[Sequence[int]], adapter: str | None) -> list[list[float]]:
        """openvino-genai shows no states of a layer.

        Raises:
            InputError: always.
        """
        raise InputError("This engine has no vectors of texts.", do="use the engine transformers")

    def open_base(self) -> None:
        """Let the base itself be asked, too; done by the first who asks for it."""
        with self._opening:
            if None not in self._opened:
                self._opened[None] = self._open(None)

    def run(self) -> None:
        """Body of the thread."""
        busy: list[_Pipeline] = []
        while True:
            self._take(busy)
            for pipeline in list(busy):
                try:
                    pipeline.runs.step()
                    self._read(pipeline)
                except Exception as error:  # what is in such a pipeline, nobody knows: whoever watches starts anew
                    tell(error)
                    os._exit(1)
                if not pipeline.answers and not pipeline.runs.has_non_finished_requests():
                    busy.remove(pipeline)

    # --- what waits ---------------------------------------------------------------------------------------------------

    def _take(self, busy: list[_Pipeline]) -> None:
        """All that came; waits only where nothing else is to be done."""
        while not busy or not self._waiting.empty():
            job = self._waiting.get()
            try:
                pipeline = self._pipeline_of(job)
                if pipeline is None:
                    continue  # it comes back when its pipeline is there
                self._last_id += 1
                handle = pipeline.runs.add_request(self._last_id, _tensor(job.ids), self._config(job))
                pipeline.answers.append(_Answer(job, Words(self._renderer, job), handle))
            except Exception as error:  # one bad request must not end the others
                tell(error)
                job.end(failed=True)
                continue
            if pipeline not in busy:
                busy.append(pipeline)

    def _pipeline_of(self, job: Job) -> _Pipeline | None:
        """
        Raises:
            InputError: there is no such adapter.
        """
        found = self._opened.get(job.adapter)
        if found is None and job.adapter is not None:
            raise InputError("No adapter of this name is loaded.", got=job.adapter, allowed=self.names)
        if found is None:
            threading.Thread(target=self._bring_base, args=(job,), daemon=True).start()
        return found

    def _bring_base(self, job: Job) -> None:
        try:
            self.open_base()
        except Exception as error:
            tell(error)
            job.end(failed=True)
        else:
            self._waiting.put(job)

    def _config(self, job: Job) -> Any:
        from openvino_genai import GenerationConfig

        drawn: dict[str, Any] = {}
        if job.sampling.temperature > 0:
            seed = secrets.randbits(32) if job.sampling.seed is None else job.sampling.seed % 2**32
            drawn = {"do_sample": True, "temperature": job.sampling.temperature, "rng_seed": seed}
            drawn["top_p"] = job.sampling.top_p
        config = GenerationConfig(max_new_tokens=job.max_new_tokens, ignore_eos=job.ignore_eos, **drawn)
        config.stop_token_ids = set(self._stops)
        config.eos_token_id = min(self._stops)  # or it would be looked for in files that are not there
        return config

    # --- what runs ----------------------------------------------------------------------------------------------------

    def _read(self, pipeline: _Pipeline) -> None:
        """Hand on what a step has written, and let go of who is done."""
        from openvino_genai import GenerationStatus

        kept = []
        for answer in pipeline.answers:
            ended = False
            while not ended and answer.handle.can_read():
                for output in answer.handle.read().values():
                    for token in output.generated_ids:
                        ended = ended or say(answer.job, answer.words, token, self._stops)
            if ended:
                answer.handle.cancel()  # who hung up or said a text that ends is still being written
            elif answer.handle.get_status() == GenerationStatus.RUNNING:
                kept.append(answer)
            else:  # IGNORED: there is no memory for its keys and values
                answer.job.end(failed=True)
        pipeline.answers = kept

    def _open(self, adapter: Adapter | None) -> _Pipeline:
        import openvino_genai as genai

        scheduler = genai.SchedulerConfig()
        scheduler.max_num_seqs, scheduler.max_num_batched_tokens = self._max_batch, self._max_tokens
        scheduler.enable_prefix_caching = False  # prompts of others stay in no memory
        options = dict(self._options)
        if adapter is not None:
            tensor = genai.Adapter(_bytes(adapter_bytes(adapter.path, self._linears)))
            options["adapters"] = genai.AdapterConfig(tensor, 1.0, genai.AdapterConfig.Mode.MODE_STATIC)
        return _Pipeline(genai.ContinuousBatchingPipeline(self._graph, scheduler, "CPU", options))


def adapter_bytes(folder: Path, linears: frozenset[str]) -> bytes:
    """A plain LoRA as a safetensors file whose scale is 1.

    openvino-genai reads neither ``adapter_config.json`` nor anything but A and B, and only warns of what it does not
    use, so all of it is looked at here.

    Args:
        folder: of PEFT.
        linears: names of the matrices that the graph has.

    Raises:
        InputError: it holds more than plain updates of those matrices.
    """
    from peft import LoraConfig
    from peft.utils.other import get_pattern_key
    from safetensors.torch import load_file, save

    config = LoraConfig.from_pretrained(str(folder))
    tensors, made = load_file(folder / "adapter_model.safetensors"), {}
    for name, tensor in tensors.items():
        target, _, part = name.removeprefix("base_model.model.").rpartition(".lora_")
        if target not in linears or part not in ("A.weight", "B.weight") or tensor.ndim != 2 or config.use_dora:
            raise InputError(
                "This adapter holds more than plain updates of matrices that OpenVINO's graph has.",
                got=name,
                do="use the engine transformers, or serve what compress makes of it: its adapter is in the weights",
            )
        if part == "B.weight":
            rank = config.rank_pattern.get(get_pattern_key(config.rank_pattern, target), config.r)
            alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern, target), config.lora_alpha)
            tensor = tensor.float() * (alpha / (rank**0.5 if config.use_rslora else rank))
        made[name] = tensor.float().contiguous()
    return bytes(save(made))


def _bytes(data: bytes) -> Any:
    import numpy as np
    import openvino

    return openvino.Tensor(np.frombuffer(data, np.uint8).copy())


def _tensor(ids: Sequence[int]) -> Any:
    import numpy as np
    import openvino

    return openvino.Tensor(np.array([ids], np.int64))
