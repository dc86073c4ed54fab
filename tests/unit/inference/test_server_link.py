"""The server is followed, connected to and started again, by what its files show."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from campaign.core import patience
from campaign.core.errors import NodeLost, NodeUnfit, ServerError, StorageError
from campaign.core.paths import AllocationPaths, CampaignPaths
from campaign.core.patience import in_flight
from campaign.core.processes import ProcessId
from campaign.inference.server_link import ServerLink
from campaign.server.server_state import ServerState, write_server_state

from .parts import UP, until

NOBODY = {**ProcessId.current().to_json(), "started": 1}  # of this host, and gone
STOPPED = replace(UP, state="stopped", url=None)


class Client:
    """Notes whom it was connected to."""

    def __init__(self) -> None:
        self.connected: list[tuple[str, str]] = []
        self.api_key = ""

    def connect(self, url: str, api_key: str) -> None:
        self.connected.append((url, api_key))
        self.api_key = api_key


class Rig:
    """A link to a server whose files a test writes. `starts`: what the next starts of the server leave."""

    def __init__(self, paths: AllocationPaths) -> None:
        self.paths, self.client = paths, Client()
        self.starts: list[ServerState] = []
        self.changes: list[bool] = []
        self.needed = True
        self.link = ServerLink("m", paths, self.client, self._start, self.changes.append)
        paths.api_key.parent.mkdir(parents=True, exist_ok=True)
        paths.api_key.write_text("key\n")

    def _start(self) -> ServerState:
        server_state = self.starts.pop(0)
        write_server_state(self.paths.server_state, server_state)
        return server_state

    async def sees(self, server_state: ServerState | None = None) -> bool:
        """Look once, at a new endpoint.json when one is given. Whether requests can be sent then."""
        if server_state is not None:
            write_server_state(self.paths.server_state, replace(server_state))
        await self.link.look(lambda: self.needed)
        return self.link.is_up


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(CampaignPaths("c", tmp_path).allocation("m", 0))


async def test_an_engine_is_connected_to_once(rig: Rig) -> None:
    for _ in range(3):
        assert await rig.sees(UP)
    assert (rig.client.connected, rig.changes, rig.link.run) == ([(UP.url, "key")], [True], "r")


async def test_each_start_of_the_engine_is_connected_to_anew(rig: Rig) -> None:
    await rig.sees(UP)
    assert not await rig.sees(replace(UP, state="restarting", url=None))
    assert await rig.sees(replace(UP, generation=2))
    assert (len(rig.client.connected), rig.changes) == (2, [True, True])
    assert rig.link.server_state is not None
    assert rig.link.server_state.generation == 2


async def test_a_server_that_was_only_being_stopped_is_used_again_as_it_was(rig: Rig) -> None:
    await rig.sees(UP)
    assert not await rig.sees(replace(UP, url=None))
    assert await rig.sees(UP)
    assert (len(rig.client.connected), rig.changes) == (1, [True, False])


@pytest.mark.parametrize(
    "gone", [STOPPED, replace(UP, supervisor=NOBODY), replace(UP, state="idle", url=None)], ids=["stopped", "killed", "idle"]
)
async def test_a_server_that_is_gone_is_started_only_when_it_is_needed(rig: Rig, gone: ServerState) -> None:
    rig.needed = False
    assert not await rig.sees(gone)
    rig.needed, rig.starts = True, [replace(UP, run="r2")]
    await rig.sees()
    assert await rig.sees()
    assert (rig.link.run, rig.starts) == ("r2", [])


async def test_a_server_that_does_not_stay_up_is_started_a_few_times(rig: Rig) -> None:
    """The first start is none of them: there was no server before."""
    rig.starts = [replace(UP, run=f"r{number}") for number in range(9)]
    for _ in range(in_flight.MOST_REVIVALS + 1):
        await rig.sees(STOPPED)
        assert await rig.sees()
    with pytest.raises(ServerError, match="The server of m does not stay up: its supervisor is gone"):
        await rig.sees(STOPPED)
    assert len(rig.starts) == 9 - in_flight.MOST_REVIVALS - 1


async def test_a_server_that_was_up_all_the_time_was_not_started_again(rig: Rig) -> None:
    await rig.sees(UP)
    for _ in range(2 * in_flight.MOST_REVIVALS):
        rig.starts = [UP]
        await rig.sees(STOPPED)
        assert await rig.sees()


async def test_what_a_failed_start_raises_is_raised(rig: Rig) -> None:
    def fail() -> ServerState:
        raise ServerError("no memory")

    link = ServerLink("m", rig.paths, rig.client, fail, rig.changes.append)
    with pytest.raises(ServerError, match="no memory"):
        await link.look(lambda: True)


@pytest.mark.parametrize(
    ("server_state", "error"),
    [
        (replace(UP, state="failed", url=None, node_lost=True, error="node c1 is down"), NodeLost),
        (replace(UP, state="failed", url=None, verdict="another_node", error="no driver"), NodeUnfit),
    ],
)
async def test_a_node_that_is_lost_or_unfit_ends_the_run(rig: Rig, server_state: ServerState, error: type[Exception]) -> None:
    with pytest.raises(error, match=str(server_state.error)):
        await rig.sees(server_state)


async def test_an_endpoint_that_is_away_for_a_moment_starts_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.sees(UP)
    rig.paths.server_state.unlink()
    for _ in range(3):
        assert not await rig.sees()
    assert await rig.sees(UP)
    rig.paths.server_state.unlink()
    monkeypatch.setattr(patience, "UNREADABLE", replace(patience.UNREADABLE, seconds=0.0))
    rig.starts = [replace(UP, run="r2")]
    await rig.sees()
    assert rig.starts == []


async def test_a_key_that_was_refused_is_read_again(rig: Rig) -> None:
    await rig.sees(UP)
    rig.link.reread_key()
    await rig.sees()
    assert len(rig.client.connected) == 1  # it is the same: its connections are good
    rig.paths.api_key.write_text("another")
    await rig.sees()
    assert len(rig.client.connected) == 1
    rig.link.reread_key()
    assert await rig.sees()
    assert [key for _, key in rig.client.connected] == ["key", "another"]


async def test_a_key_that_is_away_is_waited_for_and_then_missed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.paths.api_key.unlink()
    assert not await rig.sees(UP)
    rig.paths.api_key.write_text("key")
    assert await rig.sees()
    rig.paths.api_key.unlink()
    monkeypatch.setattr(patience, "UNREADABLE", replace(patience.UNREADABLE, seconds=0.0))
    with pytest.raises(StorageError, match="the key of the server of m"):
        await rig.sees(replace(UP, generation=2))


async def test_after_a_start_it_is_looked_at_again_at_once(rig: Rig) -> None:
    rig.starts = [UP]
    assert await rig.link.look(lambda: True) is False
    assert await rig.link.look(lambda: True) is True
    assert rig.link.is_up


async def test_a_start_that_hangs_can_be_left(rig: Rig) -> None:
    """infer is stopped while its server loads: the thread must hold up neither the event loop nor the process."""
    begun, ends = threading.Event(), threading.Event()

    def hang() -> ServerState:
        begun.set()
        ends.wait(30)
        return UP

    link = ServerLink("m", rig.paths, rig.client, hang, rig.changes.append)
    following = asyncio.create_task(link.follow(lambda: True))
    await until(begun.is_set)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "server")
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    ends.set()
    for thread in threading.enumerate():
        if thread.name == "server":
            await asyncio.to_thread(thread.join, 5)
