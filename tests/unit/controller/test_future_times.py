"""What is dated in the future would be newer than whatever is made of it, until then."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from campaign.controller import future_times
from campaign.controller.future_times import settle_times
from campaign.core.paths import CampaignPaths
from support.queued import MODEL, Trial

MONTH = 30 * 86400.0


@pytest.fixture
def finished(trial: Callable[..., Trial]) -> Trial:
    campaign = trial(8)
    campaign.run()
    return campaign


def put_off(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() + seconds,) * 2)


def made(paths: CampaignPaths) -> list[Path]:
    """In the order in which they are made."""
    return [paths.manifest("d"), paths.pending(MODEL), paths.collected]


def test_outputs_are_dated_now_in_their_order(finished: Trial, caplog: pytest.LogCaptureFixture) -> None:
    paths = made(finished.config.paths)
    for number, path in enumerate(paths):
        put_off(path, MONTH + 60 * number)
    settle_times(finished.config)
    times = [path.stat().st_mtime for path in paths]
    assert times == sorted(times)
    assert len(set(times)) == 3
    assert time.time() - 60 < times[0] <= times[-1] <= time.time()
    assert caplog.text.count("dated in the future") == 1


def test_what_is_dated_well_keeps_its_time(finished: Trial, caplog: pytest.LogCaptureFixture) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.config.paths.root.rglob("*")}
    settle_times(finished.config)
    assert {path: path.stat().st_mtime_ns for path in finished.config.paths.root.rglob("*")} == before
    assert "future" not in caplog.text


def test_files_of_a_campaign_that_runs_are_left_alone(finished: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(future_times, "others_are_at_work", lambda _: True)
    put_off(finished.config.paths.collected, MONTH)
    settle_times(finished.config)
    assert finished.config.paths.collected.stat().st_mtime > time.time() + MONTH / 2


def test_the_users_own_files_are_told_and_left(finished: Trial, caplog: pytest.LogCaptureFixture) -> None:
    (prompts,) = (Path(name) for name in finished.config.datasets["d"].files)
    put_off(prompts, MONTH)
    settle_times(finished.config)
    assert prompts.stat().st_mtime > time.time() + MONTH / 2
    assert f"touch {prompts}" in caplog.text
