"""The row of a request, as its journal holds it."""

from typing import cast

from campaign.inference.classify import Failure
from campaign.inference.client import Sent
from campaign.queue.answers import Answer
from campaign.requests.replies import NO_REPLY, Reply
from campaign.server.endpoint import Endpoint


def answer_of(key: str, sent: Sent, failed_attempts: int, endpoint: Endpoint, allocation: int) -> Answer:
    """The answer to journal. `failed_attempts`: those that counted, the last one included if it failed in passing."""
    reply = sent.outcome if isinstance(sent.outcome, Reply) else None
    failure = sent.outcome if isinstance(sent.outcome, Failure) else None
    answer = {
        "key": key,
        "status": "ok" if reply else "failed",
        "error_class": failure.error_class if failure else None,
        "error_message": failure.message if failure else None,
        "attempts": failed_attempts if failure and failure.transient else failed_attempts + 1,
        "latency_s": sent.latency_s,
        "started_at": sent.started_at,
        "job_id": endpoint.job_id,
        "allocation": allocation,
        "model_revision": endpoint.model_revision,
        "engine_version": endpoint.engine_version,
        **(reply.fields() if reply else NO_REPLY),
    }
    return cast(Answer, answer)
