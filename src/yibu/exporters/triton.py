"""A model repository for Triton Inference Server, with all that it needs inside.

``back_end: python`` is for tasks that choose a label or write little: plain transformers in ``model.py``, requests
batched by Triton. ``back_end: vllm`` is for generation: decoupled, batched by vLLM itself, so no ``dynamic_batching``.
The Python form is proven in a real ``tritonserver`` (of the wheel nvidia-pytriton, in an environment of its own:
``make triton``). The vLLM form needs NVIDIA's container and cannot be asked here; the manifest says so.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field

from yibu.core.errors import InputError
from yibu.core.recipe import Settings as BaseSettings
from yibu.exporters import Bounds, Questions, Replies, Source, Unasked, openvino
from yibu.exporters._task import task_table

MAX_BATCH = 32
_PRECISION: dict[str, Literal["f32", "bf16"]] = {"float32": "f32", "bfloat16": "bf16"}


class Settings(BaseSettings):
    """How Triton shall run it."""

    kind: Literal["triton"] = "triton"
    back_end: Literal["auto", "python", "vllm"] = Field(
        "auto", description="auto: python for a closed set of labels, vllm for what is written"
    )
    device: Literal["cpu", "gpu"] = Field("cpu", description="of the instances of the Python back end")
    instances: int = Field(1, ge=1, description="copies of the model on a device")
    queue_ms: float = Field(2.0, ge=0, description="a request waits so long for others to share its batch")
    versions: int = Field(1, ge=1, description="number of this version; Triton serves the newest")
    threads: int = Field(1, ge=1, description="CPU threads of an instance")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="that the Python back end computes in")
    runtime: Literal["transformers", "openvino"] = Field(
        "transformers", description="of the Python back end; openvino is for labels, on a processor"
    )
    mount: str = Field("/models", description="where the repository will lie for the vLLM back end")
    gpu_memory: float = Field(0.9, gt=0, le=1, description="share of the GPU that vLLM may take")
    cuda_graphs: bool = Field(True, description="of the vLLM back end; the Python back end has none")


def write(source: Source, folder: Path, settings: Settings) -> None:
    """``<name>/config.pbtxt`` and ``<name>/<version>/``.

    Raises:
        InputError: the task has no prompt of its own that a request could fill.
    """
    back_end = _back_end(source, settings)
    repository = folder / "repository" / source.name
    place = repository / str(settings.versions)
    place.mkdir(parents=True)
    if back_end == "vllm":
        _copy_model(source, place)
        engine = {
            "model": f"{settings.mount}/{source.name}/{settings.versions}/model",
            "gpu_memory_utilization": settings.gpu_memory,
            "enforce_eager": not settings.cuda_graphs,
        }
        (place / "model.json").write_text(json.dumps(engine, indent=1) + "\n", encoding="utf-8")
        text = _VLLM.format(name=source.name, instances=settings.instances)
    else:
        _write_python(source, place, settings)
        text = _PYTHON.format(
            name=source.name,
            batch=MAX_BATCH,
            delay=int(settings.queue_ms * 1000),
            instances=settings.instances,
            kind="KIND_GPU" if settings.device == "gpu" else "KIND_CPU",
        )
    (repository / "config.pbtxt").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(_usage(source, back_end, settings.runtime), encoding="utf-8")


def ask(source: Source, folder: Path, settings: Settings, questions: Questions) -> dict[str, Replies]:
    """The replies of a real tritonserver.

    Raises:
        Unasked: the vLLM back end, which this machine has not.
        InputError: tritonserver is not on this machine.
    """
    if _back_end(source, settings) == "vllm":
        raise Unasked(
            "The vLLM back end of Triton runs in NVIDIA's container on a GPU, so this repository was not asked.",
            do="ask it there before it is used; back_end: python is proven here",
        )
    from yibu.exporters._tritonserver import TritonServer

    with TritonServer.find().serve(folder / "repository", source.name) as server:
        rendered: list[list[int] | None] = []
        for messages in questions.conversations:
            try:
                # One token is written, since a label behind a conversation would say nothing.
                rendered.append(server.ask({"messages": list(messages), "prompt_ids": True, "write": 1})["prompt_ids"])
            except InputError:
                rendered.append(None)
        given = [
            {"ids": list(prompt), "write": questions.max_new_tokens, "logits": True} for prompt in questions.prompts
        ]
        found = [server.ask(one) for one in given]
        chosen = (
            [server.ask({"ids": list(prompt)})["answer"] for prompt in questions.choices] if source.labels else None
        )
        engine = server.engine
    import torch

    logits = [torch.tensor(one["logits"]) for one in found]
    return {"model": Replies(rendered, logits, [one["ids"] for one in found], engine, chosen)}


def bounds(settings: Settings) -> Bounds:
    """By the type that it computes in."""
    if settings.dtype == "float32":
        return Bounds(probability=1e-3, first_choices=0.99, missing=0.05, answers=0.99)
    return Bounds(probability=0.1, first_choices=0.9, missing=0.3, answers=0.7)


def _write_python(source: Source, place: Path, settings: Settings) -> None:
    """A version of the Python back end: model, task and programs."""
    table = task_table(source)
    if settings.runtime == "openvino":
        if settings.device == "gpu":
            raise InputError(
                "OpenVINO computes on processors here.", got="device: gpu", do="runtime: transformers, or device: cpu"
            )
        openvino.write(source, place, openvino.Settings(precision=_PRECISION[settings.dtype], threads=settings.threads))
    else:
        _copy_model(source, place)
        table |= {"threads": settings.threads, "dtype": settings.dtype}
        (place / "task.json").write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", "utf-8")
        for own, name in (("_labels.py", "labels.py"), ("_asking.py", "asking.py"), ("_network.py", "network.py")):
            shutil.copyfile(Path(__file__).with_name(own), place / name)
    shutil.copyfile(Path(__file__).with_name(f"_triton_{settings.runtime}.py"), place / "model.py")
    shutil.copyfile(Path(__file__).with_name("_triton_model.py"), place / "batches.py")


def _copy_model(source: Source, place: Path) -> None:
    shutil.copytree(source.model, place / "model", copy_function=shutil.copyfile)


def _back_end(source: Source, settings: Settings) -> str:
    if settings.back_end != "auto":
        return settings.back_end
    return "python" if source.labels else "vllm"


def _usage(source: Source, back_end: str, runtime: str) -> str:
    if back_end == "vllm":
        where = f"{os.sep}v2{os.sep}models{os.sep}{source.name}{os.sep}generate_stream"
        return (
            "## Use\n\n`tritonserver --model-repository=repository` in NVIDIA's container with the vLLM back end; ask "
            f'`POST {where}` with `{{"text_input": "...", "parameters": {{"stream": true}}}}`. '
            "The text is a prompt in the form of the chat template, which lies in the model's folder.\n"
        )
    return (
        "## Use\n\n`tritonserver --model-repository=repository`, where `python3` has "
        f"{'openvino' if runtime == 'openvino' else 'torch'}, transformers and numpy below 2 (Triton 24.10 reads "
        f"texts wrongly under numpy 2); ask `{source.name}` with the tensor `REQUEST` (BYTES, [n, 1]): "
        "the text, or a JSON object of its fields. "
        "`ANSWER` (BYTES, [n, 1]) is a JSON object with `answer` and, for labels, `probabilities`. Up to "
        f"{MAX_BATCH} requests are put into one batch. Texts are taken as they are: what `data.clean` of the recipe "
        "does to rows, do to requests, too.\n"
    )


_PYTHON = """name: "{name}"
backend: "python"
max_batch_size: {batch}
input [
  {{ name: "REQUEST" data_type: TYPE_STRING dims: [ 1 ] }}
]
output [
  {{ name: "ANSWER" data_type: TYPE_STRING dims: [ 1 ] }}
]
dynamic_batching {{
  max_queue_delay_microseconds: {delay}
}}
instance_group [
  {{ count: {instances} kind: {kind} }}
]
model_warmup [
  {{
    name: "empty"
    batch_size: 1
    inputs: {{ key: "REQUEST" value: {{ data_type: TYPE_STRING dims: [ 1 ] zero_data: true }} }}
  }}
]
version_policy: {{ latest: {{ num_versions: 1 }} }}
"""
_VLLM = """name: "{name}"
backend: "vllm"
max_batch_size: 0
model_transaction_policy {{ decoupled: true }}
input [
  {{ name: "text_input" data_type: TYPE_STRING dims: [ 1 ] }},
  {{ name: "stream" data_type: TYPE_BOOL dims: [ 1 ] optional: true }},
  {{ name: "sampling_parameters" data_type: TYPE_STRING dims: [ 1 ] optional: true }}
]
output [
  {{ name: "text_output" data_type: TYPE_STRING dims: [ -1 ] }}
]
instance_group [
  {{ count: {instances} kind: KIND_MODEL }}
]
version_policy: {{ latest: {{ num_versions: 1 }} }}
"""
