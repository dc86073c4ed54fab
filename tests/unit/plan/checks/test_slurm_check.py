"""What Slurm would refuse is refused before the first job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign.config import CampaignConfig
from campaign.core.errors import ConfigError
from campaign.plan import plan as plan_module
from campaign.plan import run_checks
from campaign.plan.checks import slurm_check
from campaign.plan.checks.slurm_check import SlurmAnswer, ask_slurm
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.plan import preview_plan
from campaign.site.table import load_table
from campaign.slurm import job_options
from campaign.slurm.job_options import Profile
from campaign.slurm.trial import Trial
from support.commands import write_command


@pytest.fixture
def cluster(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """sacctmgr of a small cluster."""
    write_command(in_tmp / "sacctmgr", "printf ' ucb-general \\n ucb124_asc1 \\n'")
    monkeypatch.setenv("PATH", f"{in_tmp}:/usr/bin:/bin")
    return in_tmp


@pytest.fixture
def on_alpine(stub_config: Callable[..., CampaignConfig], model_folder: Path) -> Callable[..., CampaignConfig]:
    def make(placement: dict[str, Any] | None = None, **changes: Any) -> CampaignConfig:
        models = {"stub": {"source": str(model_folder), "placement": {"partition": "aa100", **(placement or {})}}}
        return stub_config(**{"site": "alpine", "account": "ucb-general", "models": models, **changes})

    return make


@pytest.mark.processes
def test_nothing_to_refuse(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    assert slurm_check.check_account(on_alpine()) == []
    assert slurm_check.check_account(on_alpine(account="UCB-General")) == []  # as the plugin compares


@pytest.mark.processes
def test_a_misspelt_account(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    (problem,) = slurm_check.check_account(on_alpine(account="ucb-genral"))
    assert "account: 'ucb-genral'" in problem
    assert "did you mean 'ucb-general'?" in problem


@pytest.mark.processes
def test_no_account(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    (problem,) = slurm_check.check_account(on_alpine(account=None))
    assert "Yours: ucb-general, ucb124_asc1" in problem


@pytest.mark.processes
def test_without_slurm(in_tmp: Path, on_alpine: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_check, "_PATIENCE_S", 0.0)
    monkeypatch.setenv("PATH", str(in_tmp))
    (problem,) = slurm_check.check_account(on_alpine())
    assert "Slurm does not answer" in problem


STARTS = "echo 'sbatch: Job 91 to start at 2031-03-04T09:20:05 using 4 processors on nodes node7 in partition aa100' >&2"
ONE_NODE = "All GPU jobs are limited to 1 node. Please reschedule your job using `--nodes=1`."
CPUS = Profile(("slurm_partition=acpu", "qos=cpu-normal", "mem_mb=3800", "runtime=120"))


def script(folder: Path, name: str, body: str) -> None:
    write_command(folder / name, body)


@pytest.mark.processes
def test_a_database_that_is_down_is_no_refusal(
    cluster: Path, on_alpine: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """sbatch asks the controller, which knows the accounts."""
    monkeypatch.setattr(slurm_check, "_PATIENCE_S", 0.0)
    script(cluster, "sacctmgr", "exit 1")
    script(cluster, "sbatch", STARTS)
    assert slurm_check.check_account(on_alpine()) == []
    (missing,) = slurm_check.check_account(on_alpine(account=None))
    assert missing.startswith("account: is missing")


@pytest.mark.processes
def test_a_job_that_slurm_would_take(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    script(cluster, "sbatch", STARTS)
    answer = ask_slurm(on_alpine(), CPUS)
    assert (answer.account, answer.diagnostics) == ((), ())
    assert answer.trials["stub"].nodes == "node7"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("sentence", "remedy"),
    [
        (ONE_NODE, "placement.nodes: 1"),
        ("With this QoS, users can only request 6 a100 GPU(s) per job.", "correct placement.gpu"),
    ],
)
def test_the_sites_sentence_is_quoted_with_key_and_remedy(
    sentence: str, remedy: str, cluster: Path, on_alpine: Callable[..., CampaignConfig]
) -> None:
    script(cluster, "sbatch", f"[[ $* == *aa100* ]] || exec true; echo 'sbatch: error: {sentence}' >&2; exit 1")
    (refused,) = ask_slurm(on_alpine(), CPUS).diagnostics
    assert not refused.warning
    assert str(refused).startswith(f'models.stub.placement: Slurm refuses an allocation of stub: "{sentence}"; {remedy}')


@pytest.mark.processes
def test_jobs_without_a_placement_are_the_profiles(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    script(cluster, "sbatch", f"[[ $* == *acpu* ]] || {{ {STARTS}; exit 0; }}; echo 'sbatch: error: no such QoS' >&2; exit 1")
    keys = [refused.config_key for refused in ask_slurm(on_alpine(), CPUS).diagnostics]
    assert keys == [f"default-resources of the profile, for {rule}" for rule in ("prepare_requests", "stage_model")]


@pytest.mark.processes
def test_what_the_plugin_would_not_submit_is_refused(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    script(cluster, "sbatch", STARTS)
    (refused,) = ask_slurm(on_alpine(), Profile(overrides={"bring_up": ("tasks=1",)})).diagnostics
    assert "'tasks' must be greater than 1" in str(refused)


@pytest.mark.processes
def test_a_plugin_that_is_made_otherwise_ends_no_plan(
    cluster: Path, on_alpine: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_options._plugin("submit_string"), "get_submit_command", None)
    script(cluster, "sbatch", STARTS)
    (silent,) = ask_slurm(on_alpine(), CPUS).diagnostics
    assert silent.warning
    assert "its options could not be made" in silent.reason


@pytest.mark.processes
def test_a_controller_that_is_silent_is_told_in_one_line(cluster: Path, on_alpine: Callable[..., CampaignConfig]) -> None:
    script(cluster, "sbatch", "echo 'allocation failure: Unable to contact slurm controller (connect failure)' >&2; exit 1")
    (silent,) = ask_slurm(on_alpine(), CPUS).diagnostics
    assert silent.warning
    assert "Unable to contact slurm controller" in silent.reason
    assert silent.reason.endswith(f"the plan rests on {load_table('alpine').source}")


@pytest.mark.processes
@pytest.mark.parametrize(("away", "waits"), [("node[1-3]", True), ("", False)])
def test_nodes_that_are_down_are_waited_for(
    away: str, waits: bool, cluster: Path, on_alpine: Callable[..., CampaignConfig]
) -> None:
    """--test-only says the same of a job that no node will ever take and of one whose nodes are drained today."""
    script(cluster, "sbatch", "echo 'allocation failure: Requested node configuration is not available' >&2; exit 1")
    script(cluster, "sinfo", f"echo '{away}'")
    (said,) = ask_slurm(on_alpine()).diagnostics
    assert said.warning is waits
    assert not waits or away in said.reason


@pytest.mark.processes
@pytest.mark.parametrize(
    ("answer", "kept"),
    [(STARTS, False), ("exit 1", True), ("echo 'sbatch: error: Connection refused' >&2; exit 1", True)],
    ids=["taken", "refused", "silent"],
)
def test_the_tables_rules_stand_where_slurm_did_not_take_the_job(
    answer: str, kept: bool, cluster: Path, on_alpine: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [Diagnostic("models.stub.placement.nodes", "submit", "x", submission=True), Diagnostic("models.stub", "other", "y")]
    monkeypatch.setattr(run_checks, "current_site", lambda table: table)
    monkeypatch.setattr(run_checks.feasibility, "diagnose_model", lambda *_: rules)
    run_checks.this_site.cache_clear()
    script(cluster, "sbatch", answer)
    found = {diagnostic.rule for diagnostic in run_checks.diagnose(on_alpine()).diagnostics}
    assert ("submit" in found, "other" in found) == (kept, True)


TABLE = [
    Diagnostic(
        "models.stub.placement.nodes", "job_nodes", "2 nodes, and Alpine takes 1", "what works: nodes: 1", submission=True
    ),
    Diagnostic("models.stub.placement.walltime", "walltime", "30h, and QoS gpu-normal takes 24h", "use at most 24h"),
    Diagnostic("models.stub", "memory", "its weights do not fit", "what works: more"),
]


def refused(said: str) -> SlurmAnswer:
    answer = Diagnostic("models.stub.placement", "slurm", f'Slurm refuses an allocation of stub: "{said}"', "the site's advice")
    other = Diagnostic("site", "slurm_silent", "x", warning=True)
    return SlurmAnswer(trials={"stub": Trial(refused=said)}, diagnostics=(answer, other))


def test_a_line_of_the_table_is_not_said_beside_slurms_own_sentence() -> None:
    """Slurm's words, under the key and with the remedy of the table; what Slurm does not speak of stays."""
    first, *left = refused(ONE_NODE).beside_table("stub", TABLE)
    assert str(first) == (
        f'models.stub.placement.nodes: Slurm refuses an allocation of stub: "{ONE_NODE}"; what works: nodes: 1'
    )
    assert left == TABLE[1:]
    (silent,) = refused(ONE_NODE).other_diagnostics(["stub"])
    assert silent.rule == "slurm_silent"


def test_what_slurm_says_of_another_thing_stands_beside_the_table() -> None:
    for said in ("Invalid account or account/partition combination specified", "nodes or walltime"):
        first, *left = refused(said).beside_table("stub", TABLE)
        assert first.remedy == "the site's advice"
        assert left == TABLE
    assert refused(ONE_NODE).beside_table("other", TABLE) == TABLE


@pytest.mark.processes
def test_the_profile_of_a_plan(
    cluster: Path, on_alpine: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site's, or the one that is named; none is read where there is no Slurm to ask."""
    monkeypatch.setattr(run_checks, "current_site", lambda table: table)
    run_checks.this_site.cache_clear()
    Path("c.yaml").write_text(on_alpine().model_dump_json())
    for name, qos in {"alpine": "cpu-normal", "mine": "cpu-long"}.items():
        Path("profiles", name).mkdir(parents=True)
        Path("profiles", name, "config.yaml").write_text(f"default-resources: {{slurm_partition: acpu, qos: {qos}}}\n")
    script(cluster, "sbatch", f"echo $* >> {cluster}/calls; {STARTS}")
    for profile, qos in ((None, "cpu-normal"), (Path("profiles/mine"), "cpu-long")):
        Path("calls").write_text("")
        preview_plan(Path("c.yaml"), "alpine", profile)
        assert f"-p acpu --qos={qos}" in Path("calls").read_text()
    with pytest.raises(ConfigError, match="--profile: profiles/none"):
        preview_plan(Path("c.yaml"), "alpine", Path("profiles/none"))
    (cluster / "sbatch").unlink()
    monkeypatch.setenv("PATH", str(cluster))
    assert plan_module._profile(on_alpine(), Path("profiles/none")) is None


def test_on_one_machine_nobody_is_asked(stub_config: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert slurm_check.ask_slurm(stub_config()) == SlurmAnswer()


def test_a_gpu_type_cannot_be_a_command(on_alpine: Callable[..., CampaignConfig]) -> None:
    with pytest.raises(ConfigError, match="gpu"):
        on_alpine({"gpu": "a100; rm -rf x"})
