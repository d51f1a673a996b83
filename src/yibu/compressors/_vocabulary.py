"""A vocabulary without the words that nobody says here, and a tokenizer whose ids fit it.

A byte-pair tokenizer builds a token of two smaller ones. If with every token that stays all those stay that it is built
of, the tokens of every text that was looked at stay the same; another text is split into smaller pieces, down to its
bytes, and loses nothing.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from yibu.core.errors import InputError
from yibu.core.progress import track

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_BATCH = 1000
# Files in which a tokenizer keeps its vocabulary once more; `tokenizer.json` alone is enough for transformers.
_COPIES = ("tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json")


def counts_of(tokenizer: Any, texts: Iterable[str]) -> Counter[int]:
    """How often each token id occurs in texts."""
    found: Counter[int] = Counter()
    for batch in _batches(texts):
        for ids in tokenizer(batch, add_special_tokens=False)["input_ids"]:
            found.update(ids)
    return found


def closed(tokenizer: Any, wanted: Iterable[int]) -> list[int]:
    """The ids that must stay so that the wanted ones can be built, in their order.

    Raises:
        InputError: a tokenizer of another type than byte-pair with bytes to fall back to.
    """
    table = _table(tokenizer)
    vocabulary: dict[str, int] = table["model"]["vocab"]
    words = {number: word for word, number in vocabulary.items()}
    built: dict[str, set[str]] = {}
    for one, other in _merges(table):
        built.setdefault(one + other, set()).update((one, other))
    kept = {added["id"] for added in table["added_tokens"]} | set(tokenizer.all_special_ids)
    waiting = [words[number] for number in set(wanted) if number in words] + _smallest(table, vocabulary)
    seen: set[str] = set()
    while waiting:
        word = waiting.pop()
        if word in seen or word not in vocabulary:
            continue
        seen.add(word)
        waiting += built.get(word, ())
    return sorted(kept | {vocabulary[word] for word in seen})


def trimmed(tokenizer: Any, kept: Sequence[int]) -> Any:
    """The same tokenizer for the kept ids alone; the new id of a token is its place among them."""
    from transformers import AutoTokenizer

    new = {old: place for place, old in enumerate(kept)}
    table = _table(tokenizer)
    model = table["model"]
    vocabulary = {word: new[number] for word, number in model["vocab"].items() if number in new}
    model["merges"] = [
        [one, other]
        for one, other in _merges(table)
        if one in vocabulary and other in vocabulary and one + other in vocabulary
    ]
    model["vocab"] = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    for added in table["added_tokens"]:
        added["id"] = new[added["id"]]
    _renumber(table["post_processor"], new)
    if table["padding"]:
        table["padding"]["pad_id"] = new[table["padding"]["pad_id"]]
    with tempfile.TemporaryDirectory(prefix="yibu-") as place:
        folder = Path(place)
        tokenizer.save_pretrained(folder)
        for name in _COPIES:
            (folder / name).unlink(missing_ok=True)
        # Without blanks: this file is served with the model, and is a part of its size.
        text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
        _forget_ids(folder / "tokenizer_config.json")
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def check_round_trip(before: Any, after: Any, kept: Sequence[int], texts: Sequence[str]) -> dict[str, int]:
    """Every text is the same again; one all of whose tokens stay has them under their new ids. How many there were.

    Raises:
        InputError: one is not; the tokenizer cannot be trimmed.
    """
    new = {old: place for place, old in enumerate(kept)}
    whole = 0
    with track("trimmed vocabulary: texts there and back", total=len(texts)) as bar:
        for batch in _batches(texts):
            old, own = (side(batch, add_special_tokens=False)["input_ids"] for side in (before, after))
            for was, now in zip(old, own, strict=True):
                stays = all(number in new for number in was)
                whole += stays
                same_ids = not stays or now == [new[number] for number in was]
                if not same_ids or before.decode(was) != after.decode(now):
                    raise InputError(
                        "The tokenizer cannot be trimmed: a text is no longer the same afterwards.",
                        got=f"{type(before).__name__}; {'another text' if same_ids else 'other tokens'}",
                        do="set compress.prune.vocabulary: false",
                    )
            bar.advance(len(batch))
    return {"texts": len(texts), "in_the_same_tokens": whole}


def take_rows(model: Any, kept: Sequence[int]) -> None:
    """Rows of the kept ids, of the embedding, the output layer and every table of tokens; ids in the configs."""
    import torch
    from torch import nn

    places = torch.tensor(list(kept))
    config = model.config.get_text_config()
    old_size, new = config.vocab_size, {old: place for place, old in enumerate(kept)}
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and head.weight is embedding.weight
    for module in [embedding] + ([head] if head is not None and head is not embedding else []):
        if module is head and tied:
            module.weight = embedding.weight
        else:
            module.weight = nn.Parameter(module.weight.detach()[places].clone(), requires_grad=False)
        if getattr(module, "bias", None) is not None:
            module.bias = nn.Parameter(module.bias.detach()[places].clone(), requires_grad=False)
        for name in ("num_embeddings", "out_features"):
            if hasattr(module, name):
                setattr(module, name, len(kept))
        if getattr(module, "padding_idx", None) is not None:
            module.padding_idx = new.get(module.padding_idx)
    for name, buffer in list(model.named_buffers()):
        if buffer.shape and buffer.shape[0] == old_size and not buffer.is_floating_point():
            owner, _, own = name.rpartition(".")
            setattr(model.get_submodule(owner), own, buffer[places].clone())
    config.vocab_size = len(kept)
    if hasattr(model, "vocab_size"):
        model.vocab_size = len(kept)
    for settings in (config, model.config, model.generation_config):
        for key, value in settings.to_dict().items():
            if key.endswith("_token_id") and value is not None:
                setattr(settings, key, _new_ids(value, new))


def _new_ids(value: Any, new: dict[int, int]) -> Any:
    """Ids of a config under their new numbers; those that are gone (padding behind the vocabulary) are None."""
    if isinstance(value, list):
        return [new[one] for one in value if one in new]
    return new.get(value)


def _table(tokenizer: Any) -> dict[str, Any]:
    """``tokenizer.json`` of a byte-pair tokenizer that can say any text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    table: dict[str, Any] = {} if backend is None else json.loads(backend.to_str())
    kind = table.get("model", {}).get("type", "none")
    spells = kind == "BPE" and (table["model"].get("byte_fallback") or "ByteLevel" in json.dumps(table["decoder"]))
    if not spells:
        raise InputError(
            "The vocabulary of this tokenizer cannot be trimmed.",
            got=f"{type(tokenizer).__name__}, model {kind}",
            allowed="byte-pair encoding (BPE) that spells what it does not know in bytes",
            do="set compress.prune.vocabulary: false",
        )
    return table


def _merges(table: dict[str, Any]) -> list[tuple[str, str]]:
    merges = table["model"]["merges"]
    return [(pair[0], pair[1]) for pair in (one if isinstance(one, list) else one.split(" ", 1) for one in merges)]


def _smallest(table: dict[str, Any], vocabulary: dict[str, int]) -> list[str]:
    """What any text can be spelled in: single characters of byte-level tokenizers, ``<0x00>`` of the others."""
    unknown = table["model"].get("unk_token")
    spelled = [word for word in vocabulary if len(word) == 1 or _BYTE.fullmatch(word)]
    if table["model"].get("byte_fallback"):  # tens of thousands of characters, which its bytes can spell
        spelled = [word for word in spelled if len(word) > 1 or word.isascii() or word == "▁"]
    return spelled + ([unknown] if unknown else [])


def _renumber(part: Any, new: dict[int, int]) -> None:
    """Ids inside a post-processor, wherever it keeps them."""
    if isinstance(part, dict):
        if isinstance(part.get("ids"), list):
            part["ids"] = [new[number] for number in part["ids"]]
        for key in ("sep", "cls"):
            if isinstance(part.get(key), list) and len(part[key]) == 2 and isinstance(part[key][1], int):
                part[key] = [part[key][0], new[part[key][1]]]
        for value in part.values():
            _renumber(value, new)
    elif isinstance(part, list):
        for value in part:
            _renumber(value, new)


def _forget_ids(path: Path) -> None:
    """Old ids of added tokens, which ``tokenizer.json`` has under their new ones."""
    table = json.loads(path.read_text(encoding="utf-8"))
    table.pop("added_tokens_decoder", None)
    path.write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
