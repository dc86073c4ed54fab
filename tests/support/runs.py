"""Campaigns run as a user runs them: Snakemake in a process of its own, on the stub engine or the real one.

`Campaign` owns a folder with config and prompts. The stub engine logs every request it receives, so that what was sent is
counted at the server and not believed from the client.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml

from campaign.server.host.reaper import die_with_parent

REPOSITORY = Path(__file__).parents[2]
NAME = "trial"

# Parts of the command lines by which a campaign's processes are told apart.
ROLES = {
    "snakemake": "bin/snakemake",
    "infer": "campaign phase infer",
    "supervisor": "campaign.allocation.supervise",
    "engine": "vllm.entrypoints",
}


def _end_with_the_tests() -> None:
    die_with_parent(signal.SIGKILL)


class Campaign:
    """A campaign in the folder `root`, with `rows` prompts `Say <p0> w0` ... in one JSONL dataset `words`."""

    profile = "local"
    checkout = REPOSITORY

    def __init__(
        self, root: Path, rows: int = 40, shard_rows: int = 7, env: dict[str, Any] | None = None, **overrides: Any
    ) -> None:
        self.root = root
        self.prompts = root / "prompts.jsonl"
        self.log = root / "received.log"
        self.write_prompts([{"id": f"p{number}", "word": f"w{number}"} for number in range(rows)])
        model = root / "model"
        model.mkdir(exist_ok=True)
        (model / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
        (model / "model.safetensors").write_bytes(b"weights")
        self.raw: dict[str, Any] = {
            "campaign": NAME,
            "engine": str(REPOSITORY / "tests" / "stub_engine"),
            "models": {"stub": {"source": "model", "env": {"STUB_LOG": self.log.name, **(env or {})}}},
            "datasets": {"words": self.dataset("prompts.jsonl", shard_rows)},
            "inference": {"concurrency": 4, "request_timeout": "20s", "drain": "20s"},
            "benchmark": {"enabled": False},
            **overrides,
        }
        self.write_config()

    @classmethod
    def copied(cls, source: Path, root: Path) -> "Campaign":
        """The campaign of the folder `source`, with all its results, in another folder; Snakemake looks at times, so they stay."""
        shutil.copytree(source, root, dirs_exist_ok=True, symlinks=True)
        twin = cls.__new__(cls)
        twin.root, twin.prompts, twin.log = root, root / "prompts.jsonl", root / "received.log"
        twin.raw = yaml.safe_load((root / "campaign.yaml").read_text())
        return twin

    @staticmethod
    def dataset(file: str, shard_rows: int = 7) -> dict[str, Any]:
        return {
            "files": [file],
            "id": "id",
            "prompt": "Say <{{ id }}> {{ word }}",
            "models": ["stub"],
            "sampling": {"temperature": 0, "max_tokens": 8},
            "shard_rows": shard_rows,
        }

    def write_prompts(self, rows: list[dict[str, Any]]) -> None:
        self.prompts.write_text("".join(f'{{"id": "{row["id"]}", "word": "{row["word"]}"}}\n' for row in rows))

    def write_config(self) -> None:
        (self.root / "campaign.yaml").write_text(yaml.safe_dump(self.raw))

    def command(self, *arguments: str) -> list[str]:
        return [
            str(Path(sys.executable).parent / "snakemake"),
            *("--snakefile", str(self.checkout / "workflow" / "Snakefile")),
            *("--profile", str(self.checkout / "profiles" / self.profile)),
            *arguments,
            *("--configfile", "campaign.yaml"),
        ]

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Snakemake in a process group of its own; whatever of it is left is killed at the end."""
        with (self.root / "snakemake.log").open("a") as log:
            process = subprocess.Popen(
                self.command(*arguments),
                cwd=self.root,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=_end_with_the_tests,
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def run(self, *arguments: str, timeout: float = 120, inside: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """One whole run; stdout and stderr together in `stdout`. `inside`: words before the command."""
        return subprocess.run(
            [*inside, *self.command(*arguments)],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
            preexec_fn=_end_with_the_tests,
        )

    @property
    def results(self) -> Path:
        return self.root / "results" / str(self.raw["campaign"])

    def responses(self) -> pd.DataFrame:
        return pd.read_parquet(self.results / "responses")

    def received(self) -> Counter[str]:
        """How often the server received each prompt, by its marker."""
        return Counter(self.log.read_text().split()) if self.log.exists() else Counter()

    def processes(self) -> list[psutil.Process]:
        """Live processes that this campaign's Snakemake started."""
        wanted = str(self.results.resolve())
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("CAMPAIGN_ROOT") == wanted:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def find(self, role: str) -> list[int]:
        """Pids of the campaign's processes of a role of `ROLES`."""
        found = []
        for process in self.processes():
            try:
                if ROLES[role] in " ".join(process.cmdline()):
                    found.append(process.pid)
            except psutil.NoSuchProcess:
                continue
        return found


def wait_for(condition: Callable[[], Any], timeout: float, what: str) -> None:
    """Poll until `condition()` is true; fail naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.05)
