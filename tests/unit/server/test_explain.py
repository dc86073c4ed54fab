"""Known failures are named by the lines their logs show; each excerpt says where it comes from."""

import tomllib
from pathlib import Path

import pytest

from campaign.server.explain import SIGNATURES, explain, explain_failure, explain_file

# Lines as vLLM 0.32, torch 2.13, Ray and Slurm print them.
EXCERPTS = {
    "port_in_use": "OSError: [Errno 98] Address already in use",
    "no_weights": "RuntimeError: Cannot find any model weights with `/models/small`",
    "no_model_config": "ValueError: Invalid repository ID or local directory specified: 'nowhere'.",
    "unknown_flag": "api_server.py: error: unrecognized arguments: --no-such-flag 1",
    "context_too_long": "Value error, User-specified max_model_len (99999) is greater than the derived max_model_len (8192)",
    "gpu_out_of_memory": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "gpu_memory_taken": "ValueError: Free memory on device cuda:0 (3.1/39.4 GiB) on startup is less than desired GPU memory utilization",
    "host_out_of_memory": "slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch.",
    "disk_full": "OSError: [Errno 28] No space left on device",
    "heads_not_divisible": "Total number of attention heads (9) must be divisible by tensor parallel size (2).",
    "hub_offline": "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find the requested files in the disk cache",
    "hub_gated": "huggingface_hub.errors.GatedRepoError: 401 Client Error.",
    "cuda_mismatch": "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
    "no_gpu": "RuntimeError: No CUDA GPUs are available",
    "module_missing": "ModuleNotFoundError: No module named 'vllm'",
    "gloo_network": "RuntimeError: Gloo connectFullMesh failed with [../third_party/gloo/gloo/transport/tcp/pair.cc:144] no error",
    "ray_unique_address": "RuntimeError: Every node should have a unique IP address. Got 2 nodes with node ids",
    "ray_timeout": "ray.exceptions.RayChannelTimeoutError: System error: Timed out waiting for object available to read.",
    "slurm_time_limit": "slurmstepd: error: *** JOB 17 ON c3gpu-a9-u29 CANCELLED AT 2026-11-01T10:00:00 DUE TO TIME LIMIT ***",
    "engine_core_died": "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
}


@pytest.mark.parametrize("name", EXCERPTS)
def test_an_excerpt_is_explained(name: str) -> None:
    found = explain(f"INFO loading\n{EXCERPTS[name]}\nINFO bye")
    assert name in [e.signature.name for e in found]
    assert next(e for e in found if e.signature.name == name).line_number == 2


DATA = Path(__file__).parents[2] / "data" / "logs"
ORIGINS = tomllib.loads((DATA / "origins.toml").read_text())


@pytest.mark.parametrize("name", ORIGINS)
def test_a_real_log_is_explained(name: str) -> None:
    """The first finding is the cause; the others may be its consequences."""
    (first, *_) = explain((DATA / f"{name}.log").read_text())
    assert first.signature.name == name.partition("-")[0]
    assert ORIGINS[name].startswith("https://github.com/")


def test_every_real_log_has_its_origin() -> None:
    assert sorted(path.stem for path in DATA.glob("*.log")) == sorted(ORIGINS)
    assert len({name.partition("-")[0] for name in ORIGINS}) >= 20


def test_names_are_unique_and_every_signature_has_a_remedy() -> None:
    assert len({s.name for s in SIGNATURES}) == len(SIGNATURES)
    assert all(s.cause.endswith(".") and s.remedy for s in SIGNATURES)


def test_the_cause_comes_before_its_consequence(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text(f"{EXCERPTS['gpu_out_of_memory']}\n{EXCERPTS['engine_core_died']}\n")
    message, permanent = explain_failure(log)
    assert message.startswith("The GPU's memory is used up.")
    assert f"{log}:1" in message
    assert permanent


def test_an_unknown_death_shows_the_last_line(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("starting\nsomething odd\n\n")
    message, permanent = explain_failure(log)
    assert "something odd" in message
    assert not permanent
    assert "it wrote nothing" in explain_failure(tmp_path / "none.log")[0]


def test_a_healthy_log_has_no_findings(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text('INFO: 127.0.0.1 - "POST /v1/chat/completions HTTP/1.1" 200 OK\nINFO Application startup complete.\n')
    assert explain_file(log) == []
