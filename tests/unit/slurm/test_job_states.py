"""How a job is, from what sacct and squeue say together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core import patience
from campaign.slurm.job_states import LIVE, JobTracker
from support.clock import Clock

ENDS = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE")
# What the plugin of 2.8 takes for running, for ever, when nothing else is known; and what a later Slurm may say.
OTHER_ENDS = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "SOMETHING_NEW")
PLUGIN_KNOWS = {*ENDS, "RUNNING"}


@pytest.fixture
def tracker(clock: Clock, told: list[str]) -> JobTracker:
    return JobTracker(told.append, clock)


@pytest.mark.parametrize("state", ENDS)
def test_an_end_is_an_end(tracker: JobTracker, state: str) -> None:
    assert tracker.states({"8": state}, {}) == {"8": state}
    assert tracker.states({"8": state}, None) == {"8": state}
    assert tracker.states({"8": state}, {"8": "COMPLETING"}) == {"8": state}
    assert tracker.states({"8": f"{state} by 1000"}, {"8": state}) == {"8": state}


@pytest.mark.parametrize("state", OTHER_ENDS)
def test_an_end_after_which_slurm_may_queue_it_again(tracker: JobTracker, told: list[str], state: str) -> None:
    assert tracker.states({"8": state}, {"8": "PENDING"}) == {"8": "RUNNING"}  # it did
    assert tracker.states({"8": state}, {"8": "COMPLETING"}) == {"8": "RUNNING"}  # it may
    assert tracker.states({"8": state}, None) == {"8": "RUNNING"}  # nobody knows
    assert told == []
    assert tracker.states({"8": state}, {"8": state}) == {"8": "FAILED"}  # it did not
    assert tracker.states({"9": state}, {}) == {"9": "FAILED"}
    assert state in told[0]


@pytest.mark.parametrize(("said", "ends"), [({"8": "PREEMPTED"}, 1), ({"8": "NODE_FAIL", "9": "PREEMPTED"}, 2), ({}, 1)])
def test_an_end_is_told_once(tracker: JobTracker, clock: Clock, told: list[str], said: dict[str, str], ends: int) -> None:
    """sacct tells of it, and Snakemake looks, for days."""
    for _ in range(10):
        tracker.states(said, {}, ["8"])
        clock.now += 100
    assert len(told) == ends


@pytest.mark.parametrize("state", sorted(LIVE))
def test_what_squeue_shows_alive_is_alive(tracker: JobTracker, state: str) -> None:
    for before in (*ENDS, *OTHER_ENDS, "RUNNING", "PENDING"):
        assert tracker.states({"8": before}, {"8": state}) == {"8": "RUNNING"}
    assert tracker.states({}, {"8": state}, ["8"]) == {"8": "RUNNING"}


HELD = (
    "JobHeldUser",
    "JobHeldAdmin",
    "launch failed requeued held",
    "launch_failed_requeued_held",
    "job requeued in held state",
)


@pytest.mark.parametrize("reason", HELD)
def test_a_job_that_slurm_holds_waits_and_is_told_once(tracker: JobTracker, told: list[str], reason: str) -> None:
    for _ in range(3):
        assert tracker.states({"8": "PENDING"}, {"8": f"PENDING {reason}"}, ["8"]) == {"8": "RUNNING"}
    (line,) = told
    assert reason in line
    assert "scontrol release 8" in line
    assert "scancel 8" in line


@pytest.mark.parametrize(
    "reason", ["Priority", "Resources", "BeginTime", "None", "Licenses", "Nodes required for job are DOWN"]
)
def test_one_that_waits_its_turn_is_not(tracker: JobTracker, told: list[str], reason: str) -> None:
    assert tracker.states({}, {"8": f"PENDING {reason}"}, ["8"]) == {"8": "RUNNING"}
    assert told == []


@pytest.mark.parametrize("said", [{}, {"8": "RUNNING"}, {"8": "PENDING"}, {"8": "REQUEUED"}])
def test_a_job_that_nobody_has_any_more_is_lost(
    tracker: JobTracker, clock: Clock, told: list[str], said: dict[str, str]
) -> None:
    for _ in range(5):
        assert tracker.states(said, {}, ["8"]) == {"8": "RUNNING"}
    clock.now = 300
    assert tracker.states(said, {}, ["8"]) == {"8": "FAILED"}
    assert "job 8" in told[0].lower()


def test_one_that_is_seen_again_is_not(tracker: JobTracker, clock: Clock) -> None:
    tracker.states({}, {}, ["8"])
    tracker.states({}, {"8": "PENDING"}, ["8"])
    clock.now = 300
    for _ in range(3):
        assert tracker.states({}, {}, ["8"]) == {"8": "RUNNING"}


def test_while_squeue_does_not_answer_nothing_is_lost(tracker: JobTracker, clock: Clock) -> None:
    for _ in range(10):
        clock.now += 100
        assert tracker.states({}, None, ["8"]) == {"8": "RUNNING"}


@pytest.mark.parametrize(("shown", "settled"), [("COMPLETED", "COMPLETED"), ("TIMEOUT", "TIMEOUT"), ("PREEMPTED", "FAILED")])
def test_an_end_that_only_squeue_has(tracker: JobTracker, clock: Clock, shown: str, settled: str) -> None:
    """sacct lags, or its database lost the job's end."""
    for _ in range(3):
        assert tracker.states({"8": "RUNNING"}, {"8": shown}) == {"8": "RUNNING"}
    clock.now = 300
    assert tracker.states({"8": "RUNNING"}, {"8": shown}) == {"8": settled}


def test_an_end_that_squeue_has_forgotten_since(tracker: JobTracker, clock: Clock) -> None:
    """It shows a job for MinJobAge after its end, and looks are minutes apart."""
    tracker.states({}, {"8": "COMPLETED"}, ["8"])
    clock.now = 180
    tracker.states({}, {}, ["8"])
    clock.now = 360
    assert tracker.states({}, {}, ["8"]) == {"8": "COMPLETED"}


def test_while_sacct_does_not_answer_squeue_tells(tracker: JobTracker, clock: Clock, told: list[str]) -> None:
    for _ in range(3):
        assert tracker.states(None, {"8": "RUNNING None", "9": "FAILED", "10": "PENDING"}, ["8", "9", "10"])["8"] == "RUNNING"
        clock.now += 90
    assert told == []
    assert tracker.states(None, {"8": "COMPLETING", "9": "FAILED"}, ["8", "9", "10"]) == {
        "8": "RUNNING",
        "9": "FAILED",
        "10": "RUNNING",
    }


def test_accounting_that_does_not_answer_is_told_once_and_not_waited_for_for_ever(
    tracker: JobTracker, clock: Clock, told: list[str]
) -> None:
    """Without a word Snakemake would wait for a job that ended before squeue was asked, as long as sacct is silent."""
    while clock.now < patience.ACCOUNT_SILENT.seconds:
        assert tracker.states(None, {}, ["8"]) == {"8": "RUNNING"}
        clock.now += 180
    assert len(told) == 1
    assert "sacct" in told[0]
    assert tracker.states(None, {}, ["8"]) == {"8": "FAILED"}
    tracker.states({"9": "RUNNING"}, {"9": "RUNNING"}, ["9"])  # it answers again
    for _ in range(5):
        assert tracker.states(None, {}, ["9"]) == {"9": "RUNNING"}
        clock.now += 180


@given(
    st.none() | st.dictionaries(st.sampled_from("123"), st.text()),
    st.none() | st.dictionaries(st.sampled_from("123"), st.sampled_from([*LIVE, *ENDS, *OTHER_ENDS, "COMPLETING"]) | st.text()),
)
def test_the_plugin_knows_every_answer(told: dict[str, str] | None, queue: dict[str, str] | None) -> None:
    states = JobTracker(lambda _: None).states(told, queue, ["1"])
    assert states.keys() == {*(told or {}), "1"}
    assert set(states.values()) <= PLUGIN_KNOWS


@given(st.text())
def test_no_word_is_running_for_ever(word: str) -> None:
    clock = Clock(0.0)
    tracker = JobTracker(lambda _: None, clock)
    for _ in range(4):
        tracker.states({"1": word}, {}, ["1"])
        clock.now += 60
    assert tracker.states({"1": word}, {}, ["1"])["1"] != "RUNNING"
