"""A shard that this allocation works on, and its requests as they are sent."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace

from campaign.config import CampaignConfig, served_name
from campaign.core import exact_json, patience
from campaign.queue.answers.invalid_attempts import InvalidAttempt, counted, read_invalid
from campaign.queue.answers.journal import Journal
from campaign.queue.leases import Lease
from campaign.queue.shard import Shard
from campaign.requests.answer.request import asked_again, for_several
from campaign.requests.answer.rule import Rule, rule_of
from campaign.requests.keys.key import request_key
from campaign.requests.media.sending import MediaReader
from campaign.requests.order.notes import longest_answer
from campaign.requests.replies.reply import IsValid


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """One unanswered request, as it is sent."""

    key: str
    endpoint: str  # its name in requests.endpoints
    body: bytes  # JSON without `model`, as it is sent
    first_body: bytes | None = None  # of a request that is asked again: its body at the first try
    body_for_one: bytes | None = None  # of a request for several answers: the body that asks for one
    is_valid: IsValid | None = None  # of a request for several answers: which of them is taken
    media: MediaReader | None = None  # of a request that refers to images or sounds
    served_name: str | None = None  # of the adapter that is asked, where it is not the model itself

    def next_try(self, invalid: Sequence[InvalidAttempt], rule: Rule) -> "PendingRequest":
        """The request of the next try, after these invalid answers. The last try asks for two answers at once."""
        first_body, last = self.first_body or self.body, invalid[-1]
        told = (last["text"], last["reason"]) if rule.tell_model else None
        body = asked_again(first_body, self.key, len(invalid), told)
        again = replace(self, body=body, first_body=first_body, body_for_one=None, is_valid=None)
        several = for_several(body) if counted(invalid) >= rule.retries else None
        return again if several is None else replace(again, body=several, body_for_one=body, is_valid=rule.is_valid)

    def for_one_answer(self) -> "PendingRequest":
        """The request for several answers as one for one answer: for a server that refuses the other."""
        assert self.body_for_one is not None
        return replace(self, body=self.body_for_one, body_for_one=None, is_valid=None)


@dataclass
class ClaimedShard:
    """A shard this allocation works on."""

    shard: Shard
    lease: Lease
    requests: list[PendingRequest]
    journal: Journal
    lost: bool = False  # taken over by another allocation
    is_new: bool = False  # of a stage, made after the progress's total was counted
    rule: Rule | None = None  # what its answers must be
    invalid: dict[str, list[InvalidAttempt]] = field(default_factory=dict)  # of requests without a row, by their keys


class PendingReader:
    """Reads the requests of a model's shards that have no answer. `identity` is the model's, part of each request's key."""

    def __init__(self, config: CampaignConfig, model: str, identity: str) -> None:
        datasets = config.datasets_of(model)
        self._identity = identity
        self._rules = {name: rule_of(one.answer) for name, one in datasets.items() if one.answer is not None}
        self._media = {name: MediaReader(config.paths.media(name)) for name, one in datasets.items() if one.has_media}
        self._adapters = {
            name: served_name(model, one.adapters[model]) for name, one in datasets.items() if model in one.adapters
        }

    def claimed(self, shard: Shard, lease: Lease, answered: Container[str]) -> ClaimedShard:
        """The shard with the requests whose keys are not `answered`. Raises StorageError or RequestsDamaged."""
        requests = [request for request in self._requests(shard) if request.key not in answered]
        if shard.longest and not shard.grouped:  # the rows of a grouped shard are sorted so already, within each group
            requests.sort(key=lambda request: -longest_answer(exact_json.loads(request.body)))
        claimed = ClaimedShard(shard, lease, requests, Journal(shard.journals), rule=self._rules.get(shard.dataset))
        if claimed.rule is not None and requests:
            _go_on_asking(claimed, claimed.rule)
        return claimed

    def _requests(self, shard: Shard) -> list[PendingRequest]:
        table = shard.requests(patience.QUEUE_READ.seconds)
        media, served = self._media.get(shard.dataset), self._adapters.get(shard.dataset)
        columns = (table.column(name).to_pylist() for name in ("content_key", "endpoint", "body"))
        return [
            PendingRequest(request_key(self._identity, key), endpoint, body, media=media, served_name=served)
            for key, endpoint, body in zip(*columns, strict=True)
        ]


def _go_on_asking(claimed: ClaimedShard, rule: Rule) -> None:
    """Ask for the next answer where an earlier run was ended between two answers of a request."""
    known = read_invalid(claimed.shard.journals, patience.QUEUE_READ.seconds)
    claimed.invalid = {request.key: known[request.key] for request in claimed.requests if request.key in known}
    claimed.requests = [
        request.next_try(claimed.invalid[request.key], rule) if request.key in claimed.invalid else request
        for request in claimed.requests
    ]
