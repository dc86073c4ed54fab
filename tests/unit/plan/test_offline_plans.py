"""A plan made on a laptop: no hub, no token, no Slurm."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaign.core.errors import ConfigError, PlanRefused
from campaign.models import model_check
from campaign.plan import run_checks
from campaign.plan.checks.slurm_check import SlurmAnswer
from campaign.plan.plan import preview_plan, said_once
from support import presets, shipped
from support.adapters import make_adapter
from support.hub import Hub, Repository, running_hub
from support.runs import REPOSITORY

pytestmark = pytest.mark.processes  # an engine is looked for

COMMIT = "a" * 40
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
ONE_A100 = {"partition": "aa100", "gpu": "a100-40gb", "nodes": 1, "gpus_per_node": 1, "walltime": "8h"}
# The guide's examples as it writes them: --nodes=2 --gres=gpu:4 on aa100.
GUIDE = {
    "meta-llama/Llama-3.1-405B-Instruct": (8, 2),
    "mistralai/Mixtral-8x22B-Instruct-v0.1": (8, 1),
    "meta-llama/Llama-3.1-70B-Instruct": (8, 1),
}


# `what works: quantization: fp8, placement {partition: ...} with tensor_parallel: 4, pipeline_parallel: 1`
WORKS = re.compile(
    r"what works: (?P<settings>.*?)(?:, )?placement (?P<placement>\{.*?\}) with tensor_parallel: (?P<tensor>\d+), "
    r"pipeline_parallel: (?P<pipeline>\d+)"
)
PROMPTS = "config/prompts/capitals.jsonl"
SHOWN = {
    where: config
    for where, config in shipped.configs().items()
    if "presets" not in where and not any(model.source == "any/model" for model in config.models.values())
}


@pytest.fixture(autouse=True)
def laptop(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Away from the cluster: its dated table stands, and nobody listens where the hub is looked for."""
    monkeypatch.setattr(run_checks, "current_site", lambda table: table)
    monkeypatch.setattr(run_checks, "ask_slurm", lambda config, profile: SlurmAnswer())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "CURC_LLM_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", str(in_tmp / "no-token"))
    run_checks.this_site.cache_clear()
    (in_tmp / "config").symlink_to(REPOSITORY / "config")
    yield
    run_checks.this_site.cache_clear()


def planned(source: str, *, tensor: int = 1, pipeline: int = 1, placement: Any = None, **model: Any) -> dict[str, Any]:
    placed = {"tensor_parallel": tensor, "pipeline_parallel": pipeline, "placement": placement or ONE_A100}
    dataset = {"files": ["config/prompts/capitals.jsonl"], "prompt": "{{ country }}", "models": ["m"]}
    raw = {"campaign": "c", "account": "a", "models": {"m": {"source": source, **placed, **model}}, "datasets": {"d": dataset}}
    Path("c.yaml").write_text(yaml.safe_dump(raw))
    return preview_plan(Path("c.yaml"), "alpine")


@pytest.mark.parametrize(
    ("profile", "config", "option", "site"),
    [
        ("blanca", {}, None, "blanca"),
        ("local", {}, None, "local"),
        ("blanca", {"site": "alpine"}, None, "alpine"),
        ("blanca", {}, "alpine", "alpine"),
        (None, {}, None, "alpine"),
    ],
)
def test_a_plan_is_of_the_cluster_that_the_profile_names(
    profile: str | None, config: dict[str, str], option: str | None, site: str
) -> None:
    """As Snakemake runs it: the config's word goes before the profile's."""
    dataset = {"files": [PROMPTS], "prompt": "{{ country }}", "models": ["m"]}
    raw = {"campaign": "c", "account": "a", "models": {"m": {"source": LLAMA}}, "datasets": {"d": dataset}, **config}
    Path("c.yaml").write_text(yaml.safe_dump(raw))
    folder = None if profile is None else REPOSITORY / "profiles" / profile
    assert preview_plan(Path("c.yaml"), option, folder)["site"]["name"] == site


def test_a_profile_that_is_not_there_is_told() -> None:
    Path("c.yaml").write_text("campaign: c")
    with pytest.raises(ConfigError, match=r"--profile: nowhere is no folder with the config\.yaml of a profile"):
        preview_plan(Path("c.yaml"), None, Path("nowhere"))


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_has_sizes_and_hours(name: str) -> None:
    made = preview_plan(Path("config/presets") / f"{name}.yaml", "alpine")
    assert made["refused"] == []
    for row in made["models"].values():
        assert row["weights"]["bytes"] > 1e8
        assert row["weights"]["source"].startswith("the workflow's table of models, 20")
        assert row["memory"]["weights"] > 0
        assert row["forecast"]["hours"]["expected"] > 0
    assert sum("its sizes are those of the workflow's own table, of 20" in note for note in made["warnings"]) == 1


@pytest.mark.parametrize("where", SHOWN)
def test_every_config_that_is_shown_has_sizes_and_hours(where: str) -> None:
    """Those of README, docs and config/. A model of one machine is planned where the cluster has room for it."""
    config = SHOWN[where].model_dump(mode="json")
    for model in config["models"].values():
        model["source"] = shipped.LOCAL.get(model["source"], model["source"])
        if model["placement"]["partition"] is None:
            model["placement"] = "auto"
        for folder in model.get("adapters", {}).values():
            make_adapter(Path(folder))
    config["datasets"] = {"d": {"files": [PROMPTS], "prompt": "{{ country }}", "models": list(config["models"])}}
    Path("c.yaml").write_text(yaml.safe_dump({**config, "account": "a"}))
    made = preview_plan(Path("c.yaml"), config["site"] if config["site"] != "local" else "alpine")
    assert made["refused"] == []
    for row in made["models"].values():
        assert row["weights"]["bytes"] > 1e8
        assert row["forecast"]["hours"]["expected"] > 0
        assert row["forecast"]["tokens_per_s"]["expected"] > 0


@pytest.mark.parametrize("source", GUIDE)
def test_the_guides_examples_are_refused_with_a_shape_that_works(source: str) -> None:
    tensor, pipeline = GUIDE[source]
    made = planned(source, tensor=tensor, pipeline=pipeline, placement={"partition": "aa100", "nodes": 2, "gpus_per_node": 4})
    assert not any("hub" in problem for problem in made["refused"])
    problems = (problem.replace(" (or a source that is)", "") for problem in made["refused"])
    (shape,) = filter(None, map(WORKS.search, problems))
    settings = yaml.safe_load(f"{{{shape['settings']}}}")
    placement = yaml.safe_load(shape["placement"])
    assert placement["nodes"] == 1
    works = planned(source, tensor=int(shape["tensor"]), pipeline=int(shape["pipeline"]), placement=placement, **settings)
    assert works["refused"] == []
    assert works["models"]["m"]["memory"]["sequences"] >= 1


def test_a_placement_is_chosen() -> None:
    made = planned(LLAMA, placement="auto", max_model_len=8192)
    assert made["refused"] == []
    assert made["models"]["m"]["placement"]["partition"] is not None


def test_an_unknown_model_says_what_to_do() -> None:
    (problem,) = planned("acme/llama")["refused"]
    assert problem.startswith(
        "models.m.source: acme/llama is not staged yet, and the hub http://127.0.0.1:9 cannot be reached ("
    )
    assert problem.endswith("check the network, proxy and HF_ENDPOINT, or download it into a folder and name that")


def test_a_config_that_is_refused_says_nothing_of_slurm_away_from_the_cluster() -> None:
    """Beside a misspelt key stood "Slurm does not answer", with a remedy for people on a login node."""
    with pytest.raises(ConfigError) as caught:
        planned(LLAMA, max_model_len=8192, tensor_paralel=2)
    assert caught.value.problems == ["models.m.tensor_paralel: unknown key; did you mean `tensor_parallel`?"]


@pytest.mark.parametrize(
    ("fixed", "told"),
    [
        ({"partition": "acpu"}, "with partition: acpu holds"),
        ({"gpu": "mi100"}, "with gpu: mi100 holds"),
    ],
)
def test_what_was_fixed_beside_auto_is_named_where_nothing_fits(fixed: dict[str, str], told: str) -> None:
    """The remedy was a smaller model, and what stood in the way was the partition."""
    with pytest.raises(PlanRefused) as caught:
        planned(LLAMA, placement={"auto": True, **fixed}, max_model_len=8192)
    (problem,) = caught.value.problems
    assert told in problem
    assert "without that what works: placement {partition: a" in problem


def test_on_the_cluster_a_model_has_to_be_downloaded() -> None:
    config = presets.preset("llama-3.1-8b")
    found = run_checks.diagnose(config)
    assert list(found.metadata) == ["llama-3.1-8b"]
    refused = [problem for problem in run_checks.problems(config, found, here=True) if "cannot be reached" in problem]
    assert [problem.split(":")[0] for problem in refused] == ["models.llama-3.1-8b.source"]
    assert not any("cannot be reached" in problem for problem in run_checks.problems(config, found, here=False))


def test_why_the_hub_does_not_tell_is_said_once() -> None:
    """On the cluster it is a refusal; the note beside it says only where the sizes come from."""
    reason = "the hub http://x cannot be reached (no route)"
    note = "models.m.source: its sizes are those of the workflow's own table, of 2026-11"
    refused = [f"models.m.source: {reason}; check the network"]
    assert said_once([f"{note}: {reason}"], refused) == [note]
    assert said_once([f"{note}: {reason}"], []) == [f"{note}: {reason}"]
    assert said_once([f"{note}: {reason}"], [f"models.other.source: {reason}"]) == [f"{note}: {reason}"]


def test_the_hub_is_asked_once_and_not_for_each_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked_again(*_: object) -> None:
        raise AssertionError("the hub is asked again")

    monkeypatch.setattr(model_check, "ask_hub", asked_again)
    assert planned(LLAMA, max_model_len=8192)["refused"] == []


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that lists the model's files to everybody, and shows them to those who accepted its licence."""
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.repositories[LLAMA] = Repository({COMMIT: {"config.json": b"{}", "model.safetensors": b"x"}}, COMMIT)
        hub.repositories[LLAMA].gated, hub.repositories[LLAMA].may_read = True, "accepted"
        yield hub


def test_a_gated_model_without_a_token_is_a_note(gated: Hub) -> None:
    made = planned(LLAMA, max_model_len=8192)
    assert made["refused"] == []
    assert any(f"{LLAMA} is gated; accept the licence on" in note and "set HF_TOKEN" in note for note in made["warnings"])
    assert made["models"]["m"]["weights"]["bytes"] == 16_060_522_496


def test_what_the_hub_says_wins(gated: Hub) -> None:
    shown = (REPOSITORY / "tests/data/architectures/llama-3.2-1b.json").read_bytes()
    gated.repositories[LLAMA].gated = False
    gated.repositories[LLAMA].may_read = None
    gated.repositories[LLAMA].commits[COMMIT]["config.json"] = shown
    made = planned(LLAMA, max_model_len=8192)
    assert made["models"]["m"]["weights"] == {
        "bytes": 1,
        "parameters": 1_235_814_400,
        "source": "1 file listed by the hub",
    }
    assert not any("table" in note for note in made["warnings"])


def test_a_model_the_hub_does_not_have_is_not_taken_from_the_table(gated: Hub) -> None:
    (problem,) = planned("meta-llama/Llama-3.1-70B-Instruct")["refused"]
    assert "no such model at" in problem
