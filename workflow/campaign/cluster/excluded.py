"""Nodes that could not serve, because of their hardware or driver: later jobs of the campaign leave them out."""

import time

from campaign import records
from campaign.files import append_json
from campaign.paths import CampaignPaths

# A broken GPU is replaced, a driver is reloaded: after a day the node may be tried again.
EXCLUDED_FOR_S = 86_400.0


def exclude_node(paths: CampaignPaths, node: str, why: str, job_id: str) -> None:
    """Remember that a node could not serve. Raises StorageError."""
    append_json(paths.excluded_nodes, {"t": time.time(), "node": node, "why": why, "job_id": job_id})


def excluded_nodes(paths: CampaignPaths, now: float | None = None) -> dict[str, str]:
    """Nodes to leave out, and why: those that could not serve within the last day."""
    since = (time.time() if now is None else now) - EXCLUDED_FOR_S
    known = records.read_lines(records.EXCLUDED_NODE, paths.excluded_nodes)
    return {record["node"]: record["why"] for record in known if record["t"] > since}
