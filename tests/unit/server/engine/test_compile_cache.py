from pathlib import Path

import pytest

from campaign.server.engine.compile_cache import share_model_infos


def test_what_is_noted_of_a_class_is_there_for_other_settings(tmp_path: Path) -> None:
    first, second = tmp_path / "caches" / "0a", tmp_path / "caches" / "0b"
    share_model_infos(first)
    (first / "modelinfos" / "llama.json").write_text("{}")
    share_model_infos(second)
    assert (second / "modelinfos" / "llama.json").read_text() == "{}"


def test_a_folder_of_before_is_left_as_it_is(tmp_path: Path) -> None:
    cache = tmp_path / "0a"
    (cache / "modelinfos").mkdir(parents=True)
    (cache / "modelinfos" / "llama.json").write_text("{}")
    share_model_infos(cache)
    assert not (cache / "modelinfos").is_symlink()
    assert (cache / "modelinfos" / "llama.json").exists()


def test_a_removed_folder_is_made_again(tmp_path: Path) -> None:
    """Of a link to nothing, vLLM could not make a folder."""
    cache = tmp_path / "0a"
    share_model_infos(cache)
    (tmp_path / "modelinfos").rmdir()
    share_model_infos(cache)
    assert (cache / "modelinfos").is_dir()


def test_it_is_no_reason_not_to_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "modelinfos").write_text("a file")
    with caplog.at_level("INFO"):
        share_model_infos(tmp_path / "0a")
    assert "cannot be shared" in caplog.text
