"""Several answers to one prompt (`samples`): a request each, and a row with its number in the column `sample`.

A field `n` would be the same to the engine: vLLM 0.32 (v1/engine/parallel_sampling.py) makes n requests of it, with the seeds
seed, seed + 1 ... where one is set, and they share the prompt by its prefix cache, as these do. But one of them that fails, or
is under way when the engine dies, would take the others with it.
"""

import hashlib
from collections.abc import Collection

import orjson

from campaign.core import exact_json
from campaign.requests.keys.key import KEY_BYTES
from campaign.requests.rows.bodies import Rendered

SAMPLE = "sample"  # the column


def sample_key(key: bytes, number: int) -> bytes:
    """Content key of a sample. The first has the key of the request alone: more samples ask for the further ones only."""
    return key if number == 0 else hashlib.blake2b(key + f"\0{SAMPLE}\0{number}".encode(), digest_size=KEY_BYTES).digest()


def sample_body(request: Rendered, number: int) -> bytes:
    """The body that is sent for a sample: a seed that is given is the first one's."""
    seed = request.content.get("seed")
    if number == 0 or type(seed) is not int:
        return request.body
    return exact_json.dumps({**request.content, "seed": seed + number})


def sample_columns(columns: bytes, number: int, renamed: str) -> bytes:
    """The passthrough columns of a sample. `renamed`: what the file's own column `sample` is called."""
    values = orjson.loads(columns)
    return orjson.dumps({SAMPLE: number, **{renamed if name == SAMPLE else name: value for name, value in values.items()}})


def renamed_column(types: Collection[str]) -> str:
    """What a column `sample` of files with these columns is called where there are samples."""
    name = f"input_{SAMPLE}"
    while name in types:
        name = f"input_{name}"
    return name


def sample_types(types: dict[str, str]) -> dict[str, str]:
    """Types of the passthrough columns where there are samples."""
    renamed = renamed_column(types)
    return {SAMPLE: "int", **{renamed if name == SAMPLE else name: kind for name, kind in types.items()}}
