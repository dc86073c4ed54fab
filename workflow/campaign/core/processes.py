"""Processes as /proc shows them (Linux): identity that survives pid reuse, liveness, descendants, and ending a tree."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from campaign.core import timing

STARTER_VARIABLE = "CAMPAIGN_STARTER"


@dataclass(frozen=True)
class ProcessId:
    """A process, told apart from a later one with the same pid by its start time (clock ticks since boot)."""

    host: str
    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The identity of a live process on this host; None when there is none."""
        started = _start_time(pid)
        return None if started is None else cls(socket.gethostname(), pid, started)

    @classmethod
    def current(cls) -> "ProcessId":
        identity = cls.of(os.getpid())
        if identity is None:
            raise RuntimeError("/proc is not mounted")
        return identity

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ProcessId":
        return cls(value["host"], value["pid"], value["started"])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_text(cls, text: str) -> "ProcessId":
        host, pid, started = text.rsplit(":", 2)
        return cls(host, int(pid), int(started))

    def to_text(self) -> str:
        return f"{self.host}:{self.pid}:{self.started}"

    @property
    def here(self) -> bool:
        """Whether the process lives (or lived) on this host, so that /proc can tell its state."""
        return self.host == socket.gethostname()

    def alive(self) -> bool:
        """Whether the process still runs. Only meaningful on its own host (`here`)."""
        return _start_time(self.pid) == self.started


def starter() -> ProcessId:
    """The process a server started here belongs to when no Snakemake holds the campaign: what began the phase, or this one."""
    named = os.environ.get(STARTER_VARIABLE)
    return ProcessId.current() if named is None else ProcessId.from_text(named)


def name_starter() -> None:
    """For a phase run by hand, which ends at once: its server belongs to the shell or script that runs the phases."""
    parent = ProcessId.of(os.getppid())
    if parent is not None:
        os.environ.setdefault(STARTER_VARIABLE, parent.to_text())


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # hidepid=1 closes other users' processes
        return None
    # The command name may hold spaces and parentheses; everything after the last ')' is plain.
    return text[text.rindex(")") + 2 :].split()


def _start_time(pid: int) -> int | None:
    fields = _stat_fields(pid)
    if fields is None or fields[0] == "Z":
        return None
    return int(fields[19])  # field 22 of proc(5), two fields were cut off


def descendants(pid: int) -> list[int]:
    """All live descendants of `pid`, parents before their children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat_fields(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.extend(below)
        waiting.extend(below)
    return found


def carrying(variable: str, value: str) -> list[int]:
    """Processes of this user whose environment holds `variable=value` (how strays of a dead run are found)."""
    wanted = f"{variable}={value}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def running(is_meant: Callable[[list[str]], bool], folder: Path) -> list[int]:
    """Processes of this user in that working directory whose arguments, without the program itself, are meant."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # ended meanwhile, or another user's
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[1:]
            if is_meant(arguments) and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    return found


def variable(pid: int, name: str) -> str | None:
    """An environment variable of a process, as it was when the process began; None without it or its process."""
    prefix = f"{name}=".encode()
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((entry[len(prefix) :].decode(errors="replace") for entry in entries if entry.startswith(prefix)), None)


def end(pids: Iterable[int], grace: float) -> None:
    """SIGTERM to each process, SIGKILL to those alive after `grace` seconds. Ends only the pids given."""
    identities = [identity for pid in pids if (identity := ProcessId.of(pid)) is not None]
    for identity in identities:
        _signal(identity, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(identity.alive() for identity in identities):
        time.sleep(timing.TIMING.process_look)
    for identity in identities:
        _signal(identity, signal.SIGKILL)


def _signal(identity: ProcessId, number: signal.Signals) -> None:
    if identity.alive():
        with suppress(ProcessLookupError):
            os.kill(identity.pid, number)
