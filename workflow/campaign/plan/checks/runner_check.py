"""Whether a model can be asked what its datasets ask: text, or vectors, scores and classes. Pure but for batch files."""

from collections.abc import Collection, Iterator

from campaign.config import CampaignConfig
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.runners import RUNNER, endpoints_of
from campaign.requests.endpoints import APIS
from campaign.server.check.vllm_answers import VllmAnswer


def runner_problems(config: CampaignConfig) -> Iterator[Diagnostic]:
    """Models that their datasets need two servers of, or a server of the other kind than the config names."""
    for name in config.used_models:
        asked = endpoints_of(config, name)
        text = [dataset for dataset, endpoints in asked.items() if any(APIS[one].writes_text for one in endpoints)]
        pooled = [dataset for dataset, endpoints in asked.items() if any(not APIS[one].writes_text for one in endpoints)]
        if set(text) & set(pooled):
            continue  # one dataset needs two servers: a problem of requests.dataset_check
        if text and pooled:
            yield _two_servers(name, text, pooled)
        elif text or pooled:
            yield from _own_runner(config, name, is_text=bool(text))


def _two_servers(name: str, text: list[str], pooled: list[str]) -> Diagnostic:
    reason = (
        f"is asked for text by {', '.join(text)} and for vectors or scores by {', '.join(pooled)}: "
        "one server of vLLM does not do both"
    )
    remedy = f"name it twice in `models`, with the same source, and give {', '.join(pooled)} the other one"
    return Diagnostic(f"models.{name}", "two_runners", reason, remedy)


def _own_runner(config: CampaignConfig, name: str, *, is_text: bool) -> Iterator[Diagnostic]:
    """A runner that the config itself names."""
    runner = config.models[name].vllm.get(RUNNER)
    if runner == ("pooling" if is_text else "generate"):
        what = "writes no text" if is_text else "answers with no vectors or scores"
        datasets = ", ".join(config.datasets_of(name))
        yield Diagnostic(f"models.{name}.vllm.runner", RUNNER, f"{runner} {what}, which {datasets} ask for", "remove it")


def other_task(key: str, endpoints: Collection[str], answer: VllmAnswer) -> Iterator[Diagnostic]:
    """A server of a model has the route for vectors or the one for classes (vLLM 0.32, entrypoints/pooling/factories.py)."""
    classifies = answer.score_type == "cross-encoder"
    if "embeddings" in endpoints and classifies:
        reason = f"vLLM serves {answer.architecture} for classes and scores: it answers with no vectors"
        yield Diagnostic(key, "task", reason, "name a model for embeddings")
    if "classify" in endpoints and answer.score_type is not None and not classifies:
        reason = f"vLLM serves {answer.architecture} for vectors: it has no classes"
        remedy = (
            "name a model for sequence classification, or turn this one into it: vllm: {convert: classify, hf-overrides: ...}"
        )
        yield Diagnostic(key, "task", reason, remedy)
