"""A sweep: the model and its variants measured side by side, as a campaign of its own."""

from pathlib import Path

import pandas as pd
import pytest

from support.runs import Campaign


@pytest.mark.timeout(400)
def test_variants_are_measured_side_by_side(tmp_path: Path) -> None:
    # An answer takes 0.1 s: without it six answers of the stub are as fast one by one as three at a time.
    campaign = Campaign(
        tmp_path, env={"STUB_LATENCY_S": 0.1}, benchmark={"enabled": True, "requests": 6, "concurrency": [1, 3]}
    )
    campaign.raw["models"]["stub"]["variants"] = {"slow": {"env": {"STUB_LATENCY_S": 0.5}}}
    campaign.write_config()
    result = campaign.run("--config", "sweep=true", timeout=180)
    assert result.returncode == 0, result.stdout[-4000:]
    assert "For many prompts take stub (3 in flight)" in result.stdout

    folder = tmp_path / "results" / "trial-sweep"
    points = pd.read_parquet(folder / "benchmarks.parquet")
    assert list(zip(points.model, points.concurrency, strict=True)) == [
        *(("stub", 1), ("stub", 3)),
        *(("stub-slow", 1), ("stub-slow", 3)),
    ]
    assert set(points.base_model) == {"stub"}
    assert (points.latency_p50_s[points.model == "stub-slow"] > 0.5).all()
    page = (folder / "report.html").read_text()
    assert "{env: {STUB_LATENCY_S: 0.5}}" in page
    assert sorted(campaign.received()) == [f"p{number}" for number in range(6)]  # of 40: what a point takes
    assert not campaign.results.exists()

    again = campaign.run("--config", "sweep=true")
    assert again.returncode == 0, again.stdout[-4000:]
    assert "Nothing to be done" in again.stdout
    campaign.raw["models"]["stub"]["variants"] = {"slow": {"env": {"STUB_LATENCY_S": 1.0}}}
    campaign.write_config()
    edited = campaign.run("--config", "sweep=true", timeout=180)
    assert edited.returncode == 0, edited.stdout[-4000:]
    changed = pd.read_parquet(folder / "benchmarks.parquet")
    assert list(changed.concurrency) == [1, 3, 1, 3]  # what was measured of the variant as it was is not compared any more
    assert (changed.latency_p50_s[changed.model == "stub-slow"] > 1.0).all()
    assert list(changed.measured_at[changed.model == "stub"]) == list(points.measured_at[points.model == "stub"])
