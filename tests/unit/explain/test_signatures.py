"""The built-in table: each signature is whole, and says its verdict."""

import dataclasses
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.config import InferenceConfig, PlacementConfig
from campaign.explain import MEANINGS, SECTIONS, SIGNATURES, VERDICTS, Signature, findings, site_signatures
from campaign.explain.lines import DEPTHS
from campaign.explain.signature import ROLES
from campaign.explain.signatures.config import CONFIG, CONFIG_REFUSED
from campaign.explain.signatures.features import FEATURES

ALL = (*SIGNATURES, *site_signatures())


def test_a_verdict_is_said_and_never_a_default() -> None:
    field = next(field for field in dataclasses.fields(Signature) if field.name == "verdict")
    assert field.default is dataclasses.MISSING
    assert field.default_factory is dataclasses.MISSING
    with pytest.raises(TypeError, match="verdict"):
        Signature(name="x", pattern="x", cause="x", remedy="x")  # type: ignore[call-arg]
    assert set(MEANINGS) == set(VERDICTS) == {s.verdict for s in ALL}


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(s.name for s in ALL).items() if count > 1] == []


def test_what_stands_for_any_refusal_of_the_config_is_asked_last() -> None:
    names = [signature.name for signature in SECTIONS["Flags and the model's config"]]
    assert names == [signature.name for signature in (*CONFIG, *FEATURES, *CONFIG_REFUSED)]
    assert names[-1] == "config_type"
    assert [signature.name for signature in SIGNATURES[-len(CONFIG_REFUSED) :]] == [one.name for one in CONFIG_REFUSED]


@pytest.mark.parametrize("signature", ALL, ids=lambda signature: signature.name)
def test_a_signature_is_whole(signature: Signature) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]+", signature.name)
    assert signature.role in ROLES
    assert signature.depth in ("", *DEPTHS)
    assert not signature.remedy.endswith(".")
    assert not signature.regex.search("")  # it would fit every line
    named = {f"{{{name}}}" for name in signature.regex.groupindex}
    used = set(re.findall(r"\{[a-z_]+\}", signature.cause + signature.remedy))
    assert used <= named


# Lines as vLLM 0.32, torch 2.13, Ray and Slurm print them.
LINES = {
    "port_in_use": "OSError: [Errno 98] Address already in use",
    "no_weights_of_format": "RuntimeError: Cannot find any model weights with `/models/small`",
    "no_model_config": "ValueError: Invalid repository ID or local directory specified: 'nowhere'.",
    "flag_value": "api_server.py: error: argument --kv-cache-dtype: invalid choice: 'int3' (choose from 'auto', 'fp8')",
    "unknown_flag": "api_server.py: error: unrecognized arguments: --no-such-flag 1",
    "context_too_long": "Value error, User-specified max_model_len (99999) is greater than the derived max_model_len (8192)",
    "gpu_out_of_memory": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "gpu_memory_taken": "ValueError: Free memory on device cuda:0 (3.1/39.4 GiB) on startup is less than desired GPU memory utilization",
    "slurm_memory_limit": "slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch.",
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
    "slurm_node_failed": "slurmstepd: error: *** JOB 17 ON c3gpu-a9-u29 CANCELLED AT 2026-11-01T10:00:00 DUE TO NODE FAILURE ***",
    "slurm_preempted": "slurmstepd: error: *** JOB 17 ON c3gpu-a9-u29 CANCELLED AT 2026-11-01T10:00:00 DUE TO PREEMPTION ***",
    "gpu_fell_off_the_bus": "[81.5] NVRM: Xid (PCI:0000:41:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
    "driver_mismatch": "Failed to initialize NVML: Driver/library version mismatch",
    "alpine_qos": "sbatch: error: The `aa100` partition accepts the following QoS values: gpu-normal, gpu-long",
    "alpine_walltime": "sbatch: error: The requested runtime of the `gpu-normal` QoS cannot exceed 24 hour(s).",
    "alpine_share_of_gpu": "sbatch: error: You are requesting `64` CPUs, which exceeds the maximum allowed of `21` CPUs for `1` GPU(s)",
    "slurm_refused": "sbatch: error: Please tell us your project's name first.",
    "engine_core_died": "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
}


def test_remedies_name_keys_that_the_config_has() -> None:
    keys = {"placement": set(PlacementConfig.model_fields), "inference": set(InferenceConfig.model_fields)}
    named = [
        (signature.name, section, key)
        for signature in ALL
        for section, key in re.findall(r"\b(placement|inference)\.([a-z_]+)", signature.remedy)
    ]
    assert len(named) > 5
    assert [one for one in named if one[2] not in keys[one[1]]] == []


@pytest.mark.parametrize("name", LINES)
def test_a_line_is_explained(name: str) -> None:
    found = findings(f"INFO loading\n{LINES[name]}\nINFO bye", site_signatures())
    assert (found[0].name, found[0].line_number) == (name, 2)


@given(st.text(max_size=400) | st.text(alphabet="() []:=ERROWNIF0123456789.-pidrank\n\r\t\x1bTraceback", max_size=400))
def test_any_text_can_be_read(text: str) -> None:
    for finding in findings(text):
        assert finding.verdict in VERDICTS
        assert "\x1b" not in finding.line


# Lines of level INFO and WARNING, and bare ones, whose words sound like no error.
QUIET = {
    "ray_resources": "WARNING 10-21 09:10:35 [x.py:1] No available node types can fulfill resource request {'GPU': 4.0}",
    "ray_driver_without_gpu": "INFO 10-21 09:10:35 [x.py:1] Ray does not allocate any GPUs on the driver node",
    "ray_node_died": "(raylet) Raylet connection closed.",
    "slurm_job_count": "(QOSMaxSubmit)",
    "node_memory": "[8.1] EDAC MC0: 1 UE on DIMM_A1",
    "nccl_no_interface": "WARNING 10-21 09:10:35 [x.py:1] no socket interface found",
    "infiniband_retries": "a:1:1 [0] NCCL INFO NET/IB : Got completion from peer with status=12",
    "fabric_manager": "Fabric Manager is not running",
}


@pytest.mark.parametrize("name", QUIET)
def test_a_quiet_line_is_explained(name: str) -> None:
    assert [finding.name for finding in findings(f"loading\n{QUIET[name]}\nbye")] == [name]


MESSAGES = tomllib.loads((Path(__file__).parents[2] / "data" / "failure_messages.toml").read_text())["messages"]


def test_messages_are_named() -> None:
    """Each by its own failure, whatever follows it."""
    wrong = [(message["failure"], found) for message in MESSAGES if (found := _first(message["text"])) != message["failure"]]
    assert wrong == []


def _first(text: str) -> str | None:
    found = findings(text, site_signatures())
    return found[0].name if found else None
