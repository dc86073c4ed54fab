"""One live Snakemake per campaign.

The lock is an flock on `results/<campaign>/.campaign.lock`, held by Snakemake's main process: the kernel releases it when
its holder dies, kill -9 included, which Snakemake's own lock does not do. The file says who holds it, so that others
(supervisor, infer, a second Snakemake) can tell.

Not every shared file system carries an flock to other hosts. So the holder also touches the file every few seconds, and a
taker on another host watches for that before it believes the holder dead. Where there is no flock at all, the process that the
file names tells on its own host.
"""

import atexit
import fcntl
import os
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import orjson

from campaign.core import patience, timing
from campaign.core.errors import LockHeld, StorageError
from campaign.core.file_lock import try_lock
from campaign.core.files import explained, patiently
from campaign.core.processes import ProcessId

_WATCH_S = patience.LOCK_WATCH.seconds
_SETTLED_S = 0.5  # two takers at once, where there is no flock, have both written by then

_held: dict[Path, IO[bytes]] = {}


def acquire(path: Path) -> str:
    """Take the campaign's lock for the life of this process. Returns the token of this run.

    Raises LockHeld when another live process holds it, StorageError when the folder cannot be written.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+b")
        got = try_lock(stream, fcntl.LOCK_EX)
    if got is False or (got is None and _lives_here(path)) or _lives_elsewhere(path):
        stream.close()
        raise _held_by_another(path)
    token = uuid.uuid4().hex
    record = {"token": token, "process": ProcessId.current().to_json(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    _write(stream, record)
    if got is None:
        _settle(path, stream, token)
    _held[path] = stream  # kept open, hence locked, until this process ends
    threading.Thread(target=_beat, args=(stream,), daemon=True, name="campaign lock").start()
    atexit.register(_write, stream, {**record, "ended": True})
    return token


def _settle(path: Path, stream: IO[bytes], token: str) -> None:
    """Without flock the one who wrote last holds it. Raises LockHeld when that was another one."""
    time.sleep(_SETTLED_S)
    holder = read_holder(path)
    if holder is not None and holder["token"] != token:
        stream.close()
        raise _held_by_another(path)


def _held_by_another(path: Path) -> LockHeld:
    holder = read_holder(path) or {}
    process = holder.get("process", {})
    return LockHeld(
        f"Another Snakemake (process {process.get('pid', '?')} on {process.get('host', '?')}) runs this campaign since "
        f"{holder.get('since', '?')}. Wait for it or stop it (Ctrl-C there), then run the same command again."
    )


def _write(stream: IO[bytes], record: dict[str, Any]) -> None:
    with suppress(OSError, ValueError):  # a full disk, or closed, at the very end: a taker on another host waits a little
        stream.truncate(0)
        stream.write(orjson.dumps(record))
        stream.flush()


def _beat(stream: IO[bytes]) -> None:
    while not stream.closed:
        time.sleep(timing.TIMING.lock_beat)
        with suppress(OSError, ValueError):  # ValueError: closed meanwhile
            os.utime(stream.fileno())


def _lives_elsewhere(path: Path, watch: float = _WATCH_S) -> bool:
    """Whether the holder named in the file is on another host and was seen alive. Takes up to `watch` seconds."""
    holder = read_holder(path)
    if holder is None or holder.get("ended") or ProcessId.from_json(holder["process"]).here:
        return False
    first, deadline = path.stat().st_mtime_ns, time.monotonic() + watch
    while time.monotonic() < deadline:
        if path.stat().st_mtime_ns != first:
            return True
        time.sleep(timing.TIMING.lock_look)
    return False


def _lives_here(path: Path) -> bool:
    """Whether the holder named in the file is a process of this host that runs."""
    holder = read_holder(path)
    if holder is None or holder.get("ended"):
        return False
    process = ProcessId.from_json(holder["process"])
    return process.here and process.alive()


def read_holder(path: Path, seconds: float | None = None) -> dict[str, Any] | None:
    """Who wrote the lock last ({"token", "process", "since"}); None when nobody ever did.

    `seconds`: as of files.patiently. Raises StorageError.
    """
    try:
        holder = orjson.loads(patiently(path, path.read_bytes, seconds))
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    whole = isinstance(holder, dict) and isinstance(holder.get("token"), str) and _is_process(holder.get("process"))
    return holder if whole else None


def _is_process(value: Any) -> bool:
    return isinstance(value, dict) and {"host", "pid", "started"} <= value.keys()


def is_held(path: Path, token: str) -> bool:
    """Whether the Snakemake of `token` still runs. Only meaningful on the host where it runs.

    It is asked several times a second: what cannot be read just now is as it was.
    """
    try:
        if not _is_locked(path, 0.0):
            return False
        holder = read_holder(path, 0.0)
    except StorageError:
        return True
    # An empty file is a holder between truncate and write: held, and not yet told apart.
    return holder is None or holder.get("token") == token


def is_taken(path: Path) -> bool:
    """Whether a live Snakemake runs the campaign, as `acquire` would find it. Raises StorageError.

    Takes up to patience.LOCK_WATCH seconds where the last holder was on another host and did not tell its end.
    """
    return path.exists() and (_is_locked(path) or _lives_elsewhere(path))


def _is_locked(path: Path, seconds: float | None = None) -> bool:
    """Whether a process holds the file's lock, as far as this host can see. Closing the file gives a lock of ours back."""

    def look() -> bool:
        with path.open("rb") as stream:
            got = try_lock(stream, fcntl.LOCK_SH)
        return _lives_here(path) if got is None else not got

    try:
        return patiently(path, look, seconds)
    except FileNotFoundError:
        return False


def running_token(path: Path, seconds: float | None = None) -> str | None:
    """Token of the Snakemake that holds the lock now; None when nobody does (a phase run by hand).

    `seconds`: as of files.patiently. Raises StorageError.
    """
    holder = read_holder(path, seconds)
    if holder is None or not is_held(path, holder["token"]):
        return None
    token: str = holder["token"]
    return token
