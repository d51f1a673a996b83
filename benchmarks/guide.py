"""The guide's settings, ours, and each kind of adapter on the same rows: what is learned, and what is forgotten.

``python benchmarks/guide.py --data banking77`` (or ``mts_dialog``) trains, for each seed, by the settings of the guide
that this project grew from (`recipes/guide-defaults.yaml`: r=16, alpha=32, dropout 0.1, AdamW at 5e-5, 100 warm-up
steps, accumulation 4; fp16 becomes the machine's own 16-bit type), by our recipe, by bottleneck adapters and by LoRA
and bottleneck together (each with as many trained numbers as LoRA of rank 16 has, within 0.5 %), and in full. All see
the same rows for the same number of epochs. Where a learning rate is not the guide's it is chosen on validation rows by
the first seed (`train.lr: auto`); the other seeds take it over. Figures are those of the untouched test split.

Forgetting is measured on what the rows do not hold: loss per token of WikiText-2, and the share of BLiMP's pairs in
which the grammatical sentence is the likelier one.

Every stage is an artifact in the store: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_HUB_OFFLINE"] = "1"

from rich.console import Console
from rich.table import Table

from claims import record
from yibu.core.store import Artifact, Store
from yibu.pipeline import Recipe, load, make_data, make_model, make_report, resolve_base
from yibu.retain import RetainConfig, RetainSettings, SetSettings, retain

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("YIBU_SHARED", ROOT.parent / "shared")) / "data"
GUIDE = ("train.lr=5e-5", "train.warmup_steps=100", "train.batch=8", "train.accumulate=4", "adapter.dropout=0.1")
# As many trained numbers each: 4,884,480, 4,877,160 and 4,898,100 on SmolLM2-135M.
SYSTEMS: dict[str, tuple[str, ...]] = {
    "guide": ("adapter.kind=lora", "adapter.r=16", "adapter.alpha=32", *GUIDE),
    "ours": ("adapter.kind=lora", "adapter.r=16", "adapter.alpha=32"),
    "bottleneck": ("adapter.kind=bottleneck", "adapter.width=70"),
    "joint": (
        "adapter.kind=lora+bottleneck",
        "adapter.lora.r=8",
        "adapter.lora.alpha=16",
        "adapter.bottleneck.width=35",
    ),
    "full": ("adapter.kind=full",),
}
TASK = {"banking77": ("accuracy", None), "mts_dialog": ("accuracy", "section_header")}
RETAINED = {"wikitext2": "loss per token of WikiText-2", "blimp": "accuracy on BLiMP"}


@dataclass(frozen=True)
class Measured:
    """What one trained model reached: figures by name, and the learning rate it was trained at."""

    figures: dict[str, float]
    base: dict[str, float]
    lr: float
    n: int


def recipe_of(given: argparse.Namespace, system: str, seed: int, lr: float | None) -> Recipe:
    """Our recipe of this data set, changed to what the system is."""
    changes = [
        f"name=guide-{given.data}-{system}-{seed}",
        f"train.seed={seed}",
        f"train.epochs={given.epochs}",
        "evaluate.folds=null",
        "evaluate.gates={}",
        "evaluate.recalibrate=none",
        "bench=null",
        "retain=null",
        f"data.limit={{train: {given.rows}, valid: {given.valid_rows}, test: {given.test_rows}}}",
        *SYSTEMS[system],
    ]
    if system != "guide":
        changes.append(f"train.lr={'auto' if lr is None else lr}")
    return load(ROOT / "recipes" / f"{given.data}.yaml", changes)


def sets(given: argparse.Namespace) -> RetainSettings:
    """What the base knew before."""
    text = SHARED / "wikitext2" / "wikitext-2" / "test.txt"
    pairs = SHARED / "blimp_100" / "blimp_first100_per_paradigm.jsonl"
    return RetainSettings(
        sets=(
            SetSettings(kind="corpus", path=str(text), name="wikitext2", limit=given.documents),
            SetSettings(kind="pairs", path=str(pairs), name="blimp", limit=given.pairs),
        )
    )


def kept(recipe: Recipe, store: Store, given: argparse.Namespace, model: Artifact | None) -> dict[str, float]:
    """What a model still knows, or the base knew."""
    base = resolve_base(recipe, store)
    config = RetainConfig(base_path=base.path, base_digest=base.digest, retain=sets(given))
    made = store.run(retain, config, **({} if model is None else {"model": model}))
    return {one["name"]: one["value"] for one in made.read_json("retention.json")["sets"]}


def measure(given: argparse.Namespace, store: Store, system: str, seed: int, lr: float | None) -> Measured:
    """Train and measure one model, or take it from the store."""
    recipe = recipe_of(given, system, seed, lr)
    data = make_data(recipe, store)
    model = make_model(recipe, store, data)
    found = make_report(recipe, store, data, model).read_json("metrics.json")["metrics"]
    figures, base, n = {}, {}, 0
    for metric in found:
        if (metric["metric"], metric["field"]) == TASK[given.data]:
            figures["accuracy"], base["accuracy"] = (metric["values"][one]["value"] for one in ("tuned", "base"))
            n = metric["values"]["tuned"]["n"]
        if metric["metric"] == "target_loss":
            figures["loss"], base["loss"] = (metric["values"][one]["value"] for one in ("tuned", "base"))
    figures |= kept(recipe, store, given, model)
    base |= kept(recipe, store, given, None)
    rate = recipe.train.lr
    if rate == "auto":
        rate = model.read_json("lr_sweep.json")["lr"]
    return Measured(figures, base, float(rate), n)


def collect(given: argparse.Namespace, store: Store) -> dict[str, list[Measured]]:
    """Every system by every seed; seed by seed, so that what is there at any time can be compared."""
    found: dict[str, list[Measured]] = {system: [] for system in given.systems}
    for seed in range(given.seeds):
        for system in given.systems:
            Console().print(f"{given.data}, seed {seed}: {system} …")
            before = found[system][0].lr if found[system] else None
            found[system].append(measure(given, store, system, seed, before))
        show(found, given.data)
    return found


def show(found: dict[str, list[Measured]], data: str) -> None:
    """What was measured, as a table: the mean over the seeds."""
    some = next(runs[0] for runs in found.values() if runs)
    table = Table("", "lr", *some.figures, title=f"{data}, n = {some.n}")
    table.add_row("base", "", *(f"{value:.4f}" for value in some.base.values()))
    for system, runs in found.items():
        if runs:
            means = (statistics.fmean(run.figures[name] for run in runs) for name in some.figures)
            table.add_row(system, f"{runs[0].lr:.2g}", *(f"{value:.4f}" for value in means))
    Console().print(table)


def claim(given: argparse.Namespace, found: dict[str, list[Measured]]) -> None:
    """Write down mean, lowest and highest of the seeds; and how much of full fine-tuning's gain LoRA has."""
    seeds = f"mean, lowest and highest of {given.seeds} seeds; {given.rows} rows, {given.epochs} epochs"
    units = {
        "accuracy": "accuracy on test",
        "loss": "nats per target token on test",
        "wikitext2": f"{RETAINED['wikitext2']} afterwards",
        "blimp": f"{RETAINED['blimp']} afterwards",
    }

    def write(name: str, values: list[float], unit: str, n: int, goal: str | None = None) -> None:
        mean, low, high = (round(value, 4) for value in (statistics.fmean(values), min(values), max(values)))
        record(f"adapt.guide.{given.data}.{name}", mean, low=low, high=high, unit=f"{unit}; {seeds}", n=n, goal=goal)

    some = next(iter(found.values()))[0]
    for name, value in some.base.items():
        text = units[name].removesuffix(" afterwards") + ", untrained"
        record(f"adapt.guide.{given.data}.base.{name}", round(value, 4), unit=text, n=some.n)
    for system, runs in found.items():
        for name, unit in units.items():
            write(f"{system}.{name}", [run.figures[name] for run in runs], unit, some.n)
    if {"ours", "full"} <= set(found):
        gains = [
            (ours.base["loss"] - ours.figures["loss"]) / (full.base["loss"] - full.figures["loss"])
            for ours, full in zip(found["ours"], found["full"], strict=True)
        ]
        unit = "gain in test loss of LoRA over that of our own full fine-tuning"
        write("gain_of_full", gains, unit, some.n, ">= 0.98")


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=sorted(TASK), default="banking77")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--valid-rows", type=int, default=200)
    parser.add_argument("--test-rows", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=1005, help="of BLiMP's 6,700, evenly")
    parser.add_argument("--documents", type=int, default=6, help="articles of WikiText-2")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    found = collect(given, Store())
    if not given.dry:
        claim(given, found)


if __name__ == "__main__":
    main()
