"""Plans whose right verdict is known, on Alpine as its table has it: what is told of each, and that nothing is of the good ones.

Each row is a model's config.json with a weight file's header of the right size, settings, prompts, and the rules that are told.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from campaign.config import CampaignConfig, validate
from campaign.plan import run_checks
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.forecast.campaign_forecast import forecast_campaign
from campaign.plan.forecast_warnings import with_forecast_warnings
from campaign.plan.memory.memory_model import estimated_weights
from campaign.plan.run_checks import diagnose
from campaign.server.engine.command_line import EngineBuild
from campaign.site.table import load_table
from support import architectures

SITE = load_table("alpine")
A100 = {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 1, "walltime": "8h"}
A100_80 = A100 | {"gpu": "a100_80gb"}
H200 = {"partition": "ah200", "gpu": "h200", "gpus_per_node": 4, "walltime": "8h"}
L40 = {"partition": "al40", "gpu": "l40", "gpus_per_node": 1, "walltime": "8h"}
CPUS = {"partition": "acpu", "walltime": "8h"}


@dataclass(frozen=True)
class Case:
    """`models`: name of the architecture, settings, placement. `rows`: how many, and words of a prompt (a token and a quarter)."""

    models: dict[str, tuple[str, dict[str, Any], dict[str, Any]]]
    told: dict[str, str] = field(default_factory=dict)  # rule: a part of its sentence
    sampling: dict[str, Any] = field(default_factory=lambda: {"max_tokens": 256})
    rows: tuple[tuple[int, int], ...] = ((2000, 160),)
    account: str | None = "ucb-general"
    cpu_engine: bool = False


def one(architecture: str, placement: dict[str, Any], *, told: dict[str, str] | None = None, **more: Any) -> Case:
    fields = {name: more.pop(name) for name in ("sampling", "rows", "account", "cpu_engine") if name in more}
    return Case({"m": (architecture, more, placement)}, told or {}, **fields)


def several(*placements: dict[str, Any], told: dict[str, str] | None = None, **more: Any) -> Case:
    settings = [{"pipeline_parallel": place["gpus_per_node"], "max_model_len": 8192} for place in placements]
    models = {f"m{number}": ("llama-3.1-8b", settings[number], place) for number, place in enumerate(placements)}
    return Case(models, told or {}, **more)


REFUSED = {"cpu_memory", "gpu_type", "kv_cache", "max_tokens", "partition", "qos", "walltime", "weights"}
SMALL: dict[str, Any] = {"max_model_len": 2048}
MIXED = ((88, 160), (12, 4000))  # 12 rows of 100 are long

CASES: dict[str, Case] = {
    # The context: prompt and max_tokens.
    "fits": one("llama-3.1-8b", A100, **SMALL),
    "max_tokens above the context": one("llama-3.1-8b", A100, **SMALL, sampling={"max_tokens": 4096}, told={"max_tokens": "refuses all rows"}),
    "max_completion_tokens above it": one("llama-3.1-8b", A100, **SMALL, sampling={"max_completion_tokens": 2049}, told={"max_tokens": "max_tokens 2,049"}),
    "max_tokens as the context": one("llama-3.1-8b", A100, **SMALL, sampling={"max_tokens": 2048}, told={"answer_length": "no row fits"}),
    "max_tokens not given": one("llama-3.1-8b", A100, **SMALL, sampling={}),
    "long prompts": one("llama-3.1-8b", A100, **SMALL, rows=((100, 4000),), told={"prompt_length": "no row fits"}),
    "some long prompts": one("llama-3.1-8b", A100, **SMALL, rows=MIXED, told={"prompt_length": "about 12 % of rows do not fit"}),
    "long prompts, context for them": one("llama-3.1-8b", A100, max_model_len=8192, rows=MIXED),
    "long prompts that vLLM cuts": one("llama-3.1-8b", A100, **SMALL, rows=MIXED, sampling={"max_tokens": 9, "truncate_prompt_tokens": -1}),
    "long prompts, whole context": one("llama-3.1-8b", A100_80, rows=MIXED),
    "answers that are cut": one("llama-3.1-8b", A100, **SMALL, sampling={"max_tokens": 1900}, told={"answer_length": "max_tokens: 1"}),
    "a model of a short context": one("smollm2-135m", L40, sampling={"max_tokens": 9000}, told={"max_tokens": "8,192"}),
    "a model of a short context, fewer": one("smollm2-135m", L40, sampling={"max_tokens": 4096}),
    # Walltime against the load, and runs.
    "10 minutes for 405B": one("llama-3.1-405b-fp8", H200 | {"walltime": "10m"}, tensor_parallel=4, max_model_len=8192, told={"load": "15m"}),
    "2 hours for 405B": one("llama-3.1-405b-fp8", H200 | {"walltime": "2h"}, tensor_parallel=4, max_model_len=8192),
    "3 minutes for 8B": one("llama-3.1-8b", A100 | {"walltime": "3m"}, **SMALL, told={"load": "walltime"}),
    "15 minutes for 8B": one("llama-3.1-8b", A100 | {"walltime": "15m"}, **SMALL, rows=((100, 9),)),
    "10 minutes for 0.1B": one("smollm2-135m", L40 | {"walltime": "10m"}, **SMALL, rows=((100, 9),)),
    "8 minutes for 70B on CPUs": one("llama-3.1-70b", CPUS | {"walltime": "8m", "cpus_per_gpu": 64}, **SMALL, told={"load": "walltime"}),
    "many runs": one("llama-3.1-70b", H200 | {"gpus_per_node": 2, "walltime": "30m"}, tensor_parallel=2, max_model_len=16384, rows=((20000, 160),), sampling={"max_tokens": 8192}, told={"max_runs": "is 20"}),
    "many runs allowed": one("llama-3.1-70b", H200 | {"gpus_per_node": 2, "walltime": "30m", "max_runs": 400}, tensor_parallel=2, max_model_len=16384, rows=((20000, 160),), sampling={"max_tokens": 8192}),
    "longer runs": one("llama-3.1-70b", H200 | {"gpus_per_node": 2, "walltime": "24h"}, tensor_parallel=2, max_model_len=16384, rows=((20000, 160),), sampling={"max_tokens": 8192}),
    # Limits of one user over all models.
    "two on four H200 each": several(H200, H200, told={"turns": "1 of the allocations runs at a time"}),
    "two on two H200 each": several(H200 | {"gpus_per_node": 2}, H200 | {"gpus_per_node": 2}),
    "three on two H200 each": several(*[H200 | {"gpus_per_node": 2}] * 3, told={"turns": "2 of the allocations run at a time"}),
    "H200 and A100": several(H200, A100 | {"gpus_per_node": 3}),
    "six A100 in two models": several(*[A100 | {"gpus_per_node": 3}] * 2),
    "nine A100 in three models": several(*[A100 | {"gpus_per_node": 3}] * 3, told={"turns": "2 of the allocations"}),
    "another QoS": several(H200, H200 | {"qos": "gpu-long", "walltime": "30h", "gpus_per_node": 2, "cpus_per_gpu": 16}),
    # Memory of a CPU allocation.
    "70B on eight cores": one("llama-3.1-70b", CPUS, **SMALL, told={"cpu_memory": "weights"}),
    "70B on eight cores, its cache given": one("llama-3.1-70b", CPUS, **SMALL, env={"VLLM_CPU_KVCACHE_SPACE": 4}, told={"cpu_memory": "weights"}),
    "1B on eight cores": one("llama-3.2-1b", CPUS, **SMALL),
    "1B on eight cores, its cache given": one("llama-3.2-1b", CPUS, **SMALL, env={"VLLM_CPU_KVCACHE_SPACE": 4}),
    "1B and a cache above the job's memory": one("llama-3.2-1b", CPUS, **SMALL, env={"VLLM_CPU_KVCACHE_SPACE": 29}, told={"cpu_memory": "mem_per_node"}),
    "8B on 16 cores": one("llama-3.1-8b", CPUS | {"cpus_per_gpu": 16}, **SMALL, env={"VLLM_CPU_KVCACHE_SPACE": 8}),
    # All at once, with a misspelt name too.
    "405B and a misspelt GPU": one("llama-3.1-405b", H200 | {"gpu": "h-200"}, tensor_parallel=4, told={"gpu_type": "'h200'", "weights": "fullest"}),
    "405B and a GPU that is nowhere": one("llama-3.1-405b", H200 | {"gpu": "b300"}, tensor_parallel=4, told={"gpu_type": "b300", "weights": "fullest"}),
    "8B and a misspelt GPU": one("llama-3.1-8b", H200 | {"gpu": "H200"}, tensor_parallel=4, **SMALL, told={"gpu_type": "'h200'"}),
    "405B and a misspelt partition": one("llama-3.1-405b", H200 | {"partition": "h200"}, tensor_parallel=4, told={"partition": "'ah200'", "weights": "fullest"}),
    "405B and a partition that is nowhere": one("llama-3.1-405b", H200 | {"partition": "gpu"}, tensor_parallel=4, told={"partition": "gpu", "weights": "fullest"}),
    "8B and a partition that is nowhere": one("llama-3.1-8b", A100 | {"partition": "gpu"}, **SMALL, told={"partition": "gpu"}),
    "a misspelt QoS and two days": one("llama-3.1-8b", A100 | {"qos": "gpu-norml", "walltime": "2d"}, **SMALL, told={"qos": "'gpu-normal'", "walltime": "QoS gpu-normal"}),
    "a misspelt partition, max_tokens above the context": one("llama-3.1-8b", A100 | {"partition": "a100"}, **SMALL, sampling={"max_tokens": 4096}, told={"partition": "'aa100'", "max_tokens": "4,096"}),
    # Sizes that were refused, or passed, for a wrong reason.
    "Nemotron Nano, whole context": one("nemotron-nano-9b-v2", A100),
    "Nemotron Nano on a third of an H200": one("nemotron-nano-9b-v2", H200 | {"gpu": "h200_2g.35gb", "gpus_per_node": 1}),
    "Phi-4-mini, context left out": one("phi-4-mini", {"partition": "artxpro6000", "gpu": "rtx_pro_6000_1g.24gb", "gpus_per_node": 1, "walltime": "8h"}),
    "Phi-4-mini, whole context on a slice": one("phi-4-mini", {"partition": "artxpro6000", "gpu": "rtx_pro_6000_1g.24gb", "gpus_per_node": 1, "walltime": "8h"}, max_model_len=131072, told={"kv_cache": "131,072"}),
    "Phi-4-mini, longer than it is served": one("phi-4-mini", A100, sampling={"max_tokens": 5000}, told={"max_tokens": "4,096"}),
    "235B, experts over replicas": one("qwen3-235b-a22b-fp8", H200, data_parallel=4, max_model_len=16384, vllm={"enable-expert-parallel": True}),
    "235B on one H200": one("qwen3-235b-a22b-fp8", H200 | {"gpus_per_node": 1}, max_model_len=16384, told={"weights": "fullest"}),
    "8B, replicas on too little": one("llama-3.1-70b", H200, data_parallel=4, max_model_len=8192, told={"weights": "fullest"}),
    "Command R+ above 8,192 tokens": one("command-r-plus", H200, tensor_parallel=4, max_model_len=32768),
    "Gemma 3n": one("gemma-3n-e4b", L40),
    "GLM-4.6 on four H200": one("glm-4.6", H200, tensor_parallel=4, max_model_len=65536, told={"weights": "fullest"}),
    # The engine.
    "a vLLM for CPUs on GPUs": one("llama-3.1-8b", A100, **SMALL, cpu_engine=True, told={"engine_build": "leaves the GPUs of m idle"}),
    "a vLLM for CPUs on CPUs": one("llama-3.2-1b", CPUS, **SMALL, cpu_engine=True),
    # Good ones of every kind that is refused or warned of above.
    "405B FP8 on four H200": one("llama-3.1-405b-fp8", H200, tensor_parallel=4, max_model_len=32768),
    "70B on two H200, many prompts": one("llama-3.1-70b", H200 | {"gpus_per_node": 2, "walltime": "24h"}, tensor_parallel=2, max_model_len=16384, rows=((20000, 160),)),
    "a long QoS": one("llama-3.1-8b", A100 | {"qos": "gpu-long", "walltime": "3d"}, **SMALL),
    "as long as the context to the token": one("llama-3.1-8b", A100, max_model_len=4096, sampling={"max_tokens": 3800}, rows=((100, 160),)),
    "two allocations of one model": one("llama-3.1-8b", A100 | {"allocations": 2}, **SMALL),
    "two models, one has nothing to do beside it": several(A100, L40),
    "four models on slices": several(*[{"partition": "ah200", "gpu": "h200_3g.71gb", "gpus_per_node": 1, "walltime": "8h"}] * 4),
    "GPUs and CPUs": Case({"big": ("llama-3.1-8b", SMALL, A100), "small": ("llama-3.2-1b", SMALL, CPUS)}),
    "8B with half of it in the host": one("llama-3.1-8b", H200 | {"gpu": "h200_2g.35gb", "gpus_per_node": 1}, **SMALL, vllm={"cpu-offload-gb": 8}),
    "Qwen3-30B-A3B, two replicas": one("qwen3-30b-a3b", H200 | {"gpus_per_node": 2}, data_parallel=2, max_model_len=16384),
    "InternLM2 20B": one("internlm2-20b", A100_80, max_model_len=16384),
    "Phi-3.5-MoE on two": one("phi-3.5-moe", A100_80 | {"gpus_per_node": 2}, tensor_parallel=2),
    # The account.
    "no account": one("llama-3.1-8b", A100, **SMALL, account=None, told={"account": "is missing"}),
}  # fmt: skip


def weights_file(path: Path, size: int) -> None:
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def campaign_of(case: Case, folder: Path) -> CampaignConfig:
    models = {}
    for name, (architecture, settings, placement) in case.models.items():
        source = folder / architecture
        source.mkdir(exist_ok=True)
        (source / "config.json").write_bytes((architectures.FOLDER / f"{architecture}.json").read_bytes())
        weights_file(source / "model.safetensors", estimated_weights(architectures.architecture(architecture)).bytes)
        models[name] = {"source": str(source), **settings, "placement": placement}
    lines = [json.dumps({"text": "word " * words}) for count, words in case.rows for _ in range(count)]
    (folder / "p.jsonl").write_text("\n".join(lines))
    raw = {"files": [str(folder / "p.jsonl")], "prompt": "{{ text }}", "sampling": case.sampling, "models": list(models)}
    account = {} if case.account is None else {"account": case.account}
    return validate({"campaign": "c", "site": "alpine", "ask_vllm": False, **account, "models": models, "datasets": {"d": raw}})


def told_of(case: Case, folder: Path) -> dict[str, Diagnostic]:
    config = campaign_of(case, folder)
    diagnosis = diagnose(config, SITE)
    forecast = forecast_campaign(config, SITE, diagnosis.metadata)
    return {each.rule: each for each in with_forecast_warnings(config, diagnosis, forecast).diagnostics}


@pytest.mark.parametrize("name", CASES)
def test_what_is_told(name: str, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    monkeypatch.setattr(run_checks, "engine_build", lambda _: EngineBuild({"vllm": "0.32.0"}, on_cpu=case.cpu_engine))
    told = told_of(case, in_tmp)
    assert set(told) == set(case.told), {rule: str(each) for rule, each in told.items()}
    for rule, words in case.told.items():
        assert words in str(told[rule])
        assert told[rule].warning is (rule not in REFUSED)


def test_as_many_good_plans_as_others() -> None:
    good = [name for name, case in CASES.items() if not case.told]
    assert len(good) * 2 >= len(CASES)
