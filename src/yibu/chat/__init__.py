"""Talk to a tuned model in a terminal, or let it answer the lines of a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from yibu.chat.partner import Partner, Reply, open_partner
from yibu.core import progress
from yibu.core.errors import InputError
from yibu.core.store import Artifact, Store


def chat(
    model: Artifact,
    store: Store,
    out: Console,
    messages: Sequence[str] | None = None,
    compare: bool = False,
    max_new_tokens: int | None = None,
    json_lines: bool = False,
) -> None:
    """Ask and answer until the input ends.

    Args:
        model: artifact of the stage `train`.
        store: where its base and rows lie.
        out: where answers go.
        messages: ask these and end; None reads from the terminal or from the pipe.
        compare: let the base answer, too.
        max_new_tokens: longest answer; default: the task's.
        json_lines: one JSON object an answer.
    """
    typed = messages is None and sys.stdin.isatty()
    partner = open_partner(model, store, max_new_tokens)
    screen = _Screen(out, partner, compare, live=out.is_terminal)
    if typed:
        screen.welcome(model)
    lines = messages if messages is not None else _typed(out, partner) if typed else _piped()
    for line in lines:
        try:
            screen.answer(line, json_lines)
        except InputError as error:
            if not typed:
                raise
            out.print(Text(error.render(), style="red"))
        except KeyboardInterrupt:
            if not typed:
                raise
            out.print(Text(" stopped", style="dim"))


def _piped() -> Iterator[str]:
    for line in sys.stdin:
        if line.strip():
            yield line.rstrip("\n")


def _typed(out: Console, partner: Partner) -> Iterator[str]:
    """Lines with editing and history, until Ctrl-D or /end."""
    prompt = "› "
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (its import is what gives input() arrow keys)

        if out.color_system:  # between \\001 and \\002 stands what takes no space, or readline redraws amiss
            prompt = "\001\033[1;36m\002› \001\033[0m\002"
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            out.print()
            return
        except KeyboardInterrupt:
            out.print(Text(" Ctrl-D ends", style="dim"))
            continue
        if line == "/end":
            return
        if line == "/new":
            partner.forget()
        elif line:
            yield line


class _Screen:
    """Answers on a console: streaming and coloured on a terminal, plain lines in a pipe."""

    def __init__(self, out: Console, partner: Partner, compare: bool, live: bool) -> None:
        self._out, self._partner, self._compare, self._live = out, partner, compare, live

    def welcome(self, model: Artifact) -> None:
        task, summary = self._partner.task, model.read_json("summary.json")
        if task.closed_set:
            what = f"chooses one of {len(task.labels)} labels"
        elif self._partner.fields:
            what = f"fills the prompt's {', '.join(self._partner.fields)} with what you type"
        else:
            what = "remembers the conversation; /new begins another"
        self._out.print(Text.assemble((f"{model.id}", "bold"), f" on {summary['base']}", (f" · {what}", "dim")))
        self._out.print(Text("Ctrl-D or /end ends, Ctrl-C stops an answer", style="dim"))

    def answer(self, line: str, json_lines: bool) -> None:
        systems = [("base", False)] * self._compare + [("tuned", True)]
        if json_lines:
            replies = {name: self._partner.ask(line, tuned).as_dict() for name, tuned in systems}
            progress.emit("answer", asked=line, **replies)
        elif not self._live:
            for name, tuned in systems:
                text = _plain(self._partner.ask(line, tuned))
                print(f"{name}: {text}" if self._compare else text, flush=True)
        elif self._compare:
            self._beside(line)
        elif self._partner.task.closed_set:
            self._out.print(_bars(self._partner.ask(line)))
        else:
            reply = self._partner.ask(line, show=lambda text: self._out.print(Text(text), end="", soft_wrap=True))
            self._out.print("" if reply.stopped else Text(" … (cut at the longest answer)", style="dim"))

    def _beside(self, line: str) -> None:
        """Base on the left, tuned on the right, both filling up as they are written."""
        views: dict[str, RenderableType] = {"base": Text("…", style="dim"), "tuned": Text("…", style="dim")}

        def panels() -> Table:
            table = Table.grid(expand=True)
            for _ in views:
                table.add_column(ratio=1)
            styles = {"base": "dim", "tuned": "green"}
            table.add_row(*(Panel(view, title=name, border_style=styles[name]) for name, view in views.items()))
            return table

        with Live(panels(), console=self._out, refresh_per_second=8) as live:
            for name, tuned in (("base", False), ("tuned", True)):
                written = Text()

                def show(text: str, name: str = name, written: Text = written) -> None:
                    views[name] = written.append(text)
                    live.update(panels())

                reply = self._partner.ask(line, tuned, show)
                views[name] = _bars(reply) if reply.choices else Text(reply.text)
                live.update(panels())


def _plain(reply: Reply) -> str:
    if not reply.choices:
        return reply.text
    return "\t".join(f"{label} ({share:.1%})" for label, share in reply.choices)


def _bars(reply: Reply) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    for place, (label, share) in enumerate(reply.choices):
        style = "bold green" if place == 0 else "dim"
        bar = "━" * round(16 * share)
        table.add_row(Text(f"{share:.1%}", style=style), Text(f"{bar:<16}", style=style), Text(label, style=style))
    return table
