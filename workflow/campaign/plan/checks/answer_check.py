"""What a dataset's `answer` lets one foresee: limits that no valid answer keeps, schemas that are odd.

vLLM takes a request whose max_tokens is too small for its answer, and cuts the answer off: where none can be whole, every row
fails, and the campaign is refused; where some may be, or where it is not certain, it is told.
"""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from campaign.config import DatasetConfig
from campaign.core.tables import ANSWER
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.answer.column import AnswerColumn
from campaign.requests.answer.rule import rule_of
from campaign.requests.answer.schema_check import schema_problem, schema_warnings, shortest

# Of English under today's vocabularies; JSON has fewer, so that no limit is told that an answer could keep.
_CHARACTERS_PER_TOKEN = 4.0
# Longer tokens are blanks, lines and rare long words: of Llama 3's and Qwen 2.5's vocabularies 1 % have more.
_MOST_CHARACTERS_PER_TOKEN = 16.0
_COMPLETIONS_LIMIT = 16  # max_tokens of vLLM's completions where a request has none (0.32, completion/protocol.py)


def answers(datasets: Mapping[str, DatasetConfig]) -> Iterator[Diagnostic]:
    """Warnings about the answers that the datasets want. What is refused is found with the rows (requests.rows.bodies)."""
    for name, dataset in datasets.items():
        if dataset.answer is None or _is_refused(dataset):
            continue
        for odd in schema_warnings(dataset.answer.json_schema or {}):
            yield Diagnostic(f"datasets.{name}.answer.schema", "schema", odd, warning=True)
        yield from _too_few_tokens(name, dataset)
    yield from _several_types(datasets)


def _is_refused(dataset: DatasetConfig) -> bool:
    schema = dataset.answer.json_schema if dataset.answer else None
    return schema is not None and schema_problem(schema) is not None


def _too_few_tokens(name: str, dataset: DatasetConfig) -> Iterator[Diagnostic]:
    assert dataset.answer is not None
    unsaid = _COMPLETIONS_LIMIT if dataset.endpoint == "completions" else None
    limit = dataset.sampling.get("max_completion_tokens") or dataset.sampling.get("max_tokens") or unsaid
    if not isinstance(limit, (int, float)):
        return
    choices, least = dataset.answer.choice, shortest(dataset.answer)
    wanted = max(map(len, choices)) if choices else least  # each choice must have room
    tokens = wanted / _CHARACTERS_PER_TOKEN
    if tokens > limit:
        lost = least / _MOST_CHARACTERS_PER_TOKEN > limit and not dataset.is_batch  # lines may have limits of their own
        what = "the longest choice" if choices else "the shortest answer that is valid by the schema"
        fate = "every answer is cut off, and every row fails" if lost else "such answers are cut off and fail"
        reason = f"max_tokens {limit:g} cannot hold {what}, about {tokens:.0f} tokens: {fate}"
        remedy = "give max_tokens room for it, and for what the model writes beside"
        yield Diagnostic(f"datasets.{name}.sampling.max_tokens", "answer_length", reason, remedy, warning=not lost)


def _several_types(datasets: Mapping[str, DatasetConfig]) -> Iterator[Diagnostic]:
    """Datasets whose answers go into one column only as JSON text: all files of `responses` have the same columns."""
    checked = {name: dataset for name, dataset in datasets.items() if dataset.answer is not None}
    if not checked or any(_is_refused(dataset) for dataset in checked.values()):
        return
    together = AnswerColumn(checked).type
    own = {name: rule_of(dataset.answer).type.arrow for name, dataset in checked.items() if dataset.answer is not None}
    if together == pa.string() and any(kind != pa.string() for kind in own.values()):
        reason = f"the answers of {', '.join(own)} are of several types, so the column `{ANSWER}` is text (JSON)"
        yield Diagnostic("datasets", "answer_types", reason, "make them campaigns of their own for typed columns", warning=True)
