"""Bodies of answers without text, as vLLM's `run-batch` writes them: vectors, scores, ranks, classes."""

from typing import Any

import orjson

POOLED_FORMS = ("embeddings", "score", "rerank", "classify")


def pooled_body(model: str, row: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any] | None:
    """The body of a row of tables.POOLED with its `endpoint`; None where that writes text."""
    extra = orjson.loads(row["response_extra"]) if row["response_extra"] else {}
    data: list[dict[str, Any]]
    if row["endpoint"] == "rerank":
        results = _ranks(row["prompt"], row["scores"])
        return {"id": f"score-{row['request_key']}", "model": model, "usage": usage, "results": results}
    if row["endpoint"] == "embeddings":
        data = [{"object": "embedding", "embedding": vector} for vector in extra.get("embeddings") or [row["embedding"]]]
    elif row["endpoint"] == "score":
        scores = [one["score"] for one in row["scores"]] if row["score"] is None else [row["score"]]
        data = [{"object": "score", "score": score} for score in scores]
    elif row["endpoint"] == "classify":
        classes = extra.get("classes") or [{"label": row["label"], "probs": row["probs"]}]
        data = [{**one, "num_classes": len(one["probs"])} for one in classes]
    else:
        return None
    return {
        "id": f"{row['endpoint']}-{row['request_key']}",
        "object": "list",
        "created": int(row["started_at"].timestamp()) if row["started_at"] else 0,
        "model": model,
        "data": [{"index": number, **one} for number, one in enumerate(data)],
        "usage": usage,
    }


def _ranks(prompt: str, scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    documents = orjson.loads(prompt)["documents"]
    texts = documents if isinstance(documents, list) else [documents]
    return [
        {"index": one["index"], "document": _document(texts[one["index"]]), "relevance_score": one["score"]} for one in scores
    ]


def _document(document: Any) -> dict[str, Any]:
    return {"text": document} if isinstance(document, str) else {"multi_modal": document}
