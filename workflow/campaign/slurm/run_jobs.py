"""The jobs of one run of Snakemake: those it knows by their id, and those an sbatch without an answer may have left.

An sbatch that times out may have queued its job all the same. squeue tells, by the job's name (one per run of Snakemake) and
its comment (one per job of that run); and by the folder of its log, for a site's job_submit script may change the comment.
"""

import logging
import subprocess
import time
from collections.abc import Sequence, Set

from campaign.core.errors import ClusterError, StorageError
from campaign.core.paths import CampaignPaths
from campaign.slurm import client as slurm
from campaign.slurm import sbatch
from campaign.slurm.job_states import LIVE
from campaign.slurm.submissions import Submission, record_submission

log = logging.getLogger(__name__)


class RunJobs:
    """Knows the jobs of one run of Snakemake, and finds those that sbatch queued without saying so. Used by several threads."""

    def __init__(self, paths: CampaignPaths) -> None:
        self._paths = paths
        self._comments: dict[str, str] = {}  # by job id
        self._by_folder: dict[str, str] = {}  # comments, by the folder of the job's log
        self._unconfirmed: set[str] = set()  # comments of jobs that sbatch did not confirm: there may be two of them

    def expect(self, comment: str, folder: str) -> None:
        """Note where a job with this comment will write its log."""
        if folder:
            self._by_folder[folder] = comment

    def adopt(self, name: str, comment: str, number: str) -> None:
        """Note that a job is this run's."""
        self._comments[number] = comment
        self._record(Submission(time.time(), name, comment, number, None))

    def record_refusal(self, name: str, comment: str, words: str) -> None:
        """Write down what Slurm said of a job that is not queued."""
        self._record(Submission(time.time(), name, comment, None, words))

    def _record(self, submission: Submission) -> None:
        try:
            record_submission(self._paths, submission)
        except StorageError as error:  # it is queued all the same; accounting then rests on sacct alone
            log.warning("%s", error)

    def note_unconfirmed(self, comment: str) -> None:
        """Note that sbatch did not confirm a job: there may be one more than this run knows of."""
        self._unconfirmed.add(comment)

    def comment_of(self, job_id: str) -> str | None:
        """The comment of a job this run submitted."""
        return self._comments.get(job_id)

    def not_adopted(self, name: str, comments: Set[str]) -> list[slurm.NamedJob]:
        """Jobs with this name and one of the comments that this run has not adopted. Raises ClusterError if Slurm is silent."""
        jobs = slurm.all_jobs_named(name, patience=0.0)
        is_one = [job for job in jobs if self._by_folder.get(job.folder, job.comment) in comments]
        return [job for job in is_one if job.job_id not in self._comments]

    def live_not_adopted(self, name: str, comment: str) -> list[str]:
        """Live jobs with an unconfirmed comment that this run has not adopted; none when Slurm does not answer."""
        return self._alive(name, {comment})

    def duplicates(self, name: str, job_id: str) -> list[str]:
        """Other live jobs that do what `job_id` does, where sbatch did not confirm the job."""
        return self._alive(name, {self._comments.get(job_id, "")})

    def all_duplicates(self, name: str) -> list[str]:
        """Every live job that this run has not adopted, of all jobs that sbatch did not confirm."""
        return self._alive(name, set(self._unconfirmed))

    def _alive(self, name: str, comments: Set[str]) -> list[str]:
        in_doubt = comments & self._unconfirmed
        if not in_doubt:
            return []
        try:
            return [job.job_id for job in self.not_adopted(name, in_doubt) if job.state in LIVE]
        except ClusterError:
            return []

    @staticmethod
    def cancel(numbers: Sequence[str]) -> None:
        """Take jobs out of the queue that have nothing to do. Of a Slurm that does not answer is warned."""
        if not numbers:
            return
        try:
            subprocess.run(["scancel", *numbers], capture_output=True, timeout=sbatch.SBATCH_S, check=False)
        except (subprocess.TimeoutExpired, OSError) as error:  # raised among Snakemake's looks it would end the whole run
            log.warning("Jobs may be left in Slurm (%s). To end them: scancel %s", error, " ".join(numbers))
