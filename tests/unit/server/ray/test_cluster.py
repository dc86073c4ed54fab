"""Ray's command lines and environment, as text."""

from pathlib import Path
from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.core import ports
from campaign.core.own_code import OwnCode
from campaign.core.paths import CampaignPaths
from campaign.server.host.network import NodeAddress
from campaign.server.ray import cluster
from campaign.server.ray import commands as ray
from campaign.slurm import resources
from campaign.slurm.client import Job

PLACE = NodeAddress("10.77.0.11", "eth0")


def spec(**changes: Any) -> ray.NodeSpec:
    fields: dict[str, Any] = {
        "python": ["/engine/bin/python"],
        "head": "n1",
        "names": {"n1": ["n1"], "n2": ["n2"]},
        "num_cpus": 16,
        "num_gpus": 2,
        "object_store_memory": 1 << 30,
        "first_port": 12000,
        "interface": None,
        "temp_root": "/tmp",
        "token_file": "/campaign/token",
        "env": {},
        "reports": "/campaign/ray",
        "gpu_use": "/campaign/gpus",
        "deadline_s": 300.0,
    }
    return ray.NodeSpec(**{**fields, **changes})


def test_the_head() -> None:
    assert " ".join(ray.start_command(spec(), PLACE, 12000, "/tmp/rx", None)) == (
        "/engine/bin/python -m ray.scripts.scripts start --block --disable-usage-stats --head --dashboard-host=127.0.0.1 "
        "--temp-dir=/tmp/rx --node-ip-address=10.77.0.11 --num-cpus=16 --num-gpus=2 --object-store-memory=1073741824 "
        "--port=12000 --ray-client-server-port=12001 --node-manager-port=12002 --object-manager-port=12003 "
        "--dashboard-port=12004 --dashboard-agent-listen-port=12005 --dashboard-agent-grpc-port=12006 "
        "--runtime-env-agent-port=12007 --metrics-export-port=12008 --min-worker-port=12010 --max-worker-port=12099"
    )


def test_a_worker_has_no_ports_of_the_head() -> None:
    words = ray.start_command(spec(), PLACE, 12000, "/tmp/rx", "10.77.0.10:12000")
    assert "--address=10.77.0.10:12000" in words
    assert not [word for word in words if word.startswith(("--port", "--ray-client", "--dashboard-port", "--head"))]


def test_a_nodes_environment_is_its_own() -> None:
    env = ray.node_environment({"PATH": "/bin", "RAY_ADDRESS": "another:6379"}, PLACE, spec(env={"VLLM_X": "1"}))
    assert env["VLLM_HOST_IP"] == "10.77.0.11"
    assert {env[f"{library}_SOCKET_IFNAME"] for library in ("NCCL", "GLOO", "TP")} == {"eth0"}
    assert (env["RAY_AUTH_MODE"], env["RAY_AUTH_TOKEN_PATH"]) == ("token", "/campaign/token")
    assert env["VLLM_X"] == "1"
    assert "RAY_ADDRESS" not in env


def test_amd_devices_are_named_as_ray_wants_them() -> None:
    assert ray.amd({"ROCR_VISIBLE_DEVICES": "0,1"}) == {"HIP_VISIBLE_DEVICES": "0,1"}
    assert ray.amd({"CUDA_VISIBLE_DEVICES": "0"}) == {"CUDA_VISIBLE_DEVICES": "0"}


def test_ports_stay_below_the_ephemeral_ones() -> None:
    starts = [ports.first_port(str(job)) for job in range(1, 5000)]
    assert min(starts) >= 10_000
    assert max(ports.port_blocks(start)[-1] for start in starts) + ports.BLOCK <= 32_768
    assert {len(ports.port_blocks(start)) for start in starts} == {50}
    assert ports.first_port("100") != ports.first_port("101")


@pytest.mark.parametrize(("first", "last"), [(12_000, 16_900), (32_600, 32_600), (40_000, 44_900), (65_436, 65_436)])
def test_the_blocks_of_a_port_that_was_given(first: int, last: int) -> None:
    """None crosses into the ephemeral ports (32768 on) or past the last port, 65535."""
    assert (ports.port_blocks(first)[0], ports.port_blocks(first)[-1]) == (first, last)
    assert ports.meets_ephemeral_ports(first) == (first == 40_000)
    assert last + ports.BLOCK - 1 <= 65_535


@pytest.mark.parametrize(
    ("placement", "flags"),
    [
        ({"gpus_per_node": 2}, ["--gpus-per-node=2"]),
        ({"gpus_per_node": 2, "gpu": "a100-40gb"}, ["--gpus-per-node=a100-40gb:2"]),
        ({}, []),
    ],
)
def test_a_step_asks_for_the_gpus_of_its_job(
    placement: dict[str, Any], flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `gpu: null` the job asked for two GPUs of any type and its steps for none."""
    started: list[list[str]] = []
    monkeypatch.setattr(cluster.slurm, "node_addresses", lambda nodes: {})
    monkeypatch.setattr(cluster.subprocess, "Popen", lambda command, **_: started.append(command))
    monkeypatch.setattr(cluster.RayCluster, "_wait_until_joined", lambda *_: True)
    model = ModelConfig.model_validate({"source": "m", "placement": {"nodes": 2, **placement}})
    job = Job("412", "run", ("n1", "n2"), 0.0, None, 0)
    paths = CampaignPaths("c", tmp_path).allocation("m", 0)
    ray_cluster = cluster.RayCluster(job, model, ["python"], paths, OwnCode(paths.code))
    assert ray_cluster.start("run-1", lambda: True)
    asked = [[word for word in command if word.startswith("--gpus")] for command in started]
    assert asked == [flags, flags]
    assert [word for word in resources.slurm_extra(model).split() if word.startswith("--gpus")] == flags


def test_a_step() -> None:
    assert " ".join(ray.step_command("412", "n2", 16, "a100-40gb:2", "/logs/n2.log", ["python", "-m", "x"])) == (
        "srun --jobid=412 --overlap --nodes=1 --ntasks=1 --nodelist=n2 --cpus-per-task=16 --cpu-bind=none --kill-on-bad-exit=1 "
        "--input=none --output=/logs/n2.log --gpus-per-node=a100-40gb:2 python -m x"
    )
    assert "--gpus-per-node" not in " ".join(ray.step_command("412", "n2", 16, None, "/l", ["x"]))
