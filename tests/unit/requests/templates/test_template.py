"""Templates over a row: what they can reach, and what is said when they cannot."""

from typing import Any

import pytest

from campaign.requests.templates.template import RowTemplate, TemplateProblem, missing_column


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
        ("{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice(a) }}", {"a": [1, "b"]}, '[1, "b"][1, "b"]'),
    ],
)
def test_rendering(source: str, values: dict[str, Any], expected: str) -> None:
    assert RowTemplate(source).render(values) == expected


def test_one_row_leaves_nothing_for_the_next() -> None:
    template = RowTemplate("{{ a }}{% if b is defined %}{{ b }}{% endif %}")
    assert [template.render(values) for values in ({"a": 1, "b": 2}, {"a": 3})] == ["12", "3"]


def test_an_undefined_column_is_named_with_the_nearest_one() -> None:
    assert problem("{{ wrod }}", word=1, other=2) == "there is no column 'wrod'; did you mean 'word'?"
    assert problem("{{ x }}", word=1, other=2) == (
        "there is no column 'x'; known: word, other; for one that only some rows have: x | default('')"
    )


def test_an_undefined_field_is_named_with_the_nearest_one() -> None:
    assert "there is no field 'nmae'; did you mean 'name'?" in problem("{{ person.nmae }}", person={"name": "Ada"})
    assert "there is no field 'Fist name'; did you mean 'First name'?" in problem("{{ row['Fist name'] }}", **{"First name": 1})


ORDER = {"items": "2 apples", "copy": "hi", "values": 3, "keys": [], "get": None}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ order.items }} {{ order['copy'] }} {{ order.values }} {{ order.keys }}", "2 apples hi 3 []"),
        ("{% for name, value in order.items() %}{{ name }} {% endfor %}", "items copy values keys get "),
        ("{{ order.get('values') }} {{ order.values() | list | length }}", "3 5"),
        ("{{ orders | map(attribute='items') | join(', ') }}", "2 apples"),
        ("{{ orders | selectattr('items') | map(attribute='copy') | first }}", "hi"),
        ("{% if order.pop is defined %}has{% else %}has none{% endif %}", "has none"),
        ("{{ '{0.items} {0[copy]}'.format(order) }}", "2 apples hi"),
    ],
)
def test_an_item_of_the_data_goes_before_a_method(source: str, expected: str) -> None:
    assert RowTemplate(source).render({"order": ORDER, "orders": [ORDER]}) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ order.clear }}", "there is no field 'clear'; known: items, copy"),
        ("{{ order['update'] }}", "there is no field 'update'; known: items, copy"),
        ("{{ words.count }}", "there is no field 'count', only a method of list that count() calls"),
        ("{{ words[0].upper }}", "there is no field 'upper', only a method of str that upper() calls"),
        ("{{ joiner }}", "prints a type of the template language, which is no data"),
        ("{% for word in words %}{{ loop }}{% endfor %}", "prints a LoopContext of the template language"),
        ("{{ 'a' ~ cycler('a') }}", "prints a Cycler of the template language"),
        ("{{ picture }}", "prints bytes that are no text in UTF-8; write the column as text"),
        ("{{ deep }}", "nested too deep to be printed"),
    ],
)
def test_what_is_no_data_is_not_printed(source: str, expected: str) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert expected in problem(source, order=ORDER, words=["a"], picture=b"\x89PNG", deep=deep)


SPECIAL = ["self", "loop", "range", "dict", "lipsum", "cycler", "joiner", "namespace", "row", "caller", "super", "varargs"]


@pytest.mark.parametrize("name", SPECIAL)
def test_names_of_the_template_language_are_columns_where_the_file_has_them(name: str) -> None:
    template = RowTemplate(f"{{{{ {name} }}}}")
    assert [template.render({name: value}) for value in ("one", "two")] == ["one", "two"]
    assert RowTemplate(f"{{% for x in [1] %}}{{{{ row['{name}'] }}}}{{% endfor %}}").render(
        {name: {name: 1}} if name == "row" else {name: 1}
    )


def test_names_of_the_template_language_keep_their_meaning_elsewhere() -> None:
    assert (
        RowTemplate("{% block b %}x{% endblock %}{{ self.b() }}{% for n in range(2) %}{{ loop.index }}{% endfor %}").render({})
        == "xx12"
    )
    assert "there is no column 'self'" in problem("{{ self }}", word=1)


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        (
            "{{ a }}{{ b }}",
            {"a": 1, "b": None, "c": None},
            "prints a null (empty here: b); fill it, or write {{ b if b is not none else '' }}",
        ),
        (
            "{{ s }}",
            {"s": float("nan")},
            "prints a NaN, which is no number (empty here: s); fill it, or write {{ s if s is not none",
        ),
        ("{{ row['a b'] }}", {"a b": None}, 'write {{ row["a b"] if row["a b"] is not none else \'\' }}'),
        ("{{ p.name }}", {"p": {"name": None}}, "prints a null of a list or an object; write {{ x if x is not none else '' }}"),
        ("{{ xs | join }}", {"xs": [1, None]}, "{{ xs | reject('none') | join(', ') }}"),
        ("{{ 'a' ~ b }}", {"b": None}, "prints a null (empty here: b)"),
        ("{{ '%s' | format(b) }}", {"b": None}, "prints a null"),
        ("{{ '%(b)s' % row }}", {"b": None}, "prints a null"),
        ("{{ '{}'.format(b) }}", {"b": None}, "prints a null"),
        ("{{ b | upper }}", {"b": None}, "prints a null"),
    ],
)
def test_a_null_is_refused_where_it_would_be_printed(source: str, values: dict[str, Any], expected: str) -> None:
    assert expected in problem(source, **values)


@pytest.mark.parametrize("empty", [None, float("nan")])
def test_the_remedy_for_nulls_deletes_nothing(empty: Any) -> None:
    template = RowTemplate("{{ x if x is not none else '' }}")
    values = (empty, 0, False, "", 0.0, [])
    assert [template.render({"x": value}) for value in values] == ["", "0", "false", "", "0.0", "[]"]
    assert RowTemplate("{{ xs | reject('none') | join(', ') }}").render({"xs": [0, empty, "a"]}) == "0, a"


@pytest.mark.parametrize(
    ("source", "column", "expected"),
    [
        ("{{ Q1.2 }}", "Q1.2", "there is no column 'Q1'; in a template the column 'Q1.2' is row[\"Q1.2\"]"),
        (
            "{{ first-name }}",
            "first-name",
            "there is no column 'first'; in a template the column 'first-name' is row[\"first-name\"]",
        ),
    ],
)
def test_a_column_that_is_no_plain_word_is_told_with_how_to_reach_it(source: str, column: str, expected: str) -> None:
    assert problem(source, **{column: "x"}) == expected


@pytest.mark.parametrize("name", ["my col", "2nd", "not", "a: b", "$x", "p@q"])
def test_what_jinja_cannot_read_may_be_a_column(name: str) -> None:
    text = problem(f"Say {{{{ {name} }}}}", **{name: "x"})
    assert "is not a Jinja2 template" in text
    assert text.endswith(f'a column of the name {name!r} is {{{{ row["{name}"] }}}}')


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ items[7] }}", "has no element 7"),
        ("{{ 1 / zero }}", "division by zero"),
        ("{{ word + 1 }}", "the template fails on this row"),
        ("{{ word.__class__.__mro__ }}", "unsafe"),
        ("{{ items.append(1) }}", "of 'list' object is unsafe"),
        ("{% include 'other' %}{{ word }}", "another template cannot be included"),
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
    assert problem("{{ lipsum() }}").startswith("templates have no function 'lipsum'; a row's prompt is the same in every run")


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


@pytest.mark.parametrize("source", ["{{#if text}}{{ text }}{{/if}}", "{{{ text }}}", "{{^text}}x{{/text}}"])
def test_templates_of_other_languages_are_told(source: str) -> None:
    with pytest.raises(TemplateProblem, match="are of Handlebars and Mustache: in Jinja2"):
        RowTemplate(source)


def test_other_templates_cannot_be_included() -> None:
    assert problem("{% include 'x' %}") == "another template cannot be included or imported; write its text here"


@pytest.mark.parametrize(
    "source", ['As {{"a": "b"}}: {{ x }}', "As {{ 'a': 1 }}", '{{"a": {{"b": 1}}}}', '{{\n  "a" : "{{ x }}"\n}}']
)
def test_braces_that_are_doubled_for_format_are_told(source: str) -> None:
    said = problem(source, x="text")
    assert "is not a Jinja2 template" in said
    assert "write them once, as in {" in said
    assert "{% raw %} and {% endraw %}" in said


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('As {"a": "b"}: {{ x }}', 'As {"a": "b"}: text'),
        ('{"a": {"b": "{{ x }}"}}', '{"a": {"b": "text"}}'),
        ('{% raw %}{{"a": 1}}{% endraw %}', '{{"a": 1}}'),
    ],
)
def test_what_is_said_of_doubled_braces_works(source: str, expected: str) -> None:
    assert RowTemplate(source).render({"x": "text"}) == expected


@pytest.mark.parametrize(
    "source",
    ["{{ n + 1 }}", "{{ 1 + n }}", "{{ n - 1 }}", "{{ n > 10 }}", "{{ '%.2f' | format(n) }}", "{{ n | round }}", "{{ n % 2 }}"],
)
def test_a_text_where_a_number_is_wanted_is_told_with_the_filters(source: str) -> None:
    assert problem(source, n="5").endswith("; a value that is a text is a number as x | int or x | float")
    RowTemplate(source).render({"n": 5})


def test_a_text_that_is_json_is_read() -> None:
    assert RowTemplate("{{ (x | fromjson).a[0] }} {{ y | fromjson }}").render({"x": '{"a": [12345678901234567890]}', "y": [1]}) == "12345678901234567890 [1]"  # fmt: skip
    assert problem("{{ x.a }}", x='{"a": 1}').endswith("has no attribute 'a'; of a text that is JSON write x | fromjson")
    assert problem("{{ x.a }}", x="text").endswith("has no attribute 'a'")
    assert problem("{{ x | fromjson }}", x="['a']").endswith("\"['a']\" is not JSON; write the column with json.dumps")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ row[“text”] }}", "; its quotes are typographic, as a word processor makes them: write them as \" or '"),
        ("a {#b {{ text }}", "; {# begins a comment: to send it as it stands, write {{ '{#' }}"),
    ],
)
def test_marks_that_are_not_meant_for_jinja_are_told(source: str, said: str) -> None:
    assert problem(source, text="x").endswith(said)


def test_names_that_look_the_same_are_told_apart() -> None:
    assert "did you mean 'my\\xa0text'?" in missing_column("my text", ["id", "my\xa0text"])
    assert "did you mean '\\u200btext'?" in missing_column("text", ["id", "\u200btext"])
    assert missing_column("Größe", ["id", "Gro\u0308ße"]).endswith("; its accents are other characters in the file: copy the name from there")  # fmt: skip
