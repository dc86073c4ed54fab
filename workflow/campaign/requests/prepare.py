"""prepare_requests: render a dataset into request shards.

Two passes over the files. The first checks every row and notes a 64-bit hash of each prompt and id: 16 bytes a row are all that
is held of a dataset, whatever its size. The second writes the shards. So nothing is written while there are problems, and equal
prompts get their ordinals without a dictionary of all requests.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path

from campaign.config import CampaignConfig, DatasetConfig
from campaign.core import records, state_files
from campaign.core.files import explained
from campaign.core.tables import ANSWER, passthrough_names
from campaign.core.text import listed
from campaign.requests.asked_endpoints import two_kinds
from campaign.requests.endpoints import pooled_columns
from campaign.requests.field_order import has_order_in_keys, keep_choice, question_about_order
from campaign.requests.files.matching import matching_files, unmatched
from campaign.requests.files.read import file_notes
from campaign.requests.files.row import Row
from campaign.requests.keys.adapters import key_name
from campaign.requests.keys.equal_prompts import Ordinals
from campaign.requests.keys.key import content_key
from campaign.requests.media.store import Add, writing
from campaign.requests.order.grouping import EarlierShards, ShardPlacer, prefix_notes, told
from campaign.requests.order.notes import PrefixNotes
from campaign.requests.problems import Problems, RowProblem
from campaign.requests.rows.bodies import Rendered, Renderer, renderer
from campaign.requests.rows.missing_fields import missing_in_rows
from campaign.requests.rows.request_rows import RequestRows, RowProgress
from campaign.requests.rows.samples import renamed_column, sample_body, sample_columns, sample_key, sample_types
from campaign.requests.shards import ShardWriter
from campaign.requests.stages.prepare import prepare_stage
from campaign.requests.survey import Survey

log = logging.getLogger(__name__)


def prepare(config: CampaignConfig, name: str) -> state_files.Manifest:
    """Render the dataset `name` into shards and write its manifest, which is returned:

    {"dataset", "rows", "limit", "shards": [{"index", "rows", "digest"}], "files": [{"path", "rows"}],
     "columns": [{"name" in responses, "source" in the files, "type" as in requests.columns.column_types}],
     "endpoints": [name], "samples": requests of each row}

    Raises InputError with the problems of its files (the first 20 shown), StorageError when results cannot be written.
    """
    with prefix_notes(config, name) as notes:
        return _prepare(config, name, notes)


def _prepare(config: CampaignConfig, name: str, notes: PrefixNotes | None) -> state_files.Manifest:
    dataset, problems = config.datasets[name], Problems()
    if dataset.is_stage:
        return prepare_stage(config, name)
    problems.extend(f"datasets.{name}.files: {problem}" for problem in unmatched(dataset.files, dataset.split))
    order_in_keys = has_order_in_keys(config, name, all_rows=True)
    rows = RequestRows.of(dataset, _renderer(config, name, problems, order_in_keys=order_in_keys))
    files = matching_files(dataset.files, dataset.split)
    versions = _versions(files)
    problems.extend(filter(None, [question_about_order(config, name, all_rows=True)]))
    survey = Survey(key_name(config, name), files, rows, problems, dataset.limit, notes)
    problems.extend(f"datasets.{name}.files: {problem}" for problem in two_kinds(survey.endpoints))
    _check_survey(name, survey, rows, problems)
    _check_row_fields(name, dataset, survey, problems)
    problems.raise_if_any()
    # From here on the manifest of an earlier run does not describe the shards any more.
    manifest, may_group = config.paths.manifest(name), order_in_keys and not EarlierShards.of(config, name).stays(survey.rows)
    with explained(manifest):
        manifest.unlink(missing_ok=True)
    keep_choice(config, name, in_keys=order_in_keys)
    folder = config.paths.request_shards(name)
    ordinals = survey.ordinals(config.paths.known_prompts(name), folder, order_in_keys=order_in_keys)
    sharing = max(config.models[model].placement.allocations for model in dataset.models)
    total = survey.rows * dataset.samples
    writer = ShardWriter(folder, dataset.shard_rows, order_in_keys=order_in_keys, rows=total, allocations=sharing)
    placer = ShardPlacer(writer, notes, dataset.samples, may_group=may_group)
    with writing(config.paths.media(name)) if dataset.has_media else nullcontext() as add:
        requests = _noting_media(_requests(name, files, rows, survey, problems), add)
        written = _write(config, name, requests, ordinals, placer, renamed_column(survey.types))
    if written != survey.rows or _versions(files) != versions:
        problems.add(f"datasets.{name}.files: changed while they were read; run the same command again")
    problems.raise_if_any()
    shards = placer.finish()
    content: state_files.Manifest = {
        "dataset": name,
        "rows": total,
        "limit": dataset.limit,
        "samples": dataset.samples,
        "shards": shards,
        "columns": _named_columns(config, name, survey),
        "files": [{"path": path, "rows": rows} for path, rows in survey.rows_of.items()],
        "endpoints": sorted(survey.endpoints),
    }
    if placer.order is not None and placer.order["shared"]:
        content["order"] = placer.order
        log.info("%s: %s", name, told(placer.order))
    records.write(state_files.MANIFEST, manifest, content)
    log.info("%s: %d requests in %d shards", name, content["rows"], len(shards))
    return content


def _renderer(config: CampaignConfig, name: str, problems: Problems, *, order_in_keys: bool) -> Renderer:
    try:
        return renderer(config.datasets[name], order_in_keys=order_in_keys)
    except RowProblem as error:
        problems.add(f"datasets.{name}.{error.config_key}: {error}")
        problems.raise_if_any()
        raise


def _check_survey(name: str, survey: Survey, rows: RequestRows, problems: Problems) -> None:
    """Refuse what only the whole dataset shows: files without rows, rows that are all bad."""
    if problems.count:
        return
    empty = [path for path, count in survey.rows_of.items() if not count]
    if not survey.rows:
        problems.extend(f"{path}: holds no rows; remove it from `files` or fill it" for path in empty)
    elif empty:
        log.warning("%s: skipped %d files without rows: %s", name, len(empty), listed(empty))
    if survey.bad and survey.bad == survey.rows:
        # A misspelt column is one mistake, not a dataset of bad rows.
        _add_first_problems(survey, rows, problems)
    elif survey.bad:
        log.warning("%s: %d of %d rows are bad and set aside", name, survey.bad, survey.rows)
    for path in survey.rows_of:
        for note in file_notes(Path(path), rows.options):
            log.info("%s", note)


def _check_row_fields(name: str, dataset: DatasetConfig, survey: Survey, problems: Problems) -> None:
    """A field whose column no row has is misspelt. With a `limit`, rows that have it may come behind."""
    found = [] if problems.count else missing_in_rows(dataset, survey.types)
    if survey.rows != dataset.limit:
        problems.extend(f"datasets.{name}.{problem}" for problem in found)
        return
    for problem in found:
        log.warning("datasets.%s.%s", name, problem)


def _add_first_problems(survey: Survey, rows: RequestRows, problems: Problems) -> None:
    strict = replace(rows, set_aside=False)
    for path in survey.rows_of:
        for _ in strict.read(Path(path), problems, RowProgress("looking for what is wrong")):
            pass
        if problems.full:
            return


def _versions(files: list[Path]) -> list[tuple[int, int, int] | None]:
    """Sizes and times of files, which change when one is edited; None for a file that is gone."""
    return [_version(path) for path in files]


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _requests(
    name: str, files: list[Path], rows: RequestRows, survey: Survey, problems: Problems
) -> Iterator[tuple[str, Row, Rendered]]:
    """The second pass over the files: each row with its request, and what its file is called in row ids."""
    progress = RowProgress(f"writing {name}")
    for path, shown in zip(files, _shown_names(files), strict=True):
        for row, request in islice(rows.read(path, problems, progress), survey.rows_of.get(str(path), 0)):
            yield shown, row, request


def _noting_media(requests: Iterator[tuple[str, Row, Rendered]], add: Add | None) -> Iterator[tuple[str, Row, Rendered]]:
    """The requests, while what they refer to is added to the dataset's store."""
    for shown, row, request in requests:
        if add is not None and request.media:
            add(request.media)
        yield shown, row, request


def _write(
    config: CampaignConfig,
    name: str,
    requests: Iterator[tuple[str, Row, Rendered]],
    ordinals: Ordinals,
    placer: ShardPlacer,
    renamed: str,
) -> int:
    """Write the shards. Returns the rows of the files that are in them. `renamed`: as of samples.sample_columns."""
    written, samples, named = 0, config.datasets[name].samples, key_name(config, name)
    for shown, row, request in requests:
        key = content_key(named, request.endpoint, request.key_json, int(ordinals[written]))
        row_id = f"{shown}:{row.number}" if request.row_id is None else request.row_id
        place = (row_id, row.file, row.number, request.endpoint)
        if samples == 1:
            placer.add(written, 0, (key, *place, request.body, request.columns))
        else:
            for one in range(samples):
                columns = sample_columns(request.columns, one, renamed)
                placer.add(written, one, (sample_key(key, one), *place, sample_body(request, one), columns))
        written += 1
    return written


def _shown_names(files: list[Path]) -> list[str]:
    """File names for row ids; whole paths where two files have the same name."""
    count = Counter(path.name for path in files)
    return [path.name if count[path.name] == 1 else str(path) for path in files]


def _named_columns(config: CampaignConfig, name: str, survey: Survey) -> list[dict[str, str]]:
    """Passthrough columns with their names in `responses`."""
    further = [*(column.name for column in pooled_columns(survey.endpoints)), *([ANSWER] if config.has_answer else [])]
    types = survey.types if config.datasets[name].samples == 1 else sample_types(survey.types)
    names = passthrough_names(types, further)
    return [{"name": names[source], "source": source, "type": kind} for source, kind in types.items()]
