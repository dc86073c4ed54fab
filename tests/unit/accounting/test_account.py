"""What the rows of published parts tell of runs that were killed."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.accounting import account
from support.queued import MODEL, Trial, trial

__all__ = ["trial"]


def test_what_is_no_part_is_named_and_counts_nothing(trial: Callable[..., Trial], caplog: pytest.LogCaptureFixture) -> None:
    """A copy that broke off, or somebody's own file: the account, and with it the report, failed without its name."""
    campaign = trial(8)
    campaign.run()
    paths = campaign.config.paths
    whole = account._answers_of_jobs(paths, MODEL, 0)
    assert sum(job["counts"]["answered"] for job in whole.values()) == 8
    folder = paths.parts(MODEL, "d")
    (folder / "part-00077.parquet").write_bytes(b"no parquet")
    (folder / "part-00078.parquet").touch()
    pq.write_table(pa.table({"mine": [1]}), folder / "part-00079.parquet")
    assert account._answers_of_jobs(paths, MODEL, 0) == whole
    for number in (77, 78, 79):
        assert f"part-000{number}.parquet is no part of answers" in caplog.text
