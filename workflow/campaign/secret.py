"""Secrets the campaign makes itself: a server's API key, the token of a Ray cluster."""

import re
import secrets
from pathlib import Path

from campaign.files import write_atomic

# 64 hex digits; 43 letters are the API keys of versions before 0.2.
_WHOLE = re.compile(rb"[0-9a-f]{64}|[A-Za-z0-9_-]{43}")


def keep_secret(path: Path) -> None:
    """Make a secret (mode 0600) unless there is a whole one. Raises StorageError.

    A crash leaves empty, cut and foreign files: an empty key would open the server to everybody, one that is no text ended it.
    """
    if not path.is_file() or _WHOLE.fullmatch(path.read_bytes()) is None:
        write_atomic(path, secrets.token_hex(32).encode(), mode=0o600)
