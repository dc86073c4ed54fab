"""Why an engine died, as the sentence that its supervisor, the failing phase, status, the report and accounting show."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign.core.errors import ConfigError
from campaign.core.files import last_line_of
from campaign.explain.cause import findings, findings_in
from campaign.explain.own_signatures import own_signatures, site_signatures
from campaign.explain.signature import Signature, Verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerFailure:
    """What to say of a failure, and whether another start could help."""

    sentence: str
    verdict: Verdict
    known: bool = True  # False: nothing in the logs tells of it


def failure_of(logs: Sequence[Path], path: Path | None = None) -> ServerFailure:
    """The cause of an engine's death, from its logs (its own first); without evidence its last line. Never raises.

    `path`: the user's signatures; None takes those of the working directory.
    """
    try:
        if causes := findings_in(logs, _own(path)):
            return ServerFailure(f"{causes[0].sentence} (log: {causes[0].place})", causes[0].verdict)
        last = f"{last_line_of(logs[0])} (log: {logs[0]})" if logs else "it wrote nothing"
        return ServerFailure(f"The engine died; its last line: {last}", "again", known=False)
    except OSError as error:
        return ServerFailure(f"The engine died, and its log cannot be read: {error}", "again", known=False)


def sentence_of(text: str) -> str | None:
    """Cause and remedy that a text shows, if any: what Slurm said, an answer of the server."""
    causes = findings(text, _own(None))
    return causes[0].sentence if causes and causes[0].name != "exception" else None


def remedy_of(text: str) -> str | None:
    """The remedy for what a text shows, if it is known."""
    causes = findings(text, _own(None))
    return causes[0].remedy if causes and causes[0].name != "exception" else None


def sentence_of_state(state: str) -> str | None:
    """Cause and remedy for the state in which Slurm left a job (TIMEOUT for example); None when it tells nothing."""
    causes = findings(f"slurmstepd: error: State={state.partition(' ')[0]}")
    return causes[0].sentence if causes else None


def _own(path: Path | None) -> tuple[Signature, ...]:
    try:
        return own_signatures() if path is None else own_signatures(path)
    except ConfigError as error:  # a server must not end because somebody edits that file
        log.warning("%s", error)
        return site_signatures()
