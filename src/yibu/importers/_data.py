"""Keys about the rows: where they come from, how they are divided, how long they may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from yibu.importers._draft import Draft

CUT = (
    "there a longer row is cut, the answer with it and without a word; here it is refused and named (too_long: drop or "
    "split are the other ways)"
)
_FILES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".ndjson", ".gz")
_TEST = 0.1


def is_file(path: str) -> bool:
    """Whether a data set's address is a path rather than the name of a repository."""
    return path.startswith((".", "/", "~")) or path.lower().endswith(_FILES) or path.count("/") != 1


def hub_address(name: str, subset: Any = None, split: Any = None, revision: Any = None) -> str:
    """Address of a data set of the Hugging Face hub, as `yibu.readers.hub` reads it."""
    parts = [str(part) for part in (subset, split or ("train" if subset else None)) if part]
    return ":".join([f"hub:{name}@{revision}" if revision else f"hub:{name}", *parts])


def set_sources(draft: Draft, train: Sequence[str], valid: Sequence[str] = ()) -> str | None:
    """Set ``data.source``; the reason why not, or None."""
    if not train:
        return "no data set"
    one = train[0] if len(train) == 1 else list(train)
    if not valid:
        return draft.put({"data.source": one})
    return draft.put({"data.source": {"train": one, "valid": valid[0] if len(valid) == 1 else list(valid)}})


def own_validation(draft: Draft, name: str) -> None:
    """The config names rows for validation: there is no third part then, so the report is made on them."""
    draft.put({"evaluate.split": "valid"})
    draft.differ(
        name,
        f"data.source.valid: {draft.value('data.source.valid')}; evaluate.split: valid",
        "the report is made on these rows, which training has looked at: give data.source.test for an honest one",
    )


def share_for_validation(draft: Draft, name: str, value: Any) -> None:
    """A share, or a number of rows, that is held out of the train rows."""
    if isinstance(draft.value("data.source"), dict):
        draft.leave(name, "rows for validation are named")
        return
    try:
        number = float(value or 0)
    except (TypeError, ValueError):
        draft.leave(name, "no number")
        return
    if number <= 0:
        draft.differ(name, None, "yibu always holds out 10 % for validation and 10 % for the report (data.split)")
    elif number >= 1:
        draft.change(name, "data.limit.valid", int(number), "of the 10 % that are held out; 10 % more for the report")
    else:
        test = min(_TEST, round((1 - number) / 2, 6))
        split = {"train": round(1 - number - test, 6), "valid": number, "test": test}
        draft.change(
            name, "data.split", split, f"{test:.0%} more are held out for the report, which needs untouched rows"
        )


def no_validation(draft: Draft, name: str) -> None:
    """The tool holds out nothing by default."""
    if not isinstance(draft.value("data.source"), dict):
        draft.default(name, 0, None, why="yibu holds out 10 % for validation and 10 % for the report (data.split)")


def longest_row(draft: Draft, name: str, policy: str | None = None, why: str = CUT) -> None:
    """A limit of length.

    Args:
        policy: what the tool does with longer rows, where it is one of yibu's: refuse, drop, split. None: it cuts.
    """
    if policy is None:
        draft.change(name, "train.max_length", draft.table[name], why)
    elif draft.take(name, "train.max_length", draft.table[name]):
        draft.put({"train.too_long": policy})


def packing(draft: Draft, name: str, length: Any, leaks: bool = False) -> None:
    """Rows laid end to end: always so here, kept apart, and counted one by one."""
    if not draft.table[name]:
        draft.differ(name, None, "yibu always packs; rows of a pack do not see each other, so the losses are the same")
        return
    apart = "; there rows of a pack see each other, here they do not" if leaks else ""
    fits = bool(length) and draft.put({"train.pack_tokens": length}) is None
    draft.differ(
        name,
        f"train.pack_tokens: {length}" if fits else None,
        f"a batch is counted in packs there and in rows here: multiply train.batch by the rows of a pack{apart}",
    )


def set_system(draft: Draft, name: str) -> None:
    """A system turn for conversations that have none."""
    text = draft.table[name]
    if isinstance(text, str) and PurePath(text).suffix == ".txt":
        draft.leave(name, "a file; write its text into task.system")
    else:
        draft.take(
            name, "task", {"kind": "generate", "system": text}, "for rows that bring no system turn of their own"
        )


def own_template(draft: Draft, name: str, same: bool = False) -> None:
    """Chat templates: yibu trains with the one that the base is served with."""
    if same or draft.table[name] in (None, "default"):
        draft.agree(name, "the template of the base's tokenizer")
    else:
        draft.differ(
            name,
            None,
            "the template of the base's tokenizer is used, the one it is served with; compare in `yibu check`",
        )
