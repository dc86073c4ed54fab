"""What the plan makes of vLLM's answers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from campaign.config import CampaignConfig, ModelConfig
from campaign.core.errors import PlanRefused
from campaign.models import staged
from campaign.models.staged import Staged
from campaign.plan.checks import vllm_check
from campaign.plan.checks.vllm_check import ask_about_models, check_staged, diagnose_answer
from campaign.server.check.vllm_answers import KNOWN, Question, VllmAnswer
from campaign.server.check.vllm_arguments import load_names
from campaign.server.engine.command_line import EngineBuild
from campaign.site.table import load_table

VERSIONS = {"vllm": f"{KNOWN}0"}


def diagnosed(folder: Path, answer: VllmAnswer, **model: Any) -> dict[str, str]:
    found = diagnose_answer("m", ModelConfig.model_validate({"source": str(folder), **model}), answer, load_names())
    return {diagnostic.rule: str(diagnostic) for diagnostic in found if not diagnostic.warning}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_a_model_that_generates_is_fine(folder: Path) -> None:
    assert diagnosed(folder, VllmAnswer(runner="generate")) == {}


def test_a_refusal_is_quoted_in_one_line(folder: Path) -> None:
    said = diagnosed(folder, VllmAnswer(refused="Unknown quantization method:\n  bitsandbytes. " + "Must be one of ... " * 99))
    assert said["vllm"].startswith("models.m: vLLM would not start: Unknown quantization method: bitsandbytes. Must")
    assert "\n" not in said["vllm"]
    assert len(said["vllm"]) < 600


@pytest.mark.parametrize(
    ("refused", "flags", "remedy"),
    [
        ("The repository contains custom code ... trust_remote_code=True", {}, "vllm: {trust-remote-code: true}"),
        ("unrecognized arguments: --max-num-seq", {"max-num-seqq": 3}, "did you mean `max-num-seqs`"),
        ("unrecognized arguments: --frobnicate", {"frobnicate": 3}, "remove it"),
        ("unrecognized arguments: --disable-log-requests", {"disable-log-requests": True}, "remove it"),
        (
            "invalid tool call parser: llama3 (chose from { granite,llama3_json,llama4_json,hermes })",
            {"enable-auto-tool-choice": True, "tool-call-parser": "llama3"},
            "did you mean `llama3_json`",
        ),
        (
            "Reasoning parser 'deepseek-r1' not found. Available parsers: cohere, deepseek_r1, deepseek_v3",
            {"reasoning-parser": "deepseek-r1"},
            "did you mean `deepseek_r1`",
        ),
        ("Reasoning parser 'zzz' not found. Available parsers: cohere, qwen3", {"reasoning-parser": "zzz"}, "name one of them"),
        ("models/m does not appear to have a file named configuration_m.py. Checkout ...", {}, "its own code (.py) with it"),
        ("unrecognized value '0': the flag before it takes none", {"enforce-eager": 0}, "write true to set it"),
        (
            "Invalid repository ID or local directory specified: 'a/b'",
            {"speculative-config": {"model": "a/b", "num_speculative_tokens": 2}},
            "download a/b into a folder",
        ),
        ("Cannot find it on the local disk and outgoing traffic has been disabled", {"tokenizer": "a/b"}, "download a/b into"),
    ],
)
def test_a_refusal_with_a_known_remedy_names_it(folder: Path, refused: str, flags: dict[str, Any], remedy: str) -> None:
    assert remedy in diagnosed(folder, VllmAnswer(refused=refused), vllm=flags)["vllm"]


def test_a_level_of_logs_that_there_is_not_is_named(folder: Path) -> None:
    """vLLM says "Unable to configure handler 'vllm'" alone."""
    answer = VllmAnswer(refused="Unable to configure handler 'vllm'")
    assert "VLLM_LOGGING_LEVEL takes DEBUG" in diagnosed(folder, answer, env={"VLLM_LOGGING_LEVEL": "verbose"})["vllm"]


def test_variables_that_vllm_passes_over_are_warned_of(folder: Path) -> None:
    unknown = {"VLLM_ALOW_LONG_MAX_MODEL_LEN": "VLLM_ALLOW_LONG_MAX_MODEL_LEN", "VLLM_ATTENTION_BACKEND": None, "VLLM_X": None}
    answer = VllmAnswer(runner="generate", unknown_variables=unknown)
    found = list(diagnose_answer("m", ModelConfig(source=str(folder)), answer, load_names()))
    assert all(each.warning for each in found)
    assert [(each.config_key, each.remedy) for each in found] == [
        ("models.m.env.VLLM_ALOW_LONG_MAX_MODEL_LEN", "did you mean `VLLM_ALLOW_LONG_MAX_MODEL_LEN`?"),
        ("models.m.env.VLLM_ATTENTION_BACKEND", "it is a flag now: vllm: {attention-backend: ...}"),
        ("models.m.env.VLLM_X", "remove it"),
    ]


def test_a_model_for_embeddings_generates_nothing(folder: Path) -> None:
    assert "BertModel" in diagnosed(folder, VllmAnswer(runner="pooling", architecture="BertModel"))["runner"]


def test_a_check_that_failed_is_a_warning(folder: Path) -> None:
    answer = VllmAnswer(failed="No module named torchvision")
    assert diagnosed(folder, answer) == {}
    model = ModelConfig(source=str(folder))
    (warning,) = diagnose_answer("m", model, answer, load_names())
    assert "could not be asked" in str(warning)
    assert "torchvision" in str(warning)


@pytest.mark.parametrize(
    ("flags", "missing"), [({}, True), ({"tokenizer": "other"}, False), ({"skip-tokenizer-init": True}, False)]
)
def test_a_folder_without_a_tokenizer(flags: dict[str, Any], missing: bool, folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert ("tokenizer" in diagnosed(folder, VllmAnswer(runner="generate"), vllm=flags)) is missing


# --- who is asked what -----------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """The questions that reach vLLM, which refuses every one."""
    questions: list[Question] = []

    def ask(engine: str, versions: dict[str, str], these: Sequence[Question]) -> list[VllmAnswer]:
        questions.extend(these)
        return [VllmAnswer(refused="no such thing")] * len(these)

    monkeypatch.setattr(vllm_check, "engine_build", lambda _: EngineBuild(VERSIONS, on_cpu=True))
    monkeypatch.setattr(vllm_check, "ask_vllm", ask)
    return questions


PLACED = {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 2}


def placed(config: CampaignConfig, **placement: Any) -> CampaignConfig:
    model = config.models["stub"]
    model = model.model_copy(update={"placement": model.placement.model_copy(update={**PLACED, **placement})})
    return config.model_copy(update={"models": {"stub": model}})


def test_the_servers_own_words_are_asked(stub_config: Callable[..., CampaignConfig], asked: list[Question]) -> None:
    config = stub_config(env={"VLLM_X": "1"})
    assert ask_about_models(config, None, VERSIONS) == {"stub": VllmAnswer(refused="no such thing")}
    (question,) = asked
    assert question.words[:4] == ("--model", str(question.folder), "--served-model-name", "stub")
    assert (question.env, question.capability) == ({"VLLM_X": "1"}, None)


@pytest.mark.parametrize(
    ("placement", "capability"),
    [
        ({}, (8, 0)),
        ({"partition": "ah200", "gpu": "h200"}, (9, 0)),
        ({"partition": "nowhere"}, (9, 0)),
        ({"gpus_per_node": 0}, None),
    ],
)
def test_it_answers_for_the_placements_gpu(
    placement: dict[str, Any], capability: Any, stub_config: Callable[..., CampaignConfig], asked: list[Question]
) -> None:
    ask_about_models(placed(stub_config(), **placement), load_table("alpine"), VERSIONS)
    assert [question.capability for question in asked] == [capability]


def test_another_makers_gpu_is_not_asked_about(stub_config: Callable[..., CampaignConfig], asked: list[Question]) -> None:
    config = placed(stub_config(), partition="ami100", gpu="mi100")
    assert ask_about_models(config, load_table("alpine"), VERSIONS) == {}


def test_an_engine_of_another_version_is_not_asked(stub_config: Callable[..., CampaignConfig], asked: list[Question]) -> None:
    assert ask_about_models(stub_config(), None, {"vllm": "0.99.0"}) == {}


def test_the_user_can_leave_it_out(stub_config: Callable[..., CampaignConfig], asked: list[Question]) -> None:
    assert ask_about_models(stub_config(ask_vllm=False), None, VERSIONS) == {}


def test_a_model_of_the_hub_is_asked_about_once_it_is_there(
    stub_config: Callable[..., CampaignConfig], asked: list[Question], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = stub_config(models={"stub": {"source": "org/name"}})
    check_staged(config, "stub")
    assert asked == []
    monkeypatch.setattr(staged, "find_staged", lambda _: Staged(folder, "a" * 40, 1))
    with pytest.raises(PlanRefused, match="no such thing"):
        check_staged(config, "stub")
    assert [question.folder for question in asked] == [folder]


def test_a_folder_was_asked_about_by_the_plan(stub_config: Callable[..., CampaignConfig], asked: list[Question]) -> None:
    check_staged(stub_config(), "stub")
    assert asked == []
