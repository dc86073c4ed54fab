from typing import Any

from vllm.platforms.cpu import CpuPlatform


class CpuRayPlatform(CpuPlatform):
    # The nodes are started with `--num-gpus` though they have none, so Ray schedules workers as it does on GPUs.
    ray_device_key = "GPU"

    @classmethod
    def get_device_communicator_cls(cls) -> str:
        return "cpu_ray_platform.communicator.CrossHostCpuCommunicator"

    @classmethod
    def check_and_update_config(cls, vllm_config: Any) -> None:
        if vllm_config.parallel_config.worker_cls == "auto":
            vllm_config.parallel_config.worker_cls = "cpu_ray_platform.worker.WarmCpuWorker"
        super().check_and_update_config(vllm_config)
