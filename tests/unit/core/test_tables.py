"""Names of the datasets' own columns."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.core.tables import RESPONSES, passthrough_names


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["word", "gold"], ["word", "gold"]),
        (["text", "Text", "TEXT"], ["input_text", "input_input_Text", "input_input_input_TEXT"]),
        (["Name", "name"], ["Name", "input_name"]),
        (["Model", "DataSet"], ["input_Model", "input_DataSet"]),
        (["text", "Input_Text"], ["input_input_text", "Input_Text"]),
        (["", "Unnamed"], ["input_unnamed", "Unnamed"]),
    ],
)
def test_names_are_unique_without_case(sources: list[str], names: list[str]) -> None:
    assert passthrough_names(sources) == dict(zip(sources, names, strict=True))


def test_duckdb_reads_every_column_under_its_name(in_tmp: object) -> None:
    sources = ["Text", "word", "WORD", "Status"]
    names = [*RESPONSES.names, *passthrough_names(sources).values()]
    pq.write_table(pa.table({name: [1] for name in names}), "a.parquet")
    assert duckdb.sql("FROM 'a.parquet'").columns == names


def test_the_column_answer_is_taken_where_the_campaign_has_it() -> None:
    assert passthrough_names(["Answer"]) == {"Answer": "Answer"}
    assert passthrough_names(["Answer"], ["answer"]) == {"Answer": "input_Answer"}
