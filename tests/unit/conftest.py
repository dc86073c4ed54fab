"""`make unit` runs what starts no process: a test that starts one has the marker `processes`, or fails."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}
_started: list[str] = []


def _note(event: str, details: tuple[Any, ...]) -> None:
    if event in STARTS:
        _started.append(f"{event} {details[:2]}")


sys.addaudithook(_note)


def _refuse_processes(item: pytest.Item) -> Iterator[None]:
    _started.clear()
    yield
    if _started and item.get_closest_marker("processes") is None:
        pytest.fail(f"It starts processes and is not marked `processes`: {_started[0][:300]}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Fixtures, those of a module too."""
    yield from _refuse_processes(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """The test itself."""
    yield from _refuse_processes(item)
