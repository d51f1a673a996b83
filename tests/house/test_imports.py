"""Imports point down, and nothing heavy is loaded before it is needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = [
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "sklearn",
    "scipy",
    "pandas",
    "pyarrow",
    "matplotlib",
]
HEAVY += [
    "numpy",
    "nltk",
    "rouge_score",
    "gguf",
    "simple_icd_10_cm",
    "httpx",
    "zeus",
    "mlflow",
    "wandb",
    "tensorboard",
    "huggingface_hub",
    "ahocorasick",
    "cleanlab",
    "ftfy",
    "jieba",
    "lingua",
    "opencc",
    "pint",
    "presidio_analyzer",
    "pypinyin",
    "ray",
    "rensa",
    "selectolax",
    "spacy",
    "textattack",
    "compressed_tensors",
    "bitsandbytes",
]


def test_imports_point_down() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import yibu.cli",
        "import yibu.doctor",
        "import yibu.chat",
        "import yibu.bench, yibu.bench.client, yibu.bench.own",
        "import yibu.pipeline",
        "from yibu.pipeline import Recipe; Recipe.model_json_schema()",
        "from yibu import adapters, attacks, augmenters, bases, detectors\n"
        "from yibu import engines, importers, meters, readers, shapes, tasks\n"
        "first = (adapters, attacks, augmenters, bases, detectors)\n"
        "for family in (*first, engines, importers, meters, readers, shapes, tasks):\n"
        "    family.FAMILY.all()\n"
        "from yibu.train import TRACKERS; TRACKERS.all()",
        "from yibu import compressors, exporters; compressors.FAMILY.all(); exporters.FAMILY.all()",
    ],
)
def test_nothing_heavy_is_imported_by(code: str) -> None:
    show = f"\nimport sys, json; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
