"""A vLLM platform for tests: the CPU backend over Ray, across hosts, which vLLM's own CPU platform refuses.

Found by its entry point when this folder's parent is on PYTHONPATH; nothing a user runs ever loads it.
"""


def register() -> str:
    return "cpu_ray_platform.platform.CpuRayPlatform"
