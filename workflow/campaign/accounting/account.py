"""accounting.parquet: what every run did by its own events, and when it has to be made again.

Under Slurm accounting.jobs adds what was billed. The file itself holds the ids of the jobs whose SUs it lacks.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.accounting import jobs
from campaign.accounting.runs import COUNTED, Traces, by_run, infer_was_killed, rows_of
from campaign.config import CampaignConfig
from campaign.config.site_file import cluster
from campaign.core import events, patience
from campaign.core.files import patiently, replacing, tell_once
from campaign.core.paths import CampaignPaths
from campaign.core.tables import ACCOUNTING
from campaign.queue.answers.invalid_attempts import of_column
from campaign.queue.retry import UNREADABLE
from campaign.server.server_state import read_server_state
from campaign.slurm import resources, sacct

log = logging.getLogger(__name__)

_TOKEN, _MISSING = b"campaign.token", b"campaign.unbilled_jobs"
_COUNTED_FROM = ["allocation", "job_id", "status", "prompt_tokens", "completion_tokens", "latency_s", "started_at"]
_INVALID = "invalid_attempts"


def account(config: CampaignConfig, trigger: str = "") -> None:
    """Write accounting.parquet (tables.ACCOUNTING): a row per run of every allocation there ever was, oldest first.

    `trigger`: why it runs again (see `account_arguments`), kept in the file. Raises StorageError.
    """
    rows, missing, unit = all_rows(config.paths), list[str](), resources.unit_of_bill(config)
    if config.on_slurm:
        guide = cluster(config.site).guide
        price = guide.su_per_gpu_hour if guide else None
        rows = jobs.rows(config.paths, rows, lag=patience.SACCT_LAG.seconds, guide_price=price, unit=unit)
        missing = jobs.unbilled(rows, time.time())
    table = _marked(to_table(rows), trigger, missing)
    if missing:
        log.warning(
            "The %s of %d jobs are not known yet (%s): sacct does not have them, or not their end. Their rows in %s have "
            "no su, or too little; the same command asks again and completes them.",
            "SUs" if unit == sacct.SU else unit,
            len(missing),
            ", ".join(missing[:10]) + (" ..." if len(missing) > 10 else ""),
            config.paths.accounting,
        )
    with replacing(config.paths.accounting) as beside:
        pq.write_table(table, beside)
    billed = f", {sum(row.get('su') or 0.0 for row in rows):,.1f} {unit}" if config.on_slurm else ""
    log.info("%d runs, %.0f s%s", len(rows), sum(row["wall_s"] for row in rows), billed)


def to_table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Accounting rows (times in unix seconds) as tables.ACCOUNTING; columns they lack are null."""
    times = ("started_at", "ended_at")
    return pa.Table.from_pylist(
        [{**row, **{name: int(row[name] * 1e6) for name in times}} for row in rows], schema=ACCOUNTING.schema()
    )


# --- when it has to be made again ----------------------------------------------------------------------------------------


def _marked(table: pa.Table, trigger: str, missing: Sequence[str]) -> pa.Table:
    """The table with the trigger it is made for, and the ids of the jobs whose SUs are missing."""
    known = table.schema.metadata or {}
    return table.replace_schema_metadata({**known, _TOKEN: trigger.encode(), _MISSING: json.dumps(list(missing)).encode()})


def unbilled_jobs(path: Path) -> list[str]:
    """Jobs whose SUs accounting.parquet lacks."""
    missing: list[str] = json.loads(_metadata(path).get(_MISSING, b"[]"))
    return missing


def account_arguments(config: CampaignConfig) -> Path | str:
    """Arguments of `campaign phase account`, as a param of its rule: another one when it has to run again, and only then.

    A file whose jobs are all billed gives back the param it was made with, so that a finished campaign has nothing to rerun.
    """
    path = config.paths.accounting
    if not config.on_slurm or not path.exists():
        return config.paths.config
    trigger = f"unbilled-{path.stat().st_mtime_ns}" if unbilled_jobs(path) else _metadata(path).get(_TOKEN, b"").decode()
    return f"{config.paths.config} --token {trigger}" if trigger else config.paths.config


def _metadata(path: Path) -> dict[bytes, bytes]:
    """What `_marked` wrote; nothing in the file of an earlier version, or where a crash left it damaged."""
    try:
        return dict(pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowInvalid):
        return {}


# --- runs by their events ------------------------------------------------------------------------------------------------


def all_rows(paths: CampaignPaths) -> list[dict[str, Any]]:
    """Accounting rows with times in unix seconds; models and allocations that left the config are accounted for too."""
    rows: list[dict[str, Any]] = []
    for model, allocation in paths.known_allocations():
        happened = list(events.read(paths.allocation(model, allocation).events))
        first_look = rows_of(model, allocation, happened)
        if any(row["state"] == "KILLED" for row in first_look) or infer_was_killed(happened):
            rows += rows_of(model, allocation, happened, _traces(paths, model, allocation, happened))
        else:
            rows += first_look
    return sorted(rows, key=lambda row: row["started_at"])


def _traces(paths: CampaignPaths, model: str, allocation: int, happened: list[dict[str, Any]]) -> dict[str, Traces]:
    """What the runs of an allocation left behind beside their events. One pass over the model's responses."""
    server_state = read_server_state(paths.allocation(model, allocation).server_state)
    jobs = {run: next((e["job_id"] for e in recorded if "job_id" in e), run) for run, recorded in by_run(happened).items()}
    # Runs of a requeued Slurm job share its id: which of them got an answer, its row does not tell.
    sole = {job for job, runs in Counter(jobs.values()).items() if runs == 1}
    answers = _answers_of_jobs(paths, model, allocation)
    traces = {}
    for run, job in jobs.items():
        latest = server_state is not None and server_state.run == run
        seen: dict[str, Any] = (
            {"last_seen": server_state.heartbeat, "alive": server_state.alive()} if server_state is not None and latest else {}
        )
        traces[run] = Traces(**seen, **(answers.get(job, {}) if job in sole else {}))
    return traces


def _answers_of_jobs(paths: CampaignPaths, model: str, allocation: int) -> dict[str, dict[str, Any]]:
    """Counts, first sending and last answer (unix seconds) of the rows each job got. Reads batch by batch."""
    jobs: dict[str, dict[str, Any]] = {}
    for path in _parts(paths, model):
        try:
            found = patiently(path, partial(_answers_of_part, path, allocation))
        except UNREADABLE as error:  # damaged, or not ours: enqueue puts it aside when it looks again
            tell_once(path, f"{path} is no part of answers, and is not counted: {error}")
            continue
        for job, answers in found.items():
            _add(jobs, job, answers["counts"], answers["first"], answers["last"])
    return jobs


def _answers_of_part(path: Path, allocation: int) -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = {}
    for batch in _batches(path):
        mine = batch.filter(pc.equal(batch.column("allocation"), allocation))
        for job in mine.column("job_id").unique().to_pylist():
            rows = mine.filter(pc.equal(mine.column("job_id"), job))
            sent = rows.column("started_at").cast(pa.int64()).to_numpy() / 1e6
            took = pc.fill_null(rows.column("latency_s"), 0.0).to_numpy()
            _add(jobs, job, _counts(rows), float(sent.min()), float((sent + took).max()))
        for attempt in _invalid_attempts(batch):
            if attempt["allocation"] == allocation:  # of another run than its row, perhaps
                tokens = Counter({name: attempt[name] for name in COUNTED[2:]})
                _add(jobs, attempt["job_id"], tokens, attempt["started_at"], attempt["started_at"] + attempt["latency_s"])
    return jobs


def _parts(paths: CampaignPaths, model: str) -> Iterable[Path]:
    """The parts of all datasets. Where a grouped one has its own, what stands in `responses` is a copy of them."""
    grouped = sorted(paths.grouped_parts_of(model).glob("dataset=*/part-*.parquet"))
    copied = {path.parent.name for path in grouped}
    read = sorted(paths.responses_of(model).glob("dataset=*/part-*.parquet"))
    return [*(path for path in read if path.parent.name not in copied), *grouped]


def _add(jobs: dict[str, dict[str, Any]], job: str, counts: Counter[str], first: float, last: float) -> None:
    answers = jobs.setdefault(job, {"counts": Counter(), "first": float("inf"), "last": 0.0})
    answers["counts"] += counts
    answers["first"], answers["last"] = min(answers["first"], first), max(answers["last"], last)


def _invalid_attempts(batch: pa.RecordBatch) -> Iterable[Mapping[str, Any]]:
    """Invalid answers that were asked again, of all rows of a batch; of an earlier version's part there are none."""
    if _INVALID in batch.schema.names:
        for column in batch.column(_INVALID).drop_null().to_pylist():
            yield from of_column(column)


def _batches(path: Path) -> Iterable[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(columns=[*_COUNTED_FROM, *({_INVALID} & set(file.schema_arrow.names))])


def _counts(rows: pa.RecordBatch) -> Counter[str]:
    answered = pc.sum(pc.equal(rows.column("status"), "ok")).as_py() or 0
    tokens = {name: pc.sum(rows.column(name)).as_py() or 0 for name in COUNTED[2:]}
    return Counter({"answered": answered, "failed": len(rows) - answered, **tokens})
