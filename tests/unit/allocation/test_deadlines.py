"""How the walltime is divided: what loading, the first answer and the drain may take of it."""

import time

import pytest

from campaign.allocation import deadlines
from campaign.slurm import client as slurm

NOW = 1_000_000.0


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of an hour with 100 s left."""
    now = time.time()
    monkeypatch.setattr(slurm, "this_job", lambda *_: slurm.Job("412", "run", ("n1",), now - 3500, now + 100, 0))


def test_loading_and_the_first_answer_end_within_the_walltime(job: None) -> None:
    assert deadlines.load_deadline() == pytest.approx(50, abs=5)
    assert deadlines.answer_deadline() == pytest.approx(100 - deadlines.TEAR_DOWN_S, abs=5)


def test_without_a_walltime_they_have_their_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "this_job", lambda *_: None)
    assert deadlines.load_deadline() == 3600
    assert deadlines.answer_deadline() == 600


@pytest.mark.parametrize(("length", "drain", "expected"), [(8 * 3600, 300, 300), (600, 300, 120), (60, 300, 12)])
def test_the_drain_fits_the_walltime(length: float, drain: float, expected: float) -> None:
    window = deadlines.drain_window(NOW, NOW + length, drain)
    assert window is not None
    assert window[1] == expected
    assert NOW + 0.5 * length < window[0] < NOW + length - expected


@pytest.mark.parametrize(
    ("grace", "drain", "expected"), [(120, 300, 96), (120, 20, 20), (600, 300, 300), (600, 900, 555), (-1, 300, 0)]
)
def test_the_drain_fits_the_grace_of_a_preemption(grace: float, drain: float, expected: float) -> None:
    assert deadlines.drain_of_preempted(drain, grace) == pytest.approx(expected)


def test_no_walltime_no_drain() -> None:
    assert deadlines.drain_window(NOW, None, 300) is None
