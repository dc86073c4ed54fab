"""A made-up cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign.config import site_file
from campaign.core import sites
from campaign.site import table

TESTBED = """\
name = "testbed"
title = "The testbed"
date = 2026-11-26

[hosts]
login = "login.testbed.example"
login_nodes = "^front"
login_advice = "Start Snakemake on flow1."
slurm_advice = "log in to flow1"

[job_defaults]
gpu_qos = "day"
cpu_qos = "night"
gib_per_core = 2.0

[gpus]
b300 = { memory_gib = 260, bandwidth = 8000, tflops = 2500, kernels = "sm100", cores = 24 }

[partitions]
big = { nodes = 4, gpus = { b300 = 8 }, cores = 192, gib_per_core = 8.0, link = 50.0 }
thin = { nodes = 9, cores = 64, gib_per_core = 2.0, link = 12.5 }

[qos]
day = { hours = 24, partitions = ["big"] }
night = { hours = 12, partitions = ["thin"] }
"""


@pytest.fixture
def testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a cluster that is the only one there is."""
    path = tmp_path / "site" / "testbed.toml"
    path.parent.mkdir()
    path.write_text(TESTBED)
    monkeypatch.setattr(sites, "FOLDER", path.parent)
    forget()
    yield path
    forget()


def forget() -> None:
    """What was read of the clusters' files in this process."""
    sites._OWN.clear()
    for known in (site_file.cluster, sites.default_cluster, table.load_table):
        known.cache_clear()
