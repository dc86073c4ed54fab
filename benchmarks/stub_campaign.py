"""A prepared campaign on the stub engine, for the benchmarks of the client."""

import signal
from pathlib import Path

from campaign.config import CampaignConfig, validate
from campaign.core.files import write_json
from campaign.models.stage import stage_model
from campaign.queue.enqueue import enqueue
from campaign.requests.prepare import prepare
from campaign.server.host.reaper import die_with_parent

REPOSITORY = Path(__file__).parents[1]


def end_with_parent() -> None:
    """In a child before it becomes its program: it does not outlive the benchmark, kill -9 included."""
    die_with_parent(signal.SIGKILL)


def write_campaign(name: str, rows: int, concurrency: int, allocations: int = 1) -> CampaignConfig:
    """Config, model folder and `rows` prompts in the working directory; nothing is prepared yet."""
    model = Path("model")
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    prompts = Path(f"prompts-{rows}.jsonl")
    if not prompts.exists():
        with prompts.open("w") as stream:
            stream.writelines(f'{{"n": {n}}}\n' for n in range(rows))
    config = validate(
        {
            "campaign": name,
            "engine": str(REPOSITORY / "tests" / "stub_engine"),
            "models": {"stub": {"source": "model", "placement": {"allocations": allocations}}},
            "datasets": {"d": {"files": [prompts.name], "prompt": "What is {{ n }} + {{ n }}?", "models": ["stub"]}},
            "inference": {"concurrency": concurrency},
            "benchmark": {"enabled": False},
        }
    )
    write_json(config.paths.config, config.model_dump(mode="json"))
    return config


def make_campaign(name: str, rows: int, concurrency: int, allocations: int = 1) -> CampaignConfig:
    """A campaign whose requests are prepared and queued."""
    config = write_campaign(name, rows, concurrency, allocations)
    prepare(config, "d")
    stage_model(config, "stub")
    enqueue(config, "stub")
    return config
