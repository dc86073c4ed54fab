"""Functions that templates do not have: what is said of them, and that what is said works."""

import re
from typing import Any

import pytest

from campaign.requests.dataset_check import check_dataset
from campaign.requests.templates.environment import GLOBALS
from campaign.requests.templates.functions import _INSTEAD, missing_function
from campaign.requests.templates.template import RowTemplate, TemplateProblem

from ..conftest import Trial

COLUMNS: dict[str, Any] = {"x": "1", "xs": ["b", "a"], "ys": ["c", "d"]}
UNKNOWN = (
    "templates have no function 'frobnicate'; there are cycler, dict, joiner, namespace, range, and filters such as x | length"
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "{% for x, y in zip(xs, ys) %}{{ x }}{% endfor %}",
            "templates have no function 'zip'; take the other list by its number: {% for x in xs %}{{ x }} {{ ys[loop.index0] }}{% endfor %}",
        ),
        (
            "{{ now() }}",
            "templates have no function 'now'; "
            "a row's prompt is the same on every day: write the date into the template, or into a column",
        ),
        ("{{ upper(x) }}", "templates have no function 'upper'; the filter is x | upper"),
        ("{{ frobnicate(x) }}", UNKNOWN),
        (
            "{{ wrod }}{{ zip(x) }}",
            "there is no column 'wrod'; known: x, xs, ys; nor is there 'zip'; for one that only some rows have",
        ),
    ],
)
def test_a_function_that_is_not_there_is_told_as_that(source: str, expected: str) -> None:
    with pytest.raises(TemplateProblem) as caught:
        RowTemplate(source).render(COLUMNS)
    assert str(caught.value).startswith(expected)
    assert "default('')" not in str(caught.value) or "wrod" in source


def test_a_column_whose_name_looks_like_a_call_is_a_column() -> None:
    with pytest.raises(TemplateProblem, match=r"in a template the column 'price\(usd\)' is row"):
        RowTemplate("{{ price(usd) }}").render({"price(usd)": 1})


@pytest.mark.parametrize("name", _INSTEAD)
def test_what_is_said_works(name: str) -> None:
    """The template in the remedy, or its expressions."""
    assert name not in GLOBALS
    text = missing_function(name).partition("; ")[2]
    written = re.findall(r"xs? \| \w+(?: \| first is (?:not )?defined)?|x is \w+", text)
    for expression in [] if "{" in text or "(...)" in text else written:
        RowTemplate(f"{{{{ {expression} }}}}").render(COLUMNS)
    RowTemplate(text).render(COLUMNS)


def test_files_with_fixed_columns_and_without_tell_the_same(trial: Trial) -> None:
    trial.write("a.csv", "x\na\n")
    trial.lines("a.jsonl", {"x": "a"})
    places = {"a.csv": "a.csv", "a.jsonl": "a.jsonl:1"}
    for name, place in places.items():
        assert check_dataset(trial.config(name, prompt="{{ frobnicate(x) }}"), "d") == [
            f"datasets.d.prompt: {place}: {UNKNOWN}"
        ]


@pytest.mark.parametrize("name", ["json", "re", "math"])
def test_a_module_of_python_is_told_as_a_function(name: str) -> None:
    with pytest.raises(TemplateProblem, match=f"templates have no function '{name}'; "):
        RowTemplate(f"{{{{ {name}.loads(x) }}}}").render(COLUMNS)
    assert RowTemplate(f"{{{{ {name}.of }}}}").render({name: {"of": "a column"}}) == "a column"
