"""When an infer ends before all is answered, and what it says then."""

import asyncio
import fcntl
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvloop

from campaign.core import lock, timing
from campaign.core.errors import Interrupted, Preempted, WalltimeReached
from campaign.core.files import write_json
from campaign.core.processes import ProcessId
from campaign.inference import drain
from campaign.inference.drain import Drain
from campaign.inference.progress import Meter
from support.clock import Clock


class Run:
    """A drain and what it asked for: `calls`, in their order."""

    def __init__(self, lock_path: Path | None = None, seconds: float = 60.0) -> None:
        self.calls: list[str] = []
        self.drain = Drain(
            seconds, lock_path, lambda: 7, lambda: self.calls.append("changed"), lambda: self.calls.append("end")
        )

    def error(self) -> str:
        with pytest.raises(Interrupted) as raised:
            self.drain.raise_if_begun(Meter(10, 4))
        return str(raised.value)


def test_nothing_is_drained_without_a_reason() -> None:
    run = Run()
    run.drain.look()
    run.drain.raise_if_begun(Meter(10, 4))
    assert (run.drain.has_begun, run.calls) == (False, [])


def test_the_first_signal_drains_and_the_next_ends_at_once(caplog: pytest.LogCaptureFixture) -> None:
    run = Run()
    run.drain.on_signal(signal.SIGTERM)
    assert (run.drain.has_begun, run.calls) == (True, ["changed"])
    assert "Stopped by SIGTERM: finishing 7 requests in flight, at most 60 s" in caplog.text
    run.drain.on_signal(signal.SIGINT)
    assert run.calls == ["changed", "end"]
    assert "Stopped by SIGTERM: 0 requests got their answer in this run, 6 are left" in run.error()


def test_a_drain_that_ends_the_work_is_no_interruption_unless_it_is_stopped() -> None:
    run = Run()
    run.drain.finish("This server is measured")
    assert (run.drain.has_begun, run.calls) == (True, ["changed"])
    run.drain.raise_if_begun(Meter(10, 4))
    run.drain.on_signal(signal.SIGINT)
    assert run.calls == ["changed"]
    assert "Stopped by SIGINT" in run.error()
    run.drain.on_signal(signal.SIGINT)
    assert run.calls == ["changed", "end"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(drain, "time", SimpleNamespace(monotonic=clock, time=time.time))
    return clock


def test_a_drain_ends_when_its_time_is_over(clock: Clock) -> None:
    run = Run(seconds=20)
    run.drain.on_signal(signal.SIGTERM)
    clock.now += 20
    run.drain.look()
    assert run.calls == ["changed"]
    clock.now += 1
    run.drain.look()
    assert run.calls == ["changed", "end"]


def test_a_second_reason_neither_replaces_the_first_nor_its_time(clock: Clock) -> None:
    run = Run(seconds=10)
    run.drain.begin("First", 10)
    run.drain.begin("Second", 3600.0)
    clock.now += 11
    run.drain.look()
    assert (run.calls, run.error().split(":")[0]) == (["changed", "end"], "First")


def test_the_walltime_drains_and_is_told_apart() -> None:
    run = Run()
    run.drain.stop_sending = (time.time() + 60, 5.0)
    run.drain.look()
    assert not run.drain.has_begun
    run.drain.stop_sending = (time.time() - 1, 5.0)
    run.drain.look()
    with pytest.raises(WalltimeReached, match="The walltime ends"):
        run.drain.raise_if_begun(Meter(10, 4))


async def test_a_preemption_drains_as_soon_as_slurm_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "TIMING", replace(timing.TIMING, preemption_look=0.01))
    answers = iter((None, None, 0.5))
    run = Run(seconds=60.0)
    await run.drain.watch_preemption(lambda: next(answers))
    assert run.calls == ["changed"]
    with pytest.raises(Preempted, match="Slurm takes the nodes away"):
        run.drain.raise_if_begun(Meter(10, 4))


async def test_a_stop_stays_a_stop_when_the_job_is_preempted_meanwhile() -> None:
    run = Run()
    run.drain.on_signal(signal.SIGTERM)
    await run.drain.watch_preemption(lambda: 0.5)
    assert run.error().startswith("Stopped by SIGTERM")


def test_a_stop_stays_a_stop_when_the_walltime_ends_meanwhile() -> None:
    run = Run()
    run.drain.on_signal(signal.SIGTERM)
    run.drain.stop_sending = (time.time() - 1, 5.0)
    run.drain.look()
    assert run.error().startswith("Stopped by SIGTERM")
    with pytest.raises(Interrupted) as raised:
        run.drain.raise_if_begun(Meter(1, 0))
    assert not isinstance(raised.value, WalltimeReached)


@pytest.fixture
def held(tmp_path: Path) -> tuple[Path, Callable[[], None]]:
    """The lock of a campaign whose Snakemake runs, and how it ends."""
    path = tmp_path / "lock"
    write_json(path, {"token": "t", "process": ProcessId.current().to_json()})
    stream = path.open("rb")
    fcntl.flock(stream, fcntl.LOCK_EX)
    return path, stream.close


def test_it_drains_when_its_snakemake_is_gone(held: tuple[Path, Callable[[], None]]) -> None:
    path, end = held
    run = Run(path)
    run.drain.look()
    assert not run.drain.has_begun
    end()
    run.drain.look()
    assert run.error().startswith("The Snakemake that runs the campaign is gone")


def test_a_phase_run_by_hand_waits_for_no_snakemake(tmp_path: Path) -> None:
    assert lock.running_token(tmp_path / "lock") is None
    run = Run(tmp_path / "lock")
    run.drain.look()
    assert not run.drain.has_begun


def test_a_signal_after_the_loop_is_the_phases_again() -> None:
    """A tuning goes on to its next server: Ctrl-C while that loads was heard by nobody."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    run = Run()

    async def listen() -> None:
        run.drain.listen(asyncio.get_running_loop())
        run.drain.listen_no_more(asyncio.get_running_loop())

    try:
        uvloop.run(listen())
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        assert not run.drain.has_begun
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
