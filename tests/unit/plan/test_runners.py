"""The runner of a model follows from what its datasets ask."""

from pathlib import Path
from typing import Any

import pytest

from campaign.config import CampaignConfig, ModelConfig, validate
from campaign.plan.auto_placement import resolve_placements
from campaign.plan.checks.names_check import unknown_vllm_names
from campaign.plan.checks.runner_check import runner_problems
from campaign.plan.checks.samples_check import equal_samples
from campaign.plan.checks.vllm_check import diagnose_answer
from campaign.plan.forecast.workload import dataset_size
from campaign.server.check.vllm_answers import VllmAnswer
from campaign.server.check.vllm_arguments import load_names
from campaign.server.engine.command_line import server_command

SCORE = '{"custom_id": "1", "method": "POST", "url": "/v1/score", "body": {"text_1": "four", "text_2": "word"}}\n'


def campaign(vllm: dict[str, Any] | None = None, **datasets: dict[str, Any]) -> CampaignConfig:
    Path("f.jsonl").write_text('{"t": "a", "q": "four"}\n')
    made = {name: {"files": ["f.jsonl"], "models": ["m"], **keys} for name, keys in datasets.items()}
    return validate({"campaign": "c", "models": {"m": {"source": "s", "vllm": vllm or {}}}, "datasets": made})


CHAT = {"prompt": "{{ t }}"}
EMBEDDINGS = {"prompt": "{{ t }}", "endpoint": "embeddings"}


def runner(config: CampaignConfig) -> str | None:
    command = server_command("e", resolve_placements(config, main=True).models["m"], "m", "s", "h", 1)
    return command[command.index("--runner") + 1] if "--runner" in command else None


@pytest.mark.parametrize(
    ("vllm", "datasets", "expected"),
    [
        ({}, {"a": CHAT}, None),
        ({}, {"a": EMBEDDINGS}, "pooling"),
        ({}, {"a": EMBEDDINGS, "b": {"prompt": "x", "endpoint": "score", "document": "y"}}, "pooling"),
        ({}, {"a": EMBEDDINGS, "b": CHAT}, None),  # refused
        ({"runner": "auto"}, {"a": EMBEDDINGS}, "auto"),  # the config's own
        ({"enforce-eager": True}, {"a": EMBEDDINGS}, "pooling"),
    ],
)
def test_the_flag_of_a_server(vllm: dict[str, Any], datasets: dict[str, Any], expected: str | None, in_tmp: Path) -> None:
    assert runner(campaign(vllm, **datasets)) == expected


def test_batch_files_decide_too(in_tmp: Path) -> None:
    Path("b.jsonl").write_text(SCORE)
    assert runner(campaign(a={"files": ["b.jsonl"]})) == "pooling"


@pytest.mark.parametrize(
    ("vllm", "datasets", "words"),
    [
        ({}, {"a": EMBEDDINGS, "b": CHAT}, "models.m: is asked for text by b and for vectors or scores by a"),
        ({"runner": "pooling"}, {"a": CHAT}, "models.m.vllm.runner: pooling writes no text, which a ask for; remove it"),
        ({"runner": "generate"}, {"a": EMBEDDINGS}, "models.m.vllm.runner: generate answers with no vectors"),
    ],
)
def test_what_one_server_does_not_do_is_refused(
    vllm: dict[str, Any], datasets: dict[str, Any], words: str, in_tmp: Path
) -> None:
    (problem,) = runner_problems(campaign(vllm, **datasets))
    assert words in str(problem)
    assert not problem.warning


@pytest.mark.parametrize("datasets", [{"a": CHAT}, {"a": EMBEDDINGS}])
def test_one_kind_is_no_problem(datasets: dict[str, Any], in_tmp: Path) -> None:
    assert list(runner_problems(campaign({}, **datasets))) == []


def refused(answer: VllmAnswer, *endpoints: str) -> list[str]:
    model = ModelConfig(source="org/model")
    return [d.reason for d in diagnose_answer("m", model, answer, load_names(), endpoints) if not d.warning]


def test_vllm_says_what_a_model_answers_with() -> None:
    bert = VllmAnswer(runner="pooling", score_type="bi-encoder", architecture="BertModel")
    ranker = VllmAnswer(runner="pooling", score_type="cross-encoder", architecture="BertForSequenceClassification")
    assert "generates no text" in refused(bert, "chat")[0]
    assert refused(bert, "embeddings", "score", "rerank") == []
    assert "BertModel for vectors: it has no classes" in refused(bert, "classify")[0]
    assert refused(ranker, "classify", "score", "rerank") == []
    assert "answers with no vectors" in refused(ranker, "embeddings")[0]


def test_fields_are_those_of_the_endpoint(in_tmp: Path) -> None:
    given = {"truncate_prompt_tokens": 8, "dimensions": 8, "max_tokens": 8}
    found = {
        d.config_key for d in unknown_vllm_names(campaign(a={**EMBEDDINGS, "sampling": given}, b={**CHAT, "sampling": given}))
    }
    assert found == {"datasets.a.sampling.max_tokens", "datasets.b.sampling.dimensions"}


def test_nothing_is_written_in_tokens(in_tmp: Path) -> None:
    lengths = dataset_size(campaign(a=EMBEDDINGS), "a").lengths
    assert (lengths.output, lengths.most) == (0, 0)
    assert lengths.prompt == 0.25


def test_a_text_is_read_with_the_longest_it_is_held_against(in_tmp: Path) -> None:
    """Each document makes a sequence with the query."""
    Path("r.jsonl").write_text('{"q": "four", "ds": ["four", "eighteen"]}\n')
    asked = {"files": ["r.jsonl"], "prompt": "{{ q }}", "documents": "ds", "endpoint": "rerank"}
    (sample,) = dataset_size(campaign(a=asked), "a").samples
    assert sample.prompt == 3


@pytest.mark.parametrize(("temperature", "told"), [(0, True), (0.0, True), (0.7, False), (None, False)])
def test_samples_that_cannot_differ_are_told(temperature: float | None, told: bool, in_tmp: Path) -> None:
    sampling = {} if temperature is None else {"temperature": temperature}
    found = list(equal_samples(campaign(a={**CHAT, "samples": 3, "sampling": sampling})))
    assert [(warning.config_key, warning.warning) for warning in found] == ([("datasets.a.samples", True)] if told else [])


def test_samples_are_requests_of_their_own(in_tmp: Path) -> None:
    assert dataset_size(campaign(a={**CHAT, "samples": 3}), "a").rows == 3
