"""Requests that were in flight when the engine died: one of them may have killed it.

They are remembered on disk, so that a restarted infer still sends them alone. The record is append-only:
{"key", "generation"} for a suspect, {"key", "cleared": true} once it has its row.
"""

from pathlib import Path

from campaign.core import records
from campaign.core.files import PatientLines


class Suspects:
    """The suspects of one allocation. While the disk is full they are remembered in memory alone."""

    def __init__(self, path: Path) -> None:
        self._lines = PatientLines(path)
        self.keys: set[str] = set()
        for record in records.read_lines(records.SUSPECT, path):
            if record.get("cleared"):
                self.keys.discard(record["key"])
            else:
                self.keys.add(record["key"])

    def add(self, key: str, generation: int) -> None:
        """Remember that the request was in flight when this start of the engine died."""
        if key not in self.keys:
            self.keys.add(key)
            self._lines.append({"key": key, "generation": generation})

    def clear(self, key: str) -> None:
        """The request has its row."""
        if key in self.keys:
            self.keys.discard(key)
            self._lines.append({"key": key, "cleared": True})
