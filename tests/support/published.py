"""Published measurements of throughput (tests/data/published), and what the plan's model says of each."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.config import ModelConfig
from campaign.models.known_models import FOLDER as KNOWN
from campaign.plan.forecast.throughput import SPREAD, modelled_requests_per_s, most_sequences
from campaign.plan.memory.architecture import read_architecture
from campaign.plan.memory.memory_model import ModelMetadata, estimated_weights, memory_on
from campaign.site.cluster_records import GIB, Gpu, Partition
from support.architectures import FOLDER as ARCHITECTURES
from support.architectures import architecture

FILE = Path(__file__).parents[1] / "data" / "published" / "throughput.toml"
_ENOUGH_CONTEXT = 512  # tokens beside those of a request


@dataclass(frozen=True)
class Measurement:
    """A row of the file, with its source and what the plan says of it."""

    row: dict[str, Any]
    source: dict[str, Any]
    expected: float  # tokens written per second

    @property
    def name(self) -> str:
        row = self.row
        return f"{row['gpus']}x{row['gpu']}-{row['model']}-{row['prompt']}-{row['output']}"

    @property
    def measured(self) -> float:
        return float(self.row["output_tokens_per_s"])

    @property
    def low(self) -> float:
        return self.expected / SPREAD

    @property
    def high(self) -> float:
        return self.expected * SPREAD

    @property
    def held(self) -> bool:
        return self.low <= self.measured <= self.high


def measurements() -> list[Measurement]:
    """All of the file."""
    content = tomllib.loads(FILE.read_text())
    return [Measurement(row, content["sources"][row["source"]], _expected(row, content)) for row in content["measurements"]]


def table() -> str:
    """The table of docs/forecast.md."""
    lines = ["| GPUs | model | read, written | engine | measured | planned | |", "|---|---|---|---|---|---|---|"]
    for each in measurements():
        row = each.row
        model = f"{row['model']}{', FP8' * ('quantization' in row)}"
        planned = f"{_rounded(each.low)} to {_rounded(each.high)}"
        engine = f"[{each.source['engine']}][{row['source']}]"
        cells = (f"{row['gpus']} x {row['gpu']}", model, f"{row['prompt']}, {row['output']}", engine)
        lines.append(f"| {' | '.join(cells)} | {_rounded(each.measured)} | {planned} | {'' if each.held else 'no'} |")
    sources = tomllib.loads(FILE.read_text())["sources"]
    return "\n".join([*lines, "", *(f"[{name}]: {source['url']}" for name, source in sources.items())])


def _rounded(value: float) -> str:
    """With three digits."""
    return f"{float(f'{value:.3g}'):,.0f}"


def _expected(row: dict[str, Any], content: dict[str, Any]) -> float:
    metadata, gpu = _metadata(row["model"], content), _gpu(row["gpu"], content)
    model = _model(row, gpu)
    partition = Partition("node", 1, {gpu.name: row["gpus"]}, 64, 8192, {}, 12.5e9, "published")
    memory = memory_on(metadata, model, gpu)
    prompt, output = float(row["prompt"]), float(row["output"])
    return output * modelled_requests_per_s(metadata, memory, model, gpu, partition, prompt, output)


def _metadata(name: str, content: dict[str, Any]) -> ModelMetadata:
    if name in content["configs"]:
        found = read_architecture(content["configs"][name])
    elif (ARCHITECTURES / f"{name}.json").exists():
        found = architecture(name)
    else:
        found = read_architecture(tomllib.loads((KNOWN / f"{name}.toml").read_text())["config"])
    return ModelMetadata(found, estimated_weights(found))


def _gpu(name: str, content: dict[str, Any]) -> Gpu:
    facts = content["gpus"][name]
    return Gpu(
        name,
        int(facts["memory_gib"] * GIB),
        facts["bandwidth"] * 1e9,
        facts["tflops"] * 1e12,
        facts["kernels"],
        cores=None,
        link=facts["link"] * 1e9 if "link" in facts else None,
    )


def _model(row: dict[str, Any], gpu: Gpu) -> ModelConfig:
    """As the plan would have it. A run of fewer requests than sequences that vLLM takes had no more of them at once."""
    flags = {name.replace("_", "-"): row[name] for name in ("kv_cache_dtype", "max_num_seqs") if name in row}
    settings = {
        "source": "x",
        "tensor_parallel": row["gpus"],
        "max_model_len": row["prompt"] + row["output"] + _ENOUGH_CONTEXT,
        "quantization": row.get("quantization"),
        "placement": {"partition": "node", "gpu": row["gpu"], "nodes": 1, "gpus_per_node": row["gpus"]},
    }
    sequences = min(row["requests"], most_sequences(ModelConfig.model_validate({**settings, "vllm": flags}), gpu))
    return ModelConfig.model_validate({**settings, "vllm": {**flags, "max-num-seqs": sequences}})
