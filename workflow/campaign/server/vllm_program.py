"""What the engine's own python runs to say whether vLLM would take a command line. It imports nothing of this package.

The server's argument parser and the checks of its configuration, as at a start, without a GPU, weights, or a port: 6 s of
imports, under a second for each question (measured on vLLM 0.32.0). Its one argument and its last line of output are JSON; the
form of both stands in `campaign.server.vllm_check`.
"""

import contextlib
import io
import json
import os
import sys
import traceback
from typing import Any

# Exceptions by which vLLM refuses a configuration. Anything else is a failure of this check, and says nothing of the model.
REFUSALS = (ValueError, TypeError, NotImplementedError)


def main() -> None:
    asked = json.loads(sys.argv[1])
    said = os.dup(1)
    os.dup2(2, 1)  # whatever vLLM prints is not the answer
    if asked["gpus"]:
        pretend_a_gpu()
    import vllm.engine.arg_utils
    import vllm.entrypoints.launchers.cli_args  # noqa: F401  (seconds, once for all questions)

    os.write(said, f"\n{json.dumps(answer_apart(asked['questions']))}\n".encode())


def pretend_a_gpu() -> None:
    """Make vLLM take this machine for one with a GPU of the capability `FORCED`. Before anything else of vLLM is imported.

    A build for GPUs finds none where a plan is made ("Failed to infer device type"), and a build for CPUs would answer for
    those. What the platform decides is answered by its compute capability: number types, and the kernels of a quantization.
    """
    import torch
    import vllm.platforms as platforms
    from vllm.platforms.cpu import CpuPlatform
    from vllm.platforms.interface import DeviceCapability

    def capability(cls: type, device_id: int = 0) -> Any:
        return DeviceCapability(*FORCED)

    def dtypes(self: object) -> list[Any]:
        whole = [torch.float16, torch.float32]
        return [torch.bfloat16, *whole] if FORCED[0] >= 8 else whole  # vllm/platforms/cuda.py, supported_dtypes

    names = {
        "supported_quantization": [],  # the platform's own list; empty: all
        "supported_dtypes": property(dtypes),
        "get_device_capability": classmethod(capability),
        "check_and_update_config": classmethod(lambda cls, config: None),
    }
    platforms._current_platform = type("PlannedGpu", (CpuPlatform,), names)()


FORCED = [8, 0]
LONGEST = 5000  # characters of a sentence
MOST_AT_ONCE = min(4, os.cpu_count() or 1)


def answer_apart(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers from a process each, a few at a time: vLLM reads its environment once, and keeps what it has parsed."""
    answers: list[dict[str, Any]] = [{} for _ in questions]
    running: dict[int, tuple[int, int]] = {}  # the place of its answer, and where to read it, by process
    waiting = list(enumerate(questions))
    while waiting or running:
        while waiting and len(running) < MOST_AT_ONCE:
            number, question = waiting.pop(0)
            reading, writing = os.pipe()
            running[child(question, writing)] = number, reading
            os.close(writing)
        pid, status = os.wait()
        number, reading = running.pop(pid)
        with os.fdopen(reading, "rb") as answered:
            text = answered.read()
        answers[number] = json.loads(text) if text else {"failed": f"it ended with status {status}"}
    return answers


def child(question: dict[str, Any], writing: int) -> int:
    """The id of a new process that writes its answer to a pipe, which holds it: 64 KiB on Linux, and no sentence is so long."""
    pid = os.fork()
    if pid == 0:
        try:
            FORCED[:] = question["capability"] or FORCED
            os.environ.update(question["env"])
            os.write(writing, json.dumps(answer(question["words"])).encode())
        finally:
            os._exit(0)
    return pid


def answer(words: list[str]) -> dict[str, Any]:
    """What vLLM says to the words of a command line."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
    except SystemExit:
        return {"refused": told.getvalue().strip().rpartition("error: ")[2][:LONGEST]}
    try:
        validate_parsed_serve_args(arguments)
        return configured(arguments)
    except REFUSALS as error:
        return {"refused": sentence(error)[:LONGEST]}
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"[:LONGEST]}


def configured(arguments: Any) -> dict[str, Any]:
    """What vLLM makes of its arguments."""
    from vllm.engine.arg_utils import AsyncEngineArgs

    leave_out_unreadable_processors()
    engine = AsyncEngineArgs.from_cli_args(arguments)
    model = engine.create_model_config()
    taken = {
        "max_model_len": model.max_model_len,
        "runner": model.runner_type,
        "score_type": model.score_type if model.runner_type == "pooling" else None,
        "dtype": str(model.dtype).removeprefix("torch."),
        "quantization": model.quantization,
        "architecture": model.architecture,
    }
    engine.create_engine_config()
    return taken


def leave_out_unreadable_processors() -> None:
    """A model of several modalities whose processor cannot be read is judged by its language model; text is all it gets."""
    from vllm.multimodal.registry import MultiModalRegistry

    original = MultiModalRegistry.get_processing_info

    def get_processing_info(self: Any, *values: Any, **named: Any) -> Any:
        try:
            return original(self, *values, **named)
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error  # for which vLLM takes it as a text model

    MultiModalRegistry.get_processing_info = get_processing_info


def sentence(error: BaseException) -> str:
    """What an exception says, without pydantic's frame around it."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return f"{error}".strip() or type(error).__name__
    causes = [detail.get("ctx", {}).get("error") or detail["msg"] for detail in errors()]
    return " ".join(one(cause) for cause in causes)


def one(cause: Any) -> str:
    """A cause in words. vLLM gives some as a format and its values, which nobody put together."""
    values: tuple[Any, ...] = getattr(cause, "args", ())
    if len(values) > 1 and "%" in str(values[0]):
        with contextlib.suppress(TypeError):
            return str(values[0]) % values[1:]
    return str(cause)


if __name__ == "__main__":
    main()
