"""What is left to answer: rows of a dataset, counted or estimated from sizes, and how long its prompts and answers are."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.queue.counts import dataset_counts
from campaign.requests.asked_endpoints import asked_endpoints, writes_text
from campaign.requests.endpoints import APIS
from campaign.requests.files.counting import costs_budget, count_rows
from campaign.requests.files.matching import matching_files
from campaign.requests.files.read import readable_head
from campaign.requests.files.row import Options, options_of
from campaign.requests.problems import RowProblem
from campaign.requests.rows.bodies import Renderer, renderer

log = logging.getLogger(__name__)

_COUNTED_BYTES = 256 << 20  # of text files: counting the lines of so much takes a second or two
_SAMPLED_ROWS = 200
_SAMPLED_FILES = 20
_CHARACTERS_PER_TOKEN = 4.0  # of English under today's vocabularies (OpenAI's and Llama 3's documentation say so)
_UNSAID_OUTPUT = 512.0  # tokens, where max_tokens is not given: most answers of chat models are shorter


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a request, and within which the mean of its answers may lie."""

    prompt: float
    output: float
    least: float
    most: float
    source: str


@dataclass(frozen=True)
class SampledLength:
    """A request of one of the first rows, in tokens. `answer`: the most it lets the model write; 0 where it does not say."""

    prompt: float
    answer: int


@dataclass(frozen=True)
class Workload:
    """The rows of a dataset that a model still has to answer."""

    dataset: str
    rows: int
    exact: bool  # the rows are counted, not estimated
    done: int
    shard_rows: int
    lengths: Lengths
    samples: tuple[SampledLength, ...] = ()
    most: int | None = None  # rows that a stage may have at most, and `fewest` at least; None: as many as expected
    fewest: int | None = None

    @property
    def left(self) -> int:
        return max(0, self.rows - self.done)

    @property
    def left_at_least(self) -> int:
        return self.left if self.fewest is None else max(0, self.fewest - self.done)

    @property
    def left_at_most(self) -> int:
        return self.left if self.most is None else max(0, self.most - self.done)


def workloads(config: CampaignConfig, model: str, sizes: "Mapping[str, Dataset]") -> list[Workload]:
    """Count the rows `model` has to answer of each of its datasets; `sizes`: of each, as of `stage_sizes.dataset_sizes`."""
    counts = dataset_counts(config, model)
    work = []
    for name, dataset in config.datasets_of(model).items():
        size, known = sizes[name], counts[name]
        done = 0 if known is None else known["done"]
        shape = (name, size.rows, size.exact, done, dataset.shard_rows, size.lengths, size.samples)
        work.append(Workload(*shape, size.most, size.fewest))
    return work


@dataclass(frozen=True)
class Dataset:
    """A dataset's rows and the lengths of its requests."""

    rows: int
    exact: bool
    lengths: Lengths
    samples: tuple[SampledLength, ...] = ()
    most: int | None = None  # as of Workload
    fewest: int | None = None
    rests_on: str = ""  # of a stage: where its rows are known from


def dataset_size(config: CampaignConfig, name: str) -> Dataset:
    """Rows and lengths of a dataset of files. Reads the manifest of an earlier run where the files are unchanged since."""
    dataset = config.datasets[name]
    files, options = matching_files(dataset.files, dataset.split), options_of(dataset)
    rows, exact = _rows(config.paths.manifest(name), files, dataset.limit, options)
    if dataset.limit is not None:
        rows = min(rows, dataset.limit)
    rows *= dataset.samples
    sampled = _sampled(config, name, files)
    lengths = Lengths(_mean_prompt(sampled), *_answers(config, name, sampled))
    return Dataset(rows, exact, lengths, tuple(row.tokens for row in sampled))


def stage_lengths(config: CampaignConfig, name: str, prompt: float) -> Lengths:
    """The lengths of a stage's requests, when its prompts have so many tokens."""
    return Lengths(prompt, *_answers(config, name, []))


def _answers(config: CampaignConfig, name: str, sampled: "list[_Sampled]") -> tuple[float, float, float, str]:
    is_pooled = writes_text(asked_endpoints(config, name)) is False
    return _NOTHING_WRITTEN if is_pooled else _written(config.datasets[name].sampling, sampled)


_NOTHING_WRITTEN = (0.0, 0.0, 0.0, "vectors and scores are not written in tokens")


def _written(sampling: dict[str, Any], sampled: "list[_Sampled]") -> tuple[float, float, float, str]:
    """Tokens of an answer, within which their mean may lie, and what that rests on: each sampled row has its max_tokens."""
    limits = [row.tokens.answer for row in sampled] or [int(_most_tokens(sampling) or 0)]
    said = [limit for limit in limits if limit]
    if not said:
        return _UNSAID_OUTPUT, _UNSAID_OUTPUT / 4, _UNSAID_OUTPUT * 4, "assumed: max_tokens is not given"
    unsaid = (len(limits) - len(said)) * _UNSAID_OUTPUT
    output, least, most = sum(said) / 2 + unsaid, sum(said) / 8 + unsaid / 4, sum(said) + unsaid * 4
    given = ", of rows that have one" if unsaid else ""
    return output / len(limits), least / len(limits), most / len(limits), f"assumed: half of max_tokens{given}"


def _most_tokens(sampling: dict[str, Any]) -> float | None:
    named = sampling.get("max_completion_tokens") or sampling.get("max_tokens")
    return float(named) if isinstance(named, (int, float)) and named > 0 else None


def _rows(manifest: Path, files: list[Path], limit: int | None, options: Options) -> tuple[int, bool]:
    known = records.read(state_files.MANIFEST, manifest)
    if known is not None and known.get("limit") == limit and _same_files(known["files"], files, limit):
        newest = max((path.stat().st_mtime for path in files), default=0.0)
        if newest <= manifest.stat().st_mtime:
            return int(known["rows"]) // known.get("samples", 1), True
    total, exact, left = 0, True, _COUNTED_BYTES
    for path in files:
        if limit is not None and total >= limit:
            return limit, exact
        rows, counted = count_rows(path, left, options, None if limit is None else limit - total)
        total, exact = total + rows, exact and counted
        if costs_budget(path):
            left -= path.stat().st_size
    return total, exact


def _same_files(known: list[dict[str, Any]], files: list[Path], limit: int | None) -> bool:
    """Whether the manifest is of these files; with a limit it names only those that were read."""
    read = files if limit is None else files[: len(known)]
    return [row["path"] for row in known] == [str(path) for path in read]


@dataclass(frozen=True)
class _Sampled:
    """A rendered row: the characters of its prompt as it is sent, and its tokens."""

    characters: int
    tokens: SampledLength


def _sampled(config: CampaignConfig, name: str, files: list[Path]) -> list[_Sampled]:
    """The first rows of some files."""
    try:
        render = renderer(config.datasets[name])
    except RowProblem:
        return []  # a problem of requests.dataset_check
    each = max(1, _SAMPLED_ROWS // max(1, min(len(files), _SAMPLED_FILES)))
    options = options_of(config.datasets[name])
    return [sampled for path in files[:_SAMPLED_FILES] for sampled in _first_rows(render, path, each, options)]


def _mean_prompt(sampled: list[_Sampled]) -> float:
    return sum(row.characters for row in sampled) / len(sampled) / _CHARACTERS_PER_TOKEN if sampled else 0.0


def _first_rows(render: Renderer, path: Path, rows: int, options: Options) -> Iterator[_Sampled]:
    for row in readable_head(path, rows, options):
        try:
            request = render(row)
        except RowProblem:
            continue
        api = APIS[request.endpoint]
        yield _Sampled(len(api.prompt_of(request.body)), _sample(orjson.loads(request.body), _longest(api.asked(request.body))))


def _longest(asked: list[Any]) -> Any:
    """The longest piece of a request that is read at once: messages, a text, or a text and the longest it is held against."""
    pieces = [max(part, key=prompt_tokens, default="") if _is_texts(part) else part for part in asked]
    return pieces[0] if len(pieces) == 1 else pieces


def _is_texts(part: Any) -> bool:
    return isinstance(part, list) and all(isinstance(text, str) for text in part)


def _sample(body: dict[str, Any], asked: Any) -> SampledLength:
    prompt, kept = prompt_tokens(asked), body.get("truncate_prompt_tokens")
    answer = int(_most_tokens(body) or 0)
    if not isinstance(kept, int):
        return SampledLength(prompt, answer)
    return SampledLength(min(prompt, kept) if kept >= 0 else 0.0, answer)  # -1: as many as the context has room for


def prompt_tokens(prompt: Any) -> float:
    """Tokens of a text, of token ids or of chat messages, by the bytes of their texts: other parts (images) are not counted.

    Bytes and not characters: other scripts than Latin take more tokens a character, as they do bytes.
    """
    if isinstance(prompt, str):
        return len(prompt.encode(errors="replace")) / _CHARACTERS_PER_TOKEN
    if isinstance(prompt, list):
        return sum(1.0 if isinstance(part, int) else prompt_tokens(part) for part in prompt)
    if isinstance(prompt, dict):
        return prompt_tokens(prompt.get("content") or prompt.get("text") or "")
    return 0.0
