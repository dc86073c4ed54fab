"""When the account has to be made again: sacct did not know all jobs. The file itself says so, and why it was made last."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig

_TOKEN, _MISSING = b"campaign.token", b"campaign.unbilled_jobs"


def marked(table: pa.Table, token: str, missing: Sequence[str]) -> pa.Table:
    """The table with the token it is made for, and the ids of the jobs whose SUs are missing."""
    known = table.schema.metadata or {}
    return table.replace_schema_metadata({**known, _TOKEN: token.encode(), _MISSING: json.dumps(list(missing)).encode()})


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
    token = f"unbilled-{path.stat().st_mtime_ns}" if unbilled_jobs(path) else _metadata(path).get(_TOKEN, b"").decode()
    return f"{config.paths.config} --token {token}" if token else config.paths.config


def _metadata(path: Path) -> dict[bytes, bytes]:
    """What `marked` wrote; nothing in the file of an earlier version, or where a crash left it damaged."""
    try:
        return dict(pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowInvalid):
        return {}
