"""Headers of safetensors files, of a folder and by ranges."""

import asyncio
import struct
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.models import hub
from campaign.models.file_selection import RemoteFile
from campaign.models.hub_access import Access, HubUnreachable
from campaign.models.hub_metadata import read_headers
from campaign.models.safetensors import Tensor, read_header
from campaign.models.source import HubModel
from support.hub import Hub, Repository, running_hub

MODEL, COMMIT = HubModel("acme/llama", "main"), "a" * 40


def file(tensors: int) -> bytes:
    """A file of so many tensors of four 16-bit numbers, followed by more than any header."""
    rows = {
        f"layers.{n}.weight": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [8 * n, 8 * n + 8]} for n in range(tensors)
    }
    header = orjson.dumps({"__metadata__": {"format": "pt"}, **rows})
    return struct.pack("<Q", len(header)) + header + b"\0" * max(8 * tensors, 1_000_000)


@given(st.binary(max_size=200))
def test_a_header_of_anything(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "model.safetensors"
    path.write_bytes(content)
    try:
        rows = read_header(path)
    except ValueError:
        return
    assert rows == []


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(file(2))
    assert read_header(tmp_path / "m.safetensors")[1] == Tensor("layers.1.weight", "BF16", (2, 2), 8)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running_hub() as running:
        files = {"small.safetensors": file(3), "large.safetensors": file(4000)}
        running.repositories[MODEL.id] = Repository({COMMIT: files}, COMMIT)
        yield running


def asked(served: Hub) -> list[Tensor]:
    async def ask() -> list[Tensor]:
        access, files = Access(served.url, None), served.repositories[MODEL.id].commits[COMMIT]
        listed = [RemoteFile(name, len(content)) for name, content in files.items()]
        async with hub.session(access, total_s=20, silence_s=20) as web:
            return await read_headers(web, access, MODEL, COMMIT, listed)

    return asyncio.run(ask())


@pytest.mark.parametrize("no_ranges", [False, True])
def test_headers_of_the_hub(served: Hub, no_ranges: bool) -> None:
    """The second file's header is longer than the first request."""
    served.trouble.no_ranges = no_ranges
    assert len(asked(served)) == 4003


def test_what_is_sent_is_little_more_than_the_headers(served: Hub) -> None:
    asked(served)
    assert served.sent < 600_000


def test_a_connection_that_breaks(served: Hub) -> None:
    served.trouble.cut_after, served.trouble.cuts = 100, 2
    with pytest.raises(HubUnreachable):
        asked(served)


def test_what_is_no_safetensors_file(served: Hub) -> None:
    served.repositories[MODEL.id].commits[COMMIT]["small.safetensors"] = b"\0" * 5000
    with pytest.raises(ValueError, match=r"small.safetensors is not a safetensors file"):
        asked(served)
