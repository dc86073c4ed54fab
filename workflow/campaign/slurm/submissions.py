"""submissions.jsonl: the jobs of a campaign that were handed to Slurm, and what Slurm said of those it refused."""

from dataclasses import dataclass

from campaign.core import records, state_files
from campaign.core.files import append_json
from campaign.core.paths import CampaignPaths
from campaign.slurm.job_labels import JobPlace, place_of


@dataclass(frozen=True)
class Submission:
    """A job that was handed to Slurm, or refused by it: one line of the file."""

    t: float  # unix seconds
    slurm_run: str  # name of the job: its run of Snakemake
    comment: str
    job_id: str | None  # None: refused
    error: str | None  # what Slurm said when it refused

    @property
    def place(self) -> JobPlace:
        """The model and allocation that the job is for, as far as its comment tells."""
        return place_of(self.comment)


def submissions(paths: CampaignPaths) -> list[Submission]:
    """Every job of the campaign that was handed to Slurm since this record is kept, oldest first."""
    known = records.read_lines(state_files.SUBMITTED, paths.submissions)
    return [Submission(**{name: record[name] for name in Submission.__dataclass_fields__}) for record in known]  # type: ignore[literal-required]


def record_submission(paths: CampaignPaths, submission: Submission) -> None:
    """Append a line. Raises StorageError."""
    append_json(paths.submissions, {name: getattr(submission, name) for name in Submission.__dataclass_fields__})
