"""What `ready` may take of an allocation's time."""

import time

import pytest

from campaign.allocation import bring_up, requeue
from campaign.slurm import client as slurm


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of an hour with 100 s left."""
    now = time.time()
    monkeypatch.setattr(slurm, "this_job", lambda *_: slurm.Job("412", "run", ("n1",), now - 3500, now + 100, 0))


def test_loading_and_the_first_answer_end_within_the_walltime(job: None) -> None:
    assert bring_up._load_deadline() == pytest.approx(50, abs=5)
    assert bring_up._answer_deadline() == pytest.approx(100 - requeue._TEAR_DOWN_S, abs=5)


def test_without_a_walltime_they_have_their_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "this_job", lambda *_: None)
    assert bring_up._load_deadline() == 3600
    assert bring_up._answer_deadline() == 600
