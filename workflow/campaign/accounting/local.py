"""accounting.parquet of campaigns on one machine. (Under Slurm the billed seconds come from sacct, joined on job_id.)"""

import logging
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from campaign import events
from campaign.accounting.runs import rows_of
from campaign.config import CampaignConfig
from campaign.files import replacing
from campaign.tables import ACCOUNTING

log = logging.getLogger(__name__)


def account(config: CampaignConfig) -> None:
    """Write accounting.parquet (tables.ACCOUNTING): a row per run of every allocation there ever was, oldest first."""
    rows = all_rows(config)
    for row in rows:
        for name in ("started_at", "ended_at"):
            row[name] = int(row[name] * 1e6)
    table = pa.Table.from_pylist(rows, schema=ACCOUNTING.schema()) if rows else ACCOUNTING.schema().empty_table()
    with replacing(config.paths.accounting) as beside:
        pq.write_table(table, beside)
    log.info("%d runs, %.0f s of server time", len(rows), sum(row["wall_s"] for row in rows))


def all_rows(config: CampaignConfig) -> list[dict[str, Any]]:
    """Accounting rows with times in unix seconds; allocations that left the config are accounted for too."""
    rows: list[dict[str, Any]] = []
    for path in sorted((config.paths.root / "allocations").glob("*/*/events.jsonl")):
        rows += rows_of(path.parts[-3], int(path.parts[-2]), events.read(path))
    return sorted(rows, key=lambda row: row["started_at"])
