"""Views of a store: the ledger, what is in it, what an artifact was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from yibu.core.store import Artifact, Entry, Store


def ledger_view(entries: Sequence[Entry]) -> RenderableType:
    """Every move of every ref, the oldest first."""
    if not entries:
        return Text("No ref has been moved yet.", style="dim")
    table = _table("", "when", "who", "ref", "names", "before", "why")
    table.columns[0].justify = "right"
    for place in (1, 3, 4):
        table.columns[place].no_wrap = True
    for entry in entries:
        before = Text("–" if entry.before is None else entry.before.rpartition("-")[2][:6], style="dim")
        ref = Text(entry.ref, style="bold")
        table.add_row(str(entry.seq), _minute(entry.time), entry.actor, ref, entry.after, before, entry.why)
    return table


def store_view(store: Store, artifacts: Sequence[Artifact]) -> RenderableType:
    """Refs, then artifacts."""
    if not artifacts:
        return Text(f"The store {store.root} is empty.", style="dim")
    refs = _table("ref", "artifact")
    refs.columns[1].no_wrap = True
    for name, id in sorted(store.refs().items()):
        refs.add_row(Text(name, style="bold"), id)
    table = _table("artifact", "made", "took", "size", "from")
    table.columns[0].no_wrap = True
    table.columns[2].justify = table.columns[3].justify = "right"
    for artifact in artifacts:
        manifest = artifact.manifest
        made_from = Text(", ".join(id.rpartition("-")[0] for id in manifest.inputs.values()), style="dim")
        took, large = duration(manifest.seconds), size(_bytes(artifact))
        table.add_row(Text(artifact.id, style="bold"), _minute(manifest.started), took, large, made_from)
    return Group(refs, table)


def artifact_view(store: Store, artifact: Artifact, refs: Sequence[str]) -> RenderableType:
    """One artifact: where it is, what it was made from, its settings, its files."""
    manifest = artifact.manifest
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    facts.add_row("artifact", Text(artifact.id, style="bold"))
    facts.add_row("refs", ", ".join(refs) or "none")
    facts.add_row("path", str(artifact.path))
    facts.add_row("made", f"{_minute(manifest.started)} UTC, in {duration(manifest.seconds)}")
    facts.add_row("on", manifest.platform)
    facts.add_row("with", ", ".join(f"{name} {version}" for name, version in manifest.versions.items()))
    for key, value in {**manifest.notes, **manifest.external}.items():
        facts.add_row(key, str(value))
    files = _table("file", "bytes", "SHA-256")
    files.columns[1].justify = "right"
    for name, record in sorted(manifest.files.items()):
        files.add_row(name, f"{record.bytes:,}", Text(record.sha256[:16], style="dim"))
    settings = Tree(Text("settings", style="bold"))
    _grow(settings, manifest.config)
    return Group(facts, Text(), lineage_tree(store, artifact), Text(), settings, Text(), files)


def lineage_tree(store: Store, artifact: Artifact) -> Tree:
    """What an artifact was made from, down to the files outside of the store."""
    tree = Tree(Text.assemble(("made from", "bold")))
    _descend(store, artifact, tree)
    return tree


def lineage(store: Store, artifact: Artifact) -> dict[str, Any]:
    """The same as nested tables, for ``--json``."""
    inputs: dict[str, Any] = {}
    for name, id in artifact.manifest.inputs.items():
        found = store.find(id)
        inputs[name] = {"id": id, "missing": True} if found is None else lineage(store, found)
    return {"id": artifact.id, "inputs": inputs, "external": dict(artifact.manifest.external)}


def _descend(store: Store, artifact: Artifact, tree: Tree) -> None:
    for name, id in artifact.manifest.inputs.items():
        found = store.find(id)
        state = (" is gone from the store", "bold red") if found is None else ("", "")
        branch = tree.add(Text.assemble((f"{name}  ", "dim"), id, state))
        if found is not None:
            _descend(store, found, branch)
    for source, digest in artifact.manifest.external.items():
        tree.add(Text.assemble((f"{source}  ", ""), (digest[:16], "dim")))
    if not artifact.manifest.inputs and not artifact.manifest.external:
        tree.add(Text("nothing else in the store", style="dim"))


def _grow(tree: Tree, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            _grow(tree.add(Text(key, style="dim")), value)
        else:
            tree.add(Text.assemble((f"{key}  ", "dim"), repr(value) if isinstance(value, str) else str(value)))


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _minute(time: str) -> str:
    """``2026-11-24T05:16:39.123+00:00`` as ``2026-11-24 05:16``."""
    return time[:16].replace("T", " ")


def _bytes(artifact: Artifact) -> int:
    return sum(record.bytes for record in artifact.manifest.files.values())


def size(num_bytes: float) -> str:
    """1536 -> ``1.5 kB``, in powers of 1,000 as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.0f} {unit}" if unit == "B" or num_bytes >= 100 else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.1f} TB"


def duration(seconds: float) -> str:
    """A time span in its two largest units: ``4.2 s``, ``5 min 3 s``, ``2 h 10 min``."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"
