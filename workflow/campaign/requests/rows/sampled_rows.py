"""The requests of a dataset's first rows, for checks that look at more than the length of a prompt."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from campaign.config import DatasetConfig
from campaign.core import exact_json
from campaign.requests.endpoints import APIS
from campaign.requests.files.matching import matching_files
from campaign.requests.files.read import head
from campaign.requests.files.row import Options, options_of
from campaign.requests.media.finding import Media
from campaign.requests.problems import RowProblem
from campaign.requests.rows.bodies import Renderer, renderer

log = logging.getLogger(__name__)

ROWS = 200  # of a dataset
_FILES = 20
_BYTES = 4 << 20  # of requests that are held
_WITH_CONTENT = 8  # rows whose images are held


@dataclass(frozen=True, eq=False)
class SampledRequest:
    """The request of a row. `columns`: names of the row's columns; `named`: the model that a batch line asks."""

    place: str  # file:line, or file and row
    row_id: str | None
    api: str
    body: dict[str, Any]
    columns: tuple[str, ...] = ()
    named: str | None = None
    media: Sequence[Media] = ()  # images and sounds that the body refers to; of the first rows with their content

    @property
    def form(self) -> tuple[str, ...]:
        """Names of the fields that hold what is asked."""
        return APIS[self.api].form_of(self.body)

    @property
    def asked(self) -> list[Any]:
        return [self.body.get(name) for name in self.form]

    @property
    def fields(self) -> dict[str, Any]:
        """The fields beside the prompt."""
        return {name: value for name, value in self.body.items() if name not in self.form}


@dataclass(frozen=True)
class Sample:
    """Requests of some rows of a dataset. `whole`: these are all of its requests."""

    requests: tuple[SampledRequest, ...] = ()
    whole: bool = False


def sample_requests(dataset: DatasetConfig, rows: int | None = None) -> Sample:
    """Requests of the first `rows` (default: ROWS) of the first files. Those that make none are a problem of dataset_check."""
    rows = ROWS if rows is None else rows
    if dataset.is_stage:
        return Sample()  # its rows are answers
    try:
        render = renderer(dataset)
    except RowProblem:
        return Sample()
    files, options = matching_files(dataset.files, dataset.split), options_of(dataset)
    read = files[:_FILES]
    most = min(rows, dataset.limit or rows)
    each = most if dataset.limit is not None and dataset.limit <= rows else max(1, most // max(1, len(read)))
    found: list[SampledRequest] = []
    whole, size = len(read) == len(files), 0
    for request in islice(
        (request for path in read for request in _of_file(render, path, options, each + 1)), most + len(read)
    ):
        if request is None or size > _BYTES:
            whole = False
        elif len(found) < most:
            found.append(request)
            size += len(exact_json.dumps(request.body))
    return Sample(tuple(found), whole or len(found) == dataset.limit)


def _of_file(render: Renderer, path: Path, options: Options, most: int) -> Iterator[SampledRequest | None]:
    """Requests of the first rows; None for a row that makes none, and for one behind them."""
    for number, row in enumerate(head(path, most, log.debug, options), 1):
        if number == most:
            yield None
            return
        try:
            request = None if row.problem is not None else render(row)
        except RowProblem:
            request = None
        if request is None:
            yield None
            continue
        written = row.values.get("body") if render.id_name == "custom_id" else None
        named = written.get("model") if isinstance(written, dict) else None
        body = exact_json.loads(request.body)
        yield SampledRequest(
            row.place,
            request.row_id,
            request.endpoint,
            body,
            tuple(row.values),
            named if isinstance(named, str) else None,
            request.media if number <= _WITH_CONTENT else (),
        )
