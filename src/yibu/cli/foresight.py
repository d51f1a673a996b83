"""What a base would cost that is not on this machine: parameters, modules, memory on cards of 80 GB, disk."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from yibu.cli.history import size

_SHARES = {
    "weights": "base, {weights}",
    "gathered": "layers gathered from the other cards",
    "adapter": "what is trained, fp32",
    "gradients": "its gradients",
    "optimizer": "its AdamW states",
    "activations": "activations of {tokens:,} tokens",
    "output_layer": "output layer",
    "runtime": "driver and libraries",
}


def foresight_view(name: str, found: dict[str, Any]) -> RenderableType:
    """The view of `yibu.model.foresee.Foresight.as_dict`.

    Args:
        name: of the base.
        found: the figures.
    """
    published = found["published"]
    head = Text.assemble(
        (f"{name} · {found['model']}", "bold"),
        f"\n{found['parameters']:,} parameters, {found['active']:,} of them used for a token, "
        f"{found['trained']:,} trained ({found['trained'] / found['parameters']:.2%}); "
        "counted from its config, no weights were read",
    )
    parts: list[RenderableType] = [head, _plan(found["plan"]), _memory(found)]
    parts.append(Text(f"Main memory: {size(found['host'])} for the best weights so far"))
    parts.append(_disk(found["disk"]))
    if published:
        parts.append(Text(f"Published: {published['stated_by']}\nConfig: {published['sources'][0]}", style="dim"))
    return Group(*parts)


def _plan(rows: list[dict[str, Any]]) -> Table:
    table = Table("trained part", box=box.SIMPLE_HEAD)
    for column in ("modules", "shapes", "parameters"):
        table.add_column(column, justify="right")
    for row in rows:
        shapes = ", ".join("×".join(map(str, shape)) for shape in row["shapes"])
        table.add_row(row["role"], f"{row['num_modules']:,}", shapes, f"{row['parameters']:,}")
    return table


def _memory(found: dict[str, Any]) -> Table:
    cards, needed = list(found["memory"]), found["needed"]
    if needed is not None and needed not in cards:
        cards = sorted([*cards, needed], key=lambda card: card["cards"])
    table = Table("memory of a card", box=box.SIMPLE_HEAD)
    for card in cards:
        again = "\nrecompute" if card["recompute"] else ""
        table.add_column(f"{card['cards']} × {size(card['available'])}{again}", justify="right")
    for share, label in _SHARES.items():
        if any(card[share] for card in cards):
            cells = (size(card[share]) if card[share] else "–" for card in cards)
            table.add_row(label.format(**found), *cells)
    table.add_section()
    totals = (
        Text(f"{size(card['total'])}\n{'fits' if card['fits'] else 'too much'}", "green" if card["fits"] else "red")
        for card in cards
    )
    table.add_row(Text("total", style="bold"), *totals)
    table.caption = Text(enough(found), style="")
    return table


def enough(found: dict[str, Any]) -> str:
    """How many cards hold it, as a clause."""
    needed = found["needed"]
    if needed is None:
        return "not even 1,024 cards are enough: train fewer weights, or take adapter.kind: qlora"
    one = needed["cards"] == 1
    total = f" ({size(needed['total'])} of each)" if not one else f" ({size(needed['total'])} of it)"
    shared = "" if one else ", which share weights, gradients and optimizer (FSDP2)"
    again = " with train.recompute=true" if needed["recompute"] else ""
    return f"{needed['cards']} card{' is' if one else 's are'} enough{again}{total}{shared}"


def _disk(disk: dict[str, int]) -> Text:
    told = [f"base as published {size(disk['base'])}"]
    if disk["plain_base"]:
        told.append(f"its copy in bf16, made once because it is in FP8, {size(disk['plain_base'])}")
    told.append(f"checkpoints of a run {size(disk['checkpoints'])}, adapter {size(disk['adapter'])}")
    return Text(f"Disk: {'; '.join(told)}; merged model, if you want one, {size(disk['merged'])}")
