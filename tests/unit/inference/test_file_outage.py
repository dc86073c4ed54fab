"""Of files that fail there is one line at the beginning and one at the end, whatever fails, and the run ends after a time."""

import pytest

from campaign.core import patience
from campaign.core.errors import StorageError
from campaign.core.files import RUN_AGAIN
from campaign.inference.file_outage import FileOutage
from support.clock import Clock

FULL = StorageError(f"Cannot write x: the disk is full.{RUN_AGAIN}")


class Rig:
    """An outage and its clock; `over` counts how often everything succeeded again."""

    def __init__(self) -> None:
        self.clock, self.over = Clock(), 0
        self.outage = FileOutage(self._over, self.clock)

    def _over(self) -> None:
        self.over += 1


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_two_kinds_of_work_that_fail_are_told_once_and_end_together(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        rig.outage.failed("claims", FULL)
        rig.outage.failed("leases", FULL)
    rig.outage.succeeded("leases")
    assert (rig.outage.is_on, rig.outage.fails("claims"), rig.outage.fails("leases"), rig.over) == (True, True, False, 0)
    rig.outage.succeeded("claims")
    assert (rig.outage.is_on, rig.over) == (False, 1)
    began, ended = (record.getMessage() for record in caplog.records)
    assert began.startswith(
        "Cannot write x: the disk is full. Nothing is sent meanwhile. It is tried again every 5 s for up to 30 m;"
    )
    assert ended == "The files can be used again: going on"


def test_what_fails_for_the_whole_patience_raises_its_error(rig: Rig) -> None:
    rig.outage.failed("claims", FULL)
    rig.clock.now += patience.DISK_FULL.seconds - 1
    rig.outage.failed("claims", FULL)
    rig.outage.failed("leases", FULL)  # its time begins now
    rig.clock.now += 1
    rig.outage.failed("leases", FULL)
    with pytest.raises(StorageError, match="Then run the same command again"):
        rig.outage.failed("claims", FULL)


def test_a_success_between_two_failures_begins_the_time_anew(rig: Rig) -> None:
    for _ in range(3):
        rig.outage.failed("claims", FULL)
        rig.clock.now += patience.DISK_FULL.seconds - 1
        rig.outage.succeeded("claims")
    assert rig.over == 3


def test_a_success_without_a_failure_is_no_news(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.outage.succeeded("answers")
    assert (rig.over, caplog.records) == (0, [])
