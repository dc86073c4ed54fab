"""The field of a request that says what its answer must be, and the request that asks again."""

from typing import Any

import orjson

from campaign.config.answer import AnswerConfig
from campaign.requests.answer.rule import rule_of
from campaign.requests.answer.schema_check import schema_problem
from campaign.requests.problems import RowProblem

FIELD = "structured_outputs"  # of vLLM since 0.12, for chat and completions


def asked_for(answer: AnswerConfig) -> dict[str, Any]:
    """The fields of the body. Raises RowProblem for a schema that no answer can be checked with."""
    if answer.json_schema is not None and (problem := schema_problem(answer.json_schema)):
        raise RowProblem("answer.schema", problem)
    try:
        asked: dict[str, Any] = orjson.loads(orjson.dumps(rule_of(answer).field))
    except TypeError as error:
        raise RowProblem("answer", f"cannot be sent as JSON ({error})") from None
    return {FIELD: asked}
