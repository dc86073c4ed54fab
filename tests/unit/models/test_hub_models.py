"""Hub models in a campaign: what plan refuses, what stage_model writes down, what the DAG sees."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from campaign.config import CampaignConfig, ModelConfig, validate
from campaign.controller import dag
from campaign.core import records, state_files
from campaign.core.files import write_json
from campaign.models import model_check
from campaign.models.hub import parse_listing
from campaign.models.identity import folder_digest, model_identity
from campaign.models.model_check import check_model, weights_bytes
from campaign.models.source import HubModel
from campaign.models.stage import stage_model
from campaign.models.staged import pin, pinned_commit
from support.hub import EXPIRED, Hub
from unit.models.conftest import FILES, MODEL, NEEDED, OLD, move_main


def campaign(source: str = MODEL.id, **model: object) -> CampaignConfig:
    datasets = {"d": {"files": ["a.csv"], "prompt": "x", "models": ["m"]}}
    return validate({"campaign": "c", "models": {"m": {"source": source, **model}}, "datasets": datasets})


def problem(source: str = MODEL.id, revision: str | None = None) -> str:
    (found,) = check_model("m", ModelConfig(source=source, revision=revision))
    return found


def test_a_model_of_the_hub_has_no_problem(hub: Hub) -> None:
    assert check_model("m", ModelConfig(source=MODEL.id)) == []
    assert check_model("m", ModelConfig(source=MODEL.id, revision=OLD)) == []


def test_an_unknown_model_is_refused(hub: Hub) -> None:
    assert problem("acme/tyni") == (
        f"models.m.source: there is no folder acme/tyni, and no such model at {hub.url}/acme/tyni; correct it, or set "
        "HF_TOKEN if the model is private"
    )


def test_a_misspelt_folder_is_not_taken_for_a_model_of_the_hub_alone(hub: Hub, in_tmp: Path) -> None:
    (in_tmp / "models" / "tiny-llama").mkdir(parents=True)
    assert problem("models/tiny-lama").startswith(
        "models.m.source: there is no folder models/tiny-lama; did you mean models/tiny-llama? As a model of the hub: "
    )


def test_an_unknown_revision_is_refused(hub: Hub) -> None:
    assert problem(revision="refs/pr/9").startswith("models.m.revision: acme/tiny has no revision 'refs/pr/9'; take a branch")


def test_a_gated_model_is_refused_without_a_token_that_may_read_it(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = hub.repositories[MODEL.id]
    repository.gated, repository.may_read = True, "accepted"
    accept = f"accept the licence on {hub.url}/acme/tiny"
    assert problem() == f"models.m.source: acme/tiny is gated; {accept} and set HF_TOKEN"
    monkeypatch.setenv("HF_TOKEN", "other")
    assert problem().endswith(f"this HF_TOKEN may not read it; {accept} with the token's account")
    monkeypatch.setenv("HF_TOKEN", "accepted")
    assert check_model("m", ModelConfig(source=MODEL.id)) == []


def test_an_expired_token_is_told_from_a_missing_model(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", EXPIRED)
    assert problem().startswith(f"models.m.source: the hub {hub.url} does not know this HF_TOKEN; make a new one there")


def test_a_hub_out_of_reach_is_refused_unless_the_model_is_staged(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    away = "http://127.0.0.1:9"
    monkeypatch.setenv("HF_ENDPOINT", away)
    assert problem().startswith(f"models.m.source: acme/tiny is not staged yet, and the hub {away} cannot be reached (")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    stage_model(campaign(), "m")
    monkeypatch.setenv("HF_ENDPOINT", away)
    assert check_model("m", ModelConfig(source=MODEL.id)) == []
    assert weights_bytes(ModelConfig(source=MODEL.id)) == sum(len(FILES[name]) for name in NEEDED)
    stage_model(campaign(), "m")


@pytest.mark.parametrize("endpoint", ["hub.example", "http://", "ftp://hub.example", "http://no such host"])
def test_an_endpoint_that_is_none_is_a_sentence(hub: Hub, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert problem().endswith("check the network, proxy and HF_ENDPOINT, or download it into a folder and name that")


def test_a_slow_hub_does_not_hold_the_plan(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.trouble.silent_s = 2
    with pytest.raises(model_check.HubUnreachable):
        model_check.ask_hub(MODEL, model_check.this_access(), seconds=0.2)


def test_a_page_that_is_no_hub_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "campaign.models.hub_access.Access.api", lambda self, model, revision: self.file(model, OLD, "README.md")
    )
    assert "does not answer like a hub" in problem()


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"sha": "../x", "siblings": []}', b'{"sha": 1, "siblings": []}', b"<html>"])
def test_only_the_description_of_a_commit_is_believed(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse_listing(body)


@pytest.mark.parametrize("revision", ["..", ".", "refs/pr/1", "a b", "../../x"])
def test_no_revision_leads_out_of_the_models_folder(hub: Hub, revision: str) -> None:
    assert "has no revision" in problem(revision=revision) or "no such model" in problem(revision=revision)
    pin(HubModel(MODEL.id, revision), OLD)
    assert [path.parent for path in Path().rglob("*.txt")] == [Path("resources/models/acme--tiny/revisions")]
    assert pinned_commit(HubModel(MODEL.id, revision)) == OLD


@pytest.mark.parametrize(("missing", "said"), [("config.json", "holds no config.json"), ("weights", "holds no weights")])
def test_a_repository_that_cannot_be_served_is_refused(hub: Hub, missing: str, said: str) -> None:
    kept = {name: content for name, content in FILES.items() if name != missing and "model." not in name}
    weights = {} if missing == "weights" else {"model.safetensors": FILES["model.safetensors"]}
    hub.repositories[MODEL.id].commits[OLD] = kept | weights
    assert f"models.m.source: acme/tiny {said}" in problem()


def test_bytes_are_known_before_the_download(hub: Hub) -> None:
    assert weights_bytes(ModelConfig(source=MODEL.id)) == sum(len(FILES[name]) for name in NEEDED)
    assert hub.sent == 0


def test_the_commit_is_written_down_and_names_the_identity(hub: Hub) -> None:
    config = campaign(dtype="float32")
    record = stage_model(config, "m")
    assert record == records.read(state_files.IDENTITY, config.paths.model_identity("m"))
    assert record["revision"] == OLD
    assert record["path"] == f"resources/models/acme--tiny/{OLD}"
    assert record["identity"] == model_identity(OLD, config.models["m"])


def test_a_moved_main_changes_nothing_of_a_staged_model(hub: Hub) -> None:
    before = stage_model(campaign(), "m")
    move_main(hub)
    assert stage_model(campaign(), "m") == before


def test_the_clusters_copy_is_served_from_where_it_lies(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "llm" / "hf-transformers" / "tiny"
    copy.mkdir(parents=True)
    for name in NEEDED:
        (copy / name).write_bytes(FILES[name])
    monkeypatch.setenv("CURC_LLM_DIR", str(tmp_path / "llm"))
    for source in ("acme/tiny", "tiny"):
        assert check_model("m", ModelConfig(source=source)) == []
        record = stage_model(campaign(source), "m")
        assert (record["path"], record["revision"]) == (str(copy), folder_digest(copy))
    assert dag.model_files(campaign(), "m") == sorted(copy / name for name in NEEDED)
    assert hub.requests == []


def test_the_dag_sees_the_same_model_before_and_after_staging(hub: Hub) -> None:
    config = campaign()
    before = dag.model_files(config, "m"), dag.model_spec(config, "m")
    stage_model(config, "m")
    assert (dag.model_files(config, "m"), dag.model_spec(config, "m")) == before == ([], before[1])


def test_the_dag_sees_that_a_staged_model_was_purged(hub: Hub) -> None:
    config = campaign()
    before = dag.model_spec(config, "m")
    record = stage_model(config, "m")
    shutil.rmtree(record["path"])
    assert dag.model_spec(config, "m") != before
    stage_model(config, "m")
    assert dag.model_spec(config, "m") == before


def test_a_copy_that_only_compute_nodes_see_is_not_taken_for_purged(hub: Hub) -> None:
    config = campaign()
    before = dag.model_spec(config, "m")
    write_json(config.paths.model_identity("m"), {"path": "/only/on/compute/nodes/tiny", "revision": "r", "identity": "i"})
    assert dag.model_spec(config, "m") == before


@pytest.mark.processes
def test_the_phase_runs_without_a_terminal(hub: Hub) -> None:
    config = campaign()
    write_json(config.paths.config, config.model_dump(mode="json"))
    phase = ["phase", "stage-model", str(config.paths.config), "--model", "m", "--log", "l"]
    command = [sys.executable, "-c", "from campaign.cli.commands import main; main()", *phase]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(config.paths.model_identity("m").read_text())["revision"] == OLD
    assert "acme/tiny: 1.00 MB of 1.00 MB" in Path("l").read_text()
