"""What a wait is: a row of the table of patience."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wait:
    """One bounded wait or retry of the product."""

    what: str  # is waited for
    seconds: float  # the longest wait; with `bound`, the longest pause between two looks or tries
    by: tuple[str, ...]  # modules of the package that wait so
    then: str  # when the time is over
    seen: str  # by the user meanwhile
    why: str = ""  # this long: the source of the number
    pause_s: tuple[float, float] = (0.0, 0.0)  # between two tries: the first, and the longest it doubles to
    bound: str = ""  # what ends it, where no number of seconds of ours does
