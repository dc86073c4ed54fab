"""A hub with one tiny model, and a working directory that stages from it."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign.models.download import Patience
from campaign.models.source import HubModel
from support.hub import Hub, Repository, running_hub

MODEL = HubModel("acme/tiny", "main")
OLD, NEW = "a" * 40, "b" * 40
WEIGHTS = random.Random(1).randbytes(1_000_000)
HASTY = Patience(silence_s=5, tries=3, pause_s=0.01)

FILES = {
    "README.md": b"not needed",
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": WEIGHTS,
    "onnx/model.onnx": b"not needed",
}
NEEDED = ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "CURC_LLM_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.repositories[MODEL.id] = Repository({OLD: dict(FILES)}, OLD)
        yield hub


def move_main(hub: Hub) -> None:
    """The model's owner pushes other weights."""
    repository = hub.repositories[MODEL.id]
    repository.commits[NEW] = {**FILES, "model.safetensors": WEIGHTS[::-1]}
    repository.main = NEW
