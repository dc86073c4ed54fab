"""Whether vLLM would take the requests of the datasets, by those of the first rows: what it says itself, else what rules say.

A campaign in which every row must fail is refused; one in which some may is told.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice

from campaign.config import CampaignConfig, ModelConfig
from campaign.core import exact_json
from campaign.plan.checks.requests import rules
from campaign.plan.checks.requests.checked import ENOUGH, TOO_LONG, AskedRequest, CheckedDataset, CheckedRequest
from campaign.plan.checks.requests.shown import Shown
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.endpoints import APIS
from campaign.requests.rows.sampled_rows import Sample, SampledRequest
from campaign.server.check.vllm_answers import Request, RequestCheck, VllmAnswer

_MOST = 600  # requests of a model: 2 s
_MOST_BYTES = 1 << 20  # of a dataset's, but for the longest one: tokenizing takes a second for a megabyte


@dataclass(frozen=True)
class AskedRequests:
    """The requests vLLM is asked about for a model. `whole`: datasets all of whose rows are among them."""

    requests: tuple[AskedRequest, ...] = ()
    whole: frozenset[str] = frozenset()


def requests_to_ask(samples: Mapping[str, Sample], names: Iterable[str]) -> AskedRequests:
    """Choose requests of the datasets `names`: a short one for each form of the fields, the first rows, and the longest one."""
    names = list(names)
    share = max(2 * ENOUGH, _MOST // max(1, len(names)))
    asked = {name: list(_of_dataset(name, samples[name], share)) for name in names}
    rows = {name: sum(each.row is not None for each in found) for name, found in asked.items()}
    whole = (name for name, count in rows.items() if samples[name].whole and count == len(samples[name].requests))
    return AskedRequests(tuple(each for found in asked.values() for each in found), frozenset(whole))


def _of_dataset(name: str, sample: Sample, most: int) -> Iterator[AskedRequest]:
    shown = Shown()
    bodies = {row: body for row in sample.requests if (body := shown.body(row)) is not None}
    rows = list(bodies)
    forms: dict[bytes, list[SampledRequest]] = {}
    for row in rows:
        forms.setdefault(row.api.encode() + exact_json.dumps(row.fields), []).append(row)
    for alike in islice(forms.values(), most // 2):
        yield AskedRequest(name, _short(alike[0]), None, len(alike))
    size, longest = 0, max(rows, key=_size, default=None)
    for number, row in enumerate(rows):
        size += 0 if row is longest else _size(row)
        if row is longest or (number < most // 2 and size <= _MOST_BYTES):
            yield AskedRequest(name, Request(row.api, bodies[row]), row)


def _size(row: SampledRequest) -> int:
    return len(exact_json.dumps(row.body))


def _short(row: SampledRequest) -> Request:
    """The fields of a row with a prompt that fits any context."""
    return Request(row.api, {**APIS[row.api].short_prompt, **row.fields})


def diagnose_requests(
    config: CampaignConfig,
    name: str,
    asked: AskedRequests,
    answer: VllmAnswer | None,
    foretold: Iterable[Diagnostic] = (),
    context: int | None = None,
) -> Iterator[Diagnostic]:
    """Diagnose a model's requests. `answer`: vLLM's, where it was asked.

    `foretold`: what context_check found by estimates. vLLM's own count of the tokens goes before it; where both find a request
    too long, its words are taken, which say what would fit. `context`: tokens, for the rules that stand in for vLLM.
    """
    said = answer.requests if answer is not None else None
    own = said is not None and len(said) == len(asked.requests)
    checks = said if said is not None and own else [_by_rules(config.models[name], each, context) for each in asked.requests]
    left = list(foretold)
    for dataset, pairs in groupby(zip(asked.requests, checks, strict=True), key=lambda pair: pair[0].dataset):
        checked = [CheckedRequest(each, check) for each, check in pairs]
        about = CheckedDataset(name, dataset, config.datasets[dataset], checked, own=own, whole=dataset in asked.whole)
        long = [diagnostic for diagnostic in left if diagnostic.config_key in about.keys and diagnostic.rule in TOO_LONG]
        left = [diagnostic for diagnostic in left if diagnostic not in long]
        yield from about.diagnostics(long)
    yield from left


def _by_rules(model: ModelConfig, asked: AskedRequest, context: int | None) -> RequestCheck:
    return rules.check_request(asked.request.api, asked.request.body, model, context)
