"""The process that keeps an allocation's server up. Started by bring_up, as the leader of a session of its own:

python -m campaign.allocation.supervise results/<campaign>/config.json --model M --allocation K --run RUN
    [--lock-token TOKEN | --starter HOST:PID:START]
"""

import argparse
import logging
import os
from functools import partial
from pathlib import Path

from campaign.config import CampaignConfig, load_resolved
from campaign.core.errors import MemoryShort
from campaign.core.garbage import leave_imports_out
from campaign.core.processes import ProcessId
from campaign.explain.own_signatures import site_signatures
from campaign.plan.memory import cpu_kv_cache
from campaign.plan.memory.model_metadata import staged_metadata
from campaign.server.engine.command_line import EngineMemory
from campaign.server.host.host_memory import host_memory
from campaign.server.supervisor import Supervisor

log = logging.getLogger("supervisor")


def engine_memory(config: CampaignConfig, name: str, folder: Path, on_cpu: bool) -> EngineMemory:
    """How an engine that starts here now divides its memory; a CPU's KV cache from what is free. Raises MemoryShort."""
    model = config.models[name]
    if not on_cpu or not cpu_kv_cache.is_derived(model):
        return EngineMemory(cpu_kv_cache.memory_flags(model, on_cpu=on_cpu, cache=None))
    memory = host_memory(cpu_kv_cache.workers_on_a_node(model), {**os.environ, **model.env})
    cache = cpu_kv_cache.derive(config, model, staged_metadata(folder, model), memory)
    if not cache.fits:
        raise MemoryShort(f"models.{name}: {cache.told}; {cache.remedy}")
    log.info("%s", cache.told)
    return EngineMemory(cpu_kv_cache.memory_flags(model, on_cpu=True, cache=cache.bytes), cache.tokens)


def main() -> None:
    """Entry point of the process bring_up starts."""
    leave_imports_out()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--allocation", type=int, required=True)
    parser.add_argument("--run", required=True)
    # `--session`: what a phase says that began before an update renamed it.
    parser.add_argument("--lock-token", "--session", dest="lock_token")
    parser.add_argument("--starter", type=ProcessId.from_text)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = load_resolved(arguments.config)
    site_signatures()  # kept: the tables of another version, which an update brings, may not be readable here
    memory = partial(engine_memory, config, arguments.model)
    supervisor = Supervisor(
        config, arguments.model, arguments.allocation, arguments.run, arguments.lock_token, arguments.starter, memory
    )
    supervisor.run()


if __name__ == "__main__":
    main()
