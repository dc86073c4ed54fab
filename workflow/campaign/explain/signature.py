"""What a known failure is: how its evidence reads, why it happens, what to do, and what could help."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

Verdict = Literal["permanent", "again", "another_node"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""permanent: the config or the installation has to be mended; again: another start may go well; another_node: not this one."""

MEANINGS: dict[Verdict, str] = {
    "permanent": "another start fails the same way",
    "again": "another start can help",
    "another_node": "it needs another node",
}

Role = Literal["cause", "symptom", "death", "echo"]
ROLES: tuple[Role, ...] = get_args(Role)
"""cause: the thing itself; symptom: something else was wrong before; death: a process ended, nobody says why; echo: it tells
of another process's failure. Of several in one log the first of these counts."""


@dataclass(frozen=True)
class Signature:
    """A failure that is known by what its evidence says.

    `pattern` is searched in an exception with all lines of its message, or in one line of level ERROR or with one of
    evidence._ALARM_WORDS (a user's or site's: in any line). `inside` has to stand in the traceback too, `beside` anywhere in
    the log (an error that says less than an earlier line). `quiet`: INFO and WARNING lines are evidence as well. `depth`: which
    process it happened in, when the line does not say (lines.DEPTHS). Named groups of the pattern replace {name} in cause and
    remedy.
    """

    name: str
    pattern: str
    cause: str
    remedy: str
    verdict: Verdict
    inside: str = ""
    beside: str = ""
    role: Role = "cause"
    quiet: bool = False
    depth: str = ""

    @cached_property
    def regex(self) -> "re.Pattern[str]":
        """`pattern`, compiled; ^ and $ stand for the ends of a line."""
        return re.compile(self.pattern, re.MULTILINE)

    @cached_property
    def inside_regex(self) -> "re.Pattern[str]":
        """`inside`, compiled."""
        return re.compile(self.inside)

    @cached_property
    def beside_regex(self) -> "re.Pattern[str]":
        """`beside`, compiled."""
        return re.compile(self.beside)
