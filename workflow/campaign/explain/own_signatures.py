"""What users and clusters add: signatures that go before the built-in ones, and words of a cluster for their remedies."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from campaign.core.errors import ConfigError
from campaign.core.sites import known_files, site_files
from campaign.explain.signature import VERDICTS, Signature

USERS = Path("config/signatures.toml")  # relative to the working directory, as the config's paths are
_REQUIRED = ("name", "pattern", "cause", "remedy", "verdict")
_OPTIONAL = {"inside": str, "quiet": bool}


def own_signatures(path: Path = USERS) -> tuple[Signature, ...]:
    """Those of the user first, then those of the sites. Raises ConfigError with everything that is wrong in the user's file."""
    return (*_users(path), *site_signatures())


def signature_problems(path: Path = USERS) -> list[str]:
    """What is wrong in the user's file, a line each; empty when it is fine or not there."""
    try:
        _users(path)
    except ConfigError as error:
        return error.problems
    return []


def site_signatures() -> tuple[Signature, ...]:
    """What the files of the clusters bring: the sentences of their own job_submit scripts."""
    return tuple(signature for signatures in signatures_by_cluster().values() for signature in signatures)


def signatures_by_cluster() -> Mapping[str, tuple[Signature, ...]]:
    """The signatures of each cluster, under its name for people. Raises ConfigError."""
    return dict(_of_cluster(path) for path in known_files().values())


@cache
def _of_cluster(path: Path) -> tuple[str, tuple[Signature, ...]]:
    return str(_content(path).get("title", path.stem)), _read(path, of_cluster=True)


def _users(path: Path) -> tuple[Signature, ...]:
    return _read(path) if path.exists() else ()


def _read(path: Path, *, of_cluster: bool = False) -> tuple[Signature, ...]:
    content = _content(path)
    tables = content.get("signatures", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError([f"{path}: signatures has to be a list of tables; begin each with [[signatures]]"])
    if not of_cluster and (others := sorted(set(content) - {"signatures"})):
        raise ConfigError([f"{path}: {', '.join(others)}: unknown; each signature begins with [[signatures]]"])
    if found := [problem for number, table in enumerate(tables, 1) for problem in _problems(path, number, table)]:
        raise ConfigError(found)
    if twice := _named_twice(tables):
        raise ConfigError([f"{path}: two signatures are called {name!r}; rename one" for name in twice])
    return tuple(Signature(**table) for table in tables)


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([f"{path} cannot be read as TOML: {error}"]) from None


def _named_twice(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [table["name"] for table in tables]
    return sorted({name for name in names if names.count(name) > 1})


def _problems(path: Path, number: int, table: Mapping[str, Any]) -> Iterator[str]:
    where = f"{path}, signature {number}" + (f" ({table['name']})" if isinstance(table.get("name"), str) else "")
    for key in _REQUIRED:
        if key not in table:
            yield f"{where}: {key} is missing" + (f"; it is one of {', '.join(VERDICTS)}" if key == "verdict" else "")
        elif not isinstance(table[key], str) or not table[key].strip():
            yield f"{where}: {key} has to be a text"
    for key, kind in _OPTIONAL.items():
        if key in table and not isinstance(table[key], kind):
            yield f"{where}: {key} has to be {'true or false' if kind is bool else 'a text'}"
    for key in sorted(set(table) - {*_REQUIRED, *_OPTIONAL}):
        yield f"{where}: {key} is unknown; a signature has {', '.join((*_REQUIRED, *_OPTIONAL))}"
    if isinstance(table.get("verdict"), str) and table["verdict"] not in VERDICTS:
        yield f"{where}: verdict {table['verdict']!r} is none of {', '.join(VERDICTS)}"
    for key in ("pattern", "inside"):
        if isinstance(table.get(key), str) and (fault := _regex_fault(table[key])):
            yield f"{where}: {key} is no regular expression of Python: {fault}"


def _regex_fault(pattern: str) -> str | None:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        return str(error)
    return "it fits every line" if compiled.search("") else None


# --- remedies of the built-in signatures -------------------------------------------------------------------------------------


def with_site_remedies(signatures: Iterable[Signature]) -> tuple[Signature, ...]:
    """The signatures, each remedy with what the clusters' files have for it under `remedies`."""
    return tuple(replace(known, remedy=known.remedy + _added(known.name)) for known in signatures)


def _added(name: str) -> str:
    words = [f"{title}: {remedies[name]}" for title, remedies in _remedies() if name in remedies]
    return f" (on {'; on '.join(words)})" if words else ""


@cache
def _remedies() -> tuple[tuple[str, dict[str, str]], ...]:
    """Name for people and remedies of each cluster. A file that cannot be read adds nothing here: a plan names it."""
    known = []
    for name, path in site_files().items():
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, ValueError):
            continue
        known.append((str(content.get("title", name)), dict(content.get("remedies", {}))))
    return tuple(known)
