"""LoRA adapters on a real vLLM: one server and one queue answer as the model and as each adapter."""

from pathlib import Path
from typing import Any

import pytest

from support.adapters import make_adapter
from support.engine import MODEL, PROMPTS, real_campaign

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def dataset(model: str) -> dict[str, Any]:
    sampling = {"temperature": 0, "max_tokens": 8}
    return {"files": [str(PROMPTS)], "id": "id", "prompt": "{{ country }}", "limit": 6, "sampling": sampling, "models": [model]}


def test_one_server_answers_as_the_model_and_as_its_adapters(tmp_path: Path) -> None:
    campaign = real_campaign(tmp_path)
    adapters = {name: str(make_adapter(tmp_path / "adapters" / name, seed)) for seed, name in enumerate(("first", "second"))}
    model = {"source": str(MODEL), "max_model_len": 512, "dtype": "float32", "vllm": {"enforce-eager": True}}
    campaign.raw["models"]["smol"] = {**model, "adapters": adapters}
    asked = {"base": "smol", "one": "smol:first", "two": "smol:second"}
    campaign.raw["datasets"] = {name: dataset(model) for name, model in asked.items()}
    campaign.raw["benchmark"] = {"enabled": False}
    campaign.write_config()
    result = campaign.run(timeout=400)
    assert result.returncode == 0, result.stdout[-4000:]
    rows = campaign.responses()
    assert set(rows.status) == {"ok"}
    assert set(rows.model) == {"smol"}
    texts = {name: list(rows[rows.dataset == name].sort_values("row_id").text) for name in asked}
    assert len(texts["base"]) == 6
    assert texts["base"] != texts["one"] != texts["two"] != texts["base"]

    assert len(list((campaign.root / "logs").rglob("*-engine-*.log"))) == 1  # one for each start of a server

    # An adapter that is trained anew has its own dataset asked again, and no other.
    make_adapter(tmp_path / "adapters" / "second", seed=7)
    before = rows.set_index(["dataset", "row_id"])
    result = campaign.run(timeout=400)
    assert result.returncode == 0, result.stdout[-4000:]
    after = campaign.responses().set_index(["dataset", "row_id"])
    changed = before.started_at != after.started_at.reindex(before.index)
    assert set(changed[changed].index.get_level_values("dataset")) == {"two"}
    assert list(after.loc["two"].text) != list(before.loc["two"].text)
