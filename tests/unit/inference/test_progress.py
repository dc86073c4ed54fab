"""What infer reports of itself: counts, status.json and the spans in which requests were in flight."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as legacy

from campaign.core.files import read_json_lines
from campaign.core.paths import AllocationPaths, CampaignPaths
from campaign.inference.metrics_file import Billed, openmetrics
from campaign.inference.progress import BusySpans, Meter, Reporter, Snapshot
from campaign.queue.answers.answer import Answer
from support.files import read_json


def answer(status: str = "ok", prompt: int | None = 2, completion: int | None = 3, started_at: float = 0.0) -> Answer:
    facts = {"error_class": None, "error_message": None, "attempts": 1, "latency_s": 0.1, "job_id": "1", "allocation": 0}
    text = {"text": "", "finish_reason": None, "model_revision": "", "engine_version": "", "extra": None}
    tokens = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"key": "k", "status": status, "started_at": started_at, **facts, **text, **tokens}


@pytest.fixture
def paths(tmp_path: Path) -> AllocationPaths:
    return CampaignPaths("c", tmp_path).allocation("m", 0)


def test_rows_are_counted_by_their_status() -> None:
    meter = Meter(rows=10, done_before=4)
    for row in (answer(), answer(prompt=None), answer("failed", prompt=None, completion=None)):
        meter.count(row)
    assert (meter.answered, meter.failed, meter.prompt_tokens, meter.completion_tokens) == (2, 1, 2, 6)
    assert (meter.done, meter.left) == (3, 3)


def test_the_mean_rate_begins_with_the_first_answered_request() -> None:
    meter = Meter(rows=10, done_before=0)
    meter.count(answer(started_at=time.time() - 10))
    meter.count(answer(started_at=time.time()))
    assert meter.mean_rates()[0] == pytest.approx(0.2, rel=0.05)


def spans(path: Path) -> list[tuple[object, ...]]:
    return [(e["run"], e["start"], e["end"], e["answered"], e["completion_tokens"]) for e in read_json_lines(path)]


def test_each_span_holds_what_was_counted_in_it(tmp_path: Path) -> None:
    meter = Meter(10, 0)
    busy = BusySpans(tmp_path / "events.jsonl", meter)
    busy.report(50.0, still_busy=False)  # nothing was sent yet
    busy.begin("r1", 100.0)
    meter.count(answer())
    busy.begin("r1", 101.0)
    busy.report(110.0, still_busy=True)
    meter.count(answer())
    busy.report(110.5, still_busy=False)  # short: the next one has it
    busy.begin("r2", 111.0)
    meter.count(answer())
    busy.report(112.0, still_busy=False)
    busy.report(200.0, still_busy=False, last=True)
    busy.begin("r2", 300.0)
    busy.report(300.1, still_busy=False, last=True)
    assert spans(tmp_path / "events.jsonl") == [
        ("r1", 100.0, 110.0, 1, 3),
        ("r2", 110.0, 112.0, 2, 6),
        ("r2", 300.0, 300.1, 0, 0),
    ]


def test_a_span_that_cannot_be_written_is_part_of_the_next(tmp_path: Path) -> None:
    meter = Meter(10, 0)
    path = tmp_path / "file" / "events.jsonl"
    (tmp_path / "file").write_text("no folder")
    busy = BusySpans(path, meter)
    busy.begin("r", 100.0)
    meter.count(answer())
    busy.report(110.0, still_busy=False)
    (tmp_path / "file").unlink()
    busy.report(120.0, still_busy=False)
    assert spans(path) == [("r", 100.0, 120.0, 1, 3)]


def reporter(paths: AllocationPaths) -> Reporter:
    return Reporter(Meter(10, 4), "c", "m", 0, paths, lambda: Snapshot("running", "r", 2, 8, automatic=True, suspects=1))


def test_status_json_is_kept_and_says_in_the_end_how_it_ended(paths: AllocationPaths) -> None:
    ours = reporter(paths)
    ours.busy.begin("r", time.time() - 5)
    ours.meter.count(answer())

    async def keep() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(ours.keep(), 0.1)

    asyncio.run(keep())
    status = read_json(paths.status)
    shown = {"state": "running", "model": "m", "allocation": 0, "run": "r", "in_flight": 2, "concurrency": 8}
    assert shown.items() <= status.items()
    assert (status["automatic"], status["suspects"], status["rows"], status["done"]) == (True, 1, 10, 5)
    assert [span[3] for span in spans(paths.events)] == [1]
    ours.write_status("finished")
    assert read_json(paths.status)["state"] == "finished"


def test_a_full_disk_does_not_end_what_status_json_only_describes(paths: AllocationPaths) -> None:
    paths.status.parent.parent.mkdir(parents=True)
    paths.status.parent.write_text("no folder")
    reporter(paths).write_status("running")
    assert not paths.status.exists()


# --- OpenMetrics ----------------------------------------------------------------------------------------------------------


def samples(text: str) -> dict[str, tuple[float, dict[str, str]]]:
    """Values and labels by the names of samples; the parser refuses what is no OpenMetrics."""
    return {s.name: (s.value, s.labels) for family in text_string_to_metric_families(text) for s in family.samples}


def test_metrics_say_what_status_json_says(paths: AllocationPaths) -> None:
    ours = reporter(paths)
    ours.billed = lambda: Billed(12.5, "SU")
    ours.meter.count(answer())
    ours.meter.count(answer("failed", prompt=None, completion=None))
    ours.write_status("running")
    text = paths.metrics.read_text()
    found = samples(text)
    assert {name: value for name, (value, _) in found.items() if name != "campaign_updated_timestamp_seconds"} == {
        **{"campaign_queue_rows": 10, "campaign_done_rows": 6, "campaign_answered_rows_total": 1},
        **{"campaign_failed_rows_total": 1, "campaign_retries_total": 0, "campaign_prompt_tokens_total": 2},
        **{"campaign_completion_tokens_total": 3, "campaign_in_flight_requests": 2, "campaign_target_requests": 8},
        **{"campaign_suspect_requests": 1, "campaign_billed_su": 12.5, "campaign_run_state": 1},
        "campaign_time_left_seconds": read_json(paths.status)["eta_s"],
    }
    assert found["campaign_updated_timestamp_seconds"][0] == pytest.approx(time.time(), abs=60)
    labels = {"campaign": "c", "model": "m", "allocation": "0"}
    assert all(own.items() >= labels.items() for _, own in found.values())
    assert found["campaign_run_state"][1] == {**labels, "state": "running", "run": "r"}
    units = {family.name: family.unit for family in text_string_to_metric_families(text)}
    assert {"rows", "tokens", "requests", "su"} <= set(units.values())
    assert {s.name: (s.value, s.labels) for family in legacy(text) for s in family.samples} == found  # as node_exporter does
    assert {family.type for family in text_string_to_metric_families(text)} == {"counter", "gauge"}  # it knows no others


def test_names_with_quotes_are_metrics_still() -> None:
    status = {"model": 'a"b\\c\nd', "allocation": 0, "state": "running", "run": None}
    text = openmetrics("c", status)
    assert samples(text)["campaign_run_state"][1]["model"] == 'a"b\\c\nd'


def test_a_unit_of_a_site_is_part_of_a_name() -> None:
    status = {"model": "m", "allocation": 0, "state": "running", "run": "r"}
    assert samples(openmetrics("c", status, Billed(2.0, "GPU-hours")))["campaign_billed_gpu_hours"][0] == 2.0
