"""From a dataset's files to its requests, row by row."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign.config import DatasetConfig
from campaign.core import timing
from campaign.requests.columns.column_types import type_of_arrow
from campaign.requests.files.read import fixed_columns, read_rows
from campaign.requests.files.row import Options, Row, options_of
from campaign.requests.keys.key import canonical_json
from campaign.requests.media.columns import kept_type, media_columns
from campaign.requests.problems import Problems, RowProblem
from campaign.requests.rows import bad_rows
from campaign.requests.rows.bodies import Rendered, Renderer

log = logging.getLogger(__name__)


class RowProgress:
    """A log line with the rate every few seconds."""

    def __init__(self, doing: str) -> None:
        self._doing, self._rows, self._started = doing, 0, time.monotonic()
        self._next = self._started + timing.TIMING.prepare_line

    def step(self) -> None:
        """One more row is done."""
        self._rows += 1
        if self._rows % 1000 == 0 and (now := time.monotonic()) >= self._next:
            self._next = now + timing.TIMING.prepare_line
            log.info("%s: %d rows, %.0f rows/s", self._doing, self._rows, self._rows / (now - self._started))


@dataclass(frozen=True)
class RequestRows:
    """Reads the files of one dataset. `set_aside`: a bad row makes a request that nobody sends, and is no problem."""

    render: Renderer
    options: Options
    set_aside: bool
    media: frozenset[str] = frozenset()  # columns of images and sounds

    @classmethod
    def of(cls, dataset: DatasetConfig, render: Renderer) -> "RequestRows":
        media = frozenset(media_columns(dataset).values())
        return cls(render, options_of(dataset), dataset.on_bad_row == "set_aside", media)

    def fixed_types(self, path: Path) -> dict[str, str] | None:
        """Types of the columns that are kept of a file whose format fixes them."""
        fixed = fixed_columns(path, self.options)
        if fixed is None:
            return None
        kept = self.render.passthrough(fixed)
        return {name: type_of_arrow(kept_type(kind) if name in self.media else kind) for name, kind in kept.items()}

    def read(self, path: Path, problems: Problems, progress: RowProgress) -> Iterator[tuple[Row, Rendered]]:
        """Rows of a file with their requests; rows that make none are added to `problems`, until these are full."""
        for row in read_rows(path, problems.add, self.options):
            progress.step()
            problem = row.problem
            if problem is None:
                try:
                    yield row, self.render(row)
                    continue
                except RowProblem as error:
                    problem = str(error)
            if self.set_aside:
                yield row, self._unsent(row, problem)
            else:
                problems.add(f"{row.place}: {problem}")
                if problems.full:
                    return

    def _unsent(self, row: Row, reason: str) -> Rendered:
        columns = self.render.passthrough(row.values)
        content = bad_rows.content_of(row.file, row.number, f"{row.place}: {reason}")
        row_id = bad_rows.id_of(self.render.id_name, row.values)
        return Rendered(row_id, bad_rows.ENDPOINT, content, bad_rows.columns_of(columns), canonical_json(content))
