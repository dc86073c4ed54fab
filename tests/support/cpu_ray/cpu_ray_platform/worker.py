from typing import Any

from vllm.v1.worker.cpu_worker import CPUWorker


class WarmCpuWorker(CPUWorker):
    def determine_available_memory(self) -> Any:
        # Allocates the pipeline's receive buffers, which eager mode skips: without it the first request kills the engine.
        self.model_runner.profile_run()
        return super().determine_available_memory()
