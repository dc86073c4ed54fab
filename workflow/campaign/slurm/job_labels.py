"""How Snakemake's Slurm plugin names a job: the comment it gives it, and the --target-jobs on the job's command line.

The one place that writes and parses them.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from campaign.core.paths import TUNING


class JobPlace(NamedTuple):
    """Rule, model and allocation a job is for, as far as its label tells.

    The rule is `allocation` for the group of phases and for a tuning, `hold` for an interactive server.
    """

    rule: str | None
    model: str | None
    allocation: int | None


_ALLOCATION = re.compile(r"rule_(allocation|hold|tune)(?:_\w+)?_wildcards_(.+)_(\d+)")
_OTHER = re.compile(r"rule_(\w+?)(?:_wildcards_(.+))?")
_TARGET = re.compile(r"\w+:model=([\w.-]+),allocation=(\d+)")


def comment_of(name: str, wildcards: str) -> str:
    """The comment the plugin gives a job, of its rule's or group's name and its wildcards, joined by `_`."""
    return f"rule_{name}_wildcards_{wildcards}"


def place_of(comment: str) -> JobPlace:
    """The model and allocation that a job with this comment is for."""
    if one := _ALLOCATION.fullmatch(comment):
        return JobPlace("hold" if one[1] == "hold" else "allocation", one[2], int(one[3]))
    other = _OTHER.fullmatch(comment)
    if other is None:
        return JobPlace(None, None, None)
    return JobPlace(other[1], other[2] if other[1] == "stage_model" else None, None)


def in_words(comment: str) -> str:
    """A job in words: `allocation 3 of llama`."""
    rule, model, allocation = place_of(comment)
    if rule == "hold":
        return f"the session with {model}"
    if allocation == TUNING:
        return f"the tuning of {model}"
    if allocation is not None:
        return f"allocation {allocation} of {model}"
    return comment.removeprefix("rule_").replace("_wildcards_", " of ") or "a job"


def target_allocations(command: Sequence[str]) -> list[tuple[str, int]]:
    """Models and allocations a job is for, of its command line; its --target-jobs are like `infer:model=llama,allocation=0`."""
    return sorted({(target[1], int(target[2])) for word in command if (target := _TARGET.fullmatch(word))})
