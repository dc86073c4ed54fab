"""A site's rules at submission, asked of real Slurm beforehand: each refusal in the site's words, and no good job refused."""

import subprocess
from pathlib import Path

import pytest

from support import lab

GPU = {
    "account": "ucb-general",
    "partition": "aa100",
    "qos": "gpu-normal",
    "time": "60",
    "nodes": "1",
    "ntasks": "2",
    "cpus-per-task": "4",
    "mem": "30000",
    "gpus-per-node": "a100-40gb:1",
}
CPU = {"account": "ucb-general", "partition": "acpu", "qos": "cpu-normal", "time": "60", "ntasks": "1", "mem": "3800"}

# By its number on the site's page: what is asked for otherwise than in a good GPU job (None: not at all), and the site's words.
REFUSED = {
    1: ({"qos": "cpu-normal"}, "accepts the following QoS values: gpu-normal, gpu-long, gpu-testing"),
    2: ({"nodes": None}, "must specify `--nodes`"),
    3: ({"nodes": "2"}, "limited to 1 node"),
    4: ({"gpus-per-node": None, "gres": "gpu:a100-40gb:1,gpu:a100_80gb:1"}, "list of `gres` options"),
    5: ({"gpus-per-node": None, "gres": "gpus:a100-40gb:1"}, "gres"),
    6: ({"gpus-per-node": None, "gres": "shard:1"}, "gres"),
    7: ({"gpus-per-node": "a100_40gb:1"}, "Valid GRES types for this partition and QoS selection are: a100-40gb, a100_80gb"),
    8: ({"gpus-per-node": "a100-40gb:7"}, "can only request 6 a100-40gb GPU(s)"),
    9: ({"ntasks": None, "mem": None, "cpus-per-task": None}, "must specify `--ntasks` or `--mem`"),
    10: ({"ntasks": "22", "cpus-per-task": "1"}, "22 tasks, which exceeds the maximum allowed of 21"),
    11: ({"ntasks": "4", "cpus-per-task": "8"}, "32 cores, which exceeds the maximum allowed of 21"),
    12: ({"mem": "100000"}, "memory, which exceeds the maximum allowed of 80640 MB"),
    13: ({"partition": None}, "No partition specified"),
    14: ({"partition": "aa100,acpu"}, "both GPU and CPU partitions"),
    15: ({"qos": None}, "Quality of Service (QoS) has not been provided"),
    16: ({"qos": "gpu-normal,gpu-long"}, "QoS"),
    17: ({"time": None}, "`--time`"),
    18: ({"time": "2000"}, "cannot exceed 1440 minutes"),
    19: ({"qos": "gpu-long", "time": "100"}, "must be greater than 1440 minutes"),
    20: ({"gpus-per-node": None}, "must specify `--gres`"),
    21: ({"partition": "aa100,al40", "gpus-per-node": "a100-40gb:1"}, "must be set to `gpu:N`"),
}

GOOD = [
    *({**GPU, "gpus-per-node": f"a100-40gb:{count}", "mem": str(78000 * count)} for count in (1, 2, 3)),
    *({**GPU, "time": minutes} for minutes in ("1", "240", "1440", "1-00:00:00")),
    *({**GPU, "ntasks": str(tasks), "cpus-per-task": str(cores)} for tasks, cores in ((2, 10), (7, 3), (1, 21), (21, 1))),
    {**GPU, "gpus-per-node": None, "gres": "gpu:a100-40gb:2"},
    {**GPU, "gpus-per-node": None, "gres": "gpu:1"},
    {**GPU, "mem": None},
    {**GPU, "mem": None, "mem-per-cpu": "3840"},
    {**GPU, "ntasks": None, "cpus-per-task": None},
    CPU,
    {**CPU, "time": "1440"},
    {**CPU, "nodes": "1", "cpus-per-task": "32"},
    {**CPU, "mem": "200000"},
]


def ask(job: dict[str, str | None]) -> tuple[int, str]:
    """Exit status and words of `sbatch --test-only`, which runs the site's script and queues nothing."""
    options = [f"--{name}={value}" for name, value in job.items() if value is not None]
    command = ["sbatch", "--test-only", "--job-name=only-asked", *options, "--wrap=true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def with_rules(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shared / "site-rules").touch()
    monkeypatch.chdir(shared)


def test_every_rule_refuses_in_the_sites_words(with_rules: None) -> None:
    assert list(REFUSED) == list(range(1, 22))
    answers = {number: ask({**GPU, **changed}) for number, (changed, _) in REFUSED.items()}
    assert {n: answer for n, answer in answers.items() if answer[0] != 1 or REFUSED[n][1] not in answer[1]} == {}


def test_good_jobs_would_start(with_rules: None) -> None:
    answers = [ask(job) for job in GOOD]
    assert len(answers) == 20
    assert [answer for answer in answers if answer[0] != 0 or "to start at" not in answer[1]] == []
    assert lab.squeue("--name=only-asked") == []
