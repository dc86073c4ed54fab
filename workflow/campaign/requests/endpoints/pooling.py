"""Endpoints of a server that pools: it reads, and answers with vectors, scores or classes.

Their fields are those of vLLM 0.32, entrypoints/pooling/*/protocol.py; its `run-batch` takes the same ones in batch files.
"""

from typing import Any

from campaign.requests.endpoints.api import Api
from campaign.requests.endpoints.generation import check_messages
from campaign.requests.problems import RowProblem
from campaign.requests.replies.pooled_reply import read_classes, read_ranks, read_scores, read_vector


def _is_ids(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and all(type(token) is int for token in prompt)


def _is_conversation(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and all(isinstance(message, dict) for message in prompt)


def _check_input(prompt: Any, key: str, where: str) -> Any:
    """A text, token ids, a conversation, or a list of one of these."""
    if _is_conversation(prompt):
        return check_messages(prompt, key, where)
    several = prompt if isinstance(prompt, list) and prompt and not _is_ids(prompt) else [prompt]
    if not all(isinstance(one, str) or _is_ids(one) or _is_conversation(one) for one in several):
        raise RowProblem(key, f'{where} must be a text, a list of token ids, or a list of texts: {{"input": "..."}}')
    return prompt


def _check_scored(value: Any, key: str, where: str) -> Any:
    """A text, or what vLLM takes beside texts: a list of them, or {"content": [...]} with parts that are no text."""
    if isinstance(value, (str, dict)) or (isinstance(value, list) and value):
        return value
    raise RowProblem(key, f"{where} must be a text, or a list of texts")


# Vectors travel in base64, which holds the engine's 32 bits exactly: 5.3 bytes a number, and as JSON they are 22 (SmolLM2).
EMBEDDINGS = Api(
    name="embeddings",
    route="/v1/embeddings",
    prompt_field="input",
    check_prompt=_check_input,
    read_reply=read_vector,
    other_forms=(("messages",),),
    columns=("embedding",),
    head=b'"encoding_format":"base64",',
    unused=frozenset({"encoding_format", "embed_dtype", "endianness"}),
)
# vLLM moved it from /v1/score, and logs a warning for each request that still goes there.
SCORE = Api(
    name="score",
    route="/score",
    prompt_field="text_1",
    check_prompt=_check_scored,
    read_reply=read_scores,
    aliases=("/v1/score",),
    other_forms=(("queries", "documents"), ("queries", "items"), ("data_1", "data_2")),
    second_field="text_2",
    columns=("score", "scores"),
)
RERANK = Api(
    name="rerank",
    route="/rerank",
    prompt_field="query",
    check_prompt=_check_scored,
    read_reply=read_ranks,
    aliases=("/v1/rerank", "/v2/rerank"),
    second_field="documents",
    columns=("scores",),
)
CLASSIFY = Api(
    name="classify",
    route="/classify",
    prompt_field="input",
    check_prompt=_check_input,
    read_reply=read_classes,
    aliases=("/v1/classify",),
    other_forms=(("messages",),),
    columns=("label", "probs"),
)

POOLING = (EMBEDDINGS, SCORE, RERANK, CLASSIFY)  # the registry APIS has those named here
