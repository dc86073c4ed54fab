"""Holds a campaign's processes at chosen places, for tests that end them there. On PYTHONPATH, so that every process loads it.

CAMPAIGN_TEST_PLACES names a file with places, one a line: a part of the path of a file that is about to be put in its place, or
`loading`: an engine that begins to load. Whoever comes to one writes "PLACE PID" to <file>.reached and waits until the place
leaves the file. A place that begins with `!` is a full disk: the file cannot be put in its place.
"""

import errno
import os
import sys
import time
from pathlib import Path

_CONTROL = os.environ.get("CAMPAIGN_TEST_PLACES")


def _places() -> list[str]:
    try:
        return Path(_CONTROL or "").read_text().split()
    except OSError:
        return []


def _come_to(name: str) -> None:
    for place in _places():
        if place.removeprefix("!") in name:
            with Path(f"{_CONTROL}.reached").open("a") as stream:
                stream.write(f"{place} {os.getpid()}\n")
            if place.startswith("!"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            while place in _places():
                time.sleep(0.05)


if _CONTROL:
    if "vllm.entrypoints.openai.api_server" in sys.orig_argv and "campaign.server.host.reaper" not in sys.orig_argv:
        _come_to("loading")
    _replace = Path.replace

    def _held(self: Path, target: "str | os.PathLike[str]") -> Path:
        _come_to(str(target))
        return _replace(self, target)

    Path.replace = _held  # type: ignore[method-assign]
