"""The endpoints of vLLM's server that requests can go to: all that is known of one stands in its entry here.

A new one needs its entry, its name in config.datasets.EndpointName, and in requests.replies a reader where its reply has
another form. (Where a running server is reached is server.endpoint.Endpoint.)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from campaign.config.datasets import EndpointName
from campaign.core import exact_json
from campaign.requests.problems import RowProblem, from_json, shown
from campaign.requests.replies import Reply, read_choice


@dataclass(frozen=True)
class Api:
    """How one endpoint is asked, and how its reply is read."""

    name: EndpointName
    route: str
    prompt_field: str  # of the body: what the column `prompt` shows, and templates fill
    make_prompt: Callable[[str, str | None], Any]  # that field, from the texts of `prompt` and `system`
    # That field of a row that brings its own, as it is sent. Raises RowProblem for a config key, naming where it stands.
    check_prompt: Callable[[Any, str, str], Any]
    read_reply: Callable[[bytes], Reply]  # a 200's body, with its tokens. Raises replies.BadReply
    question_limits: Mapping[str, Any]  # fields that keep the answer to the readiness question short

    @property
    def question(self) -> dict[str, Any]:
        """The body, without `model`, of the smallest question: whoever answers it is ready."""
        return {self.prompt_field: self.make_prompt("Hello", None), **self.question_limits}

    def prompt_of(self, body: bytes) -> str:
        """The prompt of a request as a text: JSON where it is none."""
        prompt = exact_json.loads(body)[self.prompt_field]
        return prompt if isinstance(prompt, str) else exact_json.dumps(prompt).decode()


def _as_messages(prompt: str, system: str | None) -> list[dict[str, str]]:
    # `content` in front, as the column `prompt` has had it since the first version: vLLM looks both up by name.
    before = [] if system is None else [{"content": system, "role": "system"}]
    return [*before, {"content": prompt, "role": "user"}]


def _check_messages(messages: Any, key: str, where: str) -> list[Any]:
    """A list of chat messages, from a list or its JSON text."""
    if isinstance(messages, str):
        messages = from_json(messages, key, where)
    if not isinstance(messages, list) or not messages:
        raise RowProblem(key, f'{where} must hold a list of messages like [{{"role": "user", "content": "..."}}]')
    for number, message in enumerate(messages):
        if problem := _message_problem(message):
            raise RowProblem(key, f"{where}: message {number + 1} {problem}")
    return messages


def _message_problem(message: Any) -> str | None:
    if not isinstance(message, dict):
        return f'is {shown(message)}; write {{"role": "user", "content": "..."}}'
    if not isinstance(message.get("role"), str) or not message["role"]:
        return 'has no role; add "role": "user", "system" or "assistant"'
    content = message.get("content")
    if content is None:
        return None if message.get("tool_calls") else 'has no content; add "content": "..."'
    return None if isinstance(content, (str, list)) else f"has the content {shown(content)}; it must be a text or a list"


def _check_text(prompt: Any, key: str, where: str) -> Any:
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
    check_prompt=_check_messages,
    read_reply=read_choice,
    question_limits={"max_tokens": 1},
)
COMPLETIONS = Api(
    name="completions",
    route="/v1/completions",
    prompt_field="prompt",
    make_prompt=lambda prompt, system: prompt,  # the config refuses a system message here
    check_prompt=_check_text,
    read_reply=read_choice,
    question_limits={"max_tokens": 1},
)

APIS: Mapping[str, Api] = {api.name: api for api in (CHAT, COMPLETIONS)}
APIS_BY_ROUTE: Mapping[str, Api] = {api.route: api for api in APIS.values()}
