"""From YAML to frozen, closed settings: strict keys with "did you mean", overrides, defaults, JSON schema.

A component owns its settings: it subclasses `Settings` in its own file; the recipe only composes them
(`yibu.pipeline.Recipe`). A section whose ``kind`` names a plug is typed ``PlugSettings("adapters", ...)``: the table
is validated by the ``Settings`` class in the plug's file.
"""

from __future__ import annotations

import importlib
import re
import typing
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from yibu.core.errors import InputError, RecipeError, nearest
from yibu.core.plugs import Family


class Settings(BaseModel):
    """Base of every settings class: nothing writes to it after parsing, and an unknown key is an error.

    NaN and infinity are refused: no setting means them, and JSON, which ids are hashed from, cannot carry them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

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

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Without its own serializer pydantic would write only the fields of the annotated class `Settings`, which has
        # none, and every plug table would look alike in the resolved recipe and in an artifact's id.
        return core_schema.no_info_wrap_validator_function(
            self._validate,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(_plug_config),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        variants: list[JsonSchemaValue] = []
        for name, plug in self._family().all().items():
            variant = handler(plug.Settings.__pydantic_core_schema__)
            if name != self.default:  # a table without `kind` is the default plug's
                variant = {**variant, "required": sorted({*variant.get("required", ()), "kind"})}
            variants.append(variant)
        return {"anyOf": [*variants, {"type": "null"}]}

    def settings_class(self, table: Any) -> type[BaseModel] | None:
        """The class that validates a table, by its ``kind``; None where no such plug exists."""
        kind = table.get("kind", self.default) if isinstance(table, Mapping) else self.default
        if kind not in self._family().names():
            return None
        found: type[BaseModel] = self._family().load(kind).Settings
        return found

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
            details = ", ".join(" ".join(line.split()) for line in error.render().splitlines()[1:])
            raise ValueError(f"{error.what} ({details})") from error
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
        table = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML.", got=error) from error
    if table is None:
        raise RecipeError(f"{path} is empty.", do="it needs at least a section `data`; see `ls recipes/`")
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
            if place.get(key) is None:  # absent, or a section with nothing below its name
                place[key] = {}
            below = place[key]
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
        raise _explain(model, table, error) from error


def dump_yaml(settings: Settings) -> str:
    """The resolved recipe, every default written out."""
    return yaml_of(settings.as_config())


def yaml_of(table: Mapping[str, Any]) -> str:
    """A table as YAML, its keys in their order."""
    return yaml.dump(dict(table), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def json_schema(model: type[Settings]) -> dict[str, Any]:
    """JSON Schema (2020-12) of a settings class, for editors."""
    schema = model.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _plug_config(value: Any) -> Any:
    return value.as_config() if isinstance(value, Settings) else value


def _explain(model: type[Settings], table: Mapping[str, Any], error: ValidationError) -> RecipeError:
    problems: list[str] = []
    for item in error.errors(include_url=False):
        unknown = item["type"] == "extra_forbidden"
        path, settings = _locate(model, table, item["loc"][:-1] if unknown else item["loc"])
        if unknown:
            path.append(str(item["loc"][-1]))
            known = sorted(settings.model_fields) if settings is not None else []
            close = nearest(path[-1], known)
            message = "unknown key; " + (f"did you mean {close!r}?" if close else f"known keys: {', '.join(known)}")
        else:
            cause = item.get("ctx", {}).get("error")
            message = str(cause) if cause is not None else item["msg"]
            got = item.get("input")
            message += "" if isinstance(got, (dict, BaseModel)) else f" (got {str(got)[:80]!r})"
        problems.append(f"{'.'.join(path) or '(top level)'}: {message}")
    count = len(problems)
    head = "The recipe has a mistake." if count == 1 else f"The recipe has {count} mistakes."
    return RecipeError(head + "".join(f"\n  - {problem}" for problem in problems), do="`yibu schema` prints every key")


def _locate(
    model: type[BaseModel], table: Any, location: typing.Sequence[str | int]
) -> tuple[list[str], type[BaseModel] | None]:
    """Follow pydantic's location through the classes and the table at once.

    Returns:
        The path as the user would write it (pydantic puts tags such as ``list[str]`` between the keys of a union) and
        the settings class at its end, None where that is not a table of settings.
    """
    path: list[str] = []
    settings: type[BaseModel] | None = model
    plug: PlugSettings | None = None
    value = table
    for part in location:
        in_list = isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value)
        if in_list or (isinstance(value, Mapping) and part in value):
            value = value[part]
        elif settings is not None and part in settings.model_fields:
            value = None
        else:
            continue
        path.append(str(part))
        if settings is not None and part in settings.model_fields:
            field = settings.model_fields[str(part)]
            settings, plug = _table_type(field.annotation, field.metadata)
        if plug is not None and not isinstance(value, list):
            settings, plug = plug.settings_class(value), None
    return path, settings


def _table_type(
    annotation: Any, metadata: typing.Sequence[Any] = ()
) -> tuple[type[BaseModel] | None, PlugSettings | None]:
    """The settings class, or the family that has it, inside ``X``, ``X | None``, ``list[X]`` and ``dict[str, X]``."""
    marker = next((item for item in metadata if isinstance(item, PlugSettings)), None)
    if marker is not None:
        return None, marker
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, None
    if get_origin(annotation) is Annotated:
        inner, *rest = get_args(annotation)
        return _table_type(inner, rest)
    for option in get_args(annotation):
        found = _table_type(option)
        if found != (None, None):
            return found
    return None, None


def _copy(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in table.items()}


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2, where PyYAML has those of 1.1, and duplicate keys refused.

    In 1.1 ``5e-5`` is a text, ``[yes, no, maybe]`` holds two booleans, ``0123`` is 83, ``1:30`` is 90 and a date is an
    object. Here 5e-5 is a number and the others are texts; a settings field of type bool still understands yes and no.
    """


class _Dumper(yaml.SafeDumper):
    """Puts quotes round every text that either reader would take for something else."""


_StrictLoader.yaml_implicit_resolvers = {}
_NUMBERS = {
    "int": (r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)", "-+0123456789"),
    "float": (
        r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.inf)|\.nan",
        "-+.0123456789",
    ),
}
_WORDS = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""]),
    "merge": ("<<", "<"),
}
for _tag, (_pattern, _first) in {**_NUMBERS, **_WORDS}.items():
    for _class in (_StrictLoader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _mapping(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
