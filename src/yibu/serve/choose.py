"""Which engine carries an artifact on this machine, and why."""

from __future__ import annotations

from dataclasses import dataclass

from yibu import engines
from yibu.core.errors import InputError
from yibu.core.recipe import Settings
from yibu.engines import ProcessSettings, transformers
from yibu.serve.routes import Version


@dataclass(frozen=True)
class Chosen:
    """An engine's settings, and one sentence for the user."""

    settings: Settings
    why: str


def choose(version: Version, base_path: str, wanted: Settings | None, device: str, dtype: str) -> Chosen:
    """The engine for a model.

    Args:
        version: what is served first.
        base_path: folder of its base.
        wanted: of ``serve.engine``; its base and adapter are filled in.
        device, dtype: of the training.

    Raises:
        InputError: what is wanted cannot carry it.
    """
    adapter = version.adapter
    assert adapter is not None
    loaded = {"adapter_path": str(adapter.path), "adapter_kind": adapter.kind, "adapter_name": adapter.name}
    if wanted is None:
        settings = transformers.Settings(base_path=base_path, device=device, dtype=dtype, **loaded)
        return Chosen(settings, f"transformers: it runs every base, and adapters of the kind {adapter.kind}")
    kind = str(getattr(wanted, "kind", ""))
    if not isinstance(wanted, ProcessSettings):
        return Chosen(wanted, f"{kind}: the recipe names its endpoint; which weights run there, only its owner knows")
    can = engines.FAMILY.load(kind).Engine.can
    if engines.ADAPTERS not in can and adapter.kind != "lora":
        raise InputError("This engine knows plain LoRA only.", got=adapter.kind, do="leave serve.engine out")
    return Chosen(wanted.model_copy(update={"base_path": base_path, **loaded}), f"{kind}: the recipe asks for it")
