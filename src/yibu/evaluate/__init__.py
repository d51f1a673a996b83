"""What the tuned model is worth on rows that nobody trained on, beside its base and baselines that could beat it.

Four stages: `answer` lets one system answer a split (so that the base's answers are kept when only the training
changes), `pool` puts the answers of all folds of a cross-validation together, `judge` asks a language model about
them (where a recipe names one), `evaluate` compares the systems, asks the gates and writes the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from yibu.core.endpoint import CallSettings, check_endpoint
from yibu.core.recipe import PlugSettings, Settings
from yibu.core.store import Artifact, Work, stage
from yibu.evaluate.beside import Beside
from yibu.evaluate.gates import check_names, parse_gate
from yibu.tasks import Measure
from yibu.terms import Dictionary, TermsSettings, digest


class JudgeSettings(Settings):
    """A language model that counts what notes make up and leave out, at an endpoint that speaks the OpenAI protocol."""

    endpoint: str = Field(description="address up to and with /v1; source, reference and both answers are sent there")
    model: str = Field(min_length=1, description="name of the model, as the endpoint knows it")
    key_env: str | None = Field(None, description="environment variable that holds the key; never the key")
    max_rows: int = Field(100, ge=1, description="rows that are judged, drawn by the hash of their id; two calls each")
    max_tokens: int = Field(1024, ge=16, description="longest answer of the judge, thoughts included")

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str) -> str:
        return check_endpoint(endpoint)


class EvaluateSettings(Settings):
    """How answers are made and compared."""

    split: Literal["test", "valid"] = Field("test", description="rows to answer; never choose anything on test")
    batch_size: int = Field(16, ge=1, description="prompts generated at once")
    correct_prior: bool = Field(
        True,
        description="after a weighted sampler or class weights: move scores back to the class shares of the train rows "
        "and decide by the moved ones; false: decide by what the model was shown, which finds more of rare classes",
    )
    recalibrate: Literal["auto", "none", "temperature", "vector"] = Field(
        "auto",
        description="fitted on valid: one temperature, or also a bias for each label; auto: vector after a remedy for "
        "imbalance where every label has 5 valid rows, else temperature",
    )
    num_resamples: int = Field(2000, ge=200, description="of the bootstrap intervals")
    terms: TermsSettings | None = Field(
        None, description="dictionary whose concepts are scored, for concepts and note; default: that of data.terms"
    )
    judge: JudgeSettings | None = Field(None, description="a language model that judges written answers")
    calls: CallSettings = Field(CallSettings(), description="how the judge is called")
    folds: int | None = Field(
        None, ge=2, le=20, description="also train and measure so many times, each time without a part of the rows"
    )
    fold_seeds: int = Field(1, ge=1, le=10, description="trainings of each fold, with seeds of their own")
    swaps: tuple[Literal["sex", "region"], ...] = Field(
        (), description="also ask about somebody of the other sex, or from elsewhere, and count answers that change"
    )
    gates: dict[str, str] = Field(
        default_factory=dict,
        description='figure -> bound, such as accuracy: ">= 0.85" or accuracy.low: ">= 0.8"; a run that misses one '
        "ends with exit code 3",
    )
    seed: int = 0
    lang: Literal["auto", "en", "zh"] = Field("auto", description="language of the report; auto: of the rows")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1)

    @field_validator("gates")
    @classmethod
    def _readable_gates(cls, gates: dict[str, str]) -> dict[str, str]:
        for name, text in gates.items():
            parse_gate(name, text)
        return gates


def check_gates(settings: EvaluateSettings, measures: Sequence[Measure], beside: Beside | None = None) -> None:
    """Refuse gates on figures that a task with these measures does not have, before anything is trained.

    Args:
        beside: what the recipe measures beside the task.

    Raises:
        RecipeError: names the figures that there will be, or says what to add to the recipe.
    """
    from yibu.evaluate.beside import to_add
    from yibu.evaluate.compare import metric_names
    from yibu.evaluate.matrix import known_names

    known = known_names(metric_names(measures), measures, settings.folds is not None, beside)
    check_names(settings.gates, known, to_add)


class AnswerConfig(Settings):
    """Everything that decides what one system answers."""

    base_path: str
    base_digest: str
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    split: Literal["test", "valid"]
    batch_size: int
    dtype: str
    device: str
    threads: int | None


class ReportConfig(Settings):
    """Everything that decides what the report says, besides the answers."""

    recipe: str
    base: str
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    evaluate: EvaluateSettings


def dictionary_of(config: ReportConfig) -> Dictionary | None:
    """The dictionary whose concepts are scored; None where there is none.

    Raises:
        RecipeError, DataError: it cannot be read.
    """
    return None if config.evaluate.terms is None else Dictionary.load(config.evaluate.terms)


def _digests(config: ReportConfig) -> dict[str, str]:
    """Digests of the dictionaries, which lie outside the store."""
    return {} if config.evaluate.terms is None else digest(config.evaluate.terms.sources())


@stage(version=1, neutral=("base_path", "device", "threads"))
def answer(config: AnswerConfig, work: Work, *, data: Artifact, model: Artifact | None = None) -> None:
    """Answers of a base (no `model`) or of a tuned model to every row of a split: ``answers.jsonl``."""
    from yibu.evaluate.answer import run

    run(config, work, data, model)


class VersionsConfig(Settings):
    """Everything that decides which changed rows are asked."""

    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    split: Literal["test", "valid"]
    swaps: tuple[Literal["sex", "region"], ...]


@stage(version=1)
def versions(config: VersionsConfig, work: Work, *, data: Artifact) -> None:
    """Changed rows of a split, as rows to be answered: those of ``robustness.jsonl``, and counterfactual swaps.

    Writes ``test.jsonl``, whose rows say in their flags which row they are a version of, and ``summary.json`` of the
    data.
    """
    from yibu.evaluate.versions import run

    run(config, work, data)


class JudgeConfig(Settings):
    """Everything that decides what a judge says."""

    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    split: Literal["test", "valid"]
    judge: JudgeSettings
    calls: CallSettings = CallSettings()


@stage(version=1, resumable=True, neutral=("calls",))
def judge(config: JudgeConfig, work: Work, *, data: Artifact, base_answers: Artifact, answers: Artifact) -> None:
    """Base and tuned answers as a language model judges them: ``judgements.jsonl``, and ``summary.json`` (agreement).

    A run that stops half-way keeps the judgements that it has.

    Raises:
        MissingExtra: httpx is not installed.
        InputError: the environment variable of the key is empty.
        YibuError: the endpoint does not answer.
    """
    from yibu.evaluate.judging import run

    run(config, work, data, base_answers, answers)


@stage(version=5, neutral=("evaluate.device", "evaluate.threads", "evaluate.calls"), external=_digests)
def evaluate(
    config: ReportConfig,
    work: Work,
    *,
    data: Artifact,
    model: Artifact,
    base_answers: Artifact,
    answers: Artifact,
    valid_answers: Artifact | None = None,
    valid_base_answers: Artifact | None = None,
    folds: Artifact | None = None,
    champion: Artifact | None = None,
    champion_data: Artifact | None = None,
    judgements: Artifact | None = None,
    load: Artifact | None = None,
    kept: Artifact | None = None,
    changed: Artifact | None = None,
    changed_answers: Artifact | None = None,
) -> None:
    """Compare base, tuned model and baselines: ``metrics.json``, ``predictions.jsonl``, ``report.html``.

    Args:
        valid_answers, valid_base_answers: answers to the validation rows, which the probabilities of a closed set are
            recalibrated on; without them they are only moved to natural class shares.
        folds: what `pool` made of a cross-validation of the same recipe.
        champion, champion_data: report of the model whose gates were passed last, and its rows, for gates on
            ``<figure>.over.champion``; a gate that asks for a champion is not asked where there is none.
        judgements: what `judge` made of the answers.
        load: of the stage `bench`: latency and joules of the tuned model.
        kept: of the stage `kept`: general abilities of the tuned model beside those of its base.
        changed, changed_answers: of the stage `versions`, and what the tuned model says to its rows.
    """
    from yibu.evaluate.run import run

    run(
        config,
        work,
        data,
        model,
        base_answers,
        answers,
        valid_answers,
        valid_base_answers,
        folds,
        champion,
        champion_data,
        judgements,
        load,
        kept,
        changed,
        changed_answers,
    )


@stage(version=2, neutral=("evaluate.device", "evaluate.threads", "evaluate.calls"), external=_digests)
def pool(config: ReportConfig, work: Work, **parts: Artifact) -> None:
    """The answers of all folds, as one set of rows that no model of theirs was trained on: ``folds.json``.

    Every row of ``predictions.jsonl`` says its fold and its seed.

    Args:
        parts: ``fold<number>_data``; ``fold<number>_seed<seed>_model``, ``..._answers``, ``..._valid_answers``; and
            ``fold<number>_base_answers``, ``fold<number>_valid_base_answers``. Those of ``valid`` may be missing.
    """
    from yibu.evaluate.folds import run

    run(config, work, parts)
