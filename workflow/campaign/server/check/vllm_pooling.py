"""Part of what the engine's own python runs (vllm_program): requests for vectors, scores and classes.

The server's own classes take a request up to its engine, which counts tokens here and answers nothing (vLLM 0.32,
entrypoints/pooling/base/serving.py). It imports nothing of this package.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, get_args

# What a model is served for, by how it scores (vllm/tasks.py).
TASKS = {"bi-encoder": "embed", "cross-encoder": "classify", "late-interaction": "token_embed"}


def _embeddings() -> Any:
    from vllm.entrypoints.pooling.embed.protocol import EmbeddingRequest

    return EmbeddingRequest


def _score() -> Any:
    from vllm.entrypoints.pooling.scoring.protocol import ScoreRequest

    return ScoreRequest


def _rerank() -> Any:
    from vllm.entrypoints.pooling.scoring.protocol import RerankRequest

    return RerankRequest


def _classify() -> Any:
    from vllm.entrypoints.pooling.classify.protocol import ClassificationRequest

    return ClassificationRequest


# The types of the endpoints' requests, which are imported when they are asked for: a server for text needs none of them.
POOLED: Mapping[str, Callable[[], Any]] = {"embeddings": _embeddings, "score": _score, "rerank": _rerank, "classify": _classify}


def classes_of(kind: Any) -> list[Any]:
    """The classes of a type, whatever annotations and unions are around them."""
    return [kind] if hasattr(kind, "model_fields") else [one for inner in get_args(kind) for one in classes_of(inner)]


_NO_SCORES = "Scoring API is only enabled for num_labels == 1."  # vLLM's words (entrypoints/pooling/utils.py)


class Pools:
    """Stands in for the engine of a server that pools."""

    def __init__(self, arguments: Any, state: Any, processor: Any) -> None:
        self.vllm_config, self.renderer, self._processor = processor.vllm_config, processor.renderer, processor
        self.model_config = processor.model_config
        self.tokens = 0
        task = TASKS[self.model_config.score_type]
        self._tasks = (self.model_config.pooler_config.task or task, task)
        self._serving = self._servings(arguments, state)

    def encode(self, *, request_id: str, prompt: Any, pooling_params: Any, **_: Any) -> AsyncIterator[Any]:
        """What the server hands to its engine. Raises where the engine refuses it."""
        self._processor.process_inputs(request_id, prompt, pooling_params, self._tasks)
        self.tokens += len(prompt.get("prompt_token_ids", ()))
        return _nothing()

    def _servings(self, arguments: Any, state: Any) -> dict[str, Any]:
        """What answers at each endpoint that the server of this model has."""
        from vllm.entrypoints.pooling.factories import init_pooling_state

        state.openai_serving_models.model_config = self.model_config
        init_pooling_state(self, state, arguments, None, self._tasks)
        scores = state.serving_scores
        found = {"embeddings": state.serving_embedding, "classify": state.serving_classification}
        return {**found, "score": scores, "rerank": scores}

    async def taken(self, api: str, request: Any) -> dict[str, Any]:
        """What becomes of a parsed request: tokens that the engine would read; nothing where there is no such endpoint.

        That there is none for vectors, or classes, is told of the model (plan.checks.runner_check).
        """
        serving = self._serving[api]
        if serving is None:
            return {"refused": _NO_SCORES} if api in ("score", "rerank") else {}
        self.tokens = 0
        reader = serving.get_io_processor(request)
        context = await serving._init_ctx(reader, request)
        await serving._preprocessing(reader, context)
        await serving._prepare_generators(context)
        return {"tokens": self.tokens}


async def _nothing() -> AsyncIterator[Any]:
    return
    yield
