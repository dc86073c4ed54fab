"""Why a run failed, in the words of the phase that failed last: a phase writes its sentence at the end of its log."""

import logging
from pathlib import Path

from campaign.core.files import tail

log = logging.getLogger(__name__)

FAILED = "failed: "


def last_failure(logs: Path, since: float) -> str | None:
    """The sentence of the phase below `logs` that failed last after `since` (unix seconds); None where none says."""
    try:
        changed = [(path.stat().st_mtime, path) for path in logs.rglob("*.log")]
        for _, path in sorted((entry for entry in changed if entry[0] >= since), reverse=True):
            before, mark, sentence = f"\n{tail(path)}".rpartition(f"\n{FAILED}")
            if mark and before:
                return sentence.strip()
    except OSError as error:
        log.debug("%s", error)
    return None
