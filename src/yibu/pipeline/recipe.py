"""The one YAML file that makes one model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from yibu import tasks
from yibu.augment import AugmentSettings
from yibu.bench import BenchSettings
from yibu.compress import CompressSettings
from yibu.core.errors import RecipeError
from yibu.core.recipe import PlugSettings, Settings, apply_overrides, load_yaml, parse
from yibu.evaluate import (
    EvaluateSettings,
)
from yibu.export import Exporter
from yibu.inspect import InspectSettings
from yibu.prepare import DataSettings
from yibu.retain import RetainSettings
from yibu.serve import ServeSettings
from yibu.train import TrainSettings

DEFAULT_BASE = "packaged:smollm2-135m"


class Recipe(Settings):
    """One YAML file: everything that makes one model."""

    name: str = Field(
        description="names the refs of this recipe in the store: <name>/data, <name>/data_report, <name>/model, ..."
    )
    base: str = Field(DEFAULT_BASE, description="hub id | local folder | .gguf file | packaged:<name>")
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")] | None = Field(
        None, description="what is asked and answered; default: by the shape of the rows"
    )
    data: DataSettings
    augment: AugmentSettings | None = Field(
        None, description="copies of train rows with noise or other words, and hard versions of test rows"
    )
    inspect: InspectSettings = InspectSettings()
    adapter: Annotated[Settings, PlugSettings("yibu.adapters", default="lora")] = Field(
        default={"kind": "lora"}, validate_default=True, description="what is trained"
    )
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    bench: BenchSettings | None = Field(
        None, description="requests sent to the tuned model, for latency and cost; `yibu bench` needs no table"
    )
    retain: RetainSettings | None = Field(
        None, description="general abilities of the tuned model beside those of its base"
    )
    compress: CompressSettings | None = Field(
        None, description="merge the adapter into the base, and make the result smaller; left out: only for an export"
    )
    export: tuple[Exporter, ...] = Field((), description="forms in which the model leaves: safetensors, gguf, ...")
    serve: ServeSettings = ServeSettings()

    @model_validator(mode="after")
    def _one_number_of_folds(self) -> Recipe:
        wanted, given = self.evaluate.folds, self.data.split.folds
        if wanted is not None and given is not None and wanted != given:
            raise ValueError(f"evaluate.folds is {wanted} and data.split.folds is {given}; leave one of them out")
        return self

    @model_validator(mode="after")
    def _judged_is_what_is_written(self) -> Recipe:
        if self.evaluate.judge is not None and self.task is not None and tasks.build(self.task).closed_set:
            raise ValueError("evaluate.judge judges written answers, and this task chooses labels; leave it out")
        return self

    @model_validator(mode="after")
    def _concepts_are_those_of_a_dictionary(self) -> Recipe:
        wanted = [name for name, kind in getattr(self.task, "score", {}).items() if kind == "concepts"]
        if wanted and self.evaluate.terms is None and self.data.terms is None:
            raise ValueError(f"task.score asks for concepts in {wanted[0]!r}; name a dictionary in evaluate.terms")
        return self

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise ValueError("a name holds letters, digits, '-', '_' and '.' only")
        return name


def load(source: Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from a YAML file; or, from a folder or file of rows, the recipe that has every default.

    Raises:
        RecipeError: what is wrong with it, all mistakes at once.
    """
    if source.suffix in {".yaml", ".yml"}:
        table = load_yaml(source)
        table.setdefault("name", source.stem)
    elif source.exists():
        table = {"name": source.stem.replace(" ", "-") or "data", "data": {"source": str(source)}}
    else:
        raise RecipeError(
            "There is neither a recipe nor a folder of rows at this path.",
            got=source,
            allowed="a .yaml file, or a file or folder of rows",
        )
    return parse(Recipe, apply_overrides(table, overrides))
