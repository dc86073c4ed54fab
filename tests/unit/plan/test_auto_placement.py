"""Placements the plan chooses: the cheapest, and the smallest for a rehearsal."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaign.config import CampaignConfig, validate
from campaign.controller import dag
from campaign.core.errors import PlanRefused
from campaign.core.files import write_json
from campaign.plan import run_checks
from campaign.plan.auto_placement import resolve_placements
from campaign.plan.checks.slurm_check import SlurmAnswer
from campaign.plan.variants import REHEARSED_PROMPTS
from campaign.server.engine.command_line import EngineBuild
from campaign.site.cluster_records import PartitionRules
from support import architectures
from support.presets import names, preset
from support.runs import REPOSITORY


@pytest.fixture(autouse=True)
def alpine(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_checks, "current_site", lambda table: table)
    monkeypatch.setattr(run_checks, "ask_slurm", lambda *_: SlurmAnswer())
    monkeypatch.setattr(run_checks, "engine_build", lambda _: EngineBuild({}, on_cpu=False))
    run_checks.this_site.cache_clear()
    (in_tmp / "config").symlink_to(REPOSITORY / "config")


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source of a model is the name of its architecture; presets name models of the hub."""
    known = {"Llama-3.1-405B": "llama-3.1-405b-fp8", "70B-Instruct-AWQ": "llama-3.1-70b-awq", "Llama-3.1-70B": "llama-3.1-70b"}
    known = {"Llama-3.1-70B-Instruct-FP8": "llama-3.1-70b-fp8", **known}
    known |= {"Llama-3.1-8B": "llama-3.1-8b", "Mixtral-8x22B": "mixtral-8x22b", "SmolLM2": "smollm2-135m"}

    def metadata(model: Any) -> Any:
        found = [name for part, name in known.items() if part in model.source]
        return architectures.metadata(found[0] if found else model.source)

    monkeypatch.setattr("campaign.plan.auto_placement.read_metadata", metadata)


def campaign(architecture: str, placement: Any, **more: Any) -> CampaignConfig:
    model = {"source": architecture, "max_model_len": 8192, "placement": placement}
    dataset = {
        "files": ["config/prompts/capitals.jsonl"],
        "prompt": "{{ country }}",
        "models": ["m"],
        "sampling": {"max_tokens": 64},
    }
    raw = {"campaign": "c", "site": "alpine", "account": "a", "models": {"m": model}, "datasets": {"d": dataset}, **more}
    return validate(raw)


def many_prompts() -> dict[str, Any]:
    Path("many.jsonl").write_text('{"country": "Chad"}\n' * 300_000)
    return {"d": {"files": ["many.jsonl"], "prompt": "{{ country }}", "models": ["m"], "sampling": {"max_tokens": 512}}}


def test_the_cheapest_shape() -> None:
    few = resolve_placements(campaign("llama-3.1-8b", "auto"), main=True).models["m"]
    assert few.placement.gpu == "rtx_pro_6000_1g.24gb"  # 48 prompts are all start: the least SUs per hour win
    many = resolve_placements(campaign("llama-3.1-8b", "auto", datasets=many_prompts()), main=True).models["m"]
    assert many.placement.gpu in ("a100-40gb", "h200", "gh200")  # memory bandwidth per SU
    assert (many.placement.nodes, many.placement.gpus_per_node) == (1, 1)
    big = resolve_placements(campaign("llama-3.1-405b-fp8", "auto"), main=True).models["m"]
    assert (big.placement.gpu, big.tensor_parallel * big.pipeline_parallel) == ("h200", 4)


def test_what_is_given_is_kept() -> None:
    given = {"auto": True, "partition": "ah200", "walltime": "3h", "allocations": 2}
    model = resolve_placements(campaign("llama-3.1-8b", given), main=True).models["m"]
    assert model.placement.partition == "ah200"
    assert (model.placement.walltime, model.placement.allocations) == (3 * 3600, 2)


def test_what_else_is_wrong_is_told_beside_a_placement_that_cannot_be_chosen() -> None:
    dataset = {"files": ["none.jsonl"], "prompt": "{{ country }}", "models": ["m", "n"], "sampling": {"max_tokens": 64}}
    unplaced = {"source": "deepseek-v3", "max_model_len": 8192, "placement": "auto"}
    wrong = {"source": "llama-3.1-8b", "max_model_len": 8192, "placement": {"partition": "aa10"}}
    raw = {"campaign": "c", "site": "alpine", "account": "a", "engine": "nowhere", "datasets": {"d": dataset}}
    with pytest.raises(PlanRefused) as refused:
        resolve_placements(validate({**raw, "models": {"m": unplaced, "n": wrong}}), main=True)
    told = "\n".join(refused.value.problems)
    assert "no placement on alpine holds deepseek-v3" in told
    for part in ("engine: there is no nowhere", "models.n.placement.partition: there is no partition 'aa10'", "none.jsonl"):
        assert told.count(part) == 1
    assert "models.m.placement.partition" not in told


def test_a_model_nothing_holds() -> None:
    with pytest.raises(PlanRefused, match="no placement on alpine holds deepseek-v3"):
        resolve_placements(campaign("deepseek-v3", "auto"), main=True)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"qos": "gpu-long"}, "models.m.placement.walltime: 8h, and QoS gpu-long is for more than 1d"),
        ({"walltime": "2d"}, "models.m.placement.walltime: 2d is more than the 1d of QoS gpu-normal"),
    ],
)
def test_what_no_shape_mends_is_told(settings: dict[str, str], told: str) -> None:
    with pytest.raises(PlanRefused) as caught:
        resolve_placements(campaign("llama-3.1-8b", {"auto": True, **settings}), main=True)
    problems = caught.value.problems
    assert problems[0].startswith(told)
    assert all(problem.startswith(told) for problem in problems if problem.startswith("models.m.placement"))


@pytest.mark.parametrize("architecture", ["llama-3.1-8b", "llama-3.1-70b", "mixtral-8x22b"])
def test_one_node_goes_before_two(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a cluster without a rule against several nodes, too, and whatever they would cost."""
    table = run_checks.this_site("alpine")
    free = {name: replace(partition, rules=PartitionRules()) for name, partition in table.partitions.items()}
    weights = {"gres/gpu:h200": 1e6, "gres/gpu:rtx_pro_6000": 1e6, "gres/gpu:a100_80gb": 1e6}
    dear = {name: replace(each, weights={**each.weights, **weights}) for name, each in free.items()}
    monkeypatch.setattr("campaign.plan.auto_placement.this_site", lambda _: replace(table, partitions=dear))
    model = resolve_placements(campaign(architecture, "auto"), main=True).models["m"]
    assert model.placement.nodes == 1


def test_replicas_are_chosen_with_all_of_their_gpus() -> None:
    given = {"auto": True, "partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 3}
    config = campaign("llama-3.1-8b", given, datasets=many_prompts())
    config = config.model_copy(update={"models": {"m": config.models["m"].model_copy(update={"data_parallel": 3})}})
    model = resolve_placements(config, main=True).models["m"]
    assert (model.tensor_parallel, model.pipeline_parallel, model.data_parallel) == (1, 1, 3)


def test_jobs_take_what_was_chosen() -> None:
    chosen = resolve_placements(campaign("llama-3.1-8b", "auto"), main=True)
    other = chosen.models["m"].model_copy(update={"pipeline_parallel": 2})
    saved = chosen.model_copy(update={"models": {"m": other}})
    write_json(saved.paths.config, saved.model_dump(mode="json"))
    assert resolve_placements(campaign("llama-3.1-8b", "auto"), main=False).models["m"].pipeline_parallel == 2


def test_on_one_machine_nothing_is_chosen() -> None:
    config = campaign("llama-3.1-8b", "auto", site="local")
    assert resolve_placements(config, main=True) == config


def test_a_rehearsal() -> None:
    config = campaign(
        "llama-3.1-8b", {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 1, "allocations": 4}, rehearse=True
    )
    rehearsed = resolve_placements(config, main=True)
    assert rehearsed.campaign == "c-rehearsal"
    assert sum(dataset.limit or 0 for dataset in rehearsed.datasets.values()) == REHEARSED_PROMPTS
    placement = rehearsed.models["m"].placement
    assert (placement.allocations, placement.walltime) == (1, 3600.0)
    small = resolve_placements(
        campaign("smollm2-135m", {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 1}, rehearse=True), main=True
    )
    assert (small.models["m"].placement.gpu, small.models["m"].placement.qos) == ("a100_3g.20gb", "gpu-testing")


@pytest.mark.parametrize("name", names())
def test_every_preset_can_be_rehearsed(name: str) -> None:
    rehearsed = resolve_placements(preset(name).model_copy(update={"rehearse": True}), main=True)
    (model,) = rehearsed.used_models.values()
    assert model.placement.walltime <= 3600
    assert rehearsed.campaign.endswith("-rehearsal")


def test_the_dag_sees_the_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    config = dag.load({**raw, "rehearse": True}, on_slurm=False, main=True)
    assert config.campaign == "demo-rehearsal"
    assert [dataset.limit for dataset in config.datasets.values()] == [10, 10]
