"""config/stages.yaml on the real engine: a model answers, judges its answers by a choice, and rewrites what it accepted."""

from pathlib import Path

import pytest
import yaml

from support.engine import ENGINE, MODEL, PROMPTS, share_resources
from support.runs import REPOSITORY, Campaign

pytestmark = pytest.mark.engine


@pytest.mark.timeout(600)
def test_three_stages_are_answered_by_one_server_start(tmp_path: Path) -> None:
    raw = yaml.safe_load((REPOSITORY / "config" / "stages.yaml").read_text())
    raw["models"]["smollm2-135m"]["source"] = str(MODEL)
    raw["datasets"]["answered"]["files"] = [str(PROMPTS)]
    share_resources(tmp_path)
    campaign = Campaign(tmp_path, **{**raw, "engine": str(ENGINE)})
    result = campaign.run(timeout=550)
    assert result.returncode == 0, result.stdout[-4000:]
    rows = campaign.responses()
    assert (rows.status == "ok").all()
    of = {str(name): part.set_index("row_id") for name, part in rows.groupby("dataset", observed=True)}
    assert len(of["answered"]) == len(of["judged"]) == 48
    assert {"yes"} <= set(of["judged"].answer) <= {"yes", "no"}
    accepted = of["judged"].index[of["judged"].answer == "yes"]
    assert set(of["rewritten"].index) == set(accepted)
    assert (of["judged"]["answered.text"] == of["answered"].text.loc[of["judged"].index]).all()
    assert len(list((campaign.root / "logs").rglob("*-engine-*.log"))) == 1  # one for each start of a server
