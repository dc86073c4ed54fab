"""How many answers hold what their dataset says, at once or after others, and what the others cost."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

from campaign.queue.answers.invalid_attempts import INVALID, of_column


@dataclass(frozen=True)
class Validity:
    """Of rows of datasets that say what an answer must be; other failures are none of them."""

    valid: int = 0  # rows with a valid answer
    retried: int = 0  # of these, how many hold after answers that did not
    invalid: int = 0  # rows that failed because no answer held
    prompt_tokens: int = 0  # of all answers that did not hold
    completion_tokens: int = 0

    def __add__(self, other: "Validity") -> "Validity":
        return Validity(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def to_json(self) -> bytes:
        """As a part's footer has it."""
        return orjson.dumps(asdict(self))


def from_json(data: bytes | None) -> Validity | None:
    """What a footer tells; None for a part whose dataset says nothing of its answers."""
    return None if data is None else Validity(**orjson.loads(data))


def validity_of(rows: Iterable[Mapping[str, Any]]) -> Validity:
    """Of answers as journals or rows of parts have them."""
    found = Validity()
    for row in rows:
        attempts = of_column(row.get("invalid_attempts"))
        if attempts or row["status"] == "ok" or row["error_class"] == INVALID:
            found += _of_row(row, attempts)
    return found


def _of_row(row: Mapping[str, Any], attempts: list[Mapping[str, Any]]) -> Validity:
    ok, invalid = row["status"] == "ok", row["error_class"] == INVALID
    not_held = [*attempts, row] if invalid else attempts
    read, written = (sum(one.get(name) or 0 for one in not_held) for name in ("prompt_tokens", "completion_tokens"))
    return Validity(ok, bool(ok and attempts), invalid, read, written)
