"""One live Snakemake per campaign.

The lock is an flock on `results/<campaign>/.campaign.lock`, held by Snakemake's main process: the kernel releases it when
its holder dies, kill -9 included, which Snakemake's own lock does not do. The file says who holds it, so that others
(supervisor, infer, a second Snakemake) can tell.
"""

import fcntl
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import orjson

from campaign.errors import LockHeld
from campaign.files import explained
from campaign.processes import ProcessId

_held: dict[Path, IO[bytes]] = {}


def acquire(path: Path) -> str:
    """Take the campaign's lock for the life of this process. Returns the token of this session.

    Raises LockHeld when another live process holds it, StorageError when the folder cannot be written.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+b")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        holder = read_holder(path) or {}
        process = holder.get("process", {})
        raise LockHeld(
            f"Another Snakemake (process {process.get('pid', '?')} on {process.get('host', '?')}) runs this campaign since "
            f"{holder.get('since', '?')}. Wait for it or stop it (Ctrl-C there), then run the same command again."
        ) from None
    token = uuid.uuid4().hex
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    stream.truncate(0)
    stream.write(orjson.dumps({"token": token, "process": ProcessId.current().to_json(), "since": since}))
    stream.flush()
    _held[path] = stream  # kept open, hence locked, until this process ends
    return token


def read_holder(path: Path) -> dict[str, Any] | None:
    """Who wrote the lock last ({"token", "process", "since"}); None when nobody ever did."""
    try:
        holder: dict[str, Any] = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return holder


def is_held(path: Path, token: str) -> bool:
    """Whether the session `token` still runs. Only meaningful on the host where it runs."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return False
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = read_holder(path)
            # An empty file is a holder between truncate and write: held, and not yet told apart.
            return holder is None or holder.get("token") == token
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_UN)
        return False


def session_token(path: Path) -> str | None:
    """Token of the session that holds the lock now; None when nobody does (a phase run by hand)."""
    holder = read_holder(path)
    if holder is None or not is_held(path, holder["token"]):
        return None
    token: str = holder["token"]
    return token
