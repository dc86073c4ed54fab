"""Batch inference campaigns: exactly one answer per prompt, every service unit explained, safe to leave alone."""

from importlib.metadata import version

__version__ = version("campaign")
