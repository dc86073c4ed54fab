"""What an answer of a dataset must be: what the engine is asked for, and whether a text is one."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from campaign.config.answer import AnswerConfig
from campaign.requests.answer.types import NUMBER, TEXT, Typed, or_null, typed

_SHOWN = 200  # characters of a reason


class NotValid(ValueError):
    """A text that is no answer; `str(error)` says why, for people and for the model."""


@dataclass(frozen=True)
class Rule:
    """`field`: what the engine is asked for, the value of the request's `structured_outputs`."""

    kind: str
    field: dict[str, Any]
    type: Typed
    retries: int
    tell_model: bool
    _read: Callable[[str], Any]  # the value of a text, as JSON has it. Raises NotValid
    _check: Callable[[Any], None]  # Raises NotValid

    def check(self, text: str | None, is_cut: bool = False) -> None:
        """Raises NotValid for a text that is no answer. `is_cut`: it ended at `max_tokens`, not where the model ended it."""
        if text is None:
            raise NotValid("there is no text")
        self._check(self._read(text))
        self.value(text)
        if is_cut and self.kind == "number":  # 12 may be the beginning of 123
            raise NotValid(f"{text} may go on")

    def is_valid(self, text: str | None, is_cut: bool) -> bool:
        """Whether a text is an answer."""
        try:
            self.check(text, is_cut)
        except NotValid:
            return False
        return True

    def value(self, text: str, kind: Typed | None = None) -> Any:
        """The answer as a column of its type, or of `kind`, holds it. Raises NotValid for a text that has none."""
        try:
            return or_null(kind or self.type, self._read(text))
        except (ValueError, RecursionError) as error:
            raise NotValid(_short(str(error))) from None


def rule_of(answer: AnswerConfig) -> Rule:
    """The rule of a dataset's `answer`, whose schema is one (see schema_check)."""
    if answer.json_schema is not None:
        return _by_schema(answer, "schema", answer.json_schema, typed(answer.json_schema))
    if answer.choice is not None:
        return _by_choice(answer, answer.choice)
    if answer.regex is not None:
        return _by_regex(answer, answer.regex)
    return _by_schema(answer, "number", number_schema(answer), NUMBER)


def number_schema(answer: AnswerConfig) -> dict[str, Any]:
    """The JSON schema of a number between bounds."""
    assert answer.number is not None
    bounds = {"minimum": answer.number.min, "maximum": answer.number.max}
    return {"type": "number", **{name: _plain(value) for name, value in bounds.items() if value is not None}}


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _by_schema(answer: AnswerConfig, kind: str, schema: dict[str, Any], type_: Typed) -> Rule:
    # Here and not above: 0.07 s of a processor, in a dozen processes of a campaign that has no schema.
    from jsonschema import FormatChecker
    from jsonschema.validators import validator_for
    from referencing import Registry

    # With a registry of its own it fetches nothing. Formats are checked: the grammar of vLLM keeps them too.
    validator = validator_for(schema)(schema, registry=Registry(), format_checker=FormatChecker())

    def check(value: Any) -> None:
        try:
            error = next(validator.iter_errors(value), None)
        except (RecursionError, OverflowError) as error:
            raise NotValid(f"it cannot be checked: {error}") from None
        if error is not None:
            raise NotValid(_short(f"{error.json_path}: {error.message}"))

    return Rule(kind, {"json": schema}, type_, answer.retries, answer.tell_model, read_json, check)


def _by_choice(answer: AnswerConfig, choices: list[str]) -> Rule:
    known = frozenset(choices)

    def read(text: str) -> str:
        return text if text in known else text.strip()

    def check(text: str) -> None:
        if text not in known:
            raise NotValid(_short(f"{text!r} is none of the choices"))

    return Rule("choice", {"choice": choices}, TEXT, answer.retries, answer.tell_model, read, check)


def _by_regex(answer: AnswerConfig, regex: str) -> Rule:
    pattern = re.compile(regex)

    def check(text: str) -> None:
        if pattern.fullmatch(text) is None:
            raise NotValid(_short(f"{text!r} does not match {regex}"))

    return Rule("regex", {"regex": regex}, TEXT, answer.retries, answer.tell_model, str, check)


def read_json(text: str) -> Any:
    """The value of a JSON text. Raises NotValid, also for numbers that JSON does not have."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise NotValid(f"it is no JSON: {error.msg}, character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:
        raise NotValid(_short(f"it is no JSON: {error}")) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(f"{digits} is more than a number can be")
    return number


def _short(reason: str) -> str:
    reason = reason.encode(errors="replace").decode()  # half a character of an answer can be written nowhere
    return reason if len(reason) <= _SHOWN else reason[:_SHOWN] + " ..."
