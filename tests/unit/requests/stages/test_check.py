"""The plan's look at a stage: columns and fields that nobody makes, before anything was answered."""

from pathlib import Path
from typing import Any

import pytest

from campaign.config import CampaignConfig
from campaign.requests.dataset_check import check_dataset, dataset_notes
from campaign.requests.stages.condition import RowCondition
from campaign.requests.templates.template import TemplateProblem
from support.chained import ChainedTrial

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer"}, "why": {"type": "object", "properties": {"word": {"type": "string"}}}},
}


def config(stage: dict[str, Any], **of_drafts: Any) -> CampaignConfig:
    trial = ChainedTrial(4)
    trial.raw["datasets"]["judged"]["answer"] = {"schema": SCHEMA}
    trial.raw["datasets"]["drafts"] |= of_drafts
    trial.raw["datasets"]["last"] = {"from": "judged", "prompt": "x", "models": ["m"], **stage}
    return trial.config


@pytest.mark.parametrize(
    "stage",
    [
        {"prompt": "{{ text }} {{ answer.score }} {{ word }} {{ row_id }} {{ source_model }}"},
        {"prompt": "{{ drafts.text }} {{ judged.answer.why.word }} {{ row['drafts.text'] }}"},
        {"prompt": "{{ other | default('') }} {{ answer.other | default('') }}", "where": "answer.score > 3 and x is defined"},
        {"prompt": "{{ answer.items() | list }} {{ answer.why.word.upper() }}"},
        {"prompt": "x", "sampling": {"max_tokens": {"column": "word"}}},
    ],
)
def test_what_answers_bring_is_taken(stage: dict[str, Any], in_tmp: Path) -> None:
    made = config(stage)
    assert (check_dataset(made, "last"), dataset_notes(made, "last")) == ([], [])


@pytest.mark.parametrize(
    ("stage", "problem"),
    [
        ({"prompt": "{{ wrd }}"}, "prompt: there is no column 'wrd'; did you mean 'word'?"),
        ({"system": "{{ wrd }}"}, "system: there is no column 'wrd'; did you mean 'word'?"),
        ({"where": "answr.score > 3"}, "where: there is no column 'answr'; did you mean 'answer'?"),
        ({"prompt": "{{ answer.scor }}"}, "prompt: answer has no field 'scor'; did you mean 'score'?"),
        ({"where": "answer['scor'] > 3"}, "where: answer has no field 'scor'; did you mean 'score'?"),
        ({"prompt": "{{ judged.answer.why.wor }}"}, "prompt: judged.answer.why has no field 'wor'; did you mean 'word'?"),
        ({"prompt": "{{ drafts.txt }}"}, "prompt: of drafts there is no 'txt'; did you mean 'text'?"),
        ({"prompt": "{{ drafts.answer }}"}, "prompt: of drafts there is no 'answer'; known: text"),
        ({"prompt": "{{ rewritten.text }}"}, "prompt: last is not made of 'rewritten'; it comes from drafts, judged"),
        ({"where": "len(text) > 3"}, "where: templates have no function 'len'; the filter is x | length"),
        ({"where": "answer.score != null"}, "where: there is no column 'null'; for a null write x is none"),
        ({"where": "text = 'a'"}, "where: is no expression of Jinja2: unexpected '='; it is =="),
        ({"where": "text <> 'a = b'"}, "where: is no expression of Jinja2: unexpected '>'; it is !="),
        ({"where": "text && row_id"}, "where: is no expression of Jinja2: unexpected char '&' at 5; it is `and` and `or`"),
        (
            {"where": "text AND row_id"},
            "where: is no expression of Jinja2: unexpected 'AND'; it is `and`, `or`, `not`, `in` and `is`, in small letters",
        ),
        ({"where": "text IS NULL"}, "where: is no expression of Jinja2: unexpected 'IS'; it is `is none`"),
        ({"where": "text contains 'a'"}, "where: is no expression of Jinja2: unexpected 'contains'; write 'a' in x"),
        ({"where": "{{ text }}"}, "where: is no expression of Jinja2: expected token ':', got '}'; write it without braces"),
        (
            {"where": "text is match('a')"},
            "where: is no expression of Jinja2: there is no test 'match'; write 'a' in x, or x.startswith('a')",
        ),
        ({"where": "answer.score >"}, "where: is no expression of Jinja2: unexpected 'end of template'"),
        ({"where": "answer %} {% if 1"}, "where: is no expression of Jinja2: unexpected '}'"),
        (
            {"sampling": {"max_tokens": {"column": "wrd"}}},
            "sampling.max_tokens: there is no column 'wrd'; did you mean 'word'?",
        ),
        (
            {"from": "drafts", "prompt": "{{ answer }}"},
            "prompt: there is no column 'answer', as datasets.drafts does not say what its answers must be; give it an `answer`, "
            "or take `text`",
        ),
    ],
)
def test_columns_that_nobody_makes_are_refused(stage: dict[str, Any], problem: str, in_tmp: Path) -> None:
    assert check_dataset(config(stage), "last") == [f"datasets.last.{problem}"]


def test_a_choice_without_quotes_is_told_as_what_it_is(in_tmp: Path) -> None:
    trial = ChainedTrial(4)
    trial.raw["datasets"]["rewritten"]["where"] = "answer == yes"
    assert check_dataset(trial.config, "rewritten") == [
        "datasets.rewritten.where: there is no column 'yes'; for the text put it in quotes: 'yes'"
    ]


def test_a_column_of_some_rows_is_no_mistake_where_others_are_kept_out(in_tmp: Path) -> None:
    trial = ChainedTrial(250)
    trial.raw["datasets"]["rewritten"] |= {"where": "late is not none", "prompt": "{{ late }}"}
    assert check_dataset(trial.config, "rewritten") == []
    assert len(dataset_notes(trial.config, "rewritten")) == 2


def of_answer(answer: Any, **stage: Any) -> tuple[list[str], list[str]]:
    """Problems and notes of a stage whose source's answers are of this kind."""
    trial = ChainedTrial(4)
    trial.raw["datasets"]["judged"]["answer"] = answer
    trial.raw["datasets"]["last"] = {"from": "judged", "prompt": "x", "models": ["m"], **stage}
    return check_dataset(trial.config, "last"), dataset_notes(trial.config, "last")


CHOICE = {"choice": ["positive", "negative", "3"]}
NESTED = {
    "schema": {
        "type": "object",
        "properties": {
            "open": {"type": "object"},
            "tags": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
            "stars": {"type": "integer"},
            "label": {"type": "string"},
            "sure": {"type": "boolean"},
        },
    }
}


@pytest.mark.parametrize(
    ("answer", "where", "problem"),
    [
        (CHOICE, "answer.score > 3", "answer is a text and has no field 'score'; take answer itself"),
        (CHOICE, "answer is not none and answer['score']", "answer is a text and has no field 'score'; take answer itself"),
        (CHOICE, "judged.answer.score", "judged.answer is a text and has no field 'score'; take judged.answer itself"),
        (CHOICE, "answer.lower == 'a'", "answer is a text and has no field 'lower'; the method is answer.lower()"),
        (CHOICE, "answer.length > 3", "answer is a text and has no field 'length'; the filter is answer | length"),
        ({"regex": ".*"}, "answer.a.b", "answer is a text and has no field 'a'; take answer itself"),
        ({"number": True}, "answer.score > 3", "answer is a number and has no field 'score'; take answer itself"),
        (NESTED, "answer.label.x", "answer.label is a text and has no field 'x'; take answer.label itself"),
        (NESTED, "answer.sure.x", "answer.sure is a truth value and has no field 'x'; take answer.sure itself"),
        (NESTED, "answer.tags.name", "answer.tags is a list and has no field 'name'; its first element is answer.tags[0]"),
        (
            NESTED,
            "answer.open.x",
            "answer.open is kept as JSON text, as its schema does not say all that it holds, and has no field 'x'; "
            "name all fields in the schema's `properties`",
        ),
        (CHOICE, "answer > 3", "answer is a text and is compared with the number 3; write answer | int or answer | float"),
        (CHOICE, "-1 < answer", "answer is a text and is compared with the number -1; write answer | int or answer | float"),
        (
            NESTED,
            "answer.stars >= '3'",
            "answer.stars is a number and is compared with the text '3'; write the number without quotes",
        ),
    ],
)
def test_what_fails_on_every_answer_is_refused(answer: Any, where: str, problem: str, in_tmp: Path) -> None:
    assert of_answer(answer, where=where) == ([f"datasets.last.where: {problem}"], [])
    with pytest.raises(TemplateProblem):
        RowCondition(where).is_met(values_of(answer))


def values_of(answer: Any) -> dict[str, Any]:
    nested = {"open": "{}", "tags": [{"name": "a"}], "stars": 3, "label": "a", "sure": True}
    value = nested if answer is NESTED else 2.5 if "number" in answer else "3"
    return {"answer": value, "judged": {"answer": value}}


@pytest.mark.parametrize(
    ("answer", "where"),
    [
        (CHOICE, "answer | int > 3 or answer | length > 3 or answer | trim | float > 1"),
        (CHOICE, "answer.startswith('x') or answer.lower() == 'x' or answer.split(',')[0] > 'a' or answer[0] == 'x'"),
        (CHOICE, "'posit' in answer or answer in 'positive words' or answer > 'negative' or answer != none"),
        (CHOICE, "answer == 'positive' or answer in ['positive', 'negative'] or judged.answer not in ('3', text)"),
        (CHOICE, "answer is string or answer.score > 3"),
        (CHOICE, "answer is number and answer > 3"),
        (CHOICE, "answer.score | default(0) > 3 or answer.score is defined"),
        (CHOICE, "answer ~ '' == 'x' or answer | lower == 'x'"),
        ({"number": True}, "answer > 3 and answer.real > 3 and answer.is_integer() and answer == 3"),
        (NESTED, "answer.tags[0].name == 'a' or answer.stars > 2.5 or answer.sure > 0 or answer.label == 'x'"),
        (NESTED, "answer.tags | map(attribute='name') | list"),
    ],
)
def test_what_works_on_answers_is_taken(answer: Any, where: str, in_tmp: Path) -> None:
    assert of_answer(answer, where=where) == ([], [])
    RowCondition(where).is_met({**values_of(answer), "text": "x"})


@pytest.mark.parametrize(
    "template", ["{% for answer in [{'x': 1}] %}{{ answer.x }}{% endfor %}", "{% set answer = row %}{{ answer.text }}"]
)
def test_a_variable_of_the_template_is_no_answer(template: str, in_tmp: Path) -> None:
    assert of_answer(CHOICE, prompt=template) == ([], [])


@pytest.mark.parametrize(
    ("where", "note"),
    [
        ("answer == 'positve'", "answer with 'positve', which is none of its choices; did you mean 'positive'?"),
        ("'POS' != judged.answer", "judged.answer with 'POS', which is none of its choices; they are positive, negative, 3"),
        ("answer in ['negative', 'positiv']", "answer with 'positiv', which is none of its choices; did you mean 'positive'?"),
        ("answer == 3", "answer with 3, which is none of its choices; did you mean '3'?"),
    ],
)
def test_a_word_that_is_none_of_the_choices_is_told(where: str, note: str, in_tmp: Path) -> None:
    assert of_answer(CHOICE, where=where) == ([], [f"where: compares {note}"])


@pytest.mark.parametrize(
    ("answer", "where", "note"),
    [
        (
            NESTED,
            "answer.tags == 'a'",
            "compares answer.tags, which is a list, with 'a': they are never equal; write 'a' in answer.tags",
        ),
        (
            NESTED,
            "'True' == answer.sure",
            "compares answer.sure, which is a truth value, with 'True': they are never equal; "
            "write answer.sure == true without quotes",
        ),
        (
            NESTED,
            "answer.stars in ['4', '5']",
            "compares answer.stars, which is a number, with '4': they are never equal; write it without quotes",
        ),
        (
            NESTED,
            "answer.label != 3",
            "compares answer.label, which is a text, with 3: they are never equal; write answer.label == '3'",
        ),
        (
            {"number": True},
            "judged.answer == '5'",
            "compares judged.answer, which is a number, with '5': they are never equal; write it without quotes",
        ),
        (CHOICE, "not answer", "answer decides, and each of its choices counts as true; write answer == 'positive'"),
    ],
)
def test_what_is_never_equal_or_always_true_is_told(answer: Any, where: str, note: str, in_tmp: Path) -> None:
    assert of_answer(answer, where=where) == ([], [f"where: {note}"])


@pytest.mark.parametrize(
    "where", ["answer.sure == 1 or not answer.sure", "answer.stars == 3.0", "answer.open == '{}'", "answer.label == none"]
)
def test_what_may_be_equal_is_not_told(where: str, in_tmp: Path) -> None:
    assert of_answer(NESTED, where=where) == ([], [])


def test_fields_of_answers_are_refused_whatever_later_rows_hold(in_tmp: Path) -> None:
    trial = ChainedTrial(250)
    trial.raw["datasets"]["rewritten"]["where"] = "answer.score > 3"
    assert len(check_dataset(trial.config, "rewritten")) == 1
