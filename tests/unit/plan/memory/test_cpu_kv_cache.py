"""The KV cache on a CPU: what the campaign needs, within what is free."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.config import CampaignConfig, ModelConfig, validate
from campaign.config.site_file import cluster
from campaign.plan import run_checks
from campaign.plan.memory.cpu_kv_cache import CpuCache, derive, is_derived, memory_of_placement, planned
from campaign.plan.memory.memory_model import estimated_weights
from campaign.server.engine.command_line import EngineBuild
from campaign.server.host.host_memory import HostMemory
from support.architectures import architecture, metadata

GIB = 1 << 30
SMALL, LARGE = "smollm2-135m", "llama-3.1-8b"


def config(concurrency: object = "auto", **model: Any) -> CampaignConfig:
    raw = {
        "campaign": "c",
        "models": {"m": {"source": "m", **model}},
        "datasets": {"d": {"files": ["x.jsonl"], "prompt": "p", "models": ["m"]}},
        "inference": {"concurrency": concurrency},
    }
    return validate(raw)


def cache(free: float, name: str = SMALL, total: float = 64, concurrency: object = "auto", **model: Any) -> CpuCache:
    made = config(concurrency, **model)
    return derive(made, made.models["m"], metadata(name), HostMemory(int(total * GIB), int(free * GIB), "NUMA node 0"))


def test_as_much_as_the_campaign_needs() -> None:
    """SmolLM2-135M: 30 layers, 3 KV heads of 64, 16 bit: 23,040 bytes a token."""
    found = cache(32, max_model_len=1024)
    assert found.bytes == (32 * 1024 + 128) * 23_040
    assert found.tokens == 32 * 1024 + 128
    assert "32 x 1,024" in found.told
    assert "32.0 GiB of 64.0 GiB free" in found.told
    assert cache(32, concurrency=4, max_model_len=1008).bytes == (4 * 1024 + 128) * 23_040  # whole blocks
    assert cache(32, concurrency=4, max_model_len=1024, dtype="float32").bytes == 2 * (4 * 1024 + 128) * 23_040


def test_at_most_a_share_of_what_is_free() -> None:
    found = cache(24, name=LARGE, max_model_len=8192)
    weights = estimated_weights(architecture(LARGE)).bytes
    assert found.bytes < 0.6 * (24 * GIB - weights)
    assert found.fits
    assert "less than 32 x 8,192" in found.told


def test_one_sequence_is_taken_even_above_the_share() -> None:
    found = cache(17.7, name=LARGE, max_model_len=4096)
    assert found.fits
    assert found.tokens == 4096 + 128


def test_what_other_programs_hold_now_is_not_for_ever() -> None:
    found = cache(18.5, name=LARGE, total=64, max_model_len=32_768)
    assert not found.fits
    assert not found.lasting
    assert "end other programs" in found.remedy


def test_what_never_fits_names_the_context_that_would() -> None:
    found = cache(20, name=LARGE, total=24)
    assert found.lasting
    assert "131,072 tokens" in found.told
    length = int(found.remedy.split("max_model_len: ")[1].split()[0])
    assert cache(24, name=LARGE, total=24, max_model_len=length).fits
    assert not cache(24, name=LARGE, total=24, max_model_len=length + 256).fits
    assert cache(2, name=LARGE, total=2).remedy == "a machine with more memory, or a smaller model"


def test_nothing_known_of_the_model_takes_a_share() -> None:
    made = config()
    found = derive(made, made.models["m"], None, HostMemory(64 * GIB, 12 * GIB, "NUMA node 0"))
    assert found.bytes == int(0.6 * 10 * GIB)
    assert found.tokens is None
    none = derive(made, made.models["m"], None, HostMemory(64 * GIB, GIB, "NUMA node 0"))
    assert not none.fits
    assert not none.lasting
    assert "has 1.0 GiB of 64.0 GiB free" in none.told


@given(
    free=st.floats(0, 2000), total=st.floats(0, 2000), sequences=st.integers(1, 4096), length=st.integers(1, 131_072),
    name=st.sampled_from([SMALL, LARGE]),
)  # fmt: skip
def test_whatever_the_numbers(free: float, total: float, sequences: int, length: int, name: str) -> None:
    """What is taken is less than what is free and holds a sequence; what is not, is told with a remedy."""
    found = cache(min(free, total), name, total, sequences, max_model_len=length)
    if found.fits:
        assert found.bytes < min(free, total) * GIB
        assert found.tokens is not None
        assert found.tokens >= length
    else:
        assert found.bytes == 0
        assert found.remedy


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"env": {"VLLM_CPU_KVCACHE_SPACE": 2}}, "VLLM_CPU_KVCACHE_SPACE: 2"),
        ({"vllm": {"kv-cache-memory-bytes": 4096}}, "kv-cache-memory-bytes: 4096"),
        ({"gpu_memory_utilization": 0.5}, "gpu_memory_utilization: 0.5"),
    ],
)
def test_the_user_has_the_last_word(model: dict[str, Any], told: str) -> None:
    made = config(**model)
    found = planned(made, made.models["m"], metadata(SMALL), HostMemory(3 * GIB, 2 * GIB, "NUMA node 0"))
    assert found.fits
    assert told in found.told
    assert is_derived(ModelConfig(source="m"))
    assert not is_derived(made.models["m"])


def test_a_size_in_the_shell_is_told_to_be_not_used() -> None:
    made, memory, shell = config(), HostMemory(64 * GIB, 32 * GIB, "NUMA node 0"), {"VLLM_CPU_KVCACHE_SPACE": "40"}
    found = planned(made, made.models["m"], metadata(SMALL), memory, shell)
    assert found.bytes == derive(made, made.models["m"], metadata(SMALL), memory).bytes
    assert found.told.endswith("VLLM_CPU_KVCACHE_SPACE of the shell is not used, only one in the config's env")
    own = config(env={"VLLM_CPU_KVCACHE_SPACE": 2})
    assert "shell" not in planned(own, own.models["m"], metadata(SMALL), memory, shell).told


def test_a_container_holds_the_weights_twice_while_the_cache_is_made() -> None:
    """vLLM takes the pages of their files, read a moment ago, for used; those that were there before are counted already."""
    made = config(max_model_len=8192)
    weights = estimated_weights(architecture(LARGE)).bytes

    def rehearsal_or_sweep(cached: int | None) -> CpuCache:
        memory = HostMemory(64 * GIB, 36 * GIB, "a container", cached)
        return derive(made, made.models["m"], metadata(LARGE), memory)

    assert rehearsal_or_sweep(None).bytes - rehearsal_or_sweep(0).bytes == pytest.approx(0.6 * weights, abs=4)
    assert rehearsal_or_sweep(0).bytes + 2 * weights < 36 * GIB
    assert "the cached pages of their files" in rehearsal_or_sweep(0).told
    assert rehearsal_or_sweep(weights) == rehearsal_or_sweep(None)


@pytest.mark.parametrize(("total", "lasting"), [(13, True), (8000, False)])
def test_a_users_cache_that_cannot_be_is_told_beforehand(total: float, lasting: bool) -> None:
    made = config(env={"VLLM_CPU_KVCACHE_SPACE": 4000})
    found = planned(made, made.models["m"], metadata(SMALL), HostMemory(int(total * GIB), 10 * GIB, "NUMA node 0"))
    assert not found.fits
    assert found.lasting is lasting
    assert "VLLM_CPU_KVCACHE_SPACE: 4000 (GiB) is more than NUMA node 0 has: 10.0 GiB" in found.told


def test_each_worker_needs_a_node(stub_config: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_checks, "engine_build", lambda _: EngineBuild({}, on_cpu=True))
    monkeypatch.setattr(run_checks, "visible_nodes", lambda _: [0, 1])
    split = stub_config().models["stub"].model_copy(update={"tensor_parallel": 3})
    (refused,) = run_checks.diagnose(stub_config().model_copy(update={"models": {"stub": split}})).refusals
    assert refused.startswith("models.stub: tensor_parallel 3 x")
    assert "this machine has 2; make it 2 workers" in refused
    bound = split.model_copy(update={"env": {"VLLM_CPU_OMP_THREADS_BIND": "0|1|2"}})
    assert not run_checks.diagnose(stub_config().model_copy(update={"models": {"stub": bound}})).refusals


def test_on_a_cluster_the_placement_tells_the_memory() -> None:
    model = ModelConfig.model_validate({"source": "m", "placement": {"mem_per_node": 30}})
    assert memory_of_placement(model, cluster("alpine").job_defaults).free == 30 * GIB


@pytest.mark.parametrize(("total", "refused"), [(2.0, True), (64.0, False)])
def test_the_plan_refuses_only_what_cannot_work(
    total: float, refused: bool, stub_config: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_checks, "engine_build", lambda _: EngineBuild({}, on_cpu=True))
    monkeypatch.setattr(run_checks, "read_metadata", lambda _: metadata(SMALL))
    monkeypatch.setattr(run_checks, "host_memory", lambda *_: HostMemory(int(total * GIB), GIB, "NUMA node 0"))
    found = run_checks.diagnose(stub_config())
    assert bool(found.refusals) is refused
    assert bool(found.warnings) is not refused
    assert "one sequence of 8,192 tokens" in "".join(found.refusals + found.warnings)
