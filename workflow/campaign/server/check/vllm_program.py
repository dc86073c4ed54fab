"""What the engine's own python runs to say whether vLLM would take a command line.

It imports nothing of this package but the modules that `campaign.server.check.vllm_answers` hands it as text: it has no others.

The server's argument parser and the checks of its configuration, as at a start, without a GPU, weights, or a port: 6 s of
imports, under a second for each question (measured on vLLM 0.32.0). Then the requests (vllm_requests). Its one argument, its
input (the requests of each question) and its last line of output are JSON; their form stands in
`campaign.server.check.vllm_answers`.
"""

import contextlib
import importlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
import traceback
from difflib import get_close_matches
from typing import Any

from campaign.server.check.vllm_requests import UNREADABLE, check_requests
from campaign.server.check.vllm_stand_in import stand_in_for_torchvision

# Exceptions by which vLLM refuses a configuration. Anything else is a failure of this check, and says nothing of the model.
REFUSALS = (ValueError, TypeError, NotImplementedError)


def main() -> None:
    asked = json.loads(sys.argv[1])
    for question, requests in zip(asked["questions"], json.load(sys.stdin), strict=True):
        question["requests"] = requests
    said = os.dup(1)
    os.dup2(2, 1)  # whatever vLLM prints is not the answer
    stand_in = stand_in_for_torchvision() if asked["stand_in"] else None
    if stand_in:
        UNREADABLE.append(stand_in)
    if asked["gpus"]:
        pretend_a_gpu()
    import vllm.engine.arg_utils
    import vllm.entrypoints.launchers.cli_args  # noqa: F401  (seconds, once for all questions)

    os.write(said, f"\n{json.dumps(answer_apart(asked['questions']))}\n".encode())
    if stand_in:
        shutil.rmtree(stand_in, ignore_errors=True)


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
    platforms._current_platform = type(PLANNED, (CpuPlatform,), names)()


PLANNED = "PlannedGpu"
FORCED = [8, 0]
LONGEST = 5000  # characters of a sentence
MOST_AT_ONCE = min(4, os.cpu_count() or 1)


def answer_apart(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers from a process each, a few at a time: vLLM reads its environment once, and keeps what it has parsed."""
    answers: list[dict[str, Any]] = [{} for _ in questions]
    running: dict[int, tuple[int, Any]] = {}  # the place of its answer, and the file that gets it, by process
    waiting = list(enumerate(questions))
    while waiting or running:
        while waiting and len(running) < MOST_AT_ONCE:
            number, question = waiting.pop(0)
            file = tempfile.TemporaryFile()  # noqa: SIM115  (closed below; a pipe holds 64 KiB, and the answers to hundreds of requests more)
            running[child(question, file.fileno())] = number, file
        pid, status = os.wait()
        number, file = running.pop(pid)
        with file:
            file.seek(0)
            text = file.read()
        answers[number] = json.loads(text) if text else {"failed": f"it ended with status {status}"}
    return answers


def child(question: dict[str, Any], writing: int) -> int:
    """The id of a new process that writes its answer to a file."""
    pid = os.fork()
    if pid == 0:
        try:
            FORCED[:] = question["capability"] or FORCED
            os.environ.update(question["env"])
            with os.fdopen(writing, "w", closefd=False) as file:
                json.dump(answer(question["words"], question["requests"], question["env"]), file)
        finally:
            os._exit(0)
    return pid


def answer(words: list[str], requests: list[dict[str, Any]], env: dict[str, str]) -> dict[str, Any]:
    """What vLLM says to the words of a command line, to variables of its environment, and to requests of the server."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
    except SystemExit:
        return {"refused": told.getvalue().strip().rpartition("error: ")[2][:LONGEST]}
    if arguments.model_tag is not None:  # what no flag takes: the parser keeps it for the model, and the server passes over it
        return {"refused": f"unrecognized value {arguments.model_tag!r}: the flag before it takes none"}
    try:
        check_variables(env)
        validate_parsed_serve_args(arguments)
        check_server(arguments)
        return {**configured(arguments, requests), "unknown_variables": unknown_variables(env)}
    except REFUSALS as error:
        return {"refused": sentence(error)[:LONGEST]}
    except Exception as error:
        if refuses(error):
            return {"refused": sentence(error)[:LONGEST]}
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"[:LONGEST]}


def refuses(error: Exception) -> bool:
    """Whether an exception of another type is vLLM's refusal: one of its errors of the user, or a KeyError with a sentence.

    A server is as offline as this: what it would look for on the hub it does not find either.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError
    from vllm.exceptions import VLLMClientError

    if isinstance(error, LocalEntryNotFoundError) or "does not appear to have a file named" in str(error):
        return True
    return isinstance(error, VLLMClientError) or (isinstance(error, KeyError) and " " in str(error.args[0]))


def check_variables(env: dict[str, str]) -> None:
    """Raise what the server would once it reads a variable, which may be after the model is loaded (vLLM 0.32, envs.py)."""
    from vllm.envs import environment_variables

    for name in env.keys() & environment_variables.keys():
        try:
            environment_variables[name]()
        except Exception as error:
            raise ValueError(f"env {name}: {env[name]!r} is no value that it takes ({error})") from error


def unknown_variables(env: dict[str, str]) -> dict[str, str | None]:
    """Variables that vLLM passes over, with the nearest that it knows."""
    from vllm.envs import environment_variables

    unknown = [name for name in env if name.startswith("VLLM_") and name not in environment_variables]
    return {name: next(iter(get_close_matches(name, environment_variables, 1, 0.85)), None) for name in unknown}


def check_server(arguments: Any) -> None:
    """Raise what the server would of its own settings, before it makes an engine (vLLM 0.32, launcher.py, app_state.py)."""
    from vllm.entrypoints.launchers.launcher import validate_api_server_args
    from vllm.reasoning import ReasoningParserManager
    from vllm.renderers.chat_utils import load_chat_template
    from vllm.tool_parsers import ToolParserManager

    if arguments.tool_parser_plugin:
        ToolParserManager.import_tool_parser(arguments.tool_parser_plugin)
    if arguments.reasoning_parser_plugin:
        ReasoningParserManager.import_reasoning_parser(arguments.reasoning_parser_plugin)
    validate_api_server_args(arguments)
    load_chat_template(arguments.chat_template)


def configured(arguments: Any, requests: list[dict[str, Any]]) -> dict[str, Any]:
    """What vLLM makes of its arguments, and of the requests."""
    from vllm.engine.arg_utils import AsyncEngineArgs

    leave_out_unreadable_processors()
    engine = AsyncEngineArgs.from_cli_args(arguments)
    try:
        model = engine.create_model_config()
    except ValueError as error:
        if "failed to be inspected" in str(error):
            raise ValueError(f"{sentence(error)} {what_is_missing(str(error))}".strip()) from error
        raise
    check_device(model)
    check_fallback(model)
    taken = {
        "max_model_len": model.max_model_len,
        "runner": model.runner_type,
        "score_type": model.score_type if model.runner_type == "pooling" else None,
        "dtype": str(model.dtype).removeprefix("torch."),
        "quantization": model.quantization,
        "architecture": model.architecture,
    }
    config = engine.create_engine_config()
    check_adapters(arguments, config)
    return {**taken, "requests": check_requests(arguments, config, requests) if requests else []}


def what_is_missing(said: str) -> str:
    """Why the code of the architecture that a refusal names cannot be imported; vLLM says it in a log that nobody sees here."""
    from vllm.model_executor.models.registry import ModelRegistry

    known = [ModelRegistry.models[name] for name in re.findall(r"'(\w+)'", said) if name in ModelRegistry.models]
    for module in (getattr(model, "module_name", None) for model in known):
        try:
            importlib.import_module(str(module))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return ""


def check_device(model: Any) -> None:
    """Raise what a worker would of the number type (vLLM 0.32, platforms/cuda.py, check_if_supports_dtype)."""
    from vllm.platforms import current_platform

    if type(current_platform).__name__ == PLANNED and FORCED[0] < 8 and str(model.dtype) == "torch.bfloat16":
        has = ".".join(map(str, FORCED))
        raise ValueError(
            f"Bfloat16 is only supported on GPUs with compute capability of at least 8.0. This GPU has {has}. You can use "
            "float16 instead by setting dtype: float16."
        )


def check_fallback(model: Any) -> None:
    """Raise for an encoder with a decoder that vLLM has no code for: its Transformers backend runs decoders and encoders alone.

    Seen with T5 and vLLM 0.32: "Argument position_ids not found in the forward method of T5Stack", once the weights are loaded.
    """
    if model.architecture.startswith("Transformers") and getattr(model.hf_config, "is_encoder_decoder", False):
        name = (model.hf_config.architectures or [model.hf_config.model_type])[0]
        raise ValueError(f"vLLM has no code for {name}, and its Transformers backend runs no model with encoder and decoder.")


def check_adapters(arguments: Any, config: Any) -> None:
    """Raise what the server would when it loads its adapters, but for what their weights say."""
    if not arguments.lora_modules:
        return
    from vllm.lora.peft_helper import PEFTHelper

    for adapter in arguments.lora_modules:
        try:
            PEFTHelper.from_local_dir(adapter.path, config.model_config.max_model_len).validate_legal(config.lora_config)
        except (*REFUSALS, OSError) as error:
            raise ValueError(f"{adapter.name}: {sentence(error)}") from error


def leave_out_unreadable_processors() -> None:
    """A model of several modalities whose processor cannot be read is judged by its language model; text is all it gets."""
    from vllm.multimodal.registry import MultiModalRegistry

    original = MultiModalRegistry.get_processing_info

    def get_processing_info(self: Any, *values: Any, **named: Any) -> Any:
        try:
            return original(self, *values, **named)
        except Exception as error:
            UNREADABLE.append(self)
            raise ValueError(f"{type(error).__name__}: {error}") from error  # for which vLLM takes it as a text model

    MultiModalRegistry.get_processing_info = get_processing_info


def sentence(error: BaseException) -> str:
    """What an exception says, without pydantic's frame around it."""
    errors = getattr(error, "errors", None)
    if errors is None:
        said = error.args[0] if isinstance(error, KeyError) and error.args else error
        return re.sub(r" ?\(parameter=.*\)$", "", str(said), flags=re.DOTALL).strip() or type(error).__name__
    causes = [detail.get("ctx", {}).get("error") or f"{place(detail)}{detail['msg']}" for detail in errors()]
    return " ".join(dict.fromkeys(one(cause) for cause in causes))


def place(detail: Any) -> str:
    """The setting that pydantic's own words ("Input should be greater than 0") are about, and what was given."""
    named = ".".join(str(part) for part in detail["loc"])
    given = detail["input"]
    return f"{named} {given!r}: " if named and isinstance(given, (str, int, float)) else f"{named}: " if named else ""


def one(cause: Any) -> str:
    """A cause in words. vLLM gives some as a format and its values, which nobody put together."""
    values: tuple[Any, ...] = getattr(cause, "args", ())
    if len(values) > 1 and "%" in str(values[0]):
        with contextlib.suppress(TypeError):
            return str(values[0]) % values[1:]
    return str(cause)


if __name__ == "__main__":
    main()
