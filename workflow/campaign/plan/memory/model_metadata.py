"""A model's config.json and the size of its weights: from its folder, or from the hub without downloading weights.

Where the hub cannot be reached, or shows the model to no one without a token, from the table of known models.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from campaign.config import ModelConfig
from campaign.core import patience
from campaign.core.errors import ModelUnreadable
from campaign.models.file_selection import RemoteFile, weight_files
from campaign.models.hub_access import Access, HubUnreachable, ModelGated, this_access
from campaign.models.hub_metadata import ask
from campaign.models.known_models import find_known
from campaign.models.safetensors import Tensor, read_header
from campaign.models.source import Folder, HubModel, source_of
from campaign.models.staged import find_staged, folder_here
from campaign.plan.memory.architecture import Architecture, read_architecture
from campaign.plan.memory.memory_model import ModelMetadata, Weights, speculation
from campaign.plan.memory.weight_modules import count_parameters, find_modules
from campaign.server.engine.adapter_room import adapter_room

log = logging.getLogger(__name__)

_ASK_S = patience.HUB_ASK.seconds
_NONE: Mapping[str, Any] = MappingProxyType({})


def read_metadata(model: ModelConfig) -> ModelMetadata:
    """Read all that is known of a model. Raises ModelUnreadable, and HubError when the hub does not tell."""
    return replace(_source_metadata(model), adapters=adapter_room(model), draft=_draft(model))


def _draft(model: ModelConfig) -> ModelMetadata | None:
    """What is known of a draft model in a folder; of one of the hub vLLM says that it is not there."""
    settings = speculation(model)
    named, own = settings.get("model"), "mtp" in str(settings.get("method")).lower()  # a module of the model itself
    if not isinstance(named, str) or own or not Path(named).is_dir():
        return None
    try:
        return folder_metadata(Path(named))
    except ModelUnreadable as error:
        log.debug("%s", error)
        return None


def _source_metadata(model: ModelConfig) -> ModelMetadata:
    source, overrides = source_of(model), _overrides(model)
    if isinstance(source, Folder):
        return folder_metadata(source.path, overrides)
    if staged := find_staged(source):
        return folder_metadata(staged.folder, overrides)
    try:
        return hub_metadata(source, this_access(), overrides=overrides)
    except (HubUnreachable, ModelGated) as error:
        if known := known_metadata(source, str(error), overrides):
            return known
        raise


def _overrides(model: ModelConfig) -> Mapping[str, Any]:
    """What the config has vLLM put into config.json (--hf-overrides): a mapping, or its JSON."""
    given = model.vllm.get("hf_overrides")
    with suppress(ValueError):
        given = orjson.loads(given) if isinstance(given, str) else given
    return given if isinstance(given, dict) else {}


def _overridden(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A config with what is put into it; of a part (`text_config`) what is named alone."""
    parts = {
        key: _overridden(config[key], value) if isinstance(value, dict) and isinstance(config.get(key), dict) else value
        for key, value in overrides.items()
    }
    return {**config, **parts}


def folder_metadata(folder: Path, overrides: Mapping[str, Any] = _NONE) -> ModelMetadata:
    """Facts of a model folder. `overrides`: of its config.json. Raises ModelUnreadable."""
    try:
        config = _with_quantization(json.loads((folder / "config.json").read_bytes()), folder / "hf_quant_config.json")
        architecture = read_architecture(_overridden(config, overrides))
        weights = _weights_in(folder, architecture)
    except (OSError, ValueError) as error:
        raise ModelUnreadable(f"{folder} cannot be read ({error}): what the model needs is not known") from error
    return ModelMetadata(architecture, weights)


def _with_quantization(config: dict[str, Any], beside: Path) -> dict[str, Any]:
    """A config with what NVIDIA's ModelOpt wrote beside it up to version 0.29 (vLLM 0.32, transformers_utils/config.py)."""
    if config.get("quantization_config") or not beside.is_file():
        return config
    return {**config, "quantization_config": {"quant_method": "modelopt", **orjson.loads(beside.read_bytes())}}


def weight_bytes(model: ModelConfig) -> int | None:
    """Bytes of a model's weight files, whatever its config.json says; None where they are not here."""
    folder = folder_here(model)
    if folder is None or not folder.is_dir():
        return None
    files = _files_in(folder)
    if files and files[0].name.endswith(".safetensors"):
        with suppress(OSError, ValueError):
            return sum(tensor.bytes for file in files for tensor in read_header(folder / file.name)) or None
    return sum(file.size for file in files) or None


def staged_metadata(folder: Path, model: ModelConfig) -> ModelMetadata | None:
    """Read a folder from which vLLM serves `model` in any case, as folder_metadata does; None where it cannot be read."""
    try:
        return replace(folder_metadata(folder, _overrides(model)), adapters=adapter_room(model), draft=_draft(model))
    except ModelUnreadable as error:
        log.debug("%s", error)
        return None


def hub_metadata(
    model: HubModel, access: Access, seconds: float = _ASK_S, overrides: Mapping[str, Any] = _NONE
) -> ModelMetadata:
    """Facts of a model of the hub, from its config.json and the sizes it lists. Raises HubError, ModelUnreadable."""
    try:
        listing, config, tensors = asyncio.run(ask(model, access, seconds))
    except TimeoutError:
        raise HubUnreachable(f"the hub {access.endpoint} does not answer within {seconds:.0f} s") from None
    architecture, files = read_architecture(_overridden(config, overrides)), weight_files(listing.files)
    if tensors:
        return ModelMetadata(architecture, _weights_of(tensors, len(files), architecture, " on the hub"))
    weights = Weights(sum(file.size for file in files), listing.parameters, f"{_counted(len(files), 'file')} listed by the hub")
    return ModelMetadata(architecture, weights)


def known_metadata(model: HubModel, reason: str, overrides: Mapping[str, Any] = _NONE) -> ModelMetadata | None:
    """Facts of the table of known models; None of others. `reason`: why the hub does not tell them."""
    known = find_known(model)
    if known is None:
        return None
    weights = Weights(known.bytes, known.parameters, f"the workflow's table of models, {known.dated}")
    told = f"its sizes are those of the workflow's own table, of {known.dated:%Y-%m}: {reason}"
    return ModelMetadata(read_architecture(_overridden(known.config, overrides)), weights, told)


def _weights_in(folder: Path, architecture: Architecture) -> Weights:
    """Weights of a folder, by the headers of its safetensors; by the sizes of other files."""
    files = _files_in(folder)
    if not files:
        raise ValueError("no weights")
    if not files[0].name.endswith(".safetensors"):
        return Weights(sum(file.size for file in files), None, f"sizes of {_counted(len(files), 'file')}")
    tensors = [tensor for file in files for tensor in read_header(folder / file.name)]
    return _weights_of(tensors, len(files), architecture, "")


def _files_in(folder: Path) -> list[RemoteFile]:
    return weight_files([RemoteFile(path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file()])


def _weights_of(tensors: list[Tensor], files: int, architecture: Architecture, where: str) -> Weights:
    modules = find_modules(tensors, architecture)
    shared_out = "" if modules else ", shared out over GPUs by config.json"
    return Weights(
        sum(tensor.bytes for tensor in tensors),
        count_parameters(tensors, architecture),
        f"headers of {_counted(files, 'safetensors file')}{where}{shared_out}",
        modules,
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
