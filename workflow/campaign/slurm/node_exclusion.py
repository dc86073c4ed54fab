"""Nodes that could not serve, because of their hardware or driver: later jobs of the campaign leave them out."""

import logging
import os
import re
import time
from collections.abc import Sequence

from campaign.core import records, state_files
from campaign.core.errors import ClusterError, StorageError
from campaign.core.files import append_json
from campaign.core.paths import CampaignPaths

log = logging.getLogger(__name__)

# A broken GPU is replaced, a driver is reloaded: after a day the node may be tried again.
EXCLUDED_FOR_S = 86_400.0

# In the environment of a job that was submitted with every node of its partition known as unfit: it runs wherever it is put.
ANY_NODE = "CAMPAIGN_ANY_NODE"


def exclude_node(paths: CampaignPaths, node: str, why: str, job_id: str) -> None:
    """Remember that a node could not serve. Raises StorageError."""
    append_json(paths.excluded_nodes, {"t": time.time(), "node": node, "why": why, "job_id": job_id})


def exclude_nodes_of(paths: CampaignPaths, nodes: Sequence[str], why: str, job_id: str) -> list[str]:
    """Remember which of a job's nodes could not serve: those that `why` names, else all. Returns them. Raises StorageError."""
    unfit = [node for node in nodes if re.search(rf"(?<![\w-]){re.escape(node)}(?![\w-])", why)] or list(nodes)
    for node in unfit:
        exclude_node(paths, node, why, job_id)
    return unfit


def refuse_excluded(paths: CampaignPaths, nodes: Sequence[str]) -> None:
    """Raises ClusterError on a node that could not serve: a job that waited when this was found, or was queued again, may be
    there. Not in one that was submitted when no other node was left.
    """
    known = excluded_nodes(paths)
    found = [node for node in nodes if node in known]
    if found and not os.environ.get(ANY_NODE):
        raise ClusterError(
            f"This job is on {', '.join(found)}, which could not serve ({known[found[0]]}). It ends before it starts a server, "
            "and Snakemake submits a new one without that node."
        )


def excluded_nodes(paths: CampaignPaths, now: float | None = None) -> dict[str, str]:
    """Nodes to leave out, and why: those that could not serve within EXCLUDED_FOR_S.

    Empty, with a warning, when the file cannot be read: a job on such a node fails, but an error here would fail all.
    """
    since = (time.time() if now is None else now) - EXCLUDED_FOR_S
    try:
        known = list(records.read_lines(state_files.EXCLUDED_NODE, paths.excluded_nodes))
    except StorageError as error:
        log.warning("No node is left out. %s", error)
        return {}
    return {record["node"]: record["why"] for record in known if record["t"] > since}
