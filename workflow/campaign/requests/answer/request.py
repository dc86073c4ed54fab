"""The field of a request that says what its answer must be, and the request that asks again."""

from collections.abc import Mapping
from typing import Any

from campaign.config.answer import AnswerConfig
from campaign.core import exact_json
from campaign.requests.answer.rule import rule_of
from campaign.requests.answer.schema_check import schema_problem
from campaign.requests.problems import RowProblem

FIELD = "structured_outputs"  # of vLLM since 0.12, for chat and completions


def asked_for(answer: AnswerConfig) -> dict[str, Any]:
    """The fields of the body. Raises RowProblem for a schema that no answer can be checked with."""
    if answer.json_schema is not None and (problem := schema_problem(answer.json_schema)):
        raise RowProblem("answer.schema", problem)
    try:
        asked: dict[str, Any] = exact_json.loads(exact_json.dumps(rule_of(answer).field))
    except TypeError as error:
        raise RowProblem("answer", f"cannot be sent as JSON ({error})") from None
    return {FIELD: asked}


# A greedy repetition is the same answer. Whisper climbs from 0 too where a text fails (temperature_increment_on_fallback).
_WARMER, _WARMEST = 0.4, 1.0
# Samples of a prompt count up from its seed, at most so many (config.datasets): a repetition of one is no copy of another.
_STRIDE = 1000
_LARGEST_SEED = 2**63 - 1  # vLLM 0.32, chat_completion/protocol.py


def asked_again(body: bytes, key: str, number: int, told: tuple[str | None, str] | None) -> bytes:
    """The body that asks for another answer than the `number` earlier ones.

    It has another seed: a thousand further for each, from that of the body, or from one made of the key. Where the temperature
    is 0, it is one above. `told`: the last answer and what is wrong with it, which the model is shown.
    """
    fields = exact_json.loads(body)
    seed = fields.get("seed")
    first = seed if isinstance(seed, int) else int(key[:7], 16)
    further = number * _STRIDE
    fields["seed"] = first + further if first + further <= _LARGEST_SEED else first - further
    if fields.get("temperature") == 0:
        fields["temperature"] = min(_WARMEST, round(_WARMER * number, 1))
    if told is not None and isinstance(fields.get("messages"), list):
        fields["messages"] = [*fields["messages"], *_shown(*told)]
    return exact_json.dumps(fields)


# The last try. What fails by chance in 12 of 100 answers fails in 0.17 % of the rows after two repetitions of one answer each,
# and in 0.02 % where the last has two; the prompt is read once for both, and few rows come so far.
_LAST_ANSWERS = 2
# With these a request says itself how many answers it wants, or in how many ways they are searched.
_OWN_NUMBER = ("n", "best_of", "use_beam_search", "stream")


def for_several(body: bytes) -> bytes | None:
    """The body that asks for several answers at once; None of one that says itself how many it wants."""
    fields = exact_json.loads(body)
    if any(fields.get(name) is not None for name in _OWN_NUMBER):
        return None
    return exact_json.dumps({**fields, "n": _LAST_ANSWERS})


def _shown(text: str | None, reason: str) -> list[Mapping[str, str]]:
    wrong = f"That is no valid answer: {reason}. Answer again, with nothing but the answer."
    return [{"role": "assistant", "content": text or ""}, {"role": "user", "content": wrong}]
