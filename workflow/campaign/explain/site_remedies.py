"""What the clusters add to the remedies of the built-in signatures: words of their own, told with the cluster's name."""

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from campaign.core.sites import site_files
from campaign.explain.signature import Signature


def with_site_remedies(signatures: Iterable[Signature]) -> tuple[Signature, ...]:
    """The signatures, each remedy with what the clusters' files have for it under `remedies`."""
    return tuple(replace(known, remedy=known.remedy + _added(known.name)) for known in signatures)


def _added(name: str) -> str:
    words = [f"{title}: {remedies[name]}" for title, remedies in _remedies() if name in remedies]
    return f" (on {'; on '.join(words)})" if words else ""


@cache
def _remedies() -> tuple[tuple[str, dict[str, str]], ...]:
    """Name for people and remedies of each cluster. A file that cannot be read adds nothing; who plans for it is told."""
    known = []
    for name, path in site_files().items():
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, ValueError):
            continue
        known.append((str(content.get("title", name)), dict(content.get("remedies", {}))))
    return tuple(known)
