"""What an allocation may hold ahead, and what had its row before it began."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from campaign.queue import open_requests
from campaign.queue.open_requests import OpenRequests


def shard(name: str, rows: int = 100, *, is_done: bool = False) -> Any:
    return SimpleNamespace(name=name, rows=rows, journals=Path(name), is_done=lambda: is_done)


LISTED = [(shard("a"), 100), (shard("b"), 60), (shard("c"), 0)]


def test_one_allocation_may_hold_all() -> None:
    alone = OpenRequests(LISTED, 1)
    alone.took("a")
    assert alone.share == 160


def test_of_several_each_may_hold_half_of_its_share_of_what_nobody_took() -> None:
    ours = OpenRequests(LISTED, 2)
    assert ours.share == 160 // 4
    ours.took("b")
    assert ours.share == 100 // 4
    ours.took("c")  # it has no open request
    assert ours.share == 100 // 4
    ours.look({"a"})
    assert ours.share == 60 // 4


def test_journals_count_as_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_requests, "read_answers", lambda folder: dict.fromkeys(range({"a": 10, "b": 40}[folder.name])))
    assert OpenRequests([*LISTED, (shard("d", is_done=True), 5)], 1).answered_before(400) == 400 - 90 - 60
