"""LLaMA-Factory's ``dataset_info.json``, read as it is (its ``data/README.md`` states the schema).

An entry names a file, folder or hub id and says which column plays which part. The records come out under the standard
names of the shapes ``alpaca`` (``instruction``, ``input``, ``output``, ``system``, ``history``), ``sharegpt``
(``conversations``), ``messages`` and ``text``, whatever they are called in the file. What would be lost in silence is
refused: preference pairs, KTO tags, images, loading scripts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yibu.readers as readers
from yibu.core import log
from yibu.core.errors import DataError
from yibu.readers import _registry
from yibu.readers._records import Bad, Raw
from yibu.readers._text import file_digest

FORMATS = "dataset_info.json[:name] of LLaMA-Factory"
FILES = False

_HONOURED = {"hf_hub_url", "file_name", "formatting", "subset", "split", "num_samples", "columns", "tags", "ranking"}
_MEDIA = ("images", "videos", "audios")
_ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "system_tag": "system",
}
_ROLES = {"user_tag": "human", "assistant_tag": "gpt", "system_tag": "system"}


def accepts(address: str) -> bool:
    return _registry.is_address(address)


def read(address: str) -> Iterator[Raw | Bad]:
    """Rows of the data sets named, each with the file and line it stands in.

    Raises:
        DataError: see `yibu.readers._registry.entries`; an entry that asks for what cannot be honoured.
    """
    folder = _registry.split_address(address)[0].parent
    for name, entry in _registry.entries(address).items():
        _check(name, entry)
        source = _source(folder, name, entry)
        chosen = _sample(source, entry.get("num_samples"))
        for place, item in enumerate(readers.read(source)):
            if chosen is None or place in chosen:
                yield item if isinstance(item, Bad) else _renamed(item, entry)


def digest(address: str) -> dict[str, str]:
    path = _registry.split_address(address)[0]
    result = file_digest(str(path))
    for name, entry in _registry.entries(address).items():
        _check(name, entry)
        result.update(readers.digest(_source(path.parent, name, entry)))
    return result


def _check(name: str, entry: dict[str, Any]) -> None:
    columns = entry.get("columns", {})
    refused = [
        (bool(entry.get("ranking")), "ranking: preference pairs are not trained on"),
        ("kto_tag" in columns, "columns.kto_tag: rows marked as wrong would be learned as right"),
        (any(media in columns for media in _MEDIA), "columns: images, videos and audio are not read"),
        (bool(entry.get("script_url")), "script_url: data sets that run code are not loaded"),
        (entry.get("formatting", "alpaca") not in ("alpaca", "sharegpt", "openai"), "formatting: not a known one"),
        ("hf_hub_url" not in entry and "file_name" not in entry, "no file_name and no hf_hub_url"),
    ]
    reasons = [reason for is_so, reason in refused if is_so]
    if reasons:
        raise DataError(f"The data set {name!r} of {_registry.NAME} cannot be read.", got="; ".join(reasons))
    ignored = sorted(set(entry) - _HONOURED)
    if ignored:
        log.get("readers").warning("%s: these keys of %r are not used: %s", _registry.NAME, name, ", ".join(ignored))


def _source(folder: Path, name: str, entry: dict[str, Any]) -> str:
    if entry.get("hf_hub_url"):  # goes before file_name, as in LLaMA-Factory
        parts = [entry.get("subset"), entry.get("split", "train")]
        return ":".join(["hub", entry["hf_hub_url"], *(part for part in parts if part)])
    path = folder / entry["file_name"]
    if not path.exists():
        raise DataError(f"The file of the data set {name!r} is missing.", got=path)
    return str(path)


def _sample(source: str, wanted: int | None) -> set[int] | None:
    """Places of ``num_samples`` rows drawn without repeats, the same ones each time; None for all."""
    if wanted is None:
        return None
    total = sum(1 for _ in readers.read(source))
    return None if wanted >= total else set(random.Random(0).sample(range(total), wanted))


def _renamed(item: Raw, entry: dict[str, Any]) -> Raw | Bad:
    columns = entry.get("columns", {})
    row = item.record
    if row.get(columns.get("tools", "tools")):
        return Bad(item.source, item.line, "tools are not supported")
    try:
        if entry.get("formatting", "alpaca") == "alpaca":
            record = _alpaca(row, columns)
        else:
            openai = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
            given = openai if entry["formatting"] == "openai" else {}
            record = _conversation(row, columns, _TAGS | given | entry.get("tags", {}))
    except ValueError as error:
        return Bad(item.source, item.line, str(error))
    return Raw(item.source, item.line, record)


def _alpaca(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    if set(columns) == {"prompt"}:  # a pre-training set: one column of plain text
        return {"text": row.get(columns["prompt"])}
    record = {standard: row.get(columns.get(part, standard)) for part, standard in _ALPACA.items()}
    return record | {part: row.get(columns[part]) for part in ("system", "history") if part in columns}


def _conversation(row: dict[str, Any], columns: dict[str, str], tags: dict[str, str]) -> dict[str, Any]:
    turns = row.get(columns.get("messages", "conversations"))
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError("the conversation is missing or no list of turns")
    roles = {tags[tag]: role for tag, role in _ROLES.items()}
    conversation = [
        {"from": roles.get(str(turn.get(tags["role_tag"])), "unknown"), "value": turn.get(tags["content_tag"])}
        for turn in turns
    ]
    record: dict[str, Any] = {"conversations": conversation}
    return record | ({"system": row.get(columns["system"])} if "system" in columns else {})
