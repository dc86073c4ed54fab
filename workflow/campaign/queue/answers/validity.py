"""How many answers are valid by their dataset's `answer`, at once or after invalid ones, and what the invalid ones cost."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

from campaign.queue.answers.invalid_attempts import INVALID, of_column


@dataclass(frozen=True)
class Validity:
    """Counts of rows with valid and invalid answers, in datasets with `answer`; rows that failed otherwise are in neither."""

    valid: int = 0  # rows with a valid answer
    retried: int = 0  # of these, rows whose first answer was invalid
    invalid: int = 0  # rows that failed because no answer was valid
    prompt_tokens: int = 0  # of all invalid answers
    completion_tokens: int = 0

    def __add__(self, other: "Validity") -> "Validity":
        return Validity(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def to_json(self) -> bytes:
        """The counts as a part's footer has them."""
        return orjson.dumps(asdict(self))


def from_json(data: bytes | None) -> Validity | None:
    """Read the counts of a footer; None for a part whose dataset has no `answer`."""
    return None if data is None else Validity(**orjson.loads(data))


def validity_of(rows: Iterable[Mapping[str, Any]]) -> Validity:
    """Count answers, as journals or rows of parts have them."""
    found = Validity()
    for row in rows:
        attempts = of_column(row.get("invalid_attempts"))
        if attempts or row["status"] == "ok" or row["error_class"] == INVALID:
            found += _of_row(row, attempts)
    return found


def _of_row(row: Mapping[str, Any], attempts: list[Mapping[str, Any]]) -> Validity:
    ok, invalid = row["status"] == "ok", row["error_class"] == INVALID
    invalid_answers = [*attempts, row] if invalid else attempts
    read, written = (sum(one.get(name) or 0 for one in invalid_answers) for name in ("prompt_tokens", "completion_tokens"))
    return Validity(ok, bool(ok and attempts), invalid, read, written)
