"""Seconds and memory of finding the cause in a log of 200 MB, and the longest pause of the supervisor's heartbeat meanwhile.

    python benchmarks/explain_speed.py [--megabytes 200] [--folder DIR]

Two logs: a server that worked for days and died, and one whose every line is an error that differs from the others. Each is
explained twice, in processes of their own: as `campaign explain` does, and as the supervisor does, in a thread while it beats.

Prints for each log and way: seconds, peak memory of the process, what of it was there before, the longest time between two
heartbeats, and the verdict. Exits with 1 when one takes 3 s or more, `campaign explain` 100 MB or more, a beat comes later than
it should, or the verdict is wrong.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

LIMIT_S, LIMIT_MB = 3.0, 100.0
HEARTBEAT_S = 2.0  # campaign.server.server_state
WAYS = ("command", "supervisor")
CAUSE = (
    "(EngineCore_DP0 pid=2) ERROR 10-21 09:11:47 [core.py:708] RuntimeError: CUDA error: uncorrectable ECC error encountered\n"
)
AFTER = (
    "(APIServer pid=1) ERROR 10-21 09:11:47 [async_llm.py:480] vllm.v1.engine.exceptions.EngineDeadError: EngineCore died {}\n"
)


def worked_for_days(number: int) -> str:
    """What a server writes while it answers."""
    return (
        f"(APIServer pid=1) INFO 10-21 09:{number // 60 % 60:02}:{number % 60:02} [loggers.py:1] Engine 000: Avg prompt: "
        f"{number}.0 tokens/s, Running: 256 reqs, Waiting: 0 reqs, GPU KV cache usage: 81.2%\n"
        f'(APIServer pid=1) INFO:     10.225.0.7:{number % 60000} - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
    )


def only_errors(number: int) -> str:
    """What a server can write at worst: each line evidence, none like another."""
    word = "".join(chr(97 + number // 26**place % 26) for place in range(5))
    return (
        f"(Worker_TP{number % 8} pid=3) ERROR 10-21 09:11:47 [worker_base.py:620] ValueError: request {word} failed\n"
        f"(Worker_TP{number % 8} pid=3) request {word} failed: cannot find it\n"
    )


KINDS = {"worked for days": worked_for_days, "only errors": only_errors}


def blocks(kind: str, size: int) -> Iterator[str]:
    """A log of about `size` bytes, some kilobytes at a time."""
    yield CAUSE if kind == "only errors" else ""
    written = number = 0
    while written < size:
        block = "".join(KINDS[kind](number + i) for i in range(1000))
        number, written = number + 1000, written + len(block)
        yield block
    yield (CAUSE if kind != "only errors" else "") + "".join(AFTER.format(i) for i in range(256))


def explained(log: Path, way: str) -> dict[str, Any]:
    """Seconds, peak memory, longest pause and verdict, in this process."""
    explain = as_the_supervisor_does if way == "supervisor" else as_the_command_does
    beats = [time.monotonic()]  # the next one follows on the imports, which are slow, and done long before
    verdict, before = explain(log, lambda: beats.append(time.monotonic()))
    beats.append(time.monotonic())
    return {
        "seconds": beats[-1] - beats[1],
        "megabytes": peak_megabytes(),
        "before": before,
        "longest_pause_s": max(b - a for a, b in pairwise(beats[1:])),
        "verdict": verdict,
    }


def peak_megabytes() -> float:
    """Of this process, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def as_the_command_does(log: Path, beat: Callable[[], None]) -> tuple[str, float]:
    """Verdict, and the memory before. Nobody waits for a beat here."""
    from campaign.explain.show import explain_paths

    before = peak_megabytes()
    beat()
    return explain_paths([log])[0].verdict, before


def as_the_supervisor_does(log: Path, beat: Callable[[], None]) -> tuple[str, float]:
    """Verdict, and the memory before."""
    from campaign.explain import logs_of_start
    from campaign.server.engine.start_failure import explain_start

    before = peak_megabytes()
    beat()
    logs = logs_of_start(log.parent, log.name.removesuffix("-engine-1.log"), 1)
    return explain_start(logs, beat).verdict, before


def measure(kind: str, size: int, folder: Path) -> dict[str, dict[str, Any]]:
    """As above, each way in a process of its own."""
    log = folder / f"{kind.replace(' ', '-')}-engine-1.log"
    with log.open("w") as stream:
        stream.writelines(blocks(kind, size))
    measured = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--one", str(log), "--way", way]
        measured[way] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    log.unlink()
    return measured


def holds(way: str, measured: dict[str, Any]) -> bool:
    """Whether the claim does."""
    cheap = measured["megabytes"] < LIMIT_MB if way == "command" else measured["longest_pause_s"] < HEARTBEAT_S
    return cheap and measured["seconds"] < LIMIT_S and measured["verdict"] == "another_node"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(explained(arguments.one, arguments.way)))
        return 0
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        found = {kind: measure(kind, arguments.megabytes << 20, Path(folder)) for kind in KINDS}
    rows = [(kind, way, measured) for kind, ways in found.items() for way, measured in ways.items()]
    for kind, way, measured in rows:
        memory = f"{measured['megabytes']:.0f} MB ({measured['before']:.0f} before)"
        pause = f", longest pause {measured['longest_pause_s']:.2f} s" if way == "supervisor" else ""
        print(f"{kind}, {arguments.megabytes} MB, {way}: {measured['seconds']:.2f} s, {memory}{pause}, {measured['verdict']}")
    return 0 if all(holds(way, measured) for _, way, measured in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
