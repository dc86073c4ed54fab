"""Seconds that asking Slurm costs a plan, on the lab of real Slurm.

    python benchmarks/plan_slurm.py [--repeats 3]       as root, with the packages of `make lab-packages`

Times `campaign plan` of eight models, with nine distinct jobs, in turn where Slurm answers, where there is no sbatch (which
leaves out what is asked about jobs), and with clients whose SLURM_CONF names a controller that is none: a port where nothing
listens, an address that nobody has, and a program that takes the connection and says nothing.

Prints medians, and how much longer each takes than without sbatch. Exits with 1 when that is more than 3 s where Slurm answers,
or more than 5 s where no controller is found (sbatch by itself looks for one for 63 s).
"""

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import lab
from support.cluster import place
from support.runs import REPOSITORY

MODELS = 8
ADDED_S, NOBODY_S = 3.0, 5.0
NOBODYS_ADDRESS = "10.77.0.250"  # of the lab's network


def campaign(folder: Path) -> None:
    """A campaign whose models ask for different jobs."""
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (model / "model.safetensors").write_bytes(b"weights")
    (folder / "p.jsonl").write_text('{"prompt": "hello"}\n')
    shutil.copytree(REPOSITORY / "profiles", folder / "profiles")
    names = [f"m{number}" for number in range(MODELS)]
    models = {name: {"source": "model", "placement": place(walltime=f"{20 + n}m")} for n, name in enumerate(names)}
    datasets = {"d": {"files": ["p.jsonl"], "prompt": "{{ prompt }}", "models": names}}
    raw: dict[str, Any] = {"campaign": "x", "account": "ucb-general", "models": models, "datasets": datasets}
    raw["engine"] = str(REPOSITORY / "tests" / "stub_engine")
    (folder / "c.yaml").write_text(yaml.safe_dump(raw))


def without_sbatch(folder: Path) -> Path:
    """A folder with every command but sbatch."""
    folder.mkdir()
    for path in {**{p.name: p for p in Path("/bin").iterdir()}, **{p.name: p for p in Path("/usr/bin").iterdir()}}.values():
        if path.name != "sbatch":
            (folder / path.name).symlink_to(path)
    return folder


@contextmanager
def dead_clients(folder: Path) -> Iterator[dict[str, str]]:
    """A slurm.conf by what its client meets."""
    plain = re.sub(r"^SlurmctldPort=.*$", "", (lab.ROOT / "etc" / "slurm.conf").read_text(), flags=re.MULTILINE)
    here = re.findall(r"^SlurmctldHost=.*\((.*)\)", plain, re.MULTILINE)[0]
    with socket.create_server((here, 0)) as mute, socket.create_server((here, 0)) as ended:
        closed = ended.getsockname()[1]
        ended.close()
        addresses = {
            "nothing listens": (here, closed),
            "nobody's address": (NOBODYS_ADDRESS, closed),
            "no word": (here, mute.getsockname()[1]),
        }
        paths = {}
        for what, (address, port) in addresses.items():
            path = folder / f"{what.replace(' ', '-')}.conf"
            path.write_text(re.sub(r"^(SlurmctldHost=.*)\(.*\)", rf"\1({address})", plain, flags=re.MULTILINE))
            with path.open("a") as stream:
                stream.write(f"SlurmctldPort={port}\n")
            paths[what] = str(path)
        yield paths


def seconds(folder: Path, said: str, **environment: str) -> float:
    """How long a plan takes, which has `said` among its lines."""
    began = time.monotonic()
    command = [str(Path(sys.executable).parent / "campaign"), "plan", "c.yaml", "--site", "alpine", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    took = time.monotonic() - began
    if done.returncode or said not in done.stdout:
        raise SystemExit(f"The plan went otherwise than it should:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return took


def measure(folder: Path, repeats: int) -> dict[str, float]:
    """Median seconds of a plan, by what it meets; all in turn."""
    engine = str(Path(sys.executable).parent)
    bare = without_sbatch(folder / "bin")
    with dead_clients(folder) as dead:
        cases: dict[str, tuple[str, dict[str, str]]] = {
            "Slurm answers": ("starts_at", {}),
            "no sbatch": ('"slurm": null', {"PATH": f"{engine}{os.pathsep}{bare}"}),
            **{what: ("slurm_silent", {"SLURM_CONF": path}) for what, path in dead.items()},
        }
        taken: dict[str, list[float]] = {what: [] for what in cases}
        for _ in range(repeats):
            for what, (said, environment) in cases.items():
                taken[what].append(seconds(folder, said, **environment))
    return {what: statistics.median(each) for what, each in taken.items()}


def main() -> int:
    """Bring the lab up unless it is, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    with lab.running(keep="CAMPAIGN_LAB_KEEP" in os.environ):
        folder = lab.SHARED / f"plan-slurm-{os.urandom(3).hex()}"
        folder.mkdir()
        campaign(folder)
        taken = measure(folder, repeats)
        shutil.rmtree(folder)
    plain = taken.pop("no sbatch")
    print(f"{'no sbatch':20} {plain:5.2f} s")
    limits = {what: ADDED_S if what == "Slurm answers" else NOBODY_S for what in taken}
    for what, took in taken.items():
        print(f"{what:20} {took:5.2f} s, {took - plain:5.2f} s more   wanted at most {limits[what]:.0f}")
    return 0 if all(took - plain <= limits[what] for what, took in taken.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
