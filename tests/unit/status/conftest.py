"""Campaigns for the tests of the report."""

from support.finished import billed, finished

__all__ = ["billed", "finished"]
