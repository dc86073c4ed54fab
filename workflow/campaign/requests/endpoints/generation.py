"""Endpoints that write text."""

from typing import Any

from campaign.requests.endpoints.api import Api
from campaign.requests.problems import RowProblem, from_json, shown
from campaign.requests.replies.reply import read_choice


def _as_messages(prompt: str, system: str | None) -> list[dict[str, str]]:
    # `content` in front, as the column `prompt` has had it since the first version: vLLM looks both up by name.
    before = [] if system is None else [{"content": system, "role": "system"}]
    return [*before, {"content": prompt, "role": "user"}]


def check_messages(messages: Any, key: str, where: str) -> list[Any]:
    """A list of chat messages, from a list or its JSON text."""
    if isinstance(messages, str):
        messages = from_json(messages, key, where)
    if not isinstance(messages, list) or not messages:
        wanted = 'a list of messages like [{"role": "user", "content": "..."}]'
        raise RowProblem(key, f"{where} must hold {wanted}{_instead_of_list(messages)}")
    for number, message in enumerate(messages):
        if problem := _message_problem(message):
            raise RowProblem(key, f"{where}: message {number + 1} {problem}")
    return messages


def _instead_of_list(messages: Any) -> str:
    """What an object in place of the list is: a single message, or columns of roles and contents."""
    if not isinstance(messages, dict) or not {"role", "content"} <= messages.keys():
        return ""
    if isinstance(messages["role"], list):  # Hugging Face's `Sequence` of a struct
        return ", and holds an object of lists; datasets' `[{...}]` in place of `Sequence({...})` makes a list of objects"
    return ", and holds one message; put it between [ and ]"


def _message_problem(message: Any) -> str | None:
    if not isinstance(message, dict):
        return f'is {shown(message)}; write {{"role": "user", "content": "..."}}'
    if not isinstance(message.get("role"), str) or not message["role"]:
        return 'has no role; add "role": "user", "system" or "assistant"'
    content = message.get("content")
    if content is None:
        return None if message.get("tool_calls") else 'has no content; add "content": "..."'
    return None if isinstance(content, (str, list)) else f"has the content {shown(content)}; it must be a text or a list"


def check_text(prompt: Any, key: str, where: str) -> Any:
    # A list of texts would be several requests in one: an answer could not be told from the others.
    is_ids = isinstance(prompt, list) and bool(prompt) and all(type(token) is int for token in prompt)
    if not isinstance(prompt, str) and not is_ids:
        raise RowProblem(key, f'{where} must be one text, or one list of token ids: {{"prompt": "..."}}')
    return prompt


CHAT = Api(
    name="chat",
    route="/v1/chat/completions",
    prompt_field="messages",
    make_prompt=_as_messages,
    check_prompt=check_messages,
    read_reply=read_choice,
    question_limits={"max_tokens": 1},
)
COMPLETIONS = Api(
    name="completions",
    route="/v1/completions",
    prompt_field="prompt",
    check_prompt=check_text,
    read_reply=read_choice,
    question_limits={"max_tokens": 1},
)

GENERATION = (CHAT, COMPLETIONS)  # the registry APIS has those named here
