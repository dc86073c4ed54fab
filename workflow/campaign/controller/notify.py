"""Who waits for a campaign is told how it goes: each event once in a run of Snakemake.

Snakemake's handlers know the end and the failure. An allocation that stalls, or meets the budget, ends in a job of its own
while others go on for days: its phase appends a line to halts.jsonl, and a thread of this process reads what is new there.
Nothing of this may end a campaign: what cannot be told is a warning in Snakemake's output.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from campaign.config import CampaignConfig
from campaign.controller.deliver import Notice, deliver
from campaign.controller.failed_phase import last_failure
from campaign.core import records, state_files, timing
from campaign.core.errors import CampaignError
from campaign.core.tables import table_rows
from campaign.slurm.resources import unit_of_bill

log = logging.getLogger(__name__)

_LONGEST = 1500  # letters of a message: a push notification shows less


class Notices:
    """The notices of one run of Snakemake."""

    def __init__(self, config: CampaignConfig, environment: Mapping[str, str] = os.environ) -> None:
        self._config, self._environment = config, environment
        self._sent: set[str] = set()
        self._guard = threading.Lock()
        self._halts_before = 0
        self._began = time.time()
        self._over = threading.Event()

    def watch(self, targets: Collection[str] = ()) -> None:
        """Begin: what is in halts.jsonl now is of earlier runs."""
        if self._config.notify is None or not _answers(targets):
            return
        self._began = time.time()
        self._halts_before = len(self._halts())
        threading.Thread(target=self._keep_looking, name="notices", daemon=True).start()

    def finished(self, targets: Collection[str] = ()) -> None:
        """Snakemake came to its end."""
        if _answers(targets):
            self._over.set()
            self.look()
            self._tell("end", lambda: _summary(self._config))

    def failed(self, targets: Collection[str] = ()) -> None:
        """Snakemake ended with a failure."""
        if _answers(targets):
            self._over.set()
            self.look()
            self._tell("failure", lambda: _failure(self._config, self._began))

    def look(self) -> None:
        """Tell of the allocations that halted since the last look."""
        for halt in self._halts()[self._halts_before :]:
            self._tell(halt["event"], lambda why=halt["why"]: why)  # type: ignore[misc]

    def _keep_looking(self) -> None:
        while not self._over.wait(timing.TIMING.halts_look):
            self.look()

    def _halts(self) -> list[state_files.Halt]:
        try:
            return list(records.read_lines(state_files.HALT, self._config.paths.halts))
        except CampaignError as error:
            log.debug("%s", error)
            return []

    def _tell(self, event: str, text: Callable[[], str]) -> None:
        """Once; who ends the run waits for a notice that is on its way."""
        to = self._config.notify
        with self._guard:
            if to is None or event not in to.events or event in self._sent:
                return
            self._sent.add(event)
            try:
                notice = Notice(event, self._config.campaign, text()[:_LONGEST])
                problems = deliver(notice, to, self._environment)
            except Exception as error:  # whatever it is: the campaign is not to end with it
                problems = [f"notify: {error!r}"]
        for problem in problems:
            log.warning("Not told of the event %r: %s", event, problem)


def _answers(targets: Collection[str]) -> bool:
    """Whether prompts were to be answered: somebody sits before a plan or a session."""
    return not {"plan", "session"} & set(targets)


def _summary(config: CampaignConfig) -> str:
    """What came of it: rows, what they took, where they lie."""
    lines = ["Every prompt has its row."]
    if (counts := records.peek(state_files.COLLECTED, config.paths.last_collected)) is not None:
        lines[0] = f"Every prompt has its row: {counts['ok']:,} answered, {counts['failed']:,} failed."
    spent = [run["su"] for run in table_rows(config.paths.accounting) if run["su"] is not None]
    if spent:
        lines.append(f"It took {sum(spent):,.1f} {unit_of_bill(config)}.")
    return "\n".join([*lines, f"Report: {config.paths.report.resolve()} on {socket.gethostname()}"])


def _failure(config: CampaignConfig, since: float) -> str:
    why = last_failure(config.paths.logs, since) or "Its cause stands in the output of Snakemake."
    return f"{why}\nAnswers so far are kept, and the same command continues: {Path.cwd()} on {socket.gethostname()}"
