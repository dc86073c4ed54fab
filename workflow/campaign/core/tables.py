"""The tables a campaign makes: one constant each, from which files, checks and the results reference are made.

A column is (name, Arrow type, meaning with its unit). `schema()` turns a table into an Arrow schema.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Column:
    name: str
    type: pa.DataType
    meaning: str


@dataclass(frozen=True)
class Table:
    name: str
    meaning: str
    columns: tuple[Column, ...]

    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type) for c in self.columns])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)


REQUESTS = Table(
    "requests",
    "One row per rendered prompt of a dataset, in the order in which they are asked; partitioned by dataset.",
    (
        Column("content_key", pa.binary(16), "hash of dataset, endpoint, body and ordinal among equal ones"),
        Column("row_id", pa.string(), "the `id` column's value, the batch file's custom_id, else file name and row"),
        Column("source_file", pa.string(), "path of the prompt file as the config's glob found it"),
        Column("source_row", pa.int64(), "row in that file, counted from 1, header not counted"),
        Column("endpoint", pa.string(), "the dataset's `endpoint`, or the one of the batch line's url"),
        Column("body", pa.binary(), "JSON of the request without `model`, as it is sent"),
        Column("columns", pa.binary(), "JSON object of the dataset's passthrough columns"),
    ),
)

RESPONSES = Table(
    "responses",
    "One row per request, answered or failed; partitioned by model and dataset. The dataset's passthrough columns follow: "
    "those of its prompt files. One whose name is taken by a column of this table, or by `model` or `dataset`, gets the prefix "
    "`input_`, also where the names differ only in case. Lists and structs stay such where all rows agree in their fields and "
    "types, else they are JSON text. Where datasets give a name different types, the one later in the alphabet has it with its "
    "type in the name, such as `score_int`. Where a dataset has an `answer`, the column `answer` comes before them: what the "
    "texts say, as a struct for a schema of fields, a list, a number or a text; where one has `samples`, the column `sample` "
    "(docs/prompts.md).",
    (
        Column("request_key", pa.string(), "32 hex digits: hash of model identity, dataset, endpoint, body and ordinal"),
        Column("row_id", pa.string(), "the `id` column's value, the batch file's custom_id, else file name and row"),
        Column("source_file", pa.string(), "path of the prompt file"),
        Column("source_row", pa.int64(), "row in that file, counted from 1, header not counted"),
        Column("prompt", pa.string(), "messages as sent, as JSON; for completions the prompt itself, for embeddings the text"),
        Column("text", pa.string(), "the answer; null where there is none"),
        Column("status", pa.string(), "ok | failed"),
        Column("finish_reason", pa.string(), "stop | length | tool_calls ...: the engine's word"),
        Column("error_class", pa.string(), "why it failed: see the error classes; null when ok"),
        Column("error_message", pa.string(), "the engine's or the client's words; null when ok"),
        Column("prompt_tokens", pa.int64(), "tokens read, as the engine counts them"),
        Column("completion_tokens", pa.int64(), "tokens written, as the engine counts them"),
        Column("attempts", pa.int32(), "times this request was sent and counted"),
        Column("latency_s", pa.float64(), "seconds from sending to the whole answer, last attempt"),
        Column("started_at", TIME, "when the last attempt was sent"),
        Column("job_id", pa.string(), "Slurm job, or the local run, that got the answer"),
        Column("allocation", pa.int32(), "number of the allocation that got the answer"),
        Column("model_revision", pa.string(), "commit of a hub model; content digest of a local one"),
        Column("engine_version", pa.string(), "vLLM version that answered"),
        Column("response_extra", pa.string(), "JSON of what the answer holds beyond these columns (tool calls, logprobs, "
               "prompt_logprobs, token ids, stop_reason, further choices ...); null mostly"),
        Column("reasoning", pa.string(), "what a reasoning model wrote before its answer; null where there is none"),
        Column("cached_tokens", pa.int64(), "prompt tokens found in the engine's prefix cache; null where it does not say"),
        Column("invalid_attempts", pa.string(), "JSON list of the answers before this one that were not valid by the dataset's "
               "`answer`: text, reason, tokens; null mostly"),
    ),
)  # fmt: skip

_SCORES = pa.list_(pa.struct([pa.field("index", pa.int32()), pa.field("score", pa.float64())]))

POOLED = Table(
    "responses of endpoints without text",
    "Columns of `responses` that stand behind those above in a campaign with such a dataset; null in rows of other endpoints. "
    "A column of the prompt files that is called so gets the prefix `input_` there.",
    (
        Column("embedding", pa.list_(pa.float32()), "embeddings: the vector; a list of fixed size where all of the campaign "
               "have one length"),
        Column("score", pa.float64(), "score: how well the two texts go together"),
        Column("scores", _SCORES, "rerank: documents by their `index` in the request, the best first; score of several "
               "documents: in their order"),
        Column("label", pa.string(), "classify: the likeliest class"),
        Column("probs", pa.list_(pa.float64()), "classify: the probability of each class, in the model's order"),
    ),
)  # fmt: skip

BENCHMARKS = Table(
    "benchmarks",
    "One row per measured point: this campaign's own prompts against the running server at one concurrency. A point is "
    "measured once for the same weights, engine version, server settings, shape and number of prompts; to have it measured "
    "again by the next server, remove its file below results/<campaign>/benchmarks/. One that would not end within the "
    "walltime is left out.",
    (
        Column("model", pa.string(), "name of the model in the config; in a sweep <model>-<variant> for a variant"),
        Column("base_model", pa.string(), "the model itself; in a sweep the one a variant belongs to"),
        Column("allocation", pa.int32(), "allocation whose server was measured"),
        Column("job_id", pa.string(), "Slurm job or local run"),
        Column("measured_at", TIME, "start of the measurement"),
        Column("concurrency", pa.int32(), "requests kept in flight"),
        Column("requests", pa.int32(), "requests sent"),
        Column("failed", pa.int32(), "requests without an answer"),
        Column("duration_s", pa.float64(), "seconds from the first request to the last answer"),
        Column("requests_per_s", pa.float64(), "answered requests per second"),
        Column("output_tokens_per_s", pa.float64(), "tokens written per second"),
        Column("total_tokens_per_s", pa.float64(), "tokens read and written per second"),
        Column("prompt_tokens", pa.int64(), "tokens read"),
        Column("completion_tokens", pa.int64(), "tokens written"),
        Column("cached_tokens", pa.int64(), "tokens read that were found in the prefix cache; null where it does not say"),
        *(
            Column(f"{metric}_{statistic}_s", pa.float64(), f"{meaning}, {statistic}, seconds")
            for metric, meaning in (
                ("ttft", "time to first token"),
                ("itl", "inter-token latency"),
                ("latency", "end-to-end latency"),
            )
            for statistic in ("mean", "p50", "p90", "p99")
        ),
        Column("tensor_parallel", pa.int32(), "tensor-parallel size"),
        Column("pipeline_parallel", pa.int32(), "pipeline-parallel size"),
        Column("data_parallel", pa.int32(), "data-parallel size"),
        Column("nodes", pa.int32(), "nodes of the allocation"),
        Column("gpus_per_node", pa.int32(), "GPUs per node; 0 on a CPU"),
        Column("settings", pa.string(), "JSON of what else the server was told: length, memory share, types, vllm flags"),
        Column("device", pa.string(), "GPU or CPU as the engine's host names it"),
        Column("model_revision", pa.string(), "commit of a hub model; content digest of a local one"),
        Column("engine_version", pa.string(), "vLLM version"),
        Column("tool_version", pa.string(), "load tool and its version"),
    ),
)

ACCOUNTING = Table(
    "accounting",
    "One row per run of an allocation (a requeued job has several); under Slurm one per run of every job.",
    (
        Column("model", pa.string(), "name of the model in the config; null for jobs of no model"),
        Column("allocation", pa.int32(), "number of the allocation; null for jobs of none"),
        Column(
            "rule",
            pa.string(),
            "allocation, hold for an interactive server, or the rule of a job beside them (prepare_requests, stage_model)",
        ),
        Column("job_id", pa.string(), "Slurm job or local run"),
        Column("run", pa.string(), "run id: tells the runs of a requeued job apart; null for a job that wrote nothing"),
        Column(
            "state",
            pa.string(),
            "COMPLETED | FAILED | CANCELLED | KILLED (without a word) | RUNNING, or Slurm's word; "
            "REFUSED by sbatch, UNKNOWN to sacct",
        ),
        Column("host", pa.string(), "first host of the run"),
        Column("started_at", TIME, "start of the run"),
        Column("ended_at", TIME, "end of the run; of its last trace when it was killed"),
        Column("wall_s", pa.float64(), "seconds from start to end; under Slurm the billed ones"),
        Column("queue_s", pa.float64(), "seconds waited in the queue; null locally"),
        *(
            Column(f"{phase}_s", pa.float64(), f"seconds in {phase}")
            for phase in ("bring_up", "ready", "infer", "benchmark", "tear_down")
        ),
        Column("busy_s", pa.float64(), "seconds with at least one request in flight"),
        Column("busy_fraction", pa.float64(), "busy_s / wall_s"),
        Column("engine_starts", pa.int32(), "times the engine was started"),
        Column("answered", pa.int64(), "requests answered"),
        Column("failed", pa.int64(), "requests that became failed rows"),
        Column("prompt_tokens", pa.int64(), "tokens read"),
        Column("completion_tokens", pa.int64(), "tokens written"),
        Column("output_tokens_per_s", pa.float64(), "completion tokens per busy second"),
        Column("billing", pa.float64(), "Slurm's billing rate; null locally"),
        Column(
            "su",
            pa.float64(),
            "service units: billing x seconds / 3600 x usage factor, or what `unit` says; null locally, and while sacct does "
            "not know the job",
        ),
        Column("unit", pa.string(), "what `su` counts: SU, or GPU-hours or node-hours where nothing is billed; null locally"),
        Column("su_per_million_tokens", pa.float64(), "SUs per million prompt and completion tokens; null locally"),
        Column(
            "su_guide",
            pa.float64(),
            "the site's deployment guide: hours x nodes x gpus x one price; null locally, and where no guide has a price",
        ),
        Column("error", pa.string(), "what ended the run, when it did not complete"),
    ),
)

TABLES = (REQUESTS, RESPONSES, POOLED, BENCHMARKS, ACCOUNTING)


def table_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a small table (benchmarks, accounting); none where it was not made yet."""
    return pq.read_table(path).to_pylist() if path.exists() else []


# Names a dataset's passthrough column cannot have in `responses`: it gets the prefix `input_`.
RESERVED_COLUMNS = frozenset({*RESPONSES.names, "model", "dataset"})


# The column of datasets that say what an answer must be; a campaign without one has no such column.
ANSWER = "answer"


def passthrough_names(sources: Collection[str], further: Collection[str] = ()) -> dict[str, str]:
    """Name in `responses`, unique there, of each own column of a dataset by its name in the files.

    `further`: columns that the campaign's responses have beside RESPONSES: `answer`, some of POOLED.
    """
    names: dict[str, str] = {}
    # DuckDB and Spark do not tell apart what differs only in case.
    reserved = {name.casefold() for name in RESERVED_COLUMNS} | {name.casefold() for name in further}
    known, taken = {source.casefold() for source in sources}, set(reserved)
    for source in sources:
        name = source or "unnamed"  # pandas writes an index under no name
        while name.casefold() in taken or (name != source and name.casefold() in known):
            name = f"input_{name}"
        taken.add(name.casefold())
        names[source] = name
    return names


# Why a request has no answer. `transient` ones were tried `max_attempts` times.
ERROR_CLASSES = {
    "context_length": "the prompt and max_tokens do not fit the model's context",
    "bad_request": "the engine refused the request (another 4xx; 401, 403, 404 while it answered others)",
    "engine_killed": "sent alone, the request killed the engine again",
    "timeout": "no answer within request_timeout (or a gateway's), max_attempts times",
    "server_error": "the engine answered 500, max_attempts times; or 5xx to this one for 10 minutes while it answered others",
    "rate_limited": "the server answered 429 to this one for 10 minutes while it answered others",
    "connection": "the connection broke while the engine was up, max_attempts times",
    "bad_row": "the row of the prompt file could not be read or made no request, and was set aside (`on_bad_row`)",
    "bad_response": "the engine's reply could not be used (no JSON, content that is no text, no token counts ...), "
    "max_attempts times",
    "media_gone": "an image or sound file was missing or had changed when its request was to be sent",
    "invalid_answer": "no answer was valid by the dataset's `answer`; the last one is in `text`",
}
