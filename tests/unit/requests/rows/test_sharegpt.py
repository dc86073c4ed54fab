"""Conversations in ShareGPT's form: what is asked of them."""

from typing import Any

import pytest

from campaign.requests.dataset_check import dataset_notes

from ..conftest import Trial

HI, HELLO, BYE = {"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}, {"from": "human", "value": "bye"}


def asked(trial: Trial, conversation: Any, **keys: Any) -> Any:
    trial.lines("a.jsonl", {"conversations": conversation})
    trial.prepare("a.jsonl", messages="conversations", **keys)
    return [(message["role"], message["content"]) for message in trial.rows()[0]["body"]["messages"]]


@pytest.mark.parametrize(
    ("conversation", "messages"),
    [
        ([HI], [("user", "hi")]),
        ([HI, HELLO, BYE], [("user", "hi"), ("assistant", "hello"), ("user", "bye")]),
        ([HI, HELLO], [("user", "hi")]),
        ([HI, HELLO, HELLO], [("user", "hi")]),
        ([{"from": "system", "value": "short"}, HI, HELLO], [("system", "short"), ("user", "hi")]),
        ([{"from": "User", "value": "hi", "weight": 1}, {"from": "ChatGPT", "value": "x"}, BYE], [("user", "hi"), ("assistant", "x"), ("user", "bye")]),
        ('[{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]', [("user", "hi")]),
    ],
)  # fmt: skip
def test_turns_become_messages_and_the_answer_at_the_end_is_left_out(trial: Trial, conversation: Any, messages: Any) -> None:
    assert asked(trial, conversation) == messages


def test_an_answer_that_is_to_be_gone_on_with_stays(trial: Trial) -> None:
    sampling = {"continue_final_message": True, "add_generation_prompt": False}
    assert asked(trial, [HI, HELLO], sampling=sampling) == [("user", "hi"), ("assistant", "hello")]


@pytest.mark.parametrize(
    ("conversation", "problem"),
    [
        ([{"from": "narrator", "value": "x"}], "turn 1 is from 'narrator'; known are human, user, gpt"),
        ([HELLO], "holds no turn of the user; add one, or leave the row out"),
        ([{"from": "human", "value": None}], "message 1 has no content"),
    ],
)
def test_conversations_that_ask_nothing(trial: Trial, conversation: Any, problem: str) -> None:
    trial.lines("a.jsonl", {"conversations": conversation})
    assert problem in trial.refusal("a.jsonl", messages="conversations")[0]


def test_the_plan_says_that_answers_are_left_out(trial: Trial) -> None:
    trial.lines("a.jsonl", {"c": [HI]}, {"c": [HI, HELLO]})
    (note,) = dataset_notes(trial.config("a.jsonl", messages="c"), "d")
    assert note == "a.jsonl:2: the conversation ends with an answer, which is left out: the model answers the turn before it"


def test_messages_of_openai_are_sent_as_they_are(trial: Trial) -> None:
    trial.lines("a.jsonl", {"c": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]})
    trial.prepare("a.jsonl", messages="c")
    assert [message["role"] for message in trial.rows()[0]["body"]["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"system": "Be brief.", "c": [HI]}, True),
        ({"system": "", "c": [HI]}, False),
        ({"system": "Be brief.", "c": [{"from": "system", "value": "short"}, HI]}, False),
        ({"system": "Be brief.", "c": [{"role": "developer", "content": "short"}, {"role": "user", "content": "hi"}]}, False),
    ],
)
def test_the_plan_says_that_a_system_message_beside_the_turns_is_not_sent(
    trial: Trial, row: dict[str, Any], told: bool
) -> None:
    trial.lines("a.jsonl", row)
    notes = dataset_notes(trial.config("a.jsonl", messages="c"), "d")
    assert [note.startswith("a.jsonl:1: the column 'system' is not sent: put it into the conversation") for note in notes] == [True] * told  # fmt: skip


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("row", "sampling", "notes"),
    [
        (
            {"system": "Be brief.", "c": MESSAGES},
            {},
            ["the column 'system' is not sent: jq -c '.c = [{role: \"system\", content: .system}] + .c' puts it in front of the messages"],
        ),
        ({"tools": TOOLS, "c": MESSAGES}, {}, ["the column 'tools' is not sent: `sampling: {tools: {column: tools}}` sends it"]),
        ({"functions": TOOLS, "c": MESSAGES}, {}, ["the column 'functions' is not sent: `functions` are the older form of `tools`: write those"]),
        ({"tools": TOOLS, "c": MESSAGES}, {"tools": {"column": "tools"}}, []),
        ({"tools": [], "c": MESSAGES}, {}, []),
        ({"tools": "hammer", "c": MESSAGES}, {}, []),
    ],
)  # fmt: skip
def test_the_plan_says_what_beside_messages_is_not_sent(
    trial: Trial, row: dict[str, Any], sampling: dict[str, Any], notes: list[str]
) -> None:
    trial.lines("a.jsonl", row)
    config = trial.config("a.jsonl", messages="c", sampling=sampling)
    assert dataset_notes(config, "d") == [f"a.jsonl:1: {note}" for note in notes]


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ({"role": "user", "content": "hi"}, ", and holds one message; put it between [ and ]"),
        ({"role": ["user"], "content": ["hi"]}, ", and holds an object of lists; datasets' `[{...}]` in place of"),
    ],
)
def test_an_object_in_place_of_messages_is_told_as_what_it_is(trial: Trial, column: Any, problem: str) -> None:
    trial.lines("a.jsonl", {"c": column})
    assert problem in trial.refusal("a.jsonl", messages="c")[0]
