"""The last words of a node's Ray: its temporary folder goes with it, so its agent repeats them in its own log."""

from collections.abc import Iterator
from pathlib import Path

from campaign.core.files import tail

_MOST = 40  # files: a node has few workers, and a driver's restarts leave some more
_NAMES = ("worker-*.err", "raylet.err", "raylet.out", "gcs_server.err", "gcs_server.out")


def last_words(temp: Path) -> Iterator[str]:
    """Lines of Ray's own logs below its temporary folder, each with the process that wrote it.

    Workers' in full, of Ray's services what is no INFO.
    """
    folder = temp / "session_latest" / "logs"
    files = [path for name in _NAMES for path in sorted(folder.glob(name))]
    for path in files[:_MOST]:
        process = f"(RayWorker pid={path.stem.rpartition('-')[2]}) " if path.name.startswith("worker-") else ""
        yield from (f"{process}{line}" for line in tail(path).splitlines() if process or " I " not in line[:48])
