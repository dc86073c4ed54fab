"""Functions that templates do not have: what is said of them, and that what is said works."""

import re
from typing import Any

import pytest

from campaign.requests.dataset_check import check_dataset
from campaign.requests.templates.environment import GLOBALS
from campaign.requests.templates.functions import _INSTEAD, _OTHER_FILTERS, _OTHER_TESTS, missing_function
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


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "{% if x == 'rare' %}{{ x | uper }}{% endif %}",
            "is not a Jinja2 template: there is no filter 'uper' (line 1); did you mean 'upper'?",
        ),
        (
            "{{ 'a' if x is match('a') else 'b' }}",
            "is not a Jinja2 template: there is no test 'match' (line 1); write 'a' in x, or x.startswith('a')",
        ),
        (
            "{{ xs | random }}",
            "is not a Jinja2 template: there is no filter 'random' (line 1); a row's prompt is the same in every run: draw it",
        ),
        ("{{ x | from_json }}", "is not a Jinja2 template: there is no filter 'from_json' (line 1); it is x | fromjson"),
    ],
)
def test_a_filter_or_test_that_is_not_there_is_told_wherever_it_stands(source: str, problem: str) -> None:
    """Jinja itself tells of one behind a condition only where a row leads there."""
    with pytest.raises(TemplateProblem) as caught:
        RowTemplate(source)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("text", [*_OTHER_FILTERS.values(), *_OTHER_TESTS.values()])
def test_what_is_said_in_place_of_other_programs_filters_works(text: str) -> None:
    for expression in re.findall(r"xs? \| \w+|x is \w+(?: and x is not \w+)?|x\.\w+\('.+?'\)|'a' in x|x == '\w*'|not x", text):
        RowTemplate(f"{{{{ {expression} }}}}").render({"x": '"1"'})
