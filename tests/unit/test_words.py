"""Numbers as people read them."""

import pytest

from poolapp.monitoring.words import counted, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0 s"),
        (0.0000123, "0.012 ms"),
        (0.00042, "0.42 ms"),
        (0.0042, "4.2 ms"),
        (0.0999, "100 ms"),
        (0.337, "337 ms"),
        (0.9996, "1 s"),
        (1.0, "1 s"),
        (1.25, "1.2 s"),
        (59.9, "59.9 s"),
        (59.96, "1 min"),
        (125.2, "2 min 5 s"),
        (3600.0, "1 h"),
        (12000.0, "3 h 20 min"),
    ],
)
def test_a_duration_has_two_or_three_digits_and_a_unit(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_one_and_many() -> None:
    assert [counted(number, "pool", "pools") for number in (0, 1, 2)] == [
        "0 pools",
        "1 pool",
        "2 pools",
    ]
