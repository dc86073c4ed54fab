"""Campaigns run as a user runs them: by Snakemake, on the stub engine."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder count as `snakemake`; those of `make quick` have the marker `quick` as well."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("snakemake")
