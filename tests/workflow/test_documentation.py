"""The commands of the documentation, run as they stand there: in a folder like a checkout, with the stub engine.

Those that need a cluster or a terminal are run as far as they go without: `snakemake -n`, and the sentence that ends them.
`make` and the commands of setting up are the tests' own surroundings.
"""

import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
import yaml

from campaign.config import validate
from support.cluster import place
from support.documents import PAGES, anchors, commands, describe_heron, is_of_a_profile, links, snippets
from support.once import made_once
from support.runs import REPOSITORY, Campaign

ENGINE_LOG = "logs/demo/allocations/stub/0/engine-1.log"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the workflow and a finished campaign of six prompts: the demo, and under another name that of my.yaml."""
    root = tmp_path_factory.mktemp("checkout")
    return Path(shutil.copytree(made_once(tmp_path_factory, "demo", run_the_demo), root, dirs_exist_ok=True, symlinks=True))


def run_the_demo(root: Path) -> None:
    (root / "workflow").symlink_to(REPOSITORY / "workflow")
    shutil.copytree(REPOSITORY / "profiles", root / "profiles")
    describe_heron(root)
    campaign = Campaign(root, rows=6, campaign="demo", account="ucb-general")
    shutil.copy(REPOSITORY / "tests" / "data" / "architectures" / "llama-3.2-1b.json", root / "model" / "config.json")
    header = b'{"weight": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}'
    (root / "model" / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    campaign.raw["models"]["stub"]["placement"] = place(nodes=1, gpus_per_node=1)
    campaign.raw["models"]["stub"]["variants"] = {"short": {"max_model_len": 512}}
    (root / "config").mkdir()
    for path in ("config/config.yaml", "my.yaml"):
        (root / path).write_text(yaml.safe_dump(campaign.raw))
    ended = run(root, "snakemake --profile profiles/local", timeout=280)
    assert ended.returncode == 0, ended.stdout[-4000:]
    (root / "results" / "reviews").symlink_to("demo")
    campaign.raw["models"]["stub"]["placement"] = place(partition="heron", nodes=1, gpus_per_node=1)
    (root / "heron.yaml").write_text(yaml.safe_dump({**campaign.raw, "account": "physics"}))
    shutil.copy(REPOSITORY / "tests" / "data" / "logs" / "gpu_out_of_memory.log", root / ENGINE_LOG)


def run(root: Path, command: str, typed: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """A command line, its programs taken from this environment; what it writes is in `stdout`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        shlex.split(command),
        cwd=root,
        env={**os.environ, "PATH": path, "COLUMNS": "100"},
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


ENDS: dict[str, tuple[int, str]] = {
    "campaign chat": (1, "session"),
    "campaign explain LOG": (0, "GPU"),
    "campaign explain logs/<campaign>/allocations/<model>/0": (0, "GPU"),
    "campaign export": (0, "6 lines in batch_output.jsonl"),
    "campaign export demo --to batch_output.jsonl": (0, "6 lines in batch_output.jsonl"),
    "campaign export demo --to answers.csv": (0, "6 rows in answers.csv"),
    "campaign export demo --to answers.parquet": (0, "6 rows in answers.parquet"),
    "campaign plan my.yaml": (0, "SU"),
    "campaign plan my.yaml --site sites/heron.toml": (0, "credits"),
    "campaign stop": (1, "session"),
    "campaign summary demo": (0, "6 prompts, 0 failed"),
    "campaign status": (0, "finished"),
    "campaign status reviews": (0, "finished"),
    "campaign --version": (0, "campaign 0."),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", sorted({*commands("campaign"), *ENDS} - {"campaign status --watch"}))
def test_a_campaign_command_runs(command: str, checkout: Path) -> None:
    code, words = ENDS[command]
    line = (
        command.replace("my.yaml --site sites/heron", "heron.yaml --site sites/heron")
        .replace("LOG", ENGINE_LOG)
        .replace("logs/<campaign>/allocations/<model>/0", ENGINE_LOG)
    )
    ended = run(checkout, line)
    assert (ended.returncode, words in ended.stdout, "Traceback" in ended.stdout) == (code, True, False), ended.stdout


@pytest.mark.timeout(120)
def test_watching_ends_with_ctrl_c(checkout: Path) -> None:
    ours, its = pty.openpty()
    command = [str(Path(sys.executable).parent / "campaign"), "status", "--watch"]
    watching = subprocess.Popen(command, cwd=checkout, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    while b"finished" not in shown:
        shown += os.read(ours, 65536)
    watching.send_signal(signal.SIGINT)
    while watching.poll() is None:  # read on: a full terminal would stop it
        with suppress(OSError):  # Linux says so when the program is gone
            if select.select([ours], [], [], 0.2)[0]:
                os.read(ours, 65536)
    assert watching.returncode in (0, 130)  # 130: caught before the first interval
    os.close(ours)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", commands("snakemake"))
def test_a_snakemake_command_is_planned(command: str, checkout: Path) -> None:
    line = command.replace("snakemake ...", "snakemake --profile profiles/local")
    ended = run(checkout, line.replace("snakemake", "snakemake -n", 1))
    assert ended.returncode == 0, ended.stdout[-4000:]


def test_the_plan_of_a_finished_campaign_is_made_again(checkout: Path) -> None:
    ended = run(checkout, "snakemake plan --profile profiles/local --configfile my.yaml")
    assert ended.returncode == 0, ended.stdout[-4000:]
    assert "Checking the plan" in ended.stdout
    assert "has its row" not in ended.stdout  # of a run's answers, which may be older than the prompts


# Run elsewhere: by tests/unit/report/test_export.py, tests/unit/requests/test_prompts_page.py and tests/unit/test_architecture.py.
ELSEWHERE = {"reading.md", "prompts.md", "CONTRIBUTING.md"}
PYTHON = [code for page in PAGES if page.name not in ELSEWHERE for code in snippets("python", page)]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("code", PYTHON)
def test_python_of_the_documentation_runs(code: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last line is what a notebook would show: a table of the six answers."""
    monkeypatch.chdir(checkout)
    statements = code.rstrip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(statements[:-1]), names)
    shown = eval(statements[-1], names)
    assert isinstance(shown, pd.DataFrame)
    assert len(shown) == 6


@pytest.mark.parametrize("code", snippets("sql"))
def test_sql_of_the_documentation_runs(code: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    assert duckdb.sql(code).fetchall() == [("words", "ok", 6)]


# What a fragment leaves out of a config.
WHOLE: dict[str, Any] = {
    "campaign": "whole",
    "site": "alpine",
    "models": {"m": {"source": "model"}},
    "datasets": {"d": {"files": ["a.jsonl"], "prompt": "{{ text }}", "models": ["m"]}},
}


@pytest.mark.parametrize("code", [code for code in snippets("yaml") if not is_of_a_profile(code)])
def test_yaml_of_the_documentation_is_valid(code: str) -> None:
    """As a whole config, or as the part of one that it shows: its top-level keys, or keys of a dataset."""
    shown = yaml.safe_load(code)
    if "sampling" in shown:
        shown = {"datasets": {"d": WHOLE["datasets"]["d"] | shown}}
    raw = WHOLE | shown
    if "datasets" not in shown:
        raw["datasets"] = {"d": WHOLE["datasets"]["d"] | {"models": list(raw["models"])}}
    if "models" not in shown:
        raw["models"] = {name: WHOLE["models"]["m"] for dataset in raw["datasets"].values() for name in dataset["models"]}
    assert validate(raw).campaign == raw["campaign"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [REPOSITORY / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        targets = [(page.parent / path).resolve() for path, _ in links(page) if path.endswith(".md")]
        ahead += [target for target in targets if target not in reached]
    assert set(PAGES) <= reached


def test_the_readme_is_one_page() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 130
