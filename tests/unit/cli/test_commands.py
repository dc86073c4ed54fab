"""The command line, as people type it."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import yaml

from campaign.core.files import write_json

pytestmark = pytest.mark.processes


def campaign(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "campaign"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=60, check=False)


def test_the_version() -> None:
    assert campaign("--version").stdout.startswith("campaign 0.")


@pytest.mark.parametrize("command", [[], ["status"], ["explain"], ["summary"], ["phase"]])
def test_everything_has_help(command: list[str]) -> None:
    result = campaign(*command, "--help")
    assert result.returncode == 0
    assert "Usage: campaign" in result.stdout


def test_phases_are_not_shown_to_people() -> None:
    assert "│ phase " not in campaign("--help").stdout


def test_no_campaign_here_is_a_sentence(in_tmp: Path) -> None:
    result = campaign("status")
    assert result.returncode == 1
    assert "There is no campaign in results/" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "said"), [("trail", "did you mean 'trial'?"), ("mine.yaml", ", but a file; a name is wanted: those here: trial")]
)
def test_a_name_that_no_campaign_has(name: str, said: str, stub_config) -> None:
    config = stub_config()
    write_json(config.paths.config, config.model_dump(mode="json"))
    Path("mine.yaml").touch()
    result = campaign("status", name)
    assert result.returncode == 1
    assert f"There is no campaign {name} in results/" in result.stderr
    assert said in result.stderr


def test_status_before_anything_was_done(stub_config) -> None:
    config = stub_config()
    write_json(config.paths.config, config.model_dump(mode="json"))
    assert "trial" in campaign("status", "trial").stdout
    assert orjson.loads(campaign("status", "--json").stdout)["campaign"] == "trial"


def test_an_unfinished_campaign_has_no_summary_yet(stub_config) -> None:
    config = stub_config()
    write_json(config.paths.config, config.model_dump(mode="json"))
    result = campaign("summary")
    assert result.returncode == 1
    assert "not finished" in result.stderr


def test_a_plan_as_json_names_the_rule_of_each_problem(stub_campaign, in_tmp: Path) -> None:
    raw = stub_campaign()
    raw["models"]["stub"]["vllm"] = {"max-nun-seqs": 8}
    raw["datasets"]["words"]["sampling"]["temprature"] = 0
    Path("campaign.yaml").write_text(yaml.safe_dump(raw))
    plan = orjson.loads(campaign("plan", "campaign.yaml", "--site", "local", "--json").stdout)
    found = {one["rule"]: one for one in plan["diagnostics"]}
    assert found["field"]["key"] == "datasets.words.sampling.temprature"
    assert found["field"]["warning"]
    assert found["flag"]["remedy"] == "did you mean `max-num-seqs`?"
    assert not (in_tmp / "results").exists()


def test_explain_names_cause_and_remedy(in_tmp: Path) -> None:
    Path("engine.log").write_text("INFO\ntorch.OutOfMemoryError: CUDA out of memory.\n")
    result = campaign("explain", "engine.log")
    assert result.returncode == 0
    assert "engine.log:2" in result.stdout
    assert "remedy:" in result.stdout
    assert "verdict: permanent (another start fails the same way)" in result.stdout
    assert campaign("explain", "-", stdin="all is well").returncode == 1
    unreadable = campaign("explain", "none.log")
    assert (unreadable.returncode, "cannot be read" in unreadable.stderr) == (2, True)
