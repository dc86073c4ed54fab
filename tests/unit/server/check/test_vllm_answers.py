"""Asking vLLM about command lines: what is asked, kept, and made of an engine that does not answer. (vLLM itself: tests/engine.)"""

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.core import patience
from campaign.server.check import vllm_answers
from campaign.server.check.vllm_answers import Question, Request, RequestCheck, VllmAnswer, ask_vllm, capability_of
from campaign.server.engine.command_line import cache_folder
from campaign.server.engine.compile_cache import share_model_infos
from support.commands import write_command

pytestmark = pytest.mark.processes
VERSIONS = {"vllm": "0.32.0", "torch": "2.13.0"}


@pytest.fixture
def model(in_tmp: Path) -> Path:
    folder = in_tmp / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def engine(root: Path, script: str) -> str:
    """An engine whose python is a shell script; it counts its calls."""
    python = root / "engine" / "bin" / "python"
    write_command(python, f'echo "$3" >> {root}/asked\ncat > {root}/requests\n{script}')
    return str(python.parents[1])


def answering(root: Path, *answers: dict[str, object]) -> str:
    return engine(root, f"echo noise; echo '{json.dumps(answers)}'")


def asked(root: Path) -> list[dict[str, Any]]:
    file = root / "asked"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def question(folder: Path, *words: str, capability: tuple[int, int] | None = (8, 0)) -> Question:
    return Question(("--model", str(folder), *words), folder, {"A": "1"}, capability)


def test_an_answer_is_kept_until_something_it_rests_on_changes(in_tmp: Path, model: Path) -> None:
    at = answering(in_tmp, {"refused": "no"})
    ask = lambda what, versions=VERSIONS: ask_vllm(at, versions, [what])  # noqa: E731
    plain = question(model)
    for _ in range(2):
        assert ask(plain) == [VllmAnswer(refused="no")]
    assert asked(in_tmp) == [
        {
            "gpus": True,
            "stand_in": False,
            "questions": [{"words": list(plain.words), "env": {"A": "1"}, "capability": [8, 0]}],
        }
    ]
    changes = [
        lambda: ask(question(model, "--dtype", "half")),
        lambda: ask(replace(plain, env={"A": "2"})),
        lambda: ask(replace(plain, capability=(9, 0))),
        lambda: ask(plain, {**VERSIONS, "vllm": "0.32.1"}),
        lambda: ask(replace(plain, requests=(Request("chat", {"max_tokens": 5}),))),
        lambda: (model / "config.json").write_text('{"a": 1}') and ask(plain),
        lambda: (model / "model.safetensors").write_bytes(b"x") and ask(plain),
    ]
    for number, change in enumerate(changes, start=2):
        change()
        assert len(asked(in_tmp)) == number


def test_the_engine_gets_what_the_program_imports_of_this_package(in_tmp: Path, model: Path) -> None:
    """A python without packages comes as far as the import of vLLM itself."""
    at = engine(in_tmp, f'exec {sys.executable} -S "$@" < {in_tmp}/requests')
    (answer,) = ask_vllm(at, VERSIONS, [question(model, capability=None)])
    assert answer.failed == "ModuleNotFoundError: No module named 'vllm'"


def test_requests_are_judged_and_the_verdicts_kept(in_tmp: Path, model: Path) -> None:
    said = [{"tokens": 31, "ignored": ["max_token"]}, {"refused": "no", "field": "n", "ignored": []}]
    at = answering(in_tmp, {"runner": "generate", "requests": said})
    requests = (Request("chat", {"messages": [], "max_token": 5}), Request("completions", {"prompt": "a", "n": 0}))
    for _ in range(2):
        (answer,) = ask_vllm(at, VERSIONS, [replace(question(model), requests=requests)])
        assert answer.requests is not None
        first, second = answer.requests
        assert (first.refused, first.tokens, list(first.ignored)) == (None, 31, ["max_token"])
        assert (second.refused, second.field) == ("no", "n")
        assert isinstance(first, RequestCheck)
    assert len(asked(in_tmp)) == 1
    assert json.loads((in_tmp / "requests").read_text()) == [
        [
            {"api": "chat", "body": {"messages": [], "max_token": 5}},
            {"api": "completions", "body": {"prompt": "a", "n": 0}},
        ]
    ]


def test_gpus_and_the_cpu_are_asked_apart_and_answered_in_order(in_tmp: Path, model: Path) -> None:
    at = engine(
        in_tmp, 'case "$3" in *\'"gpus": true\'*) echo \'[{"runner": "gpu"}]\';; *) echo \'[{"runner": "cpu"}]\';; esac'
    )
    questions = [question(model, capability=None), question(model)]
    assert [answer.runner for answer in ask_vllm(at, VERSIONS, questions)] == ["cpu", "gpu"]


@pytest.mark.parametrize(
    "why", ["No module named 'torchvision'", "Could not import module 'Gemma4Processor'. Are this object's"]
)
def test_a_model_whose_code_needs_torchvision_is_asked_about_once_more_with_a_stand_in(
    why: str, in_tmp: Path, model: Path
) -> None:
    """Gemma 4 was refused: transformers names its processor, and not what that lacks."""
    lacks = [{"refused": f"failed to be inspected. ModuleNotFoundError: {why}"}, {"runner": "generate"}]
    first, again = shlex.quote(json.dumps(lacks)), '[{"runner": "with it"}]'
    at = engine(in_tmp, f"case \"$3\" in *'\"stand_in\": true'*) echo '{again}';; *) echo {first};; esac")
    answers = ask_vllm(at, VERSIONS, [question(model), question(model, "--dtype", "half")])
    assert [answer.runner for answer in answers] == ["with it", "generate"]
    assert [(len(each["questions"]), each["stand_in"]) for each in asked(in_tmp)] == [(2, False), (1, True)]


def test_a_server_without_gpus_is_served_by_the_engine_that_is_asked(in_tmp: Path, model: Path) -> None:
    at = answering(in_tmp, {"refused": "No module named 'torchvision'"})
    assert ask_vllm(at, VERSIONS, [question(model, capability=None)])[0].refused
    assert len(asked(in_tmp)) == 1


def test_the_more_questions_there_are_the_longer_they_may_take(
    in_tmp: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, allowed = answering(in_tmp, *[{"runner": "generate"}] * 9), []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *words, **named: (allowed.append(named["timeout"]), run(*words, **named))[1])
    ask_vllm(at, VERSIONS, [question(model, str(number)) for number in range(9)])
    ask_vllm(answering(in_tmp, {"runner": "generate"}), VERSIONS, [question(model)])
    assert allowed == [3 * patience.ASK_VLLM.seconds, patience.ASK_VLLM.seconds]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'ModuleNotFoundError: No module named torchvision' >&2; exit 1", "No module named torchvision"),
        ("exit 3", "exit status 3"),
        ("echo '[{\"surprise\": 1}]'", "exit status 0"),
        ("sleep 30", "no answer within"),
    ],
)
def test_a_check_that_fails_is_no_verdict_and_is_not_kept(
    script: str, why: str, in_tmp: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "ASK_VLLM", replace(patience.ASK_VLLM, seconds=1.0))
    answer = ask_vllm(engine(in_tmp, script), VERSIONS, [question(model)])[0]
    assert answer.refused is None
    assert why in str(answer.failed)
    assert ask_vllm(answering(in_tmp, {"runner": "generate"}), VERSIONS, [question(model)])[0].runner == "generate"


def test_what_vllm_notes_of_a_class_is_where_a_server_that_starts_finds_it(in_tmp: Path, model: Path) -> None:
    at = engine(
        in_tmp, """mkdir -p "$VLLM_CACHE_ROOT/modelinfos"; touch "$VLLM_CACHE_ROOT/modelinfos/llama.json"; echo '[{}]'"""
    )
    assert ask_vllm(at, VERSIONS, [question(model)]) == [VllmAnswer()]
    cache = cache_folder(ModelConfig(source="model"), "identity", VERSIONS)
    share_model_infos(cache)
    assert (cache / "modelinfos" / "llama.json").exists()


def test_no_engine_is_no_verdict(in_tmp: Path, model: Path) -> None:
    assert "No such file" in str(ask_vllm(str(in_tmp / "none"), VERSIONS, [question(model)])[0].failed)


def test_a_damaged_answer_is_asked_again(in_tmp: Path, model: Path) -> None:
    at = answering(in_tmp, {"runner": "generate"})
    ask_vllm(at, VERSIONS, [question(model)])
    kept = list((in_tmp / vllm_answers.KEPT).iterdir())
    assert len(kept) == 1
    kept[0].write_bytes(b"")
    assert ask_vllm(at, VERSIONS, [question(model)]) == [VllmAnswer(runner="generate")]
    assert len(asked(in_tmp)) == 2


@pytest.mark.parametrize(("kernels", "expected"), [("sm80", (8, 0)), ("sm120", (12, 0)), ("gfx908", None), ("sm", None)])
def test_the_capability_of_kernels(kernels: str, expected: tuple[int, int] | None) -> None:
    assert capability_of(kernels) == expected
