"""`campaign export`: the answers in one file, for tools that do not read the folder of parts.

`.jsonl`: OpenAI Batch output. `.csv`, `.parquet`: the table `responses`. `hf://datasets/<owner>/<name>`: the same as a dataset
of the Hugging Face hub. All are written part by part, so memory does not grow with the campaign.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.errors import CampaignError
from campaign.core.files import replacing
from campaign.queue.stages.chain import known_rows
from campaign.report import export_hub
from campaign.report.export_batch import ids_repeat, without_form, write_batch
from campaign.report.export_table import Table, write_csv, write_parquet
from campaign.report.figures import Pair, parts

# Of `campaign export`, where rows are missing. What is there is written all the same.
UNFINISHED = 3
_HUB = "hf://"
T = TypeVar("T")
_TABLES: dict[str, Callable[[CampaignConfig, Sequence[Pair], Path], Table]] = {".csv": write_csv, ".parquet": write_parquet}
_KINDS = ".jsonl (OpenAI Batch output), .csv, .parquet, or hf://datasets/<owner>/<name>"


@dataclass
class Exported:
    """What was written. `unfinished`: what is missing, by dataset; `notes`: what else its reader should know."""

    rows: int
    where: str
    unfinished: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def export(config: CampaignConfig, to: str, model: str | None = None, dataset: str | None = None) -> Exported:
    """Write all answers (of one model, of one dataset) to `to`, in the order of its files. Raises CampaignError."""
    suffix = Path(to).suffix.lower()
    if to.startswith(_HUB):
        pairs = _pairs(config, model, dataset)
        done = _to_hub(config, pairs, to)
    elif suffix in _TABLES:
        pairs = _pairs(config, model, dataset)
        table = _replaced(Path(to), lambda beside: _TABLES[suffix](config, pairs, beside))
        done = Exported(table.rows, to, notes=list(table.notes))
    elif suffix in (".jsonl", ".json", ".ndjson", ""):
        pairs = _pairs(config, _one_model(config, model, dataset), dataset)
        done = _to_batch(config, pairs, Path(to))
    else:
        raise CampaignError(f"--to {to}: there is no such kind of export; the end of its name says which: {_KINDS}.")
    done.unfinished = [sentence for pair in pairs for sentence in _missing(config, pair)]
    return done


def export_batch(config: CampaignConfig, target: Path, model: str | None = None, dataset: str | None = None) -> int:
    """OpenAI Batch output of one model. Returns the lines written. Raises CampaignError."""
    return _to_batch(config, _pairs(config, _one_model(config, model, dataset), dataset), target).rows


def _replaced(target: Path, write: Callable[[Path], T]) -> T:
    with replacing(target) as beside:
        return write(beside)


# --- which answers --------------------------------------------------------------------------------------------------------


def _one_model(config: CampaignConfig, model: str | None, dataset: str | None) -> str:
    """The model that is named, or the only one that the dataset, or the campaign, asks."""
    asked = [name for name in config.used_models if dataset in (None, *config.datasets_of(name))] or list(config.used_models)
    names = [name for name in (config.used_models if model else asked) if model in (None, name)]
    if len(names) != 1:
        known = ", ".join(asked)
        raise CampaignError(f"A batch file holds one answer per request: name one model with --model ({known}).")
    return names[0]


def _pairs(config: CampaignConfig, model: str | None, dataset: str | None) -> list[Pair]:
    if model not in (None, *config.used_models):
        raise CampaignError(f"There is no model {model!r}; known: {', '.join(config.used_models)}")
    models = [name for name in config.used_models if model in (None, name)]
    pairs = [(name, asked) for name in models for asked in config.datasets_of(name) if dataset in (None, asked)]
    if not pairs:
        known = ", ".join(dict.fromkeys(asked for name in models for asked in config.datasets_of(name)))
        raise CampaignError(f"There is no dataset {dataset!r} of {', '.join(models)}; known: {known}")
    return pairs


def _missing(config: CampaignConfig, pair: Pair) -> Iterator[str]:
    """What a dataset lacks, by its manifest; nothing is said of results whose manifest is gone."""
    model, dataset = pair
    manifest = records.read(state_files.MANIFEST, config.paths.manifest(dataset))
    published = [pq.read_metadata(path).num_rows for path in parts(config, model, dataset)]
    if manifest is None:
        if not published:
            yield f"{dataset} of {model}: its requests are not prepared yet"
        return
    rows, unmade = known_rows(config, dataset)
    missing = rows - sum(published)
    if missing > 0:
        yield f"{dataset} of {model}: {missing:,} of {rows:,} requests have no row yet"
    if unmade:
        yield f"{dataset} of {model}: {unmade:,} shards wait for the answers that they are made of"


# --- where it goes --------------------------------------------------------------------------------------------------------


def _to_batch(config: CampaignConfig, pairs: Sequence[Pair], target: Path) -> Exported:
    for dataset, endpoint in without_form(config, pairs).items():
        raise CampaignError(
            f"{dataset}: OpenAI Batch output has no form for answers of endpoint {endpoint}; export it to .csv or .parquet"
        )
    named = len(pairs) > 1 and ids_repeat(config, pairs)
    rows = _replaced(target, lambda beside: write_batch(config, pairs, beside, with_dataset=named))
    notes = []
    if named:
        one, row = pairs[0][1], "1"
        notes.append(
            f"custom_ids of {', '.join(dataset for _, dataset in pairs)} repeat: each has its dataset in front "
            f"({one}:{row}); --dataset NAME writes one dataset, with its ids as they are"
        )
    return Exported(rows, str(target), notes=notes)


def _to_hub(config: CampaignConfig, pairs: Sequence[Pair], to: str) -> Exported:
    target = export_hub.hub_path(to, config.campaign)
    upload = export_hub.uploader(target)  # before anything is written: there may be no token
    write = _TABLES.get(Path(target.path).suffix.lower())
    if write is None:
        raise CampaignError(f"--to {to}: a dataset of the hub is written as .parquet or .csv; correct the end of the name.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(target.path).name
        rows = write(config, pairs, file).rows
        url = upload(file)
    return Exported(rows, url, notes=["a dataset that was not there is made private; its page can change that"])
