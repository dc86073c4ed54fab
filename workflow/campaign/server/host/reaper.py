"""The process between supervisor and engine: when either dies, nothing of the engine stays.

    supervisor ── reaper ── API server ── EngineCore, workers ...

kill -9 of the supervisor: the kernel sends the reaper SIGTERM (PDEATHSIG), and it ends the tree below.
kill -9 of the reaper: the kernel kills the API server; what that leaves behind falls to the supervisor, a subreaper too.
kill -9 of the API server: its orphans fall to the reaper (a subreaper), which ends them.

    python -m campaign.server.host.reaper COMMAND ...
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from types import FrameType

from campaign.core import timing
from campaign.core.processes import descendants, end

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36

STOP_GRACE_S = 8.0  # vLLM's API server takes 2 to 5 s to shut its engine down

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Orphaned descendants fall to this process instead of to init."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(number: signal.Signals) -> None:
    """Have the kernel send `number` to this process when its parent dies."""
    _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def end_descendants(spare: Collection[int] = (), grace: float = STOP_GRACE_S) -> None:
    """End everything below this process, however deep, but for the pids in `spare`; SIGKILL after `grace` seconds."""
    while below := [pid for pid in descendants(os.getpid()) if pid not in spare]:
        end(below, grace)
        _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def main() -> int:
    """Run the command; its exit code, or 128 plus the signal that ended it, is returned."""
    parent = os.getppid()
    become_subreaper()

    def stop(number: int, _: FrameType | None) -> None:
        end_descendants()
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        return 1  # the supervisor died before the kernel was asked to tell

    child = subprocess.Popen(sys.argv[1:], preexec_fn=lambda: die_with_parent(signal.SIGKILL))
    while (code := child.poll()) is None:
        time.sleep(timing.TIMING.process_look)
    end_descendants()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
