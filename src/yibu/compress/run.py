"""From a trained adapter to a plain model, and the proof that it is the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from yibu import bases, compressors, tasks
from yibu.compress import MODEL, CompressConfig
from yibu.compress.calibrate import calibration_of
from yibu.core.errors import DataError
from yibu.core.log import get
from yibu.core.record import Row, read_rows
from yibu.core.store import Artifact, Work
from yibu.model.assemble import (
    Assembled,
    for_answers,
    load_renderer,
    merged,
    on_whole_base,
    use_generating_attention,
)
from yibu.model.render import Renderer
from yibu.model.resolve import load_model
from yibu.parity import Check
from yibu.parity.asking import answers_of, fields_of, losses_of, row_scores
from yibu.parity.gain import gain_kept, loss_grown
from yibu.parity.ids import same_ids, served_by_template
from yibu.parity.outputs import Logits, answers_in, logits_of, remembered, same_answers, same_logits

log = get("compress")
TEXTS, TOKENS = 8, 128  # of validation rows whose logits are compared, and of each
GAIN, GAIN_IN_FOUR_BITS = 0.95, 0.9  # the second also of a model that lacks parts
LOSS = 1.15  # times the adapter's
# Type of the weights on disk -> largest difference of a probability, and least share of equal answers. In fp32 only the
# order of sums differs, which turns the answer of a row whose two best words are equally likely; 16 bits round.
BOUNDS = {"fp32": (1e-3, 0.99), "fp16": (2e-2, 0.97), "bf16": (1e-1, 0.9)}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Asked:
    """The validation rows, and what base and adapter answered."""

    task: tasks.Task
    rows: list[Row]
    language: str
    base: list[str]
    adapter: list[str]


def run(
    config: CompressConfig,
    work: Work,
    data: Artifact,
    model: Artifact,
    base_answers: Artifact,
    answers: Artifact,
    pruned: Artifact | None = None,
    recovered: Artifact | None = None,
) -> None:
    """The body of the stage `yibu.compress.compress`."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    asked = _asked(config, data, base_answers, answers)
    kind = str(model.read_json("summary.json")["adapter"]["kind"])
    folder = work.path / MODEL
    before = Path(config.base_path) if pruned is None else pruned.path / MODEL

    plain = _plain(config, model, kind, pruned, recovered)
    facts = bases.facts_for(plain.config)
    renderer = load_renderer(before, facts)
    told = [] if pruned is None else [{"kind": "prune", **pruned.read_json("summary.json")}]
    told += [] if recovered is None else [{"kind": "recover", **_recovery(recovered)}]
    parameters = sum(parameter.numel() for parameter in plain.parameters())
    told += _shrink(config, plain, facts, renderer, asked.task, data)
    # Whoever loads the folder stops where training ended a turn, without being told.
    plain.generation_config.eos_token_id = sorted(renderer.stop_ids)
    _save(config, plain, folder)
    renderer.tokenizer.save_pretrained(folder)
    del plain

    checks = _proof(config, folder, renderer, facts, asked, model.path / "adapter", kind)
    for check in checks:
        log.info("%s", check.says())
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    of_fp32 = 4 * (parameters if pruned is None else int(pruned.read_json("summary.json")["of"]))
    work.write_json("parity.json", {"checks": [check.as_dict() for check in checks]})
    work.write_json(
        "summary.json",
        {
            "base": config.base,
            "adapter": kind,
            "compress": config.compress.as_config(),
            "bytes": size,
            "parameters": parameters,
            "bytes_of_fp32": of_fp32,
            "share_of_fp32": size / of_fp32,
            "steps": told,
            "validation_rows": len(asked.rows),
        },
    )


def _plain(
    config: CompressConfig, model: Artifact, kind: str, pruned: Artifact | None, recovered: Artifact | None
) -> Any:
    """The merged model, or what pruning left of it, with what was trained on that."""
    if pruned is None:
        return merged(Path(config.base_path), model.path / "adapter", kind)
    if recovered is None:
        return load_model(pruned.path / MODEL, torch.float32)
    own = str(recovered.read_json("summary.json")["adapter"]["kind"])
    return merged(pruned.path / MODEL, recovered.path / "adapter", own)


def _recovery(recovered: Artifact) -> dict[str, Any]:
    summary = recovered.read_json("summary.json")
    return {key: summary[key] for key in ("lr", "epochs", "steps", "best_step", "best_valid_loss", "seconds")}


def _asked(config: CompressConfig, data: Artifact, base_answers: Artifact, answers: Artifact) -> Asked:
    rows = list(read_rows(data.file("valid.jsonl")))[: config.compress.rows]
    if not rows:
        raise DataError(
            "There are no validation rows, so it cannot be proven that the plain model is the tuned one.",
            got="0 rows",
            do="let data.split keep some: split: {train: 0.8, valid: 0.1, test: 0.1}",
        )
    summary = data.read_json("summary.json")
    task = tasks.build(config.task, summary["labels"])
    language = "zh" if summary["language"] == "zh" else "en"
    count = len(rows)
    return Asked(task, rows, language, answers_in(base_answers)[:count], answers_in(answers)[:count])


def _shrink(
    config: CompressConfig, plain: Any, facts: Any, renderer: Renderer, task: tasks.Task, data: Artifact
) -> list[dict[str, Any]]:
    """Let the compressor of the recipe change the model; what it says of it."""
    wanted: Any = config.compress.quantise
    if wanted is None:
        return []
    tokens = wanted.expert_tokens if getattr(wanted, "method", "") == "gptq" else 0
    calibration = calibration_of(plain, facts, renderer, task, data, config.compress.calibration_rows, tokens)
    plug = compressors.FAMILY.load(wanted.kind)
    return [{"kind": wanted.kind, **plug.compress(plain, wanted, facts, calibration)}]


def _save(config: CompressConfig, plain: Any, folder: Path) -> None:
    wanted: Any = config.compress.quantise
    if wanted is not None:
        compressors.FAMILY.load(wanted.kind).save(plain, folder, wanted)
        return
    compressors.narrow(plain, DTYPES[config.compress.dtype]).save_pretrained(folder)


def _proof(
    config: CompressConfig,
    folder: Path,
    renderer: Renderer,
    facts: Any,
    asked: Asked,
    adapter: Path,
    kind: str,
) -> list[Check]:
    small = for_answers(folder, None, kind, config.device, "fp32")
    checks = same_ids(renderer, served_by_template(small.renderer.tokenizer))
    texts = texts_of(renderer, asked.task, asked.rows)
    said = answers_of(small, asked.task, asked.rows, config.batch_size)
    changed = config.compress.quantise is not None or config.compress.prune is not None
    lost = losses_of(small, asked.task, asked.rows) if changed else None
    own = _remembered(small, texts)
    del small
    if lost is not None:
        tuned_before = for_answers(Path(config.base_path), adapter, on_whole_base(kind), config.device, "fp32")
        checks.append(loss_grown(losses_of(tuned_before, asked.task, asked.rows), lost, bound=_most_loss(config)))
        del tuned_before
    else:
        bound, equal = BOUNDS[config.compress.dtype]
        whole = on_whole_base(kind)
        name = "adapter = merged"
        tuned = _logits(config, adapter, whole, texts)
        checks += same_logits(name, tuned, own, texts, bound=bound, base=_logits(config, None, whole, texts))
        if whole == kind:  # the answers of a QLoRA are those of the base in 4 bits, which is another one
            checks.append(same_answers(name, asked.adapter, said, bound=equal))
    scores = [
        row_scores(asked.task, asked.rows, fields_of(asked.task, found), asked.language)
        for found in (asked.base, asked.adapter, said)
    ]
    checks.append(gain_kept(*scores, bound=_least_gain(config)))
    return checks


def _least_gain(config: CompressConfig) -> float:
    wanted: Any = config.compress.quantise
    if config.compress.gain is not None:
        return config.compress.gain
    if config.compress.prune is not None:
        return GAIN_IN_FOUR_BITS
    if wanted is None:
        return GAIN
    return GAIN_IN_FOUR_BITS if compressors.FAMILY.load(wanted.kind).bits(wanted) <= 4 else GAIN


def _most_loss(config: CompressConfig) -> float | None:
    """The bound on the loss; None: it is told and not judged."""
    return config.compress.loss or (LOSS if config.compress.prune is not None else None)


def _logits(config: CompressConfig, adapter: Path | None, kind: str, texts: Sequence[Sequence[int]]) -> Logits:
    """Of the base, or of base and adapter, both whole and in fp32; the model is gone afterwards."""
    system = for_answers(Path(config.base_path), adapter, kind, config.device, "fp32")
    return _remembered(system, texts)


def _remembered(system: Assembled, texts: Sequence[Sequence[int]]) -> Logits:
    use_generating_attention(system.model, system.facts)
    return remembered(logits_of(system.model), texts)


def texts_of(renderer: Renderer, task: tasks.Task, rows: Sequence[Row]) -> list[list[int]]:
    """Token ids of some rows, prompt and target, cut to a length whose logits fit into memory."""
    chosen = rows[:: max(1, len(rows) // TEXTS)][:TEXTS]
    return [list(renderer.example(task.messages(row), task.target(row)).ids[-TOKENS:]) for row in chosen]
