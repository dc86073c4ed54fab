"""One row of a prompt file, and what the config says of how to read it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from campaign.config.csv_files import CsvConfig
from campaign.config.datasets import DatasetConfig

Report = Callable[[str], None]


@dataclass(slots=True)
class Row:
    """One row of a prompt file."""

    file: str
    number: int  # from 1, header and blank lines not counted
    line: int | None  # first line of the row; None where a format has no lines
    values: dict[str, Any]
    problem: str | None = None  # why it cannot be read, with the remedy; then there are no values

    @property
    def place(self) -> str:
        """Where to look: file:line, or file and row."""
        return f"{self.file} row {self.number}" if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Options:
    """What a dataset says of how its files are to be read."""

    csv: CsvConfig = field(default_factory=CsvConfig)
    sheet: str | None = None


DEFAULT = Options()


def options_of(dataset: DatasetConfig) -> Options:
    return Options(dataset.csv, dataset.sheet)
