"""How far it is: counts, rates, time left; on a terminal as a bar, elsewhere as lines, always as status.json and busy spans."""

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from campaign.core import events, records, state_files, text, timing
from campaign.core.errors import StorageError
from campaign.core.files import write_atomic
from campaign.core.paths import AllocationPaths
from campaign.inference.metrics_file import Billed, openmetrics
from campaign.queue.answers.answer import Answer
from campaign.queue.answers.invalid_attempts import InvalidAttempt

log = logging.getLogger(__name__)

_WINDOW_S = 30.0
_SHORTEST_SPAN_S = 1.0  # at high rates the last request of a shard ends thousands of spans a minute: the next one has them


class Meter:
    """Counts of one infer, and its rates over the last half minute and over all."""

    def __init__(self, rows: int, done_before: int) -> None:
        self.rows, self.done_before = rows, done_before
        self.answered = self.failed = self.retries = self.prompt_tokens = self.completion_tokens = 0
        self.started = time.monotonic()
        self.first_at: float | None = None
        self._history: deque[tuple[float, int, int]] = deque()

    @property
    def done(self) -> int:
        return self.answered + self.failed

    @property
    def left(self) -> int:
        return self.rows - self.done_before - self.done

    def grow(self, rows: int, done_before: int) -> None:
        """A stage's shard was made: so many more rows, and how many of these have their answers already."""
        self.rows += rows
        self.done_before += done_before

    def count(self, answer: Answer) -> None:
        """A request got its row."""
        if self.first_at is None:
            self.first_at = answer["started_at"] - time.time() + time.monotonic()
        if answer["status"] == "ok":
            self.answered += 1
        else:
            self.failed += 1  # one that keeps an invalid answer has tokens too
        self.prompt_tokens += answer["prompt_tokens"] or 0
        self.completion_tokens += answer["completion_tokens"] or 0

    def count_invalid(self, attempt: InvalidAttempt) -> None:
        """A request got an invalid answer, and is asked again."""
        self.prompt_tokens += attempt["prompt_tokens"]
        self.completion_tokens += attempt["completion_tokens"]

    def sample(self) -> None:
        """Note the counts of now; about once a second."""
        now = time.monotonic()
        self._history.append((now, self.done, self.completion_tokens))
        while now - self._history[0][0] > _WINDOW_S:
            self._history.popleft()

    def rates(self) -> tuple[float, float]:
        """Requests and output tokens per second of late."""
        if len(self._history) < 2:
            return self.mean_rates()
        (t0, done0, tokens0), (t1, done1, tokens1) = self._history[0], self._history[-1]
        seconds = max(t1 - t0, 1e-9)
        return (done1 - done0) / seconds, (tokens1 - tokens0) / seconds

    def mean_rates(self) -> tuple[float, float]:
        """Requests and output tokens per second since the first answer could come."""
        seconds = max(time.monotonic() - (self.first_at or self.started), 1e-9)
        return self.done / seconds, self.completion_tokens / seconds

    def eta_s(self) -> float | None:
        """Seconds until all rows of the model's queue are done at the rate of late; None when nothing moves."""
        rate = self.rates()[0]
        return self.left / rate if rate > 0 else None

    def as_json(self) -> dict[str, Any]:
        now, mean = self.rates(), self.mean_rates()
        return {
            "rows": self.rows,
            "done": self.done_before + self.done,
            "answered": self.answered,
            "failed": self.failed,
            "retries": self.retries,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "requests_per_s": round(now[0], 3),
            "output_tokens_per_s": round(now[1], 2),
            "mean_requests_per_s": round(mean[0], 3),
            "mean_output_tokens_per_s": round(mean[1], 2),
            "eta_s": None if (eta := self.eta_s()) is None else round(eta, 1),
        }


class Display:
    """Shows a meter: a bar when stderr is a terminal, else a log line now and then."""

    def __init__(self, meter: Meter, model: str) -> None:
        self._meter, self._model = meter, model
        self._next_line = time.monotonic() + timing.TIMING.progress_line
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=False)
            self._task = self._bar.add_task(model, total=meter.rows, completed=meter.done_before, note="")

    def __enter__(self) -> "Display":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, in_flight: int) -> None:
        """Show the counts of now; call it about once a second."""
        meter = self._meter
        if self._bar is not None:
            self._bar.update(self._task, completed=meter.done_before + meter.done, note=self._note(in_flight))
            return
        if (now := time.monotonic()) >= self._next_line:
            beats = timing.TIMING
            self._next_line = now + (beats.progress_line_later if now - meter.started > 60 else beats.progress_line)
            log.info("%s: %d/%d done, %s", self._model, meter.done_before + meter.done, meter.rows, self._note(in_flight))

    def _note(self, in_flight: int) -> str:
        requests, tokens = self._meter.rates()
        eta_s = self._meter.eta_s()
        left = "time left unknown" if eta_s is None else f"{text.seconds(eta_s)} left"
        failed = f"{self._meter.failed} failed, " if self._meter.failed else ""
        return f"{failed}{requests:.1f} requests/s, {tokens:.0f} tokens/s, {in_flight} in flight, {left}"


class BusySpans:
    """Writes the spans in which requests were in flight, with what was counted in them: events for the accounting."""

    def __init__(self, path: Path, meter: Meter) -> None:
        self._path, self._meter = path, meter
        self._run = ""
        self._since: float | None = None  # unix seconds
        self._reported = (0, 0, 0, 0)

    def begin(self, run: str, now: float) -> None:
        """A request is sent to the server of this run."""
        self._run = run
        if self._since is None:
            self._since = now

    def report(self, now: float, *, still_busy: bool, last: bool = False) -> None:
        """Record the span since the last report. `still_busy`: requests are in flight; `last`: no further report will come."""
        if self._since is None or (not last and now - self._since < _SHORTEST_SPAN_S):
            return
        meter = self._meter
        counts = (meter.answered, meter.failed, meter.prompt_tokens, meter.completion_tokens)
        answered, failed, prompt, completion = (a - b for a, b in zip(counts, self._reported, strict=True))
        span = {"start": self._since, "end": now, "answered": answered, "failed": failed}
        try:
            events.record(self._path, self._run, "busy", **span, prompt_tokens=prompt, completion_tokens=completion)
        except StorageError as error:
            log.debug("busy span not written: %s", error)
            return
        self._reported = counts
        self._since = now if still_busy else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What status.json shows beside the meter."""

    state: str
    run: str | None
    in_flight: int
    concurrency: int
    automatic: bool
    suspects: int  # quarantined requests


class Reporter:
    """Keeps display, status.json, its twin for those who scrape, and busy spans of one infer up to date.

    `billed`: where somebody pays, what this run took so far.
    """

    def __init__(
        self, meter: Meter, campaign: str, model: str, allocation: int, paths: AllocationPaths, look: Callable[[], Snapshot]
    ) -> None:
        self.meter, self.busy = meter, BusySpans(paths.events, meter)
        self.billed: Callable[[], Billed | None] = lambda: None
        self._campaign, self._model, self._allocation = campaign, model, allocation
        self._path, self._metrics, self._look = paths.status, paths.metrics, look

    async def keep(self) -> None:
        """Report until cancelled."""
        next_status = next_span = 0.0
        with Display(self.meter, self._model) as display:
            while True:
                snapshot, now = self._look(), time.monotonic()
                self.meter.sample()
                display.show(snapshot.in_flight)
                if now >= next_status:
                    next_status = now + timing.TIMING.status_file
                    self._write(snapshot)
                if now >= next_span:
                    next_span = now + timing.TIMING.busy_report
                    self.busy.report(time.time(), still_busy=snapshot.in_flight > 0)
                await asyncio.sleep(timing.TIMING.display)

    def write_status(self, state: str) -> None:
        """Replace status.json a last time."""
        self._write(replace(self._look(), state=state))

    def _write(self, snapshot: Snapshot) -> None:
        """A full disk must not end what the file only describes."""
        status = {
            "model": self._model,
            "allocation": self._allocation,
            **asdict(snapshot),
            "updated_at": time.time(),
            **self.meter.as_json(),
        }
        try:
            records.write(state_files.STATUS, self._path, cast(state_files.Status, status), durable=False)
            write_atomic(self._metrics, openmetrics(self._campaign, status, self.billed()).encode(), durable=False)
        except StorageError as error:
            log.debug("status not written: %s", error)
