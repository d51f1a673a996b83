"""Class imbalance: rare classes are drawn more often, or their label counts more in the loss; never both.

With one row of a class in fifty, a model learns that "never" is a good answer. Two remedies exist, and either does the
whole work: a sampler that draws rows in inverse proportion to the size of their class, or a loss in which the tokens of
the label weigh as much. Together they would count a rare class twice, so a recipe with both is refused.

Either one makes the model believe in other class shares than the world has. Those it was shown, and the true ones,
are written into ``summary.json`` (`Balance.as_dict`), and evaluate moves its probabilities back (Saerens et al. 2002,
Neural Computation 14; Menon et al. 2021, "Long-tail learning via logit adjustment", arXiv 2007.07314).

With `strength` a and n_c rows of class c, a row weighs n_c^-a (1: all classes alike; 0.5: the square root, milder),
scaled so that the mean over rows is 1 and the loss keeps its size. The shares that the model is shown are then
proportional to n_c^(1 - a).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from yibu.core.errors import DataError, RecipeError
from yibu.core.log import get
from yibu.core.record import Row
from yibu.model.render import Example
from yibu.train import TrainSettings

log = get("balance")

Remedy = Literal["sampler", "class_weights"]

# A row seen more often than this in one epoch is sooner learned by heart than learned from.
MANY_REPEATS = 20
# Two texts without a common beginning or end, to see where a task writes the label.
_PROBES = ("⟦a⟧yibu⟦a⟧", "〖b〗ubiy〖b〗")


@dataclass(frozen=True)
class Balance:
    """How much the rows of each class weigh.

    Attributes:
        remedy: what uses the weights.
        strength: 0 leaves the classes as they are, 1 makes them alike.
        counts: rows of each class among those that are trained on, labels sorted.
    """

    remedy: Remedy
    strength: float
    counts: Mapping[str, int]

    @property
    def weights(self) -> dict[str, float]:
        """Weight of a row, by class; the mean over rows is 1."""
        raw = {label: count**-self.strength for label, count in self.counts.items()}
        mean = sum(raw[label] * count for label, count in self.counts.items()) / sum(self.counts.values())
        return {label: weight / mean for label, weight in raw.items()}

    @property
    def natural_prior(self) -> dict[str, float]:
        """Share of each class among the rows."""
        total = sum(self.counts.values())
        return {label: count / total for label, count in self.counts.items()}

    @property
    def training_prior(self) -> dict[str, float]:
        """Share of each class as the model is shown it."""
        weights = self.weights
        return {label: share * weights[label] for label, share in self.natural_prior.items()}

    def as_dict(self) -> dict[str, Any]:
        """``class_balance`` of ``summary.json``."""
        return {
            "remedy": self.remedy,
            "strength": self.strength,
            "counts": dict(self.counts),
            "weights": self.weights,
            "natural_prior": self.natural_prior,
            "training_prior": self.training_prior,
        }


def remedy_of(settings: TrainSettings) -> Remedy | None:
    """The remedy that the settings ask for; they cannot ask for both."""
    if settings.sampler == "weighted":
        return "sampler"
    return "class_weights" if settings.class_weights == "balanced" else None


def check_labels(settings: TrainSettings, task: Any) -> None:
    """Refuse a remedy for a task that has no classes.

    Raises:
        RecipeError: the task has no label.
    """
    remedy = remedy_of(settings)
    if remedy is None or task.label_fields:
        return
    asked = "train.sampler: weighted" if remedy == "sampler" else "train.class_weights: balanced"
    raise RecipeError(
        "Classes can only be balanced where rows have one, and this task has no label.",
        got=asked,
        allowed="a task of kind classify, or a generate task with a field scored as label",
        do=f"take {asked} out, or name the class with task.score: {{<field of the target>: label}}",
    )


def balance_of(settings: TrainSettings, examples: Sequence[Example]) -> Balance | None:
    """The weights of the classes among the examples that will be trained on; None without a remedy.

    Raises:
        DataError: fewer than two classes, so that there is nothing to balance.
    """
    remedy = remedy_of(settings)
    if remedy is None:
        return None
    counts = Counter(example.label for example in examples if example.label is not None)
    if len(counts) < 2:
        raise DataError(
            "There is nothing to balance: the train rows have fewer than two classes.",
            got=list(counts),
            do="take train.sampler and train.class_weights out",
        )
    balance = Balance(remedy, settings.balance_strength, dict(sorted(counts.items())))
    most, weight = max(balance.weights.items(), key=lambda item: item[1])
    log.info("%d classes balanced by %s; a row of %r weighs %.1f", len(counts), remedy, most, weight)
    if remedy == "sampler" and weight > MANY_REPEATS:
        log.warning(
            "a row of %r comes about %.0f times an epoch; train.balance_strength: 0.5 or fewer epochs keep the model "
            "from learning it by heart",
            most,
            weight,
        )
    return balance


def draw_weights(balance: Balance | None, examples: Sequence[Example]) -> list[float] | None:
    """What `yibu.train.batches.step_rows` draws by; None where every row comes once an epoch."""
    if balance is None or balance.remedy != "sampler":
        return None
    weights = balance.weights
    return [weights.get(example.label or "", 1.0) for example in examples]


def weigh(balance: Balance | None, examples: Sequence[Example], validation: bool = False) -> list[Example]:
    """The examples with the weight of their class.

    In training only class weights are put on the loss, since the sampler already draws by them. Validation rows come
    once each under either remedy, so there the weights stand for both: the epoch that is kept must be the best at
    what was trained, and the loss at natural shares would prefer the one that has learned least.
    A class that train lacks weighs 1.
    """
    if balance is None or (balance.remedy == "sampler" and not validation):
        return list(examples)
    weights = balance.weights
    return [replace(example, weight=weights.get(example.label or "", 1.0)) for example in examples]


def label_span(task: Any, row: Row) -> tuple[int, int] | None:
    """Where the class stands in the row's target, in characters; None where the whole target is the class.

    Found by asking the task for the target with two other classes: what stays the same around them is not the class.

    Raises:
        DataError: the target does not hold the field of the class.
    """
    if task.closed_set:
        return None
    name = task.label_fields[0]
    target = str(task.target(row))
    one, other = (str(task.target(row.with_fields({**row.fields, name: probe}))) for probe in _PROBES)
    begin = _common(one, other)
    behind = _common(one[::-1], other[::-1])
    end = len(target) - behind
    if not one[begin:].startswith(_PROBES[0]) or not begin < end:
        raise DataError("The target does not hold the field that is to be weighted.", got=name)
    return begin, end


def _common(one: str, other: str) -> int:
    """Number of characters that both begin with."""
    longest = min(len(one), len(other))
    return next((place for place in range(longest) if one[place] != other[place]), longest)
