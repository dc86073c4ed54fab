"""An answer that was appended is there; one that was not leaves no trace."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core.errors import StorageError
from campaign.queue.answers.answer import better
from campaign.queue.answers.journal import Journal, iter_answers, read_answers
from support.queued import make_answer


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "shard")
    answers = [make_answer(f"{n:032x}", text="é\n\0" * n) for n in range(5)]
    for answer in answers:
        journal.append(answer)
    assert list(read_answers(tmp_path / "shard").values()) == answers
    journal.sync()
    journal.close()
    journal.close()
    assert list(read_answers(tmp_path / "shard").values()) == answers


def test_every_writer_has_its_own_file(tmp_path: Path) -> None:
    first, second = Journal(tmp_path), Journal(tmp_path)
    first.append(make_answer("a"))
    second.append(make_answer("b"))
    assert set(read_answers(tmp_path)) == {"a", "b"}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_journal_nobody_wrote_to_leaves_no_file(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(make_answer("a"))
    journal.close()
    # The other file gets the number of the closed descriptor.
    with (tmp_path / "other").open("wb"), pytest.raises(StorageError, match="closed"):
        journal.append(make_answer("b"))
    assert (tmp_path / "other").read_bytes() == b""
    assert set(read_answers(tmp_path)) == {"a"}


@pytest.mark.processes
def test_kill_9_right_after_append_loses_nothing(tmp_path: Path) -> None:
    program = (
        "import os, signal; from pathlib import Path; from campaign.queue.answers.journal import Journal\n"
        "journal = Journal(Path('shard'))\n"
        "for n in range(50): journal.append({'key': str(n), 'status': 'ok', 'started_at': 1.0})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    assert set(read_answers(tmp_path / "shard")) == {str(n) for n in range(50)}


@pytest.mark.processes
def test_a_full_disk_in_the_middle_of_a_line(tmp_path: Path) -> None:
    """The file-size limit of the kernel writes a part of the line and then refuses, as a full disk does."""
    program = (
        "import resource, signal; from pathlib import Path; from campaign.core.errors import StorageError\n"
        "from campaign.queue.answers.journal import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "answer = lambda key: {'key': key, 'status': 'ok', 'started_at': 1.0, 'text': 'x' * 100}\n"
        "journal = Journal(Path('shard'))\n"
        "journal.append(answer('a'))\n"
        "size = journal.path.stat().st_size\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, hard))\n"
        "for _ in range(3):\n"
        "    try: journal.append(answer('b'))\n"
        "    except StorageError as error: print(error)\n"
        "    assert journal.path.stat().st_size == size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "journal.append(answer('b')); journal.append(answer('c'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("Cannot write shard/answers-") == 3
    assert list(read_answers(tmp_path / "shard")) == ["a", "b", "c"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    journal.append(make_answer("a"))
    journal.append(make_answer("b"))
    assert list(read_answers(tmp_path)) == ["a", "b"]


def test_a_torn_line_that_cannot_be_removed_at_once_is_removed_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.append(make_answer("a"))
    write, broken = os.write, OSError(5, "Input/output error")

    def tear(descriptor: int, data: bytes) -> int:
        write(descriptor, data[:20])
        raise broken

    def refuse(*_: object) -> None:
        raise broken

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", tear)
        patched.setattr(os, "ftruncate", refuse)
        with pytest.raises(StorageError):
            journal.append(make_answer("b"))
        with pytest.raises(StorageError):
            journal.append(make_answer("b"))
    journal.append(make_answer("b"))
    assert list(read_answers(tmp_path)) == ["a", "b"]


def test_a_sync_that_failed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, synced = Journal(tmp_path), []

    def fail(_: int) -> None:
        synced.append("failed")
        raise OSError(28, "No space left on device")

    journal.append(make_answer("a"))
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(StorageError, match="the disk is full"):
        journal.sync()
    monkeypatch.setattr(os, "fdatasync", lambda _: synced.append("made"))
    journal.sync()
    journal.sync()  # nothing was written since
    assert synced == ["failed", "made"]


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Cannot write"):
        Journal(tmp_path / "file" / "shard")


@given(cut=st.integers(0, 3000), tail=st.binary(max_size=30))
def test_a_journal_torn_anywhere_gives_its_whole_lines(cut: int, tail: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("torn") / "answers-1.jsonl"
    lines = [orjson.dumps(make_answer(f"k{n}", text="é\n" * n)) for n in range(6)]
    whole = b"".join(line + b"\n" for line in lines)
    path.write_bytes(whole[:cut] + tail.replace(b"\n", b""))
    ends = [sum(len(line) + 1 for line in lines[: n + 1]) for n in range(6)]
    certain = [f"k{n}" for n in range(6) if ends[n] <= cut]
    read = [answer["key"] for answer in iter_answers(path)]
    assert read[: len(certain)] == certain
    assert len(read) <= len(certain) + 1  # a last line that lacks nothing but its end


FOREIGN = [b'{"key": "x"}', b"[1]", b"null", b'{"key": 1, "status": "ok", "started_at": 1}', b'{"key": "x", "status": []}']


@given(junk=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(FOREIGN))))
def test_foreign_lines_are_skipped(junk: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("junk") / "answers-1.jsonl"
    good = [orjson.dumps(make_answer(f"k{n}")) for n in range(len(junk) + 1)]
    mixed = [good[0]]
    for line, answer in zip(junk, good[1:], strict=True):
        mixed += [line, answer]
    path.write_bytes(b"\n".join(mixed) + b"\n")
    assert [answer["key"] for answer in iter_answers(path)] == [f"k{n}" for n in range(len(good))]


def test_of_several_answers_an_ok_one_counts_then_the_latest(tmp_path: Path) -> None:
    ok, later_failure = make_answer("a", started_at=1.0), make_answer("a", "failed", started_at=9.0)
    assert better(ok, later_failure) == better(later_failure, ok) == ok
    early, late = make_answer("b", "failed", started_at=1.0), make_answer("b", "failed", started_at=2.0)
    assert better(early, late) == better(late, early) == late
    for answer in (ok, late):
        journal = Journal(tmp_path)
        journal.append(answer)
        journal.close()
    journal = Journal(tmp_path)
    journal.append(later_failure)
    journal.append(early)
    journal.close()
    assert read_answers(tmp_path) == {"a": ok, "b": late}


def test_journals_removed_while_they_are_read_hold_nothing(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "none") == {}
    assert list(iter_answers(tmp_path / "none.jsonl")) == []
