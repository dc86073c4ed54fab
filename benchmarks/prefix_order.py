"""Rows/s with `order: auto` against the order of the files and grouping by hand, and what ordering takes.

    python benchmarks/prefix_order.py [--engine DIR] [--model DIR] [--prefixes 24] [--questions 8] [--rows 10000000]

Starts one real vLLM server with a KV cache of 7,680 tokens, as a campaign does. `infer` answers questions to documents of about
630 tokens, 8 in flight: shuffled and asked in the order of the file, the same shuffled and asked with `order: auto`, and sorted
by hand. Each has documents of its own, so that none finds what another left in the cache. Then prompts that share nothing: with
and without `order: auto` their shards must be the same, byte by byte.

Last, in processes of their own, a hundredth of `--rows` and all of them are noted, sorted and laid out as by prepare_requests.

Prints rows/s and the share of cached prompt tokens of each, their ratios, seconds and peak memory. Exits with 1 when auto is
below 2.5 times the order of the file, or has less than 95 % of the cached share by hand, when shards differ, or when memory
grows by more than 200 MB.
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.allocation.bring_up import bring_up
from campaign.allocation.infer import infer
from campaign.allocation.ready import ready
from campaign.allocation.stop import stop_server
from campaign.config import CampaignConfig, validate
from campaign.core.files import write_json
from campaign.models.stage import stage_model
from campaign.queue.enqueue import enqueue
from campaign.queue.shard import published_parts
from campaign.requests.order.decide import sort_if_worth
from campaign.requests.order.layout import layout
from campaign.requests.order.notes import PrefixNotes
from campaign.requests.prepare import prepare

NAME = "served"
# vLLM on a CPU has blocks of 128 tokens: 60 of them are 7,680.
CACHE = {"num-gpu-blocks-override": 60, "block-size": 128, "max-num-seqs": 8, "enforce-eager": True}
COUNTED = ("cached_tokens", "prompt_tokens")
RUNS = {"by file": "input", "auto": "auto", "by hand": "input"}
UNSHARED = {"unshared, by file": "input", "unshared, auto": "auto"}
LEAST_SPEEDUP, LEAST_CACHED, MOST_GROWTH_MB = 2.5, 0.95, 200.0
WORDS = (
    "river",
    "steel",
    "bee",
    "violin",
    "bread",
    "lens",
    "tide",
    "map",
    "salt",
    "kite",
    "clock",
    "stone",
    "paper",
    "wind",
    "lamp",
)


def document(name: str) -> str:
    """About 630 tokens that begin like no other document."""
    words = random.Random(name)
    return f"{name}. " + " ".join(words.choice(WORDS) for _ in range(620))


def write_prompts(name: str, prefixes: int, questions: int, *, shuffled: bool) -> None:
    """The prompts of a run."""
    rows = [
        {"text": f"{document(f'{name} {prefix}')}\nQuestion {question}: which word comes after {WORDS[question % len(WORDS)]}?"}
        for prefix in range(prefixes)
        for question in range(questions)
    ]
    if shuffled:
        random.Random(1).shuffle(rows)
    Path(f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


def config(engine: Path, model: Path, prefixes: int, questions: int) -> CampaignConfig:
    """A campaign with one dataset per run, in the working directory."""
    datasets: dict[str, Any] = {}
    for run, order in {**RUNS, **UNSHARED}.items():
        name = run.replace(" ", "-").replace(",", "")
        source = "unshared" if run in UNSHARED else name
        if run in UNSHARED:
            write_prompts(source, prefixes * questions, 1, shuffled=True)
        else:
            write_prompts(source, prefixes, questions, shuffled=run != "by hand")
        datasets[name] = {
            "files": [f"{source}.jsonl"],
            "prompt": "{{ text }}",
            "models": [NAME],
            "order": order,
            "sampling": {"temperature": 0, "max_tokens": 8, "min_tokens": 8, "ignore_eos": True},
        }
    served = {
        "source": str(model),
        "max_model_len": 1024,
        "dtype": "bfloat16",
        "vllm": CACHE,
        "env": {"VLLM_CPU_KVCACHE_SPACE": 1},
    }
    return validate(
        {
            "campaign": "order",
            "engine": str(engine),
            "models": {NAME: served},
            "datasets": datasets,
            "inference": {"concurrency": 8},
        }
    )


def only(whole: CampaignConfig, names: list[str]) -> CampaignConfig:
    """The same campaign with some of its datasets."""
    return whole.model_copy(update={"datasets": {name: whole.datasets[name] for name in names}})


def measured(whole: CampaignConfig, names: list[str]) -> tuple[float, float]:
    """Rows/s of infer over the last of these datasets, the others being answered, and the share of cached prompt tokens."""
    current = only(whole, names)
    prepare(current, names[-1])
    enqueue(current, NAME)
    started = time.perf_counter()
    infer(current, NAME, 0)
    duration = time.perf_counter() - started
    parts = [pq.read_table(path, partitioning=None) for path in published_parts(current.paths, NAME, names[-1])]
    rows = sum(map(len, parts))
    cached, read = (
        sum(pc.sum(part.column(name)).as_py() or 0 for part in parts) for name in ("cached_tokens", "prompt_tokens")
    )
    return rows / duration, cached / read


def compare(whole: CampaignConfig) -> bool:
    """Bring the server up, warm it, measure, print. Whether the claims hold."""
    names = list(whole.datasets)
    bring_up(whole, NAME, 0, force=True)
    ready(whole, NAME, 0)
    found: dict[str, tuple[float, float]] = {}
    for number, run in enumerate(RUNS):
        found[run] = measured(whole, names[: number + 1])
        rate, cached = found[run]
        print(f"{run}: {rate:.2f} rows/s, {cached:.1%} of the prompt tokens cached", flush=True)
    speedup = found["auto"][0] / found["by file"][0]
    of_hand = found["auto"][1] / found["by hand"][1] if found["by hand"][1] else 1.0
    print(f"auto / by file: {speedup:.2f} times the rows/s (wanted: at least {LEAST_SPEEDUP})")
    print(f"auto / by hand: {of_hand:.1%} of the cached share (wanted: at least {LEAST_CACHED:.0%})")
    same = shards_are_equal(whole, names[len(RUNS) :])
    print(f"without shared prefixes: {'the same' if same else 'OTHER'} requests in {'the same' if same else 'ANOTHER'} order")
    return speedup >= LEAST_SPEEDUP and of_hand >= LEAST_CACHED and same


def shards_are_equal(whole: CampaignConfig, names: list[str]) -> bool:
    """Whether two datasets of the same file have the same bodies in the same order in the same shards."""
    bodies = []
    for name in names:
        prepare(whole, name)
        shards = sorted(whole.paths.request_shards(name).glob("*.parquet"))
        bodies.append([pq.read_table(path, columns=["body"], partitioning=None).column("body").to_pylist() for path in shards])
    return bodies[0] == bodies[1]


def on_the_engine(engine: Path, model: Path, prefixes: int, questions: int) -> bool:
    """The first part, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        whole = config(engine, model, prefixes, questions)
        write_json(whole.paths.config, whole.model_dump(mode="json"))  # what the supervisor reads
        stage_model(whole, NAME)
        first = only(whole, list(whole.datasets)[:1])
        prepare(first, next(iter(first.datasets)))
        enqueue(first, NAME)
        try:
            return compare(whole)
        finally:
            stop_server(whole, NAME, 0)
            os.chdir("/")


# --- ordering many rows ---------------------------------------------------------------------------------------------------


def order_rows(rows: int, folder: Path) -> None:
    """Note, sort and lay out as many prompts of groups of 8, and print seconds and peak memory."""
    pick, started = random.Random(1), time.perf_counter()
    notes, groups = PrefixNotes(folder), max(1, rows // 8)
    for number in range(rows):
        group = f"{pick.randrange(groups):012d} "
        notes.note("chat", {"messages": [{"role": "user", "content": f"{group * 49}question {number:012d} " + "of it " * 11}]})
    notes.close()
    noted = time.perf_counter()
    order, found = sort_if_worth(notes)
    assert found is not None and order["kept"] == "grouped"
    made = layout(notes, found, lambda _: 1000)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(orjson.dumps({"noted": noted - started, "sorted": ended - noted, "peak": peak, "shards": len(made.cuts)}).decode())


def ordered(rows: int) -> dict[str, float]:
    """What a process of its own takes for so many rows."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        command = [sys.executable, __file__, "--order-only", folder, "--rows", str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = orjson.loads(done.stdout)
    print(
        f"{rows} rows: noted in {found['noted']:.1f} s, sorted and laid out in {found['sorted']:.1f} s, "
        f"{found['shards']} shards, {found['peak']:.0f} MB",
        flush=True,
    )
    return found


def main() -> int:
    """Measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=Path, default=Path(".venv-engine"))
    parser.add_argument("--model", type=Path, default=Path("resources/models/smollm2-135m"))
    parser.add_argument("--prefixes", type=int, default=24)
    parser.add_argument("--questions", type=int, default=8, help="to each prefix")
    parser.add_argument("--rows", type=int, default=10_000_000, help="to be ordered")
    parser.add_argument("--no-engine", action="store_true", help="only the rows to be ordered")
    parser.add_argument("--order-only", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.order_only is not None:
        order_rows(arguments.rows, arguments.order_only)
        return 0
    here, engine, model = Path.cwd(), arguments.engine.absolute(), arguments.model.absolute()
    holds = True if arguments.no_engine else on_the_engine(engine, model, arguments.prefixes, arguments.questions)
    os.chdir(here)
    few, many = ordered(max(1000, arguments.rows // 100)), ordered(arguments.rows)
    print(f"ordering: memory grows by {many['peak'] - few['peak']:.0f} MB (wanted: at most {MOST_GROWTH_MB:.0f})")
    return 0 if holds and many["peak"] - few["peak"] <= MOST_GROWTH_MB else 1


if __name__ == "__main__":
    sys.exit(main())
