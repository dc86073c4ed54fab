"""Vectors, scores and ranks of a real vLLM: the batch file that its own `run-batch` takes gives the same answers here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.config import validate
from campaign.report.export import export
from support.asked_of_vllm import asked
from support.engine import MODEL, PROMPTS, real_campaign
from support.run_batch import MODEL_KEYS, by_id, line, run_batch

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

TEXTS = [row["country"] for row in map(json.loads, PROMPTS.read_text().splitlines())]


def batch_lines() -> list[str]:
    embeddings = [line(f"e{n}", "/v1/embeddings", input=f"{n}: {TEXTS[n % len(TEXTS)]}") for n in range(60)]
    scores = [line(f"s{n}", "/v1/score", text_1="What is the capital?", text_2=TEXTS[n]) for n in range(4)]
    several = line("several", "/score", queries="What is the capital?", documents=TEXTS[:3])
    ranks = line("ranks", "/v1/rerank", query=TEXTS[0], documents=TEXTS[:3])
    cut = line("cut", "/v1/embeddings", input="word " * 2000, truncate_prompt_tokens=16)
    return [*embeddings, *scores, several, ranks, cut]


def test_the_answers_are_those_of_run_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = real_campaign(tmp_path)
    (tmp_path / "batch.jsonl").write_text("".join(batch_lines()))
    texts = {"files": [str(PROMPTS)], "id": "id", "prompt": "0: {{ country }}", "endpoint": "embeddings", "models": ["smol"]}
    campaign.raw["models"]["smol"] = MODEL_KEYS
    campaign.raw["datasets"] = {"batch": {"files": ["batch.jsonl"], "models": ["smol"]}, "texts": texts}
    campaign.raw["benchmark"] = {"requests": 8, "concurrency": [4]}
    campaign.write_config()
    result = campaign.run(timeout=400)
    assert result.returncode == 0, result.stdout[-4000:]

    rows = campaign.responses()
    assert set(rows.status) == {"ok"}
    assert list(rows.dataset.value_counts().sort_index()) == [67, 48]
    assert (rows.completion_tokens == 0).all()
    parts = [pq.read_schema(part) for part in (campaign.results / "responses").rglob("*.parquet")]
    assert all(schema.field("embedding").type == pa.list_(pa.float32(), 576) for schema in parts)
    points = pd.read_parquet(campaign.results / "benchmarks.parquet")
    assert list(points.failed) == [0]
    assert (points.total_tokens_per_s > 0).all()

    monkeypatch.chdir(tmp_path)
    export(validate(campaign.raw), "ours.jsonl", dataset="batch")
    ours, theirs = by_id(tmp_path / "ours.jsonl"), run_batch(tmp_path / "batch.jsonl", "--runner", "pooling")
    assert list(ours) == list(theirs)
    for custom_id, body in theirs.items():
        assert ours[custom_id]["usage"]["prompt_tokens"] == body["usage"]["prompt_tokens"], custom_id
        mine, own = (figures(answer) for answer in (ours[custom_id], body))
        assert np.abs(np.array(mine) - np.array(own)).max() < 1e-5, custom_id
    # The same text, asked by a template: the very same vector.
    first = rows[rows.dataset == "texts"].set_index("row_id").embedding["capital-001"]
    assert np.allclose(first, ours["e0"]["data"][0]["embedding"], atol=1e-5)


def figures(body: dict[str, Any]) -> list[float]:
    """All numbers of an answer, in its order."""
    if "results" in body:
        return [number for one in body["results"] for number in (one["index"], one["relevance_score"])]
    return [number for one in body["data"] for number in one.get("embedding", [one.get("score")])]


LABELS = ["capital", "river", "mountain"]
CLASSES = """
import json, sys
from vllm import LLM
engine = LLM(sys.argv[1], runner="pooling", max_model_len=512, dtype="float32", enforce_eager=True)
print("TOLD", json.dumps([one.outputs.probs for one in engine.classify(json.loads(sys.argv[2]))]))
"""


def make_classifier(folder: Path) -> Path:
    """SmolLM2 with a head of three classes, drawn at random."""
    folder.mkdir()
    for file in MODEL.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            (folder / file.name).symlink_to(file)
    classes = {"architectures": ["LlamaForSequenceClassification"], "id2label": dict(enumerate(LABELS)), "pad_token_id": 2}
    (folder / "config.json").write_text(json.dumps({**json.loads((MODEL / "config.json").read_text()), **classes}))
    (folder / "model-1.safetensors").symlink_to(MODEL / "model.safetensors")
    head = np.random.default_rng(0).normal(scale=0.02, size=(3, 576)).astype("<f4").tobytes()
    header = json.dumps({"score.weight": {"dtype": "F32", "shape": [3, 576], "data_offsets": [0, len(head)]}}).encode()
    (folder / "model-2.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + head)
    return folder


def test_classes_are_those_of_vllm(tmp_path: Path) -> None:
    campaign = real_campaign(tmp_path)
    model = make_classifier(tmp_path / "classifier")
    texts = {"files": [str(PROMPTS)], "id": "id", "prompt": "{{ country }}", "endpoint": "classify", "models": ["smol"]}
    campaign.raw["models"]["smol"] = {**MODEL_KEYS, "source": str(model)}
    campaign.raw["datasets"] = {"texts": texts}
    campaign.write_config()
    result = campaign.run(timeout=400)
    assert result.returncode == 0, result.stdout[-4000:]

    own = np.array(asked(CLASSES, str(model), json.dumps(TEXTS)))
    rows = campaign.responses().sort_values("row_id")
    assert set(rows.status) == {"ok"}
    assert np.abs(np.stack(rows.probs) - own).max() < 1e-5
    assert list(rows.label) == [LABELS[number] for number in own.argmax(axis=1)]
    assert np.ptp(own, axis=0).max() > 0.05  # the texts are told apart
