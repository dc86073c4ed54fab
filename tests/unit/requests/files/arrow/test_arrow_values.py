"""Values of parquet columns as they are meant, in prompts and in the responses."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.requests.columns.column_types import to_arrow
from campaign.requests.files.arrow.arrow_values import plain_rows

from ...conftest import Trial


def values(column: pa.Array) -> list[Any]:
    return [row["x"] for row in plain_rows(pa.RecordBatch.from_arrays([column], names=["x"]))]


@pytest.mark.parametrize(
    ("kind", "written", "read"),
    [
        (pa.float32(), [0.1, None, -3.4e38, float("inf")], [0.1, None, -3.4e38, float("inf")]),
        (pa.float16(), [0.1, None, 65504.0, -0.3], [0.1, None, 65504.0, -0.3]),
        (pa.list_(pa.float32()), [[0.1, None], None, []], [[0.1, None], None, []]),
        (pa.list_(pa.float32(), 2), [[0.1, 0.2]], [[0.1, 0.2]]),
        (pa.large_list(pa.list_(pa.float32())), [[[0.7]]], [[[0.7]]]),
        (pa.struct([("a", pa.float32()), ("b", pa.string())]), [{"a": 0.3, "b": "x"}, None], [{"a": 0.3, "b": "x"}, None]),
        (pa.map_(pa.string(), pa.float32()), [[("k", 0.5)]], [[("k", 0.5)]]),
        (pa.binary(), [b"hello", "Gr\u00fc\u00dfe".encode(), None, b""], ["hello", "Gr\u00fc\u00dfe", None, ""]),
        (pa.large_binary(), [b"a\n\tb"], ["a\n\tb"]),
        (pa.list_(pa.struct([("t", pa.binary())])), [[{"t": b"hi"}], None], [[{"t": "hi"}], None]),
        (pa.map_(pa.binary(), pa.int32()), [[(b"k", 1)]], [[("k", 1)]]),
        (pa.binary(), [b"\x89PNG\r\n", b"a\x00b", b"\xff"], [b"\x89PNG\r\n", b"a\x00b", b"\xff"]),
        (pa.binary(4), [b"abcd"], [b"abcd"]),
        (pa.int64(), [1, None], [1, None]),
    ],
)
def test_values(kind: pa.DataType, written: list[Any], read: list[Any]) -> None:
    assert values(pa.array(written, kind)) == read


@given(st.lists(st.floats(width=32, allow_nan=False) | st.none()))
def test_floats_of_32_bits_come_back_the_same(numbers: list[float | None]) -> None:
    column = pa.array(numbers, pa.float32())
    assert to_arrow(values(column), "float32").equals(column)


def test_prompts_and_columns_of_a_file(trial: Trial) -> None:
    """Texts as Impala writes them were `b'hello'` in prompts and base64 in the responses."""
    pq.write_table(
        pa.table({"id": [b"one"], "word": [b"hello"], "score": pa.array([0.1], pa.float32())}), trial.root / "a.parquet"
    )
    trial.prepare("a.parquet", id="id", prompt="Say {{ word }} {{ score }}")
    (row,) = trial.rows()
    assert row["row_id"] == "one"
    assert row["body"]["messages"][0]["content"] == "Say hello 0.1"
    assert row["columns"] == {"id": "one", "word": "hello", "score": 0.1}


def test_bytes_that_are_no_text_are_refused_in_a_prompt(trial: Trial) -> None:
    pq.write_table(pa.table({"word": [b"\x89PNG"]}), trial.root / "a.parquet")
    assert trial.refusal("a.parquet") == [
        "a.parquet row 1: the template prints bytes that are no text in UTF-8; write the column as text"
    ]


def test_a_nan_in_a_prompt_is_told_like_a_null(trial: Trial) -> None:
    pq.write_table(pa.table({"id": [1, 2], "score": [0.5, float("nan")]}), trial.root / "a.parquet")
    (problem,) = trial.refusal("a.parquet", prompt="Score {{ score }}")
    assert problem.startswith("a.parquet row 2: the template prints a NaN, which is no number (empty here: score)")
    trial.prepare("a.parquet", prompt="Score {{ score if score is not none else '' }}")
    assert [row["body"]["messages"][0]["content"] for row in trial.rows()] == ["Score 0.5", "Score "]
