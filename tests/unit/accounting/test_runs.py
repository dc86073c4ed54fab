"""From events to rows: sums, spans that overlap, runs that were killed, phases that outlive their server."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.accounting.runs import Traces, by_run, infer_was_killed, rows_of, spans_by_run, union_seconds


def start(t: float, phase: str, run: str = "r1") -> dict[str, Any]:
    return {"t": t, "run": run, "event": "phase_start", "phase": phase, "job_id": f"job-{run}", "host": "here"}


def end(t: float, phase: str, run: str = "r1", **how: Any) -> dict[str, Any]:
    return {"t": t, "run": run, "event": "phase_end", "phase": phase, "ok": True, **how}


def busy(begin: float, until: float, run: str = "r1", **counts: int) -> dict[str, Any]:
    return {"t": until, "run": run, "event": "busy", "start": begin, "end": until, **counts}


def engine(t: float, run: str = "r1") -> dict[str, Any]:
    return {"t": t, "run": run, "event": "engine_start", "generation": 1}


WHOLE = [
    *(start(100, "bring_up"), engine(100.5), end(101, "bring_up")),
    *(start(102, "ready"), end(110, "ready")),
    start(111, "infer"),
    busy(112, 122, answered=5, failed=1, prompt_tokens=70, completion_tokens=40),
    busy(120, 130, answered=4, failed=0, prompt_tokens=30, completion_tokens=50),
    end(131, "infer"),
    *(start(132, "benchmark"), end(140, "benchmark")),
    *(start(141, "tear_down"), end(143, "tear_down")),
]


def test_a_whole_run() -> None:
    (row,) = rows_of("m", 2, WHOLE)
    assert row == {
        "model": "m",
        "allocation": 2,
        "rule": "allocation",
        "job_id": "job-r1",
        "run": "r1",
        "state": "COMPLETED",
        "host": "here",
        "started_at": 100,
        "ended_at": 143,
        "wall_s": 43,
        "bring_up_s": 1,
        "ready_s": 8,
        "infer_s": 20,
        "benchmark_s": 8,
        "tear_down_s": 2,
        "busy_s": 18,
        "busy_fraction": 18 / 43,
        "engine_starts": 1,
        "answered": 9,
        "failed": 1,
        "prompt_tokens": 100,
        "completion_tokens": 90,
        "output_tokens_per_s": 5,
        "error": None,
    }


def test_no_events_no_rows() -> None:
    assert rows_of("m", 0, []) == []


def test_a_run_that_failed_says_why() -> None:
    (row,) = rows_of(
        "m", 0, [start(1, "bring_up"), end(9, "bring_up", ok=False, error="The port is taken", kind="ServerError")]
    )
    assert (row["state"], row["error"], row["bring_up_s"]) == ("FAILED", "The port is taken", 8)


def test_a_run_stopped_by_its_user_was_cancelled() -> None:
    (row,) = rows_of("m", 0, [*WHOLE[:6], end(115, "infer", ok=False, error="Stopped by SIGINT", kind="Interrupted")])
    assert (row["state"], row["error"]) == ("CANCELLED", "Stopped by SIGINT")


def test_a_failure_that_was_mended_ends_no_run() -> None:
    retried = [end(115, "infer", ok=False, error="disk", kind="StorageError"), start(116, "infer"), end(120, "infer")]
    (row,) = rows_of("m", 0, [*WHOLE[:6], *retried, *WHOLE[-2:]])
    assert (row["state"], row["error"], row["infer_s"]) == ("COMPLETED", None, 4 + 4)


def test_a_killed_run_ends_at_its_last_trace() -> None:
    (row,) = rows_of("m", 0, WHOLE[:7])
    assert (row["state"], row["ended_at"], row["infer_s"]) == ("KILLED", 122, 11)


def test_a_killed_run_tells_what_its_supervisor_knew() -> None:
    gone = {"t": 125, "run": "r1", "event": "engine_end", "generation": 1, "reason": "the Snakemake is gone"}
    (row,) = rows_of("m", 0, [*WHOLE[:7], gone])
    assert (row["state"], row["error"], row["ended_at"]) == ("KILLED", "the Snakemake is gone", 125)


def test_what_a_killed_run_left_behind_counts() -> None:
    counts = {"answered": 20, "failed": 2, "prompt_tokens": 200, "completion_tokens": 160}
    traces = {"r1": Traces(last_seen=139.0, counts=counts, first=112, last=138.0)}
    (row,) = rows_of("m", 0, WHOLE[:7], traces)
    assert {name: row[name] for name in counts} == counts
    assert (row["ended_at"], row["wall_s"], row["busy_s"]) == (139, 39, 26)


def test_an_infer_that_was_killed_within_a_run_counts_by_its_rows() -> None:
    """Snakemake starts another infer beside the same server, and the run ends well: its events lack what the first one
    counted last."""
    events = [*WHOLE[:6], start(123, "infer"), *WHOLE[7:]]
    counts = {"answered": 20, "failed": 2, "prompt_tokens": 200, "completion_tokens": 160}
    (row,) = rows_of("m", 0, events, {"r1": Traces(last_seen=139.0, counts=counts, first=112, last=138.0)})
    assert infer_was_killed(events)
    assert not infer_was_killed(WHOLE)
    assert row["state"] == "COMPLETED"
    assert {name: row[name] for name in counts} == counts


def test_traces_change_nothing_of_a_run_that_told_its_end() -> None:
    traces = {"r1": Traces(last_seen=999.0, counts=dict.fromkeys(("answered", "failed", "prompt_tokens"), 99), last=998.0)}
    assert rows_of("m", 0, WHOLE, traces) == rows_of("m", 0, WHOLE)


def test_a_run_with_a_living_supervisor_runs() -> None:
    (row,) = rows_of("m", 0, WHOLE[:6], {"r1": Traces(last_seen=120.0, alive=True)})
    assert (row["state"], row["ended_at"], row["error"]) == ("RUNNING", 120, None)


def test_infer_that_outlives_its_server_is_cut_where_the_next_begins() -> None:
    happened = [
        *WHOLE[:6],
        busy(112, 120, answered=1),
        *(start(150, "bring_up", "r2"), end(151, "bring_up", "r2"), start(151, "ready", "r2"), end(160, "ready", "r2")),
        busy(160, 170, "r2", answered=1),
        end(171, "infer"),
        *(start(172, "tear_down", "r2"), end(173, "tear_down", "r2")),
    ]
    first, second = rows_of("m", 0, happened)
    assert (first["infer_s"], first["ended_at"], first["state"]) == (39, 150, "KILLED")
    assert (second["infer_s"], second["started_at"], second["ended_at"], second["state"]) == (11, 150, 173, "COMPLETED")


def test_runs_come_in_the_order_they_began() -> None:
    happened = [start(50, "bring_up", "later"), end(51, "bring_up", "later"), start(1, "bring_up", "earlier")]
    assert [row["run"] for row in rows_of("m", 0, happened)] == ["earlier", "later"]


spans = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)).map(lambda span: (span[0], span[0] + span[1])))


@given(spans)
def test_the_union_counts_each_second_once(found: list[tuple[int, int]]) -> None:
    assert union_seconds(found) == len({second for begin, until in found for second in range(begin, until)})


moments = st.integers(0, 100)
happenings = st.one_of(
    st.builds(start, moments, st.sampled_from(["bring_up", "ready", "infer"]), st.sampled_from(["r1", "r2", "r3"])),
    st.builds(end, moments, st.sampled_from(["bring_up", "ready", "infer"]), st.sampled_from(["r1", "r2", "r3"])),
)


@given(st.lists(happenings, min_size=1).map(lambda events: sorted(events, key=lambda event: event["t"])))
def test_whatever_was_killed_no_run_lasts_longer_than_its_traces(happened: list[dict[str, Any]]) -> None:
    first, last = happened[0]["t"], happened[-1]["t"]
    rows = rows_of("m", 0, happened)
    assert len(rows) == len({event["run"] for event in happened})
    for row in rows:
        assert first <= row["started_at"] <= row["ended_at"] <= last
        assert all(0 <= row[f"{phase}_s"] <= row["wall_s"] for phase in ("bring_up", "ready"))
    for found in spans_by_run(by_run(happened)).values():
        assert all(span.start <= span.end for span in found)


@pytest.mark.parametrize("torn", [{"phase": "infer", "ok": False}])
def test_an_end_without_a_start_is_no_phase(torn: dict[str, Any]) -> None:
    (row,) = rows_of("m", 0, [{"t": 5, "run": "r1", "event": "phase_end", **torn}, start(6, "ready")])
    assert (row["infer_s"], row["state"]) == (0, "KILLED")
