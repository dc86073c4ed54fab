"""Column types: wide enough for everything, the same in any order, and values come back whole."""

import datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.requests.columns.column_types import (
    arrow_type,
    go_together,
    takes,
    to_arrow,
    to_json,
    type_of_arrow,
    type_of_value,
    unify,
)

TYPES = ["null", "bool", "int", "float", "string", "json", "int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64",
         "float32", "date32[day]", "time64[us]", "timestamp[s]", "timestamp[us, tz=UTC]", "timestamp[ns, tz=Europe/Berlin]",
         "decimal128(10, 2)", "decimal128(38, -3)", '["int"]', '["float32"]', '[["string"]]', '["null"]', '{"a":"int"}',
         '{"a":"int","b":["float"]}', '{"a":"null"}', '[{"when":"timestamp[us]"}]']  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(["2024-02-30", "2024-02-29T12:00:00", "2024-02-29T12:00:00+02:00", "12:30:00", "1e999", "NaN", "-0.001"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)


@pytest.mark.parametrize("text", TYPES)
def test_types_survive_as_text(text: str) -> None:
    kind = arrow_type(text)
    if text != "json" and "null" not in text:
        assert type_of_arrow(kind) == text


@pytest.mark.parametrize(
    "text",
    ["int7", "timestamp[us", "decimal128(1)", "list<item: string>", "[", "[]", "{}", '["int", "int"]', "[1]", '["int7"]'],
)
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a column type"):
        arrow_type(text)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((), "null"),
        (("null", "int"), "int"),
        (("int", "float", "null"), "float"),
        (("int", "bool"), "json"),
        (("int", "json"), "json"),
        (("json", "string"), "string"),
        (("int", "string"), "string"),
        (("int32", "int32"), "int32"),
        (("int32", "null"), "int32"),
        (("int32", "int16"), "int"),
        (("int32", "int"), "int"),
        (("float32", "int8"), "float"),
        (("uint64", "uint64"), "uint64"),
        (("uint64", "int"), "json"),
        (("timestamp[us]", "timestamp[ms]"), "string"),
        (("date32[day]", "int"), "string"),
        (("decimal128(10, 2)", "float"), "string"),
        (('["int"]', '["int"]', "null"), '["int"]'),
        (('["int"]', '["null"]', '["float"]'), '["float"]'),
        (('["int"]', '["string"]'), "json"),
        (('["int"]', "int"), "json"),
        (('{"a":"int"}', '{"a":"null"}'), '{"a":"int"}'),
        (('{"a":"int"}', '{"a":"int","b":"int"}'), "json"),
        (('{"a":"int","b":"int"}', '{"b":"int","a":"int"}'), "json"),
        (('{"a":"int"}', '["int"]'), "json"),
        (('{"a":"int"}', "string"), "string"),
    ],
)
def test_unify(types: tuple[str, ...], expected: str) -> None:
    assert {unify(*order) for order in permutations(types)} == {expected}


@given(st.lists(st.sampled_from(TYPES), max_size=5), st.randoms())
def test_unify_depends_on_neither_order_nor_grouping(types: list[str], random: Any) -> None:
    expected = unify(*types)
    shuffled = random.sample(types, len(types))
    cut = random.randint(0, len(types))
    assert unify(unify(*shuffled[:cut]), unify(*shuffled[cut:])) == expected
    assert unify(expected, *types) == expected


@given(st.lists(VALUES, max_size=6), st.sampled_from(TYPES))
def test_any_json_value_can_be_stored_under_any_type(values: list[Any], text: str) -> None:
    array = to_arrow(values, text)
    assert array.type == arrow_type(text)
    assert len(array) == len(values)


@given(VALUES, VALUES)
def test_what_a_type_holds_changes_nothing_of_it(one: Any, other: Any) -> None:
    kind = type_of_value(one)
    if isinstance(other, (list, dict)) and takes(kind, other):
        assert unify(kind, type_of_value(other)) == kind
    if isinstance(one, (list, dict)):
        assert takes(kind, one) or "null" in kind or "float" in kind


@given(st.lists(VALUES, max_size=6))
def test_values_come_back_whole_under_the_type_they_need(values: list[Any]) -> None:
    kind = unify(*map(type_of_value, values))
    for value, stored in zip(values, to_arrow(values, kind).to_pylist(), strict=True):
        if value is None:
            assert stored is None
        elif kind == "json" or (kind == "string" and not isinstance(value, str)):
            assert orjson.loads(stored) == value
        elif "float" in kind:  # whole numbers beside others too, in lists and structs as well
            assert _as_floats(stored) == _as_floats(value)
        else:
            assert stored == value  # of lists and structs too


def _as_floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_floats(item) for item in value]
    if isinstance(value, dict):
        return {name: _as_floats(item) for name, item in value.items()}
    return float(value) if type(value) is int else value


@pytest.mark.parametrize("text", [text for text in TYPES if text[0] not in "[{"])
def test_every_type_of_one_value_can_become_text(text: str) -> None:
    samples = {"bool": True, "date32[day]": "2024-02-29", "time64[us]": "12:30:00"}
    sample = "2024-02-29T12:00:00+00:00" if "tz=" in text else "2024-02-29T12:00:00" if "timestamp" in text else "1000"
    value = samples.get(text, 100 if "int" in text else 0.5 if "float" in text else sample)
    array = to_arrow([value, None], text)
    assert array.null_count == 1
    assert array.cast(pa.string()).null_count == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, None, 2], '["int"]'),
        ([1, 2.5], '["float"]'),
        ([1, "a"], "json"),
        ([], '["null"]'),
        ({}, "json"),
        ({"a": {"b": [True]}, "c": None}, '{"a":{"b":["bool"]},"c":"null"}'),
        ([{"a": 1}, {"b": 1}], "json"),
        ({"a": 1, "A": 2}, "json"),
        ({"": 1}, "json"),
        ({"wei": 2**70}, '{"wei":"string"}'),
        ([2**63], "json"),
        ({f"key{n}": n for n in range(1000)}, "json"),
    ],
)
def test_types_of_nested_values(value: Any, expected: str) -> None:
    assert type_of_value(value) == expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("int", "int", True),
        ("int", "int32", True),
        ("float32", "float", True),
        ("null", "string", True),
        ('["int"]', '["int32"]', True),
        ('["int"]', '["null"]', True),
        ("int", "float", False),
        ("int", "string", False),
        ("json", "string", False),
        ("timestamp[us]", "timestamp[ms]", False),
        ("date32[day]", "string", False),
        ('["int"]', '["string"]', False),
        ('["int"]', "json", False),
    ],
)
def test_types_of_datasets_that_share_a_column(a: str, b: str, expected: bool) -> None:
    assert go_together(a, b) is go_together(b, a) is expected


BERLIN = "Europe/Berlin"
NATIVE = [
    (pa.int8(), [-128, 127, None]),
    (pa.uint64(), [2**64 - 1, 0]),
    (pa.float32(), [0.1, -1e30]),
    (pa.float16(), [0.5]),
    (pa.date32(), [datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
    (pa.date64(), [datetime.date(2024, 2, 29)]),
    (pa.time32("s"), [datetime.time(23, 59, 59)]),
    (pa.time64("us"), [datetime.time(23, 59, 59, 999999)]),
    (pa.timestamp("s"), [datetime.datetime(1890, 1, 1)]),
    (pa.timestamp("us"), [datetime.datetime(2024, 2, 29, 12, 0, 0, 1)]),
    (pa.timestamp("ns"), [pd.Timestamp("2024-02-29T12:00:00.123456789")]),
    (pa.timestamp("us", tz=BERLIN), [datetime.datetime(1890, 1, 1, tzinfo=datetime.UTC)]),
    (pa.timestamp("ns", tz="UTC"), [pd.Timestamp("2024-02-29T12:00:00.123456789", tz="UTC")]),
    (pa.decimal128(38, 10), [Decimal("1234567890123456789.0123456789"), Decimal("-1E-10")]),
    (pa.dictionary(pa.int32(), pa.string()), ["a", "b", "a"]),
    (pa.large_string(), ["a"]),
    (pa.list_(pa.float32()), [[0.5, None], None, []]),
    (
        pa.list_(pa.struct([("at", pa.timestamp("us")), ("day", pa.date32())])),
        [[{"at": datetime.datetime(2024, 2, 29), "day": None}]],
    ),
    (pa.struct([("a", pa.decimal128(10, 2)), ("b", pa.list_(pa.string()))]), [{"a": Decimal("1.10"), "b": ["x"]}, None]),
]


@pytest.mark.parametrize(("kind", "values"), NATIVE, ids=lambda value: str(value) if isinstance(value, pa.DataType) else "")
def test_parquet_values_come_back_in_their_own_type(kind: pa.DataType, values: list[Any]) -> None:
    column = pa.array(values, kind)
    rows = [orjson.loads(to_json({"x": value}))["x"] for value in column.to_pylist()]
    stored = to_arrow(rows, type_of_arrow(kind))
    assert stored.equals(column.cast(stored.type))
    assert stored.null_count == column.null_count


def test_what_json_cannot_say_becomes_text_or_null() -> None:
    values = {
        "bytes": b"\xff\x00",
        "span": datetime.timedelta(seconds=90),
        "nan": float("nan"),
        "number": Decimal("1.10"),
        1: (1, 2),
    }
    assert orjson.loads(to_json(values)) == {"bytes": "/wA=", "span": "0:01:30", "nan": None, "number": "1.10", "1": [1, 2]}


def test_whole_numbers_beyond_64_bits_are_kept_as_their_digits() -> None:
    row = orjson.loads(to_json({"wei": 10**30, "tx": {"value": [2**64, 2**64 - 1]}, "n": 1}))
    assert row == {"wei": str(10**30), "tx": {"value": [str(2**64), 2**64 - 1]}, "n": 1}
    kind = unify(type_of_value(10**30), type_of_value(7))
    assert to_arrow([row["wei"], 7], kind).to_pylist() == [str(10**30), "7"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.list_(pa.int32()), '["int32"]'),
        (pa.list_(pa.float32(), 4), '["float32"]'),
        (pa.large_list(pa.struct([("a", pa.string()), ("b", pa.date32())])), '[{"a":"string","b":"date32[day]"}]'),
        (pa.struct([("a", pa.string())]), '{"a":"string"}'),
        (pa.struct([("a", pa.string()), ("A", pa.string())]), "json"),
        (pa.list_(pa.map_(pa.string(), pa.int32())), "json"),
        (pa.map_(pa.string(), pa.int32()), "json"),
        (pa.binary(), "string"),
        (pa.duration("s"), "string"),
        (pa.null(), "null"),
        (pa.bool_(), "bool"),
        (pa.int64(), "int"),
        (pa.float64(), "float"),
    ],
)
def test_types_of_parquet_columns(kind: pa.DataType, expected: str) -> None:
    assert type_of_arrow(kind) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (pa.list_view(pa.int64()), '["int"]'),
        (pa.large_list_view(pa.string()), '["string"]'),
        (pa.sparse_union([pa.field("a", pa.int64())]), "json"),
    ],
)
def test_the_types_of_rarer_arrow_columns(kind: pa.DataType, text: str) -> None:
    assert type_of_arrow(kind) == text
