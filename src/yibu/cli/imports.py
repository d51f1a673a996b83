"""What became of each key of another tool's config."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from yibu.importers import Imported

_STYLES = {"taken": "green", "changed": "yellow", "not taken": "red"}


def imported_view(found: Imported, path: str, command: str) -> RenderableType:
    """A table of all keys, and what to type next.

    Args:
        found: the recipe and its keys.
        path: where the recipe was written to.
        command: that checks it.
    """
    table = Table("key", "value", "", "becomes", "why", show_lines=False)
    for key in found.keys:
        name = Text(key.name) if key.given else Text(f"({key.name})", style="dim")
        state = Text(key.state, style=_STYLES[key.state])
        table.add_row(name, Text(str(key.value)[:60]), state, Text(key.becomes or ""), Text(key.why))
    counts = {state: sum(key.state == state for key in found.keys) for state in _STYLES}
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    return Group(
        table,
        Text(f"{found.tool}: {told}. In brackets: defaults of the tool that its file does not name.", style="dim"),
        Text.assemble(("Recipe: ", "bold"), path),
        Text.assemble(("Next: ", "bold"), command),
    )
