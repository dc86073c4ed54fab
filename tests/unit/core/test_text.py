"""Numbers as people read them."""

import pytest

from campaign.core import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (7.2e-6, "0.0072 ms"),
        (0.0314, "31 ms"),
        (0.4444, "444 ms"),
        (1.44, "1.4 s"),
        (59.4, "59 s"),
        (59.6, "1 m 00 s"),
        (200, "3 m 20 s"),
        (7500, "2 h 05 m"),
        (273_600, "3 d 04 h"),
        (1e9, "11574 d 01 h"),
    ],
)
def test_seconds(value, shown) -> None:
    assert text.seconds(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, ""), (0, "0"), (0.12345, "0.123"), (99.44, "99.4"), (123456.7, "123,457")])
def test_number(value, shown) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, ""), (0, "0"), (1e12, "1,000,000,000,000")])
def test_count(value, shown) -> None:
    assert text.count(value) == shown
