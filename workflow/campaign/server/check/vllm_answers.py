"""Asking vLLM whether it would take a server's command line, before the server is started: by the engine's own python."""

import hashlib
import json
import logging
import math
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from campaign.core import patience, records
from campaign.core.errors import StorageError
from campaign.core.records import Kind
from campaign.server.engine.command_line import COMPILE_CACHES, engine_python

log = logging.getLogger(__name__)

# Its parser and configuration are asked by their names in this version; another one may have moved them.
KNOWN = "0.32."
KEPT = Path("resources") / "vllm-check"
# The engine's python has nothing of this package, and inside an image does not see its files: it gets them as text. The first
# are modules that the last imports.
_PROGRAM = tuple(
    Path(__file__).with_name(f"{name}.py") for name in ("vllm_pooling", "vllm_requests", "vllm_stand_in", "vllm_program")
)
_LOADER = """
import sys, types
for name, text in {modules!r}:
    sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), sys.modules[name].__dict__)
"""
# What vLLM says of a model whose code it cannot import. A build for CPUs mostly lacks torchvision for it: some import it by
# its name, of others transformers tells only of the processor that needs it ("Could not import module 'Gemma4Processor'").
_NO_CODE = ("No module named 'torchvision'", "failed to be inspected")
_AT_ONCE = 4  # questions that are answered at a time (vllm_program.MOST_AT_ONCE): the more there are, the longer it may take
_SMALL = 4 << 20  # bytes of a model's file that is read whole: config.json, tokenizer files


@dataclass(frozen=True)
class Request:
    """A request as it would be sent. `api`: the endpoint's name in requests.endpoints."""

    api: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class RequestCheck:
    """What the server says to a request. `refused`: its sentence; `field`: the request's field that the sentence is about.

    `ignored`: fields it passes over. `tokens`: of the prompt that the engine gets. `refused` and `tokens` both None: unknown.
    """

    refused: str | None = None
    field: str | None = None
    tokens: int | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A server as it would be started. `words`: what follows the module on its command line; `folder`: the model's.

    `capability`: of the GPU it would run on, (8, 0) for an A100; None: the CPU it is asked on. `requests`: some it would get.
    """

    words: tuple[str, ...]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    capability: tuple[int, int] | None = None
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True)
class VllmAnswer:
    """vLLM's answer. `refused`: its own sentence; `failed`: why it could not be asked; else how it would serve the model.

    `requests`: what is said to each of the question's; None where the server could not be asked about them.
    `unknown_variables`: of the environment, which it passes over, with the nearest that it knows.
    """

    refused: str | None = None
    failed: str | None = None
    max_model_len: int | None = None  # tokens
    runner: str | None = None  # generate, pooling
    score_type: str | None = None  # of a pooling runner: bi-encoder (vectors), cross-encoder (classes), late-interaction
    dtype: str | None = None
    quantization: str | None = None
    architecture: str | None = None
    requests: list[RequestCheck] | None = None
    unknown_variables: dict[str, str | None] = field(default_factory=dict)


VLLM_ANSWER = Kind("what vLLM answered", VllmAnswer)


def capability_of(kernels: str) -> tuple[int, int] | None:
    """Compute capability of a GPU whose kernels are compiled for `sm80`, `sm120` ...; None for another maker's."""
    digits = kernels.removeprefix("sm")
    return (int(digits[:-1]), int(digits[-1])) if digits.isdigit() and digits != kernels else None


def ask_vllm(engine: str, versions: Mapping[str, str], questions: Sequence[Question]) -> list[VllmAnswer]:
    """vLLM's answer to each question, in their order. Those of earlier are kept, by versions, command line and files."""
    files = [KEPT / f"{_digest(versions, question)}.json" for question in questions]
    answers = [records.peek(VLLM_ANSWER, file) for file in files]
    for on_gpu in (True, False):
        open_ = [
            n for n, question in enumerate(questions) if answers[n] is None and (question.capability is not None) == on_gpu
        ]
        for number, answer in zip(open_, _asked(engine, [questions[n] for n in open_], on_gpu), strict=True):
            answers[number] = answer
            if answer.failed is None:
                _keep(files[number], answer)
    return [answer or VllmAnswer(failed="no answer") for answer in answers]


def _keep(file: Path, answer: VllmAnswer) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        records.write(VLLM_ANSWER, file, answer, durable=False)
    except (OSError, StorageError) as error:
        log.debug("vLLM's answer is not kept: %s", error)


def _asked(engine: str, questions: Sequence[Question], on_gpu: bool) -> list[VllmAnswer]:
    answers = _ask(engine, questions, on_gpu)
    without = [n for n, answer in enumerate(answers) if on_gpu and any(words in (answer.refused or "") for words in _NO_CODE)]
    for number, answer in zip(without, _ask(engine, [questions[n] for n in without], on_gpu, stand_in=True), strict=True):
        answers[number] = answer
    return answers


def _ask(engine: str, questions: Sequence[Question], on_gpu: bool, *, stand_in: bool = False) -> list[VllmAnswer]:
    if not questions:
        return []
    log.info("Asking vLLM whether it takes %d command line%s ...", len(questions), "s" * (len(questions) > 1))
    asked = [{"words": question.words, "env": dict(question.env), "capability": question.capability} for question in questions]
    wanted = json.dumps({"gpus": on_gpu, "stand_in": stand_in, "questions": asked})
    # What vLLM notes of a model's class here, a server that starts finds (server.engine.compile_cache.share_model_infos).
    cache = str(COMPILE_CACHES.absolute())
    ours = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CACHE_ROOT": cache}
    command = [*engine_python(engine), "-c", _program(), wanted]
    seconds = patience.ASK_VLLM.seconds * math.ceil(len(questions) / _AT_ONCE)
    requests = json.dumps([[asdict(request) for request in question.requests] for question in questions])
    try:
        done = subprocess.run(
            command,
            input=requests,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, **ours},
        )
        answers = json.loads(done.stdout.strip().rpartition("\n")[2])
        return [_answer(answer) for answer in answers]
    except subprocess.TimeoutExpired:
        return _failed(questions, f"no answer within {seconds:.0f} s")
    except (json.JSONDecodeError, TypeError):
        return _failed(questions, done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}")
    except OSError as error:
        return _failed(questions, str(error))


def _program() -> str:
    """The program that the engine's python runs."""
    *modules, program = (path.read_text() for path in _PROGRAM)
    package = __name__.rpartition(".")[0]
    packages = [(name, "") for name in accumulate(package.split("."), "{}.{}".format)]
    names = (f"{package}.{path.stem}" for path in _PROGRAM)
    return _LOADER.format(modules=[*packages, *zip(names, modules, strict=False)]) + program


def _answer(answer: dict[str, Any]) -> VllmAnswer:
    checks = answer.pop("requests", None)
    return VllmAnswer(**answer, requests=None if checks is None else [RequestCheck(**check) for check in checks])


def _failed(questions: Sequence[Question], why: str) -> list[VllmAnswer]:
    return [VllmAnswer(failed=why) for _ in questions]


def _digest(versions: Mapping[str, str], question: Question) -> str:
    """Digest of all that an answer depends on: this program, the engine's packages, the command line, and the model's files."""
    hashed = hashlib.blake2b(_program().encode(), digest_size=16)
    requests = [asdict(request) for request in question.requests]
    asked = [sorted(versions.items()), question.words, sorted(question.env.items()), question.capability, requests]
    hashed.update(json.dumps(asked).encode())
    for file in sorted(path for path in question.folder.glob("*") if path.is_file()):
        size = file.stat().st_size
        hashed.update(f"{file.name} {size}\n".encode())
        if size <= _SMALL:
            hashed.update(file.read_bytes())
    return hashed.hexdigest()
