"""Whether the rows of the datasets fit the context of the models that answer them, by the rows that were sampled. Pure.

What vLLM does with the others, in 0.32 (renderers/params.py, entrypoints/serve/utils/api_utils.py, get_max_tokens): a request
whose max_tokens alone, or whose prompt alone, is more than the context is refused (HTTP 400). Where only both together are, its
answer ends where the context does, as if max_tokens were smaller.
"""

import math
from collections.abc import Iterator, Sequence

from campaign.config import ModelConfig
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.forecast.campaign_forecast import ModelForecast
from campaign.plan.forecast.workload import SampledLength, Workload

_STEP = 256  # tokens to which a context that is named is rounded


def rows_that_do_not_fit(name: str, model: ModelConfig, forecast: ModelForecast) -> Iterator[Diagnostic]:
    """Warnings for each dataset of a model with rows that are refused, or answers that are cut, for the context's sake."""
    context = context_of(model, forecast)
    if context is None:
        return
    for part in forecast.work:
        if part.left and part.samples:
            yield from _dataset(name, context, part, _longest(model, forecast))


def context_of(model: ModelConfig, forecast: ModelForecast) -> int | None:
    """Tokens of the context that a model is served with; None where that is not known."""
    metadata = forecast.metadata
    return model.max_model_len if metadata is None else metadata.architecture.context_of(model.max_model_len)


def _longest(model: ModelConfig, forecast: ModelForecast) -> int:
    """The longest context that the model and its GPUs have room for; 0 where that is not known."""
    if forecast.metadata is None:
        return 0
    longest = forecast.metadata.architecture.context
    return longest if forecast.memory is None else min(longest, forecast.memory.kv_tokens)


def _dataset(name: str, context: int, part: Workload, longest: int) -> Iterator[Diagnostic]:
    samples = part.samples
    refused = [sample for sample in samples if max(sample.answer, sample.prompt) > context]
    cut = [sample for sample in samples if sample not in refused and sample.prompt + sample.answer > context]
    greedy = [sample for sample in refused if sample.answer > context]
    if refused and len(greedy) == len(refused):
        yield _max_tokens(name, context, part, greedy, longest)
    elif refused:
        yield _prompts(name, context, part, refused, longest)
    if cut:
        yield _cut(name, context, part, cut, longest)


def _max_tokens(name: str, context: int, part: Workload, greedy: Sequence[SampledLength], longest: int) -> Diagnostic:
    most = max(sample.answer for sample in greedy)
    reason = f"max_tokens {most:,} is more than the {context:,} tokens of {name}'s context: vLLM refuses {_share(greedy, part)}"
    room = context - math.ceil(max(sample.prompt for sample in part.samples))
    fewer = f"use at most {room}, which leaves room for the prompts" if room > 0 else ""
    return Diagnostic(_key(part), "max_tokens", reason, _either(fewer, _more(name, greedy, longest)), warning=True)


def _prompts(name: str, context: int, part: Workload, refused: Sequence[SampledLength], longest: int) -> Diagnostic:
    reason = (
        f"{_no_room(refused, part)} the context of {name}: their prompts take more than its {context:,} tokens, "
        f"the longest about {max(sample.prompt for sample in refused):,.0f}, and vLLM refuses them"
    )
    shorter = "shorten the prompts, or let vLLM cut them (sampling: {truncate_prompt_tokens: -1})"
    return Diagnostic(_files(part), "prompt_length", reason, _either(_more(name, refused, longest), shorter), warning=True)


def _cut(name: str, context: int, part: Workload, cut: Sequence[SampledLength], longest: int) -> Diagnostic:
    most, prompt = max(sample.answer for sample in cut), max(sample.prompt for sample in cut)
    reason = (
        f"{_no_room(cut, part)} the context of {name} with all of max_tokens {most:,}: prompts of up to about "
        f"{prompt:,.0f} tokens leave less of its {context:,}, and vLLM ends longer answers there"
    )
    fewer = f"max_tokens: {context - math.ceil(prompt)} fits all of them"
    return Diagnostic(_key(part), "answer_length", reason, _either(_more(name, cut, longest), fewer), warning=True)


def _share(some: Sequence[SampledLength], part: Workload) -> str:
    if len(some) == len(part.samples):
        return "all rows"
    share = 100 * len(some) / len(part.samples)
    return f"about {share:.{0 if share >= 1 else 1}f} % of rows"


def _no_room(some: Sequence[SampledLength], part: Workload) -> str:
    return "no row fits" if len(some) == len(part.samples) else f"{_share(some, part)} do not fit"


def _more(name: str, samples: Sequence[SampledLength], longest: int) -> str:
    """The context that holds them, where the model and its GPUs have room for it."""
    needed = math.ceil(max(sample.prompt + sample.answer for sample in samples) / _STEP) * _STEP
    return f"models.{name}.max_model_len: {needed} holds them" if needed <= longest else ""


def _either(*remedies: str) -> str:
    return ", or ".join(filter(None, remedies))


def _key(part: Workload) -> str:
    return f"datasets.{part.dataset}.sampling"


def _files(part: Workload) -> str:
    return f"datasets.{part.dataset}"
