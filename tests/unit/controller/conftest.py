"""Campaigns without a server."""

from support.queued import trial

__all__ = ["trial"]
