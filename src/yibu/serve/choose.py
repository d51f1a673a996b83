"""Which engine carries an artifact on this machine, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yibu import engines
from yibu.core.errors import InputError
from yibu.core.machine import has_nvidia_gpu
from yibu.core.recipe import Settings
from yibu.core.store import Store
from yibu.engines import EngineSettings, ProcessSettings, llamacpp, openvino, transformers, vllm
from yibu.engines._vllm_python import VllmPython
from yibu.serve.weights import Weights

_INSTEAD = "leave serve.engine out, or serve what compress makes of it: its adapter is in the weights"


@dataclass(frozen=True)
class Chosen:
    """An engine's settings, and one sentence for the user."""

    settings: Settings
    why: str

    @property
    def endpoint(self) -> str | None:
        """How a server of somebody else's is named in answers; None where the engine is ours."""
        if not isinstance(self.settings, EngineSettings):
            return None
        return f"{getattr(self.settings, 'kind', '')}:{self.settings.model}"


def choose(weights: Weights, store: Store, wanted: Settings | None) -> Chosen:
    """The engine for a model.

    Args:
        weights: of what is served first.
        wanted: of ``serve.engine``; its base and adapter are filled in.

    Raises:
        InputError: what is wanted cannot carry it.
    """
    if wanted is not None and not isinstance(wanted, ProcessSettings):
        kind = getattr(wanted, "kind", "")
        return Chosen(wanted, f"{kind}: the recipe names its endpoint; which weights run there, only its owner knows")
    if wanted is None:
        wanted, why = _default(weights)
    else:
        why = f"{getattr(wanted, 'kind', '')}: the recipe asks for it"
        _check(weights, wanted)
    given: dict[str, Any] = {"base_path": str(weights.find(store))}
    if weights.adapter is not None:
        adapter = weights.adapter
        given |= {"adapter_path": str(adapter.path), "adapter_kind": adapter.kind, "adapter_name": adapter.name}
    if isinstance(wanted, (llamacpp.Settings, openvino.Settings)) and wanted.work_path is None:
        given["work_path"] = _work_path(store, "gguf" if isinstance(wanted, llamacpp.Settings) else "openvino")
    return Chosen(wanted.model_copy(update=given), why)


def _default(weights: Weights) -> tuple[ProcessSettings, str]:
    if weights.form == "gguf":
        return llamacpp.Settings(), "llamacpp: it reads GGUF, and this file was proven in it"
    reason = _why_no_vllm(weights)
    if reason is None:
        return vllm.Settings.model_validate({"dtype": weights.dtype}), "vllm: there is a GPU, and vLLM is installed"
    settings = transformers.Settings.model_validate({"device": weights.device, "dtype": weights.dtype})
    beside = f" ({reason})" if reason else ""
    if weights.adapter is None:
        return settings, f"transformers: it reads every plain folder as it is{beside}"
    return settings, f"transformers: it runs every base, and adapters of the kind {weights.adapter.kind}{beside}"


def _why_no_vllm(weights: Weights) -> str | None:
    """Why vLLM is not taken unasked: a reason for the user, "" where there is no GPU; None where it is taken."""
    if weights.device == "cpu" or not has_nvidia_gpu():
        return ""
    try:
        python = VllmPython.find()
    except InputError:
        return "vLLM, which is faster on a GPU, is not installed: make vllm"
    if python.is_cpu:
        return "the vLLM that is installed is a build for processors"
    adapter = weights.adapter
    if weights.base is None and _is_quantised(weights.path):
        return "what compress puts into fewer bits is proven in transformers"
    if weights.asked.task.closed_set:
        return "vLLM scores labels one after the other, transformers in one pass"
    if adapter is not None and (adapter.kind not in (vllm.Engine.adapter_kinds or ()) or vllm.Engine.why_not(adapter)):
        return "vLLM does not load this adapter"
    return None


def _is_quantised(folder: Path) -> bool:
    config = folder / "config.json"
    return config.is_file() and "quantization_config" in json.loads(config.read_text(encoding="utf-8"))


def _check(weights: Weights, wanted: ProcessSettings) -> None:
    kind = str(getattr(wanted, "kind", ""))
    engine = engines.FAMILY.load(kind).Engine
    if weights.form not in engine.reads:
        raise InputError(
            "This engine does not read such files.",
            got=f"{kind}: {weights.form}",
            allowed=sorted(engine.reads),
            do="leave serve.engine out",
        )
    adapter, known = weights.adapter, engine.adapter_kinds
    if adapter is not None and known is not None and adapter.kind not in known:
        raise InputError(
            "This engine does not know adapters of this kind.",
            got=f"{kind}: {adapter.kind}",
            allowed=sorted(known),
            do=_INSTEAD,
        )
    if adapter is not None and (reason := engine.why_not(adapter)) is not None:
        raise InputError("This engine cannot load the adapter.", got=f"{kind}: {reason}", do=_INSTEAD)


def _work_path(store: Store, what: str) -> str | None:
    """Where files that are made for an engine are kept; None in a store that cannot be written."""
    folder = Path(store.root, "serve", what)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder)
