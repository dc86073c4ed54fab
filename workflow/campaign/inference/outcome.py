"""The row of a request, as its journal holds it."""

from campaign.inference.classify import Failure
from campaign.inference.client import Sent
from campaign.inference.reply import Reply
from campaign.queue.answers import Answer
from campaign.server.endpoint import Endpoint


def answer_of(key: str, sent: Sent, failed_attempts: int, endpoint: Endpoint, allocation: int) -> Answer:
    """The answer to journal. `failed_attempts`: those that counted, the last one included if it failed in passing."""
    reply = sent.outcome if isinstance(sent.outcome, Reply) else None
    failure = sent.outcome if isinstance(sent.outcome, Failure) else None
    return {
        "key": key,
        "status": "ok" if reply else "failed",
        "text": reply.text if reply else None,
        "finish_reason": reply.finish_reason if reply else None,
        "error_class": failure.error_class if failure else None,
        "error_message": failure.message if failure else None,
        "prompt_tokens": reply.prompt_tokens if reply else None,
        "completion_tokens": reply.completion_tokens if reply else None,
        "attempts": failed_attempts if failure and failure.transient else failed_attempts + 1,
        "latency_s": sent.latency_s,
        "started_at": sent.started_at,
        "job_id": endpoint.job_id,
        "allocation": allocation,
        "model_revision": endpoint.model_revision,
        "engine_version": endpoint.engine_version,
        "extra": reply.extra if reply else None,
    }
