"""Every placement in presets, README and docs, asked of real Slurm with Alpine's 21 rules, by the options of its job.

The lab has the partition aa100 with GPUs of 40 GB, and acpu. For other GPUs its job_submit.lua, which runs first, has the rules too;
what Slurm says after it of hardware that the lab lacks is no rule of the site. What is shown with `granted` is for users for whom a
rule does not hold.
"""

from support import lab
from support.shipped import Shipped, shipped

SHIPPED = [each for each in shipped() if each.config.site == "alpine" and not each.model.placement.granted]
HAS = {("aa100", lab.GPU_TYPE), ("acpu", None)}
LACKS = ("invalid partition specified", "Requested node configuration is not available")


def test_they_are_taken(with_rules: None) -> None:
    answers = {str(each): (each, *lab.ask(*each.sbatch())) for each in SHIPPED}
    assert {name: said for name, (each, code, said) in answers.items() if not is_taken(each, code, said)} == {}
    assert sum(code == 0 for _, code, _ in answers.values()) >= 2


def is_taken(each: Shipped, code: int, said: str) -> bool:
    """Slurm would start it, or lacks nothing but the hardware."""
    placement = each.model.placement
    if (placement.partition, placement.gpu) in HAS:
        return code == 0 and "to start at" in said
    return any(words in said for words in LACKS)


def test_over_two_nodes_they_would_not_be(with_rules: None) -> None:
    """The rules are asked for hardware that the lab lacks, too."""
    answers = {str(each): lab.ask(*each.sbatch(), "--nodes=2") for each in SHIPPED if each.model.placement.gpus_per_node}
    assert {name: said for name, (code, said) in answers.items() if code != 1 or "limited to 1 node" not in said} == {}
    assert len(answers) >= 10
