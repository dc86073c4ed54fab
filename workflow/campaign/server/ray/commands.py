"""Ray's command lines and environment on the nodes of an allocation: pure functions, tested as text."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from campaign.core.ports import BLOCK
from campaign.server.host.network import NodeAddress

# Ports of one node, as offsets from the start of its block; the rest of the block is for workers.
PORTS = {
    "port": 0,  # of the head: GCS
    "ray-client-server-port": 1,
    "node-manager-port": 2,
    "object-manager-port": 3,
    "dashboard-port": 4,
    "dashboard-agent-listen-port": 5,
    "dashboard-agent-grpc-port": 6,
    "runtime-env-agent-port": 7,
    "metrics-export-port": 8,
}
_OF_THE_HEAD = ("port", "ray-client-server-port", "dashboard-port")
_FIRST_WORKER = 10

# Short: a socket's path has at most 107 bytes, Ray adds some 60 (ray issue 7724), and a cluster's TMPDIR can be long.
TEMP_ROOT = "/tmp"

_PIPELINE_TIMEOUT_S = 1800  # vLLM issues 29373, 19703: the default of 300 s ends long first requests


@dataclass(frozen=True)
class NodeSpec:
    """The settings every node of an allocation's Ray cluster is told."""

    python: list[str]  # the engine's python
    head: str  # host name of the head
    names: dict[str, list[str]]  # host name -> names and addresses by which the others may know it
    num_cpus: int
    num_gpus: int
    object_store_memory: int
    first_port: int
    interface: str | None
    temp_root: str  # see TEMP_ROOT
    token_file: str
    env: dict[str, str]  # the model's
    reports: str  # folder for what each node says of itself
    gpu_use: str  # folder for how busy its GPUs are
    deadline_s: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def node_environment(base: Mapping[str, str], own: NodeAddress, spec: NodeSpec) -> dict[str, str]:
    """Environment of everything that computes on a node: Ray's processes, and through them vLLM's workers.

    VLLM_HOST_IP and the interface names differ from node to node, so they are set here and never by the driver.
    """
    env = {
        **amd(base),
        "VLLM_HOST_IP": own.address,
        "NCCL_SOCKET_IFNAME": own.interface,
        "GLOO_SOCKET_IFNAME": own.interface,
        "TP_SOCKET_IFNAME": own.interface,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": spec.token_file,
        "RAY_CGRAPH_get_timeout": str(_PIPELINE_TIMEOUT_S),
        "RAY_memory_monitor_refresh_ms": "0",  # it takes the node's memory for the job's; Slurm watches the job's (ray 59796)
        "RAY_EXPERIMENTAL_NOSET_HIP_VISIBLE_DEVICES": "1",  # vLLM PR 21522
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # it looks for `uv run` among root's processes, which hidepid=1 does not let one
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        **spec.env,
    }
    env.pop("RAY_ADDRESS", None)  # of whatever cluster the user's shell knows
    return env


def amd(base: Mapping[str, str]) -> dict[str, str]:
    """Slurm names AMD devices in ROCR_VISIBLE_DEVICES, which Ray >= 2.45 refuses: the same goes into HIP_VISIBLE_DEVICES."""
    env = dict(base)
    if rocr := env.pop("ROCR_VISIBLE_DEVICES", None):
        env["HIP_VISIBLE_DEVICES"] = rocr
    return env


def start_command(spec: NodeSpec, own: NodeAddress, block: int, temp: str, head: str | None) -> list[str]:
    """Make the line of `ray start` of a node. `head` is "address:port" of the head's GCS; None on the head itself."""
    ports = {name: block + offset for name, offset in PORTS.items() if head is None or name not in _OF_THE_HEAD}
    words = [*spec.python, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    if head is None:
        words += ["--head", "--dashboard-host=127.0.0.1"]
    else:
        words += [f"--address={head}"]
    words += [f"--temp-dir={temp}"]
    words += [f"--node-ip-address={own.address}", f"--num-cpus={spec.num_cpus}", f"--num-gpus={spec.num_gpus}"]
    words += [f"--object-store-memory={spec.object_store_memory}"]
    words += [f"--{name}={port}" for name, port in ports.items()]
    words += [f"--min-worker-port={block + _FIRST_WORKER}", f"--max-worker-port={block + BLOCK - 1}"]
    return words


def step_command(job_id: str, node: str, cpus: int, gpus: str | None, log: str, command: list[str]) -> list[str]:
    """The srun that runs `command` once on one node of the job, beside whatever else runs there."""
    words = ["srun", f"--jobid={job_id}", "--overlap", "--nodes=1", "--ntasks=1", f"--nodelist={node}"]
    words += [f"--cpus-per-task={cpus}", "--cpu-bind=none", "--kill-on-bad-exit=1", "--input=none", f"--output={log}"]
    words += [f"--gpus-per-node={gpus}"] if gpus else []
    return [*words, *command]


# Run by the engine's python, which has Ray. Prints what the cluster holds; the token is in the environment.
NODES_SCRIPT = """
import json, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
alive = [node for node in ray.nodes() if node["Alive"]]
print(json.dumps([{"address": node["NodeManagerAddress"], "gpus": node["Resources"].get("GPU", 0)} for node in alive]))
"""
