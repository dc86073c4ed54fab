"""Restart of a campaign with 1,000,000 answered requests: seconds to the first new request, and peak memory.

    python benchmarks/restart_after_million.py [--rows 1000000] [--folder DIR]

Builds campaigns of 10,000 and of 1,000,000 requests in shards of 1,000, answered but for the very last request, in two states:

    published   all shards are parts, but the last ten, whose answers are journalled only (what a kill leaves behind)
    journalled  no shard is published, every answer is in a journal (worse than any kill can leave it)

Then it runs in fresh processes what grows with the answers between `snakemake` and the first new request: the counts a plan
needs, enqueue, and the queue up to its first claimed shard. Prints seconds and peak memory of each, and the ratio of the peaks
at both sizes. Last it runs `snakemake` on the stub engine, and prints the seconds until the last request was sent: its own
start, the plan, enqueue, and starting the server and waiting for it included.

Exits with 1 when `snakemake` takes more than 15 s to the first new request in either state, when memory at full size is above
1.3 times that at 10,000, or above 400 MB.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow.parquet as pq
from stub_campaign import end_with_parent

from campaign.config import CampaignConfig, validate
from campaign.controller.run import ROOT_VARIABLE
from campaign.core.files import write_json
from campaign.core.processes import ProcessId, carrying, end
from campaign.models.stage import stage_model
from campaign.queue.answers.answer import Answer
from campaign.queue.counts import dataset_counts
from campaign.queue.enqueue import enqueue, has_pending
from campaign.queue.parts.part import PartWriter
from campaign.queue.shard_queue import ShardQueue
from campaign.queue.stages.chain import shards_of
from campaign.requests.keys.key import canonical_json, content_key
from campaign.requests.shards import write_shard

SMALL, SHARD_ROWS, JOURNALLED_SHARDS = 10_000, 1000, 10
MODEL, DATASET = "model", "prompts"
REPOSITORY = Path(__file__).parents[1]
STUB_MODEL_ENGINE = str(REPOSITORY / "tests" / "stub_engine")
LIMIT_S, LIMIT_RATIO, LIMIT_MB = 15.0, 1.3, 400.0
STATES = ("published", "journalled")
STEPS = ("counts", "enqueue", "queue")
RAW = {
    "campaign": "million",
    "engine": STUB_MODEL_ENGINE,
    "models": {MODEL: {"source": "weights"}},
    "datasets": {DATASET: {"files": ["prompts.jsonl"], "prompt": "{{ text }}", "models": [MODEL], "shard_rows": SHARD_ROWS}},
    "benchmark": {"enabled": False},
}


def config() -> CampaignConfig:
    """The campaign of the working directory."""
    return validate(RAW)


def build(rows: int, state: str) -> None:
    """Make the campaign in the working directory as prepare, stage_model and a killed infer leave it."""
    paths = config().paths
    Path("campaign.yaml").write_bytes(orjson.dumps(RAW))  # JSON is YAML
    Path("weights").mkdir()
    Path("weights/config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    Path("weights/model.safetensors").write_bytes(b"weights")
    with Path("prompts.jsonl").open("w") as stream:
        stream.writelines(f'{{"text": "Question {row}: what do they have in common?"}}\n' for row in range(rows))
    identity = stage_model(config(), MODEL)["identity"]
    listed = []
    for index in range(rows // SHARD_ROWS):
        digest = write_shard(paths.request_shards(DATASET), index, list(requests_of(index)))
        listed.append({"index": index, "rows": SHARD_ROWS, "digest": digest})
    columns = [{"name": "gold", "source": "gold", "type": "int"}]
    manifest = {"dataset": DATASET, "rows": rows, "limit": None, "shards": listed, "columns": columns}
    write_json(paths.manifest(DATASET), {**manifest, "files": [{"path": "prompts.jsonl", "rows": rows}]})
    shards = list(shards_of(config(), MODEL))
    writer = PartWriter(config(), identity)
    published = len(shards) - JOURNALLED_SHARDS if state == "published" else 0
    for shard in shards:
        keys = shard.keys(identity)
        if shard.index < published:
            writer.publish(shard, {key: answer(key) for key in keys})
            continue
        shard.journals.mkdir(parents=True)
        answered = keys[:-1] if shard is shards[-1] else keys
        lines = b"".join(orjson.dumps(answer(key), option=orjson.OPT_APPEND_NEWLINE) for key in answered)
        (shard.journals / "answers-1.jsonl").write_bytes(lines)


def requests_of(shard: int) -> Iterator[tuple[bytes, str, str, int, str, bytes, bytes]]:
    for row in range(shard * SHARD_ROWS, (shard + 1) * SHARD_ROWS):
        # Text that does not compress to nothing, about as long as a short prompt.
        text = f"Question {row}: what do {hashlib.blake2b(str(row).encode()).hexdigest()} and {row * row} have in common?"
        body = canonical_json({"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 64})
        yield content_key(DATASET, "chat", body, 0), str(row), "prompts.jsonl", row, "chat", body, b'{"gold":%d}' % row


def answer(key: str) -> Answer:
    return {
        "key": key,
        "status": "ok",
        "text": f"They have {key} in common, and {key[::-1]}, and some more words of an answer of ordinary length.",
        "finish_reason": "stop",
        "error_class": None,
        "error_message": None,
        "prompt_tokens": 60,
        "completion_tokens": 40,
        "attempts": 1,
        "latency_s": 1.5,
        "started_at": 1_700_000_000.0,
        "job_id": "1",
        "allocation": 0,
        "model_revision": "r",
        "engine_version": "v",
        "extra": None,
    }


def run_step(step: str) -> None:
    """One step of a restart; prints its peak memory in MB. Runs in a process of its own."""
    if step == "counts":
        counts = dataset_counts(config(), MODEL)[DATASET]
        assert counts is not None
        assert counts["rows"] - counts["done"] == 1, counts
    elif step == "enqueue":
        record = enqueue(config(), MODEL)
        assert record["pending"] == 1, record["pending"]
    else:
        assert has_pending(config(), MODEL)
        queue = ShardQueue(config(), MODEL, ProcessId.current(), "1")
        assert queue.answered_before(2) == 1
        claimed = queue.claim_next()
        assert claimed is not None
        assert len(claimed.requests) == 1
    # Not ru_maxrss: a child starts with its parent's.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1024)


def measure(step: str) -> tuple[float, float]:
    """Seconds and peak MB of a step in a fresh process, starting the interpreter included."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--step", step], stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - started, float(done.stdout)


def first_request() -> float:
    """Seconds from `snakemake` to the request that is left, by the answer's own time; Snakemake is stopped then."""
    config().paths.pending(MODEL).unlink()
    *_, last = shards_of(config(), MODEL)
    snakemake = [str(Path(sys.executable).parent / "snakemake"), "--snakefile", str(REPOSITORY / "workflow" / "Snakefile")]
    profile = ["--profile", str(REPOSITORY / "profiles" / "local"), "--configfile", "campaign.yaml"]
    started = time.time()
    with Path("snakemake.log").open("w") as log:
        process = subprocess.Popen([*snakemake, *profile], stdout=log, stderr=log, preexec_fn=end_with_parent)
        while not last.is_done():
            if process.poll() is not None:
                raise SystemExit(Path("snakemake.log").read_text())
            time.sleep(0.1)
        process.terminate()
        process.wait()
        # A server and infer outlive their Snakemake for a while.
        end(carrying(ROOT_VARIABLE, str(config().paths.root.resolve())), grace=30)
    sent = pq.read_table(last.part, columns=["started_at"], partitioning=None).column("started_at")[-1]
    return float(sent.as_py().timestamp()) - started


def restart(folder: Path, rows: int, state: str) -> tuple[float, float]:
    """Build, restart, print. Returns seconds to the first new request and peak MB."""
    place = folder / f"{state}-{rows}"
    place.mkdir(parents=True)
    os.chdir(place)
    build(rows, state)
    steps = {step: measure(step) for step in STEPS}
    seconds, peak = first_request(), max(mb for _, mb in steps.values())
    details = ", ".join(f"{step} {s:.1f} s {mb:.0f} MB" for step, (s, mb) in steps.items())
    print(f"{state:10}  {rows:9,} rows: first request after {seconds:5.1f} s, peak {peak:4.0f} MB   ({details})", flush=True)
    return seconds, peak


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="full size; a multiple of 1000")
    parser.add_argument("--folder", type=Path, help="where to build the campaigns (about 500 MB); default: a temporary folder")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step)
        return 0
    failed = False
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for state in STATES:
            seconds, small = restart(Path(folder), SMALL, state)
            full = small
            if arguments.rows != SMALL:
                seconds, full = restart(Path(folder), arguments.rows, state)
            print(f"{state:10}  memory ratio {full / small:.2f}")
            failed |= full / small > LIMIT_RATIO or full > LIMIT_MB or seconds > LIMIT_S
        os.chdir("/")
    print("too slow or too big" if failed else "within the limits")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
