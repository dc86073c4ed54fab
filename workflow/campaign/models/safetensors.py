"""Headers of safetensors files: which tensors they hold, without reading one.

Format: 8 bytes, little-endian, with the header's length, then JSON (github.com/huggingface/safetensors).
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import orjson

PREFIX = 8  # bytes before the header
_LONGEST = 100_000_000  # bytes of a header; the format's own limit (safetensors README)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file. `dtype` as the format names it: BF16, F8_E4M3, I32."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


def header_length(start: bytes, name: str) -> int:
    """Length of the header that follows these first bytes of file `name`. Raises ValueError when it is no such file."""
    length = int(struct.unpack("<Q", start[:PREFIX])[0]) if len(start) >= PREFIX else 0
    if not 2 <= length <= _LONGEST:
        raise ValueError(f"{name} is not a safetensors file")
    return length


def parse_header(header: bytes, name: str) -> list[Tensor]:
    """The tensors of a header. Raises ValueError when it is none."""
    rows = orjson.loads(header)
    try:
        return [
            Tensor(key, str(row["dtype"]), tuple(map(int, row["shape"])), int(row["data_offsets"][1] - row["data_offsets"][0]))
            for key, row in rows.items()
            if key != "__metadata__"
        ]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{name} is not a safetensors file") from error


def read_header(path: Path) -> list[Tensor]:
    """The tensors of a file. Raises ValueError when it is no such file."""
    with path.open("rb") as stream:
        length = header_length(stream.read(PREFIX), path.name)
        return parse_header(stream.read(length), path.name)
