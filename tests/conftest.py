"""Fixtures shared by all tests: campaigns of the stub engine, and the real engine's place."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from campaign.config import CampaignConfig, validate
from campaign.core import files, patience, timing
from campaign.core.garbage import leave_imports_out, pause_collection

REPOSITORY = Path(__file__).parents[1]

# How long an example takes depends on what else the machine does.
settings.register_profile("campaign", deadline=None)
settings.load_profile("campaign")

# A shell starts what it puts into the background with SIGINT ignored, and every program started from there inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


pause_collection()  # until the tests are collected

LONG_S = 600.0  # what may take so long goes first


@pytest.hookimpl(trylast=True)  # what is deselected is gone then
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, each begins with its part of the longest tests (by their timeouts): else the last runs alone for minutes.

    xdist deals the tests in as many stretches as there are workers. Within a stretch files stay together: their fixtures are shared.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers == 1:
        return
    long = sorted((item for item in items if allowed_s(item) >= LONG_S), key=allowed_s, reverse=True)
    rest = [item for item in items if allowed_s(item) < LONG_S]
    size = -(-len(items) // workers)
    dealt: list[pytest.Item] = []
    for worker in range(workers):
        first = long[worker::workers]
        count = max(0, size - len(first))
        dealt += [*first, *rest[:count]]
        rest = rest[count:]
    items[:] = [*dealt, *rest]


def allowed_s(item: pytest.Item) -> float:
    """A test's timeout, as its marker says."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


def pytest_collection_finish() -> None:
    """What was imported and collected, thousands of tests, is looked through by the garbage collector no more."""
    leave_imports_out()


@pytest.fixture(scope="session", autouse=True)
def _stub_interpreter() -> Iterator[None]:
    """tests/stub_engine/bin/python runs with the interpreter of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAMPAIGN_TEST_PYTHON", sys.executable)
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_slurm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nobody but the lab's own tests asks a Slurm: not the lab, which may be up beside them, and not a cluster's, on its login node."""
    with pytest.MonkeyPatch.context() as patch:
        if not any(item.path.is_relative_to(REPOSITORY / "tests" / "cluster") for item in request.session.items):
            patch.setenv("SLURM_CONF", os.devnull)
        yield


@pytest.fixture(scope="session", autouse=True)
def _short_beats() -> Iterator[None]:
    """The real code with short beats, in this process and in every one that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(timing.VARIABLE, "short")
        patch.setattr(timing, "TIMING", timing.SHORT)
        yield


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives fields of this process's `Timing` other values: `beats(server_look=0.001)`."""
    return lambda **changes: monkeypatch.setattr(timing, "TIMING", replace(timing.TIMING, **changes))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read is waited for a moment only, and told again in each test."""
    monkeypatch.setattr(patience, "UNREADABLE", replace(patience.UNREADABLE, seconds=0.2, pause_s=(0.001, 0.001)))
    monkeypatch.setattr(patience, "QUEUE_READ", replace(patience.QUEUE_READ, seconds=0.2))
    monkeypatch.setattr(files, "_told", set())


@pytest.fixture
def repository() -> Path:
    """The checkout under test."""
    return REPOSITORY


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory: all paths of a campaign are relative to it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model_folder(in_tmp: Path) -> Path:
    """A folder that looks like a model to the checks; the stub engine never opens it."""
    folder = in_tmp / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def stub_campaign(in_tmp: Path, model_folder: Path) -> Callable[..., dict[str, Any]]:
    """Factory of raw configs (as YAML gives them) that run on the stub engine, with one JSONL dataset of `rows` prompts."""

    def make(rows: int = 20, shard_rows: int = 5, env: dict[str, Any] | None = None, **overrides: Any) -> dict[str, Any]:
        prompts = in_tmp / "prompts.jsonl"
        prompts.write_text("".join(f'{{"id": "p{i}", "word": "w{i}"}}\n' for i in range(rows)))
        raw: dict[str, Any] = {
            "campaign": "trial",
            "engine": str(REPOSITORY / "tests" / "stub_engine"),
            "models": {"stub": {"source": str(model_folder), "env": {k: str(v) for k, v in (env or {}).items()}}},
            "datasets": {
                "words": {
                    "files": [str(prompts)],
                    "id": "id",
                    "prompt": "Say <{{ id }}> {{ word }}",
                    "models": ["stub"],
                    "sampling": {"temperature": 0, "max_tokens": 8},
                    "shard_rows": shard_rows,
                }
            },
            "benchmark": {"enabled": False},
        }
        return {**raw, **overrides}

    return make


@pytest.fixture
def stub_config(stub_campaign: Callable[..., dict[str, Any]]) -> Callable[..., CampaignConfig]:
    """As `stub_campaign`, validated."""
    return lambda *args, **kwargs: validate(stub_campaign(*args, **kwargs))
