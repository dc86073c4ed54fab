"""What a supervisor writes of its server: endpoint.json at every heartbeat, and the events of its engines."""

import logging
import time
from pathlib import Path

from campaign.core import events, timing
from campaign.core.errors import StorageError
from campaign.core.files import PatientLines
from campaign.core.paths import AllocationPaths
from campaign.server.server_state import ServerState, write_server_state

log = logging.getLogger("supervisor")


class ServerRecord:
    """The state of the server and its file. A disk that is full for a while ends no engine: what cannot be written waits."""

    def __init__(self, paths: AllocationPaths, server_state: ServerState) -> None:
        self.server_state = server_state
        self._paths = paths
        self._events = PatientLines(paths.events)
        self._written = 0.0

    def write(self) -> bool:
        """Heartbeat. False while the disk is full; on this host the process itself is seen."""
        self._written = time.monotonic()
        self._events.flush()
        try:
            write_server_state(self._paths.server_state, self.server_state)
        except StorageError as error:
            log.debug("%s", error)
            return False
        return True

    def beat(self) -> None:
        """Heartbeat, if it is time for one."""
        if time.monotonic() - self._written > timing.TIMING.heartbeat:
            self.write()

    def begin_engine(self) -> None:
        """Count one more start of an engine."""
        self.server_state.generation += 1
        self.server_state.url = None
        self.event("engine_start")

    def event(self, name: events.EventName, **details: object) -> None:
        """Record an event of the current engine."""
        self._events.append(events.as_record(self.server_state.run, name, generation=self.server_state.generation, **details))

    def engine_log(self) -> Path:
        """The log of the current engine, in a folder that is there."""
        self._paths.logs.mkdir(parents=True, exist_ok=True)
        return self._paths.engine_log(self.server_state.run, self.server_state.generation)
