"""Replies of a server that pools, checked as those with text are (reply.py): vectors, scores, classes.

What they hold stands in columns of their own (core.tables.POOLED), and in a journal under the columns' names: a vector as the
base64 of its 32-bit numbers, little-endian.
"""

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from campaign.requests.replies.reply import BadReply, Reply, parsed, tokens_of

FLOAT32 = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class PooledReply(Reply):
    """A reply without text. `columns`: fields of tables.POOLED that it fills."""

    columns: Mapping[str, Any] = field(kw_only=True)

    def fields(self) -> dict[str, Any]:
        """The reply as a journal holds it."""
        return {**Reply.fields(self), **self.columns}


def read_vector(payload: bytes) -> Reply:
    """Parse a 200 answer of /v1/embeddings. Of several vectors all stand in `response_extra`. Raises BadReply."""
    answer, data = _parsed(payload, "data")
    vectors = [_vector(one.get("embedding"), number) for number, one in enumerate(_in_order(data))]
    if len(vectors) == 1:
        return _reply(answer, {"embedding": _base64(vectors[0])})
    return _reply(answer, {}, {"embeddings": [vector.tolist() for vector in vectors]})


def read_scores(payload: bytes) -> Reply:
    """Parse a 200 answer of /score: one score, or one for each document. Raises BadReply."""
    answer, data = _parsed(payload, "data")
    scores = [{"index": number, "score": _number(one, "score")} for number, one in enumerate(_in_order(data))]
    return _reply(answer, {"score": scores[0]["score"]} if len(scores) == 1 else {"scores": scores})


def read_ranks(payload: bytes) -> Reply:
    """Parse a 200 answer of /rerank: documents by their place in the request, the most relevant first. Raises BadReply."""
    answer, results = _parsed(payload, "results")
    return _reply(answer, {"scores": [{"index": _index(one), "score": _number(one, "relevance_score")} for one in results]})


def read_classes(payload: bytes) -> Reply:
    """Parse a 200 answer of /classify. Of several texts all stand in `response_extra`. Raises BadReply."""
    answer, data = _parsed(payload, "data")
    classes = [{"label": _label(one), "probs": _numbers(one.get("probs"), "probs")} for one in _in_order(data)]
    return _reply(answer, classes[0]) if len(classes) == 1 else _reply(answer, {}, {"classes": classes})


def _parsed(payload: bytes, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The answer, and its list `name` of objects, which is never empty."""
    answer = parsed(payload)
    items = answer.get(name)
    if not isinstance(items, list) or not items or not all(isinstance(one, dict) for one in items):
        raise BadReply(f"{name} is no list of objects")
    return answer, items


def _in_order(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(data, key=_index) if len(data) > 1 else data


def _index(one: dict[str, Any]) -> int:
    index = one.get("index")
    if type(index) is not int or not 0 <= index < 2**31:
        raise BadReply("index is no number of a text")
    return index


def _reply(answer: dict[str, Any], columns: dict[str, Any], extra: dict[str, Any] | None = None) -> PooledReply:
    read, written = tokens_of(answer)
    return PooledReply(
        text=None,
        finish_reason=None,
        prompt_tokens=read,
        completion_tokens=written,
        extra=None if extra is None else orjson.dumps(extra).decode(),
        columns=columns,
    )


def _vector(value: Any, number: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A vector as base64 of 32-bit numbers, or as JSON numbers, which servers that know no base64 send."""
    name = f"data[{number}].embedding"
    if isinstance(value, str):
        try:
            packed = binascii.a2b_base64(value, strict_mode=True)
        except (binascii.Error, ValueError):
            raise BadReply(f"{name} is no base64") from None
        if not packed or len(packed) % 4:
            raise BadReply(f"{name} has {len(packed)} bytes, which are no 32-bit numbers")
        vector = np.frombuffer(packed, FLOAT32)
    else:
        vector = np.array(_numbers(value, name), FLOAT32)
    if not np.isfinite(vector).all():
        raise BadReply(f"{name} holds numbers that are not finite")
    return vector


def _base64(vector: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    return binascii.b2a_base64(vector.tobytes(), newline=False).decode()


def _numbers(values: Any, name: str) -> list[float]:
    if not isinstance(values, list) or not values or not all(type(one) in (int, float) for one in values):
        raise BadReply(f"{name} is no list of numbers")
    return values


def _number(one: dict[str, Any], name: str) -> float:
    return float(_numbers([one.get(name)], name)[0])


def _label(one: dict[str, Any]) -> str | None:
    label = one.get("label")
    if label is not None and not isinstance(label, str):
        raise BadReply("label is no text")
    return label
