"""Templates over a row: what they can reach, and what is said when they cannot."""

from typing import Any

import pytest

from campaign.requests.template import RowTemplate, TemplateProblem, missing_column


def problem(source: str, **values: Any) -> str:
    with pytest.raises(TemplateProblem) as caught:
        RowTemplate(source).render(values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("Say {{ word }}\n", {"word": "<&>"}, "Say <&>\n"),
        ("{{ person.name }} {{ items[0] }}", {"person": {"name": "Ada"}, "items": [1, 2]}, "Ada 1"),
        ("{{ row['First name'] }}", {"First name": "Ada"}, "Ada"),
        ("{{ row }}", {"row": "a column"}, "a column"),
        ("{% for n in range(count) %}{{ n }},{% endfor %}", {"count": 3}, "0,1,2,"),
        ("{% set n = a + 1 %}{{ n }}", {"a": 1}, "2"),
        ("{% if note is defined %}{{ note }}{% else %}-{% endif %}", {}, "-"),
        ("{{ note | default('none') }}", {}, "none"),
        ("{{ note or '' }}|{{ n }}", {"note": None, "n": 0}, "|0"),
        ("You are brief.\n\n", {"unused": 1}, "You are brief.\n\n"),
        ("{{ a }}", {"a": "{{ b }}"}, "{{ b }}"),
    ],
)
def test_rendering(source: str, values: dict[str, Any], expected: str) -> None:
    assert RowTemplate(source).render(values) == expected


def test_one_row_leaves_nothing_for_the_next() -> None:
    template = RowTemplate("{{ a }}{% if b is defined %}{{ b }}{% endif %}")
    assert [template.render(values) for values in ({"a": 1, "b": 2}, {"a": 3})] == ["12", "3"]


def test_an_undefined_column_is_named_with_the_nearest_one() -> None:
    assert problem("{{ wrod }}", word=1, other=2) == "there is no column 'wrod'; did you mean 'word'?"
    assert problem("{{ x }}", word=1, other=2) == "there is no column 'x'; known: word, other"


def test_an_undefined_field_is_named_with_the_nearest_one() -> None:
    assert "there is no field 'nmae'; did you mean 'name'?" in problem("{{ person.nmae }}", person={"name": "Ada"})
    assert "there is no field 'Fist name'; did you mean 'First name'?" in problem("{{ row['Fist name'] }}", **{"First name": 1})


def test_a_null_is_refused_where_it_would_be_printed() -> None:
    text = problem("{{ a }}{{ b }}", a=1, b=None, c=None)
    assert text == "the template prints a null (null here: b, c); fill it, or write {{ column or '' }}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ items[7] }}", "has no element 7"),
        ("{{ 1 / zero }}", "division by zero"),
        ("{{ word + 1 }}", "the template fails on this row"),
        ("{{ word.__class__.__mro__ }}", "unsafe"),
        ("{{ items.append(1) }}", "of 'list' object is unsafe"),
        ("{% include 'other' %}{{ word }}", "the template fails on this row"),
        ("{{ range(1000000000) | list }}{{ word }}", "the template fails on this row"),
    ],
)
def test_failures_on_a_row_are_sentences(source: str, expected: str) -> None:
    assert expected in problem(source, items=[1], zero=0, word="w")


@pytest.mark.parametrize("source", ["{{ word", "{% if %}", "{{ word | nofilter }}", "{{ items | random }}"])
def test_what_is_no_template_is_refused_with_its_line(source: str) -> None:
    with pytest.raises(TemplateProblem, match=r"is not a Jinja2 template: .* \(line 2\)"):
        RowTemplate("first line\n" + source)


def test_nothing_random_can_enter_a_prompt() -> None:
    assert "there is no column 'lipsum'" in problem("{{ lipsum() }}")


@pytest.mark.parametrize(
    ("source", "required"),
    [
        ("{{ a }}{% if b %}{{ c.d }}{% endif %}", {"a", "b", "c"}),
        ("{{ a | default('') }}{% if b is defined %}{{ b }}{% endif %}{{ row['c'] }}{{ range(3) }}", set()),
        ("{% for x in xs %}{{ x }}{% endfor %}{% set y = 1 %}{{ y }}", {"xs"}),
    ],
)
def test_columns_a_template_needs(source: str, required: set[str]) -> None:
    assert RowTemplate(source).required == required


def test_a_long_list_of_columns_is_cut() -> None:
    assert missing_column("x", [f"column{n}" for n in range(30)]).endswith("column19 and 10 more")
