"""Secrets the campaign makes itself: a server's API key, the token of a Ray cluster."""

import re
import secrets
from pathlib import Path

from campaign.core.files import explained, patiently, write_atomic

_MODE = 0o600
# Any word that can go through a header and an environment, long enough to be one: ours (64 hex digits), those of versions
# before 0.2 (43 letters), and keys that somebody chose. The readers strip what is around it.
_WHOLE = re.compile(rb"\s*[!-~]{16,}\s*")


def keep_secret(path: Path) -> None:
    """Make a secret (mode 0600) unless there is a whole one, which is kept, closed to others. Raises StorageError.

    A crash leaves empty, cut and foreign files: an empty key would open the server to everybody, one that is no text ended it.
    """
    try:
        content = patiently(path, path.read_bytes)
    except FileNotFoundError:
        content = b""
    if _WHOLE.fullmatch(content) is None:
        write_atomic(path, secrets.token_hex(32).encode(), mode=_MODE)
        return
    with explained(path):
        path.chmod(_MODE)
