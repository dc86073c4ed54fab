"""The state files that phases exchange: every JSON below results/, typed, with a schema version, written beside and renamed.

State files are hints. What is gone, empty, cut off, garbage or another program's reads as not there, told once with the file's
name; whoever made the file makes it again. A file that cannot be read just now is waited for. A file without a version is
version 1; an older one is brought up to date in memory. A newer one is refused where going on would lose what it holds, and
reads as not there elsewhere. Keys this version does not know are kept; in a record that its owner writes anew (a dataclass)
they are told, and left out.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import orjson
from pydantic import TypeAdapter, ValidationError

from campaign.core import exact_json, patience
from campaign.core.errors import Incomplete, StateTooNew, StorageError
from campaign.core.files import patiently, read_json_lines, tell_once, write_json

log = logging.getLogger(__name__)

VERSION = "schema_version"

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """One kind of state file: its shape, a TypedDict or a dataclass whose required keys are those the readers rely on.

    `upgrades[n]` turns the content of version n into that of n + 1. `irreplaceable`: nothing makes the content again, so a
    newer version is refused.
    """

    name: str
    shape: type[T]
    version: int = 1
    upgrades: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    irreplaceable: bool = False


class _Damaged(Exception):
    """Why a file's content is not usable."""


_adapters: dict[type, TypeAdapter[Any]] = {}


def write(kind: Kind[T], path: Path, value: T, *, durable: bool = True) -> None:
    """Replace the file. Raises StorageError. `durable`: it survives a power loss, at the price of two fsyncs."""
    content = asdict(cast(Any, value)) if is_dataclass(value) else cast(dict[str, Any], value)
    write_json(path, {VERSION: kind.version, **content}, durable=durable)


def read(kind: Kind[T], path: Path) -> T | None:
    """Read the file; None when it is not there or damaged.

    Raises StorageError when it cannot be read for long (patience.UNREADABLE), StateTooNew for a newer version of an
    irreplaceable kind.
    """
    return _read(kind, path, patience.UNREADABLE.seconds)


def require(kind: Kind[T], path: Path, again: str) -> T:
    """Read the file for a phase that cannot do without it. Raises Incomplete, and what `read` raises.

    `again`: what the same command does about a file that is gone or damaged, as the end of a sentence.
    """
    content = read(kind, path)
    if content is None:
        raise Incomplete(f"{path} is not there, or damaged. Run the same command again: {again}.")
    return content


def peek(kind: Kind[T], path: Path) -> T | None:
    """Read the file as `read` does, for those who only look: it never waits and never raises."""
    try:
        return _read(kind, path, 0.0)
    except (StorageError, StateTooNew) as error:
        tell_once(path, str(error))
        return None


def is_damaged(kind: Kind[T], path: Path) -> bool:
    """Whether there is a file that `read` takes as not there. Raises what `read` raises."""
    return read(kind, path) is None and path.exists()


def _read(kind: Kind[T], path: Path, seconds: float) -> T | None:
    try:
        data = patiently(path, lambda: _content(path), seconds)
        return None if data is None else _parse(kind, path, exact_json.loads(data))
    except orjson.JSONDecodeError as error:
        tell_once(path, f"{path} ({kind.name}) is damaged and is taken as not there: {error}")
    except _Damaged as error:
        tell_once(path, f"{path} ({kind.name}) is damaged and is taken as not there: {error}")
    return None


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parse(kind: Kind[T], path: Path, raw: Any) -> T | None:
    if not isinstance(raw, dict):
        raise _Damaged(f"it holds no object but {type(raw).__name__}")
    content = dict(raw)
    version = content.pop(VERSION, 1)
    if not isinstance(version, int) or version < 1:
        raise _Damaged(f"its version is {version!r}")
    if version > kind.version:
        _refuse_newer(kind, path, version)
        return None
    for number in range(version, kind.version):
        content = kind.upgrades[number](content) if number in kind.upgrades else content
    return _shaped(kind, path, content)


def _refuse_newer(kind: Kind[T], path: Path, version: int) -> None:
    why = f"{path} ({kind.name}) is of a newer version of the workflow (schema {version}; this one knows {kind.version})"
    if kind.irreplaceable:
        raise StateTooNew(f"{why}: go on with that version, or name the campaign otherwise.")
    tell_once(path, f"{why}; it is taken as not there")


def _shaped(kind: Kind[T], path: Path, content: dict[str, Any]) -> T:
    if (adapter := _adapters.get(kind.shape)) is None:  # making one takes 10 ms, as long as all the rest
        adapter = _adapters[kind.shape] = TypeAdapter(kind.shape)
    try:
        value = adapter.validate_python(content, strict=not is_dataclass(kind.shape))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _Damaged(f"{where}: {first['msg']}") from None
    if is_dataclass(kind.shape):
        unknown = content.keys() - {item.name for item in fields(kind.shape)}
        if unknown:
            tell_once(path, f"{path} ({kind.name}): unknown and left out: {', '.join(sorted(unknown))}")
        return cast(T, value)
    return cast(T, content)  # not the validated copy: it has lost the keys this version does not know


def read_lines(kind: Kind[T], path: Path) -> Iterator[T]:
    """Records of an append-only file, oldest first. Torn, damaged and foreign lines are left out, told once for the file.

    Raises StorageError when it cannot be read for long (patience.UNREADABLE).
    """
    for raw in patiently(path, lambda: list(read_json_lines(path)), patience.UNREADABLE.seconds):
        try:
            record = _parse(kind, path, raw)
        except _Damaged:
            tell_once(path, f"{path} ({kind.name}) has damaged lines, which are left out")
            continue
        if record is not None:
            yield record
