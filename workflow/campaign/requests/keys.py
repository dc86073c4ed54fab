"""Keys: the same key means the same question to the same model.

content_key   of a request without its model: dataset, endpoint, canonical body, ordinal among identical requests
request_key   of a request to a model: model identity and content key
"""

import hashlib
from typing import Any

import orjson

KEY_BYTES = 16


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes. Raises TypeError for what JSON cannot say."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_key(dataset: str, endpoint: str, body: bytes, ordinal: int) -> bytes:
    """Key (16 bytes) of the `ordinal`-th request (from 0) with this canonical body in the dataset."""
    head = f"{dataset}\0{endpoint}\0{ordinal}\0".encode()
    return hashlib.blake2b(head + body, digest_size=KEY_BYTES).digest()


def request_key(identity: str, content: bytes) -> str:
    """Key (32 hex digits) of a request to the model of the given identity."""
    return hashlib.blake2b(identity.encode() + b"\0" + content, digest_size=KEY_BYTES).hexdigest()
