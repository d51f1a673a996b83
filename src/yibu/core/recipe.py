"""From YAML to frozen, closed settings: strict keys with "did you mean", overrides, defaults, JSON schema.

A component owns its settings: it subclasses `Settings` in its own file; the recipe only composes them
(`yibu.pipeline.Recipe`). A section whose ``kind`` names a plug is typed ``PlugSettings("adapters", ...)``: the table
is validated by the ``Settings`` class in the plug's file.
"""

from __future__ import annotations

import importlib
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, WrapValidator
from pydantic.json_schema import GetJsonSchemaHandler, JsonSchemaValue
from pydantic_core import CoreSchema

from yibu.core.errors import InputError, RecipeError, nearest
from yibu.core.plugs import Family


class Settings(BaseModel):
    """Base of every settings class: nothing writes to it after parsing, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def as_config(self) -> dict[str, Any]:
        """Plain JSON values, every default spelled out: what an artifact's id is made from."""
        return self.model_dump(mode="json")


class PlugSettings:
    """Marks a settings field whose table is validated by the plug that its ``kind`` names.

    Use: ``adapter: Annotated[Settings, PlugSettings("yibu.adapters", default="lora")]``.

    Args:
        package: the family's package.
        default: the plug meant when the table has no ``kind``.
    """

    def __init__(self, package: str, default: str) -> None:
        self.package = package
        self.default = default

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return WrapValidator(self._validate).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        variants = []
        for plug in self._family().all().values():
            schema = plug.Settings.model_json_schema(ref_template="#/$defs/{model}")
            schema.pop("$defs", None)
            variants.append(schema)
        return {"anyOf": variants}

    def _family(self) -> Family:
        family: Family = importlib.import_module(self.package).FAMILY
        return family

    def _validate(self, value: Any, handler: Any) -> Any:
        if isinstance(value, Settings):
            return value
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise ValueError("must be a table such as {kind: " + self.default + "}")
        kind = str(value.get("kind", self.default))
        try:
            plug = self._family().load(kind)
        except InputError as error:
            raise ValueError(error.render()) from error
        return plug.Settings.model_validate({**value, "kind": kind})


Model = TypeVar("Model", bound=Settings)


def load_yaml(path: Path) -> dict[str, Any]:
    """The table in a YAML file; duplicate keys are an error (YAML itself would keep the last one in silence).

    Raises:
        RecipeError: missing file, broken YAML, a duplicate key, or not a table.
    """
    if not path.is_file():
        raise RecipeError("There is no recipe at this path.", got=path, do="check the path, or see `ls recipes/`")
    try:
        table = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML.", got=error) from error
    if not isinstance(table, dict):
        raise RecipeError(f"{path} must hold a table of sections.", got=type(table).__name__)
    return table


def apply_overrides(table: Mapping[str, Any], overrides: typing.Sequence[str]) -> dict[str, Any]:
    """A copy of the table with each ``section.key=value`` set; the value is read as YAML.

    Raises:
        RecipeError: an override without ``=`` or through something that is no table.
    """
    result = _copy(table)
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise RecipeError("An override must have the form section.key=value.", got=override)
        keys = path.lstrip("-").split(".")
        place = result
        for key in keys[:-1]:
            below = place.setdefault(key, {})
            if not isinstance(below, dict):
                raise RecipeError(f"{key!r} holds a value, so nothing can be set below it.", got=override)
            place = below
        try:
            place[keys[-1]] = yaml.load(text, Loader=_StrictLoader)
        except yaml.YAMLError as error:
            raise RecipeError("The value of an override must be YAML.", got=override) from error
    return result


def parse(model: type[Model], table: Mapping[str, Any]) -> Model:
    """Validate a table against a settings class.

    Raises:
        RecipeError: names each wrong key with its path, what was got, and the nearest known key.
    """
    try:
        return model.model_validate(dict(table))
    except ValidationError as error:
        raise _explain(model, error) from error


def dump_yaml(settings: Settings) -> str:
    """The resolved recipe, every default written out."""
    return yaml.safe_dump(settings.as_config(), sort_keys=False, allow_unicode=True)


def json_schema(model: type[Settings]) -> dict[str, Any]:
    """JSON Schema (2020-12) of a settings class, for editors."""
    schema = model.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _explain(model: type[Settings], error: ValidationError) -> RecipeError:
    problems: list[str] = []
    for item in error.errors(include_url=False):
        path = [part for part in item["loc"] if isinstance(part, (str, int))]
        where = ".".join(str(part) for part in path) or "(top level)"
        if item["type"] == "extra_forbidden":
            known = _known_keys(model, path[:-1])
            close = nearest(str(path[-1]), known)
            hint = f"did you mean {close!r}?" if close else f"known keys: {', '.join(sorted(known))}"
            problems.append(f"{where}: unknown key; {hint}")
        else:
            cause = item.get("ctx", {}).get("error")
            message = str(cause) if cause is not None else item["msg"]
            got = item.get("input")
            shown = "" if isinstance(got, (dict, BaseModel)) else f" (got {str(got)[:80]!r})"
            problems.append(f"{where}: {message}{shown}")
    count = len(problems)
    head = "The recipe has a mistake." if count == 1 else f"The recipe has {count} mistakes."
    return RecipeError(head + "".join(f"\n  - {problem}" for problem in problems), do="`yibu schema` prints every key")


def _known_keys(model: type[BaseModel], path: typing.Sequence[str | int]) -> set[str]:
    """Keys that are allowed at a path below a settings class."""
    for part in path:
        below = model.model_fields.get(str(part))
        if below is None:
            return set(model.model_fields)
        marker = next((m for m in below.metadata if isinstance(m, PlugSettings)), None)
        if marker is not None:
            keys: set[str] = set()
            for plug in marker._family().all().values():
                keys |= set(plug.Settings.model_fields)
            return keys
        nested = _settings_class(below.annotation)
        if nested is None:
            return set()
        model = nested
    return set(model.model_fields)


def _settings_class(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        for option in get_args(annotation):
            found = _settings_class(option)
            if found is not None:
                return found
    return None


def _copy(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in table.items()}


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys and reads 5e-5 as a number (YAML 1.1 would make it a text)."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=deep)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
