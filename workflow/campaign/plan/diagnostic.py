"""What a plan says of something that is wrong or odd."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnostic:
    """Something wrong with the plan (`warning`: it works, but not as one may think)."""

    key: str
    rule: str  # one word that tests and --json can hold on to
    reason: str
    remedy: str = ""
    warning: bool = False
    # A rule of the site that Slurm itself applies at submission: dropped where Slurm answered for this job.
    submission: bool = False

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}" + (f"; {self.remedy}" if self.remedy else "")
