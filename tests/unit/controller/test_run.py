"""How a run begins: with a plan that has been checked whole."""

import pytest

from campaign.controller import run
from campaign.core.errors import PlanRefused


@pytest.mark.processes
def test_no_run_begins_whose_every_request_is_refused(stub_config, in_tmp) -> None:
    config = stub_config()
    config.datasets["words"].sampling["temperature"] = -1
    with pytest.raises(PlanRefused, match="temperature"):
        run.start_campaign(config)
    assert not config.paths.lock.exists()
