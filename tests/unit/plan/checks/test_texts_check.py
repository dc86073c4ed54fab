"""Texts of the files that a template takes for numbers, truth values or objects."""

from pathlib import Path

import pytest

from campaign.plan.checks.template_check import template_notes
from support.one_dataset import one_dataset

TABLE = """id,a,b,ok,j,word
1,1,2,True,"{""k"": 1}",one
2,3,4,False,[1],two
"""
ROWS = '{"id": 1, "a": 1, "b": 2, "ok": true, "j": {"k": 1}, "word": "1"}\n'


def told(template: str, name: str = "in.csv") -> list[str]:
    config = one_dataset({"in.csv": TABLE, "in.jsonl": ROWS}, files=name, prompt=template + "{{ id }}")
    return [str(note).removeprefix("datasets.d.prompt: ") for note in template_notes(config)]


@pytest.mark.parametrize(
    ("template", "note"),
    [
        ("{{ a + b }}", "a + b puts texts one behind the other, as '12' of the first row; write a | float + b | float; where that is meant, ~ in place of +"),
        ("{{ 3 * row['a'] }}", "a * 3 repeats a text, as '111' of the first row; write a | float * 3"),
        ("{% if ok is true %}x{% endif %}", "ok is true is never true of a text, such as 'True'; compare the text: ok == 'True'"),
        ("{{ 'x' if a is number else 'y' }}", "a is number is never true of a text, such as '1'; write a | float"),
        ("{{ j | tojson }}", "j | tojson puts quotes around a text that is JSON already, such as '{\"k\": 1}'; write j, or j | fromjson | tojson"),
    ],
)  # fmt: skip
def test_texts_that_are_taken_for_something_else_are_told(in_tmp: Path, template: str, note: str) -> None:
    assert told(template) == [note]
    assert told(template, "in.jsonl") == []


@pytest.mark.parametrize(
    "template",
    [
        "{{ a | float + b | float }} {{ a | int * 2 }}",
        "{{ word + a }} {{ word * 2 }} {{ a ~ b }}",
        "{{ 'x' if ok is true or ok == 'True' else 'y' }}",
        "{{ a if a is number else a | float }}",
        "{{ word | tojson }} {{ j | fromjson | tojson }}",
        "{{ word is number }} {{ word is true }}",
        "{% set a = 2 %}{{ a + a }} {{ a * 2 }}",
    ],
)
def test_what_works_on_texts_is_not_told(in_tmp: Path, template: str) -> None:
    assert told(template) == []
