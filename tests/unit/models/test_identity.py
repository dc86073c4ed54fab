"""The identity of a model follows what decides its answers, and nothing else."""

import shutil
from pathlib import Path

import pytest

from campaign.config import ModelConfig
from campaign.core.errors import PlanRefused
from campaign.models.identity import folder_digest, model_identity
from campaign.models.model_check import check_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(bytes(range(256)) * 40_000)  # 10 MB: larger than what is read whole
    return path


def test_a_moved_folder_is_the_same_model(folder: Path, tmp_path: Path) -> None:
    before = folder_digest(folder)
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    assert folder_digest(moved) == before


def test_other_weights_of_the_same_size_are_another_model(folder: Path) -> None:
    before = folder_digest(folder)
    (folder / "model.safetensors").write_bytes(bytes(reversed(range(256))) * 40_000)
    assert folder_digest(folder) != before


def test_another_tokenizer_is_another_model(folder: Path) -> None:
    before = folder_digest(folder)
    (folder / "tokenizer.json").write_text("{}")
    assert folder_digest(folder) != before


def test_speed_settings_do_not_change_the_identity() -> None:
    plain = ModelConfig(source="x")
    fast = ModelConfig(source="x", tensor_parallel=2, vllm={"max_num_seqs": 64, "enforce-eager": True}, env={"A": "1"})
    assert model_identity("r", plain) == model_identity("r", fast)


@pytest.mark.parametrize("change", [{"dtype": "float32"}, {"quantization": "fp8"}, {"vllm": {"--chat-template": "t.jinja"}}])
def test_answer_settings_change_the_identity(change: dict[str, object]) -> None:
    assert model_identity("r", ModelConfig(source="x")) != model_identity(
        "r", ModelConfig.model_validate({"source": "x", **change})
    )


def problems(source: Path | str) -> list[str]:
    return check_model("m", ModelConfig(source=str(source)))


def test_a_whole_folder_has_no_problem(folder: Path) -> None:
    assert problems(folder) == []


def test_a_missing_folder_is_named_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "smollm2-135m").mkdir()
    assert problems(tmp_path / "smolm2-135m")[0].endswith(f"; did you mean {tmp_path / 'smollm2-135m'}?")
    assert problems(tmp_path / "none")[0].startswith(f"models.m.source: there is no folder {tmp_path / 'none'}")


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "holds no weights" in problems(folder)[0]


def test_a_half_downloaded_model_is_refused(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}'
    )
    assert "1 of 2 weight files are missing (model-2.safetensors ...)" in problems(folder)[0]


def test_a_broken_config_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert "is not JSON" in problems(folder)[0]


def test_staging_refuses_what_the_check_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from campaign.config import validate
    from campaign.models.stage import stage_model

    monkeypatch.chdir(tmp_path)
    datasets = {"d": {"files": ["a.csv"], "prompt": "x", "models": ["m"]}}
    config = validate({"campaign": "c", "models": {"m": {"source": "nowhere"}}, "datasets": datasets})
    with pytest.raises(PlanRefused, match="there is no folder nowhere"):
        stage_model(config, "m")
