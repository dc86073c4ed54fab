"""Where everything of a campaign lies. The only place that spells these paths; what is in a folder is named by who fills it.

All paths are relative to the working directory of Snakemake, as the config's are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path("results")
# The allocation of an interactive server: those that answer are counted from 0 and are at most 1000.
INTERACTIVE = 1000
# That of the server of a tuning, which is started again with other flags.
TUNING = 1001


@dataclass(frozen=True)
class AllocationPaths:
    """Files of one allocation of one model: live state, phase markers and logs."""

    root: Path
    logs: Path

    @property
    def server_state(self) -> Path:
        """Live state of the server, kept true by the supervisor."""
        return self.root / "endpoint.json"

    @property
    def api_key(self) -> Path:
        """The server's API key, mode 0600."""
        return self.root / "api-key"

    @property
    def stop_request(self) -> Path:
        """Its existence asks the supervisor to stop the server."""
        return self.root / "stop"

    @property
    def code(self) -> Path:
        """The package as the supervisor was started with: what it starts later runs from here."""
        return self.root / "code.zip"

    @property
    def status(self) -> Path:
        """Progress of infer, rewritten every few seconds."""
        return self.root / "status.json"

    @property
    def metrics(self) -> Path:
        """The status in the OpenMetrics text format, for those who scrape."""
        return self.root / "metrics.prom"

    @property
    def events(self) -> Path:
        """Append-only record of phases and busy spans, read by accounting."""
        return self.root / "events.jsonl"

    @property
    def gpus(self) -> Path:
        """How busy the GPUs of each node are: one small file per node, rewritten every half minute."""
        return self.root / "gpus"

    @property
    def connection_info(self) -> Path:
        """For people: how to reach the server from elsewhere."""
        return self.root / "connection-info.txt"

    @property
    def given_up(self) -> Path:
        """Says that a Snakemake run need not try the allocation again, and why."""
        return self.root / "given-up.json"

    @property
    def ray_token(self) -> Path:
        """The secret of the allocation's Ray cluster, mode 0600."""
        return self.root / "ray" / "token"

    def ray_start(self, start: str) -> Path:
        """The folder in which the nodes of one start of Ray read and report."""
        return self.root / "ray" / start

    def engine_log(self, run: str, generation: int) -> Path:
        return self.logs / f"{run}-engine-{generation}.log"

    def supervisor_log(self, run: str) -> Path:
        return self.logs / f"{run}-supervisor.log"

    def node_log(self, start: str, program: str, node: str) -> Path:
        """The log of `ray` or `srun` on a node. `start`: RUN-GENERATION, as in the engine's log."""
        return self.logs / f"{start}-{program}-{node}.log"

    @property
    def suspects(self) -> Path:
        """Append-only record of requests in flight when the engine died."""
        return self.root / "suspects.jsonl"

    def holder(self, generation: int) -> Path:
        """Which job holds the allocation: the one in the highest generation."""
        return self.root / f"lease.g{generation}"

    def marker(self, phase: str) -> Path:
        """The file by which Snakemake sees that a phase is finished."""
        return self.root / f"{phase}.json"


@dataclass(frozen=True)
class CampaignPaths:
    """Every path of the campaign `name`, below `results/` and `logs/`."""

    name: str
    results_dir: Path = RESULTS
    logs_dir: Path = Path("logs")

    @property
    def root(self) -> Path:
        return self.results_dir / self.name

    @property
    def logs(self) -> Path:
        return self.logs_dir / self.name

    @property
    def config(self) -> Path:
        """The resolved config every phase reads; written when a run starts."""
        return self.root / "config.json"

    def kept_config(self, digest: str) -> Path:
        """The config under its digest: a job runs the config it was submitted with, whatever a later command writes."""
        return self.root / "configs" / f"{digest}.json"

    @property
    def planned_config(self) -> Path:
        """The config of a run that only planned: the campaign may be running with another one."""
        return self.root / ".planned.json"

    @property
    def lock(self) -> Path:
        return self.root / ".campaign.lock"

    @property
    def snakemake_runs(self) -> Path:
        """Append-only record of the Snakemake runs that submitted to Slurm: their jobs carry the run's name."""
        return self.root / "sessions.jsonl"

    @property
    def submissions(self) -> Path:
        """Append-only record of the jobs handed to Slurm, and of what it said of those it refused."""
        return self.root / "submissions.jsonl"

    @property
    def excluded_nodes(self) -> Path:
        """Append-only record of nodes that could not serve: jobs submitted later leave them out."""
        return self.root / "excluded-nodes.jsonl"

    @property
    def halts(self) -> Path:
        """Append-only record of allocations that stalled or met the budget: the controller tells of them."""
        return self.root / "halts.jsonl"

    @property
    def slurm_jobs(self) -> Path:
        """What sacct told of this campaign's jobs: kept, for it may be down when it is asked next."""
        return self.root / "slurm_jobs.json"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def forecasts(self) -> Path:
        """Append-only record of what plans expected, for the report to hold against what came."""
        return self.root / "forecasts.jsonl"

    @property
    def requests(self) -> Path:
        return self.root / "requests"

    def request_shards(self, dataset: str) -> Path:
        return self.requests / f"dataset={dataset}"

    def manifest(self, dataset: str) -> Path:
        """What prepare_requests made of a dataset: rows, shards with their digests, column types."""
        return self.root / "manifests" / f"{dataset}.json"

    def media(self, dataset: str) -> Path:
        """The folder of what the requests of a dataset refer to (see requests.media.store)."""
        return self.root / "media" / f"{dataset}.sqlite"

    def ordering(self, dataset: str) -> Path:
        """Temporary files of prepare_requests, while it looks for prompts that begin alike."""
        return self.root / f".ordering-{dataset}"

    def known_prompts(self, dataset: str) -> Path:
        """Which rows had which place among equal prompts (see requests.keys.known_prompts)."""
        return self.root / "equal-prompts" / f"{dataset}.parquet"

    def kept_order(self, dataset: str) -> Path:
        """Its existence says that a dataset's keys are those of versions up to 0.1 (see requests.field_order)."""
        return self.root / "earlier-answers" / f"{dataset}.json"

    def model_identity(self, model: str) -> Path:
        """What stage_model found: folder, revision and the identity that enters request keys."""
        return self.root / "models" / f"{model}.json"

    def pending(self, model: str) -> Path:
        """The shards of a model that still have unanswered requests."""
        return self.root / "pending" / f"{model}.json"

    def awaited(self, model: str, number: int | str) -> Path:
        """Says that a round of a model has enough answers of other models to start on."""
        return self.root / "awaited" / model / f"{number}.json"

    @property
    def responses(self) -> Path:
        return self.root / "responses"

    def responses_of(self, model: str) -> Path:
        """One folder per dataset, as `journals_of` and `superseded_of`."""
        return self.responses / f"model={model}"

    def parts(self, model: str, dataset: str) -> Path:
        return self.responses_of(model) / f"dataset={dataset}"

    @property
    def all_grouped_parts(self) -> Path:
        return self.root / "grouped"

    def grouped_parts_of(self, model: str) -> Path:
        """Parts of grouped datasets, as they were asked: `responses` holds their rows in the order of the files."""
        return self.all_grouped_parts / f"model={model}"

    def grouped_parts(self, model: str, dataset: str) -> Path:
        return self.grouped_parts_of(model) / f"dataset={dataset}"

    def putting_in_order(self, model: str, dataset: str) -> Path:
        """Where collect sorts the rows of a grouped dataset."""
        return self.root / f".in-order-{model}-{dataset}"

    def journals_of(self, model: str) -> Path:
        return self.root / "journals" / f"model={model}"

    def journals(self, model: str, dataset: str) -> Path:
        return self.journals_of(model) / f"dataset={dataset}"

    def all_journals(self, dataset: str) -> Iterator[Path]:
        """The journals of every model."""
        return (self.root / "journals").glob(f"model=*/dataset={dataset}/*/*.jsonl")

    def superseded_of(self, model: str) -> Path:
        return self.root / "superseded" / f"model={model}"

    def superseded(self, model: str, dataset: str) -> Path:
        """Parts of earlier requests: their answers are reused if the same request comes back."""
        return self.superseded_of(model) / f"dataset={dataset}"

    def leases(self, model: str) -> Path:
        return self.root / "claims" / f"model={model}"

    def allocation(self, model: str, allocation: int) -> AllocationPaths:
        return AllocationPaths(
            self.root / "allocations" / model / str(allocation), self.logs / "allocations" / model / str(allocation)
        )

    def known_allocations(self) -> list[tuple[str, int]]:
        """Model and number of every allocation that left something, models that left the config too."""
        folders = [path for path in (self.root / "allocations").glob("*/*") if path.name.isdigit()]
        return sorted((path.parent.name, int(path.name)) for path in folders)

    def numbers_of(self, model: str) -> list[int]:
        """The numbers of a model's allocations that have a folder."""
        return [number for name, number in self.known_allocations() if name == model]

    @property
    def collected(self) -> Path:
        return self.root / "collected.json"

    @property
    def last_collected(self) -> Path:
        """collected.json, whatever it says: Snakemake removes `collected` when collect finds too much missing or failed."""
        return self.root / ".collected.json"

    @property
    def benchmarks(self) -> Path:
        return self.root / "benchmarks.parquet"

    def benchmark_points(self, model: str) -> Path:
        """One JSON file per measured point, before they become `benchmarks.parquet`."""
        return self.root / "benchmarks" / f"model={model}"

    def all_benchmark_points(self) -> list[Path]:
        """The files of all models, those that left the config too."""
        return sorted((self.root / "benchmarks").glob("model=*/*.json"))

    def tuning_points(self, model: str) -> Path:
        """Append-only record of what a tuning measured."""
        return self.root / "tuning" / f"{model}.jsonl"

    def tuned(self, model: str) -> Path:
        """What a tuning of a model found."""
        return self.allocation(model, TUNING).marker("tuned")

    @property
    def tuning(self) -> Path:
        """What tunings say to put into the config."""
        return self.root / "tuning.yaml"

    @property
    def accounting(self) -> Path:
        return self.root / "accounting.parquet"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    def plot(self, name: str) -> Path:
        """A plot of the report, for Snakemake's report."""
        return self.root / "report" / f"{name}.svg"

    def plots(self) -> list[Path]:
        """The plots that are there."""
        return sorted((self.root / "report").glob("*.svg"))


def campaigns(results_dir: Path = RESULTS) -> list[CampaignPaths]:
    """Every campaign that has a config below a folder of results, the one started last at the end."""
    configs = sorted(results_dir.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    return [CampaignPaths(path.parent.name, results_dir) for path in configs]
