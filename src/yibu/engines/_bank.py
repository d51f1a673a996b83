"""A base and the adapters on it, of which one answers at a time.

Plain LoRAs lie beside each other on one copy of the base; any other kind (bottlenecks, whole weights, updates of fused
experts) gets a copy of the base of its own. Only one thread may use a bank.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yibu.core.errors import InputError
from yibu.engines import Adapter

_SHARED = "lora"


class Bank:
    """The models of one process.

    Args:
        base_path, device, dtype: see `yibu.model.assemble.for_answers`.
        adapter: what is loaded at once, so that its kind need not be copied.

    Attributes:
        system: the base with its renderer and facts; under adapters that share it.
    """

    def __init__(self, base_path: Path, adapter: Adapter | None, device: str, dtype: str) -> None:
        self._load: Callable[[Path | None, str], Any] = functools.partial(_assembled, base_path, device, dtype)
        self._own: dict[str, Any] = {}
        self._shared: dict[str, str] = {}  # name -> peft's name of it
        self._tuned: Any = None
        if adapter is not None and not self._can_share(adapter):
            self.system = self._load(adapter.path, adapter.kind)
            self._own[adapter.name] = self.system
            self._bare: Any = None  # this base is changed; one without adapter is loaded when it is asked for
            return
        self.system = self._bare = self._load(None, "")
        if adapter is not None:
            self.load(adapter)

    @property
    def names(self) -> list[str]:
        """Adapters that may be asked for."""
        return sorted([*self._own, *self._shared])

    def load(self, adapter: Adapter) -> None:
        """One more adapter.

        Raises:
            InputError: the name is taken: what was computed with one adapter is kept under its name.
        """
        from yibu.adapters import lora
        from yibu.model.lora_linear import FusedLoraLinear

        if adapter.name in self.names:
            raise InputError("An adapter of this name is loaded; names are never used again.", got=adapter.name)
        if not self._can_share(adapter) or self._bare is None:
            self._own[adapter.name] = self._load(adapter.path, adapter.kind)
        elif self._tuned is None:
            self._tuned = lora.load(self._bare.model, adapter.path, linear_class=FusedLoraLinear).eval()
            self._shared[adapter.name] = "default"
        else:
            lora.add(self._tuned, adapter.path, adapter.name, linear_class=FusedLoraLinear)
            self._tuned.eval()
            self._shared[adapter.name] = adapter.name

    def unload(self, name: str) -> None:
        """Forget an adapter.

        Raises:
            InputError: there is none of this name.
        """
        if name in self._own:
            del self._own[name]
        elif name not in self._shared:
            raise InputError("No adapter of this name is loaded.", got=name, allowed=self.names)
        elif len(self._shared) > 1:
            self._tuned.delete_adapter(self._shared.pop(name))
        else:  # peft cannot do without its last one; the base is taken out of it
            self._bare.model.eval()
            self._tuned.unload()
            self._tuned = None
            del self._shared[name]

    @contextmanager
    def using(self, name: str | None) -> Iterator[Any]:
        """The model that an adapter (None: no adapter) answers by.

        Raises:
            InputError: there is none of this name.
        """
        if name in self._own:
            yield self._own[name].model
        elif name in self._shared:
            wanted = self._shared[name]
            if self._tuned.active_adapter != wanted:
                self._tuned.set_adapter(wanted)
            yield self._tuned
        elif name is not None:
            raise InputError("No adapter of this name is loaded.", got=name, allowed=self.names)
        elif self._tuned is not None:
            with self._tuned.disable_adapter():
                yield self._tuned
        else:
            if self._bare is None:
                self._bare = self._load(None, "")
            yield self._bare.model

    def _can_share(self, adapter: Adapter) -> bool:
        from yibu.adapters import lora

        return adapter.kind == _SHARED and lora.can_share(adapter.path)


def _assembled(base_path: Path, device: str, dtype: str, adapter: Path | None, kind: str) -> Any:
    from yibu.model.assemble import for_answers

    return for_answers(base_path, adapter, kind, device, dtype)
