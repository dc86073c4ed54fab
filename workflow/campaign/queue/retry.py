"""Which failures are asked again: those that a collect saw, when `retry_failed` was said after it."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core.files import patiently
from campaign.queue.answers.answer import Answer
from campaign.queue.parts.part import ANSWER_COLUMNS, answers_of_part, failed_rows
from campaign.requests.rows import bad_rows

# What reading a parquet file raises that is no part, or no whole one.
UNREADABLE = (OSError, KeyError, pa.ArrowException)

_RETRY = re.compile(r"retry-(\d+)-[0-9a-f]+")


def retry_before(config: CampaignConfig, trigger: str) -> float | None:
    """Failures of attempts before this time (unix s) are asked again by the enqueue of `trigger`; None when none are.

    It is the time of the collect that saw them: a failure that came after it is the retry's own answer.
    """
    retry = _RETRY.match(trigger) if config.retry_failed else None
    return None if retry is None else int(retry[1]) / 1000


def is_final(answer: Answer, failures_before: float | None) -> bool:
    """False for a failure whose attempt began before this time (unix s): it is asked again. Bad rows and answers are final."""
    if failures_before is None or answer["status"] == "ok" or answer["error_class"] == bad_rows.ERROR_CLASS:
        return True
    return answer["started_at"] >= failures_before


def all_final(part: Path, failures_before: float | None) -> bool:
    """Whether every answer of the part is final."""
    if failures_before is None or not failed_rows(part):
        return True
    only = [("status", "==", "failed")]
    try:
        held = set(patiently(part, lambda: pq.read_schema(part)).names)  # of an earlier version, or of chat: not all of them
        columns = [name for name in ANSWER_COLUMNS if name in held]
        failures = patiently(part, lambda: pq.read_table(part, columns=columns, partitioning=None, filters=only))
    except UNREADABLE:
        return False
    return all(is_final(answer, failures_before) for answer in answers_of_part(failures))
