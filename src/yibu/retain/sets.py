"""Local files of general tests become items. Each format is known by its keys, as it is published.

Texts are put together as lm-evaluation-harness 0.4.13 does for the task of the same name. Files: one JSON object per
line, a JSON list, or CSV with a header; a corpus may be plain text.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yibu.core.errors import DataError
from yibu.retain import SetSettings

Record = dict[str, Any]

_TITLE = re.compile(r"(?m)^ = [^=\n]+ = ?\n")  # the first heading of an article in WikiText
_QUESTION = "Question:"


@dataclass(frozen=True)
class Item:
    """One thing to ask.

    Attributes:
        id: of its row: as the file has it, else the number of the line.
        group: items of one group are no independent evidence (a paradigm of BLiMP); None: its own.
        text: a corpus's document; the question of a problem; the context of a cloze.
        contexts, continuations: of choices and pairs, one of each per choice.
        choices: the bare choices, whose lengths normalise; as lm-evaluation-harness counts them, in characters.
        gold: place of the right choice.
        target: the last word of a cloze with its space, the answer of a problem.
        solution: of a problem that is shown solved.
        messages: a request that may be refused.
    """

    id: str
    group: str | None = None
    text: str = ""
    contexts: tuple[str, ...] = ()
    continuations: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    gold: int = 0
    target: str = ""
    solution: str = ""
    messages: tuple[dict[str, str], ...] = field(default=())


def existing(settings: SetSettings) -> Path:
    """The set's file.

    Raises:
        DataError: there is none.
    """
    path = Path(settings.path).expanduser()
    if not path.is_file():
        raise DataError(
            f"The retention set {settings.name!r} has no file.", got=settings.path, do="name a file of this machine"
        )
    return path


def read(settings: SetSettings) -> list[Item]:
    """All items of a set, or `limit` of them, evenly from the whole file; in front of problems those to be shown.

    Raises:
        DataError: no such file, no items, or a row that lacks what its kind needs; names the line, never its text.
    """
    path = existing(settings)
    if settings.kind == "corpus" and path.suffix not in {".jsonl", ".json", ".csv"}:
        items = [Item(str(number), text=text) for number, text in enumerate(_documents(path))]
    else:
        make = _MAKERS[settings.kind]
        items = []
        for line, record in _records(path):
            try:
                items.append(make(str(record.get("id", line)), record, settings))
            except (LookupError, ValueError, TypeError, AttributeError, StopIteration) as error:
                raise DataError(
                    f"{path}, row {line} is no item of kind {settings.kind!r}.",
                    got=f"{type(error).__name__}; its keys are {', '.join(sorted(map(str, record)))}",
                    allowed=_ALLOWED[settings.kind],
                ) from None
    if not items:
        raise DataError(f"The retention set {settings.name!r} has no items.", got=path)
    shown = settings.shots if settings.kind == "problems" else 0
    return items[:shown] + spread(items[shown:], settings.limit)


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items at even distances, so that a file in order of subjects gives some of each."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[place * len(items) // limit] for place in range(limit)]


def _records(path: Path) -> Iterator[tuple[int, Record]]:
    """Rows with their number from 1."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        if path.suffix == ".csv":
            yield from enumerate(csv.DictReader(lines), start=1)
            return
        try:
            if path.suffix == ".json":
                records = json.load(lines)
            else:
                records = [json.loads(line) for line in lines if line.strip()]
        except ValueError as error:
            raise DataError(f"{path} is not JSON.", got=type(error).__name__) from None
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path}, row {number} is no table.", got=type(record).__name__)
        yield number, record


def _documents(path: Path) -> list[str]:
    """A text file is one document; a file of WikiText is one for each article."""
    text = path.read_text(encoding="utf-8")
    begins = [found.start() for found in _TITLE.finditer(text)]
    if not begins:
        return [text] if text.strip() else []
    return [text[begin:end] for begin, end in zip(begins, [*begins[1:], len(text)], strict=True)]


def _corpus(id: str, record: Record, settings: SetSettings) -> Item:
    return Item(id, text=next(_text(record[key]) for key in ("text", "page", "content") if key in record))


def _pair(id: str, record: Record, settings: SetSettings) -> Item:
    """BLiMP. Each paradigm is a group: its sentences come from one template.

    A space stands before each sentence, since lm-evaluation-harness puts one before every choice, also of no question;
    without it another token comes first, and one decision in nine is another.
    """
    sentences = (_text(record["sentence_good"]), _text(record["sentence_bad"]))
    group = record.get("UID")
    if group is not None and "id" not in record:
        id = f"{group}-{record.get('pairID', id)}"
    return Item(
        id, group=group, contexts=("", ""), continuations=(" " + sentences[0], " " + sentences[1]), choices=sentences
    )


def _choice(id: str, record: Record, settings: SetSettings) -> Item:
    if "context_options" in record:  # WinoGrande: the same end after either name (partial scoring)
        return _ends(id, tuple(record["context_options"]), _text(record["continuation"]), int(record["gold"]))
    if "sentence" in record and "option1" in record:
        before, after = _text(record["sentence"]).split("_", 1)
        begins = (before + _text(record["option1"]), before + _text(record["option2"]))
        return _ends(id, begins, after.strip(), {"1": 0, "2": 1}[str(record["answer"])])
    question, choices, gold = _question(record)
    between = settings.between
    if between is None:
        between = "\nAnswer: " if question.startswith(_QUESTION) else " "
    # What ends in a space must leave it to the next word: that is how tokenizers cut.
    context, space = (question + between).rstrip(" "), " " if between.endswith(" ") else ""
    contexts = (context,) * len(choices)
    return Item(id, None, "", contexts, tuple(space + choice for choice in choices), choices, _place(gold, choices))


def _question(record: Record) -> tuple[str, tuple[str, ...], int]:
    """Question, choices and the place of the right one, of any published layout."""
    if "query" in record:  # llm-foundry's copies
        return _text(record["query"]).rstrip("\n"), tuple(record["choices"]), int(record["gold"])
    if "goal" in record:  # PIQA
        return f"{_QUESTION} {record['goal']}", (record["sol1"], record["sol2"]), int(record["label"])
    if "Question" in record:  # CMMLU
        named = {letter: _text(record[letter]) for letter in "ABCD"}
        lines = "".join(f"\n{letter}. {choice}" for letter, choice in named.items())
        return _text(record["Question"]).strip() + lines + "\n答案：", tuple(named), "ABCD".index(record["Answer"])
    choices = record["choices"]  # ARC
    if isinstance(choices, dict):
        question = f"{_QUESTION} {record['question']}"
        return question, tuple(choices["text"]), list(choices["label"]).index(record["answerKey"])
    return _text(record["question"]), tuple(choices), int(record["answer"])


def _place(gold: int, choices: tuple[str, ...]) -> int:
    if not 0 <= gold < len(choices) or not all(isinstance(choice, str) for choice in choices):
        raise ValueError("no such choice")
    return gold


def _ends(id: str, begins: tuple[str, ...], end: str, gold: int) -> Item:
    return Item(id, None, "", begins, (" " + end,) * len(begins), begins, _place(gold, begins))


def _cloze(id: str, record: Record, settings: SetSettings) -> Item:
    """LAMBADA: the words are those between single spaces."""
    if "context" in record:
        return Item(id, text=_text(record["context"]).rstrip(" "), target=" " + _text(record["continuation"]).strip())
    before, _, last = _text(record["text"]).rpartition(" ")
    if not before:
        raise ValueError("one word alone")
    return Item(id, text=before, target=" " + last)


def _problem(id: str, record: Record, settings: SetSettings) -> Item:
    """GSM8K: the answer is the number behind ``####``."""
    if "chain_of_thought" in record:
        answer = _text(record["answer"])
        return Item(
            id, text=_text(record["context"]), target=answer, solution=f"{record['chain_of_thought']}\n#### {answer}"
        )
    solution = _text(record["answer"])
    return Item(id, text=_text(record["question"]), target=solution.rpartition("####")[2].strip(), solution=solution)


def _refusal(id: str, record: Record, settings: SetSettings) -> Item:
    messages = record.get("messages")
    if messages is None:
        key = next(key for key in ("prompt", "question", "instruction", "goal", "query", "text") if key in record)
        messages = [{"role": "user", "content": _text(record[key])}]
    return Item(id, messages=tuple({"role": one["role"], "content": _text(one["content"])} for one in messages))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("no text")
    return value


_MAKERS: dict[str, Callable[[str, Record, SetSettings], Item]] = {
    "corpus": _corpus,
    "pairs": _pair,
    "choices": _choice,
    "cloze": _cloze,
    "problems": _problem,
    "refusals": _refusal,
}
_ALLOWED = {
    "corpus": "text | page | content",
    "pairs": "sentence_good, sentence_bad",
    "choices": "query, choices, gold | question, choices, answerKey | goal, sol1, sol2, label | sentence, option1, "
    "option2, answer | context_options, continuation, gold | Question, A, B, C, D, Answer",
    "cloze": "text | context, continuation",
    "problems": "question, answer with #### | context, chain_of_thought, answer",
    "refusals": "messages | prompt | question | instruction | goal | query | text",
}
