"""Files that a parallel file system does not give for a moment: waited for, never taken for files that are not there.

An answer that is overlooked would be asked and paid for again.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest

from campaign.core import patience
from campaign.core.errors import RequestsDamaged, StorageError
from campaign.core.files import patiently
from campaign.queue.answers.journal import read_answers
from support.queued import Trial, rows

pytestmark = pytest.mark.usefixtures("impatient")

PASSING = [errno.EIO, errno.ESTALE, errno.EACCES]


@contextmanager
def refused(number: int, refuses: Callable[[Path], bool]) -> Iterator[list[str]]:
    """Reading fails with this errno where `refuses` says so. Yields the names of what was refused."""
    seen: list[str] = []

    def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
        def read(path: Any, *args: Any, **options: Any) -> Any:
            writes = args and isinstance(args[0], str) and args[0][0] in "wa"
            if isinstance(path, Path) and not writes and path.exists() and refuses(path):
                seen.append(path.name)
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *args, **options)

        return read

    with (
        patch.object(Path, "open", refusing(Path.open)),
        patch.object(Path, "iterdir", refusing(Path.iterdir)),
        patch.object(pq, "read_metadata", refusing(pq.read_metadata)),
        patch.object(pq, "read_table", refusing(pq.read_table)),
        patch.object(pq, "ParquetFile", refusing(pq.ParquetFile)),
    ):
        yield seen


def each_time_once() -> Callable[[Path], bool]:
    """Every second read of a file fails, the first one too. Carried journals are opened again to be synced: no reading."""
    given: dict[Path, int] = {}

    def refuses(path: Path) -> bool:
        given[path] = given.get(path, 0) + 1
        return given[path] % 2 == 1 and not path.name.startswith("carried-") and "results" in path.parts

    return refuses


@pytest.mark.parametrize("number", PASSING)
def test_nothing_is_asked_twice_when_every_file_is_refused_at_first(trial: Callable[..., Trial], number: int) -> None:
    """Answered in part, edited so that parts are moved and carried, and finished: each read fails once."""
    campaign = trial(prompts=8)
    campaign.prepare()
    with refused(number, each_time_once()) as seen:
        campaign.enqueue()
        campaign.answer(campaign.queue(), at_most=5)
        campaign.run()
        campaign.dataset("d", rows(99, *range(8)))
        campaign.run()
    assert set(campaign.asked.values()) == {1}
    assert campaign.words() == sorted(f"w{n}" for n in (99, *range(8)))
    assert any(name.endswith(".jsonl") for name in seen)
    assert any(name.startswith("part-") for name in seen)
    assert any(name.startswith("shard-") for name in seen)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_what_stays_unreadable_ends_with_a_sentence_and_is_not_asked_again(trial: Callable[..., Trial], suffix: str) -> None:
    campaign = trial(prompts=8)
    campaign.prepare()
    campaign.enqueue()
    campaign.answer(campaign.queue(), at_most=5)
    asked = campaign.asked.total()
    answers = {"journals", "responses"}
    for_good = refused(errno.EIO, lambda path: path.suffix == suffix and bool(answers & set(path.parts)))
    with for_good, pytest.raises(StorageError, match=r"Cannot read .*: Input/output error\. Make it readable"):
        campaign.run()
    assert campaign.asked.total() == asked
    campaign.run()
    assert set(campaign.asked.values()) == {1}


def test_a_journal_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(trial: Callable[..., Trial]) -> None:
    campaign = trial(prompts=3)
    campaign.prepare()
    campaign.enqueue()
    campaign.answer(campaign.queue(), at_most=2)
    (shard,) = campaign.shards()
    with refused(errno.EACCES, lambda path: path == shard.journals), pytest.raises(StorageError, match="Permission denied"):
        read_answers(shard.journals)


@pytest.mark.parametrize("number", [errno.ENOTDIR, errno.EISDIR])
def test_what_waiting_does_not_help_is_not_waited_for(number: int) -> None:
    tries = []

    def attempt() -> None:
        tries.append(1)
        raise OSError(number, os.strerror(number))

    with pytest.raises(StorageError):
        patiently(Path("x"), attempt)
    assert len(tries) == 1


def test_damaged_requests_are_told_at_once(trial: Callable[..., Trial]) -> None:
    campaign = trial(prompts=3)
    campaign.prepare()
    (shard,) = campaign.shards()
    shard.requests_path.write_bytes(b"PAR1 damaged PAR1")
    with pytest.raises(RequestsDamaged):
        shard.requests()


def test_it_is_told_once_that_a_file_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    def attempt() -> None:
        raise OSError(errno.ESTALE, "stale")

    for _ in range(2):
        with suppress(StorageError):
            patiently(Path("some/file"), attempt)
    assert [record.message for record in caplog.records] == [
        "some/file cannot be read (Stale file handle); trying again for up to 0 s"
    ]


def test_the_thread_that_writes_the_beats_is_not_held_by_what_cannot_be_read(
    trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every read of the queue has its own, shorter patience."""
    assert 2 * patience.QUEUE_READ.seconds < patience.OWNERSHIP.seconds
    campaign = trial(prompts=8)
    campaign.prepare()
    campaign.enqueue()
    campaign.answer(campaign.queue(), at_most=4)
    queue = campaign.queue()
    monkeypatch.setattr(patience, "UNREADABLE", replace(patience.UNREADABLE, seconds=1e9))
    monkeypatch.setattr(patience, "QUEUE_READ", replace(patience.QUEUE_READ, seconds=0.0))
    for suffix in (".jsonl", ".parquet"):
        with refused(errno.EIO, lambda path, end=suffix: path.suffix == end), pytest.raises(StorageError):
            queue.claim_next()
