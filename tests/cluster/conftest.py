"""Tests on real Slurm with several nodes. They need root and the packages of `make lab-packages`.

CAMPAIGN_LAB_KEEP=1 uses a lab that is already up and leaves it up, for work on the tests; its logs are in /srv/campaign-lab/log.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import lab as support

IS_ROOT = os.geteuid() == 0
NOT_RUN = "tests/cluster (campaigns on real Slurm with several nodes) was not run: only root can make the nodes."

if not IS_ROOT and "CI" in os.environ:
    pytest.exit(f"{NOT_RUN} CI is set, so that is an error.", returncode=pytest.ExitCode.USAGE_ERROR)

collect_ignore_glob = [] if IS_ROOT else ["*"]


@pytest.hookimpl(trylast=True)  # what is deselected is gone then
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest (by their timeouts) first, dealt to the workers in turn: else the last one runs alone for minutes."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    here.sort(key=_allowed_s, reverse=True)
    others = [item for item in items if item not in here]
    items[:] = [*others, *(item for worker in range(workers) for item in here[worker::workers])]


def _allowed_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Not pytest_report_header: that is asked for before this file is read when all of tests/ is run."""
    if not IS_ROOT:
        terminalreporter.write_line(NOT_RUN)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing to run is not a failure where it was said why."""
    if not IS_ROOT and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(scope="session")
def lab() -> Iterator[None]:
    """The cluster, up: see `support.lab`."""
    with support.running(second_network=True, keep="CAMPAIGN_LAB_KEEP" in os.environ):
        yield


@pytest.fixture
def shared(lab: None, request: pytest.FixtureRequest) -> Path:
    """A new folder that every node sees (pytest's tmp_path is under /tmp, which each node has for itself)."""
    folder = support.SHARED / f"{request.node.name}-{os.urandom(3).hex()}"
    folder.mkdir()
    return folder


@pytest.fixture
def small(lab: None, request: pytest.FixtureRequest) -> Path:
    """A new folder on a file system of 32 MB that every node sees."""
    folder = support.SMALL / f"{request.node.name}-{os.urandom(3).hex()}"
    folder.mkdir()
    return folder


@pytest.fixture
def with_rules(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new folder to work in, for whose jobs the lab plays a site's rules."""
    (shared / "site-rules").touch()
    monkeypatch.chdir(shared)
