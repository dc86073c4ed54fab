"""What vLLM itself makes of models, without a GPU and without weights. Run by the engine's python; it made
tests/data/measured/vllm-0.32-sizes.jsonl.

    .venv-engine/bin/python tests/support/vllm_sizes.py CASES.json > ROWS.jsonl

A case: a `config`, `tensor` GPUs, `stages`, `max_model_len` and `room` for the KV cache on each GPU, in bytes. Its row besides:
`weights`, the bytes of parameters on the first GPU of each stage; `kv_tokens` and `block`, the tokens of the cache and of a page.
The model is made on PyTorch's meta device, in a process group that sends nothing. Private names of vLLM 0.32 throughout.
"""

import importlib.util
import json
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parents[2] / "workflow/campaign/server/check/vllm_program.py"
LONGEST_S = 120


def main() -> None:
    said = os.dup(1)
    os.dup2(2, 1)  # whatever vLLM prints is no row
    sys.path.remove(str(Path(__file__).parent))  # vLLM means another `requests` than the one beside this file
    os.environ.update(VLLM_LOGGING_LEVEL="ERROR", HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    pretend_a_gpu()
    for case in json.loads(Path(sys.argv[1]).read_text()):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps(case["config"]))
            os.write(said, (json.dumps(row(case, folder)) + "\n").encode())


def pretend_a_gpu() -> None:
    """An H100 for all that decides sizes: kernels of every quantization, pages of 16 tokens."""
    sys.path.append(str(PROGRAM.parents[3]))  # the engine's environment has nothing of the package that the program is of
    spec = importlib.util.spec_from_file_location("vllm_program", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    program.FORCED[:] = [9, 0]
    program.pretend_a_gpu()
    import vllm.model_executor.kernels.linear as kernels
    import vllm.platforms as platforms
    from vllm.v1.attention.backend import MultipleOf
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    kernels.is_supported_and_can_implement_kernel = lambda *_: (True, "")
    CPUAttentionBackend.get_supported_kernel_block_sizes = staticmethod(lambda kv_cache_spec=None: [MultipleOf(16)])
    base = "vllm.distributed.device_communicators.base_device_communicator.DeviceCommunicatorBase"
    type(platforms._current_platform).get_device_communicator_cls = classmethod(lambda _: base)


def row(case: dict[str, Any], folder: str) -> dict[str, Any]:
    parts = [apart(lambda number=number: stage(case, number, folder)) for number in range(case["stages"])]
    if wrong := [part for part in parts if isinstance(part, str)]:
        return {**case, "failed": wrong[0]}
    cache = apart(lambda: cache_of(parts[-1][2], [part[1] for part in parts], case["room"]))
    return {**case, "weights": [part[0] for part in parts], **(cache if isinstance(cache, dict) else {"failed": cache})}


def apart(work: Callable[[], Any]) -> Any:
    """What `work()` returns, from a process of its own; a sentence where it raises."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(LONGEST_S)
        try:
            answer = pickle.dumps(work())
        except BaseException as error:
            traceback.print_exc()
            answer = pickle.dumps(f"{type(error).__name__}: {error}"[:600])
        with os.fdopen(writing, "wb") as stream:
            stream.write(answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        data = stream.read()
    os.waitpid(pid, 0)
    return pickle.loads(data) if data else "it died"


def stage(case: dict[str, Any], number: int, folder: str) -> tuple[int, dict[str, Any], Any]:
    """Bytes of parameters on the first GPU of a stage, what its layers cache, and the whole configuration."""
    import torch
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.model_loader.utils import initialize_model

    config = EngineArgs(
        model=folder, tensor_parallel_size=case["tensor"], pipeline_parallel_size=case["stages"],
        max_model_len=case["max_model_len"], distributed_executor_backend="mp", skip_tokenizer_init=True,
        load_format="dummy", **case.get("engine", {}),
    ).create_engine_config()  # fmt: skip
    with set_current_vllm_config(config):
        join_group(case["tensor"], case["stages"], number * case["tensor"])
        torch.set_default_dtype(config.model_config.dtype)
        with torch.device("meta"):
            model = initialize_model(vllm_config=config)
        specs = specs_of(config)
    sizes = {id(one): one.numel() * one.element_size() for one in model.parameters()}
    config.compilation_config.static_forward_context, config.quant_config = {}, None
    return sum(sizes.values()), specs, config


def join_group(tensor: int, stages: int, rank: int) -> None:
    import torch.distributed as distributed
    from torch.testing._internal.distributed.fake_pg import FakeStore
    from vllm.distributed import parallel_state

    distributed.init_process_group("fake", rank=rank, world_size=tensor * stages, store=FakeStore())
    group, made = distributed.new_group, parallel_state.init_model_parallel_group
    distributed.new_group = lambda ranks=None, *_, **__: group(ranks, backend="fake")
    quiet = {"use_message_queue_broadcaster": False}
    parallel_state.init_model_parallel_group = lambda *values, **named: made(*values, **{**named, **quiet})
    parallel_state.init_distributed_environment(tensor * stages, rank, "env://", 0, "fake")
    parallel_state.initialize_model_parallel(tensor, stages, backend="fake")


def specs_of(config: Any) -> dict[str, Any]:
    """What each layer caches, as GPUModelRunner.get_kv_cache_spec collects it."""
    import vllm.platforms as platforms
    from vllm.platforms.interface import Platform

    Platform.update_block_size_for_backend.__func__(type(platforms._current_platform), config)
    specs = {}
    for name, layer in config.compilation_config.static_forward_context.items():
        if getattr(layer, "kv_sharing_target_layer_name", None) is None and hasattr(layer, "get_kv_cache_spec"):
            specs[name] = layer.get_kv_cache_spec(config)
    return {name: spec for name, spec in specs.items() if spec is not None}


def cache_of(config: Any, specs: list[dict[str, Any]], room: int) -> dict[str, int]:
    from vllm.v1.attention.backends.utils import resolve_kv_cache_layout
    from vllm.v1.core.kv_cache_utils import get_kv_cache_capacity, get_kv_cache_configs

    resolve_kv_cache_layout(config, [["LBNHC", "LBHNC"]])
    found = get_kv_cache_configs(config, specs, [room] * len(specs))
    return {"kv_tokens": min(get_kv_cache_capacity(config, one)[0] for one in found), "block": config.cache_config.block_size}


if __name__ == "__main__":
    main()
