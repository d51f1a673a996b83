"""What a base would cost that is not on this machine: parameters, modules, memory on cards of 80 GB, disk."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from yibu.cli.history import size

_SHARES = ("weights", "gathered", "adapter", "gradients", "optimizer", "best", "activations", "output_layer", "runtime")


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
    disk = ", ".join(f"{part} {size(int(amount))}" for part, amount in found["disk"].items())
    parts.append(Text(f"Disk: {disk}"))
    if published:
        parts.append(Text(f"Published: {published['stated_by']}\nConfig: {published['sources'][0]}", style="dim"))
    return Group(*parts)


def _plan(rows: list[dict[str, Any]]) -> Table:
    table = Table("trained part", "modules", "shapes", "parameters", "for example", box=box.SIMPLE_HEAD)
    for row in rows:
        shapes = ", ".join("x".join(map(str, shape)) for shape in row["shapes"])
        table.add_row(row["role"], f"{row['num_modules']:,}", shapes, f"{row['parameters']:,}", row["example"])
    return table


def _memory(found: dict[str, Any]) -> Table:
    cards = found["memory"]
    table = Table("memory of a card", *(f"{card['cards']} x {size(card['available'])}" for card in cards))
    table.box = box.SIMPLE_HEAD
    for share in _SHARES:
        if any(card[share] for card in cards):
            table.add_row(share.replace("_", " "), *(size(int(card[share])) for card in cards))
    totals = (("fits" if card["fits"] else "does not fit", "green" if card["fits"] else "red", card) for card in cards)
    table.add_row("total", *(Text(f"{size(int(card['total']))}, {word}", style=style) for word, style, card in totals))
    needed = found["smallest"]
    if needed is None and found["smallest_recompute"] is not None:
        table.caption = f"{found['smallest_recompute']} cards are enough with train.recompute=true"
    elif needed is not None:
        table.caption = f"{found['tokens']:,} tokens in a pass; {needed} card{'s are' if needed > 1 else ' is'} enough"
    return table
