"""What the verbs `serve` and `keys` say, and what their words mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from rich import box
from rich.table import Table
from rich.text import Text

from yibu.cli.session import Session
from yibu.core.errors import InputError
from yibu.core.store import Store

if TYPE_CHECKING:
    from yibu.serve.choose import Chosen


MODEL = "/model"
"""End of the ref to what a recipe trained."""


def refs_of(words: Sequence[str], store: Store) -> tuple[dict[str, str], list[str]]:
    """What clients call each model, with its ref; and overrides among the words.

    A recipe's name stands for its model, and clients call it so: ``quickstart`` is ``quickstart/model``, unless there
    is a ref ``quickstart``.

    Raises:
        InputError: no ref.
    """
    overrides = [word for word in words if "=" in word]
    known = store.refs()
    refs = [word if word in known else f"{word}{MODEL}" for word in words if "=" not in word]
    missing = [ref.removesuffix(MODEL) for ref in refs if ref not in known]
    if missing or not refs:
        raise InputError(
            "Only what a ref names is served, so that what answers can be moved and rolled back.",
            got=missing or "no name",
            allowed=sorted(known) or f"nothing: the store {store.root} has no refs yet",
        )
    short = {ref: ref.removesuffix(MODEL) for ref in refs}
    return {name if name not in known else ref: ref for ref, name in short.items()}, overrides


def teller(here: Session, names: Sequence[str]) -> Callable[[str, Chosen], None]:
    """What is said when requests are answered."""

    def tell(address: str, chosen: Chosen) -> None:
        view = Text.assemble((f"{address}/v1", "bold"), f" answers to {', '.join(names)}\n", (chosen.why, "dim"))
        view.append(f"\nin a browser: {address}/chat · Ctrl-C ends", style="dim")
        here.tell("serving", view, address=address, models=list(names), why=chosen.why)

    return tell


def keys(
    here: Session,
    store: Store,
    action: str,
    name: str | None,
    scopes: Sequence[str] | None,
    days: float | None,
    hours: float,
) -> None:
    """One action on the keys of a store.

    Raises:
        InputError: no name where one is needed, no such key, no such scope.
    """
    from yibu.serve.keys import SCOPES, Keys, keys_path

    book = Keys(keys_path(store))
    if action == "list":
        found = [key.model_dump(exclude={"sha256"}) for key in book.all()]
        here.tell("keys", _table(found), keys=found)
        return
    if name is None:
        raise InputError("Whose key?", do=f"yibu keys {action} NAME")
    if action == "revoke":
        count = book.revoke(name)
        here.tell("revoked", Text(f"{count} key(s) of {name} are refused from now on"), name=name, count=count)
        return
    made = book.rotate(name, hours) if action == "rotate" else book.add(name, cast(Any, scopes or SCOPES), days)
    view = Text.assemble((made, "bold"), "\n", ("It is shown this once; only its hash is kept.", "dim"))
    here.tell("key", view, name=name, key=made)


def _table(found: Sequence[dict[str, Any]]) -> Table | Text:
    if not found:
        return Text("There is no key yet: yibu keys add NAME", style="dim")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("id", "name", "scopes", "created", "expires"):
        table.add_column(column)
    for key in found:
        created, expires = key["created"][:16], (key["expires"] or "never")[:16]
        table.add_row(key["id"], key["name"], " ".join(key["scopes"]), created, expires)
    return table
