"""A tuning: the settings that answer most are found while the campaign's prompts are answered, and none is asked twice."""

from pathlib import Path

import pytest
import yaml

from campaign.core.files import read_json_lines
from support.files import read_json
from support.runs import Campaign

ROWS = 500


@pytest.mark.timeout(400)
def test_what_a_tuning_answers_is_asked_no_more(tmp_path: Path) -> None:
    # Eight seats of 0.4 s: 20 answers a second from eight in flight on, whatever the flags are. A machine that is busy with other
    # tests gives as many: of 80 a second it once gave as few with eight in flight as with two.
    tuning = {"window": 2, "time": "5m", "concurrency": [2, 4, 8], "flags": {"max-num-batched-tokens": [4096]}}
    campaign = Campaign(
        tmp_path,
        rows=ROWS,
        shard_rows=50,
        env={"STUB_LATENCY_S": 0.4, "STUB_SEATS": 8},
        tuning=tuning,
        inference={"concurrency": 2, "drain": "20s"},
    )
    tuned = campaign.run("--config", "tune=true", timeout=300)
    assert tuned.returncode == 0, tuned.stdout[-5000:]
    assert "is tuned" in tuned.stdout

    advice = yaml.safe_load((campaign.results / "tuning.yaml").read_text())
    assert advice["inference"]["concurrency"] == 8
    found = read_json(campaign.results / "allocations" / "stub" / "1001" / "tuned.json")
    assert found["rate"] > 2 * found["start_rate"]
    points = list(read_json_lines(campaign.results / "tuning" / "stub.jsonl"))
    assert {tuple(point["flags"]) for point in points} >= {(None,), (4096,)}  # a server for each
    answered = sum(campaign.received().values())
    assert 0 < answered < ROWS
    assert "Nothing to be done" in campaign.run("--config", "tune=true").stdout

    campaign.raw["inference"] |= advice["inference"]
    campaign.write_config()
    rest = campaign.run(timeout=200)
    assert rest.returncode == 0, rest.stdout[-4000:]
    assert set(campaign.received().values()) == {1}
    assert len(campaign.received()) == len(campaign.responses()) == ROWS
