"""The workflow as a module of another one, as snakedeploy deploys it; and Snakemake's own report of a finished campaign."""

import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from campaign.controller.dag import PLOTS
from support.documents import snippets
from support.runs import REPOSITORY, Campaign

# As docs/embedding.md has it; without its handlers where a test leaves them out.
DEPLOYED, HANDLERS = re.fullmatch(
    r"(.*?)(\n\nonstart:.*)", *snippets("snakemake", REPOSITORY / "docs" / "embedding.md"), re.DOTALL
).groups()


class Importing(Campaign):
    """A campaign whose folder has a Snakefile of its own, which imports this checkout's."""

    def write_snakefile(self, renamed: str = "", handlers: str = HANDLERS) -> None:
        path = self.root / "workflow" / "Snakefile"
        path.parent.mkdir(exist_ok=True)
        local = re.sub(r"github\(.*?\)", f'"{REPOSITORY / "workflow" / "Snakefile"}"', DEPLOYED)
        rules = local.replace("config/config.yaml", "campaign.yaml").rstrip() + renamed
        path.write_text(f"{rules}\n{handlers}")

    def command(self, *arguments: str) -> list[str]:
        snakemake, *_ = super().command()
        return [snakemake, "--profile", str(REPOSITORY / "profiles" / self.profile), *arguments]


@pytest.mark.timeout(300)
def test_a_module_runs_a_campaign(tmp_path: Path) -> None:
    campaign = Importing(tmp_path, rows=6)
    campaign.write_snakefile(renamed=" as llm_*")
    result = campaign.run()
    assert result.returncode == 0, result.stdout[-4000:]
    assert sorted(campaign.responses().row_id) == [f"p{number}" for number in range(6)]
    assert "Every prompt of the campaign 'trial' has its row." in result.stdout
    assert "Nothing to be done" in campaign.run().stdout
    assert "Checking the plan" in campaign.run("llm_plan").stdout

    report = tmp_path / "all.zip"
    result = campaign.run("--report", report.name)
    assert result.returncode == 0, result.stdout[-4000:]
    with zipfile.ZipFile(report) as archive:
        held = {Path(name).name for name in archive.namelist()}
    assert held == {"report.html", *(f"{plot}.svg" for plot in PLOTS)}


@pytest.mark.timeout(120)
def test_without_its_handlers_a_module_is_refused(tmp_path: Path) -> None:
    """Also where an earlier run has left its config."""
    campaign = Importing(tmp_path, rows=6)
    campaign.write_snakefile()
    assert campaign.run("--until", "enqueue").returncode == 0
    campaign.write_snakefile(handlers="")
    campaign.write_prompts([{"id": "p9", "word": "new"}])
    result = campaign.run("--until", "enqueue")
    assert result.returncode != 0
    assert "has not taken the campaign 'trial'" in result.stdout
    assert "`onstart: <module>.onstart()`" in result.stdout


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("renamed", "accepted"), [("", True), (" as llm_*", False)])
def test_under_slurm_the_rules_keep_their_names(tmp_path: Path, renamed: str, accepted: bool) -> None:
    """The profile groups them by name."""
    campaign = Importing(tmp_path, site="local")
    campaign.write_snakefile(renamed)
    result = campaign.run("-n", "--default-resources", "slurm_partition=acpu")
    assert (result.returncode == 0) is accepted, result.stdout[-4000:]
    assert ("the rules keep their names" in result.stdout) is not accepted


def test_the_catalog_finds_what_it_asks_for() -> None:
    """What the Snakemake workflow catalog demands of a workflow with standardized usage."""
    usage = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    profile = usage["mandatory-flags"]["flags"].split()[-1]
    assert (REPOSITORY / profile / "config.yaml").exists()
    for path in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "LICENSE"):
        assert (REPOSITORY / path).exists()
    assert {"snakemake", "workflow"} <= set((REPOSITORY / "README.md").read_text().lower().split())
    linted = subprocess.run(["snakemake", "--lint"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stderr
