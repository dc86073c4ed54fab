"""State files as hints: whatever stands in one, its readers get a whole record or none, and are told once."""

import errno
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from campaign.core import files, patience, records, state_files
from campaign.core.errors import StateTooNew, StorageError
from campaign.core.files import append_json, write_json
from campaign.core.processes import ProcessId
from campaign.server.server_state import SERVER_STATE, ServerState, read_server_state, write_server_state

KINDS = [kind for kind in vars(state_files).values() if isinstance(kind, records.Kind)] + [SERVER_STATE]
PENDING: state_files.Pending = {"token": "first", "id": "i", "rows": 1, "parts": {"d": 1}, "shards": []}

junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["rows", "shards", "id", "state", "run", "supervisor", "schema_version", "x"]), inner)
    ),
    max_leaves=12,
)


@given(content=st.binary(max_size=40) | junk.map(orjson.dumps))
@example(content=b"")
@example(content=b"null")
@example(content=b'{"schema_version": "two"}')
@example(content=b'{"schema_version": -9007199254740992}')
@example(content=orjson.dumps(PENDING)[:-9])
def test_whatever_stands_in_a_file_is_a_record_or_none(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "file.json"
    path.write_bytes(content)
    for kind in KINDS:
        records.peek(kind, path)
        try:
            records.read(kind, path)
        except StateTooNew as error:
            assert str(path) in str(error)


@given(content=junk)
def test_an_endpoint_that_is_read_can_be_asked(content: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "endpoint.json"
    whole = {"state": "up", "run": "r", "job_id": "j", "host": "h", "model": "m"}
    write_json(path, {**whole, **content} if isinstance(content, dict) else content)
    server_state = read_server_state(path)
    assert server_state is None or not server_state.alive() or not isinstance(content, dict)


def test_what_is_written_is_read_and_carries_its_version(tmp_path: Path) -> None:
    path = tmp_path / "pending.json"
    records.write(state_files.PENDING, path, PENDING)
    assert orjson.loads(path.read_bytes())["schema_version"] == state_files.PENDING.version
    assert records.read(state_files.PENDING, path) == PENDING


def test_a_file_from_before_there_were_versions_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "pending.json", {**PENDING, "of_tomorrow": 1})
    assert records.read(state_files.PENDING, tmp_path / "pending.json") == {
        **PENDING,
        "of_tomorrow": 1,
    }  # unknown keys are kept
    point = {
        **dict.fromkeys(("allocation", "concurrency", "requests", "failed"), 1),
        "model": "m",
        "job_id": "j",
        "measured_at": 1.0,
    }
    write_json(tmp_path / "point.json", point)
    found = records.read(state_files.POINT, tmp_path / "point.json")
    assert found is not None
    assert found["base_model"] == "m"


def test_a_newer_version_is_refused_where_it_would_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    write_json(path, {"schema_version": 99, **PENDING, "runs": {}, "factors": {}})
    with pytest.raises(StateTooNew, match=r"f\.json .* newer version of the workflow \(schema 99"):
        records.read(state_files.SLURM_JOBS, path)
    assert records.peek(state_files.SLURM_JOBS, path) is None
    assert records.read(state_files.STATUS, path) is None  # rewritten every two seconds: nothing is lost


def test_damage_is_told_once_with_the_files_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "endpoint.json"
    path.write_bytes(b"")
    for _ in range(3):
        assert read_server_state(path) is None
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert str(path) in line


def test_unknown_keys_of_an_endpoint_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server_state = ServerState("up", "r", "j", "h", "m", supervisor=ProcessId.current().to_json())
    write_server_state(tmp_path / "endpoint.json", server_state)
    write_json(tmp_path / "endpoint.json", {**orjson.loads((tmp_path / "endpoint.json").read_bytes()), "tomorrow": 1})
    assert read_server_state(tmp_path / "endpoint.json") == server_state
    assert "tomorrow" in caplog.text


class Refusing:
    """A file system that refuses the next reads."""

    def __init__(self, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.slept = times, 0.0
        self._read = Path.read_bytes
        monkeypatch.setattr(Path, "read_bytes", lambda path: self.read(path))
        clock = SimpleNamespace(sleep=self.sleep, monotonic=lambda: self.slept)  # for this module: threads go on with theirs
        monkeypatch.setattr(files, "time", clock)

    def read(self, path: Path) -> bytes:
        if self.left > 0:
            self.left -= 1
            raise PermissionError(errno.EACCES, "Permission denied")
        return self._read(path)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def test_a_file_that_cannot_be_read_for_a_minute_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pending.json"
    records.write(state_files.PENDING, path, PENDING)
    disk = Refusing(8, monkeypatch)
    assert records.read(state_files.PENDING, path) == PENDING
    assert disk.slept > 45
    disk.left = 8
    assert records.peek(state_files.PENDING, path) is None  # who only looks does not wait
    assert disk.left == 7


def test_the_wait_is_bounded_and_says_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pending.json"
    records.write(state_files.PENDING, path, PENDING)
    disk = Refusing(10**6, monkeypatch)
    with pytest.raises(StorageError, match=f"Cannot read {path}: Permission denied"):
        records.read(state_files.PENDING, path)
    assert disk.slept <= patience.UNREADABLE.seconds + 10
    assert caplog.text.count("trying again") == 1


def test_foreign_lines_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.jsonl"
    append_json(path, {"t": 1.0, "run": "r", "event": "engine_up"})
    for foreign in (None, [1], "x", {"t": "noon"}, {"schema_version": {}}):
        append_json(path, foreign)
    with path.open("ab") as stream:
        stream.write(b"\xff\x00garbage\n")
    append_json(path, {"t": 2.0, "run": "r", "event": "engine_end"})
    assert [event["event"] for event in records.read_lines(state_files.EVENT, path)] == ["engine_up", "engine_end"]
    assert caplog.text.count(str(path)) == 1


def test_a_damaged_lock_holder_is_nobody(tmp_path: Path) -> None:
    from campaign.core import lock

    for content in (b"", b"[]", b'{"token": 1}', b'{"token": "t", "process": "p"}', b"\xff"):
        (tmp_path / "lock").write_bytes(content)
        assert lock.running_token(tmp_path / "lock") is None


@pytest.mark.parametrize("column", [{}, {"source": "id"}, {"source": 1, "type": "string"}, "id"])
def test_a_manifest_whose_columns_lost_something_is_damaged(column: Any, tmp_path: Path) -> None:
    """collect ended with a KeyError, at each try."""
    path = tmp_path / "manifest.json"
    write_json(path, {"rows": 0, "shards": [], "columns": [{"source": "id", "type": "string"}]})
    assert records.read(state_files.MANIFEST, path)
    write_json(path, {"rows": 0, "shards": [], "columns": [column]})
    assert records.is_damaged(state_files.MANIFEST, path)


def test_a_plan_whose_forecast_is_none_is_damaged(tmp_path: Path) -> None:
    """status ended with an AttributeError."""
    path = tmp_path / "plan.json"
    for forecast, damaged in ((None, False), ({"su": {}}, False), ("much", True)):
        write_json(path, {"made": 1.0, "models": {"m": {"forecast": forecast, "other": 1}}})
        assert records.is_damaged(state_files.PLAN, path) is damaged
