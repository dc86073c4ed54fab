"""The report in headless Chromium. Needs the packages of `make browser-packages`."""

import os
from collections.abc import Iterator

import pytest

from support.browser import Browser, available, browser
from support.finished import billed, finished

__all__ = ["billed", "finished"]

NOT_RUN = "tests/browser (the report in Chromium) was not run: Debian's packages chromium and chromium-driver are missing."

if not available() and "CI" in os.environ:
    pytest.exit(f"{NOT_RUN} CI is set, so that is an error.", returncode=pytest.ExitCode.USAGE_ERROR)

collect_ignore_glob = [] if available() else ["*"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Not pytest_report_header: that is asked for before this file is read when all of tests/ is run."""
    if not available():
        terminalreporter.write_line(NOT_RUN)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing to run is not a failure where it was said why."""
    if not available() and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened
