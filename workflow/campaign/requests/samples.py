"""Several answers to one prompt (`samples`): a request each, and a row with its number in the column `sample`.

A field `n` would be the same to the engine: vLLM 0.32 (v1/engine/parallel_sampling.py) makes n requests of it, with the seeds
seed, seed + 1 ... where one is set, and they share the prompt by its prefix cache, as these do. But one of them that fails, or
is under way when the engine dies, would take the others with it.
"""

import hashlib

import orjson

from campaign.core import exact_json
from campaign.requests.bodies import Rendered
from campaign.requests.keys import KEY_BYTES

SAMPLE = "sample"  # the column


def sample_key(key: bytes, number: int) -> bytes:
    """Content key of a sample. The first has the key of the request alone: more samples ask for the further ones only."""
    return key if number == 0 else hashlib.blake2b(key + f"\0{SAMPLE}\0{number}".encode(), digest_size=KEY_BYTES).digest()


def sample_body(request: Rendered, number: int) -> bytes:
    """What is sent for a sample: a seed that is given is the first one's."""
    seed = request.content.get("seed")
    if number == 0 or type(seed) is not int:
        return request.body
    return exact_json.dumps({**request.content, "seed": seed + number})


def sample_columns(columns: bytes, number: int) -> bytes:
    """The passthrough columns of a sample; one of the file that is called so is `input_sample`."""
    values = orjson.loads(columns)
    return orjson.dumps({SAMPLE: number, **{file_column(name): value for name, value in values.items()}})


def file_column(name: str) -> str:
    """What a column of the file is called where there are samples."""
    return f"input_{SAMPLE}" if name == SAMPLE else name


def sample_types(types: dict[str, str]) -> dict[str, str]:
    """Types of the passthrough columns where there are samples."""
    return {SAMPLE: "int", **{file_column(name): kind for name, kind in types.items()}}
