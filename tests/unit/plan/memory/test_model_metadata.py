"""What a model's files tell: headers of safetensors, or the hub's listing."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign.config import ModelConfig
from campaign.core.errors import ModelUnreadable
from campaign.models.hub_access import Access, HubUnreachable
from campaign.models.model_check import check_model
from campaign.models.source import HubModel
from campaign.plan.memory.model_metadata import folder_metadata, hub_metadata, read_metadata, weight_bytes
from campaign.plan.run_checks import diagnose
from support import architectures
from support.hub import Hub, Repository, running_hub

CONFIG = (architectures.FOLDER / "llama-3.2-1b.json").read_bytes()
COMMIT = "a" * 40


def safetensors(*shapes: tuple[int, ...], names: Sequence[str] = ()) -> bytes:
    """A file of 16-bit tensors of these shapes."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for number, shape in enumerate(shapes):
        size = 2
        for length in shape:
            size *= length
        header[names[number] if names else f"t{number}"] = {
            "dtype": "BF16",
            "shape": list(shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = orjson.dumps(header)
    return struct.pack("<Q", len(text)) + text + b"\0" * at


def folder(path: Path, **files: bytes) -> Path:
    (path / "config.json").write_bytes(CONFIG)
    for name, content in files.items():
        (path / name.replace("__", ".")).write_bytes(content)
    return path


def test_what_modelopt_wrote_beside_the_config_counts(tmp_path: Path) -> None:
    """nvidia/Llama-3.1-70B-Instruct-FP8: vLLM reads it, and keeps the cache in 8 bits; twice the tokens have room."""
    stated = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    made = folder(tmp_path, model__safetensors=safetensors((4, 4)), hf_quant_config__json=orjson.dumps(stated))
    found = folder_metadata(made).architecture.quantization
    assert found is not None
    assert (found.method, found.bits, found.cache_in_8_bits, found.multiplies_in_8_bits) == ("modelopt", 8, True, True)
    (made / "config.json").write_bytes(orjson.dumps({**orjson.loads(CONFIG), "quantization_config": {"quant_method": "fp8"}}))
    assert getattr(folder_metadata(made).architecture.quantization, "method", None) == "fp8"


def test_a_config_may_have_what_python_writes_for_infinity(tmp_path: Path) -> None:
    """time_step_limit of Mamba-2: such models were refused, as their config.json were no JSON."""
    made = folder(tmp_path, model__safetensors=safetensors((4, 4)))
    (made / "config.json").write_bytes(CONFIG.rstrip()[:-1] + b', "time_step_limit": [0.0, Infinity]}')
    assert folder_metadata(made).architecture.model_type == "llama"
    assert not check_model("m", ModelConfig(source=str(made)))


@pytest.mark.parametrize(
    ("settings", "known"),
    [({"method": "draft_model"}, True), ({"method": "mtp"}, False), ({"model": "org/name"}, False), ({"model": None}, False)],
)
def test_a_draft_model_in_a_folder_is_read(settings: dict[str, Any], known: bool, tmp_path: Path) -> None:
    """The model itself, too, which is then loaded twice; a module of its own is among its weights."""
    made = folder(tmp_path, model__safetensors=safetensors((4, 4)))
    flags = {"speculative-config": {"model": str(made), "num_speculative_tokens": 2, **settings}}
    model = ModelConfig.model_validate({"source": str(made), "vllm": flags})
    assert (read_metadata(model).draft is not None) is known


@pytest.mark.parametrize(
    "flags", [{"spec-model": "{}"}, {"speculative-config.model": "{}"}, {"speculative-config": '{{"model": "{}"}}'}]
)
def test_a_draft_model_may_be_named_by_several_flags(flags: dict[str, str], tmp_path: Path) -> None:
    made = folder(tmp_path, model__safetensors=safetensors((4, 4)))
    named = {flag: value.format(made) for flag, value in flags.items()}
    assert read_metadata(ModelConfig.model_validate({"source": str(made), "vllm": named})).draft is not None


def test_headers_are_counted(tmp_path: Path) -> None:
    metadata = folder_metadata(
        folder(tmp_path, model1__safetensors=safetensors((10, 20), (5,)), model2__safetensors=safetensors((7, 3)))
    )
    assert (metadata.weights.bytes, metadata.weights.parameters) == (2 * 226, 226)
    assert metadata.weights.source == "headers of 2 safetensors files, shared out over GPUs by config.json"
    assert metadata.architecture.layers == 16


def test_other_files_count_with_their_size(tmp_path: Path) -> None:
    metadata = folder_metadata(folder(tmp_path, pytorch_model__bin=b"x" * 1000))
    assert (metadata.weights.bytes, metadata.weights.parameters) == (1000, None)


@pytest.mark.parametrize("content", [b"", b"weights", struct.pack("<Q", 1 << 40), struct.pack("<Q", 9) + b"{not json"])
def test_what_is_no_safetensors_file(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ModelUnreadable, match="cannot be read"):
        folder_metadata(folder(tmp_path, model__safetensors=content))


@pytest.mark.processes
def test_an_unreadable_model_is_a_warning(stub_config) -> None:
    found = diagnose(stub_config())
    assert found.refusals == []
    (warning,) = found.warnings
    assert warning.startswith("models.stub.source: ")
    assert warning.endswith("its memory is not checked")


@pytest.fixture
def hub(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "CURC_LLM_DIR"):
        monkeypatch.delenv(name, raising=False)
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        files = {"config.json": CONFIG, "model.safetensors": safetensors((100, 100))}
        running.repositories["acme/llama"] = Repository({COMMIT: files}, COMMIT)
        yield running


def test_the_hub_tells_without_a_download(hub: Hub) -> None:
    metadata = read_metadata(ModelConfig(source="acme/llama"))
    assert (metadata.weights.bytes, metadata.weights.parameters) == (20_000, 10_000)
    assert metadata.weights.source.startswith("headers of 1 safetensors file on the hub")
    assert metadata.architecture.layers == 16


def test_a_model_of_many_files_costs_their_headers(hub: Hub) -> None:
    files = {f"model-{number}.safetensors": safetensors((1000, 1000), (number,)) for number in range(1, 5)}
    hub.repositories["acme/llama"].commits[COMMIT] = {"config.json": CONFIG, **files}
    metadata = read_metadata(ModelConfig(source="acme/llama"))
    assert metadata.weights.parameters == 4_000_010
    assert hub.sent <= 4 * (1 << 17) < sum(map(len, files.values()))


def test_headers_that_cannot_be_had_leave_the_sizes_of_the_listing(hub: Hub) -> None:
    hub.repositories["acme/llama"].commits[COMMIT]["model.safetensors"] = b"weights" * 100
    metadata = read_metadata(ModelConfig(source="acme/llama"))
    assert (metadata.weights.bytes, metadata.weights.source) == (700, "1 file listed by the hub")


def test_files_whose_names_show_each_layer_are_known_by_module(tmp_path: Path) -> None:
    names = [f"model.layers.{number}.mlp.up_proj.weight" for number in range(16)]
    metadata = folder_metadata(folder(tmp_path, model__safetensors=safetensors(*((8, 8) for _ in names), names=names)))
    assert metadata.weights.source == "headers of 1 safetensors file"
    assert metadata.weights.modules is not None
    assert {layer.shared.linear for layer in metadata.weights.modules.layers} == {64}


def test_a_hub_that_is_silent(hub: Hub) -> None:
    hub.trouble.silent_s = 1.0
    with pytest.raises(HubUnreachable, match=r"does not answer within|cannot be reached"):
        hub_metadata(HubModel("acme/llama", "main"), Access(hub.url, None), seconds=0.2)


def test_a_config_of_the_hub_that_is_no_json(hub: Hub) -> None:
    hub.repositories["acme/llama"].commits[COMMIT]["config.json"] = b"{"
    with pytest.raises(ModelUnreadable, match="is not JSON"):
        read_metadata(ModelConfig(source="acme/llama"))


@pytest.mark.parametrize("given", [{"max_position_embeddings": 4096}, '{"max_position_embeddings": 4096}'])
def test_what_vllm_puts_into_the_config_counts(tmp_path: Path, given: Any) -> None:
    folder(tmp_path, pytorch_model__bin=b"x")
    model = ModelConfig.model_validate({"source": str(tmp_path), "vllm": {"hf-overrides": given}})
    assert read_metadata(model).architecture.context == 4096
    assert read_metadata(model.model_copy(update={"vllm": {"hf_overrides": "my.function"}})).architecture.context == 131_072


def test_of_a_part_only_what_is_named_is_put_into_the_config(tmp_path: Path) -> None:
    whole = orjson.loads(CONFIG)
    (tmp_path / "config.json").write_bytes(orjson.dumps({"model_type": "llava", "text_config": whole}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    overrides = {"text_config": {"max_position_embeddings": 4096}}
    found = folder_metadata(tmp_path, overrides).architecture
    assert (found.context, found.layers) == (4096, whole["num_hidden_layers"])


def test_weight_files_are_counted_whatever_the_config_says(tmp_path: Path) -> None:
    model = ModelConfig.model_validate({"source": str(tmp_path)})
    assert weight_bytes(model) is None
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1000)
    assert weight_bytes(model) == 1000
    (tmp_path / "model.safetensors").write_bytes(safetensors((40, 50))[:-8])  # as its header says, and not as much as is there
    assert weight_bytes(model) == 4000
    assert weight_bytes(ModelConfig.model_validate({"source": "org/not-here"})) is None
