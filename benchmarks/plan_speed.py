"""Seconds of a plan for 64 allocations and 10,000,000 prompts, before anything ran and when half is answered.

    python benchmarks/plan_speed.py [--rows 10000000] [--folder DIR] [--engine .venv-engine]

Writes prompt files of three kinds, 4/10 of the rows in a .jsonl whose rows get longer and longer, 3/10 each in a .csv and a
.parquet, for one model with 64 allocations. Times `campaign plan --site alpine` from the site table, without a Slurm at hand,
`snakemake plan` and `snakemake -n` with the local profile. Then it makes what half a campaign leaves, and times the same again.

Rendering 10,000,000 requests takes minutes, so that half is made cheaply: manifests that say what rendering would have
written, all shards of a dataset with one digest, and a part of 1,000 rows under as many names as shards are done. A plan reads
manifests, footers and journals, and those are as many as they would be; it reads no request and no answer of a part.

With `--engine`, an environment with vLLM, it also times a plan that asks vLLM about the model, and the next one, for which the
answer is kept.

Prints seconds, those of CPU beside them, and how far the estimated rows of each file are from the real ones. Exits with 1 when
one of the three takes 10 s or more, the plan that asks 20 s, the next one 2 s, or an estimate is off by more than 5 %.
"""

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from restart_after_million import STUB_MODEL_ENGINE, answer, requests_of

from campaign.config import CampaignConfig, validate
from campaign.core.files import write_json
from campaign.models.stage import stage_model
from campaign.plan.forecast.workload import dataset_size
from campaign.queue.enqueue import enqueue
from campaign.queue.parts.part import PartWriter
from campaign.queue.shard import Shard
from campaign.queue.stages.chain import shards_of
from campaign.requests.shards import write_shard

REPOSITORY = Path(__file__).parents[1]
MODEL, SHARD_ROWS, JOURNALLED_SHARDS, ALLOCATIONS = "model", 1000, 64, 64
SHARES = {"lines": 4, "table": 3, "columns": 3}  # tenths of the rows, by dataset
FILES = {"lines": "prompts.jsonl", "table": "prompts.csv", "columns": "prompts.parquet"}
LIMIT_S, LIMIT_ERROR = 10.0, 0.05
LIMIT_ASKING_S, LIMIT_KEPT_S = 20.0, 2.0
PARAMETERS = 8_030_261_248
BLOCK = 10_000
RAW: dict[str, Any] = {
    "campaign": "ten-million",
    "account": "ucb-general",
    "engine": STUB_MODEL_ENGINE,
    "models": {
        MODEL: {
            "source": "weights",
            "placement": {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 1, "allocations": ALLOCATIONS},
        }
    },
    "datasets": {
        name: {
            "files": [file],
            "prompt": "{{ text }}",
            "models": [MODEL],
            "sampling": {"max_tokens": 64},
            "shard_rows": SHARD_ROWS,
        }
        for name, file in FILES.items()
    },
}


def config() -> CampaignConfig:
    """The campaign of the working directory."""
    return validate(RAW)


def write_inputs(rows: int) -> None:
    """Config, weights and prompt files."""
    Path("campaign.yaml").write_bytes(orjson.dumps(RAW))  # JSON is YAML
    weights = Path("weights")
    weights.mkdir()
    architecture = REPOSITORY / "tests" / "data" / "architectures" / "llama-3.1-8b.json"
    (weights / "config.json").write_bytes(architecture.read_bytes())
    (weights / "tokenizer.json").write_text("{}")
    header = orjson.dumps({"w": {"dtype": "BF16", "shape": [PARAMETERS], "data_offsets": [0, 2 * PARAMETERS]}})
    with (weights / "model.safetensors").open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + 2 * PARAMETERS)  # a file with a hole: as large as the real one, on no disk
    parts = {name: rows * share // 10 for name, share in SHARES.items()}
    with Path(FILES["lines"]).open("wb") as stream:
        for first in range(0, parts["lines"], BLOCK):
            # From about 60 characters at the start to about 300 at the end.
            words = b"so " * (80 * first // parts["lines"])
            numbers = range(first, min(first + BLOCK, parts["lines"]))
            stream.writelines(b'{"text": "Question %d: why is it %slong?"}\n' % (number, words) for number in numbers)
    with Path(FILES["table"]).open("wb") as stream:
        stream.write(b"number,text\n")
        stream.writelines(b'%d,"Question %d: what, and why?"\n' % (number, number) for number in range(parts["table"]))
    text = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(FILES["columns"], text) as writer:
        for first in range(0, parts["columns"], BLOCK * 100):
            numbers = range(first, min(first + BLOCK * 100, parts["columns"]))
            writer.write_table(pa.table({"text": [f"Question {number}: what is it?" for number in numbers]}, text))


def write_half(rows: int) -> None:
    """What is there when half of the shards are parts, and some more are answered in journals only."""
    paths = config().paths
    identity = stage_model(config(), MODEL)["identity"]
    for dataset, share in SHARES.items():
        count = rows * share // 10
        digest = write_shard(paths.request_shards(dataset), 0, list(requests_of(0)))
        listed = [{"index": index, "rows": SHARD_ROWS, "digest": digest} for index in range(count // SHARD_ROWS)]
        columns = [{"name": "gold", "source": "gold", "type": "int"}]
        manifest = {"dataset": dataset, "rows": count, "limit": None, "shards": listed, "columns": columns}
        write_json(paths.manifest(dataset), {**manifest, "files": [{"path": FILES[dataset], "rows": count}]})
    enqueue(config(), MODEL)  # while nothing is answered
    writer = PartWriter(config(), identity)
    for _, group in itertools.groupby(shards_of(config(), MODEL), key=lambda shard: shard.dataset):
        _answer_half(writer, list(group))


def _answer_half(writer: PartWriter, shards: list[Shard]) -> None:
    first, *others = shards[: len(shards) // 2]
    answers = {key: answer(key) for key in first.keys(writer.identity)}
    writer.publish(first, answers)
    for shard in others:
        os.link(first.part, shard.part)
    lines = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in list(answers.values())[: SHARD_ROWS // 2])
    for shard in shards[len(shards) // 2 :][: JOURNALLED_SHARDS // len(SHARES)]:
        shard.journals.mkdir(parents=True)
        (shard.journals / "answers-1.jsonl").write_bytes(lines)


def commands() -> Iterator[tuple[str, list[str]]]:
    """What is timed, with its name."""
    programs = Path(sys.executable).parent
    snakemake = [str(programs / "snakemake"), "--snakefile", str(REPOSITORY / "workflow" / "Snakefile")]
    snakemake += ["--configfile", "campaign.yaml", "--profile", str(REPOSITORY / "profiles" / "local")]
    yield "campaign plan", [str(programs / "campaign"), "plan", "campaign.yaml", "--site", "alpine"]
    yield "snakemake plan", [*snakemake, "plan"]
    yield "snakemake -n", [*snakemake, "-n"]


def cpu_seconds() -> float:
    """CPU seconds of all children that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(state: str) -> float:
    """Time all commands, print; returns the longest seconds."""
    longest = 0.0
    for name, command in commands():
        started, worked = time.perf_counter(), cpu_seconds()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        seconds, worked = time.perf_counter() - started, cpu_seconds() - worked
        # Away from the cluster a plan for it may be refused: made and shown it is all the same.
        if done.returncode and name != "campaign plan":
            raise SystemExit(done.stdout)
        Path(f"{state} {name}.log").write_text(done.stdout)
        print(f"{state:14} {name:14} {seconds:5.1f} s, {worked:5.1f} s of CPU", flush=True)
        longest = max(longest, seconds)
    return longest


def measure_asking(engine: Path) -> bool:
    """Time a plan that asks vLLM, and the next one; returns whether both are quick enough."""
    short = {**RAW["datasets"]["table"], "limit": BLOCK}
    Path("asking.yaml").write_bytes(orjson.dumps({**RAW, "engine": str(engine), "datasets": {"table": short}}))
    command = [str(Path(sys.executable).parent / "campaign"), "plan", "asking.yaml", "--site", "alpine"]
    quick = True
    for what, limit in (("vLLM asked", LIMIT_ASKING_S), ("answer kept", LIMIT_KEPT_S)):
        started, worked = time.perf_counter(), cpu_seconds()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        seconds, worked = time.perf_counter() - started, cpu_seconds() - worked
        if "vLLM itself takes" not in done.stdout:
            raise SystemExit(done.stdout)
        print(f"{'campaign plan':14} {what:14} {seconds:5.1f} s, {worked:5.1f} s of CPU (< {limit:.0f})", flush=True)
        quick = quick and seconds < limit
    return quick


def largest_error(rows: int) -> float:
    """How far the rows a plan tells are from the real ones, at most."""
    worst = 0.0
    for name, share in SHARES.items():
        size, real = dataset_size(config(), name), rows * share // 10
        error = size.rows / real - 1
        print(f"{FILES[name]:16} {'counted' if size.exact else 'about'} {size.rows:,} rows of {real:,}: {error:+.2%}")
        worst = max(worst, abs(error))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="a multiple of 20,000")
    parser.add_argument("--folder", type=Path, help="where to make the campaign (about 1.5 GB); default: a temporary folder")
    parser.add_argument("--engine", type=Path, help="an environment with vLLM, to be asked too")
    arguments = parser.parse_args()
    engine = arguments.engine and arguments.engine.absolute()
    if arguments.folder:
        Path(arguments.folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        os.chdir(folder)
        write_inputs(arguments.rows)
        error = largest_error(arguments.rows)
        quick = engine is None or measure_asking(engine)
        longest = measure("before")
        write_half(arguments.rows)
        longest = max(longest, measure("half answered"))
        os.chdir("/")
    print(f"longest {longest:.1f} s (< {LIMIT_S:.0f}), estimates within {error:.2%} (<= {LIMIT_ERROR:.0%})")
    return int(longest >= LIMIT_S or error > LIMIT_ERROR or not quick)


if __name__ == "__main__":
    sys.exit(main())
