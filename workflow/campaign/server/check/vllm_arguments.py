"""Names vLLM knows, to tell a misspelt one before the queue. Pure, but for the table it reads."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from campaign.core.text import nearest


@dataclass(frozen=True)
class Names:
    """Fields of a request and flags of the server, of a version of vLLM."""

    version: str
    fields: frozenset[str]
    pooling_fields: frozenset[str]
    flags: frozenset[str]

    def unknown_fields(
        self, asked: Iterable[str], *, writes_text: bool = True, also_known: Iterable[str] = ()
    ) -> dict[str, str | None]:
        """Fields vLLM does not know, with the nearest one it knows (None: nothing is near).

        `writes_text`: of requests for text, and not for vectors, scores and classes. `also_known`: of the endpoint alone.
        """
        known = (self.fields if writes_text else self.pooling_fields).union(also_known)
        return {name: _nearest(name, known) for name in asked if name not in known}

    def unknown_flags(self, asked: Iterable[str]) -> dict[str, str | None]:
        """The same for flags, as the config has them: with underscores, `a.b` for a part of `a`, perhaps only a beginning."""
        found = {}
        for name in asked:
            dashed = name.partition(".")[0].replace("_", "-").removeprefix("no-")
            if not any(flag.startswith(dashed) for flag in self.flags):
                found[name] = _nearest(dashed, self.flags)
        return found


def _nearest(name: str, known: frozenset[str]) -> str | None:
    return nearest(name, sorted(known), cutoff=0.8)


@cache
def load_names() -> Names:
    """The names of the vLLM that workflow/envs pins."""
    with Path(__file__).with_name("vllm_names.toml").open("rb") as stream:
        raw = tomllib.load(stream)
    return Names(raw["version"], frozenset(raw["fields"]), frozenset(raw["pooling_fields"]), frozenset(raw["flags"]))
