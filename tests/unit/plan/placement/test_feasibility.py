"""Plans that work and plans that do not: model, settings, placement; what is refused, and what is only warned of.

The site is Alpine as its table has it, so that the verdicts do not change with the cluster of the day.
"""

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from campaign.config import ModelConfig
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.placement.feasibility import diagnose_model, files_too_large
from campaign.server.engine.adapter_room import AdapterRoom
from campaign.site.cluster_records import Maintenance, PartitionRules
from campaign.site.table import load_table
from support.architectures import metadata

SITE = load_table("alpine")

A100 = {"partition": "aa100", "gpu": "a100-40gb"}
A100_80 = {"partition": "aa100", "gpu": "a100_80gb"}
H200 = {"partition": "ah200", "gpu": "h200"}
L40 = {"partition": "al40", "gpu": "l40"}
MI100 = {"partition": "ami100", "gpu": "mi100"}
RTX = {"partition": "artxpro6000", "gpu": "rtx_pro_6000"}


def grid(nodes: int, gpus: int) -> dict[str, int]:
    return {"nodes": nodes, "gpus_per_node": gpus}


def split(tensor: int, stages: int = 1, **more: Any) -> dict[str, Any]:
    return {"tensor_parallel": tensor, "pipeline_parallel": stages, **more}


# model, its settings, its placement, rules of the refusals, rules of the warnings
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], set[str], set[str]]] = {
    # The three examples of the deployment guide, as it writes them: --nodes=2 --gres=gpu:4 on aa100.
    "guide, 405B": ("llama-3.1-405b", split(8, 2), A100 | grid(2, 4), {"parallelism", "job_nodes", "gpus_per_node", "user_limit", "weights"}, {"across_nodes"}),
    "guide, 8x22B": ("mixtral-8x22b", split(8), A100 | grid(2, 4), {"job_nodes", "gpus_per_node", "user_limit", "kv_cache"}, {"across_nodes"}),
    "guide, 70B": ("llama-3.1-70b", split(8), A100 | grid(2, 4), {"job_nodes", "gpus_per_node", "user_limit"}, {"across_nodes"}),
    # What fits.
    "8B on one A100": ("llama-3.1-8b", split(1, max_model_len=32768), A100 | grid(1, 1), set(), set()),
    "8B on one L40": ("llama-3.1-8b", split(1, max_model_len=32768), L40 | grid(1, 1), set(), set()),
    "8B on a half H200": ("llama-3.1-8b", {}, {"partition": "ah200", "gpu": "h200_3g.71gb"} | grid(1, 1), set(), set()),
    "8B, three replicas": ("llama-3.1-8b", split(1, data_parallel=3, max_model_len=8192), A100 | grid(1, 3), set(), set()),
    "1B on a slice": ("llama-3.2-1b", {"max_model_len": 8192}, {"partition": "aa100", "gpu": "a100_3g.20gb", "qos": "gpu-testing", "walltime": "1h"} | grid(1, 1), set(), set()),
    "70B on two H200": ("llama-3.1-70b", split(2, max_model_len=32768), H200 | grid(1, 2), set(), set()),
    "70B on three 80 GB": ("llama-3.1-70b", split(1, 3, max_model_len=16384), A100_80 | grid(1, 3), set(), set()),
    "70B FP8 on two 80 GB": ("llama-3.1-70b-fp8", split(2, max_model_len=16384), A100_80 | grid(1, 2), set(), set()),
    "granted three nodes": ("llama-3.1-70b", split(2, 3), A100 | grid(3, 2) | {"granted": ["nodes"]}, set(), {"job_nodes"}),
    "granted eight A100": ("llama-3.1-8b", split(1, 8, max_model_len=8192), A100 | grid(8, 1) | {"granted": ["nodes", "gpus"]}, set(), {"job_nodes", "user_limit"}),
    "granted a day more": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | grid(1, 1) | {"walltime": "2d", "granted": ["walltime"]}, set(), {"walltime"}),
    "granted all the cores": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | grid(1, 1) | {"cpus_per_gpu": 64, "granted": ["cores"]}, set(), {"cores_per_gpu"}),
    "20 cores for one GPU": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | grid(1, 1) | {"cpus_per_gpu": 20}, set(), set()),
    "eight cores of a testing node": ("llama-3.2-1b", {"max_model_len": 8192}, {"partition": "atesting", "qos": "testing", "walltime": "1h"}, set(), set()),
    "256 GiB of amem": ("llama-3.2-1b", {}, {"partition": "amem", "qos": "mem-normal", "mem_per_node": 256}, set(), {"memory_billed"}),
    "70B FP8 on the fly": ("llama-3.1-70b", split(1, quantization="fp8", max_model_len=8192), H200 | grid(1, 1), set(), set()),
    "70B AWQ on one 80 GB": ("llama-3.1-70b-awq", split(1, max_model_len=8192), A100_80 | grid(1, 1), set(), set()),
    "70B AWQ on two A100": ("llama-3.1-70b-awq", split(2, max_model_len=8192), A100 | grid(1, 2), set(), set()),
    "405B FP8 on four H200": ("llama-3.1-405b-fp8", split(4), H200 | grid(1, 4), set(), set()),
    "8x22B on four H200": ("mixtral-8x22b", split(4), H200 | grid(1, 4), set(), set()),
    "8x22B on four RTX": ("mixtral-8x22b", split(4, max_model_len=32768), RTX | grid(1, 4), set(), set()),
    "32B on two 80 GB": ("qwen3-32b", split(2), A100_80 | grid(1, 2), set(), set()),
    "30B-A3B on one RTX": ("qwen3-30b-a3b", split(1, max_model_len=16384), RTX | grid(1, 1), set(), set()),
    "gpt-oss on one RTX": ("gpt-oss-120b", {}, RTX | grid(1, 1), set(), set()),
    "gemma on one H200": ("gemma-3-27b", split(1, max_model_len=32768), H200 | grid(1, 1), set(), set()),
    "on the CPUs": ("llama-3.2-1b", {}, {"partition": "acpu"}, set(), set()),
    # What does not fit.
    "405B in 16 bit": ("llama-3.1-405b", split(4), H200 | grid(1, 4), {"weights"}, set()),
    "405B FP8 on RTX": ("llama-3.1-405b-fp8", split(4), RTX | grid(1, 4), {"weights"}, set()),
    "DeepSeek-V3": ("deepseek-v3", split(4), H200 | grid(1, 4), {"weights"}, set()),
    "8x22B on six A100": ("mixtral-8x22b", split(2, 3), A100 | grid(3, 2), {"weights", "job_nodes"}, set()),
    "70B on one H200": ("llama-3.1-70b", split(1), H200 | grid(1, 1), {"weights"}, set()),
    "32B, whole context": ("qwen3-32b", split(2), A100 | grid(1, 2), {"kv_cache"}, set()),
    "8B, whole context, 20 GB": ("llama-3.1-8b", {}, {"partition": "ah200", "gpu": "h200_2g.35gb"} | grid(1, 1), {"kv_cache"}, set()),
    "8B in 32 bit": ("llama-3.1-8b", {"dtype": "float32", "max_model_len": 16384}, A100 | grid(1, 1), {"kv_cache"}, set()),
    "8B with little memory allowed": ("llama-3.1-8b", {"gpu_memory_utilization": 0.3}, A100 | grid(1, 1), {"weights"}, set()),
    # What vLLM cannot split, and what it does not take.
    "3 does not divide 32 heads": ("llama-3.1-8b", split(3, max_model_len=8192), A100 | grid(1, 3), {"heads"}, set()),
    "3 does not divide 28 heads": ("qwen2.5-7b", split(3), A100 | grid(1, 3), {"heads"}, set()),
    "more stages than layers": ("llama-3.2-1b", split(1, 17), A100 | grid(17, 1), {"layers", "nodes", "user_limit", "job_nodes"}, set()),
    "more GPUs than split": ("llama-3.1-8b", split(1, max_model_len=8192), A100 | grid(1, 2), {"parallelism"}, set()),
    "fewer GPUs than split": ("llama-3.1-8b", split(2, max_model_len=8192), A100 | grid(1, 1), {"parallelism"}, set()),
    "longer than the model": ("mistral-7b", {"max_model_len": 65536}, H200 | grid(1, 1), {"context"}, set()),
    "replicas on several nodes": ("llama-3.1-8b", split(1, data_parallel=4, max_model_len=8192), A100 | grid(2, 2), {"job_nodes"}, {"replicas_apart"}),
    "replicas of whole nodes": ("llama-3.1-8b", split(1, 2, data_parallel=2, max_model_len=8192), A100 | grid(4, 1), {"job_nodes"}, {"replicas_apart"}),
    "experts on several nodes": ("qwen3-30b-a3b", split(1, data_parallel=2, max_model_len=8192), RTX | grid(2, 1), {"job_nodes"}, set()),
    "replicas that cross nodes": ("llama-3.1-8b", split(2, data_parallel=3, max_model_len=8192), A100 | grid(2, 3), {"replicas", "job_nodes"}, set()),
    "replicas that end in a node": ("llama-3.1-8b", split(1, 3, data_parallel=2, max_model_len=8192), A100 | grid(3, 2), {"replicas", "job_nodes"}, set()),
    "replicas on nodes without GPUs": ("llama-3.2-1b", {"data_parallel": 2}, {"partition": "acpu", "nodes": 2}, {"replicas"}, set()),
    "tensor parallel across nodes": ("llama-3.1-8b", split(4, max_model_len=8192), A100 | grid(2, 2), {"job_nodes"}, {"across_nodes"}),
    # What Alpine does not have, or not give.
    "no such partition": ("llama-3.1-8b", {}, {"partition": "a100"} | grid(1, 1), {"partition"}, set()),
    "no partition": ("llama-3.1-8b", {}, grid(1, 1), {"partition"}, set()),
    "misspelt GPU": ("llama-3.1-8b", {"max_model_len": 8192}, {"partition": "aa100", "gpu": "a100_40gb"} | grid(1, 1), {"gpu_type"}, set()),
    "GPU of another partition": ("llama-3.1-8b", {"max_model_len": 8192}, {"partition": "aa100", "gpu": "h200"} | grid(1, 1), {"gpu_type"}, set()),
    "several types, none named": ("llama-3.1-8b", {"max_model_len": 8192}, {"partition": "aa100"} | grid(1, 1), {"gpu_type"}, set()),
    "four GPUs on a node of three": ("llama-3.1-8b", split(4, max_model_len=8192), A100 | grid(1, 4), {"gpus_per_node"}, set()),
    "seven A100 of one user": ("llama-3.1-8b", split(1, 7, max_model_len=8192), A100 | grid(7, 1), {"user_limit", "job_nodes"}, set()),
    "six 80 GB of one user": ("llama-3.1-70b", split(2, 3), A100_80 | grid(3, 2), {"user_limit", "job_nodes"}, set()),
    "eight H200": ("deepseek-v3", split(4, 2), H200 | grid(2, 4), {"user_limit", "job_nodes"}, set()),
    "slices side by side": ("llama-3.1-8b", split(2, max_model_len=8192), {"partition": "ah200", "gpu": "h200_3g.71gb"} | grid(1, 2), {"mig"}, set()),
    "slices across nodes": ("llama-3.1-8b", split(1, 2, max_model_len=8192), {"partition": "ah200", "gpu": "h200_2g.35gb"} | grid(2, 1), {"mig", "job_nodes"}, set()),
    "two nodes": ("llama-3.1-8b", split(1, 2, max_model_len=8192), A100 | grid(2, 1), {"job_nodes"}, set()),
    "two GPUs in gpu-testing": ("llama-3.2-1b", split(2), MI100 | {"qos": "gpu-testing", "walltime": "1h"} | grid(1, 2), {"user_limit", "kernels"}, set()),
    "a whole A100 in gpu-testing": ("llama-3.2-1b", {}, A100 | {"qos": "gpu-testing", "walltime": "1h"} | grid(1, 1), {"user_limit"}, set()),
    "MI100": ("llama-3.2-1b", {}, MI100 | grid(1, 1), {"kernels"}, set()),
    "MI100 with a build of one's own": ("llama-3.2-1b", {"env": {"PYTORCH_ROCM_ARCH": "gfx908"}, "max_model_len": 8192}, MI100 | grid(1, 1), set(), set()),
    "two days": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | {"walltime": "2d"} | grid(1, 1), {"walltime"}, set()),
    "two days in gpu-long": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | {"walltime": "2d", "qos": "gpu-long"} | grid(1, 1), set(), set()),
    "two hours in gpu-testing": ("llama-3.2-1b", {"max_model_len": 8192}, {"partition": "aa100", "gpu": "a100_3g.20gb", "qos": "gpu-testing", "walltime": "2h"} | grid(1, 1), {"walltime"}, set()),
    "misspelt QoS": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | {"qos": "gpu-norml"} | grid(1, 1), {"qos"}, set()),
    "QoS of another partition": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | {"qos": "cpu-normal"} | grid(1, 1), {"qos"}, set()),
    "testing takes five jobs": ("llama-3.2-1b", {"max_model_len": 8192}, {"partition": "aa100", "gpu": "a100_3g.20gb", "qos": "gpu-testing", "walltime": "1h", "allocations": 6} | grid(1, 1), {"jobs"}, {"turns"}),
    "more cores than a node": ("llama-3.1-8b", split(1, max_model_len=8192), A100 | {"cpus_per_gpu": 65} | grid(1, 1), {"cores", "cores_per_gpu"}, set()),
    "more cores than a GPU may have": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | {"cpus_per_gpu": 22} | grid(1, 1), {"cores_per_gpu"}, set()),
    "an odd number of cores": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | {"cpus_per_gpu": 21} | grid(1, 1), {"cores_per_gpu"}, set()),
    "nine cores of a testing node": ("llama-3.2-1b", {"max_model_len": 8192}, {"partition": "atesting", "qos": "testing", "walltime": "1h", "cpus_per_gpu": 9}, {"job_cores"}, set()),
    "little memory of amem": ("llama-3.2-1b", {}, {"partition": "amem", "qos": "mem-normal"}, {"job_memory"}, set()),
    "a day in gpu-long": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | {"walltime": "24h", "qos": "gpu-long"} | grid(1, 1), {"short_walltime"}, set()),
    "more memory than a node": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | {"mem_per_node": 300} | grid(1, 1), {"memory_per_node"}, set()),
    # What works, but not as one may think.
    "memory that is billed": ("llama-3.1-8b", {"max_model_len": 8192}, A100 | {"mem_per_node": 120} | grid(1, 1), set(), {"memory_billed"}),
    "allocations that wait for each other": ("llama-3.1-8b", split(2, max_model_len=8192), A100 | {"allocations": 5} | grid(1, 2), set(), {"turns"}),
    "GPU nodes without GPUs": ("llama-3.2-1b", {}, {"partition": "aa100", "qos": "gpu-normal"}, {"no_gpus"}, set()),
}  # fmt: skip


def model_of(settings: dict[str, Any], placement: dict[str, Any]) -> ModelConfig:
    return ModelConfig.model_validate({"source": "org/model", **settings, "placement": placement})


def rules(findings: list[Diagnostic], *, warning: bool) -> set[str]:
    return {finding.rule for finding in findings if finding.warning == warning}


@pytest.mark.parametrize("case", CASES)
def test_verdict(case: str) -> None:
    architecture, settings, placement, refused, warned = CASES[case]
    findings = diagnose_model("big", model_of(settings, placement), metadata(architecture), SITE)
    assert rules(findings, warning=False) == refused, [str(finding) for finding in findings]
    assert rules(findings, warning=True) == warned, [str(finding) for finding in findings]
    for finding in findings:
        assert finding.config_key.startswith("models.big")
        assert finding.reason


SHAPED = {
    "job_nodes",
    "gpus_per_node",
    "user_limit",
    "mig",
    "kernels",
    "weights",
    "kv_cache",
    "parallelism",
}  # these name a shape
WORKS = re.compile(
    r"what works: (?P<settings>.*?)placement (?P<where>\{.*?\}) with (?P<split>[^;(]*)(?:; for more GPUs (?P<more>.*?),)?"
)


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][3] & SHAPED])
def test_the_shape_that_is_named_works(case: str) -> None:
    """As a user types it over their own: settings, placement and parallelism; and with as many allocations as are named."""
    architecture, settings, placement, _, _ = CASES[case]
    findings = diagnose_model("big", model_of(settings, placement), metadata(architecture), SITE)
    told = {finding.remedy for finding in findings if finding.rule in SHAPED and not finding.warning}
    assert told
    for named in (WORKS.search(remedy) for remedy in told):
        if named is None:
            assert architecture in ("deepseek-v3", "llama-3.1-405b"), told  # nothing one user may have holds them
            continue
        changed = yaml.safe_load(f"{{{named['settings'].replace('fp8 (or a source that is)', 'fp8')}{named['split']}}}")
        where = {**placement, **yaml.safe_load(named["where"]), **yaml.safe_load(f"{{{named['more'] or ''}}}")}
        left = diagnose_model("big", model_of({**settings, **changed}, where), metadata(architecture), SITE)
        assert left == [], told
        assert where["nodes"] == 1, told


def test_several_allocations_stand_for_several_nodes() -> None:
    model = model_of(split(1, 2, max_model_len=8192), A100 | grid(2, 1))
    (finding,) = diagnose_model("big", model, metadata("llama-3.1-8b"), SITE)
    assert (finding.rule, finding.submission) == ("job_nodes", True)
    assert str(finding) == (
        "models.big.placement.nodes: 2 nodes, and Alpine takes jobs of at most 1 node on aa100; what works: placement {partition: "
        "aa100, gpu: a100-40gb, nodes: 1, gpus_per_node: 1} with tensor_parallel: 1, pipeline_parallel: 1; for more GPUs "
        "allocations: 2, which share the prompts"
    )


def test_replicas_and_all_their_gpus_are_part_of_a_remedy() -> None:
    model = model_of(split(1, data_parallel=2, max_model_len=8192), A100 | grid(2, 1))
    told = {finding.remedy for finding in diagnose_model("big", model, metadata("llama-3.1-8b"), SITE) if not finding.warning}
    assert told == {
        "what works: placement {partition: aa100, gpu: a100-40gb, nodes: 1, gpus_per_node: 2} with tensor_parallel: 1, "
        "pipeline_parallel: 1, data_parallel: 2"
    }


def test_a_remedy_has_room_for_more_than_one_long_request() -> None:
    """In 16 bit two A100 of 80 GB hold one context of 16,384, by 12 % of it: three hold 13."""
    model = model_of(split(2, 3, max_model_len=16384), A100 | grid(3, 2))
    (finding,) = diagnose_model("big", model, metadata("llama-3.1-70b"), SITE)
    assert "gpu: a100_80gb, nodes: 1, gpus_per_node: 3} with tensor_parallel: 1, pipeline_parallel: 3" in finding.remedy


@pytest.mark.parametrize(("case", "named"), [("32B, whole context", True), ("guide, 8x22B", False)])
def test_a_shorter_context_is_named_where_it_will_do(case: str, named: bool) -> None:
    """Not for the guide's job, whose nodes would be refused all the same."""
    architecture, settings, placement, _, _ = CASES[case]
    findings = diagnose_model("big", model_of(settings, placement), metadata(architecture), SITE)
    (told,) = [finding.remedy for finding in findings if finding.rule == "kv_cache"]
    assert told.startswith("max_model_len: ") == named


@pytest.mark.parametrize("set_by_user", [None, 120])
def test_memory_that_a_cluster_gives_a_core_and_a_partition_bills(set_by_user: int | None) -> None:
    """There is nothing to leave out then: the plan says how much the partition's cores come with."""
    site = replace(SITE, job_defaults=SITE.job_defaults.model_copy(update={"gib_per_core": 4.5}))

    def found(mem_per_node: int | None) -> list[Diagnostic]:
        model = model_of({"max_model_len": 8192}, A100 | grid(1, 1) | {"mem_per_node": mem_per_node})
        return diagnose_model("big", model, metadata("llama-3.1-8b"), site)

    (billed,) = found(set_by_user)
    assert (billed.rule, billed.remedy) == ("memory_billed", "use 30, which the cores come with")
    assert ("is not set, and Alpine takes 4.5 GiB for each core" in billed.reason) == (set_by_user is None)
    assert found(30) == []


def test_what_memory_costs_that_a_cluster_gives_a_core() -> None:
    site = replace(SITE, job_defaults=SITE.job_defaults.model_copy(update={"gib_per_core": 4.5}))
    (billed,) = diagnose_model("big", model_of({"max_model_len": 8192}, A100 | grid(1, 1)), metadata("llama-3.1-8b"), site)
    assert billed.reason.endswith("; more than 3.75 GiB per core on aa100 adds 2 cores: 1.0 SU per hour more")


def test_a_site_without_rules_takes_several_nodes() -> None:
    """Another cluster's file says nothing of nodes, nor of cores for each GPU."""
    partitions = {name: replace(partition, rules=PartitionRules()) for name, partition in SITE.partitions.items()}
    gpus = {name: replace(gpu, cores=None) for name, gpu in SITE.gpus.items()}
    model = model_of(split(2, 3), A100 | grid(3, 2) | {"cpus_per_gpu": 30})
    assert diagnose_model("big", model, metadata("llama-3.1-70b"), replace(SITE, partitions=partitions, gpus=gpus)) == []


@pytest.mark.parametrize(("gib", "granted", "told"), [(80, [], None), (100, [], False), (100, ["memory"], True)])
def test_memory_for_each_gpu_where_a_site_says_it(gib: int, granted: list[str], told: bool | None) -> None:
    """Alpine's file does not: its limit is not documented."""
    gpus = {name: replace(gpu, host_mib=80 * 1024) for name, gpu in SITE.gpus.items()}
    model = model_of({"max_model_len": 8192}, A100 | grid(1, 1) | {"mem_per_node": gib, "granted": granted})
    found = diagnose_model("big", model, metadata("llama-3.1-8b"), replace(SITE, gpus=gpus))
    assert [finding.warning for finding in found if finding.rule == "memory_per_gpu"] == ([] if told is None else [told])


def test_a_grant_is_told() -> None:
    model = model_of({"max_model_len": 8192}, A100 | grid(1, 1) | {"walltime": "2d", "granted": ["walltime"]})
    (finding,) = diagnose_model("big", model, metadata("llama-3.1-8b"), SITE)
    assert finding.warning
    assert str(finding).endswith(
        "2d is more than the 1d of QoS gpu-normal on aa100; placement.granted: [walltime] lets it pass"
    )


def test_a_longer_qos_is_named_where_it_takes_the_job() -> None:
    """gpu-long takes two H200 of one user, so four cannot go there."""
    for gpus, named in ((2, True), (4, False)):
        model = model_of(split(gpus, max_model_len=8192), H200 | grid(1, gpus) | {"walltime": "2d"})
        (finding,) = diagnose_model("big", model, metadata("llama-3.1-70b"), SITE)
        assert ("or qos: gpu-long" in finding.remedy) == named


@pytest.mark.parametrize(
    ("partition", "named", "meant"),
    [
        ("aa100", "a100_40gb", "a100-40gb"),
        ("aa100", "A100-80GB", "a100_80gb"),
        ("aa100", "a100-20gb", None),
        ("aa100", "a100", None),
        ("ah200", "h100", None),
        ("artxpro6000", "rtx-pro-6000", "rtx_pro_6000"),
    ],
)
def test_another_memory_size_is_never_meant(partition: str, named: str, meant: str | None) -> None:
    placement = {"partition": partition, "gpu": named} | grid(1, 1)
    findings = diagnose_model("big", model_of({"max_model_len": 8192}, placement), metadata("llama-3.1-8b"), SITE)
    (told,) = [finding.remedy for finding in findings if finding.rule == "gpu_type"]
    assert told.startswith(f"did you mean '{meant}'?" if meant else "there are: "), told


@pytest.mark.parametrize(("named", "meant"), [("a100", "aa100"), ("ah200", None), ("acpuu", "acpu"), ("l40", "al40")])
def test_a_partition_of_other_gpus_is_never_meant(named: str, meant: str | None) -> None:
    """A site without ah200 named aa100 for it."""
    partitions = {name: partition for name, partition in SITE.partitions.items() if name not in ("ah200", "gh200")}
    model = model_of({"max_model_len": 8192}, {"partition": named} | grid(1, 1))
    (finding,) = diagnose_model("big", model, metadata("llama-3.1-8b"), replace(SITE, partitions=partitions))
    assert finding.remedy.startswith(f"did you mean '{meant}'?" if meant else "known here: "), finding.remedy


def test_a_gpu_of_another_partition_is_found_there() -> None:
    model = model_of({"max_model_len": 8192}, {"partition": "aa100", "gpu": "h200"} | grid(1, 1))
    (finding,) = diagnose_model("big", model, metadata("llama-3.1-8b"), SITE)
    assert finding.remedy.startswith("partition ah200 has them; aa100 has a100-40gb")


@pytest.mark.parametrize("case", ["guide, 405B", "guide, 8x22B", "guide, 70B"])
def test_the_guide_is_told_what_works(case: str) -> None:
    architecture, settings, placement, _, _ = CASES[case]
    findings = diagnose_model("big", model_of(settings, placement), metadata(architecture), SITE)
    (told,) = {finding.remedy for finding in findings if finding.rule == "user_limit"}
    assert "what works: " in told
    assert "placement {partition: " in told


def test_all_at_once() -> None:
    placement = A100 | grid(2, 4) | {"walltime": "3d", "cpus_per_gpu": 30}
    findings = diagnose_model("big", model_of(split(8, 2), placement), metadata("llama-3.1-405b"), SITE)
    assert {"parallelism", "gpus_per_node", "user_limit", "walltime", "cores"} <= rules(findings, warning=False)


def test_maintenance() -> None:
    now = 1_800_000_000.0
    window = Maintenance("rc_maint", now + 3 * 3600, now + 10 * 3600)
    site = type(SITE)(**{**SITE.__dict__, "maintenance": (window,)})
    model = model_of({"max_model_len": 8192}, A100 | {"walltime": "8h"} | grid(1, 1))
    (finding,) = diagnose_model("big", model, metadata("llama-3.1-8b"), site, now)
    assert finding.rule == "maintenance"
    assert finding.warning
    assert "3h from now" in finding.remedy
    before = model_of({"max_model_len": 8192}, A100 | {"walltime": "2h"} | grid(1, 1))
    assert diagnose_model("big", before, metadata("llama-3.1-8b"), site, now) == []


def test_on_one_machine_only_the_model_counts() -> None:
    assert diagnose_model("m", model_of({}, {}), metadata("llama-3.2-1b"), None) == []
    (finding,) = diagnose_model("m", model_of(split(3), grid(1, 3)), metadata("llama-3.1-8b"), None)
    assert finding.rule == "heads"


@pytest.mark.parametrize(
    ("port", "nodes", "told"), [(40_000, 2, True), (32_700, 2, True), (32_668, 2, False), (40_000, 1, False)]
)
def test_a_port_of_ray_among_the_ephemeral_ones(port: int, nodes: int, told: bool) -> None:
    model = ModelConfig.model_validate({"source": "m", "ray": {"port": port}, "placement": {"nodes": nodes}})
    assert ("ray_port" in rules(diagnose_model("m", model, None, None), warning=True)) == told


def test_nothing_is_known_of_the_model() -> None:
    assert diagnose_model("m", model_of(split(2), A100 | grid(1, 2)), None, SITE) == []
    (finding,) = diagnose_model("m", model_of(split(2), A100 | grid(1, 1)), None, SITE)
    assert finding.rule == "parallelism"


def test_of_a_model_of_which_nothing_else_is_known_the_files_have_to_fit() -> None:
    model = ModelConfig.model_validate({"source": "m", "placement": A100 | grid(1, 1)})
    (found,) = files_too_large("m", model, 84 * 10**9, SITE)
    assert (found.rule, found.warning) == ("weights", False)
    assert "78.2 GiB, and 1 x a100-40gb" in found.reason
    assert not list(files_too_large("m", model, 20 * 10**9, SITE))
    assert not list(files_too_large("m", model, None, SITE))
    three = model.model_copy(update={"tensor_parallel": 3})
    assert not list(files_too_large("m", three, 84 * 10**9, SITE))


def test_adapters_are_named_where_there_is_no_room() -> None:
    model = ModelConfig.model_validate({"source": "m", "max_model_len": 8192, "placement": A100 | grid(1, 1)})
    known = replace(metadata("llama-3.1-8b"), adapters=AdapterRoom(8, 512))
    (found,) = [each for each in diagnose_model("m", model, known, SITE) if not each.warning]
    assert (found.rule, "and 20.0 GiB for 8 adapters of rank 512" in found.reason) == ("weights", True)
