"""The runs of Snakemake that submitted jobs to Slurm: each one's id is the name of all its jobs."""

from typing import Any

from campaign.core import records, state_files
from campaign.core.files import append_json
from campaign.core.paths import CampaignPaths


def remember_run(paths: CampaignPaths, record: dict[str, Any]) -> None:
    """Append a run of Snakemake: {"t", "slurm_run", "host", "pid"}. `slurm_run` is the name of all its jobs."""
    append_json(paths.snakemake_runs, record)


def earlier_runs(paths: CampaignPaths) -> list[dict[str, Any]]:
    """All runs of Snakemake of this campaign that submitted to Slurm, oldest first."""
    return [dict(run) for run in records.read_lines(state_files.SNAKEMAKE_RUN, paths.snakemake_runs)]
