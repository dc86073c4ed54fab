"""What tests of a run's jobs share."""

import pytest

from support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def told() -> list[str]:
    """The lines that a user was told."""
    return []
