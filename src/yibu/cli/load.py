"""The view of a measurement under load, and what its words on the command line mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from yibu import pipeline
from yibu.bench import BenchSettings
from yibu.cli.find import find
from yibu.core.errors import InputError
from yibu.core.recipe import apply_overrides, parse
from yibu.core.store import Artifact, Store

ENDED = {
    "endpoint_died": "The endpoint died. What was measured until then is kept.",
    "no_answers": "Nothing was answered at this rate. What was measured before is kept.",
    "client_died": "A process that sends requests died. What was measured until then is kept.",
    "interrupted": "Stopped. What was measured until then is kept.",
    "token_budget": "The budget of tokens is spent; the last rate is not complete.",
}
FAILED = ("endpoint_died", "no_answers", "client_died")
"""Ends that are failures: exit code 1."""


def settings_of(words: Sequence[str]) -> tuple[str | None, BenchSettings]:
    """The name among the words, if there is one, and the settings: a recipe's, changed by ``bench.key=value``.

    Raises:
        InputError: two names, or a setting of another section.
    """
    overrides = [word for word in words if "=" in word]
    names = [word for word in words if "=" not in word]
    if len(names) > 1:
        raise InputError("One model is measured at a time.", got=names)
    name = names[0] if names else None
    if name is not None and name.endswith((".yaml", ".yml")):
        return name, pipeline.load(Path(name), overrides).bench or BenchSettings()
    foreign = [word for word in overrides if not word.startswith("bench.")]
    if foreign:
        raise InputError("Only settings of bench can differ here.", got=foreign, allowed="bench.key=value")
    return name, parse(BenchSettings, apply_overrides({}, overrides).get("bench", {}))


def with_endpoint(settings: BenchSettings, kind: str, endpoint: str | None, model: str | None) -> BenchSettings:
    """The settings, with what ``--endpoint``, ``--engine`` and ``--model`` stand for.

    Raises:
        RecipeError: no address. InputError: a model's name without an endpoint.
    """
    if endpoint is None:
        if model is not None and settings.engine is None:
            raise InputError("--model is the name that an endpoint knows.", do="add --endpoint URL")
        return settings
    engine = {"kind": kind, "endpoint": endpoint, **({} if model is None else {"model": model})}
    return parse(BenchSettings, {**settings.as_config(), "engine": engine})


def measured(store: Store, name: str | None, settings: BenchSettings) -> Artifact:
    """Measure: a model of the store with the prompts of its rows, or an endpoint, with such or with made-up ones."""
    if name is None and settings.engine is not None:
        return pipeline.measure(settings, store)
    model = find(store, name, "model")
    return pipeline.measure(settings, store, model, store.find(model.manifest.inputs.get("data", "")))


def load_view(latency: Mapping[str, Any], efficiency: Mapping[str, Any] | None, path: Path) -> RenderableType:
    """Tables of latency and cost by rate, and what one must know to read them.

    Args:
        latency, efficiency: files of the artifact.
        path: its folder.
    """
    engine = latency["engine"]
    who = engine.get("engine") or f"{engine['kind']} {engine['endpoint']} {engine['model']}"
    where = " ".join(str(engine[key]) for key in ("device", "dtype") if key in engine)
    parts: list[RenderableType] = [Text.assemble((who, "bold"), f" {where} · prompts: {latency['prompts']['from']}")]
    parts.append(_latency_table(latency["rates"]))
    if efficiency is not None:
        parts += [_cost_table(efficiency["rates"]), _cost_line(efficiency)]
    parts += [Text(remark, style="yellow") for remark in _remarks(latency)]
    if latency["ended"]:
        parts.append(Text(ENDED[latency["ended"]], style="red" if latency["ended"] in FAILED else "yellow"))
    parts.append(
        Text(
            "From the intended moment of sending. Limits: order statistics, 95 %; they take requests for "
            "independent, so near saturation they are too narrow.",
            style="dim",
        )
    )
    parts.append(Text(str(path / "latency.svg"), style="dim"))
    return Padding(Group(*parts), (1, 0))


def _latency_table(rates: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("requests/s", justify="right")
    table.add_column("n", justify="right")
    for name in ("first token", "per token", "end to end"):
        table.add_column(f"{name}\np50 / p90 / p99", justify="right")
    for name in ("tokens/s", "errors", "client CPU"):
        table.add_column(name, justify="right")
    for item in rates:
        rate = Text(f"{item['rate']:.3g}", style="bold red" if item["saturated"] else "bold")
        if item["saturated"]:
            rate.append(f"\nkeeps up with {item['achieved_rate']:.3g}" if item["achieved_rate"] else "\nsaturated")
        share = item["client_cpu_share"]
        table.add_row(
            rate,
            str(item["answered"]),
            *(_quantiles(item[name]) for name in ("ttft", "per_token", "e2e")),
            "" if item["tokens_per_second"] is None else f"{item['tokens_per_second']:.1f}",
            ", ".join(f"{count} {name}" for name, count in item["errors"].items()),
            "" if share is None else f"{100 * share:.0f} %",
            end_section=True,
        )
    return table


def _quantiles(found: Mapping[str, Any] | None) -> Text:
    if found is None:
        return Text("")
    cell = Text(
        " / ".join("> limit" if entry["value"] is None else seconds(entry["value"]) for entry in found.values())
    )
    last = found["p99"]
    if last["high"] is None or last["low"] is None:
        return cell.append("\np99: no limits", style="dim")
    return cell.append(f"\np99: {seconds(last['low'])} to {seconds(last['high'])}", style="dim")


def seconds(value: float) -> str:
    """0.0123 -> ``12.3 ms``, 2.5 -> ``2.5 s``."""
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _cost_table(rates: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("requests/s", "FLOPs", "joules", "FLOPs/joule", "tokens/joule"):
        table.add_column(name, justify="right")
    for item in rates:
        mark = " (modelled)" if item["modelled"] else ""
        numbers = (item["flops"], item["joules"], item["flops_per_joule"], item["tokens_per_joule"])
        said = ["" if value is None else f"{value:.3g}" for value in numbers]
        table.add_row(f"{item['rate']:.3g}", said[0], *(f"{text}{mark}" if text else "" for text in said[1:]))
    return table


def _cost_line(efficiency: Mapping[str, Any]) -> Text:
    counts = ", ".join(f"{efficiency[name]:,} {name}" for name in ("trained", "activated"))
    energy = efficiency["energy"]
    source = "joules were not measured: no counter here, no bench.meter" if energy is None else energy["covers"]
    return Text(
        f"{efficiency['parameters']:,} parameters ({counts}), {efficiency['flops_per_token']:.3g} FLOPs a token beside "
        f"attention; {source}",
        style="dim",
    )


def _remarks(latency: Mapping[str, Any]) -> list[str]:
    said, rates = [], latency["rates"]
    few = [item for item in rates if not item["p99_reachable"]]
    if few:
        said.append("p99 has no upper limit with fewer than 299 answers: bench.num_requests=400 bench.seconds=...")
    stalls = sum(item["stalls"] for item in rates)
    if stalls:
        said.append(f"{stalls} answers stood still for longer than bench.stall_seconds.")
    return said
