"""How a prompt begins, as hashes of its blocks: two prompts share as many blocks as an engine's prefix cache can find again.

vLLM caches prompts in blocks of 16 tokens (v1/core/kv_cache_utils.py), each known by its tokens and the block before it. A
token is about four bytes of English, so a block is 64 bytes here. What a chat template puts in front stands in front: tools,
then the messages in their order. Prompts are compared as texts: no tokenizer is asked, and one dataset may have many models.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from campaign.core import exact_json
from campaign.requests.endpoints import APIS

BLOCK = 64  # bytes
MOST_BLOCKS = 512  # of a prompt that are looked at: its first 32 KiB

Blocks = npt.NDArray[np.uint32]  # a row per prompt, padded with zeros
Counts = npt.NDArray[np.int64]

_WORDS = BLOCK // 8
# Random odd numbers, always the same: two blocks that differ share a hash in one of 2^32 cases, which costs a bad neighbour.
_WEIGHTS = np.random.Generator(np.random.PCG64(16)).integers(1, 2**63, _WORDS, np.uint64) | np.uint64(1)
_HIGH = np.uint64(32)


def prefix_of(endpoint: str, content: dict[str, Any]) -> bytes:
    """The text of a prompt, from its front; nothing where its order says nothing to a cache."""
    api = APIS.get(endpoint)
    if api is None or not api.writes_text:
        return b""
    asked = content.get(api.prompt_field)
    if isinstance(asked, str):
        return asked.encode("utf-8", "replace")
    if not isinstance(asked, list):
        return b""
    if "tools" in content:
        return exact_json.dumps([content["tools"], asked])
    if len(asked) < 3 and all(type(message) is dict and type(message.get("content")) is str for message in asked):
        # As most have them, in a third of the time.
        return "\0".join(f"{message.get('role')}\0{message['content']}" for message in asked).encode("utf-8", "replace")
    return exact_json.dumps(asked)


def hashed(prefixes: Sequence[bytes]) -> tuple[Blocks, Counts]:
    """The block hashes of some prompts, none of them zero, and how many each has. A block that is not full is no block."""
    counts = np.fromiter((min(len(prefix) // BLOCK, MOST_BLOCKS) for prefix in prefixes), np.int64, len(prefixes))
    text = b"".join([prefix[: count * BLOCK] for prefix, count in zip(prefixes, counts.tolist(), strict=True)])
    words = np.frombuffer(text, "<u8").reshape(-1, _WORDS)
    sums = (words * _WEIGHTS).sum(axis=1, dtype=np.uint64)
    return padded((sums >> _HIGH).astype(np.uint32) | np.uint32(1), counts), counts


def padded(flat: Blocks, counts: Counts) -> Blocks:
    """One row per prompt, from the blocks of all in a row."""
    width = int(counts.max(initial=0))
    blocks = np.zeros((len(counts), width), np.uint32)
    blocks[np.arange(width) < counts[:, None]] = flat
    return blocks


def flat(blocks: Blocks, counts: Counts) -> Blocks:
    """The blocks of all prompts in a row."""
    row: Blocks = blocks[np.arange(blocks.shape[1]) < counts[:, None]]
    return row


def shared(ones: Blocks, others: Blocks, counts: Counts, others_counts: Counts) -> Counts:
    """How many blocks each prompt shares with the other beside it."""
    differs = np.empty((len(ones), ones.shape[1] + 1), np.bool_)
    differs[:, :-1] = ones != others
    differs[:, -1] = True
    same: Counts = np.minimum(differs.argmax(axis=1), np.minimum(counts, others_counts))
    return same


def widened(blocks: Blocks, width: int) -> Blocks:
    """Widen a table of blocks to so many columns."""
    return blocks if blocks.shape[1] >= width else np.pad(blocks, ((0, 0), (0, width - blocks.shape[1])))
