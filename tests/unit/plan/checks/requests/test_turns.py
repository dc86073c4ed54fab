"""Messages that are sent as they stand and most likely mean something else."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign.config import validate
from campaign.plan.checks.requests.written import as_written
from campaign.requests.rows.sampled_rows import sample_requests

USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}  # fmt: skip


def told(*messages: dict[str, Any], **keys: Any) -> list[str]:
    Path("in.jsonl").write_bytes(orjson.dumps({"turns": messages}) + b"\n")
    dataset = {"files": "in.jsonl", "messages": "turns", "models": ["m"], **keys}
    config = validate({"campaign": "c", "models": {"m": {"source": "model"}}, "datasets": {"d": dataset}})
    return [str(each) for each in as_written(config, {"d": sample_requests(config.datasets["d"])})]


def test_a_conversation_that_ends_with_an_answer_is_told(in_tmp: Path) -> None:
    (said,) = told(USER, ANSWER)
    assert said.startswith("datasets.d.messages: 1 of the first 1 rows, such as in.jsonl:1, end with a turn of the assistant: ")
    assert "sampling: {add_generation_prompt: false, continue_final_message: true}" in said


@pytest.mark.parametrize(("role", "usual"), [("human", "user"), ("Human", "user"), ("gpt", "assistant"), ("USER", "user")])
def test_roles_of_other_programs_are_told_with_the_usual_ones(in_tmp: Path, role: str, usual: str) -> None:
    (said,) = told({"role": role, "content": "Hi"}, USER)
    assert said == (
        f"datasets.d.messages: the role {role!r} (in in.jsonl:1) is none that chat templates know, "
        f"and most write it as it stands; write {usual!r}"
    )


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [USER, ANSWER, USER],
        [{"role": "developer", "content": "x"}, USER],
        [{"role": "ipython", "content": "x"}, USER],  # Llama's own
        [USER, CALL],
        [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}],
    ],
)
def test_what_is_meant_is_not_told(in_tmp: Path, messages: list[dict[str, Any]]) -> None:
    assert told(*messages) == []


def test_an_answer_that_is_continued_is_not_told(in_tmp: Path) -> None:
    assert told(USER, ANSWER, sampling={"continue_final_message": True, "add_generation_prompt": False}) == []
