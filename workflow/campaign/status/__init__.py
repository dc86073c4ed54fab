"""`campaign status`: how far it is, from files and one squeue; works before, during and after a run, and when it is gone."""

from campaign.status.collect import collect_status
from campaign.status.render import render, watch

__all__ = ["collect_status", "render", "watch"]
