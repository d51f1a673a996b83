"""What ``yibu check`` shows: rows, lengths, five rows in colours, what is trained, memory and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from yibu.cli.foresight import enough
from yibu.cli.history import duration, size

if TYPE_CHECKING:
    from yibu.train.check import Lengths, Outlook

_STYLES = {"prompt": "", "special": "magenta", "target": "black on green", "stop": "bold white on blue"}
_MARKS = {"target": ("⟦", "⟧"), "stop": ("⟦", "⟧")}  # where there are no colours
_BAR = 32
_MOST_CLASSES = 30
_EXCERPT = 600  # characters of one piece that are shown
_MOST_NAMES = 8


def outlook_view(
    found: Outlook, name: str, command: str, colour: bool, cards: dict[str, Any] | None = None
) -> RenderableType:
    """The whole view.

    Args:
        cards: the same run on cards of 80 GB (`yibu.model.foresee.Foresight.as_dict`), where it can be told.
        name: of the recipe.
        command: what to type next.
        colour: whether the console has colours; without them marks show what is trained.
    """
    parts: list[RenderableType] = [Text(f"{name} · {found.base}", style="bold"), *_rows(found.rows)]
    if found.lengths is not None:
        parts += _lengths(found.lengths)
    parts += [*_previews(found, colour), *_plan(found), *_cost(found)]
    if cards is not None:
        parts.append(Text(f"on cards of {size(cards['memory'][0]['available'])}: {enough(cards)}", style="dim"))
    if found.refusals:
        told = Text("\n\n".join(error.render() for error in found.refusals), style="red")
        parts.append(Panel(told, title="A run would be refused", border_style="bold red", title_align="left"))
    else:
        parts.append(Text.assemble(("Nothing stands in the way. Next: ", "bold green"), command))
    return Padding(Group(*parts), (1, 0))


def _title(text: str) -> RenderableType:
    return Padding(Rule(Text(text, style="bold"), align="left", style="dim"), (1, 0, 0, 0))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", overflow="fold")
    return table


def _rows(rows: dict[str, Any]) -> list[RenderableType]:
    splits, dropped = rows["splits"], rows["dropped"]
    line = Text.assemble(
        (f"{rows['rows_read']:,}", "bold"),
        " read, ",
        (f"{rows['rejected']:,} rejected", "red" if rows["rejected"] else "dim"),
        "".join(f", {count:,} {_REASONS.get(reason, reason)}" for reason, count in dropped.items() if count),
        f"; shape {rows['shape']}, cleaned as {rows['clean']['profile']}",
    )
    parts: list[RenderableType] = [_title("Rows"), line]
    table = _table("split", *splits)
    table.add_row("rows", *(f"{count:,}" for count in splits.values()))
    classes: dict[str, dict[str, int]] = rows.get("classes") or {}
    ordered = sorted(classes.items(), key=lambda item: -sum(item[1].values()))
    for label, counts in ordered[:_MOST_CLASSES]:
        cells = [_share(counts.get(split, 0), total) for split, total in splits.items()]
        table.add_row(Text(label, overflow="ellipsis", no_wrap=True), *cells)
    if len(ordered) > _MOST_CLASSES:
        table.add_row(Text(f"… {len(ordered) - _MOST_CLASSES} more", style="dim"))
    parts.append(table)
    for split, labels in (rows.get("missing_labels") or {}).items():
        if labels:
            parts.append(Text(f"{split} has no row of: {', '.join(labels)}", style="yellow"))
    if rows.get("target_in_train"):
        parts.append(Text(f"{rows['target_in_train']:,} test targets stand word for word in train", style="yellow"))
    return parts


_REASONS = {"duplicate": "duplicates dropped", "leak": "leaks dropped", "limit": "over the limit set"}


def _share(count: int, total: int) -> Text:
    percent = f"{100 * count / total:5.1f}%" if total else "–"
    return Text.assemble(f"{count:,} ", (percent, "dim"), style="" if count else "yellow")


def _lengths(lengths: Lengths) -> list[RenderableType]:
    line = Text.assemble(
        f"half ≤ {lengths.p50:,}, 90% ≤ {lengths.p90:,}, 99% ≤ {lengths.p99:,}, longest ",
        (f"{lengths.max:,}", "bold"),
        f"; {lengths.tokens:,} in all, {lengths.targets:,} of them targets; the base takes {lengths.context:,}",
    )
    bars = Table.grid(padding=(0, 1))
    bars.add_column(justify="right", style="dim")
    bars.add_column()
    bars.add_column(justify="right")
    most = max(count for _, _, count in lengths.histogram)
    for begin, end, rows in lengths.histogram:
        bar = "█" * max(1 if rows else 0, round(_BAR * rows / most))
        bars.add_row(f"{begin:,}–{end:,}", Text(bar, style="red" if begin > lengths.limit else "cyan"), f"{rows:,}")
    parts: list[RenderableType] = [_title("Tokens of a train row"), line, Padding(bars, (1, 0, 0, 2))]
    if lengths.too_long:
        names = ", ".join(lengths.too_long[:_MOST_NAMES]) + (" …" if len(lengths.too_long) > _MOST_NAMES else "")
        fate = {"refuse": "would be refused", "drop": "would be left out", "split": "would be trained in parts"}
        count = f"{len(lengths.too_long):,} longer than {lengths.limit:,}"
        parts.append(Text(f"{count}, which {fate[lengths.policy]}: {names}", style="yellow"))
    return parts


def _previews(found: Outlook, colour: bool) -> list[RenderableType]:
    legend = Text("prompt  ")
    for kind, words in (("special", "special token"), ("target", "trained target"), ("stop", "trained end of turn")):
        legend.append_text(_piece(words, kind, colour)).append("  ")
    parts: list[RenderableType] = [_title("Rows as they are trained"), legend]
    for row in found.previews:
        text = Text()
        for piece, kind in row:
            shown = piece
            if len(piece) > _EXCERPT:
                left_out = f" […{len(piece) - _EXCERPT:,} characters…] "
                text.append_text(_piece(piece[: _EXCERPT // 2], kind, colour)).append(left_out, style="dim italic")
                shown = piece[-_EXCERPT // 2 :]
            text.append_text(_piece(shown, kind, colour))
        parts.append(Panel(text, border_style="dim", box=box.ROUNDED))
    count = found.lengths.count if found.lengths is not None else 0
    share = found.stops_trained / count if count else 0.0
    template = "the base's own chat template" if found.template else f"the template of the family {found.architecture}"
    parts.append(
        Text.assemble(
            "End of turn ",
            _piece(found.stop_token, "stop", colour),
            (
                f" is trained in {found.stops_trained:,} of {count:,} rows ({share:.0%})",
                "" if share == 1 else "bold red",
            ),
            f"; {template}",
        )
    )
    return parts


def _piece(text: str, kind: str, colour: bool) -> Text:
    before, after = ("", "") if colour else _MARKS.get(kind, ("", ""))
    return Text(f"{before}{text}{after}", style=_STYLES[kind])


def _plan(found: Outlook) -> list[RenderableType]:
    if not found.plan:
        return []
    table = _table("modules", "number", "shape", "rank", "trained", "share of base")
    for row in found.plan:
        shapes = ", ".join("×".join(f"{number:,}" for number in shape) for shape in row["shapes"])
        cells = (f"{row['num_modules']:,}", shapes, str(row["rank"]), f"{row['parameters']:,}", f"{row['share']:.2%}")
        table.add_row(row["role"], *cells)
    table.add_section()
    share = f"{found.trained / found.parameters:.2%}"
    table.add_row("all", "", "", "", Text(f"{found.trained:,}", style="bold"), share)
    return [_title("What would be trained"), Text(f"{found.parameters:,} parameters of {found.architecture}"), table]


def _cost(found: Outlook) -> list[RenderableType]:
    parts: list[RenderableType] = [_title("Memory, disk and time, as foreseen")]
    memory, course = found.memory, found.course
    if memory is not None:
        table = _table("", "")
        table.show_header = False
        for name in ("weights", "adapter", "activations", "output_layer", "libraries"):
            if not getattr(memory, name):  # weights that are trained themselves, in fp32, are counted once
                continue
            note = {
                "weights": f"{found.dtype} on {found.device}",
                "adapter": "what is trained in fp32, its gradients, AdamW, the best so far",
                "activations": f"of {found.pack_tokens:,} tokens",
            }.get(name, "")
            table.add_row(Text.assemble(f"{name.replace('_', ' ')}  ", (note, "dim")), size(getattr(memory, name)))
        table.add_section()
        enough = memory.total <= memory.available
        total = Text(f"{size(memory.total)} of {size(memory.available)} free", style="bold" if enough else "bold red")
        table.add_row(Text("peak", style="bold"), total)
        parts.append(table)
        if not enough:
            hint = "more than is free: lower train.pack_tokens or train.batch, or set train.recompute: true"
            parts.append(Text(hint, style="red"))
    parts += _disk(found)
    if course is not None:
        steps = f"{course.steps:,} steps of {course.rows_per_step} rows, {course.warmup_steps} of warm-up"
        plural = "" if course.validations == 1 else "s"
        parts.append(Text(f"{steps}, {course.validations} validation{plural}"))
        parts.append(
            Text.assemble(
                "about ",
                (duration(course.train_seconds + course.valid_seconds), "bold"),
                " of training",
                (
                    f"; an estimate: {course.flops / 1e12:,.3g} TFLOP at {course.efficiency:.0%} of the "
                    f"{course.matmul_gflops:,.0f} GFLOP/s of a matrix product measured now; evaluation comes on top",
                    "dim",
                ),
            )
        )
    return parts


def _disk(found: Outlook) -> list[RenderableType]:
    disk = found.disk
    if not disk.total:
        return []
    copy = [f"a copy of the base in bf16, made once, since this one is in FP8: {size(disk.plain_base)}"]
    written = [f"checkpoints {size(disk.checkpoints)}, adapter {size(disk.adapter)}"]
    text = f"disk: {'; '.join((copy if disk.plain_base else []) + written)}; {size(disk.available)} free"
    return [Text(text, style="" if disk.total <= disk.available else "red")]
