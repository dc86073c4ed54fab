"""prepare_requests' use of the order: notes in the first pass, the decision between the passes, shards in the second."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.state_files import PromptOrder
from campaign.core.text import percent
from campaign.requests.order.decide import in_order_of_files, sort_if_worth
from campaign.requests.order.layout import layout
from campaign.requests.order.notes import PrefixNotes
from campaign.requests.order.spill import Spill
from campaign.requests.shards import GROUPED, ShardRow, ShardWriter, footer

log = logging.getLogger(__name__)


@contextmanager
def prefix_notes(config: CampaignConfig, name: str) -> Iterator[PrefixNotes | None]:
    """Notes of a dataset's prompts, in files that are gone afterwards; None where its order is that of the files."""
    if config.datasets[name].order == "input":
        yield None
        return
    folder = config.paths.ordering(name)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        yield PrefixNotes(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class EarlierShards:
    """What an earlier run made of a dataset: how many rows, and whether its shards are grouped."""

    rows: int
    grouped: bool

    @classmethod
    def of(cls, config: CampaignConfig, name: str) -> "EarlierShards":
        manifest = records.peek(state_files.MANIFEST, config.paths.manifest(name))
        if manifest is not None:
            return cls(manifest["rows"], is_grouped(manifest))
        shards = list(config.paths.request_shards(name).glob("shard-*.parquet"))
        return cls(sum(map(_rows, shards)), any(GROUPED in footer(path) for path in shards[:1]))

    def stays(self, rows: int) -> bool:
        """Whether shards in the order of the files are kept: they hold half of the rows, and may hold their answers."""
        return not self.grouped and 2 * self.rows >= rows


def is_grouped(manifest: state_files.Manifest) -> bool:
    """Whether a dataset's shards are not in the order of its files."""
    return manifest.get("order", {}).get("kept") == "grouped"


def _rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException):
        return 0


class ShardPlacer:
    """Takes the requests of a dataset in the order of its files, and writes them to shards in the one that was decided."""

    def __init__(self, writer: ShardWriter, notes: PrefixNotes | None, samples: int, *, may_group: bool) -> None:
        self.order: PromptOrder | None = None
        self._writer, self._spill = writer, None
        self._longest: npt.NDArray[Any] | None = None
        if notes is None:
            return
        longest = notes.longest.read()
        if len(longest) and longest.min() != longest.max():
            self._longest = longest
        self.order, found = sort_if_worth(notes) if may_group else (in_order_of_files(notes), None)
        if found is not None:
            writer.grouped = True
            row_bytes = samples * notes.bytes // max(1, notes.rows)
            made = layout(notes, found, lambda left: max(1, writer.size(left * samples) // samples))
            self._spill = Spill(notes.folder, made, row_bytes)

    def add(self, number: int, sample: int, row: ShardRow) -> None:
        """Add a request of the row with this number in the files."""
        longest = 0 if self._longest is None else int(self._longest[number])
        if self._spill is None:
            self._writer.add(row, longest)
        else:
            self._spill.add(number, sample, longest, row)

    def finish(self) -> list[state_files.ShardEntry]:
        """Write what is left. Returns all shards, as in the manifest."""
        if self._spill is not None:
            self._spill.write(self._writer)
        return self._writer.finish()


def told(order: PromptOrder) -> str:
    """The order of a dataset in words."""
    shared = f"{percent(order['shared'])} of its prompt tokens are shared"
    if order["kept"] == "grouped":
        return f"{shared}; grouping saves about {percent(order['gain'])}"
    return f"{shared if order['shared'] else 'no prompts begin alike'}; the order of the files stays"
