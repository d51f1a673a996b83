"""The data card: who made the rows, from what, what was done to them, what is wrong with them.

Markdown with the front matter of a Hugging Face data set card, in the form of Datasheets for Datasets (Gebru et al.
2018). Every figure is one of the data report. What a machine cannot know (purpose, consent, licence) is a question,
clearly marked as to be filled in, and never a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from yibu.core.store import Artifact
from yibu.inspect.card_text import CARD
from yibu.inspect.coverage import say
from yibu.inspect.report import changes, flow, splits
from yibu.inspect.report.balance import in_order
from yibu.inspect.report.cautions import cautions
from yibu.inspect.report.shapes import DataFigures
from yibu.inspect.report.text import TEXTS, Lang
from yibu.inspect.report.view import caution_text
from yibu.pages.figures import count, number, percent
from yibu.pages.text import Text

MOST_CLASSES = 60
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
          (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip
# Kind of task -> the category of the Hugging Face hub.
_CATEGORIES = {"classify": "text-classification", "generate": "text-generation", "extract": "token-classification"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


class _Words(Text):
    """The words of the report, and those of the card beside them."""

    def __init__(self, lang: str) -> None:
        super().__init__(lang, {**TEXTS, **CARD})


@dataclass(frozen=True)
class Facts:
    """What identifies the rows.

    Attributes:
        id: of the data artifact.
        inputs: ids of the artifacts that it was made from.
        made: day, ISO 8601.
        files: name -> (bytes, SHA-256).
        sources: what was read from outside the store -> digest.
        versions: package -> version.
    """

    id: str
    inputs: Sequence[str] = ()
    made: str = ""
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def facts(data: Artifact) -> Facts:
    """The facts of an artifact, from its manifest."""
    manifest = data.manifest
    return Facts(
        id=data.id,
        inputs=list(manifest.inputs.values()),
        made=manifest.started[:10],
        files={name: (record.bytes, record.sha256) for name, record in sorted(manifest.files.items())},
        # The digest of a secret is no digest of a source, and says nothing to who reads the card.
        sources={name: value for name, value in sorted(manifest.external.items()) if name != "secret"},
        versions=manifest.versions,
    )


def write(data: DataFigures, about: Facts, lang: Lang) -> str:
    """The whole card as Markdown.

    Args:
        data: the figures of the data report.
        about: what identifies the rows.
        lang: language of the card.

    Raises:
        InputError: a language that the card is not written in.
    """
    t = _Words(lang)
    parts = [
        _front_matter(data, t),
        f"# {plain(t('card.title', recipe=data.recipe))}",
        t("card.about", id=about.id, mark=t("card.mark")),
        *_asked(t, "card.motivation", "ask.purpose", "ask.creator"),
        *_composition(data, t),
        *_asked(t, "card.collection", "ask.how", "ask.sample", "ask.labels", "ask.consent"),
        *_preprocessing(data, about, t),
        *_problems(data, t),
        *_private(data, t),
        f"## {t('card.uses')}",
        t("uses.task", task=t.known("task", data.task)),
        _ask(t, "ask.uses"),
        *_asked(t, "card.distribution", "ask.licence"),
        *_asked(t, "card.maintenance", "ask.contact", "ask.updates"),
        t("maintenance.erase"),
        *([t("maintenance.again", command=data.lineage.command)] if data.lineage.command else []),
        *_identity(about, t),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    return text.encode("utf-8", "replace").decode("utf-8")


def plain(text: str) -> str:
    """Text that came from outside, as Markdown shows it unchanged; one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _table(head: str, rows: Sequence[Sequence[str]]) -> str:
    """A table; its head is the columns' names between bars."""
    num_columns = head.count("|") + 1
    lines = [f"| {head} |", "|" + " --- |" * num_columns]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _ask(t: Text, *keys: str) -> str:
    return "\n".join(f"- **{t('card.mark')}** {t(key)}" for key in keys)


def _asked(t: Text, title: str, *keys: str) -> list[str]:
    return [f"## {t(title)}", _ask(t, *keys)]


def _front_matter(data: DataFigures, t: Text) -> str:
    """YAML as the hub reads it. Texts are quoted as JSON, which YAML understands."""
    size = next((name for most, name in _SIZES if data.num_kept < most), "n>1B")
    lines = ["---", f"pretty_name: {json.dumps(data.recipe, ensure_ascii=False)}", "language:", f"- {data.language}"]
    lines += ["size_categories:", f"- {size}"]
    if data.task in _CATEGORIES:
        lines += ["task_categories:", f"- {_CATEGORIES[data.task]}"]
    return "\n".join([*lines, "tags:", "- yibu", f"# {t('card.license')}", "---"])


# --- composition ------------------------------------------------------------------------------------------------------


def _composition(data: DataFigures, t: Text) -> list[str]:
    summary = data.summary
    readers = t("list.comma").join(str(name) for name in summary.get("readers") or ()) or "–"
    shape = plain(str(summary.get("shape") or "–"))
    said = [t("composition.language", language=t.known("language", data.language), shape=shape, readers=readers)]
    groups = summary.get("groups")
    if groups is not None:
        said.append(t("composition.groups", n=count(groups)) if groups else t("composition.no_groups"))
    if summary.get("conflicts"):
        said.append(t("composition.conflicts", n=count(summary["conflicts"])))
    return [
        f"## {t('card.composition')}",
        t("sentences").join(said),
        f"### {t('card.splits')}",
        *_splits(data, t),
        *_classes(data, t),
    ]


def _splits(data: DataFigures, t: Text) -> list[str]:
    measured = splits.lengths(data, t)
    if measured is not None and data.lengths is not None:
        known = {row.name: row.values for row in measured.rows}
        rows = []
        for split, n in data.sizes.items():
            name = t.known("split", split)
            half, _, most, longest = known.get(name, ["", "–", "–", "–", "–"])[1:]
            rows.append([name, count(n), half, most, longest])
        parts = [_table(t("splits.head"), rows), t("splits.unit", unit=t(f"unit.{data.lengths.unit}"))]
    else:
        parts = [_table(t("splits.plain"), [[t.known("split", split), count(n)] for split, n in data.sizes.items()])]
    deviation = number((data.summary.get("balance") or {}).get("largest_deviation"))
    if deviation is not None and data.summary.get("classes"):
        parts.append(t("splits.deviation", points=f"{100 * deviation:.2f}"))
    folds = data.summary.get("folds")
    if folds:
        parts.append(t("splits.folds", k=count(folds.get("k", 0)), shared=count(folds.get("groups_shared") or 0)))
    return parts


def _classes(data: DataFigures, t: Text) -> list[str]:
    table: Mapping[str, Mapping[str, int]] = data.summary.get("classes") or {}
    if not table:
        return []
    order = in_order(table)
    rows = [
        [plain(label), *(count(table[label].get(split, 0)) for split in ("train", "valid", "test"))]
        for label in order[:MOST_CLASSES]
    ]
    more = len(order) - MOST_CLASSES
    rest = [t("card.more", n=count(more), file="summary.json")] if more > 0 else []
    return [f"### {t('card.classes')}", _table(t("classes.head"), rows), *rest]


# --- what was done ----------------------------------------------------------------------------------------------------


def _preprocessing(data: DataFigures, about: Facts, t: Text) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for loss in data.losses:
        if loss.reason:
            words = t("kind.times", kind=plain(flow.reason(loss.reason, t)), n=count(loss.n))
            reasons.setdefault(loss.step, []).append(words)
    rows = [
        [t.known("step", str(step["step"])), count(step["n"]), t("list.comma").join(reasons.get(str(step["step"]), []))]
        for step in data.funnel
    ]
    parts = [f"## {t('card.preprocessing')}", t("preprocessing.raw") if about.sources else ""]
    if rows:
        parts.append(_table(t("preprocessing.head"), rows))
    profile = (data.summary.get("clean") or {}).get("profile")
    if profile:
        parts.append(t("preprocessing.profile", profile=profile))
    done = [[row.name, row.rows, plain(row.kinds)] for row in changes.steps(data, t)]
    if done:
        parts.append(_table(t("preprocessing.changes"), done))
    return [*parts, *_repeats(data, t)]


def _repeats(data: DataFigures, t: Text) -> list[str]:
    parts = []
    near = data.summary.get("near") or {}
    if near.get("mode") not in (None, "off"):
        values = {key: count(near.get(key) or 0) for key in ("rows", "clusters")}
        mode = t.known("near.mode", str(near["mode"]))
        parts.append(t("card.near", **values, threshold=f"{number(near.get('threshold')) or 0:g}", mode=mode))
    for name, found in (data.summary.get("contamination") or {}).items():
        values = {key: count(found.get(key) or 0) for key in ("hits", "items")}
        parts.append(t("card.contamination", name=flow.benchmark(str(name), t).replace("`", ""), **values))
    augmented: Mapping[str, Mapping[str, int]] = data.summary.get("augmented") or {}
    kinds = [
        t("kind.times", kind=t.known("augmented", kind), n=count(found.get("rows", 0)))
        for kind, found in augmented.items()
    ]
    if kinds:
        parts.append(t("card.augmented", kinds=t("list.comma").join(kinds)))
    return parts


def _problems(data: DataFigures, t: Text) -> list[str]:
    found = [f"- {plain(caution_text(caution, t))}" for caution in cautions(data)]
    parts = [f"## {t('card.problems')}", "\n".join(found) or t("problems.none")]
    judged = data.suspects.get("n")
    if judged:
        n = int(data.suspects.get("found") or 0)
        parts.append(t("card.suspects", n=count(n), read=count(judged), share=percent(n / judged)))
    lang: Lang = "zh" if t.lang == "zh" else "en"
    wanted = [f"- {plain(say(item, lang))}" for item in data.coverage.get("suggestions") or ()]
    if wanted:
        parts += [f"### {t('card.coverage')}", "\n".join(wanted)]
    return [*parts, _ask(t, "ask.bias")]


def _private(data: DataFigures, t: Text) -> list[str]:
    parts = [f"## {t('card.private')}"]
    rows = [[plain(row.kind), row.found, row.rows, row.mode] for row in changes.private(data, t)]
    if rows:
        parts += [_table(t("private.head"), rows), t("private.warning")]
    else:
        parts.append(t("private.unknown" if data.summary.get("privacy") is None else "private.clean"))
    return [*parts, _ask(t, "ask.people")]


def _identity(about: Facts, t: Text) -> list[str]:
    lines = [f"- {t('identity.artifact')}: `{about.id}`"]
    if about.inputs:
        lines.append(f"- {t('identity.inputs')}: " + ", ".join(f"`{name}`" for name in about.inputs))
    if about.made:
        lines.append(f"- {t('identity.made')}: {about.made}")
    if about.versions:
        versions = ", ".join(f"{name} {version}" for name, version in sorted(about.versions.items()))
        lines.append(f"- {t('identity.versions')}: {versions}")
    parts = [f"## {t('card.identity')}", "\n".join(lines)]
    if about.files:
        files = [[f"`{name}`", count(size), f"`{sha}`"] for name, (size, sha) in about.files.items()]
        parts.append(_table(t("identity.files"), files))
    if about.sources:
        sources = [[plain(_last(name)), f"`{digest}`"] for name, digest in about.sources.items()]
        parts.append(_table(t("identity.sources"), sources))
    return parts


def _last(name: str) -> str:
    """The name of a source without the folders of the machine that it lay on."""
    return name.replace("\\", "/").rpartition("/")[2] or name
