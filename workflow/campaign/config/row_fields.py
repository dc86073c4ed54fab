"""Fields of `sampling` that each row says itself: `max_tokens: {column: limit, default: 100}`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RowField:
    """A field that takes its value from a column. `default`: of rows that have none; None leaves the field out."""

    column: str
    default: Any = None


def row_field(value: Any) -> RowField | None:
    """What a value of `sampling` says of a column; None for one that is sent as it stands.

    Only an object of exactly `column`, a name, and perhaps `default`: free objects like `metadata` may have such a key too.
    """
    if not isinstance(value, dict) or not {"column"} <= value.keys() <= {"column", "default"}:
        return None
    column = value["column"]
    return RowField(column, value.get("default")) if isinstance(column, str) else None


def row_fields(sampling: Mapping[str, Any]) -> dict[str, RowField]:
    """The fields that rows say, by name."""
    return {name: field for name, value in sampling.items() if (field := row_field(value)) is not None}
