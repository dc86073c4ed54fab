"""Which files of a hub repository the engine needs. Many hold the same weights in several formats."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath

from campaign.models.identity import SMALL

# Small files below folders are wanted too (pooling settings, chat templates), but no weights in disguise.
_SMALL_BYTES = 50_000_000
# Code of models that bring their own; it runs only where `vllm: {trust_remote_code: true}` says so.
_CODE = ("*.py",)
_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a commit: its path in the repository, its size in bytes, and a digest of its content.

    Large files are known by the SHA-256 of their content, small ones by git's blob id.
    """

    name: str
    size: int
    sha256: str | None = None
    blob: str | None = None


def weight_files(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The weights vLLM would load: safetensors where there are any, otherwise .bin; empty when there are none."""
    top = [file for file in files if "/" not in file.name and _is_plain(file.name) and file.size > 0]
    safe = [file for file in top if file.name.endswith(".safetensors")]
    # Mistral's repositories hold the weights twice, and the file with all layers in one is not the one vLLM takes.
    split = [file for file in safe if not file.name.startswith("consolidated")]
    return split or safe or [file for file in top if file.name.endswith(".bin") and file.name not in _NO_WEIGHTS]


def needed_files(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """Weights, and what describes them: config, tokenizer, templates, code; small ones first, so that problems show early."""
    small = [file for file in files if _is_small(file) and _is_plain(file.name)]
    return sorted({*small, *weight_files(files)}, key=lambda file: (file.size, file.name))


def _is_small(file: RemoteFile) -> bool:
    name = PurePosixPath(file.name).name
    wanted = any(fnmatch(name, pattern) for pattern in (*SMALL, *_CODE))
    return wanted and (file.size <= _SMALL_BYTES or "/" not in file.name)


def _is_plain(name: str) -> bool:
    """Whether a name stays inside the folder and is not hidden: hidden names are the download's own."""
    path = PurePosixPath(name)
    return not path.is_absolute() and not any(part.startswith(".") for part in path.parts)
