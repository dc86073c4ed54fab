"""What Snakemake sees of stages: their inputs, and when their manifests are made again."""

from pathlib import Path
from typing import Any

from campaign.config import CampaignConfig, validate
from campaign.controller import dag
from support.chained import ChainedTrial


def config(**of_judged: Any) -> CampaignConfig:
    trial = ChainedTrial(2)
    trial.raw["models"]["big"] = {"source": "b"}
    trial.raw["datasets"]["drafts"]["models"] = [of_judged.pop("asked", "m")]
    trial.raw["datasets"]["judged"] |= {"from": "drafts", **of_judged}
    return trial.config


def test_a_stage_waits_for_the_manifests_of_its_sources_and_their_models(in_tmp: Path) -> None:
    made = config(models=["big"])
    paths = made.paths
    assert dag.prompt_files(made, "judged") == [paths.manifest("drafts")]
    assert dag.identities(made, "big") == [paths.model_identity("big"), paths.model_identity("m")]
    assert dag.prompt_files(made, "drafts") == [Path("drafts.jsonl")]


def test_a_stage_is_prepared_anew_where_its_source_or_its_words_change(in_tmp: Path) -> None:
    first = dag.dataset_spec(config(), "judged")
    assert dag.dataset_spec(config(), "judged") == first
    assert dag.dataset_spec(config(where="text"), "judged") != first
    assert dag.dataset_spec(config(prompt="Another {{ text }}"), "judged") != first
    assert dag.dataset_spec(config(asked="big"), "judged") != first  # `from` names no model: it takes the one there is


def test_other_datasets_are_not_prepared_anew_for_keys_that_only_stages_have(in_tmp: Path) -> None:
    """The digest of the version before there were stages."""
    assert dag.dataset_spec(config(), "drafts") == "788feba2220fd985191146acbab15dcb"


def test_an_order_that_is_asked_for_prepares_the_requests_anew(in_tmp: Path) -> None:
    raw = config().model_dump(mode="json", exclude_unset=True)
    raw["datasets"]["drafts"]["order"] = "input"
    assert dag.dataset_spec(validate(raw), "drafts") != dag.dataset_spec(config(), "drafts")
