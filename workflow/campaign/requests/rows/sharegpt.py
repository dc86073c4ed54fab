"""Conversations in ShareGPT's form, a list of {"from": "human", "value": "..."}, as chat messages.

The form and its names: github.com/lm-sys/FastChat (data cleaning), LLaMA-Factory's data/README.md, axolotl's `sharegpt` type.
They are made to train on, so they end with the answer. It is left out, and the model answers the turn before: a request
that ends with an answer would make the model go on after it.
"""

from typing import Any

from campaign.requests.problems import RowProblem, shown

# Who speaks, in this form and in other programs', and the role that chat templates have for it.
ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "model", "bot", "ai", "chatbot"), "assistant"),
    **dict.fromkeys(("system",), "system"),
    **dict.fromkeys(("observation", "tool"), "tool"),
    "prompter": "user",
}
SYSTEM = "system"  # a column beside the conversation, in LLaMA-Factory's and others' files
SYSTEM_LEFT_OUT = (
    f"the column {SYSTEM!r} is not sent: put it into the conversation as its first turn, {{from: system, value: ...}}, "
    'or write the prompt as a template with system: "{{ system }}"'
)
LEFT_OUT = "the conversation ends with an answer, which is left out: the model answers the turn before it"


def is_sharegpt(messages: Any) -> bool:
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(turn, dict) and "from" in turn and "value" in turn and "role" not in turn for turn in messages)
    )


def ends_with_answer(messages: Any) -> bool:
    return is_sharegpt(messages) and ROLES.get(str(messages[-1]["from"]).lower()) == "assistant"


def has_system_apart(values: dict[str, Any], column: str) -> bool:
    """Whether a row has a system message beside its conversation or its messages, and none in them."""
    messages, apart = values.get(column), values.get(SYSTEM)
    turns = messages if isinstance(messages, list) else []
    return (
        bool(turns)
        and all(isinstance(turn, dict) for turn in turns)
        and isinstance(apart, str)
        and bool(apart.strip())
        and not any(str(turn.get("from", turn.get("role"))).lower() in ("system", "developer") for turn in turns)
    )


def as_messages(conversation: list[dict[str, Any]], key: str, where: str, *, keep_answer: bool) -> list[dict[str, Any]]:
    """Chat messages of a conversation. Raises RowProblem for a turn of somebody that is not known."""
    messages = [
        {"role": _role(turn, number, key, where), "content": turn["value"]} for number, turn in enumerate(conversation, 1)
    ]
    while not keep_answer and messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not any(message["role"] != "system" for message in messages):
        raise RowProblem(key, f"{where} holds no turn of the user; add one, or leave the row out")
    return messages


def _role(turn: dict[str, Any], number: int, key: str, where: str) -> str:
    role = ROLES.get(str(turn["from"]).lower())
    if role is None:
        raise RowProblem(key, f"{where}: turn {number} is from {shown(turn['from'])}; known are {', '.join(ROLES)}")
    return role
