"""When allocations start whose prompts are made of another model's answers. Pure.

They start as late as they can without ending later. Begun earlier, they would run dry before their source ends, and be billed
for it; begun later, they would still work when they could be done. So: when what is at hand, with what comes until the source
ends, keeps them busy until then. A source that brings rows faster than they are answered makes that true at once.
"""

import math
from dataclasses import dataclass

SHORTEST_S, LONGEST_S = (
    120.0,
    3600.0,
)  # Slurm takes about two minutes to start a job again; a source may be back within the hour
_UNKNOWN_S = 600.0


@dataclass(frozen=True)
class Outlook:
    """Prompts that a model can be asked now, and those that will come.

    `ends_in_s`: until its sources have ended; 0 when they have, None while nobody knows: they wait in the queue, or load.
    """

    at_hand: float  # rows that can be asked now
    ends_in_s: float | None
    arriving: float = 0.0  # rows per second that its sources make for it
    asks: float = math.inf  # rows per second that all its allocations together answer, as expected
    load_s: float = 0.0  # from the start of an allocation to its first answer


def wait_s(outlook: Outlook) -> float:
    """Seconds to wait before its allocations are started; 0: now. Infinite while it cannot be told."""
    if outlook.ends_in_s == 0:
        return 0.0
    if outlook.ends_in_s is None:
        return math.inf
    at_the_end = outlook.at_hand + outlook.arriving * outlook.ends_in_s
    busy_s = at_the_end / outlook.asks if outlook.asks > 0 else math.inf
    left_s = max(0.0, outlook.ends_in_s - outlook.load_s - busy_s)
    if outlook.at_hand >= 1:
        return left_s
    first_s = 1 / outlook.arriving if outlook.arriving > 0 else outlook.ends_in_s
    return max(left_s, min(first_s, outlook.ends_in_s))


def given_back_s(outlook: Outlook, times: int) -> float:
    """Seconds for which an allocation that ran dry gives its nodes back; `times`: how often it just did, and got no answer."""
    wait = wait_s(outlook)
    if not math.isfinite(wait):
        wait = _UNKNOWN_S * 2 ** min(times, 10)
    return min(max(wait, SHORTEST_S), LONGEST_S)
