"""What a plan says about something that is wrong or odd."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Diagnostic:
    """Something wrong with the plan (`warning`: it works, but not as one may think)."""

    config_key: str
    rule: str  # one word that tests and --json can hold on to
    reason: str
    remedy: str = ""
    warning: bool = False
    # A rule of the site that Slurm itself applies at submission: dropped where Slurm answered for this job.
    submission: bool = False

    def __str__(self) -> str:
        return f"{self.config_key}: {self.reason}" + (f"; {self.remedy}" if self.remedy else "")

    def to_json(self) -> dict[str, Any]:
        """The fields as `--json` and plan.json have them, where `config_key` is `key`."""
        fields = asdict(self)
        return {"key": fields.pop("config_key"), **fields}
