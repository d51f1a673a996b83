"""Real sets, read by path where they lie beside the checkout; a clone without them has the made-up ones only."""

from __future__ import annotations

from pathlib import Path

import pytest

from yibu.core.errors import DataError
from yibu.readers import Bad, Raw, read
from yibu.shapes import FAMILY, detect

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not on this machine")


@pytest.mark.parametrize(
    ("source", "count", "shape"),
    [
        ("banking77/train.csv", 10003, "text_label"),
        ("banking77/test.csv", 3080, "text_label"),
        ("bc5cdr", 1000, "spans"),
        ("presidio_synth/synth_dataset_v2.json", 1500, "spans"),
        ("mts_dialog/MTS-Dialog-TrainingSet.csv", 1201, None),
        ("mts_dialog/MTS-Dialog-ValidationSet.csv", 100, None),
        ("mts_dialog/*Test*.csv", 200, None),
        ("aci_bench/challenge_data/train.csv", 67, None),
        ("codiesp/train.jsonl", 500, None),
        ("lawbench/zero_shot", 5000, None),
        ("amlsim_20k/*/transactions.csv", 120_558, None),
        ("icd10cm_tables/*categories*.csv", 1918, None),
    ],
)
def test_every_row_of_a_published_set_is_read(source: str, count: int, shape: str | None) -> None:
    items = list(read(str(DATA / source)))
    records = [item.record for item in items if isinstance(item, Raw)]
    assert len(records) == len(items) == count
    if shape is None:
        with pytest.raises(DataError, match="no known shape"):
            detect(records)
        return
    assert detect(records) == shape
    to_fields = FAMILY.load(shape).to_fields
    assert len([to_fields(record) for record in records]) == count


def test_a_table_that_is_none_is_reported_row_by_row() -> None:
    items = list(read(str(DATA / "aci_bench" / "tables" / "test1.csv")))
    assert sum(isinstance(item, Bad) for item in items) > 100
