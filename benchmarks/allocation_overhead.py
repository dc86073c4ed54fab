"""What a two-node allocation is billed for beyond its engine's start and its inference, on the lab of real Slurm and Ray.

    python benchmarks/allocation_overhead.py        as root, with the packages of `make lab-packages`

Runs one campaign over two nodes (real Slurm, Snakemake and Ray; the stub for vLLM, which is not what is measured) and
splits the seconds sacct billed: the engine's start, requests in flight, and the rest (Ray, Snakemake's phases, tear-down).

Prints the seconds, and exits with 1 when the rest is above 45.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from campaign.core import events
from support import lab
from support.cluster import SlurmCampaign

LIMIT_S = 45.0


def main() -> int:
    """Bring the lab up, run the campaign, split its seconds, take the lab down."""
    with lab.running():
        folder = lab.SHARED / "overhead"
        folder.mkdir(exist_ok=True)
        campaign = SlurmCampaign(folder, rows=60, env={"STUB_LATENCY_S": "0.2"}, placement={"nodes": 2})
        result = campaign.run(timeout=500)
        if result.returncode:
            print(result.stdout)
            return 2
        return split(campaign)


def split(campaign: SlurmCampaign) -> int:
    """Print where the billed seconds of the allocation went."""
    row: dict[str, Any] = campaign.accounting().query("rule == 'allocation'").iloc[0].to_dict()
    happened = list(events.read(campaign.results / "allocations" / "stub" / "0" / "events.jsonl"))
    at = {event["event"]: event["t"] for event in happened}
    engine = at["engine_up"] - at["ray_up"]
    rest = row["wall_s"] - engine - row["infer_s"]
    print(f"billed            {row['wall_s']:6.1f} s")
    print(f"engine's start    {engine:6.1f} s")
    print(f"inference         {row['infer_s']:6.1f} s")
    print(f"rest              {rest:6.1f} s, of which Ray {at['ray_up'] - at['engine_start']:.1f} s ; at most {LIMIT_S:.0f}")
    print(f"rest / billed     {rest / row['wall_s']:6.2f}")
    return 0 if rest <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
