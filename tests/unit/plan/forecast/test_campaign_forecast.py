"""The forecast of a campaign from the tables that earlier ones left behind."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign.accounting.account import to_table
from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.files import replacing, write_json
from campaign.plan import run_checks
from campaign.plan.checks.budget_check import budget
from campaign.plan.checks.slurm_check import SlurmAnswer
from campaign.plan.forecast.campaign_forecast import CampaignForecast, forecast_campaign
from campaign.plan.forecast.history import read_history, shape_key
from campaign.plan.forecast_warnings import with_forecast_warnings
from campaign.plan.plan import make_plan
from campaign.plan.run_checks import diagnose, problems
from campaign.site.table import load_table
from support import architectures

import pyarrow.parquet as pq  # isort: skip

PLACE = {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 1, "cpus_per_gpu": 8, "walltime": "8h"}


@pytest.fixture
def on_alpine(
    stub_config: Callable[..., CampaignConfig], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., CampaignConfig]:
    """Factory of campaigns on the cluster of the table, with a model that the plan can read."""
    (model_folder / "config.json").write_bytes((architectures.FOLDER / "llama-3.2-1b.json").read_bytes())
    (model_folder / "model.safetensors").rename(model_folder / "pytorch_model.bin")
    monkeypatch.setattr(run_checks, "current_site", lambda table: table)
    monkeypatch.setattr(run_checks, "ask_slurm", lambda config, profile: SlurmAnswer())
    run_checks.this_site.cache_clear()

    def make(rows: int = 20, placement: dict[str, Any] | None = None, **changes: Any) -> CampaignConfig:
        model = {"source": str(model_folder), "max_model_len": 8192, "placement": {**PLACE, **(placement or {})}}
        return stub_config(rows=rows, site="alpine", account="a", models={"stub": model}, **changes)

    return make


def leave_behind(config: CampaignConfig, *, requests: int, infer_s: float, wall_s: float, su: float) -> None:
    """What a finished campaign leaves: config, accounting, verdict."""
    write_json(config.paths.config, config.model_dump(mode="json"))
    now = time.time()
    row = {
        **{"model": "stub", "allocation": 0, "rule": "allocation", "job_id": "1", "state": "COMPLETED", "started_at": now},
        **{"ended_at": now + wall_s, "wall_s": wall_s, "infer_s": infer_s, "queue_s": 40.0, "answered": requests, "failed": 0},
        **{"prompt_tokens": requests * 10, "completion_tokens": requests * 6, "su": su, "billing": 112.0},
    }
    beside = {**row, "model": None, "allocation": None, "rule": "prepare_requests", "answered": 0, "infer_s": 0.0, "su": 0.5}
    with replacing(config.paths.accounting) as path:
        pq.write_table(to_table([row, beside]), path)
    counts = {
        "rows": requests,
        "failed": 0,
        "ok": requests,
        "missing": 0,
        "prompt_tokens": requests * 10,
        "completion_tokens": requests * 6,
    }
    write_json(
        config.paths.last_collected,
        {
            "id": "v",
            **dict.fromkeys(("rows", "ok", "failed", "missing"), 0),
            "models": {"stub": {"datasets": {"words": counts}}},
        },
    )


def forecast_of(config: CampaignConfig, diagnosis: run_checks.Diagnosis) -> CampaignForecast:
    return forecast_campaign(config, diagnosis.site, diagnosis.metadata)


@pytest.mark.processes
def test_the_second_campaign_is_told_by_the_first(on_alpine: Callable[..., CampaignConfig]) -> None:
    leave_behind(on_alpine(campaign="first"), requests=20, infer_s=100.0, wall_s=150.0, su=5.0)
    config = on_alpine(rows=40, campaign="second")
    expected = forecast_of(config, diagnose(config))
    (forecast,) = [model.forecast for model in expected.models.values()]
    assert forecast is not None
    assert forecast.su is not None
    assert forecast.billed_hours.expected == pytest.approx((50 + 200) / 3600)
    assert forecast.su.expected == pytest.approx((50 + 200) / 150 * 5.0)  # 5 SU for 150 s: as it was billed
    assert forecast.rests_on == "speed: 1 run of first; lengths: 20 answers of first"
    assert expected.total_su is not None
    assert expected.total_su.expected == pytest.approx(forecast.su.expected + 0.5)  # and the jobs beside it
    assert forecast.queue_s == 40.0


def test_another_shape_is_another_story(on_alpine: Callable[..., CampaignConfig]) -> None:
    leave_behind(on_alpine(campaign="first"), requests=20, infer_s=100.0, wall_s=150.0, su=5.0)
    for changed in (on_alpine(placement={"gpu": "a100_80gb"}), on_alpine(placement={"gpus_per_node": 2})):
        assert not read_history().of("alpine", changed.models["stub"]).runs
    same = on_alpine(placement={"walltime": "1h", "allocations": 3})
    assert len(read_history().of("alpine", same.models["stub"]).runs) == 1
    assert shape_key("alpine", same.models["stub"]) != shape_key("local", same.models["stub"])


def test_what_cannot_be_read_is_left_out(on_alpine: Callable[..., CampaignConfig], in_tmp: Path) -> None:
    leave_behind(on_alpine(campaign="first"), requests=20, infer_s=100.0, wall_s=150.0, su=5.0)
    for name, content in (("broken", b"{"), ("older", b'{"campaign": "older", "gone": 1}')):
        (in_tmp / "results" / name).mkdir()
        (in_tmp / "results" / name / "config.json").write_bytes(content)
    (in_tmp / "results" / "cut").mkdir()
    (in_tmp / "results" / "cut" / "config.json").write_bytes(
        (in_tmp / "results/first/config.json").read_bytes().replace(b"first", b"cut")
    )
    (in_tmp / "results" / "cut" / "accounting.parquet").write_bytes(b"PAR1")
    assert len(read_history().shapes) == 1


def test_history_reads_the_tables_beside_the_configs(
    on_alpine: Callable[..., CampaignConfig], in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that lie elsewhere than below the working directory, as of a colleague whose campaigns are read."""
    config = on_alpine(campaign="first")
    leave_behind(config, requests=20, infer_s=100.0, wall_s=150.0, su=5.0)
    (in_tmp / "results").rename(in_tmp / "of-a-colleague")
    elsewhere = in_tmp / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    leave_behind(config, requests=99, infer_s=1.0, wall_s=2.0, su=1.0)  # another campaign of the same name
    history = read_history(in_tmp / "of-a-colleague")
    model = config.models["stub"]
    assert [run.requests for run in history.of("alpine", model).runs] == [20]
    lengths = history.answers(model, "words", config.datasets["words"].sampling)
    assert lengths is not None
    assert lengths.source == "20 answers of first"
    assert history.beside_su == {"alpine": [0.5]}  # another site's are in another unit


@pytest.mark.processes
def test_without_a_measurement_the_gpus_are_modelled(on_alpine: Callable[..., CampaignConfig]) -> None:
    config = on_alpine()
    expected = forecast_of(config, diagnose(config))
    forecast = expected.models["stub"].forecast
    assert forecast is not None
    assert "a model of the GPUs, good to a factor of 2" in forecast.rests_on
    assert forecast.hours.low < forecast.hours.expected < forecast.hours.high


@pytest.mark.processes
def test_few_requests_do_not_fill_a_server(on_alpine: Callable[..., CampaignConfig]) -> None:
    """As many at once as there are of an allocation, and as many as `inference.concurrency` sends."""

    def speed(rows: int, allocations: int = 1, **inference: Any) -> float:
        config = on_alpine(rows=rows, placement={"allocations": allocations}, inference=inference)
        forecast = forecast_of(config, diagnose(config)).models["stub"].forecast
        assert forecast is not None
        return forecast.tokens_per_s.expected

    full, few = speed(2000), speed(20)
    assert full > 2 * few
    assert speed(20, allocations=2) < few
    assert speed(2000, concurrency=20) == pytest.approx(few, rel=0.1)


@pytest.mark.processes
def test_the_budget_is_refused_with_what_is_done_and_left(on_alpine: Callable[..., CampaignConfig]) -> None:
    leave_behind(on_alpine(campaign="first"), requests=20, infer_s=100.0, wall_s=150.0, su=5.0)
    enough, small = (on_alpine(rows=40, campaign="second", budget_su=budget) for budget in (11, 7))
    assert problems(enough) == []
    (problem,) = problems(small)
    assert problem.startswith(
        "budget_su: 7 SU do not suffice: 0.0 are spent for 0 answers, and the 40 that are left will take about 8.8 (7.2 to 10.9)"
    )
    assert "datasets.<name>.limit" in problem


def told(config: CampaignConfig) -> list[tuple[str, bool]]:
    """Rules of the diagnostics of a budget, and whether they are warnings."""
    return [(found.rule, found.warning) for found in budget(config, forecast_of(config, diagnose(config)))]


@pytest.mark.processes
def test_a_budget_within_the_range_is_a_warning(on_alpine: Callable[..., CampaignConfig]) -> None:
    """Of the range, in runs of 4 minutes: 8 SU each."""
    leave_behind(on_alpine(campaign="first"), requests=20, infer_s=100.0, wall_s=150.0, su=5.0)
    large, small = (on_alpine(rows=40, campaign="second", budget_su=size, placement={"walltime": "4m"}) for size in (30, 10.5))
    assert (told(large), told(small)) == ([], [("budget", True)])
    assert problems(small) == []
    (warning,) = with_forecast_warnings(small, diagnose(small), forecast_of(small, diagnose(small))).warnings
    assert warning.startswith("budget_su: 10.5 SU may not suffice")


@pytest.mark.processes
def test_a_walltime_that_no_budget_covers_is_told(on_alpine: Callable[..., CampaignConfig]) -> None:
    """8 h at 120 SU: the job would not begin, though its answers take a quarter of an hour."""
    leave_behind(on_alpine(campaign="first"), requests=20, infer_s=100.0, wall_s=150.0, su=5.0)
    config = on_alpine(rows=40, campaign="second", budget_su=20)
    (found,) = budget(config, forecast_of(config, diagnose(config)))
    assert str(found) == (
        "models.stub.placement.walltime: is 8h, 960.0 SU, and 20.0 are left of budget_su: no run of stub begins, since it could "
        "pass the budget; at most 10m fit; shorten it or raise budget_su"
    )
    assert found.warning


@pytest.mark.processes
def test_the_plan_holds_and_shows_it_all(on_alpine: Callable[..., CampaignConfig], capsys: pytest.CaptureFixture[str]) -> None:
    leave_behind(on_alpine(campaign="first"), requests=20, infer_s=100.0, wall_s=150.0, su=5.0)
    config = on_alpine(rows=40, campaign="second", budget_su=100)
    plan = make_plan(config)
    assert records.read(state_files.PLAN, config.paths.plan) == orjson.loads(orjson.dumps(plan))
    assert plan["models"]["stub"]["memory"]["kv_tokens"] > 100_000
    assert plan["models"]["stub"]["su_per_hour"] == pytest.approx(120.0)
    assert plan["datasets"]["words"]["rows"] == 40
    (kept,) = [orjson.loads(line) for line in config.paths.forecasts.read_bytes().splitlines()]
    assert kept["models"]["stub"]["requests"] == 40
    shown = capsys.readouterr().err
    sentences = " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
    for told in (
        "words",
        "40",
        "1 x 1 x 1",
        "aa100: 1 node x 1 a100-40gb",
        "KV tokens",
        "120.0",
        "tok/s",
        "1 run of first",
        "writes 1.20 (0.96 to 1.50) tokens per second",
        "of budget_su 100",
    ):
        assert told in sentences, shown


@pytest.mark.processes
def test_allocations_that_may_not_run_together_take_turns(on_alpine: Callable[..., CampaignConfig]) -> None:
    config = on_alpine(rows=20, placement={"gpu": "a100_80gb", "allocations": 4})
    site = load_table("alpine")
    limited = {**site.qos, "gpu-normal": replace(site.qos["gpu-normal"], gpus_per_user={"a100_80gb": 2})}
    expected = forecast_of(config, diagnose(config, replace(site, qos=limited)))
    forecast = expected.models["stub"].forecast
    assert forecast is not None
    assert forecast.hours.expected == pytest.approx(forecast.billed_hours.expected / 4 * 2)
