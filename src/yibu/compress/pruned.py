"""A merged model without the parts that its domain does not need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from yibu import bases, compressors, tasks
from yibu.compress import MODEL, PruneConfig
from yibu.compress.calibrate import calibration_of
from yibu.core.errors import InputError
from yibu.core.log import get
from yibu.core.store import Artifact, Work
from yibu.model.assemble import load_renderer, merged
from yibu.model.resolve import load_model, load_tokenizer
from yibu.parity.outputs import logits_of

log = get("prune")
_TEXTS = 4  # calibration rows on which the folder must be the model that was written into it
_TOLERANCE = 1e-3


def run(config: PruneConfig, work: Work, data: Artifact, model: Artifact) -> None:
    """The body of the stage `yibu.compress.prune`."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    settings: Any = config.prune
    plug = compressors.FAMILY.load(settings.kind)
    kind = str(model.read_json("summary.json")["adapter"]["kind"])
    plain = merged(Path(config.base_path), model.path / "adapter", kind)
    facts = bases.facts_for(plain.config)
    renderer = load_renderer(Path(config.base_path), facts)
    task = tasks.build(config.task, data.read_json("summary.json")["labels"])
    calibration = calibration_of(plain, facts, renderer, task, data, config.calibration_rows)
    told = plug.compress(plain, settings, facts, calibration)
    log.info("%s of %s parameters are left", f"{told['parameters']:,}", f"{told['of']:,}")
    folder = work.path / MODEL
    plug.save(plain, folder, settings)
    calibration.tokenizer.save_pretrained(folder)
    texts = [renderer.tokenizer.decode(list(row)) for row in calibration.rows[:_TEXTS]]
    _check_folder(plain, folder, texts)
    work.write_json("summary.json", {"prune": settings.as_config(), **told})


def _check_folder(model: Any, folder: Path, texts: list[str]) -> None:
    """What plain transformers reads must be what was pruned: configs name layers and experts in ways of their own.

    Raises:
        InputError: it is another model.
    """
    tokenizer = load_tokenizer(folder)
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    own, read = logits_of(model), logits_of(load_model(folder, torch.float32))
    apart = max(float((own(row).softmax(-1) - read(row).softmax(-1)).abs().max()) for row in rows)
    if not apart <= _TOLERANCE:
        raise InputError(
            "This architecture cannot be pruned so: what transformers reads is not the model that was saved.",
            got=f"{type(model).__name__}; probabilities differ by {apart:.2g}",
            do="take that key out of compress.prune, and report the architecture",
        )
