"""Families of plugs: a plural folder is a family, one file in it is one plug, found by file name or entry point.

A family is a package whose ``__init__`` names the contract::

    FAMILY = Family(__name__, requires=("Settings", "read"))

and a plug is a module of that package (or of another distribution, by an entry point in the group
``yibu.<family>``) that defines every required name. The contract is checked when the plug is loaded, not when it is
first used, so that a broken plug stops a run at the door.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import pkgutil
from types import ModuleType

from yibu.core.errors import InputError, YibuError, nearest


class Family:
    """One family of plugs.

    Args:
        package: dotted name of the family's package, e.g. ``yibu.readers``.
        requires: names that each plug's module must define.
    """

    def __init__(self, package: str, requires: tuple[str, ...]) -> None:
        self.package = package
        self.name = package.rpartition(".")[2]
        self.requires = requires

    def names(self) -> list[str]:
        """All known plugs, sorted. Modules that begin with an underscore are not plugs."""
        folder = importlib.import_module(self.package).__path__
        own = {module.name for module in pkgutil.iter_modules(folder) if not module.name.startswith("_")}
        return sorted(own | set(self._entry_points))

    def load(self, name: str) -> ModuleType:
        """The plug's module, its contract checked.

        Raises:
            InputError: no plug of that name.
            YibuError: the plug cannot be imported, does not keep the contract, or two have this name.
        """
        known = self.names()
        if name not in known:
            close = nearest(name, known)
            raise InputError(
                f"There is no {self.name} plug of that name.",
                got=name,
                allowed=known,
                do=f"did you mean {close!r}?" if close else None,
            )
        target = self._target(name)
        try:
            module = importlib.import_module(target)
        except ImportError as error:
            raise YibuError(f"The plug {target} cannot be imported.", got=error) from error
        missing = [need for need in self.requires if not hasattr(module, need)]
        if missing:
            raise YibuError(
                f"The plug {target} does not keep the contract of {self.package}.",
                got=f"missing: {', '.join(missing)}",
                allowed=self.requires,
            )
        return module

    def all(self) -> dict[str, ModuleType]:
        return {name: self.load(name) for name in self.names()}

    def _target(self, name: str) -> str:
        """The module of a known plug. An installed package must not replace another's plug in silence."""
        targets = list(self._entry_points.get(name, ()))
        if importlib.util.find_spec(f"{self.package}.{name}") is not None:
            targets.append(f"{self.package}.{name}")
        if len(targets) > 1:
            raise YibuError(f"Two {self.name} plugs have the name {name!r}.", got=targets, do="uninstall one of them")
        return targets[0]

    @functools.cached_property
    def _entry_points(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for point in importlib.metadata.entry_points(group=f"yibu.{self.name}"):
            found.setdefault(point.name, set()).add(point.module)
        return found
