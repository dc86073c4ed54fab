"""Whether a model folder can be served: problems that would otherwise show only after minutes of loading."""

from pathlib import Path

import orjson

from campaign.config import ModelConfig
from campaign.weights.identity import WEIGHTS


def check_model(name: str, model: ModelConfig) -> list[str]:
    """Problems of a local model folder, each with its remedy; empty when it can be served."""
    key, folder = f"models.{name}.source", Path(model.source)
    if not folder.exists():
        return [f"{key}: there is no folder {model.source}; {_missing_remedy(model.source)}"]
    if not folder.is_dir():
        return [f"{key}: {model.source} is a file; give the folder that holds config.json and the weights"]
    problems = _config_problems(key, folder)
    if not any(path.stat().st_size for pattern in WEIGHTS for path in folder.glob(pattern)):
        problems.append(f"{key}: {folder} holds no weights (*.safetensors); copy or download the model again")
    return problems + _index_problems(key, folder)


def _missing_remedy(source: str) -> str:
    if source.startswith("resources/models/"):
        return "`make demo` makes the demo's model there"
    if source.count("/") == 1 and not source.startswith((".", "/", "~")):
        return "a hub id is not staged by this version: download it into a folder and name that"
    return "correct the path (relative to the working directory) or download the model there"


def _config_problems(key: str, folder: Path) -> list[str]:
    path = folder / "config.json"
    if not path.is_file():
        return [f"{key}: {folder} holds no config.json; it is not a Hugging Face model folder"]
    try:
        orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        return [f"{key}: {path} is not JSON ({error}); copy or download the model again"]
    return []


def _index_problems(key: str, folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    named = set(orjson.loads(index.read_bytes()).get("weight_map", {}).values())
    missing = sorted(name for name in named if not (folder / name).is_file())
    if not missing:
        return []
    return [f"{key}: {len(missing)} of {len(named)} weight files are missing ({missing[0]} ...); download the model again"]
