"""Problems of prompt files, gathered so that all can be fixed at once, without keeping a million of them."""

import re
from collections.abc import Iterable
from typing import Any

import orjson

from campaign.core import exact_json
from campaign.core.errors import InputError

_WORDS = {None: "null", True: "true", False: "false"}
_PYTHON = re.compile(r"\s*\[?\s*\{\s*'")
_SHOWN = 20
_ENOUGH = 1000


class RowProblem(Exception):
    """A row that makes no request; the text says why and how to fix it.

    `config_key`: the key of the dataset's config it is about: `prompt`, `system`, `id`, `messages`, `sampling`, `answer` or
    `files`.
    """

    def __init__(self, config_key: str, text: str) -> None:
        super().__init__(text)
        self.config_key = config_key


class Problems:
    """Counts problems and keeps the first few. Use `full` to stop: a misspelt column is one mistake, not a million."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    @property
    def full(self) -> bool:
        """Whether there are so many that looking for more tells nothing new."""
        return self.count >= _ENOUGH

    def add(self, problem: str) -> None:
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(problem)

    def extend(self, problems: Iterable[str]) -> None:
        for problem in problems:
            self.add(problem)

    def raise_if_any(self) -> None:
        """Raise InputError with the problems kept and the number of the others."""
        if not self.count:
            return
        more = self.count - len(self.first)
        rest = [f"... and {more} more" + ("; there may be others behind them" if self.full else "")] if more else []
        raise InputError([*self.first, *rest])


def shown(value: Any) -> str:
    """A value in a message, not too long."""
    text = _WORDS[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


def from_json(text: str, key: str, where: str) -> Any:
    """A value that stands somewhere as JSON text. Raises RowProblem."""
    try:
        return exact_json.loads(text)
    except orjson.JSONDecodeError as error:
        python = "; it looks like Python's own notation: write it with json.dumps" if _PYTHON.match(text) else ""
        raise RowProblem(key, f"{where} is not JSON ({error.msg}, character {error.pos + 1}){python}") from None
