"""What values look like in a prompt: as in the data, never as Python writes them."""

import datetime
import json
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.requests.templates.printed import NoData, as_json, printed
from campaign.requests.templates.template import RowTemplate, TemplateProblem

BERLIN = datetime.timezone(datetime.timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        (12345678901234567890123, "12345678901234567890123"),
        (0.1, "0.1"),
        (3.0, "3.0"),
        (Decimal("1.10"), "1.10"),
        (Decimal("1E-10"), "0.0000000001"),
        (Decimal("12E+3"), "12000"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.datetime(2024, 2, 29, 12, 0, tzinfo=BERLIN), "2024-02-29 12:00:00+01:00"),
        (pd.Timestamp("2024-02-29T12:00:00.123456789"), "2024-02-29 12:00:00.123456789"),
        (datetime.timedelta(seconds=90), "0:01:30"),
        (pd.Timedelta(seconds=90), "0:01:30"),
        (b"hello", "hello"),
        (["a", "b"], '["a", "b"]'),
        ({"b": [True, None, 1.5], "a": {}}, '{"b": [true, null, 1.5], "a": {}}'),
        (
            [float("nan"), Decimal("1.10"), 2**70, datetime.date(2024, 2, 29), b"x"],
            '[null, 1.10, 1180591620717411303424, "2024-02-29", "x"]',
        ),
        ([("k", 1)], '[["k", 1]]'),
        ({1: "a", None: "b"}, '{"1": "a", "null": "b"}'),
        ({(1, 2): Decimal(1)}, '{"[1, 2]": 1}'),
        (["caf\u00e9 <b>", '\n"'], '["caf\u00e9 <b>", "\\n\\""]'),
    ],
)
def test_printing(value: Any, expected: str) -> None:
    assert RowTemplate("{{ x }}").render({"x": value}) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ xs | map('upper') }}", '["A", "B"]'),
        ("{{ d.keys() }} {{ d.values() }}", '["k"] [true]'),
        ("{{ d.items() }}", '[["k", true]]'),
        ("{{ xs | join(' and ') }}", "a and b"),
        ("{{ [d, true, 1.5] | join('; ') }}", '{"k": true}; true; 1.5'),
        ("{{ 'x' ~ d ~ true }}", 'x{"k": true}true'),
        ("{{ d | string | upper }}", '{"K": TRUE}'),
        ("{{ '%s %d %.1f' | format(d, 3, 1.25) }}", '{"k": true} 3 1.2'),
        ("{{ '%(k)s' | format(**d) }} {{ '%(k)s' % d }} {{ '%s' % xs }}", 'true true ["a", "b"]'),
        ("{{ '{} {:>3} {k}'.format(xs, 7, k=true) }} {{ '{k!r}'.format_map(d) }}", '["a", "b"]   7 true \'true\''),
        ("{{ d | pprint }}", '{\n  "k": true\n}'),
        ("{{ xs | groupby(0) }}", '[["a", ["a"]], ["b", ["b"]]]'),
        ("{{ range(3) }}", "[0, 1, 2]"),
        ("{{ 1 == 1 }}", "true"),
    ],
)
def test_every_way_to_a_text(source: str, expected: str) -> None:
    assert RowTemplate(source).render({"xs": ["a", "b"], "d": {"k": True}}) == expected


def test_tojson_is_the_json_of_the_column() -> None:
    doc = {"title": "AT&T's <b>\u00e9</b> \U0001f600", "author": "z", "body": [1, None, True]}
    text = RowTemplate("{{ doc | tojson }}").render({"doc": doc})
    assert text == '{"title": "AT&T\'s <b>\u00e9</b> \U0001f600", "author": "z", "body": [1, null, true]}'
    assert RowTemplate("{{ x | tojson }}").render({"x": "\u00e9"}) == '"\u00e9"'
    assert RowTemplate("{{ x | tojson }}").render({"x": float("nan")}) == "null"


def test_indented_json_is_the_same_for_values_json_has_no_form_for() -> None:
    plain = {"a": [1, {"b": "c"}, [], {}], "d": 2}
    assert as_json({"a": [Decimal(1), {"b": "c"}, [], {}], "d": 2}, indent=2) == json.dumps(plain, indent=2)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
METHODS = st.sampled_from(sorted(name for name in {*dir({}), *dir([]), *dir("")} if not name.startswith("_")))
NAMES = TEXT | METHODS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)


@given(VALUES)
def test_any_json_value_prints_as_its_json(value: Any) -> None:
    for source in (
        "{{ x }}",
        "{{ '' ~ x }}",
        "{{ '%s' | format(x) }}",
        "{{ '{}'.format(x) }}",
        "{{ [x] | join }}",
        "{{ x | string }}",
    ):
        if value is None:
            with pytest.raises(TemplateProblem, match="prints a null"):
                RowTemplate(source).render({"x": value})
        else:
            text = RowTemplate(source).render({"x": value})
            assert text == value if isinstance(value, str) else json.loads(text) == value
    assert json.loads(RowTemplate("{{ x | tojson }}").render({"x": value})) == value


@given(st.dictionaries(METHODS | st.text("abcdef", min_size=1, max_size=3), VALUES, min_size=1, max_size=3))
def test_every_field_is_reached_by_its_name_whatever_python_has_of_that_name(record: dict[str, Any]) -> None:
    for name, value in record.items():
        for source in (f"{{{{ x.{name} | tojson }}}}", f"{{{{ x['{name}'] | tojson }}}}"):
            assert json.loads(RowTemplate(source).render({"x": record})) == value


OTHERS = (
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9)
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.floats()
    | st.binary(max_size=4)
)


@given(st.lists(SCALARS | OTHERS, max_size=4))
def test_values_of_any_file_print_without_a_trace_of_python(values: list[Any]) -> None:
    try:
        text = RowTemplate("{{ xs }}").render({"xs": [v for v in values if not isinstance(v, str)]})
    except TemplateProblem as error:
        assert "no text in UTF-8" in str(error)
        return
    json.loads(text.replace("\\u", ""))
    for trace in ("None", "True", "False", "nan", "<built-in", "Decimal", "datetime", "b'"):
        assert trace not in text


@pytest.mark.parametrize("value", [b"\x01\x01\x00\x00", b"a\x00b", b"\x7fELF", b"\xff"])
def test_bytes_that_are_no_text_are_never_printed(value: bytes) -> None:
    """Geometry of a GeoParquet file is ASCII by chance, and no text."""
    with pytest.raises(NoData, match="bytes that are no text in UTF-8"):
        printed(value)
