"""What each state file holds: the keys that readers rely on, those of earlier versions optional. See core.records."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, GetPydanticSchema
from typing_extensions import TypedDict

from campaign.core.nested_shapes import Column, ModelCounts, PlannedModel
from campaign.core.records import Kind

Time = Annotated[float, Field(ge=0, lt=2**36)]  # unix seconds, of which a calendar has the day


class ShardEntry(TypedDict):
    """A request shard in its manifest. `bytes`: size of the file, since version 2. `set_aside`: bad rows, where it has some.

    `is_tail`: it was cut smaller, so that allocations end together.
    """

    index: int
    rows: int
    digest: str
    bytes: NotRequired[int]
    set_aside: NotRequired[int]
    is_tail: NotRequired[bool]
    goes_on: NotRequired[bool]  # its last rows begin as the first ones of the next shard do
    longest: NotRequired[int]  # tokens that an answer may have, where the dataset's rows differ in it


class PromptOrder(TypedDict):
    """In which order a dataset's requests are asked, and the parts of its prompt tokens on which that rests."""

    kept: Literal["input", "grouped"]
    shared: float  # with another prompt
    gain: float  # that grouping saves over the order of the files


class StageSource(TypedDict):
    """Answers that a stage is made of: its shards are those of its sources, one after the other."""

    dataset: str
    model: str
    shards: int


class Stage(TypedDict):
    """A dataset that is made of others' answers. `definition`: digest of all that decides its requests beside those."""

    sources: list[StageSource]
    definition: str


class Manifest(TypedDict):
    """What prepare_requests made of a dataset. A stage has no rows and no shards here: they are made from answers."""

    dataset: NotRequired[str]
    rows: int
    limit: NotRequired[int | None]
    shards: list[ShardEntry]
    columns: Annotated[list[dict[str, str]], GetPydanticSchema(lambda _, handler: handler(list[Column]))]
    files: NotRequired[list[dict[str, Any]]]
    samples: NotRequired[int]  # requests of each row of the files
    endpoints: NotRequired[list[str]]  # that its requests go to; before there was the key: chat and completions alone
    stage: NotRequired[Stage]
    order: NotRequired[PromptOrder]  # not there: that of the files, as prompts share nothing, or nobody looked


class KeptOrder(TypedDict):
    """A mark that the keys of a dataset are those of versions up to 0.1."""

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
    is_tail: NotRequired[bool]
    grouped: NotRequired[bool]  # this and the next ones: as queue.shard.Shard
    goes_on: NotRequired[bool]
    longest: NotRequired[int]


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
    waiting: NotRequired[dict[str, list[int]]]  # of stages: the shards that could not be made yet
    unmeasured: NotRequired[bool]


class Collected(TypedDict):
    """What collect counted, by model and dataset."""

    id: str
    rows: int
    ok: int
    failed: int
    missing: int
    models: Annotated[dict[str, dict[str, Any]], GetPydanticSchema(lambda _, handler: handler(dict[str, ModelCounts]))]


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
    requests_per_s: float
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
    """A line of events.jsonl (see campaign.core.events). Which event has which of the keys, events.read knows."""

    t: Time
    run: str
    event: str
    phase: NotRequired[str]
    ok: NotRequired[bool]
    error: NotRequired[str | None]
    kind: NotRequired[str | None]
    job_id: NotRequired[str | None]
    host: NotRequired[str | None]
    start: NotRequired[Time]
    end: NotRequired[Time]
    answered: NotRequired[int]
    failed: NotRequired[int]
    prompt_tokens: NotRequired[int]
    completion_tokens: NotRequired[int]


class Suspect(TypedDict):
    """A line of suspects.jsonl (see inference.engine_health)."""

    key: str


class SnakemakeRun(TypedDict):
    """A line of sessions.jsonl: a run of Snakemake that submitted to Slurm."""

    t: Time
    slurm_run: str


class Submitted(TypedDict):
    """A line of submissions.jsonl: a job handed to Slurm (`job_id`), or what Slurm said when it refused it (`error`)."""

    t: Time
    slurm_run: str
    comment: str
    job_id: str | None
    error: str | None


class ExcludedNode(TypedDict):
    """A line of excluded-nodes.jsonl."""

    t: Time
    node: str
    why: str


class Halt(TypedDict):
    """A line of halts.jsonl: an allocation that ended for a reason its user wants to hear of while others go on."""

    t: Time
    event: str  # stalled, budget
    why: str


class Forecast(TypedDict):
    """A line of forecasts.jsonl: what a plan expected."""

    t: Time
    models: dict[str, Any]


class TuningPoint(TypedDict):
    """A line of tuning/<model>.jsonl: a point of benchmark.tuning, of the tuning `setting`."""

    t: Time
    setting: str
    concurrency: int
    flags: list[Any]
    rate: float
    cost_s: float
    load_s: float


class Tuned(TypedDict):
    """What a tuning found (see benchmark.tuning.measured). Rates in tokens per second of one allocation."""

    model: str
    best: dict[str, Any] | None
    rate: float
    start: dict[str, Any]
    start_rate: float
    changes_answers: list[str]
    seconds: float
    servers: int
    points: list[dict[str, Any]]


class Plan(TypedDict):
    """plan.json (see plan.plan)."""

    made: float
    models: Annotated[dict[str, dict[str, Any]], GetPydanticSchema(lambda _, handler: handler(dict[str, PlannedModel]))]


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
TUNING_POINT = Kind("points of a tuning", TuningPoint)
TUNED = Kind("what a tuning found", Tuned)
