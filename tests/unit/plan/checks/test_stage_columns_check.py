"""Conditions of stages by columns of the prompt files, whose types the files have."""

from pathlib import Path

import pytest

from campaign.config import validate
from campaign.plan.checks.stage_columns_check import stage_column_notes


def told(name: str, **stage: str) -> list[str]:
    Path("in.csv").write_text("id,stars,text\nq1,5,a\nq2,3,b\n")
    Path("in.jsonl").write_text('{"id": "q1", "stars": 5, "text": "a"}\n')
    datasets = {
        "drafts": {"files": name, "id": "id", "prompt": "{{ text }}", "models": ["m"]},
        "judged": {"from": "drafts", "prompt": "{{ text }}", "models": ["m"]},
        "last": {"from": "judged", "prompt": "{{ text }}", "models": ["m"], **stage},
    }
    config = validate({"campaign": "c", "models": {"m": {"source": "model"}}, "datasets": datasets})
    return [str(note) for note in stage_column_notes(config)]


@pytest.mark.parametrize(
    ("stage", "note"),
    [
        (
            {"where": "stars > 3"},
            "where: stars is compared with 3, and is a text in the files, such as '5': rows fail; write stars | int",
        ),
        (
            {"where": "stars == 3"},
            "where: stars is compared with 3, and is a text in the files, such as '5': they are never equal; "
            "write stars | int, or 3 in quotes",
        ),
        (
            {"prompt": "{{ 'a' if input_text == 3 else 'b' }}"},
            "prompt: input_text is compared with 3, and is a text in the files, such as 'a': they are never equal; "
            "write input_text | int, or 3 in quotes",
        ),
    ],
)
def test_columns_of_a_csv_file_are_texts_in_stages_too(stage: dict[str, str], note: str, in_tmp: Path) -> None:
    assert told("in.csv", **stage) == [f"datasets.last.{note}"]


def test_what_goes_by_the_type_of_the_files_is_not_told(in_tmp: Path) -> None:
    assert told("in.csv", where="stars | int > 3 and stars != '5' and text == 'b'") == []
    assert told("in.jsonl", where="stars > 3 or stars == 3") == []
