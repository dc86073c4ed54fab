"""Reading what the package wrote, as it stands in the file."""

from pathlib import Path
from typing import Any

import orjson


def read_json(path: Path) -> Any:
    """Content of a JSON file; None when there is no such file."""
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
