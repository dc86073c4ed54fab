"""Keys: the same key means the same question to the same model.

content_key   of a request without its model: dataset, endpoint, key JSON of the body, ordinal among identical requests; of a
              stage, in place of the ordinal, the row of its source
request_key   of a request to a model: model identity and content key

A body is sent as it was written, for a model answers the fields of a schema in their order. Its key JSON keeps that order
wherever the engine sees it, and sorts the keys that the engine looks up by name: whether `seed` stands before `temperature`
makes no other question. Where nothing but such keys has an order, it is the sorted JSON that earlier versions made keys of.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from campaign.core import exact_json

KEY_BYTES = 16

# Objects in a body whose field order vLLM ignores (the body itself too). Nested names: inner objects of which the same is true.
# vLLM 0.32: the classes of entrypoints/openai/chat_completion/protocol.py and generate/base/protocol.py;
# renderers/chat_utils.py makes messages and their parts anew in an order of its own, renderers/online_renderer.py the tools.
# Everything else (a schema, parameters of a tool, earlier tool calls, documents) reaches a template or a grammar in its order.
_Named = Mapping[str, Any]
_MEDIA: _Named = {"image_url": {}, "video_url": {}, "audio_url": {}, "input_audio": {}}
_NAMED: _Named = {
    "messages": {"content": _MEDIA},
    "response_format": {"json_schema": {}},
    "structured_outputs": {},
    "tools": {"function": {}},
    "tool_choice": {"function": {}},
    "chat_template_kwargs": {},
    "logit_bias": {},
}

_PLAIN = frozenset({str, int, float, bool, type(None)})


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes. Raises TypeError for what JSON cannot say."""
    return exact_json.dumps(value, option=orjson.OPT_SORT_KEYS)


def key_json(body: Mapping[str, Any]) -> bytes:
    """JSON of a body, without spaces: two bodies have the same one if the engine cannot tell them apart. Raises TypeError."""
    return exact_json.dumps(
        {name: _sorted(body[name], _NAMED[name]) if name in _NAMED else body[name] for name in sorted(body)}
    )


def has_no_order(body: Mapping[str, Any]) -> bool:
    """Whether, at a glance, a body's key JSON is its sorted JSON: plain values and messages of texts, as most have."""
    for name, value in body.items():
        if type(value) in _PLAIN:
            continue
        if type(value) is not list:
            return False
        if name == "messages":
            if not all(type(message) is dict and _PLAIN.issuperset(map(type, message.values())) for message in value):
                return False
        elif not _PLAIN.issuperset(map(type, value)):
            return False
    return True


def _sorted(value: Any, named: _Named) -> Any:
    if isinstance(value, list):
        return [_sorted(item, named) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _sorted(value[name], named[name]) if name in named else value[name] for name in sorted(value)}


def content_key(dataset: str, endpoint: str, body: bytes, ordinal: int) -> bytes:
    """Key (16 bytes) of the `ordinal`-th request (from 0) with this key JSON in the dataset."""
    digest = _begun(dataset, endpoint, ordinal).copy()
    digest.update(body)
    return digest.digest()


@lru_cache(maxsize=1024)
def _begun(dataset: str, endpoint: str, ordinal: int | str) -> "hashlib.blake2b":
    return hashlib.blake2b(f"{dataset}\0{endpoint}\0{ordinal}\0".encode(), digest_size=KEY_BYTES)


def derived_key(dataset: str, endpoint: str, body: bytes, made_from: bytes) -> bytes:
    """Key of a stage's request with this key JSON, made from that row: no count over other shards tells equal ones apart."""
    digest = _begun(dataset, endpoint, "from").copy()
    digest.update(made_from + body)
    return digest.digest()


def prompt_hash(first: bytes) -> int:
    """64 bits that stand for a prompt and its equals, from the content key of the first of them."""
    return int.from_bytes(first[:8], "little")


def request_key(identity: str, content: bytes) -> str:
    """Key (32 hex digits) of a request to the model of the given identity."""
    return hashlib.blake2b(identity.encode() + b"\0" + content, digest_size=KEY_BYTES).hexdigest()
