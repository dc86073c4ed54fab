"""Adapters of a model: in the config, in keys, at the server, in what is sent and in the plan."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign.benchmark.prompts import Prompt
from campaign.config import CampaignConfig, ModelConfig, validate
from campaign.controller.dag import dataset_spec
from campaign.core.errors import ConfigError
from campaign.plan.checks.adapter_check import adapter_problems
from campaign.plan.variants import sweep
from campaign.requests.endpoints import APIS
from campaign.requests.keys.adapters import key_name
from campaign.requests.prepare import prepare
from campaign.requests.shards import read_shard, shard_path
from campaign.server.engine.command_line import server_command, settings_digest

Make = Callable[..., CampaignConfig]


def adapter(folder: Path, rank: int = 8, weights: bytes = b"w", **settings: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "lora_alpha": 16, **settings}))
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return str(folder)


@pytest.fixture
def campaign(in_tmp: Path) -> Make:
    """A campaign whose model has the adapters `a` and `b`; `asked` by dataset."""

    def make(**asked: list[str]) -> CampaignConfig:
        (in_tmp / "d.jsonl").write_text('{"id": "1", "word": "x"}\n')
        model = {"source": "org/base", "adapters": {name: adapter(in_tmp / name) for name in ("a", "b")}}
        datasets = {name: {"files": ["d.jsonl"], "prompt": "{{ word }}", "models": models} for name, models in asked.items()}
        return validate({"campaign": "c", "models": {"m": model, "n": {"source": "n"}}, "datasets": datasets})

    return make


def keys(config: CampaignConfig) -> dict[str, bytes]:
    found = {}
    for name in config.datasets:
        prepare(config, name)
        (found[name],) = read_shard(shard_path(config.paths.request_shards(name), 0)).column("content_key").to_pylist()
    return found


def test_a_dataset_names_the_adapter_behind_the_model(campaign: Make) -> None:
    config = campaign(d=["m:a", "n"], e=["m"])
    assert (config.datasets["d"].models, config.datasets["d"].adapters) == (["m", "n"], {"m": "a"})
    assert list(config.datasets_of("m")) == ["d", "e"]
    assert validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (["m:c"], "m has no adapter 'c'; give it one: models.m.adapters"),
        (["n:a"], "n has no adapter 'a'"),
        (["m", "m:a"], "make a dataset of each, of the same files"),
        (["m:a", "m:b"], "make a dataset of each, of the same files"),
        (["m:a:b"], "models"),
    ],
)
def test_what_is_no_adapter_is_told(models: list[str], words: str, campaign: Make) -> None:
    with pytest.raises(ConfigError) as caught:
        campaign(d=models)
    assert words in str(caught.value)


def test_a_stage_has_no_adapters(campaign: Make) -> None:
    raw = campaign(d=["m"]).model_dump(mode="json")
    raw["datasets"]["s"] = {"from": {"dataset": "d"}, "prompt": "{{ text }}", "models": ["m:a"]}
    with pytest.raises(ConfigError, match="asks an adapter, which stages cannot"):
        validate(raw)


def test_a_sweep_asks_the_adapter_of_each_variant(campaign: Make) -> None:
    raw = campaign(d=["m:a"]).model_dump(mode="json")
    raw["models"]["m"]["variants"] = {"long": {"max_model_len": 512}}
    swept = sweep(validate(raw))
    assert swept.datasets["d"].adapters == {"m": "a", "m-long": "a"}
    assert swept.models["m-long"].adapters.keys() == {"a", "b"}


def test_a_trained_adapter_is_another_question_of_its_dataset_alone(campaign: Make) -> None:
    config = campaign(d=["m:a"], e=["m:b"], f=["m"])
    before, specs = keys(config), {name: dataset_spec(config, name) for name in config.datasets}
    adapter(Path("a"), weights=b"trained")
    changed = {name for name, key in keys(config).items() if key != before[name]}
    assert changed == {"d"}
    assert {name for name, spec in specs.items() if dataset_spec(config, name) != spec} == {"d"}


def test_without_an_adapter_keys_are_what_they_were(campaign: Make) -> None:
    config = campaign(f=["m"])
    assert key_name(config, "f") == "f"
    assert "adapters" not in ModelConfig(source="m").model_dump()
    assert "adapters" in config.models["m"].model_dump()


def words_of(model: ModelConfig) -> list[str]:
    words = server_command("engine", model, "m", "path", "127.0.0.1", 1)
    return words[words.index("vllm.entrypoints.openai.api_server") + 1 :]


def test_the_server_has_room_for_the_largest(in_tmp: Path) -> None:
    given = {"a": adapter(in_tmp / "a", 8), "b": adapter(in_tmp / "b", 4, rank_pattern={"q_proj": 20})}
    words = words_of(ModelConfig(source="m", adapters=given))
    at = words.index("--enable-lora")
    assert words[at : at + 5] == ["--enable-lora", "--max-loras", "2", "--max-lora-rank", "32"]
    assert [json.loads(word) for word in words[words.index("--lora-modules") + 1 :]] == [
        {"name": "m:a", "path": given["a"]},
        {"name": "m:b", "path": given["b"]},
    ]
    own = words_of(ModelConfig(source="m", adapters=given, vllm={"max-loras": 1}))
    assert own[own.index("--max-loras") + 1] == "1"
    assert "--enable-lora" not in words_of(ModelConfig(source="m"))


def test_a_server_with_other_weights_of_an_adapter_is_another_one(in_tmp: Path) -> None:
    model = ModelConfig(source="m", adapters={"a": adapter(in_tmp / "a")})
    before = settings_digest("engine", model, "identity", "path")
    adapter(in_tmp / "a", weights=b"trained")
    assert settings_digest("engine", model, "identity", "path") != before


def test_a_benchmark_asks_the_adapter_too() -> None:
    body = orjson.loads(Prompt(APIS["chat"], {"messages": []}, "a").sent("m", "salt"))
    assert body["model"] == "m:a"


def told(config: CampaignConfig) -> dict[str, str]:
    return {found.config_key: ("" if not found.warning else "warning: ") + found.reason for found in adapter_problems(config)}


def test_the_plan_tells_what_is_no_adapter(campaign: Make, in_tmp: Path) -> None:
    config = campaign(d=["m:a"])
    assert told(config) == {}
    adapter(in_tmp / "a", base_model_name_or_path="org/other")
    (in_tmp / "b" / "adapter_model.safetensors").unlink()
    assert told(config) == {
        "models.m.adapters.a": "warning: it was trained for org/other, and org/base is served",
        "models.m.adapters.b": f"{in_tmp / 'b'} holds no adapter_model.safetensors",
    }
    (in_tmp / "a" / "adapter_config.json").write_text("[")
    (in_tmp / "b" / "adapter_config.json").unlink()
    assert "cannot be read" in told(config)["models.m.adapters.a"]
    assert "there is no" in told(config)["models.m.adapters.b"]


def test_the_same_base_elsewhere_is_the_same_base(campaign: Make, in_tmp: Path) -> None:
    adapter(in_tmp / "a")
    config = campaign(d=["m:a"])
    adapter(in_tmp / "a", base_model_name_or_path="/data/models/base")
    assert told(config) == {}
