"""The campaign's lock: one live holder, released by its death, told apart by its token."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import orjson
import pytest

from campaign.core import lock
from campaign.core.errors import LockHeld, StorageError

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from campaign.core import lock

if "no flock" in sys.argv:
    lock.try_lock = lambda *_: None
print(lock.acquire(Path(sys.argv[1])), flush=True)
if "child" in sys.argv:
    print(subprocess.Popen(["sleep", "30"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid, flush=True)
else:
    time.sleep(60)
"""


@pytest.fixture(params=["flock", "no flock"])
def held(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On a file system that has flock, and on one that has not."""
    path = tmp_path / "results" / ".campaign.lock"
    if request.param == "no flock":
        monkeypatch.setattr(lock, "try_lock", lambda *_: None)
    command = [sys.executable, "-c", HOLDER, str(path), request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        token = process.stdout.readline().strip()
        yield path, token, process
        process.kill()


@pytest.mark.processes
def test_a_second_holder_is_refused_by_name(held) -> None:
    path, _, process = held
    with pytest.raises(LockHeld, match=f"process {process.pid} on "):
        lock.acquire(path)


@pytest.mark.processes
def test_the_token_tells_the_snakemake(held) -> None:
    path, token, _ = held
    assert lock.is_held(path, token)
    assert not lock.is_held(path, "another")
    assert lock.running_token(path) == token
    assert lock.is_taken(path)


@pytest.mark.processes
def test_death_releases_it(held) -> None:
    path, token, process = held
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not lock.is_held(path, token)
    assert lock.running_token(path) is None
    assert not lock.is_taken(path)
    assert lock.acquire(path) != token


def test_nobody_ever_held_it(tmp_path: Path) -> None:
    assert lock.running_token(tmp_path / "none") is None
    assert not lock.is_held(tmp_path / "none", "token")
    assert not lock.is_taken(tmp_path / "none")


@pytest.mark.processes
def test_children_do_not_inherit_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path), "child"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    token, child = result.stdout.split()
    try:
        time.sleep(0.1)
        assert not lock.is_held(path, token)
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_a_holder_on_another_host_is_believed_while_it_beats(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = {"token": "t", "process": {"host": "elsewhere", "pid": 1, "started": 1}, "since": "yesterday"}
    path.write_bytes(orjson.dumps(holder))
    assert not lock._lives_elsewhere(path, watch=0.6)  # silent: dead

    beating = threading.Event()

    def beat() -> None:
        while not beating.wait(0.2):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        assert lock.running_token(path) is None
        assert lock.is_taken(path)
        with pytest.raises(LockHeld, match="elsewhere"):
            lock.acquire(path)
    finally:
        beating.set()
        thread.join()
    path.write_bytes(orjson.dumps({**holder, "ended": True}))
    started = time.monotonic()
    lock.acquire(path)
    assert time.monotonic() - started < lock._WATCH_S


def test_of_two_takers_at_once_without_flock_one_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "try_lock", lambda *_: None)
    path = tmp_path / "lock"
    later = {"token": "t", "process": {"host": "elsewhere", "pid": 1, "started": 1}, "since": "now"}
    monkeypatch.setattr(lock.time, "sleep", lambda _: path.write_bytes(orjson.dumps(later)))
    with pytest.raises(LockHeld, match="elsewhere"):
        lock.acquire(path)


def test_what_cannot_be_read_for_a_moment_is_still_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that took it for released would end its engine, and an OSError would end the supervisor."""
    path = tmp_path / "lock"
    token = lock.acquire(path)
    failing = iter([OSError(errno.ESTALE, "stale"), OSError(errno.EIO, "i/o")])

    def read(asked: Path) -> bytes:
        raise next(failing)

    monkeypatch.setattr(Path, "read_bytes", read)
    assert lock.is_held(path, token)
    assert lock.is_held(path, "another")


def test_something_else_in_its_place_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        lock.running_token(tmp_path / "lock")
    with pytest.raises(StorageError, match="lock"):
        lock.acquire(tmp_path / "lock")
