"""Conditions that go by values of another type than the files have."""

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.plan.checks.template_check import template_notes
from campaign.requests.dataset_check import check_dataset
from support.one_dataset import one_dataset

TABLE = "id,stars,urgent,smokes,note,tags\n1,5,True,1,no,['a']\n2,3,False,0,some words,[]\n"
ROWS = '{"id": 1, "stars": 5, "urgent": true, "of": {"label": 1}}\n{"id": 2, "stars": 3, "urgent": false, "of": {"label": 0}}\n'


def told(template: str, name: str = "in.csv") -> list[str]:
    config = one_dataset({"in.csv": TABLE, "in.jsonl": ROWS}, files=name, prompt=template + "{{ id }}")
    assert check_dataset(config, "d") == []
    return [str(note).removeprefix("datasets.d.prompt: ") for note in template_notes(config)]


@pytest.mark.parametrize(
    ("template", "note"),
    [
        ("{% if stars == 5 %}a{% endif %}", "stars is compared with 5, and is a text in the files, such as '5': they are never equal; write stars | int, or 5 in quotes"),
        ("{{ 'a' if stars in [4, 5] else 'b' }}", "stars is compared with 4, and is a text in the files, such as '5': they are never equal; write stars | int, or 4 in quotes"),
        ("{{ 'a' if row['urgent'] == true else 'b' }}", "urgent is compared with true, and is a text in the files, such as 'True': they are never equal; compare it with the text, as in urgent == 'True'"),
        ("{% if urgent %}a{% endif %}", "urgent decides, and its text 'False' counts as true, as every text that is not empty does; write urgent == 'True'"),
        ("{% if note and not smokes %}a{% endif %}", "smokes decides, and its text '0' counts as true, as every text that is not empty does; write smokes == '1'"),
    ],
)  # fmt: skip
def test_values_of_a_csv_file_are_texts(in_tmp: Path, template: str, note: str) -> None:
    assert told(template) == [note]


@pytest.mark.parametrize("template", ["{{ tags | join(', ') }}", "{% for tag in tags %}{{ tag }}{% endfor %}"])
def test_a_list_that_is_a_text_is_no_list(in_tmp: Path, template: str) -> None:
    (said,) = told(template)
    assert said.startswith("tags is a text in the files, such as \"['a']\", and is taken apart into its characters; ")


def test_a_number_in_braces_is_told(in_tmp: Path) -> None:
    assert told(r"\frac{{1}}{{id}}") == [
        "{{1}} prints 1 without its braces; to send braces write them once, or {{ '{{1}}' }} for both"
    ]


def test_a_number_is_no_text_either(in_tmp: Path) -> None:
    assert told("{{ 'a' if of.label == '1' else 'b' }}", "in.jsonl") == [
        "of.label is compared with the text '1', and is 1 and the like in the files: they are never equal; write it without quotes"
    ]


def test_a_date_is_no_text(in_tmp: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2], "d": [datetime.date(2024, 2, 29), datetime.date(2024, 3, 1)]}), "in.parquet")
    assert told("{{ 'a' if d == '2024-02-29' else 'b' }}", "in.parquet") == [
        "d is compared with the text '2024-02-29', and is a date in the files: they are never equal; write d | string"
    ]
    assert told("{{ 'a' if d | string == '2024-02-29' else 'b' }}", "in.parquet") == []


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{% if stars == '5' or stars | int == 3 %}a{% endif %}", "in.csv"),
        ("{% if stars == 5 or stars == '5' %}a{% endif %}", "in.csv"),  # ready for both
        ("{% if note %}{{ note }}{% endif %}", "in.csv"),  # a "no" among other words
        ("{% if smokes %}smokes: {{ smokes }}{% endif %}", "in.csv"),  # asks whether it is there
        ("{% if urgent == 'True' %}a{% endif %}", "in.csv"),
        ("{% for letter in note %}{{ letter }}-{% endfor %}{{ note | join('-') }}", "in.csv"),  # spells it
        ("{{ '{{1}}' }}", "in.csv"),
        ("{% if urgent and stars == 5 %}a{% endif %}", "in.jsonl"),
        ("{% set n = 5 %}{% if n == 5 %}a{% endif %}", "in.csv"),
        ("{% if nothing | default(0) == 5 %}a{% endif %}", "in.jsonl"),
    ],
)
def test_what_is_meant_is_not_told(in_tmp: Path, template: str, name: str) -> None:
    assert told(template, name) == []
