"""Rows to try a model on: the test rows with noise, and with the smallest changes that flip a classifier.

They are written to ``robustness.jsonl`` and are for evaluation only; nothing of a test row ever reaches train. Each
line is a row under its own id, and `yibu.augment.version_of` says what it is a version of, so that a metric on the
clean rows and on their versions can be compared row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from yibu import attacks, augmenters
from yibu.attacks import Attacked
from yibu.augment.classifier import MAX_ROWS, Classifier
from yibu.augment.copies import Growing, Rows, edit_row
from yibu.augment.draw import generator, threshold
from yibu.augment.rows import (
    ROBUSTNESS,
    Made,
    Slot,
    Version,
    edited,
    entities_in,
    longest,
    named,
    relocated,
    slots_of,
    text_in,
)
from yibu.augment.settings import AugmentSettings, RobustnessSettings
from yibu.augmenters import EditAugmenter, same_meaning
from yibu.core.chance import uniform
from yibu.core.edits import Edit
from yibu.core.recipe import Settings
from yibu.core.record import Row

_BLOCK = 32  # rows that are attacked in one call


def noisy(how: RobustnessSettings, seed: int, fields: tuple[str, ...], rows: Rows, out: IO[str]) -> dict[str, Any]:
    """Write the noisy versions of rows.

    Args:
        how: kinds and rates.
        seed: of the stage.
        fields: whose text may change.
        rows: of the split.
        out: ``robustness.jsonl``.

    Returns:
        kind -> rate -> number of rows, for the summary.
    """
    below = threshold((row.id for row in rows()), seed, "robustness", 1.0, how.limit)
    counts: dict[str, Any] = {}
    for table in how.noise:
        kind = str(getattr(table, "kind", ""))
        for rate in how.rates:
            noise = augmenters.build(table.model_copy(update={"rate": rate}))
            made = 0
            for row in rows():
                if uniform(seed, row.id, "robustness") >= below:
                    continue
                chance = generator(seed, row.id, f"robustness {kind} {rate!r}")
                copy = edit_row(row, fields, noise, chance)  # type: ignore[arg-type]
                if copy.row is not None:
                    version = Version(row.id, kind, rate=rate)
                    out.write(named(copy.row, f"{row.id}~{kind}@{rate:g}", ROBUSTNESS, version).to_json() + "\n")
                    made += 1
            counts.setdefault(kind, {})[f"{rate:g}"] = made
    return counts


class _Target:
    """A classifier under attack, and the column of each of its classes."""

    def __init__(self, rows: Iterable[Row], fields: tuple[str, ...], seed: int) -> None:
        learned = [row for row in rows if row.label is not None and slots_of(row, fields)]
        texts = [text_in(row, longest(row, slots_of(row, fields))) for row in learned]
        self.classify = Classifier(texts, [str(row.label) for row in learned], seed)
        self.columns = {label: column for column, label in enumerate(self.classify.classes)}


class Attacking:
    """One attack on classifiers that learn from train.

    Test rows are tried on one that learned from all train rows. A train row is tried on one that learned from the other
    half of them: against a classifier that knows the row by heart hardly any attack succeeds.

    Args:
        config: the stage's settings, with an attack.
        fields: whose text may change; of each row the longest text is attacked.
        train: the original train rows.

    Raises:
        MissingExtra: something that it needs is not installed.
        DataError: the train rows have fewer than two classes.
    """

    def __init__(self, config: AugmentSettings, fields: tuple[str, ...], train: Rows) -> None:
        assert config.attack is not None
        self.kind = str(getattr(config.attack, "kind", ""))
        self._config = config
        self._settings = config.attack
        self._fields = fields
        self._options = _options(config.attack)
        self._train = train

    def test_versions(self, rows: Rows, counts: Counter[str]) -> Iterator[tuple[Row, Made]]:
        """Rows of another split that are misread after a change; counts what became of all that were tried."""
        chosen = self._chosen(rows, "attack", self._config.attack_limit)
        yield from self._versions(chosen, self._target(None), counts)

    def train_versions(self, counts: Counter[str]) -> Iterator[tuple[Row, Made]]:
        """The same for train rows, each tried on a classifier that never saw it."""
        chosen = self._chosen(self._train, "attack train", self._config.attack_limit)
        for half in (False, True):
            target = self._target(not half)
            yield from self._versions([row for row in chosen if self._half(row) == half], target, counts)

    def _half(self, row: Row) -> bool:
        return uniform(self._config.seed, row.id, "half") < 0.5

    def _chosen(self, rows: Rows, purpose: str, limit: int) -> list[Row]:
        seed = self._config.seed
        below = threshold((row.id for row in rows()), seed, purpose, 1.0, limit)
        return [row for row in rows() if uniform(seed, row.id, purpose) < below]

    def _target(self, half: bool | None) -> _Target:
        """A classifier that learned from one half of the train rows, or from all."""
        rows = self._chosen(self._train, "classifier", MAX_ROWS)
        learned = [row for row in rows if half is None or self._half(row) == half]
        return _Target(learned, self._fields, self._config.seed)

    def _versions(self, rows: list[Row], target: _Target, counts: Counter[str]) -> Iterator[tuple[Row, Made]]:
        for block in _blocks(row for row in rows if self._can(row, target, counts)):
            labels = [target.columns[str(row.label)] for row in block]
            texts = [self._text(row) for row in block]
            seed = self._config.seed
            found = attacks.attack(texts, labels, target.classify, self._settings, seed, self._options)
            for row, attacked in zip(block, found, strict=True):
                counts[attacked.status] += 1
                made = self._made(row, attacked) if attacked.flipped else None
                if made is None:
                    counts["lost_its_meaning"] += attacked.flipped
                    continue
                counts["changes"] += attacked.num_changes
                counts["made"] += 1
                yield row, made

    def _slot(self, row: Row) -> Slot:
        return longest(row, slots_of(row, self._fields))

    def _text(self, row: Row) -> str:
        return text_in(row, self._slot(row))

    def _can(self, row: Row, target: _Target, counts: Counter[str]) -> bool:
        slots = slots_of(row, self._fields)
        can = bool(slots) and row.label in target.columns and not entities_in(row, longest(row, slots))
        counts["attacked"] += can
        counts["left_out"] += not can
        return can

    def _made(self, row: Row, attacked: Attacked) -> Made | None:
        """The changed row; None where the changes together say something else than the row does."""
        slot = self._slot(row)
        if not same_meaning(text_in(row, slot), attacked.text, ("numbers", "negations")):
            return None
        edits = attacked.edits
        changed = edited(row, slot, edits) if edits is not None else relocated(row, slot, attacked.text)
        return None if changed is None else Made(changed, {slot.field: attacked.num_changes})


def adversarial(attacking: Attacking, rows: Rows, out: IO[str]) -> dict[str, Any]:
    """Write the versions of rows that flip the classifier; what became of them, for the summary."""
    counts: Counter[str] = Counter()
    for row, made in attacking.test_versions(rows, counts):
        assert made.row is not None
        version = Version(row.id, attacking.kind)
        out.write(named(made.row, f"{row.id}~{attacking.kind}", ROBUSTNESS, version).to_json() + "\n")
    return _figures(counts)


def adversarial_train(attacking: Attacking, growing: Growing) -> None:
    """Add the versions of train rows that flip the classifier to train, with the right label."""
    counts: Counter[str] = Counter()
    for row, made in attacking.train_versions(counts):
        growing.add(attacking.kind, row, made, 1)
    for reason in ("held", "wrong", "lost_its_meaning"):
        if counts[reason]:
            growing.refuse(attacking.kind, reason, counts[reason])


def _figures(counts: Counter[str]) -> dict[str, Any]:
    made = counts["made"]
    names = ("attacked", "left_out", "wrong", "held", "flipped", "lost_its_meaning")
    figures: dict[str, Any] = {name: counts[name] for name in names}
    return {**figures, "rows": made, "mean_changes": round(counts["changes"] / made, 3) if made else None}


def _options(settings: Settings) -> Callable[[str], list[Edit]]:
    """All changes that the kinds of noise named by an attack could make."""
    kinds: tuple[str, ...] = getattr(settings, "noise", ())
    tables = [{"kind": kind, "dictionary": getattr(settings, "dictionary", None)} for kind in kinds]
    noises = [augmenters.build(augmenters.settings_of(table)) for table in tables]

    def options(text: str) -> list[Edit]:
        found: dict[Edit, None] = {}
        for noise in noises:
            found |= dict.fromkeys(_edits_only(noise).options(text))
        return sorted(found, key=lambda edit: edit.start)

    return options


def _edits_only(augmenter: Any) -> EditAugmenter:
    assert augmenter.level == "edits"
    noise: EditAugmenter = augmenter
    return noise


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    block: list[Row] = []
    for row in rows:
        block.append(row)
        if len(block) == _BLOCK:
            yield block
            block = []
    if block:
        yield block
