"""Numbers, durations and names as people read them."""

import pytest

from campaign.config.base import parse_duration
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
        (59.6, "1 m"),
        (200, "3 m 20 s"),
        (7200, "2 h"),
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


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0s"),
        (45, "45s"),
        (90, "1m30s"),
        (600, "10m"),
        (3600, "1h"),
        (5400, "1h30m"),
        (5461, "1h31m"),
        (90_000, "25h"),
        (172_800, "2d"),
    ],
)
def test_a_duration_as_the_config_writes_it(value, shown) -> None:
    assert text.duration(value) == shown
    assert abs(parse_duration(shown) - value) < 60


def test_a_misspelt_name_is_answered_with_the_nearest_one() -> None:
    known = ["temperature", "max_tokens"]
    assert text.did_you_mean(text.nearest("temprature", known), "known: all") == "did you mean 'temperature'?"
    assert text.did_you_mean(text.nearest("temprature", known), "known: all", mark="`") == "did you mean `temperature`?"
    assert text.did_you_mean(text.nearest("colour", known), "known: all") == "known: all"
    assert text.nearest("tempra", known, cutoff=0.9) is None


@pytest.mark.parametrize(
    ("words", "last"),
    [("", None), ("\n  \n", None), ("one\ntwo  \n\n", "two"), ("a\r\nb\r\n", "b"), ("x" * 400, "x" * 300)],
)
def test_the_last_line_that_says_something(words, last) -> None:
    assert text.last_line(words) == last
