"""Datasets made of files written by a test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign.config import CampaignConfig, validate
from campaign.core.errors import InputError
from campaign.requests.prepare import prepare
from campaign.requests.shards import read_shard, shard_path

PROMPT = {"prompt": "Say {{ word }}"}


class Trial:
    """A campaign `c` with one dataset `d` in the working directory `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, content: str | bytes) -> str:
        """Write a prompt file; returns its name."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    def lines(self, name: str, *rows: Any) -> str:
        """Write a JSONL file; returns its name."""
        return self.write(name, b"".join(orjson.dumps(row) + b"\n" for row in rows))

    def config(self, *files: str, **keys: Any) -> CampaignConfig:
        source = keys if keys.keys() & {"prompt", "messages", "batch"} else {**PROMPT, **keys}
        source.pop("batch", None)
        dataset = {"files": list(files), "models": ["m"], **source}
        return validate({"campaign": "c", "models": {"m": {"source": "model"}}, "datasets": {"d": dataset}})

    def prepare(self, *files: str, **keys: Any) -> dict[str, Any]:
        return prepare(self.config(*files, **keys), "d")

    def refusal(self, *files: str, **keys: Any) -> list[str]:
        """The problems for which prepare refuses."""
        with pytest.raises(InputError) as caught:
            self.prepare(*files, **keys)
        return caught.value.problems

    @property
    def shards(self) -> Path:
        return self.root / "results/c/requests/dataset=d"

    def rows(self) -> list[dict[str, Any]]:
        """All request rows in order, bodies and passthrough columns parsed."""
        manifest = orjson.loads((self.root / "results/c/manifests/d.json").read_bytes())
        rows = [row for s in manifest["shards"] for row in read_shard(shard_path(self.shards, s["index"])).to_pylist()]
        return [{**row, "body": orjson.loads(row["body"]), "columns": orjson.loads(row["columns"])} for row in rows]


@pytest.fixture
def trial(in_tmp: Path) -> Trial:
    return Trial(in_tmp)


@pytest.fixture
def batch_row() -> Callable[..., dict[str, Any]]:
    """Factory of OpenAI Batch rows."""

    def make(custom_id: str = "r1", **changes: Any) -> dict[str, Any]:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
        return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body, **changes}

    return make
