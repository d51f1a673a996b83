"""The base of a recipe, on this machine."""

from __future__ import annotations

from pathlib import Path

from yibu.core import log
from yibu.core.errors import InputError
from yibu.core.store import Store
from yibu.pipeline.recipe import Recipe
from yibu.train import BaseSettings

_logger = log.get("pipeline")


def locate_base(recipe: Recipe, store: Store) -> BaseSettings:
    """The base's files on this machine; one in FP8 as it lies there, see `resolve_base`."""
    from yibu.model.resolve import locate

    base = locate(recipe.base, store)
    return BaseSettings(name=base.name, path=str(base.path), digest=base.digest)


def resolve_base(recipe: Recipe, store: Store) -> BaseSettings:
    """The base that is trained and asked: its files on this machine; of one in block-wise FP8 its copy in bf16."""
    from yibu.model.resolve import plain

    base = locate_base(recipe, store)
    path, digest = plain(Path(base.path), base.digest, store)
    return base.model_copy(update={"path": str(path), "digest": digest})


def licence_of(recipe: Recipe, store: Store) -> str:
    """What the base's own files say of its licence."""
    from yibu.model.resolve import locate

    return locate(recipe.base, store).licence


def tokenizer_if_here(recipe: Recipe, store: Store) -> tuple[Path, str] | None:
    """Folder and digest of the base's tokenizer, or None where the base is not on this machine."""
    from yibu.model.resolve import resolve_tokenizer

    try:
        return resolve_tokenizer(recipe.base, store)
    except InputError as error:  # rows can be looked at before there is a base
        _logger.info("lengths are given in characters, for there is no tokenizer: %s", error.what)
        return None
