"""Campaigns on the real engine, and a container for them whose memory is partly in use."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.runs import REPOSITORY, Campaign, wait_for

ENGINE = Path(os.environ.get("CAMPAIGN_TEST_ENGINE", REPOSITORY / ".venv-engine"))
MODEL = Path(os.environ.get("CAMPAIGN_TEST_MODEL", REPOSITORY / "resources/models/smollm2-135m"))
PROMPTS = REPOSITORY / "config/prompts/capitals.jsonl"
IN_FLIGHT = 8
RESOURCES: Path | None = None  # the folder `resources` of all campaigns here; each has its own where this is not set

_CGROUPS = Path("/sys/fs/cgroup")


def share_resources(root: Path) -> None:
    """Give a campaign that is to begin in `root` the caches that the others here have."""
    if RESOURCES is not None:
        (root / "resources").symlink_to(RESOURCES)


def real_campaign(root: Path, **overrides: object) -> Campaign:
    """The demo's capitals (48 prompts) on the real engine, with nothing said about memory."""
    share_resources(root)
    model = {"source": str(MODEL), "max_model_len": 1024, "dtype": "bfloat16", "vllm": {"enforce-eager": True}}
    dataset = {
        "files": [str(PROMPTS)],
        "id": "id",
        "system": "You answer in one short sentence.",
        "prompt": "What is the capital of {{ country }}?",
        "models": ["smol"],
        "sampling": {"temperature": 0, "max_tokens": 24},
        "shard_rows": 10,
    }
    settings = {"concurrency": IN_FLIGHT, "request_timeout": "5m"}
    fixed = {"engine": str(ENGINE), "models": {"smol": model}, "datasets": {"capitals": dataset}, "inference": settings}
    return Campaign(root, **{**fixed, **overrides})


@contextmanager
def container(memory: int, used: float) -> Iterator[list[str]]:
    """Words before a command that run it in a container of `memory` bytes, of which another program holds the share `used`.

    As a container has it: a limit on the group of processes, which stands where cgroups are mounted. Root only; anybody else
    gets no words, and the command runs beside the other program.
    """
    size = int(memory * used)
    hold = [sys.executable, "-c", f"held = bytearray(b'x') * {size}; print(len(held), flush=True); input()"]
    prefix, group = [], None
    if os.geteuid() == 0:
        v2 = (_CGROUPS / "cgroup.controllers").exists()
        mount = _CGROUPS if v2 else _CGROUPS / "memory"
        group = mount / f"campaign-test-{os.getpid()}"
        group.mkdir()
        (group / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(memory))
        inside = f'echo $$ > {group}/cgroup.procs; mount --bind {group} {mount}; exec "$@"'
        prefix = ["unshare", "--mount", "bash", "-c", inside, "container"]
    other = subprocess.Popen([*prefix, *hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert int(other.stdout.readline()) == size
        yield prefix
    finally:
        other.kill()
        other.communicate()
        if group is not None:
            wait_for(lambda: not (group / "cgroup.procs").read_text(), 60, "the container is empty")
            group.rmdir()
