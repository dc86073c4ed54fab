"""Parts: a shard's answers as the user reads them, one parquet file per shard, replaced at once.

A part's footer holds the digest of the requests it answers, the number of its failed rows and the types of its passthrough
columns (those of the prompt files), so that what is done, how much failed and whether all parts of a campaign look alike is
known without reading a row.
"""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core.errors import Incomplete
from campaign.core.files import patiently, replacing
from campaign.core.tables import ANSWER, POOLED, RESPONSES, TIME
from campaign.queue.answers.answer import ANSWER_FIELDS, Answer, publishable
from campaign.queue.answers.validity import Validity, from_json, validity_of
from campaign.queue.parts.own_columns import OwnColumns
from campaign.queue.parts.pooled import VECTOR, asked_columns, column_array, journalled_values
from campaign.queue.shard import Shard, part_digest
from campaign.requests.answer.column import AnswerColumn
from campaign.requests.columns.column_types import arrow_type, to_arrow
from campaign.requests.endpoints import APIS
from campaign.requests.keys.key import request_key
from campaign.requests.rows import bad_rows
from campaign.requests.shards import DIGEST, stored_digest

FAILED = b"failed"  # number of failed rows
# JSON object: passthrough column -> its column type (several column types have one Arrow type).
PASSTHROUGH_TYPES = b"own_columns"
ANSWER_MARK = b"answer"  # what the column `answer` was made by; where there is none, it is not there
VALIDITY = b"validity"  # of its rows, where its dataset says what an answer must be
ANSWERS = b"answers"  # digest of which answers it holds: those of a request that is asked again are others

# Columns by which an answer is told from an earlier one to the same request.
_OF_AN_ANSWER = ["request_key", "status", "text", "started_at"]
_JUDGED = ["status", "error_class", "invalid_attempts", "prompt_tokens", "completion_tokens"]

# What is read of a part to find its answers again.
ANSWER_COLUMNS = ["request_key", *ANSWER_FIELDS, *POOLED.names]


def response_schema(passthrough: Mapping[str, str], further: Sequence[pa.Field] = ()) -> pa.Schema:
    """Schema of every part of a campaign: tables.RESPONSES, what only some campaigns have, then the passthrough columns."""
    return pa.schema([*RESPONSES.schema(), *further, *(pa.field(name, arrow_type(kind)) for name, kind in passthrough.items())])


class PartWriter:
    """Publishes the parts of one campaign's model; holds what is the same for all of them.

    `vectors`: their type in all parts; None: each part decides by its own, and collect makes them alike.
    """

    def __init__(self, config: CampaignConfig, identity: str, vectors: pa.DataType | None = None) -> None:
        self.identity = identity
        self.pooled = asked_columns(config)
        has_vectors = VECTOR in [column.name for column in self.pooled]  # else it may be a column of the prompt files
        self._answers, self._vectors = AnswerColumn(config.datasets), vectors if has_vectors else None
        further = [pa.field(column.name, column.type) for column in self.pooled]
        further += [] if self._answers.type is None else [pa.field(ANSWER, self._answers.type)]
        self._further = [field.name for field in further]
        own = OwnColumns(config, self._further)
        self.passthrough, self._sources = own.types, own.sources
        self.schema = _with_vectors(response_schema(self.passthrough, further), self._vectors)

    def publish(self, shard: Shard, answers: Mapping[str, Answer], seconds: float | None = None) -> None:
        """Write the shard's part, then remove its journals. Raises Incomplete when an answer is missing, StorageError.

        `seconds`: as of files.patiently.
        """
        requests = shard.requests(seconds)
        keys = [request_key(self.identity, key) for key in requests.column("content_key").to_pylist()]
        missing = sum(key not in answers for key in keys)
        if missing:
            raise Incomplete(f"{shard.name}: {missing} of {len(keys)} requests have no answer; run the same command again")
        if part_digest(stored_digest(shard.requests_path, seconds) or "", self.identity) != shard.digest:
            raise Incomplete(f"The requests of {shard.name} were rendered anew meanwhile; run the same command again")
        self._write(shard, self._table(shard, requests, keys, publishable([answers[key] for key in keys])))
        shutil.rmtree(shard.journals, ignore_errors=True)

    def _write(self, shard: Shard, table: pa.Table) -> None:
        failed = sum(status == "failed" for status in table.column("status").to_pylist())
        metadata = {
            DIGEST: shard.digest.encode(),
            FAILED: str(failed).encode(),
            PASSTHROUGH_TYPES: orjson.dumps(self.passthrough),
            ANSWERS: _digest_of_answers(table).encode(),
            **self._answer_mark(shard),
            **self._validity(shard, table),
        }
        with replacing(shard.part) as beside:
            pq.write_table(table.replace_schema_metadata(metadata), beside, compression="zstd")

    def _table(self, shard: Shard, requests: pa.Table, keys: list[str], answers: list[Answer]) -> pa.Table:
        columns = {name: _column(name, [answer.get(field) for answer in answers]) for name, field in ANSWER_FIELDS.items()}
        columns |= {
            column.name: column_array(column, [answer.get(column.name) for answer in answers], self._vectors)
            for column in self.pooled
        }
        columns["request_key"] = keys
        for name in ("row_id", "source_file", "source_row"):
            columns[name] = requests.column(name).combine_chunks()
        asked = zip(requests.column("endpoint").to_pylist(), requests.column("body").to_pylist(), strict=True)
        columns["prompt"] = [_prompt_of(endpoint, body) for endpoint, body in asked]
        columns |= self._answer_values(shard, columns["status"], columns["text"])
        columns |= self._passthrough_values(shard.dataset, requests)
        schema = _with_vectors(self.schema, columns[VECTOR].type) if VECTOR in self._further else self.schema
        arrays = [_array(columns[field.name], field.type) for field in schema]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _answer_values(self, shard: Shard, status: list[str], texts: list[str | None]) -> dict[str, pa.Array]:
        if self._answers.type is None:
            return {}
        valid = (text if state == "ok" else None for state, text in zip(status, texts, strict=True))
        return {ANSWER: self._answers.values(shard.dataset, valid)}

    def _answer_mark(self, shard: Shard) -> dict[bytes, bytes]:
        return {} if self._answers.type is None else {ANSWER_MARK: self._answers.mark(shard.dataset).encode()}

    def _validity(self, shard: Shard, table: pa.Table) -> dict[bytes, bytes]:
        if not self._answers.has(shard.dataset):
            return {}
        return {VALIDITY: validity_of(table.select(_JUDGED).to_pylist()).to_json()}

    def _passthrough_values(self, dataset: str, requests: pa.Table) -> dict[str, pa.Array]:
        rows = [orjson.loads(row) for row in requests.column("columns").to_pylist()]
        sources = self._sources[dataset]
        return {
            name: to_arrow([row.get(sources[name]) if name in sources else None for row in rows], kind)
            for name, kind in self.passthrough.items()
        }

    def conform(self, shard: Shard) -> None:
        """Give a published part the columns of the whole campaign, with their types; it is rewritten only if it differs.

        Passthrough columns are taken from the requests again: the part becomes what it would be, were it published now.
        Columns of RESPONSES that came later are null.
        """
        schema = patiently(shard.part, lambda: pq.read_schema(shard.part))
        if self._conforms(shard, schema):
            return
        held = _response_columns(schema)
        table = patiently(shard.part, lambda: pq.read_table(shard.part, columns=list(held), partitioning=None))
        columns = self._passthrough_values(shard.dataset, shard.requests())
        ours = [*RESPONSES.names, *(column.name for column in self.pooled)]
        columns |= {name: table.column(name) if name in held else pa.nulls(len(table)) for name in ours}
        columns |= self._answer_values(shard, columns["status"].to_pylist(), columns["text"].to_pylist())
        arrays = [columns[field.name].cast(field.type) for field in self.schema]
        self._write(shard, pa.Table.from_arrays(arrays, schema=self.schema))

    def _conforms(self, shard: Shard, schema: pa.Schema) -> bool:
        mark = (schema.metadata or {}).get(ANSWER_MARK)
        same_answers = self._answer_mark(shard).get(ANSWER_MARK) == mark
        same_vectors = self._vectors is None or _vectors_in(schema) in (None, self._vectors)
        same_columns = schema.names == self.schema.names and _passthrough_types(schema.metadata) == self.passthrough
        return same_columns and same_answers and same_vectors


def _with_vectors(schema: pa.Schema, kind: pa.DataType | None) -> pa.Schema:
    """The schema with another type of vectors."""
    at = schema.get_field_index(VECTOR)
    return schema if at < 0 or kind is None else schema.set(at, pa.field(VECTOR, kind))


def _vectors_in(schema: pa.Schema) -> pa.DataType | None:
    """The type of a part's vectors; None where it has none."""
    return schema.field(VECTOR).type if VECTOR in _response_columns(schema) else None


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def failed_rows(path: Path) -> int:
    """Number of failed rows of a part, from its footer."""
    metadata = patiently(path, lambda: pq.read_metadata(path)).metadata or {}
    return int(metadata.get(FAILED, b"0"))


def answers_digest(path: Path, seconds: float | None = None) -> str:
    """Which answers a part holds, as a digest: from its footer, or its rows where an earlier version wrote it.

    `seconds`: as of files.patiently.
    """

    def read() -> str:
        with pq.ParquetFile(path) as part:
            return answers_digest_of(part)

    return patiently(path, read, seconds)


def answers_digest_of(part: pq.ParquetFile) -> str:
    """The digest of `answers_digest`, of an open part."""
    known = (part.schema_arrow.metadata or {}).get(ANSWERS)
    return _digest_of_answers(part.read(columns=_OF_AN_ANSWER)) if known is None else known.decode()


def _digest_of_answers(table: pa.Table) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in _OF_AN_ANSWER:
        values = table.column(name)
        digest.update(orjson.dumps((values.cast(pa.int64()) if values.type == TIME else values).to_pylist()))
    return digest.hexdigest()


def _prompt_of(endpoint: str, body: bytes) -> str:
    return "" if endpoint == bad_rows.ENDPOINT else APIS[endpoint].prompt_of(body)


def validity_of_part(path: Path) -> Validity | None:
    """How many answers of a part are valid, from its footer; None where its dataset has no `answer`."""
    return from_json((patiently(path, lambda: pq.read_metadata(path)).metadata or {}).get(VALIDITY))


def _column(name: str, values: list[Any]) -> Any:
    """A column of RESPONSES from what journals hold, where times are unix seconds."""
    if RESPONSES.schema().field(name).type != TIME:
        return values
    return pa.array([None if value is None else round(value * 1e6) for value in values], pa.int64()).cast(TIME)


def _journalled(values: pa.ChunkedArray) -> list[Any]:
    """Values of a column as journals hold them."""
    if values.type == TIME:
        return [None if micros is None else micros / 1e6 for micros in values.cast(pa.int64()).to_pylist()]
    held: list[Any] = values.to_pylist()
    return held


def answers_of_part(table: pa.Table) -> list[Answer]:
    """The answers a part (or some of its rows) holds, as journals write them; a column that came later is null."""
    held = _response_columns(table.schema)
    columns = {"key": table.column("request_key").to_pylist()}
    for name, field in ANSWER_FIELDS.items():
        columns[field] = _journalled(table.column(name)) if name in held else [None] * len(table)
    columns |= {name: journalled_values(name, table.column(name)) for name in POOLED.names if name in held}
    names = list(columns)
    return [cast(Answer, dict(zip(names, values, strict=True))) for values in zip(*columns.values(), strict=True)]


def _response_columns(schema: pa.Schema) -> set[str]:
    """Columns of our tables a part has; one from before a column came may have a passthrough column of that name."""
    return {*RESPONSES.names, *POOLED.names} & set(schema.names) - (_passthrough_types(schema.metadata) or {}).keys()


def _passthrough_types(metadata: Mapping[bytes, bytes] | None) -> dict[str, str] | None:
    types: dict[str, str] | None = orjson.loads((metadata or {}).get(PASSTHROUGH_TYPES, b"null"))
    return types
