"""What plans foretell against what Slurm bills, on the lab of real Slurm.

    python benchmarks/forecast_error.py        as root, with the packages of `make lab-packages`

Runs four campaigns of the same prompts one after the other (real Slurm and Snakemake; the stub for vLLM). The first is what
the plans of the others rest on.

Prints SUs foretold over SUs billed of the three, and exits with 1 when one is off by more than 15 %.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import lab
from support.cluster import SlurmCampaign
from support.forecasts import forecast_ratios


def main() -> int:
    """Bring the lab up, run the campaigns, take the lab down."""
    with lab.running():
        folder = lab.SHARED / f"forecasts-{os.urandom(3).hex()}"
        folder.mkdir()
        campaign = SlurmCampaign(folder, rows=60, env={"STUB_LATENCY_S": "2"}, inference={"concurrency": 4})
        ratios = forecast_ratios(campaign, campaigns=4)
    print(f"foretold / billed  {'  '.join(f'{ratio:.3f}' for ratio in ratios)}   wanted 0.850 to 1.150")
    return 0 if all(0.85 <= ratio <= 1.15 for ratio in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
