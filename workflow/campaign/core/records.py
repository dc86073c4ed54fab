"""The state files that phases exchange: every JSON below results/, typed, with a schema version, written beside and renamed.

State files are hints. What is gone, empty, cut off, garbage or another program's reads as not there, told once with the file's
name; whoever made the file makes it again. A file that cannot be read just now is waited for. A file without a version is
version 1; an older one is brought up to date in memory. A newer one is refused where going on would lose what it holds, and
reads as not there elsewhere. Keys this version does not know are kept.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Generic, NotRequired, TypeVar, cast

import orjson
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

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
    """What the file holds; None when it is not there or damaged.

    Raises StorageError when it cannot be read for long (patience.UNREADABLE), StateTooNew for a newer version of an
    irreplaceable kind.
    """
    return _read(kind, path, patience.UNREADABLE.seconds)


def require(kind: Kind[T], path: Path, again: str) -> T:
    """What the file holds, for a phase that cannot do without it. Raises Incomplete, and what `read` raises.

    `again`: what the same command does about a file that is gone or damaged, as the end of a sentence.
    """
    content = read(kind, path)
    if content is None:
        raise Incomplete(f"{path} is not there, or damaged. Run the same command again: {again}.")
    return content


def peek(kind: Kind[T], path: Path) -> T | None:
    """As `read`, for those who only look: it never waits and never raises."""
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
    adapter = _adapters.setdefault(kind.shape, TypeAdapter(kind.shape))
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


# --- shapes: the keys that readers rely on, those of earlier versions optional --------------------------------------------


class ShardEntry(TypedDict):
    """A request shard in its manifest. `bytes`: size of the file, since version 2. `set_aside`: bad rows, where it has some."""

    index: int
    rows: int
    digest: str
    bytes: NotRequired[int]
    set_aside: NotRequired[int]


class Manifest(TypedDict):
    """What prepare_requests made of a dataset."""

    dataset: NotRequired[str]
    rows: int
    limit: NotRequired[int | None]
    shards: list[ShardEntry]
    columns: list[dict[str, str]]
    files: NotRequired[list[dict[str, Any]]]
    samples: NotRequired[int]  # requests of each row of the files
    endpoints: NotRequired[list[str]]  # that its requests go to; before there was the key: chat and completions alone


class KeptOrder(TypedDict):
    """That the keys of a dataset are those of versions up to 0.1."""

    dataset: str


class Identity(TypedDict):
    """What stage_model found of a model."""

    model: NotRequired[str]
    source: NotRequired[str]
    path: str
    revision: str
    identity: str


class PendingShard(TypedDict):
    """A shard enqueue listed, with its unanswered requests of then."""

    dataset: str
    index: int
    rows: int
    digest: str
    pending: int


class Pending(TypedDict):
    """The shards of a model that are not published, and the parts there were."""

    model: NotRequired[str]
    identity: NotRequired[str]
    token: str
    id: str
    rows: int
    pending: NotRequired[int]
    parts: dict[str, int]
    shards: list[PendingShard]
    unmeasured: NotRequired[bool]


class Collected(TypedDict):
    """What collect counted, by model and dataset."""

    id: str
    rows: int
    ok: int
    failed: int
    missing: int
    models: dict[str, dict[str, Any]]


class Ready(TypedDict):
    """What `ready` recorded of a server; of an idle allocation, only that."""

    state: str
    run: str
    device: NotRequired[str | None]


class Status(TypedDict, total=False):
    """Progress of infer."""

    state: str
    run: str | None
    answered: int
    failed: int
    concurrency: int
    updated_at: float
    mean_requests_per_s: float


class GpuSample(TypedDict):
    """How busy a node's GPUs were."""

    time: float
    gpus: list[dict[str, Any]]


class SlurmJobs(TypedDict):
    """Job runs sacct told of, by key, and the QoS's usage factors."""

    runs: dict[str, dict[str, Any]]
    factors: dict[str, float]


class NodeReport(TypedDict):
    """Where a node's part of Ray listens (see server.ray.node)."""

    address: str
    interface: str
    port: int
    dashboard_port: int


class GivenUp(TypedDict):
    """Why a run of Snakemake need not try an allocation again."""

    slurm_run: str
    job_id: str
    why: str


class Point(TypedDict):
    """A measured benchmark point: tables.BENCHMARKS."""

    model: str
    base_model: str
    allocation: int
    job_id: str
    concurrency: int
    requests: int
    failed: int
    measured_at: float


class Staged(TypedDict):
    """Files of a whole copy of a hub model, and their sizes."""

    files: dict[str, int]


class Event(TypedDict):
    """A line of events.jsonl (see campaign.core.events)."""

    t: float
    run: str
    event: str


class Suspect(TypedDict):
    """A line of suspects.jsonl (see inference.engine_health)."""

    key: str


class SnakemakeRun(TypedDict):
    """A line of sessions.jsonl: a run of Snakemake that submitted to Slurm."""

    t: float
    slurm_run: str


class Submitted(TypedDict):
    """A line of submissions.jsonl: a job handed to Slurm (`job_id`), or what Slurm said when it refused it (`error`)."""

    t: float
    slurm_run: str
    comment: str
    job_id: str | None
    error: str | None


class ExcludedNode(TypedDict):
    """A line of excluded-nodes.jsonl."""

    t: float
    node: str
    why: str


class Halt(TypedDict):
    """A line of halts.jsonl: an allocation that ended for a reason its user wants to hear of while others go on."""

    t: float
    event: str  # stalled, budget
    why: str


class Forecast(TypedDict):
    """A line of forecasts.jsonl: what a plan expected."""

    t: float
    models: dict[str, Any]


class Plan(TypedDict):
    """plan.json (see plan.plan)."""

    made: float
    models: dict[str, dict[str, Any]]


def _name_base_model(point: dict[str, Any]) -> dict[str, Any]:
    """Points of version 1 may be from before there were sweeps."""
    return {"base_model": point.get("model"), **point}


Object = dict[str, Any]

CONFIG: Kind[Object] = Kind("the resolved config", Object, irreplaceable=True)
PLAN = Kind("the plan", Plan)
MANIFEST = Kind("what prepare_requests made", Manifest, version=2, irreplaceable=True)
KEPT_ORDER = Kind("which answers of earlier versions are kept", KeptOrder)
IDENTITY = Kind("what stage_model found", Identity, irreplaceable=True)
PENDING = Kind("what enqueue listed", Pending, irreplaceable=True)
COLLECTED = Kind("what collect counted", Collected, irreplaceable=True)
MARKER: Kind[Object] = Kind("the mark of a phase", Object)
READY = Kind("what ready recorded", Ready)
STATUS = Kind("progress of infer", Status)
GPUS = Kind("how busy GPUs are", GpuSample)
SLURM_JOBS = Kind("what sacct told", SlurmJobs, irreplaceable=True)
RAY_SPEC: Kind[Object] = Kind("what the nodes of a Ray cluster are told", Object)
NODE_REPORT = Kind("what a node of a Ray cluster tells", NodeReport)
GIVEN_UP = Kind("why an allocation ended for good", GivenUp)
POINT = Kind("a benchmark point", Point, version=2, upgrades={1: _name_base_model}, irreplaceable=True)
STAGED = Kind("the mark of a staged model", Staged, irreplaceable=True)
EVENT: Kind[Event] = Kind("events", Event)
SUSPECT = Kind("suspects", Suspect)
SNAKEMAKE_RUN = Kind("runs of Snakemake", SnakemakeRun, irreplaceable=True)
SUBMITTED = Kind("jobs handed to Slurm", Submitted)
EXCLUDED_NODE = Kind("excluded nodes", ExcludedNode)
HALT = Kind("allocations that ended for good", Halt)
FORECAST = Kind("forecasts", Forecast)
