"""The first pass over a dataset's files: every row is checked, nothing is written."""

import logging
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from campaign.core import timing
from campaign.requests.bodies import Rendered, Renderer
from campaign.requests.columns import type_of_arrow, type_of_value, unify
from campaign.requests.problems import Problems, RowProblem
from campaign.requests.readers import Row, fixed_columns, read_rows
from campaign.requests.repeats import Repeats

log = logging.getLogger(__name__)

_REPEATED_IDS = 1000  # looked for at most: more tell nothing new


class SurveyProgress:
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


def rendered_rows(path: Path, render: Renderer, problems: Problems, progress: SurveyProgress) -> Iterator[tuple[Row, Rendered]]:
    """Rows of a file with their requests; rows that make none are added to `problems`, until these are full."""
    for row in read_rows(path, problems.add):
        progress.step()
        try:
            request = render(row)
        except RowProblem as error:
            problems.add(f"{row.place}: {error}")
        else:
            yield row, request
        if problems.full:
            return


class Survey:
    """What the first pass finds: rows by file, as far as `limit` goes, column types, repeated bodies; and all problems."""

    def __init__(self, name: str, files: list[Path], render: Renderer, problems: Problems, limit: int | None = None) -> None:
        self.rows_of: dict[str, int] = {}
        self.types: dict[str, str] = {}  # by name in the files
        self.endpoints: set[str] = set()
        self.bodies = Repeats()
        self._render, self._ids = render, Repeats()
        progress = SurveyProgress(f"checking {name}")
        for path in files:
            self._read(path, problems, progress, None if limit is None else limit - self.rows)
            if problems.full:
                return
            if self.rows == limit:
                break
        self.bodies.close()
        self._ids.close()
        if len(self._ids):
            problems.extend(self._repeated_ids(files))

    @property
    def rows(self) -> int:
        """Rows that make requests."""
        return sum(self.rows_of.values())

    def _read(self, path: Path, problems: Problems, progress: SurveyProgress, most: int | None) -> None:
        count = 0
        fixed = fixed_columns(path)
        for row, request in islice(rendered_rows(path, self._render, problems, progress), most):
            count += 1
            self.endpoints.add(request.endpoint)
            self.bodies.note(request.key_json, request.endpoint.encode())
            if request.row_id is not None:
                self._ids.note(request.row_id.encode())
            if fixed is None:
                for name, value in self._render.passthrough(row.values).items():
                    self._note_type(name, type_of_value(value))
        for name, kind in self._render.passthrough(fixed or {}).items():
            self._note_type(name, type_of_arrow(kind))
        self.rows_of[str(path)] = count

    def _note_type(self, name: str, kind: str) -> None:
        known = self.types.get(name)
        if kind != known:
            self.types[name] = unify(kind, known or "null")

    def _repeated_ids(self, files: list[Path]) -> Iterator[str]:
        """One problem per repeated id, naming both places; one more pass, made only when there are some."""
        first: dict[str, str] = {}
        progress = SurveyProgress("looking for repeated ids")
        for path in files:
            for row, request in rendered_rows(path, self._render, Problems(), progress):
                row_id = request.row_id or ""
                place = self._ids.place(row_id.encode())
                if place is None or place >= _REPEATED_IDS:
                    continue
                if row_id in first:
                    yield (
                        f"{row.place}: the {self._render.id_name} {row_id!r} stands already at {first[row_id]}; "
                        "give every row its own"
                    )
                first.setdefault(row_id, row.place)
