"""JSON values one after the other, or the elements of one list, from a text of any length.

Python's own decoder and not orjson: it says where a value ends, and whole numbers of any size stay what they are.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from campaign.requests.files.json.json_problems import noting, remedy

_CHUNK = 2**16
# Of one value: what is larger is most likely a value whose end is missing, and would fill the memory.
_LARGEST = 64 * 2**20
_SHOWN = 20  # characters behind a mistake that show what it is
_SPACE = " \t\r\n"


class BrokenJson(Exception):
    """From this line on the text is no JSON, and nobody knows where the next value starts."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(slots=True)
class Found:
    """A value, the lines it starts and ends in, and its words that only Python takes for JSON (NaN, Infinity)."""

    line: int
    last_line: int
    value: Any
    constants: list[str]


class JsonValues:
    """Iterates over the values of a text. Raises BrokenJson."""

    def __init__(self, text: IO[str]) -> None:
        self._text, self._buffer, self._at, self._ended = text, "", 0, False
        self._line = 1
        self._constants: list[str] = []
        self._decoder = json.JSONDecoder(parse_constant=noting(self._constants))

    def __iter__(self) -> Iterator[Found]:
        if self._peek() == "[":
            self._advance(self._at + 1)
            yield from self._elements()
            if self._peek():
                raise BrokenJson(self._line, "goes on behind the end of the list; keep one list, or one object per line")
            return
        while self._peek():
            yield self._value()

    def _elements(self) -> Iterator[Found]:
        while (char := self._peek()) != "]":
            if not char:
                raise BrokenJson(self._line, "ends inside the list; copy or write the file again")
            yield self._value()
            if (char := self._peek()) == ",":
                self._advance(self._at + 1)
            elif char and char != "]":
                raise BrokenJson(self._line, "is not JSON (no comma between two elements of the list); write the file again")
        self._advance(self._at + 1)

    def _peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            for position in range(self._at, len(self._buffer)):
                if self._buffer[position] not in _SPACE:
                    self._advance(position)
                    return self._buffer[position]
            self._advance(len(self._buffer))
            if self._ended:
                return ""
            self._read(_CHUNK)

    def _value(self) -> Found:
        """The value that starts here. What was parsed in vain is parsed again with twice the text."""
        line = self._line
        while True:
            self._constants.clear()
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if self._ended or len(self._buffer) - self._at > _LARGEST:
                    where = line + self._buffer.count("\n", self._at, error.pos)
                    text = self._buffer[self._at : error.pos + _SHOWN]
                    raise BrokenJson(where, f"is not JSON ({error.msg}); {remedy(text)}") from None
            except RecursionError:
                raise BrokenJson(line, "is not read: its values are nested too deep") from None
            else:
                if end < len(self._buffer) or self._ended:  # else a number may go on
                    self._advance(end)
                    return Found(line, self._line, value, list(self._constants))
            self._read(max(_CHUNK, len(self._buffer) - self._at))

    def _advance(self, position: int) -> None:
        self._line += self._buffer.count("\n", self._at, position)
        self._at = position

    def _read(self, characters: int) -> None:
        more = self._text.read(characters)
        self._ended = not more
        self._buffer, self._at = self._buffer[self._at :] + more, 0
