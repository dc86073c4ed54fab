"""What is refused before anything starts, as the user sees it: a sentence, no traceback, nothing lost."""

from pathlib import Path
from typing import Any

import pytest

from support.runs import Campaign, wait_for


def refused(campaign: Campaign) -> str:
    result = campaign.run()
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    assert not campaign.received()
    return result.stdout


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bugdet_su": 3}, "bugdet_su: unknown key; did you mean `budget_su`?"),
        ({"engine": "nowhere"}, "engine: there is no nowhere/bin/python"),
        ({"models": {"stub": {"source": "gone"}}}, "models.stub.source: there is no folder gone"),
    ],
)
def test_a_bad_config(change: dict[str, Any], expected: str, tmp_path: Path) -> None:
    assert expected in refused(Campaign(tmp_path, rows=2, **change))


@pytest.mark.quick
def test_several_problems_are_told_at_once(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, rows=2)
    campaign.raw["engine"] = "nowhere"
    campaign.raw["datasets"]["none"] = campaign.dataset("missing/*.jsonl")
    campaign.raw["datasets"]["column"] = {**campaign.dataset("prompts.jsonl"), "prompt": "{{ wrod }}"}
    campaign.write_config()
    output = refused(campaign)
    assert "engine: there is no nowhere/bin/python" in output
    assert "datasets.none.files" in output
    assert "wrod" in output
    assert "word" in output


def test_a_broken_line_names_file_and_line(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, rows=2)
    campaign.prompts.write_text(campaign.prompts.read_text() + "{broken\n")
    assert "prompts.jsonl:3" in refused(campaign)


def test_a_model_without_weights(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, rows=2)
    (tmp_path / "model" / "model.safetensors").unlink()
    assert "holds no weights" in refused(campaign)


def test_results_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "trial").write_text("a file, not a folder")
    assert "results/trial is a file where the results folder goes" in refused(Campaign(tmp_path, rows=2))


def test_a_dry_run_starts_nothing_and_writes_and_moves_no_file(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, rows=2)
    damaged = campaign.results / "report.html"
    damaged.parent.mkdir(parents=True)
    damaged.touch()
    result = campaign.run("-n")
    assert result.returncode == 0, result.stdout[-3000:]
    assert "prepare_requests" in result.stdout
    assert list(campaign.results.rglob("*")) == [damaged]


def test_the_plan_is_printed_whenever_it_is_asked_for(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, rows=2)
    for _ in range(2):
        result = campaign.run("plan")
        assert result.returncode == 0, result.stdout[-3000:]
        assert "Campaign trial" in result.stdout
    assert not campaign.received()


def test_a_plan_beside_a_running_campaign_leaves_it_alone(tmp_path: Path) -> None:
    """It is printed at once, of the config it is given; the campaign goes on with its own, and its plan stays where it was."""
    campaign = Campaign(tmp_path, env={"STUB_LATENCY_S": "0.5"})
    kept = ("config.json", ".campaign.lock", "forecasts.jsonl")
    with campaign.started() as snakemake:
        wait_for(campaign.received, 60, "it answers")
        before = {name: (campaign.results / name).read_bytes() for name in kept if (campaign.results / name).exists()}
        assert "config.json" in before
        campaign.raw["inference"]["concurrency"] = 3
        campaign.write_config()
        plan = campaign.run("plan")
        assert plan.returncode == 0, plan.stdout[-3000:]
        assert "Campaign trial" in plan.stdout
        assert snakemake.poll() is None
        assert {name: (campaign.results / name).read_bytes() for name in before} == before
        assert snakemake.wait(timeout=60) == 0
    assert sorted(campaign.responses().row_id) == sorted(f"p{number}" for number in range(40))
    assert max(campaign.received().values()) == 1
