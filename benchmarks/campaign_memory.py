"""Peak memory of every phase of a campaign at few and at many prompts, on the stub engine.

No step holds a whole dataset, so the peaks must not grow with it. Each phase runs as the rules run it, in a process of its own,
whose peak resident memory the kernel tells. Exits with 1 when a ratio is above 1.3 or a peak above 400 MB. With a million
prompts it takes 10 to 20 minutes.

    python benchmarks/campaign_memory.py [--few 10000] [--many 1000000]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stub_campaign import end_with_parent, write_campaign

from campaign.controller.run import start_campaign

LARGEST_RATIO, LARGEST_MB = 1.3, 400.0
# A process begins with the peak of what it was forked from. Of this one that was 55 to 87 MB; tear-down has 36 of its own.
_LAUNCHER = """
import os, sys
if (phase := os.fork()) == 0:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(phase, 0)
print(usage.ru_maxrss)
sys.exit(1 if status else 0)
"""
PHASES = (
    ("prepare-requests", "--dataset", "d"),
    ("stage-model", "--model", "stub"),
    ("enqueue", "--model", "stub", "--token", "first"),
    ("bring-up", "--model", "stub", "--allocation", "0"),
    ("ready", "--model", "stub", "--allocation", "0"),
    ("infer", "--model", "stub", "--allocation", "0"),
    ("tear-down", "--model", "stub", "--allocation", "0"),
    ("collect",),
    ("gather-benchmarks",),
    ("account",),
    ("report",),
)


def peaks(rows: int) -> dict[str, tuple[float, float]]:
    """Peak memory (MB) and seconds of each phase of a campaign with `rows` prompts, in the working directory."""
    config = write_campaign(f"rows-{rows}", rows, 256)
    start_campaign(config)  # as Snakemake's main process does: the server ends with this one
    campaign = str(Path(sys.executable).parent / "campaign")
    measured = {}
    for phase, *arguments in PHASES:
        started = time.perf_counter()
        command = [campaign, "phase", phase, str(config.paths.config), *arguments]
        measured[phase] = (peak_mb(command), time.perf_counter() - started)
        print(f"{rows:>9,} prompts  {phase:<18} {measured[phase][0]:6.0f} MB {measured[phase][1]:8.1f} s", flush=True)
    return measured


def peak_mb(command: list[str]) -> float:
    """Peak resident memory of a command, in MB. Raises SystemExit when it fails."""
    words = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=end_with_parent, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return int(done.stdout.splitlines()[-1]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    arguments = parser.parse_args()
    os.environ.setdefault("CAMPAIGN_TEST_PYTHON", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        few = peaks(arguments.few)
        many = few if arguments.many == arguments.few else peaks(arguments.many)
    ratios = {phase: many[phase][0] / few[phase][0] for phase in few}
    for phase, ratio in ratios.items():
        print(f"{phase:<18} {few[phase][0]:6.0f} MB -> {many[phase][0]:6.0f} MB, ratio {ratio:.2f}")
    peak = max(megabytes for megabytes, _ in many.values())
    print(f"largest ratio {max(ratios.values()):.2f} (<= {LARGEST_RATIO}), largest peak {peak:.0f} MB (<= {LARGEST_MB:.0f})")
    return 0 if max(ratios.values()) <= LARGEST_RATIO and peak <= LARGEST_MB else 1


if __name__ == "__main__":
    sys.exit(main())
