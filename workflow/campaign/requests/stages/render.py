"""From an answered row of a source to a stage's request."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from campaign.config import CampaignConfig, Source
from campaign.config.row_fields import row_fields
from campaign.core import exact_json, state_files
from campaign.core.tables import ANSWER
from campaign.requests.answer.rule import NotValid, Rule, rule_of
from campaign.requests.files.row import Row
from campaign.requests.keys.key import KEY_BYTES, canonical_json, derived_key
from campaign.requests.problems import RowProblem
from campaign.requests.rows import bad_rows
from campaign.requests.rows.bodies import Rendered, renderer
from campaign.requests.rows.samples import renamed_column
from campaign.requests.stages.columns import (
    CARRIED_OF_POOLED,
    OF_POOLED,
    OF_RESPONSES,
    SOURCE_DATASET,
    SOURCE_MODEL,
    names_of_own,
    spaces,
    stage_types,
)
from campaign.requests.stages.condition import RowCondition
from campaign.requests.templates.template import TemplateProblem

_RULES = 1  # of this module: another number derives all stages anew


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """An answered row of a source. `values`: columns of its responses; `columns`: its own ones, as its request has them."""

    key: bytes  # content key
    values: Mapping[str, Any]
    columns: Mapping[str, Any]


class StageRenderer:
    """Makes the requests of a stage. `manifests`: of its sources' datasets. Raises RowProblem."""

    def __init__(self, config: CampaignConfig, name: str, manifests: Mapping[str, state_files.Manifest]) -> None:
        self.name, self.dataset, self._sources = name, config.datasets[name], config.sources_of(name)
        self._several = len(self._sources) > 1
        self._render = renderer(self.dataset)
        self._where = condition_of(self.dataset.where)
        self._types = stage_types(config, name, manifests)
        self.renamed = renamed_column(self._types)  # as of samples.sample_columns
        self._spaces = spaces(self._types, config.datasets)
        self._rules = {source: _rule(config, source) for source in self._sources}
        self._names = {
            source: names_of_own(
                config,
                [column["source"] for column in manifests[source.dataset]["columns"]],
                manifests[source.dataset].get("endpoints", []),
                several=self._several,
            )
            for source in self._sources
        }

    @property
    def needed(self) -> list[str]:
        """Columns of the source's responses that are read."""
        used = set(self._render.named_columns.values()) | {field.column for field in row_fields(self.dataset.sampling).values()}
        used |= {name for template in self._render.templates.values() for name in template.names}
        used |= self._where.names if self._where else set()
        always = ("status", "row_id", "source_file", "source_row", "text", *CARRIED_OF_POOLED)
        return [name for name in (*OF_RESPONSES, *OF_POOLED) if name in always or name in used or "row" in used]

    def __call__(self, source: Source, row: AnsweredRow) -> Rendered | None:
        """The request of a row; None for one that `where` leaves out. A row that makes none: RowProblem, or set aside."""
        columns = self._columns(source, row)
        inner = {space: {key: columns[name] for key, name in keys.items()} for space, keys in self._spaces.items()}
        answer = {} if self._rules[source] is None and not any(self._rules.values()) else {ANSWER: self._answer(source, row)}
        of_source = {SOURCE_DATASET: source.dataset, SOURCE_MODEL: source.model}
        values = {**row.values, **of_source, **answer, **inner, **columns}
        place = Row(row.values["source_file"], row.values["source_row"], None, values, kept=columns)
        try:
            if self._where is not None and not _is_met(self._where, values):
                return None
            rendered = self._render(place)
        except RowProblem as error:
            reason = f"row {row.values['row_id']} of {source.dataset}: {error}"
            if self.dataset.on_bad_row == "stop":
                raise RowProblem(error.config_key, reason) from None
            rendered = self._unsent(place, reason)
        rendered.row_id = row.values["row_id"]
        return rendered

    def key(self, source: Source, row: AnsweredRow, rendered: Rendered) -> bytes:
        """The content key: equal requests are told apart by the rows that they were made from."""
        made_from = hashlib.blake2b(f"{source.dataset}\0{source.model}\0".encode() + row.key, digest_size=KEY_BYTES).digest()
        return derived_key(self.name, rendered.endpoint, rendered.key_json, made_from)

    def _columns(self, source: Source, row: AnsweredRow) -> dict[str, Any]:
        """All columns that go on; null where another source has them."""
        names = self._names[source]
        found: dict[str, Any] = {names[name]: value for name, value in row.columns.items() if name in names}
        for key in ("text", ANSWER, *CARRIED_OF_POOLED):
            if (column := f"{source.dataset}.{key}") in self._types:
                found[column] = self._answer(source, row) if key == ANSWER else row.values.get(key)
        if self._several:
            found |= {SOURCE_DATASET: source.dataset, SOURCE_MODEL: source.model}
        return {**dict.fromkeys(self._types), **found}

    def _answer(self, source: Source, row: AnsweredRow) -> Any:
        rule, text = self._rules[source], row.values["text"]
        try:
            return None if rule is None or text is None else rule.value(text)
        except NotValid:
            return None

    def _unsent(self, row: Row, reason: str) -> Rendered:
        content = bad_rows.content_of(row.file, row.number, reason)
        return Rendered(None, bad_rows.ENDPOINT, content, bad_rows.columns_of(row.own), canonical_json(content))


def _rule(config: CampaignConfig, source: Source) -> Rule | None:
    answer = config.datasets[source.dataset].answer
    return None if answer is None else rule_of(answer)


def condition_of(where: str | None) -> RowCondition | None:
    """Compile `where`. Raises RowProblem."""
    try:
        return None if where is None else RowCondition(where)
    except TemplateProblem as error:
        raise RowProblem("where", str(error)) from None


def _is_met(where: RowCondition, values: dict[str, Any]) -> bool:
    try:
        return where.is_met(values)
    except TemplateProblem as error:
        raise RowProblem("where", str(error)) from None


_NO_REQUEST = {"models", "limit", "shard_rows", "files", "answer"}  # of a dataset's config, decides none of its requests alone


def definition_of(config: CampaignConfig, name: str, manifest: state_files.Manifest) -> str:
    """A digest of everything that decides a stage's requests, beside its source's answers."""
    dataset = config.datasets[name]
    said = dataset.model_dump(mode="json", exclude=_NO_REQUEST)
    answers = [_decides(config, one) for one in (name, *dict.fromkeys(source.dataset for source in config.sources_of(name)))]
    sources = [(source.dataset, source.model) for source in config.sources_of(name)]
    content = [_RULES, said, answers, sources, manifest["columns"]]
    # Not sorted: where the engine sees an order of keys, it decides too.
    return hashlib.blake2b(exact_json.dumps(content, option=orjson.OPT_NON_STR_KEYS), digest_size=16).hexdigest()


def _decides(config: CampaignConfig, name: str) -> Any:
    """What `answer` of a dataset changes in requests: not how often it is asked again."""
    answer = config.datasets[name].answer
    return None if answer is None else answer.model_dump(mode="json", exclude={"retries", "tell_model"})
