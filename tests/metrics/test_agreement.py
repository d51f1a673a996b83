"""Agreement against sklearn and by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.metrics.agreement import agreement


def test_by_hand() -> None:
    # 20 yes twice, 15 no twice, 5 and 10 apart: 0.7 alike, 0.5 by chance (Cohen's usual example).
    one = ["yes"] * 25 + ["no"] * 25
    other = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = agreement(one, other)
    assert (found.share, found.n) == (0.7, 50)
    assert found.kappa == pytest.approx(0.4)


def test_where_nothing_else_is_ever_said_there_is_no_kappa() -> None:
    assert agreement([1, 1], [1, 1]).kappa is None
    assert agreement([1, 1], [2, 2]).kappa == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=30))
def test_equals_sklearn_and_is_symmetric(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    found = agreement(one, other)
    if found.kappa is not None:
        assert found.kappa == pytest.approx(cohen_kappa_score(one, other))
    assert agreement(other, one) == found


def test_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="same things"):
        agreement([], [])
