"""A tiny classifier, trained in seconds, up to where it may leave: what tests of compress and export begin with."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny import tiny_base
from yibu import pipeline
from yibu.core.store import Artifact, Store

WORDS = {
    "heart": ["chest pain", "palpitations", "heart attack"],
    "lung": ["cough", "asthma", "dyspnoea"],
    "hand": ["cut finger", "broken thumb", "injury of the hand"],
}


@dataclass(frozen=True)
class Tuned:
    """A trained model and all that it was made of."""

    path: Path
    recipe: pipeline.Recipe
    store: Store
    data: Artifact
    model: Artifact

    def with_sections(self, *overrides: str) -> pipeline.Recipe:
        """The same recipe with other settings behind the training."""
        return pipeline.load(self.path, overrides)

    def small(self, *overrides: str) -> Artifact:
        """What compress makes of the model."""
        return pipeline.make_small(self.with_sections(*overrides), self.store, self.data, self.model)


def tuned(folder: Path, architecture: str = "llama", num_rows: int = 150, **sections: Any) -> Tuned:
    """Train a tiny model on rows whose class is in their words."""
    folder.mkdir(parents=True, exist_ok=True)
    base = tiny_base(folder / "base", architecture)
    chance = random.Random(0)
    with (folder / "rows.jsonl").open("w") as lines:
        for number in range(num_rows):
            label = chance.choice(list(WORDS))
            row = {"text": f"{chance.choice(WORDS[label])}, case {number}", "label": label}
            lines.write(json.dumps(row) + "\n")
    table = {
        "base": str(base),
        "data": {"source": str(folder / "rows.jsonl")},
        "train": {"lr": 1e-2, "epochs": 2, "threads": 1},
        "evaluate": {"threads": 1},
        **sections,
    }
    path = folder / "tiny.yaml"
    path.write_text(json.dumps(table))
    recipe, store = pipeline.load(path), Store(folder / "store")
    data = pipeline.make_data(recipe, store)
    return Tuned(path, recipe, store, data, pipeline.make_model(recipe, store, data))
