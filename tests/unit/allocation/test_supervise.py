"""What a phase of an earlier version says to the supervisor that it starts, after an update of the checkout."""

import sys
from typing import Any

import pytest

from campaign.allocation import supervise


@pytest.mark.parametrize("name", ["--lock-token", "--session"])
def test_the_token_under_both_of_its_names(name: str, stub_config, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, ...]] = []

    class Recorded:
        def __init__(self, *words: Any) -> None:
            made.append(words)

        def run(self) -> None:
            pass

    config = stub_config()
    monkeypatch.setattr(supervise, "Supervisor", Recorded)
    monkeypatch.setattr(supervise, "load_resolved", lambda _: config)
    monkeypatch.setattr(
        sys, "argv", ["supervise", "config.json", "--model", "stub", "--allocation", "0", "--run", "r", name, "token"]
    )
    supervise.main()
    (words,) = made
    assert words[1:5] == ("stub", 0, "r", "token")
