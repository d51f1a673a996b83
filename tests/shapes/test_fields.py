"""Any record, as it is."""

from __future__ import annotations

import pytest

from yibu.shapes import fields


def test_fields_is_any_record_and_never_guessed() -> None:
    record = {"dialogue": "a", "note": None}
    assert fields.to_fields(record) == record
    assert fields.to_fields(record) is not record
    assert not fields.fits([record])
    with pytest.raises(ValueError, match="empty row"):
        fields.to_fields({})
