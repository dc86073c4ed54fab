"""Whether a reply is valid by its dataset's `answer`, and whether it is asked again where it is not."""

from dataclasses import dataclass

import orjson

from campaign.inference.outcomes import Attempt, InvalidReply, RequestFailure, Sent
from campaign.queue.answers.invalid_attempts import InvalidAttempt, counted
from campaign.queue.claimed_shard import PendingRequest
from campaign.requests.answer.rule import NotValid, Rule
from campaign.requests.replies.reply import Reply

# Blanks at the end of an answer that was cut off: the grammar lets a model write them for ever, and another try may not.
_RUNAWAY = 20


@dataclass(frozen=True)
class InvalidAnswer:
    """Why a reply is invalid. `may_pass`: another try may bring a valid one."""

    reason: str
    may_pass: bool


def check_answer(rule: Rule, reply: Reply, request: PendingRequest) -> InvalidAnswer | None:
    """Check a reply: None where it is valid, else why it is not."""
    cut = reply.finish_reason == "length"
    try:
        rule.check(reply.text, cut)
    except NotValid as error:
        return _cut_off(reply, request, str(error)) if cut else InvalidAnswer(str(error), may_pass=True)
    return None


def _cut_off(reply: Reply, request: PendingRequest, why: str) -> InvalidAnswer:
    """Why a reply that was cut off is invalid. The same limit would cut it again, and such answers are the longest there are.

    It is tried again where another try may be shorter: a model that did not end to think, or that wrote blanks to the end.
    """
    limit, text = _limit_of(request.body), reply.text or ""
    by = "the end of the model's context (the request has no max_tokens)" if limit is None else f"max_tokens ({limit})"
    if not text:
        return InvalidAnswer(f"cut off by {by} before the answer began; raise max_tokens", may_pass=bool(reply.reasoning))
    runaway = len(text) - len(text.rstrip()) >= _RUNAWAY
    return InvalidAnswer(f"cut off by {by}: {why}; raise max_tokens", may_pass=runaway)


def _limit_of(body: bytes) -> int | None:
    fields = orjson.loads(body)
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    return limit if isinstance(limit, int) else None


def may_ask_again(rule: Rule, invalid: InvalidAnswer, earlier: list[InvalidAttempt]) -> bool:
    """Whether a request whose answer and earlier answers were invalid is sent once more."""
    return invalid.may_pass and counted(earlier) < rule.retries


def failed(attempt: Attempt, reply: Reply, reason: str, times: int) -> Attempt:
    """The attempt with a failure in place of its reply; the failed row keeps the text."""
    message = reason if times == 1 else f"{reason} (asked {times} times)"
    failure = RequestFailure("invalid_answer", message, transient=False)
    sent = attempt.sent
    return attempt._replace(sent=Sent(InvalidReply(reply, failure), sent.started_at, sent.latency_s))
