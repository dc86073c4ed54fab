"""What an entry of the registry of endpoints holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from campaign.config.datasets import WRITES_TEXT, EndpointName
from campaign.core import exact_json
from campaign.core.tables import POOLED
from campaign.requests.problems import RowProblem
from campaign.requests.replies.reply import Reply


@dataclass(frozen=True)
class Api:
    """How one endpoint is asked, and how its reply is read."""

    name: EndpointName
    route: str
    prompt_field: str  # of the body: what the column `prompt` shows, and templates fill
    # That field of a row that brings its own, as it is sent. Raises RowProblem for a config key, naming where it stands.
    check_prompt: Callable[[Any, str, str], Any]
    read_reply: Callable[[bytes], Reply]  # a 200's body, with its tokens. Raises replies.BadReply
    # That field, from the texts of `prompt` and `system`; the config refuses a system message where there is no room for one.
    make_prompt: Callable[[str, str | None], Any] = lambda prompt, _: prompt
    question_limits: Mapping[str, Any] = field(default_factory=dict)  # fields that keep the answer to its question short
    aliases: tuple[str, ...] = ()  # further routes that lines of batch files may name
    # Fields in which batch lines may put what is asked instead: the first of these that are all there.
    other_forms: tuple[tuple[str, ...], ...] = ()
    second_field: str | None = None  # of the body: what `prompt` is held against (a dataset's `document`, `documents`)
    columns: tuple[str, ...] = ()  # of tables.POOLED that its replies fill; one without text fills at least one
    own_fields: frozenset[str] = frozenset()  # of a body, beside those above: the plan has no others than vLLM's names
    streams: bool = True  # False: the benchmark asks for no stream, and measures no first token
    head: bytes = b""  # JSON members that are sent before those of the body
    unused: frozenset[str] = frozenset()  # fields of a body that are left out: they only decide how an answer travels

    def __post_init__(self) -> None:
        """Raises ValueError for an entry whose answers would be lost: parts have the columns that it names, and no others."""
        if unknown := set(self.columns).difference(POOLED.names):
            raise ValueError(f"{self.name}: tables.POOLED has no column {', '.join(sorted(unknown))}")
        if not self.writes_text and not self.columns:
            raise ValueError(f"{self.name} writes no text: name the columns of tables.POOLED that its replies fill")

    @property
    def writes_text(self) -> bool:
        """False: it is asked of a server that pools (vLLM's --runner pooling), which writes no tokens."""
        return self.name in WRITES_TEXT

    @property
    def is_streamed(self) -> bool:
        """Whether an answer can be read while it is written."""
        return self.writes_text and self.streams

    @property
    def known_fields(self) -> frozenset[str]:
        """Fields of a body that are this endpoint's, whatever vLLM's other endpoints know."""
        return self.own_fields.union(*self.forms)

    @property
    def short_prompt(self) -> dict[str, Any]:
        """The fields that hold what is asked, with little in them."""
        second = {} if self.second_field is None else {self.second_field: ["Hello"]}
        return {self.prompt_field: self.make_prompt("Hello", None), **second}

    @property
    def question(self) -> dict[str, Any]:
        """The body, without `model`, of the smallest question: whoever answers it is ready."""
        return {**self.short_prompt, **self.question_limits}

    @property
    def forms(self) -> tuple[tuple[str, ...], ...]:
        """Fields that together hold what is asked, in every way the endpoint takes it."""
        first = (self.prompt_field,) if self.second_field is None else (self.prompt_field, self.second_field)
        return (first, *self.other_forms)

    def form_of(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """The fields of a body that hold what is asked; the first form where none is there."""
        return next((form for form in self.forms if all(body.get(name) is not None for name in form)), self.forms[0])

    def checked(self, body: dict[str, Any], key: str, where: str) -> dict[str, Any]:
        """A whole body that a row brings, as it is sent. Raises RowProblem."""
        form = self.form_of(body)
        if missing := [name for name in form if body.get(name) is None and form != (self.prompt_field,)]:
            raise RowProblem(key, f"{where} has no {' and no '.join(missing)}, which the url wants")
        body[form[0]] = self.check_prompt(body.get(form[0]), key, f"{where}.{form[0]}")
        return body if not self.unused else {name: value for name, value in body.items() if name not in self.unused}

    def with_head(self, body: bytes) -> bytes:
        """A body, a JSON object with members, as it is sent."""
        return b"{" + self.head + body[1:] if self.head else body

    def asked(self, body: bytes) -> list[Any]:
        """What a request asks: messages, a text, or the texts that are held against each other."""
        values = exact_json.loads(body)
        return [values[name] for name in self.form_of(values)]

    def prompt_of(self, body: bytes) -> str:
        """The prompt of a request as a text: JSON where it is none."""
        values = exact_json.loads(body)
        form = self.form_of(values)
        prompt = values[form[0]] if len(form) == 1 else {name: values[name] for name in form}
        return prompt if isinstance(prompt, str) else exact_json.dumps(prompt).decode()
