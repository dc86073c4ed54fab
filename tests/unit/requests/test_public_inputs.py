"""Prompt files and requests as people have them, each from a public thread: what is asked, or why it is refused.

The cases are in tests/data/inputs, their threads in `source`. What is not told there must not be told: a warning about a file
that is right is a fault, as a refusal is.
"""

import gzip
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from campaign.config import CampaignConfig, validate
from campaign.core.errors import CampaignError
from campaign.plan.checks.answer_check import answers
from campaign.plan.checks.requests.check import diagnose_requests, requests_to_ask
from campaign.plan.checks.requests.written import as_written
from campaign.plan.checks.runner_check import runner_problems
from campaign.plan.checks.template_check import template_notes
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.dataset_check import check_dataset, dataset_notes
from campaign.requests.endpoints import APIS
from campaign.requests.prepare import prepare
from campaign.requests.rows.sampled_rows import sample_requests
from campaign.requests.shards import read_shard, shard_path
from support import prompt_files

FOLDER = Path(__file__).parents[2] / "data" / "inputs"
CASES = {case["name"]: case for file in sorted(FOLDER.glob("*.toml")) for case in tomllib.loads(file.read_text())["case"]}
GOOD = [name for name, case in CASES.items() if "refused" not in case]
BAD = [name for name, case in CASES.items() if "refused" in case]


def lay_out(case: dict[str, Any]) -> None:
    """Write the files of a case."""
    if "recipe" in case:
        getattr(prompt_files, case["recipe"])()
    for name, text in case.get("files", {}).items():
        content = text.encode(case.get("encoding", "utf-8"))
        pack = {".gz": gzip.compress, ".zst": _zstd}.get(Path(name).suffix, lambda plain: plain)
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(pack(content))


def _zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def config_of(case: dict[str, Any]) -> CampaignConfig:
    dataset = {"files": list(case.get("files", {})), "models": ["m"], **case.get("dataset", {})}
    model = {"source": "model", **case.get("model", {})}
    return validate({"campaign": "c", "models": {"m": model}, "datasets": {"d": dataset}})


def diagnostics(config: CampaignConfig) -> Iterator[Diagnostic]:
    """What the plan says of a campaign's requests, by rules of its own: vLLM is not asked here."""
    samples = {"d": sample_requests(config.datasets["d"])}
    yield from template_notes(config)
    yield from as_written(config, samples)
    yield from runner_problems(config)
    yield from answers(config.datasets)
    yield from diagnose_requests(config, "m", requests_to_ask(samples, ["d"]), None, (), config.models["m"].max_model_len)


def planned(case: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Problems and notes of the plan."""
    try:
        config = config_of(case)
    except CampaignError as error:
        return str(error).splitlines(), []
    if problems := check_dataset(config, "d"):
        return problems, dataset_notes(config, "d")
    found = list(diagnostics(config))
    notes = [str(each) for each in found if each.warning]
    return [str(each) for each in found if not each.warning], [*dataset_notes(config, "d"), *notes]


def assert_told(fragments: list[str], told: list[str]) -> None:
    """Each fragment stands in what is told, and nothing is told without one."""
    assert [fragment for fragment in fragments if not any(fragment in line for line in told)] == [], told
    assert [line for line in told if not any(fragment in line for fragment in fragments)] == []


def asked(config: CampaignConfig, manifest: Any) -> list[dict[str, Any]]:
    shards = [shard_path(config.paths.request_shards("d"), shard["index"]) for shard in manifest["shards"]]
    return [row for shard in shards for row in read_shard(shard).to_pylist()]


def prompt_of(row: dict[str, Any]) -> str:
    """The last message of a chat, or what another endpoint is asked."""
    prompt = orjson.loads(APIS[row["endpoint"]].prompt_of(row["body"])) if row["endpoint"] == "chat" else None
    return str(APIS[row["endpoint"]].prompt_of(row["body"]) if prompt is None else prompt[-1]["content"])


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_is_asked(name: str, in_tmp: Path) -> None:
    case = CASES[name]
    lay_out(case)
    problems, notes = planned(case)
    assert problems == []
    assert_told(case.get("told", []), notes)
    config = config_of(case)
    manifest = prepare(config, "d")
    rows = asked(config, manifest)
    seen: dict[str, Any] = {
        "asks": [prompt_of(row) for row in rows if row["endpoint"] in APIS],
        "bodies": [row["body"].decode() for row in rows],
        "ids": [row["row_id"] for row in rows],
        "kept": [row["columns"].decode() for row in rows],
        "columns": {column["name"]: column["type"] for column in manifest["columns"]},
    }
    wanted = {key: case[key] for key in seen if key in case}
    assert {key: seen[key] for key in wanted} == wanted
    assert wanted.keys() & {"asks", "bodies"}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_refused_at_plan_with_the_remedy(name: str, in_tmp: Path) -> None:
    case = CASES[name]
    lay_out(case)
    problems, _ = planned(case)
    assert_told(case["refused"], problems)


def test_every_recipe_is_used() -> None:
    used = {case["recipe"] for case in CASES.values() if "recipe" in case}
    made = {name for name, made in vars(prompt_files).items() if callable(made) and made.__module__ == prompt_files.__name__}
    assert used == {name for name in made if not name.startswith("_")}


def test_every_case_has_its_thread_and_both_kinds_are_many() -> None:
    assert all(case["source"].startswith("https://") for case in CASES.values())
    count = sum(file.read_text().count("[[case]]") for file in FOLDER.glob("*.toml"))
    assert count == len(CASES)  # no name stands twice
    assert count >= 80
    assert min(len(GOOD), len(BAD)) >= 30
