"""The engine's command line and environment, as text."""

import json
from pathlib import Path
from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.core.errors import ServerError
from campaign.plan.memory.cpu_kv_cache import memory_flags
from campaign.server.engine.command_line import (
    EngineBuild,
    cache_folder,
    engine_build,
    engine_python,
    engine_versions,
    server_command,
    server_environment,
)
from support.commands import write_command


def words(**settings: object) -> list[str]:
    model = ModelConfig.model_validate({"source": "x", **settings})
    return server_command("/env", model, "small", "/models/small", "127.0.0.1", 8123)


def test_a_plain_model() -> None:
    assert words() == [
        "/env/bin/python",
        *("-m", "vllm.entrypoints.openai.api_server"),
        *(
            "--model",
            "/models/small",
            "--served-model-name",
            "small",
            "--host",
            "127.0.0.1",
            "--port",
            "8123",
            "--dtype",
            "auto",
            "--enable-prompt-tokens-details",
        ),
    ]


def test_cached_tokens_are_not_counted_where_that_is_not_wished() -> None:
    assert "--no-enable-prompt-tokens-details" in words(vllm={"enable-prompt-tokens-details": False})


def test_parallel_sizes() -> None:
    line = " ".join(words(tensor_parallel=2, pipeline_parallel=3, placement={"gpus_per_node": 2}))
    assert "--tensor-parallel-size 2 --pipeline-parallel-size 3" in line
    assert "--data-parallel-size" not in line


def over_nodes(**settings: Any) -> str:
    model = ModelConfig.model_validate({"source": "x", **settings})
    return " ".join(server_command("/env", model, "small", "/models/small", "10.0.0.1", 8123, ray=True))


def test_replicas_inside_one_node_need_no_ray() -> None:
    line = " ".join(words(data_parallel=3, placement={"gpus_per_node": 3}))
    assert "--data-parallel-size 3" in line
    assert "ray" not in line
    assert "--data-parallel-size-local" not in line


def test_a_pipeline_over_nodes() -> None:
    line = over_nodes(tensor_parallel=2, pipeline_parallel=2, placement={"nodes": 2, "gpus_per_node": 2})
    assert line.endswith("--distributed-executor-backend ray")


@pytest.mark.parametrize(
    ("tensor", "pipeline", "replicas", "nodes", "gpus", "on_head", "spans"),
    [(1, 1, 4, 2, 2, 2, False), (2, 1, 2, 2, 2, 1, False), (2, 2, 2, 4, 2, 1, True), (2, 1, 6, 3, 4, 2, False)],
)
def test_replicas_over_nodes(
    tensor: int, pipeline: int, replicas: int, nodes: int, gpus: int, on_head: int, spans: bool, tmp_path: Path
) -> None:
    """vLLM 0.32 wants to know how many replicas go on the head's node, and whether one takes several nodes."""
    shape = {
        "tensor_parallel": tensor,
        "pipeline_parallel": pipeline,
        "data_parallel": replicas,
        "placement": {"nodes": nodes, "gpus_per_node": gpus},
    }
    line = over_nodes(**shape)
    assert f"--data-parallel-size {replicas} " in line
    assert f"--data-parallel-backend ray --data-parallel-address 10.0.0.1 --data-parallel-size-local {on_head}" in line
    model = ModelConfig.model_validate({"source": "x", **shape})
    environment = server_environment({}, model, "run-1", "secret", tmp_path)
    assert (environment.get("VLLM_RAY_DP_PACK_STRATEGY") == "span") is spans


@pytest.mark.parametrize(
    ("on_cpu", "cache", "settings", "expected"),
    [
        (False, None, {}, ["--gpu-memory-utilization", "0.9"]),  # a workstation's GPU, of which no placement tells
        (False, None, {"gpu_memory_utilization": 0.5, "placement": {"gpus_per_node": 2}}, ["--gpu-memory-utilization", "0.5"]),
        (True, 1 << 30, {}, ["--kv-cache-memory-bytes", "1073741824"]),
        (True, None, {"gpu_memory_utilization": 0.5}, ["--gpu-memory-utilization", "0.5"]),
        (True, None, {"env": {"VLLM_CPU_KVCACHE_SPACE": 2}}, []),
    ],
)
def test_memory_flags(on_cpu: bool, cache: int | None, settings: dict[str, object], expected: list[str]) -> None:
    model = ModelConfig.model_validate({"source": "x", **settings})
    memory = memory_flags(model, on_cpu=on_cpu, cache=cache)
    line = server_command("/env", model, "small", "/models/small", "127.0.0.1", 8123, memory=memory)
    assert line[len(words()) :] == expected


@pytest.mark.parametrize(("env", "left"), [({}, None), ({"VLLM_CPU_KVCACHE_SPACE": 2}, "2")])
def test_a_cache_size_in_the_shell_does_not_reach_the_engine(env: dict[str, int], left: str | None, tmp_path: Path) -> None:
    """vLLM would take it before the derived size that the plan and the log tell."""
    model = ModelConfig.model_validate({"source": "x", "env": env})
    environment = server_environment({"VLLM_CPU_KVCACHE_SPACE": "40"}, model, "run-1", "secret", tmp_path)
    assert environment.get("VLLM_CPU_KVCACHE_SPACE") == left


def test_a_users_flag_has_the_last_word() -> None:
    model = ModelConfig.model_validate({"source": "x", "vllm": {"kv-cache-memory-bytes": 5}})
    line = server_command("/env", model, "s", "/m", "127.0.0.1", 1, memory={"kv_cache_memory_bytes": 7})
    assert line[-2:] == ["--kv-cache-memory-bytes", "5"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"enforce-eager": True}, ["--enforce-eager"]),
        ({"enable_prefix_caching": False}, ["--no-enable-prefix-caching"]),
        ({"max_num_seqs": 64}, ["--max-num-seqs", "64"]),
        ({"seed": None}, []),
        ({"hf_overrides": {"a": [1]}}, ["--hf-overrides", '{"a": [1]}']),
    ],
)
def test_further_flags(flags: dict[str, object], expected: list[str]) -> None:
    assert words(vllm=flags)[len(words()) :] == expected


def test_the_key_goes_through_the_environment_only(tmp_path: Path) -> None:
    model = ModelConfig(source="x", env={"EXTRA": "1"})
    environment = server_environment({"PATH": "/bin"}, model, "run-1", "secret", tmp_path)
    assert environment["VLLM_API_KEY"] == "secret"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["CAMPAIGN_SERVER"] == "run-1"
    assert environment["EXTRA"] == "1"
    assert environment["PATH"] == "/bin"
    assert "secret" not in " ".join(words())


def test_an_image_is_run_by_apptainer() -> None:
    assert engine_python("/images/vllm.sif") == ["apptainer", "exec", "--nv", "/images/vllm.sif", "python"]


def test_the_compile_cache_follows_the_shape() -> None:
    plain = ModelConfig(source="x")
    assert cache_folder(plain, "i", {"vllm": "1"}) == cache_folder(ModelConfig(source="y"), "i", {"vllm": "1"})
    assert cache_folder(plain, "i", {"vllm": "1"}) != cache_folder(plain, "i", {"vllm": "2"})
    assert cache_folder(plain, "i", {"vllm": "1"}) != cache_folder(
        ModelConfig(source="x", tensor_parallel=2), "i", {"vllm": "1"}
    )


@pytest.mark.processes
def test_versions_come_from_the_engine(repository: Path) -> None:
    assert engine_versions(str(repository / "tests" / "stub_engine"))["vllm"] == "0.0-stub"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("packages", "versions", "on_cpu"),
    [
        (["vllm-cpu", "torch"], {"vllm": "0.32.0", "torch": "2.13.0"}, True),
        (["vllm", "torch"], {"vllm": "0.32.0+cpu", "torch": "2.13.0"}, True),
        (["vllm", "torch"], {"vllm": "0.32.0", "torch": "2.13.0+cpu"}, True),
        (["vllm", "torch"], {"vllm": "0.32.0", "torch": "2.13.0+cu129"}, False),
    ],
)
def test_a_build_for_cpus_is_known_by_its_packages(
    packages: list[str], versions: dict[str, str], on_cpu: bool, tmp_path: Path
) -> None:
    python = tmp_path / "bin" / "python"
    write_command(python, f"echo '{json.dumps({'versions': versions, 'packages': packages})}'")
    assert engine_build(str(tmp_path)) == EngineBuild(versions, on_cpu)


@pytest.mark.processes
def test_no_engine_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="make engine"):
        engine_versions(str(tmp_path))
