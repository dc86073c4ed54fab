"""What came of a request: a reply, a failure for good, one that may pass, or a server that answers nobody now; and its row."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple, cast

from campaign.core.patience.in_flight import GATEWAY_STATUSES, NOT_READY_STATUSES, SHEDDING_STATUSES
from campaign.queue.answers.answer import Answer
from campaign.queue.answers.invalid_attempts import InvalidAttempt, to_column
from campaign.queue.claimed_shard import ClaimedShard, PendingRequest
from campaign.requests.replies.reply import NO_REPLY, Reply
from campaign.server.http import error_words
from campaign.server.server_state import ServerState

# vLLM 0.32: "This model's maximum context length is 1024 tokens. However, your request has 6029 input tokens. ..."
# and "'max_tokens' or 'max_completion_tokens' is too large: ..."; older: "The decoder prompt (length 1500) is longer than ..."
_TOO_LONG = re.compile(
    r"maximum context length|longer than the maximum model length|max_tokens.{0,60}too large|prompt is too long", re.I
)
# A 500 may say in words that the server sheds load.
_OVERLOADED = re.compile(r"overloaded|too many (?:concurrent )?requests|at capacity|try again later", re.I)
# The dying server of vLLM says so in a 500 or 503 of its own.
CORE_DIED = re.compile("EngineCore|EngineDead")
_LONGEST_MESSAGE = 2000

# Who is to blame. `request`: this one. `shedding`: the server takes less than it is sent. `gateway`, `not_ready`: the server,
# if no request is answered meanwhile; otherwise the request itself.
Blame = Literal["request", "shedding", "gateway", "not_ready"]


@dataclass(frozen=True, slots=True)
class RequestFailure:
    """Why a request has no answer yet."""

    error_class: str  # of tables.ERROR_CLASSES
    message: str
    transient: bool
    unsent: bool = False  # no connection was made: the engine cannot have seen the request
    blame: Blame = "request"
    retry_after_s: float | None = None  # what the server asks for

    def __post_init__(self) -> None:
        # It is journalled: JSON and parquet hold no half characters, which a broken header can bring into an error's words.
        message = self.message[:_LONGEST_MESSAGE].encode(errors="replace").decode()
        object.__setattr__(self, "message", message)


@dataclass(frozen=True, slots=True)
class InvalidReply:
    """An invalid reply of the last try (by its dataset's `answer`): a failed row that keeps its text and token counts."""

    reply: Reply
    failure: RequestFailure


@dataclass(frozen=True, slots=True)
class Sent:
    """The outcome of sending a request once."""

    outcome: Reply | RequestFailure | InvalidReply
    started_at: float  # unix seconds
    latency_s: float


class Attempt(NamedTuple):
    """A request that was sent once, and what came of it."""

    request: PendingRequest
    claimed: ClaimedShard
    server_state: ServerState  # of the engine it was sent to
    sent: Sent


def classify(status: int, payload: bytes, headers: Mapping[str, str] | None = None) -> RequestFailure:
    """The failure behind an HTTP status other than 200."""
    words = error_words(payload)[:_LONGEST_MESSAGE]
    message, wait_s = f"HTTP {status}: {words}", retry_after(headers or {}, time.time())
    if status >= 500 and CORE_DIED.search(words):
        return RequestFailure("server_error", message, transient=True)
    if status in SHEDDING_STATUSES or (status >= 500 and _OVERLOADED.search(words)):
        error_class = "rate_limited" if status == 429 else "server_error"
        return RequestFailure(error_class, message, transient=True, blame="shedding", retry_after_s=wait_s)
    if status in GATEWAY_STATUSES:
        error_class = "server_error" if status == 502 else "timeout"
        return RequestFailure(error_class, message, transient=True, blame="gateway", retry_after_s=wait_s)
    if status in NOT_READY_STATUSES:
        return RequestFailure("bad_request", message, transient=True, blame="not_ready", retry_after_s=wait_s)
    if status >= 500:
        return RequestFailure("server_error", message, transient=True)
    if status < 400:  # a redirect, or an answer without content: vLLM gives none
        return RequestFailure("bad_response", message, transient=True, blame="gateway", retry_after_s=wait_s)
    if status == 400 and _TOO_LONG.search(words):
        return RequestFailure("context_length", words, transient=False)
    return RequestFailure("bad_request", message, transient=False)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds a server asks to wait; None when it asks for none. RFC 9110: a number, or a date, held against its own `Date`."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    when = _date(value)
    if when is None:
        return None
    its_now = _date(headers.get("Date", ""))
    return max(0.0, when - (now if its_now is None else its_now))


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def answer_of(attempt: Attempt, failed_attempts: int, allocation: int, earlier: Sequence[InvalidAttempt] = ()) -> Answer:
    """The row of a request as its journal holds it.

    `failed_attempts`: those that counted, this one included when its failure is transient. `earlier`: its answers that did not
    hold.
    """
    sent, server_state, outcome = attempt.sent, attempt.server_state, attempt.sent.outcome
    reply = outcome if isinstance(outcome, Reply) else outcome.reply if isinstance(outcome, InvalidReply) else None
    failure = outcome if isinstance(outcome, RequestFailure) else outcome.failure if isinstance(outcome, InvalidReply) else None
    failed_attempts += len(earlier)
    answer = {
        "key": attempt.request.key,
        "status": "failed" if failure else "ok",
        "error_class": failure.error_class if failure else None,
        "error_message": failure.message if failure else None,
        "attempts": failed_attempts if failure and failure.transient else failed_attempts + 1,
        "latency_s": sent.latency_s,
        "started_at": sent.started_at,
        "job_id": server_state.job_id,
        "allocation": allocation,
        "model_revision": server_state.model_revision,
        "engine_version": server_state.engine_version,
        **(reply.fields() if reply else NO_REPLY),
        **({"invalid_attempts": to_column(earlier)} if earlier else {}),
    }
    return cast(Answer, answer)


def invalid_attempt(attempt: Attempt, reply: Reply, reason: str, allocation: int) -> InvalidAttempt:
    """A reply that is no answer of its dataset, and is asked again, as its journal holds it."""
    return {
        "invalid": attempt.request.key,
        "reason": reason,
        "text": reply.text,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "started_at": attempt.sent.started_at,
        "latency_s": attempt.sent.latency_s,
        "job_id": attempt.server_state.job_id,
        "allocation": allocation,
        "closed": False,
    }
