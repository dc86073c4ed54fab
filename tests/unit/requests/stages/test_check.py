"""The plan's look at a stage: columns and fields that nobody makes, before anything was answered."""

from pathlib import Path
from typing import Any

import pytest

from campaign.config import CampaignConfig
from campaign.requests.dataset_check import check_dataset, dataset_notes
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
