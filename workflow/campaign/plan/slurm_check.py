"""What Slurm, or the plugin that submits to it, would refuse.

The plugin swallows what goes wrong while it submits a group (its handler asks the group for its rule), and Snakemake then waits
for ever. So all of it is asked before the first job.
"""

import getpass

from campaign.config import CampaignConfig
from campaign.config.site_file import cluster
from campaign.core import patience
from campaign.core.errors import ClusterError
from campaign.core.text import did_you_mean, nearest
from campaign.slurm import client as slurm

_PATIENCE_S = patience.PLAN_SLURM.seconds


def check_slurm(config: CampaignConfig) -> list[str]:
    """Problems of the account, each with its key and remedy; empty on one machine. (Partitions and QoS: plan.feasibility.)"""
    if not config.on_slurm:
        return []
    try:
        return _account(config)
    except ClusterError as error:
        return [f"Slurm does not answer: {error} Is this a host of the cluster? ({cluster(config.site).hosts.slurm_advice})"]


def _account(config: CampaignConfig) -> list[str]:
    user = getpass.getuser()
    listed = slurm.run(["sacctmgr", "-n", "-s", "list", "user", user, "format=account%256"], _PATIENCE_S)
    known = sorted({line.strip() for line in listed.splitlines() if line.strip()})
    if config.account is None:
        return [f"account: is missing; every job is charged to one. Yours: {', '.join(known) or 'none'}"]
    if known and config.account.lower() not in {account.lower() for account in known}:
        remedy = did_you_mean(nearest(config.account, known), f"known: {', '.join(known)}")
        return [f"account: {config.account!r} is none of {user}'s; {remedy}"]
    return []
