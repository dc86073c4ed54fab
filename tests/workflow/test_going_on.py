"""The matrix: every phase x every way to end x the same command again. It goes on, whatever ended where.

One campaign per way to end is ended at each place in turn: the command that goes on after one end is the one that the next end
meets. A cell is a phase and an end; it holds when the next command comes to the next place. Places that phases reach side by
side are ended together.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from campaign.queue.answers.journal import iter_answers
from support.runs import REPOSITORY, Campaign, wait_for

ROWS = 24
IN_FLIGHT = 4
WAIT_S = 150.0  # only what never comes takes so long

# Place of the hook (support/places), or of the stub engine -> phases that are ended there.
STEPS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (
        ("trial/plan.json", "manifests/words.json", "models/stub.json"),
        ("plan", "prepare_requests", "stage_model"),
    ),
    (("pending/stub.json",), ("enqueue",)),
    (("endpoint.json",), ("bring_up",)),
    (("loading",), ("ready: model loading",)),
    (("silent",), ("ready: first answer",)),
    (("hold",), ("infer: in flight",)),
    (("answered.json",), ("infer",)),
    (("benchmarks/model=stub",), ("benchmark",)),
    (("done.json",), ("tear_down",)),
    (
        ("trial/collected.json", "trial/benchmarks.parquet", "trial/accounting.parquet"),
        ("collect", "gather_benchmarks", "account"),
    ),
    (("report.html",), ("write_report",)),
]
WITH_SUPERVISOR = range(2, 8)
WITH_ENGINE = range(3, 8)


class Held(Campaign):
    """A campaign whose processes wait at places, until they are let on."""

    def __init__(self, root: Path, **more: Any) -> None:
        self.control, self.silent, self.hold = root / "places", root / "silent", root / "hold"
        env = {"STUB_LATENCY_S": 0.4, "STUB_SILENT": str(self.silent), "STUB_HOLD": str(self.hold)}
        benchmark = {"enabled": True, "requests": 2, "concurrency": [1]}
        # What is held is not taken for a hang.
        inference = {"concurrency": IN_FLIGHT, "request_timeout": "300s", "drain": "20s"}
        super().__init__(root, ROWS, shard_rows=5, env=env, benchmark=benchmark, inference=inference, **more)
        self.process: subprocess.Popen[str] | None = None
        self.commands = 0
        self.aimed: tuple[str, ...] | None = None

    def command(self, *arguments: str) -> list[str]:
        return super().command("--cores", "4", *arguments)

    def start(self, *arguments: str) -> None:
        """The same command, in a process group of its own as in a terminal."""
        hook = str(REPOSITORY / "tests" / "support" / "places")
        paths = os.pathsep.join(part for part in (hook, os.environ.get("PYTHONPATH")) if part)
        with (self.root / "snakemake.log").open("a") as log:
            log.write(f"--- command {self.commands}\n")
            log.flush()
            self.process = subprocess.Popen(
                self.command(*arguments),
                cwd=self.root,
                env={**os.environ, "CAMPAIGN_TEST_PLACES": str(self.control), "PYTHONPATH": paths},
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.commands += 1

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def aim(self, places: tuple[str, ...], *, full: bool = False) -> None:
        """Hold at these places and at no other; of a full disk: refuse them."""
        if places == self.aimed:
            return  # somebody may be there already
        self.aimed = places
        for path in (Path(f"{self.control}.reached"), Path(f"{self.silent}.reached"), self.hold):
            path.unlink(missing_ok=True)
        self.silent.touch() if "silent" in places else self.silent.unlink(missing_ok=True)
        beside = self.control.with_suffix(".new")
        beside.write_text("\n".join(("!" if full else "") + place for place in places))
        beside.replace(self.control)

    def reached(self, places: tuple[str, ...]) -> bool:
        if places == ("silent",):
            return Path(f"{self.silent}.reached").exists()
        if places == ("hold",):
            if sum(self.received().values()) >= IN_FLIGHT + 1:
                self.hold.touch()
            return self.hold.exists()
        return set(places) <= {place.removeprefix("!") for place, _ in self.at_places()}

    def at_places(self) -> list[tuple[str, int]]:
        path = Path(f"{self.control}.reached")
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def phases_held(self, places: tuple[str, ...]) -> list[int]:
        """Pids of the phases at these places."""
        wanted = {"loading": "phase ready", "silent": "phase ready", "hold": "phase infer", "endpoint.json": "phase bring-up"}
        if places[0] in wanted:
            return self.matching(wanted[places[0]])
        return [pid for _, pid in self.at_places()]

    def matching(self, words: str) -> list[int]:
        found = []
        for process in self.processes():
            with suppress(Exception):
                line = " ".join(process.cmdline())
                found += [process.pid] if words in line and "bash" not in line else []
        return found

    def last_words(self) -> str:
        return (self.root / "snakemake.log").read_text()[-2500:]


def kill(find: Callable[[], list[int]]) -> None:
    """kill -9 of those who are found; the phase that waits for an engine begins a moment after it."""
    wait_for(find, 30, "somebody to kill")
    for pid in find():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def to_group(campaign: Held, *numbers: signal.Signals) -> None:
    """Signals as a terminal sends them; the second when the first was heard."""
    assert campaign.process is not None
    for number in numbers:
        with suppress(ProcessLookupError):
            os.killpg(campaign.process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            campaign.process.wait(timeout=0.7 if len(numbers) > 1 else 0)


def snakemake(campaign: Held, _: tuple[str, ...]) -> None:
    assert campaign.process is not None
    pid = campaign.process.pid
    kill(lambda: [pid])


ENDS: dict[str, tuple[Callable[[Held, tuple[str, ...]], None], Sequence[int]]] = {
    "Ctrl-C": (lambda campaign, _: to_group(campaign, signal.SIGINT), range(len(STEPS))),
    "Ctrl-C twice": (lambda campaign, _: to_group(campaign, signal.SIGINT, signal.SIGINT), range(len(STEPS))),
    "SIGTERM": (lambda campaign, _: to_group(campaign, signal.SIGTERM), range(len(STEPS))),
    "SIGHUP": (lambda campaign, _: to_group(campaign, signal.SIGHUP), range(len(STEPS))),
    "kill -9 Snakemake": (snakemake, range(len(STEPS))),
    "kill -9 the phase": (lambda campaign, places: kill(lambda: campaign.phases_held(places)), range(len(STEPS))),
    "kill -9 the supervisor": (lambda campaign, _: kill(lambda: campaign.find("supervisor")), WITH_SUPERVISOR),
    "kill -9 the engine": (lambda campaign, _: kill(lambda: campaign.matching("engine.py -m vllm")), WITH_ENGINE),
    "the disk fills": (lambda campaign, _: None, [0, 1, 2, *range(6, len(STEPS))]),
}


def come_to(campaign: Held, places: tuple[str, ...], *arguments: str) -> None:
    """Until the campaign is held at the places. A run that has ended is followed by the same command, once."""
    for left in (1, 0):
        if not campaign.running:
            campaign.start(*arguments)
            left = 0
        wait_for(lambda: campaign.reached(places) or not campaign.running, WAIT_S, f"{places} reached")
        if campaign.reached(places):
            return
        if left == 0:
            break
    raise AssertionError(f"{places} never reached:\n{campaign.last_words()}")


def finish(campaign: Held) -> None:
    for _ in range(2):
        if not campaign.running:
            campaign.start()
        assert campaign.process is not None
        if campaign.process.wait(timeout=WAIT_S) == 0:
            return
    raise AssertionError(f"not finished:\n{campaign.last_words()}")


def start_anew(campaign: Held) -> None:
    """After a cell that failed: the other cells are still to be looked at."""
    if campaign.running and campaign.process is not None:
        with suppress(ProcessLookupError):
            os.killpg(campaign.process.pid, signal.SIGKILL)
        campaign.process.wait()
    campaign.aim(())
    for process in campaign.processes():
        with suppress(Exception):
            process.kill()
    wait_for(lambda: not campaign.processes(), 30, "all gone")
    for folder in ("results", "logs", ".snakemake"):
        subprocess.run(["rm", "-rf", str(campaign.root / folder)], check=True)
    campaign.log.unlink(missing_ok=True)


def journalled(campaign: Held) -> set[str]:
    return {answer["key"] for path in campaign.results.glob("journals/*/*/*/*.jsonl") for answer in iter_answers(path)}


def check_finished(campaign: Held, kept: set[str]) -> None:
    rows = campaign.responses()
    assert sorted(rows.row_id) == sorted(f"p{number}" for number in range(ROWS))
    assert rows.request_key.is_unique
    assert set(rows.status) == {"ok"}
    assert kept <= set(rows.request_key)
    wait_for(lambda: not campaign.processes(), 40, "no process of the campaign is left")
    campaign.start()
    assert campaign.process is not None
    assert campaign.process.wait(timeout=WAIT_S) == 0
    assert "Nothing to be done" in campaign.last_words()


def check_asked(campaign: Held, infers_ended: int) -> None:
    """At the end of infer: asked again is at most what was in flight at an end."""
    asked = campaign.received()
    assert len(asked) == ROWS
    assert sum(asked.values()) - ROWS <= IN_FLIGHT * infers_ended, asked


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("end", ENDS)
def test_ended_anywhere_it_goes_on(end: str, tmp_path: Path) -> None:
    act, at = ENDS[end]
    campaign, full = Held(tmp_path), end == "the disk fills"
    failed: list[str] = []
    cells, kept = [], set[str]()
    infers_ended = 0
    last: tuple[str, ...] = ()
    try:
        for number in at:
            places, phases = STEPS[number]
            cells += [f"{end} at {phase}" for phase in phases]
            campaign.aim(places, full=full)
            try:
                come_to(campaign, places)
            except AssertionError as error:
                failed += [f"after {end} at {last}: {error}"]
                start_anew(campaign)
                infers_ended, kept = 0, set()
                campaign.aim(places, full=full)
                come_to(campaign, places)
            if places == ("answered.json",):
                check_asked(campaign, infers_ended)
            act(campaign, places)
            if places == ("hold",):
                infers_ended += 1
                kept = journalled(campaign)
                assert kept
            following = next((STEPS[n][0] for n in at if n > number), ())
            if act is not snakemake:
                wait_for_reaction(campaign, end)
            campaign.aim(following, full=full)
            last = phases
            if end != "kill -9 the engine":  # which is healed in the same run, as a supervisor's death may be, or infer's
                on = partial(went_on, campaign, following)
                wait_for(on, WAIT_S, f"Snakemake ended after {end} at {phases}")
        campaign.aim(())
        try:
            finish(campaign)
            check_finished(campaign, kept)
        except AssertionError as error:
            failed += [f"after {end} at {last}: {error}"]
    finally:
        if campaign.running and campaign.process is not None:
            os.killpg(campaign.process.pid, signal.SIGKILL)
    report(end, len(cells), failed)
    assert not failed, "\n\n".join(failed)


def report(end: str, cells: int, failed: list[str]) -> None:
    print(f"CELLS {end}: {cells}, failed: {len(failed)}", *(f"FAILED CELL {line.splitlines()[0]}" for line in failed), sep="\n")


def went_on(campaign: Held, following: tuple[str, ...]) -> bool:
    return not campaign.running or (bool(following) and campaign.reached(following))


def wait_for_reaction(campaign: Held, end: str) -> None:
    """Signals take effect while their receivers are still held."""
    if end.startswith(("Ctrl-C", "SIG")) or end in ("kill -9 the phase", "the disk fills"):
        with suppress(AssertionError):
            wait_for(lambda: not campaign.running, 6, "Snakemake ended while it was held")


BROKEN_AT = [STEPS[3], STEPS[5], STEPS[7]]


@pytest.mark.timeout(900)
def test_a_server_that_cannot_start_and_a_config_mended_meanwhile(tmp_path: Path) -> None:
    """Today's config is tried, today's error is told; wherever the campaign was."""
    campaign = Held(tmp_path)
    failed: list[str] = []
    for number, (_, phases) in enumerate(BROKEN_AT):
        if number:  # held there since the last step
            to_group(campaign, signal.SIGINT)
            wait_for_reaction(campaign, "Ctrl-C")
            campaign.aim(())
            wait_for(lambda: not campaign.running, WAIT_S, "Snakemake ended")
        else:
            campaign.aim(())
        for attempt in ("first", "second"):  # each run tells its own error, not the one of the run before
            words = f"RuntimeError: {attempt} failure at step {number}"
            campaign.raw["models"]["stub"]["env"]["STUB_CRASH"] = words
            campaign.write_config()
            result = campaign.run(timeout=WAIT_S)
            if result.returncode == 0 or words not in result.stdout:
                failed.append(f"{phases}: {attempt} error not told: {result.stdout[-1500:]}")
        del campaign.raw["models"]["stub"]["env"]["STUB_CRASH"]
        campaign.write_config()
        if number + 1 < len(BROKEN_AT):
            following = BROKEN_AT[number + 1][0]
            campaign.aim(following)
            try:
                come_to(campaign, following)
            except AssertionError as error:
                failed.append(f"{phases}: not gone on: {error}")
                start_anew(campaign)
                campaign.aim(following)
                come_to(campaign, following)
    campaign.aim(())
    try:
        finish(campaign)
        check_finished(campaign, set())
    except AssertionError as error:
        failed.append(f"at the end: {error}")
    report("cannot start", len(BROKEN_AT), failed)
    assert not failed, "\n\n".join(failed)


SESSION_ENDS = [end for end in ENDS if end not in ("the disk fills", "kill -9 the engine")]


@pytest.mark.timeout(900)
def test_a_session_goes_on_whatever_ended_it(tmp_path: Path) -> None:
    campaign = Held(tmp_path)
    campaign.aim(())
    endpoint = campaign.results / "allocations" / "stub" / "1000" / "endpoint.json"
    info = endpoint.with_name("connection-info.txt")
    for end in SESSION_ENDS:
        info.unlink(missing_ok=True)
        campaign.start("session")
        wait_for(lambda: info.exists() or not campaign.running, WAIT_S, f"a session before {end}")
        assert campaign.running, campaign.last_words()
        if end == "kill -9 the phase":
            kill(lambda: campaign.matching("phase hold"))
        else:
            ENDS[end][0](campaign, ())
        wait_for(lambda: not campaign.running, WAIT_S, f"Snakemake ended after {end}")
        wait_for(lambda: not campaign.processes(), 60, f"nothing left after {end}")
    report("session", len(SESSION_ENDS), [])
