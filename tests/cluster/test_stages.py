"""Two models, two stages: the second is made of the first one's answers, while jobs are queued again and a node is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from support import lab
from support.cluster import SlurmCampaign, check_nothing_left, place
from support.runs import wait_for

ROWS = 160
IDLE_S = 15.0
SLACK_S = 10.0  # of a node with two cores: between the last answer, the look that finds nothing, and the end of the phase


class Stages(SlurmCampaign):
    """Drafts by `stub`, about two a second, in runs of two minutes; judged by `judge`, which is faster, on two nodes."""

    def __init__(self, root: Path) -> None:
        sending = {"concurrency": 2, "request_timeout": "60s", "drain": "20s", "idle": f"{IDLE_S:.0f}s"}
        env = {"STUB_LATENCY_S": "1", "STUB_ECHO": "1"}
        super().__init__(root, rows=ROWS, env=env, placement={"walltime": "2m"}, inference=sending)
        stub = self.raw["models"]["stub"]
        judge = {"env": {**stub["env"], "STUB_LATENCY_S": "0.2"}, "placement": place(nodes=2), "pipeline_parallel": 2}
        self.raw["models"]["judge"] = {**stub, **judge}
        drafts = {**self.raw["datasets"]["words"], "prompt": "Say <d:{{ id }}> {{ word }}"}
        judged = {"from": "drafts", "prompt": "Is <j:{{ id }}> good? {{ text }}", "models": ["judge"]}
        self.raw["datasets"] = {"drafts": drafts, "judged": judged}
        self.write_config()

    def events(self, model: str) -> list[dict[str, Any]]:
        path = self.results / "allocations" / model / "0" / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def longest_idle_s(self, model: str) -> float:
        """Longest time within an infer in which no request was in flight, by the rows it answered."""
        rows, events = self.responses(), self.events(model)
        mine = rows[rows.model == model]
        started = mine.started_at.map(lambda moment: moment.timestamp())
        answered = sorted(zip(started, started + mine.latency_s, strict=True))
        begun = {event["run"]: event["t"] for event in events if event["event"] == "phase_start" and event["phase"] == "infer"}
        ended = {event["run"]: event["t"] for event in events if event["event"] == "phase_end" and event["phase"] == "infer"}
        longest = 0.0
        for run, end in ended.items():
            at = begun[run]
            for start, until in (span for span in answered if begun[run] <= span[0] < end):
                longest, at = max(longest, start - at), max(at, until)
            longest = max(longest, end - at)
        return longest


def was_queued_again(job: str) -> bool:
    """By the allocation itself, which misses the node, or by Slurm, which knows that it is down."""
    return any(row["State"] in ("REQUEUED", "NODE_FAIL") for row in lab.sacct(job, "State", "--duplicates"))


@pytest.mark.whole_lab
@pytest.mark.timeout(1200)
def test_two_models_with_a_requeue_and_a_lost_node(shared: Path) -> None:
    campaign = Stages(shared)
    with campaign.started() as snakemake:
        wait_for(lambda: sum(name.startswith("j:") for name in campaign.received()) >= 8, 500, "the judge has begun")
        drafted = sum(name.startswith("d:") for name in campaign.received())
        endpoint = campaign.endpoint(model="judge")
        lost, job = lab.node(endpoint["nodes"][1]), endpoint["job_id"]
        lost.kill_everything()
        try:
            wait_for(lambda: was_queued_again(job), 300, "the judge's job is queued again")
        finally:
            lost.restart()
        assert snakemake.wait(timeout=900) == 0, campaign.output()[-4000:]
    assert drafted < ROWS  # the second stage began before the first had ended

    rows = campaign.responses()
    assert rows.request_key.is_unique
    assert set(rows.status) == {"ok"}
    for dataset in ("drafts", "judged"):
        assert sorted(rows[rows.dataset == dataset].row_id) == sorted(f"p{number}" for number in range(ROWS))
    table = campaign.check_accounting()
    check_nothing_left(campaign)
    allocations = table[table.rule == "allocation"]
    assert (allocations.groupby("model").job_id.nunique() == 1).all()  # each is one job, queued again
    assert (allocations.groupby("model").size() >= 2).all()
    assert campaign.longest_idle_s("judge") <= IDLE_S + SLACK_S
