"""Back from what was made to where it comes from: from a data set to its preparation, from a row to its source."""

from __future__ import annotations

import itertools

from yibu.core.errors import DataError
from yibu.core.store import Artifact, Store
from yibu.prepare.gather import LAYOUT_SAMPLE, look, open_items
from yibu.prepare.layout import Layout
from yibu.prepare.refine import Refined, Refiner, Refused
from yibu.prepare.settings import PrepareConfig
from yibu.readers import Raw


def prepared_from(store: Store, data: Artifact | None) -> Artifact | None:
    """The artifact of `prepare` that a data set is or was made from; None where it is gone from the store."""
    while data is not None and data.manifest.stage != "prepare":
        data = store.find(data.manifest.inputs.get("data", ""))
    return data


def trace(config: PrepareConfig, source: str, line: int) -> Refined | Refused:
    """The row of a place in a source, as the stage refined it; its examples show each step that changed it.

    Args:
        config: of the data artifact.
        source, line: as the row, ``dropped.jsonl`` or ``rejected.jsonl`` has them.

    Raises:
        DataError: the source has no such place any more.
    """
    first, rest = open_items(config)
    records = [item.record for _, item in first if isinstance(item, Raw)][:LAYOUT_SAMPLE]
    if records:
        layout = Layout(config, records)
        language, boilerplate = look(config, layout, first)
        refiner = Refiner(config, layout, language, boilerplate)
        for given, item in itertools.chain(first, rest):
            if (item.source, item.line) == (source, line):
                return refiner([(given, item)], with_examples=True)[0]
    raise DataError(
        "The source has no row at this place any more.",
        got=f"{source}:{line}",
        do="prepare the rows again: the source has changed since",
    )
