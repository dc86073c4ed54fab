"""Problems of prompt files, gathered so that all can be mended at once, without keeping a million of them."""

from collections.abc import Iterable

from campaign.errors import InputError

_SHOWN = 20


class Problems:
    """Counts every problem and keeps the first few."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, problem: str) -> None:
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(problem)

    def extend(self, problems: Iterable[str]) -> None:
        for problem in problems:
            self.add(problem)

    def raise_if_any(self) -> None:
        """Raise InputError with the problems kept and the number of the others."""
        if self.count:
            more = self.count - len(self.first)
            raise InputError([*self.first, *([f"... and {more} more"] if more else [])])
