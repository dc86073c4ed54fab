"""vLLM itself, asked about command lines: what does not start is refused in its words, and what starts is not."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campaign.config import ModelConfig
from campaign.core import patience
from campaign.plan.checks.vllm_check import _question
from campaign.server.check.vllm_answers import Question, ask_vllm
from campaign.server.engine.command_line import engine_build, server_command
from campaign.site.table import load_table
from support.adapters import make_adapter
from support.engine import ENGINE, MODEL
from support.shipped import shown

ARCHITECTURES = Path(__file__).parents[1] / "data" / "architectures"
A100, H200, RTX6000 = (8, 0), (9, 0), (7, 5)

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

# The model, what the config says of it, the GPU (None: this CPU), and what vLLM says; None: it starts.
CASES: list[tuple[str, dict[str, Any], tuple[int, int] | None, str | None]] = [
    ("smol", {}, None, None),
    ("smol", {"max_model_len": 1024, "dtype": "bfloat16", "vllm": {"enforce-eager": True}}, None, None),
    ("smol", {"vllm": {"max-num-seqs": 64, "no-enable-prefix-caching": True}}, None, None),
    ("smol", {"max_model_len": 999_999}, None, "max_model_len"),
    ("smol", {"vllm": {"kv-cache-dtype": "int3"}}, None, "invalid choice: 'int3'"),
    ("smol", {"vllm": {"max-num-seqss": 64}}, None, "unrecognized arguments: --max-num-seqss"),
    ("smol", {"vllm": {"max-num-seqs": "many"}}, None, "max-num-seqs"),
    ("smol", {"vllm": {"max-num-seqs": 0}}, None, "max_num_seqs 0: Input should be greater than or equal to 1"),
    ("smol", {"vllm": {"enforce-eager": 0}}, None, "unrecognized value '0'"),
    ("smol", {"vllm": {"enforce-eager": "false"}}, None, None),
    ("smol", {"vllm": {"tokenizer": "some/where"}}, A100, "outgoing traffic has been disabled"),
    ("smol", {"env": {"VLLM_DISABLE_COMPILE_CACHE": "yes"}}, None, "env VLLM_DISABLE_COMPILE_CACHE: 'yes' is no value"),
    ("smol", {"env": {"VLLM_DISABLE_COMPILE_CACHE": True, "VLLM_ALLOW_LONG_MAX_MODEL_LENN": 1}}, None, None),
    (
        "smol",
        {"vllm": {"enable-auto-tool-choice": True, "tool-call-parser": "llama3"}},
        None,
        "invalid tool call parser: llama3",
    ),
    ("smol", {"vllm": {"enable-auto-tool-choice": True, "tool-call-parser": "llama3_json"}}, None, None),
    ("smol", {"vllm": {"reasoning-parser": "deepseek-r1"}}, A100, "deepseek-r1"),
    ("smol", {"vllm": {"chat-template": "./llama3.jinja"}}, A100, "appears path-like, but doesn't exist"),
    ("smol", {"dtype": "bfloat16"}, RTX6000, "Bfloat16 is only supported on GPUs with compute capability of at least 8.0"),
    ("smol", {"dtype": "float16"}, RTX6000, None),
    ("flan-t5-small", {}, A100, "no code for T5ForConditionalGeneration"),
    ("gemma-3-27b", {}, H200, None),  # its code imports torchvision, which this build has not
    ("gemma-3-27b", {"dtype": "float16"}, H200, "does not support float16"),
    ("gemma-3-27b", {}, None, "No module named 'torchvision'"),
    ("llama-3.1-8b", {"tensor_parallel": 4}, A100, None),
    ("llama-3.1-8b", {"tensor_parallel": 3}, A100, "32"),
    ("llama-3.1-8b", {"quantization": "fp8"}, H200, None),
    ("llama-3.1-8b", {"quantization": "bitsandbytes"}, A100, "Unknown quantization method: bitsandbytes"),
    ("llama-3.1-8b", {"vllm": {"enable-expert-parallel": True}, "tensor_parallel": 2}, A100, "experts"),
    ("llama-3.1-8b", {"pipeline_parallel": 2, "tensor_parallel": 2}, A100, None),
    ("llama-3.1-405b-fp8", {"tensor_parallel": 4}, H200, "allow-deprecated-quantization"),
    ("llama-3.1-405b-fp8", {"tensor_parallel": 4, "vllm": {"allow-deprecated-quantization": True}}, H200, None),
    ("llama-3.1-70b-awq", {"tensor_parallel": 2}, A100, None),
    ("gpt-oss-120b", {"tensor_parallel": 2, "vllm": {"enable-expert-parallel": True}}, H200, None),
    ("gpt-oss-120b", {"dtype": "float16"}, H200, "float16 is not supported for quantization method"),
]


def folder(root: Path, name: str) -> Path:
    """A model as its files tell of it, without weights."""
    if name == "smol":
        return MODEL
    made = root / name
    if not made.exists():
        made.mkdir()
        (made / "config.json").write_bytes((ARCHITECTURES / f"{name}.json").read_bytes())
        (made / "tokenizer.json").write_text("{}")
        header = json.dumps({"w": {"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]}}).encode()
        (made / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return made


def test_vllm_takes_all_that_the_repository_shows(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model of config/, of the presets, and of the YAML in README and docs, each for the GPUs it is placed on."""
    monkeypatch.setattr(patience, "ASK_VLLM", replace(patience.ASK_VLLM, seconds=280.0))
    questions = {}
    for each in shown():
        if each.metadata is None:  # a placement alone
            continue
        at = folder(in_tmp, each.architecture)
        for adapter in each.model.adapters.values():
            make_adapter(Path(adapter))
        config = each.config.model_copy(update={"engine": str(ENGINE)})
        site = load_table(config.site) if each.model.placement.partition else None
        questions[str(each)] = _question(config, each.name, each.model.model_copy(update={"source": str(at)}), site)
    assert len(questions) >= 16
    assert None not in questions.values()
    answers = ask_vllm(str(ENGINE), engine_build(str(ENGINE)).versions, list(questions.values()))
    assert {where: answer for where, answer in zip(questions, answers, strict=True) if answer.refused or answer.failed} == {}


def test_vllm_says_what_starts_and_what_does_not(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ASK_VLLM", replace(patience.ASK_VLLM, seconds=280.0))  # 34 of them, beside other tests
    questions = []
    for name, settings, capability, _ in CASES:
        at = folder(in_tmp, name)
        model = ModelConfig.model_validate({"source": str(at), **settings})
        command = server_command(str(ENGINE), model, "m", str(at), "127.0.0.1", 8000)
        questions.append(Question(tuple(command[3:]), at, model.env, capability))
    answers = ask_vllm(str(ENGINE), engine_build(str(ENGINE)).versions, questions)
    wrong = [
        (case[:3], answer)
        for case, answer in zip(CASES, answers, strict=True)
        if answer.failed or (answer.refused is None) != (case[3] is None) or (case[3] or "") not in (answer.refused or "")
    ]
    assert wrong == []
    passed_over = next(
        answer for case, answer in zip(CASES, answers, strict=True) if "VLLM_ALLOW_LONG_MAX_MODEL_LENN" in str(case)
    )
    assert passed_over.unknown_variables == {"VLLM_ALLOW_LONG_MAX_MODEL_LENN": "VLLM_ALLOW_LONG_MAX_MODEL_LEN"}
    assert answers[0].max_model_len == 8192
    assert answers[0].runner == "generate"
