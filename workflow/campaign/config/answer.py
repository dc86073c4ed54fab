"""`datasets.<d>.answer:` what an answer must be."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from campaign.config.base import Section

KINDS = ("schema", "choice", "regex", "number")


class NumberConfig(Section):
    """A number, and between which it lies."""

    min: float | None = Field(None, description="the least it may be", allow_inf_nan=False)
    max: float | None = Field(None, description="the most it may be", allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> "NumberConfig":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no number is above {self.min:g} and below {self.max:g}; exchange `min` and `max`")
        return self


class AnswerConfig(Section):
    """What every answer of a dataset must be: one of `schema`, `choice`, `regex` and `number`. What is not is asked again."""

    # `schema` is a method of pydantic's models; a regular expression keeps the blanks at its ends.
    model_config = ConfigDict(serialize_by_alias=True, str_strip_whitespace=False)

    json_schema: dict[str, Any] | None = Field(
        None, alias="schema", description="JSON schema of the answer, here or as the path of a .json file"
    )
    choice: list[str] | None = Field(None, min_length=1, description="texts, one of which is the answer")
    regex: str | None = Field(None, description="regular expression that the whole answer matches")
    number: NumberConfig | None = Field(None, description="`true`, or {min, max}: a number, which becomes a double")
    retries: int = Field(2, ge=0, le=20, description="how often an answer that is not what it must be is asked again")
    tell_model: bool = Field(False, description="when asking again, show the model its answer and what is wrong with it")

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        return next(kind for kind in KINDS if getattr(self, _FIELDS[kind]) is not None)

    @field_validator("json_schema", mode="before")
    @classmethod
    def _read_schema(cls, schema: Any) -> Any:
        """The content of a named file: a campaign that was started keeps the schema it was started with."""
        return _read(schema) if isinstance(schema, str) else schema

    @field_validator("json_schema")
    @classmethod
    def _says_json(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if problem := _not_json(schema, ""):
            raise ValueError(f"is no JSON: {problem}; write it in quotes")
        return schema

    @field_validator("choice", mode="before")
    @classmethod
    def _texts(cls, choice: Any) -> Any:
        if isinstance(choice, dict):
            raise ValueError(
                "is one list for all rows: [a, b]; for choices of each row write "
                'sampling: {structured_outputs: {column: NAME}}, whose column holds {"choice": ["a", "b"]}'
            )
        if not isinstance(choice, list):
            return choice
        if wrong := [text for text in choice if type(text) not in (str, int)]:
            shown = ", ".join(_yaml(value) for value in wrong)
            raise ValueError(
                f"the choices are texts, and without quotes YAML reads these as something else: {shown}; "
                'write them in quotes: ["yes", "no"]'
            )
        return list(dict.fromkeys(str(text) for text in choice))

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str | None) -> str | None:
        try:
            re.compile(regex or "")
        except re.error as error:
            raise ValueError(
                f"is no regular expression that answers can be checked with, by Python's rules: {error}; correct it"
            ) from None
        return regex

    @field_validator("number", mode="before")
    @classmethod
    def _any_number(cls, number: Any) -> Any:
        return {} if number is True else number

    @model_validator(mode="after")
    def _one_kind(self) -> "AnswerConfig":
        named = [kind for kind in KINDS if getattr(self, _FIELDS[kind]) is not None]
        if not named:
            raise ValueError(f"does not say what an answer must be; give it one of {', '.join(KINDS)}")
        if len(named) > 1:
            raise ValueError(f"has {' and '.join(f'`{kind}`' for kind in named)}: keep one of them")
        return self


_FIELDS = {"schema": "json_schema", **{kind: kind for kind in KINDS[1:]}}


def _read(name: str) -> Any:
    path = Path(name)
    if path.suffix.lower() != ".json":
        raise ValueError("is neither a JSON schema nor the path of a .json file; write the schema as keys below `schema:`")
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError("is not there; paths count from the working directory") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read as JSON ({error}); correct the file") from None


def _yaml(value: Any) -> str:
    """A value as it may stand in a YAML file."""
    if isinstance(value, bool):
        return "yes, true or on" if value else "no, false or off"
    return "null" if value is None else str(value)


def _not_json(value: Any, where: str) -> str | None:
    """What of a value YAML read as something that JSON does not have: a date, a key that is no text."""
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                return f"the key {_yaml(name)}{f' at {where}' if where else ''} is no text"
            if problem := _not_json(item, f"{where}.{name}".strip(".")):
                return problem
        return None
    if isinstance(value, list):
        return next(filter(None, (_not_json(item, f"{where}[{number}]") for number, item in enumerate(value))), None)
    return None if value is None or isinstance(value, (str, int, float)) else f"{where} is {value}, a {type(value).__name__}"
