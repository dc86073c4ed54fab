"""A request shard as a model sees it: where its requests, journals and part are, and whether it is done."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core import records, state_files
from campaign.core.errors import RequestsDamaged
from campaign.core.files import patiently
from campaign.core.paths import CampaignPaths
from campaign.requests.keys.key import request_key
from campaign.requests.order.grouping import is_grouped
from campaign.requests.shards import read_shard, shard_path, stored_digest

_PART = re.compile(r"part-(\d{5,})\.parquet")


@dataclass(frozen=True)
class Shard:
    """One shard of one dataset, to be answered by one model of the given identity."""

    paths: CampaignPaths
    model: str
    dataset: str
    index: int
    rows: int
    digest: str  # of the request shard and the model: the part that carries it is this shard's answer
    set_aside: int = 0  # rows that nobody sends (requests.rows.bad_rows), as the manifest counts them
    is_tail: bool = False  # smaller than others, so that allocations end together (requests.shard_sizes)
    grouped: bool = False  # its rows are neighbours for a cache, and not in the files (see requests.order)
    is_continued: bool = False  # its last group of prompts goes on in the next shard
    longest: int = 0  # tokens that an answer may have, where the dataset's rows differ in it

    @property
    def name(self) -> str:
        return f"{self.dataset}-{self.index:05d}"

    @property
    def next_name(self) -> str:
        return f"{self.dataset}-{self.index + 1:05d}"

    @property
    def requests_path(self) -> Path:
        return shard_path(self.paths.request_shards(self.dataset), self.index)

    @property
    def part(self) -> Path:
        return part_path(self.paths, self.model, self.dataset, self.index, grouped=self.grouped)

    @property
    def journals(self) -> Path:
        # The digest in the name keeps journals of an edited dataset apart from those of the shard it has become.
        return self.paths.journals(self.model, self.dataset) / f"shard-{self.index:05d}-{self.digest[:12]}"

    def is_done(self, seconds: float | None = None) -> bool:
        """Whether the part is there and belongs to these very requests. Reads a footer; `seconds` as of files.patiently."""
        return stored_digest(self.part, seconds) == self.digest

    def requests(self, seconds: float | None = None) -> pa.Table:
        """The request shard (tables.REQUESTS). Raises RequestsDamaged, StorageError (`seconds` as of files.patiently)."""
        return self._read(read_shard, seconds)

    def keys(self, identity: str) -> list[str]:
        """Request keys in shard order. Raises RequestsDamaged, StorageError when the file system does not give them."""
        table = self._read(lambda path: pq.read_table(path, columns=["content_key"], partitioning=None))
        return [request_key(identity, key) for key in table.column("content_key").to_pylist()]

    def _read(self, read: Callable[[Path], pa.Table], seconds: float | None = None) -> pa.Table:
        try:
            table = patiently(self.requests_path, lambda: read(self.requests_path), seconds)
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(str(error)) from None
        if len(table) != self.rows:
            raise self._damaged(f"it has {len(table)} rows, its manifest says {self.rows}")
        return table

    def _damaged(self, why: str) -> RequestsDamaged:
        return RequestsDamaged(
            f"Cannot use {self.requests_path}: {why}. Remove it and {self.paths.manifest(self.dataset)}, then run the same "
            "command again: the requests are rendered again, and answers so far are kept."
        )


def parts_folder(paths: CampaignPaths, model: str, dataset: str, *, grouped: bool) -> Path:
    """Where the parts of a dataset's shards are. Those of a grouped one are not what is read (see queue.input_order)."""
    return paths.grouped_parts(model, dataset) if grouped else paths.parts(model, dataset)


def part_path(paths: CampaignPaths, model: str, dataset: str, index: int, *, grouped: bool) -> Path:
    """Where a shard's part is."""
    return parts_folder(paths, model, dataset, grouped=grouped) / f"part-{index:05d}.parquet"


def published_parts(paths: CampaignPaths, model: str, dataset: str) -> list[Path]:
    """The parts that a dataset's shards have so far, in their order."""
    return sorted(folder_of_parts(paths, model, dataset).glob("part-*.parquet"))


def folder_of_parts(paths: CampaignPaths, model: str, dataset: str) -> Path:
    """Where the parts of a dataset's shards are, by its manifest."""
    manifest = records.read(state_files.MANIFEST, paths.manifest(dataset))
    return parts_folder(paths, model, dataset, grouped=manifest is not None and is_grouped(manifest))


def part_index(path: Path) -> int | None:
    """The shard index in a part's file name; None for a foreign file."""
    found = _PART.fullmatch(path.name)
    return int(found[1]) if found else None


def part_digest(shard_digest: str, identity: str) -> str:
    """Digest a part carries: of the request shard's content and the model's identity."""
    return hashlib.blake2b(f"{shard_digest}\0{identity}".encode(), digest_size=16).hexdigest()


def manifest_of(paths: CampaignPaths, dataset: str) -> state_files.Manifest:
    """Read what prepare_requests made of a dataset. Raises Incomplete when it is not there, or damaged."""
    again = f"the requests of {dataset} are rendered anew, and answers so far are kept"
    return records.require(state_files.MANIFEST, paths.manifest(dataset), again)
