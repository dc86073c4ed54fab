"""One row of a prompt file, and what the config says of how to read it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from campaign.config.csv_files import CsvConfig
from campaign.config.datasets import DatasetConfig

Report = Callable[[str], None]

_SHEETS = (".xlsx", ".xlsm")


@dataclass(slots=True)
class Row:
    """One row of a prompt file."""

    file: str
    number: int  # from 1, header and blank lines not counted
    line: int | None  # first line of the row; None where a format has no lines
    values: dict[str, Any]
    problem: str | None = None  # why it cannot be read, with the remedy; then there are no values
    kept: dict[str, Any] | None = None  # columns that stay beside the answer, where these are not the values

    @property
    def place(self) -> str:
        """Where to look. `file:12` is row 12, as in row ids, and line 12 too; where both differ, they are named."""
        if self.line is None:
            return f"{self.file} row {self.number}"
        if self.line == self.number:
            return f"{self.file}:{self.number}"
        return f"{self.file} row {self.number} ({_line_word(self.file)} {self.line})"

    @property
    def own(self) -> dict[str, Any]:
        """The columns that stay beside the answer."""
        return self.values if self.kept is None else self.kept

    def as_written(self, value: Any) -> Any:
        """A nested value as the user wrote it: parquet gives every struct every field, null where it was not there."""
        return value if self.line is not None else _without_nulls(value)


def at_line(file: object, line: int) -> str:
    """A place of a file that is not a row."""
    return f"{file} {_line_word(str(file))} {line}"


def _line_word(file: str) -> str:
    return "sheet row" if file.lower().endswith(_SHEETS) else "line"


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Options:
    """A dataset's options on how its files are to be read."""

    csv: CsvConfig = field(default_factory=CsvConfig)
    sheet: str | None = None


DEFAULT = Options()


def options_of(dataset: DatasetConfig) -> Options:
    return Options(dataset.csv, dataset.sheet)
