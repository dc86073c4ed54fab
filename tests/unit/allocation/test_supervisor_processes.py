"""The first word of a supervisor: waited for as long as what it waits for itself."""

import time
from collections.abc import Callable

import pytest

from campaign.allocation import supervisor_processes
from campaign.config import CampaignConfig
from campaign.core import patience
from campaign.core.errors import ServerError
from campaign.server.server_state import ServerState, write_server_state

RUN = "412-20261127T200000"


class Supervisor:
    """A process that says nothing of its own."""

    pid = 0

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def poll(self) -> None:
        return None


class Waiting:
    """A clock that goes on with each pause; after `speaks_after` seconds the supervisor has written its state."""

    def __init__(self, config: CampaignConfig, speaks_after: float) -> None:
        self.now, self.config, self.speaks_after = 0.0, config, speaks_after

    def sleep(self, _: float) -> None:
        self.now += 5.0
        if self.now >= self.speaks_after:
            path = self.config.paths.allocation("stub", 0).server_state
            write_server_state(path, ServerState("starting", RUN, "412", "h", "stub"))


@pytest.fixture
def start(
    stub_config: Callable[..., CampaignConfig], in_tmp: object, monkeypatch: pytest.MonkeyPatch
) -> Callable[[float], float]:
    """Start a supervisor that speaks after so many seconds; how long was waited."""
    config = stub_config()
    monkeypatch.setattr(supervisor_processes.subprocess, "Popen", Supervisor)
    monkeypatch.setattr(supervisor_processes, "end", lambda *_, **__: None)

    def make(speaks_after: float) -> float:
        config.paths.allocation("stub", 0).server_state.unlink(missing_ok=True)
        waiting = Waiting(config, speaks_after)
        monkeypatch.setattr(time, "sleep", waiting.sleep)
        monkeypatch.setattr(time, "monotonic", lambda: waiting.now)
        supervisor_processes.start_supervisor(config, "stub", 0, RUN, None)
        return waiting.now

    return make


def test_in_a_job_an_outage_of_slurm_is_waited_for(start: Callable[[float], float], monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor asks Slurm for its nodes before it says anything; given up, the allocation would not be tried again."""
    monkeypatch.setenv("SLURM_JOB_ID", "412")
    assert start(patience.SLURM.seconds - 10) < patience.SLURM.seconds


def test_elsewhere_it_has_a_minute(start: Callable[[float], float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert start(30.0) < 60.0
    with pytest.raises(ServerError, match="did not start"):
        start(10_000.0)
