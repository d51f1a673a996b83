import pytest

from yibu.cli.history import duration, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (303, "5 min 3 s")],
)
def test_a_time_span_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_hours_and_more() -> None:
    assert duration(3599.6) == "1 h 0 min"
    assert duration(2 * 3600 + 10 * 60 + 59) == "2 h 10 min"
    assert duration(5000 * 3600) == "5,000 h 0 min"


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1536, "1.5 kB"),
        (99_940, "99.9 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (2.3e9, "2.3 GB"),
        (4.2e15, "4,200.0 TB"),
    ],
)
def test_a_size_in_powers_of_a_thousand(num_bytes: float, text: str) -> None:
    assert size(num_bytes) == text
