"""Outputs that are no more what their phase made are put aside before Snakemake looks; whole ones stay."""

from collections.abc import Callable
from pathlib import Path

import pytest

from campaign import lock
from campaign.config import CampaignConfig
from campaign.damage import put_damaged_aside
from campaign.files import read_json, write_atomic, write_json
from campaign.requests.shards import shard_path

from .conftest import MODEL, Trial, rows


@pytest.fixture
def finished(trial: Callable[..., Trial]) -> Trial:
    campaign = trial(8)
    campaign.run()
    write_json(campaign.config.paths.plan, {"made": 1.0, "models": {}})
    write_atomic(campaign.config.paths.report, b"<html></html>\n")
    return campaign


def _outputs(config: CampaignConfig) -> dict[str, Path]:
    paths = config.paths
    return {
        "manifest": paths.manifest("d"),
        "identity": paths.model_identity(MODEL),
        "pending": paths.pending(MODEL),
        "collected": paths.collected,
        "plan": paths.plan,
        "report": paths.report,
    }


def _below(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


def test_a_whole_campaign_is_left_alone(finished: Trial) -> None:
    before = _below(finished.config.paths.root)
    put_damaged_aside(finished.config)
    assert _below(finished.config.paths.root) == before


@pytest.mark.parametrize("content", [b"", b"\x00garbage", b"null", b'{"rows": 8, "sha'])
@pytest.mark.parametrize("name", ["manifest", "identity", "pending", "collected", "plan", "report"])
def test_a_damaged_output_is_put_aside(name: str, content: bytes, finished: Trial, caplog: pytest.LogCaptureFixture) -> None:
    path = _outputs(finished.config)[name]
    path.write_bytes(content)
    before = _below(finished.config.paths.root)
    put_damaged_aside(finished.config)
    aside = path.with_name(f".{path.name}.damaged")
    assert _below(finished.config.paths.root) == before - {path} | {aside}
    assert aside.read_bytes() == content
    assert str(path) in caplog.text


@pytest.mark.parametrize("bytes_left", [None, 0, 100])
def test_requests_that_lost_bytes_are_rendered_again(bytes_left: int | None, finished: Trial) -> None:
    shard = shard_path(finished.config.paths.request_shards("d"), 1)
    if bytes_left is None:
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:bytes_left])
    put_damaged_aside(finished.config)
    assert not finished.config.paths.manifest("d").exists()
    finished.run()
    assert set(finished.asked.values()) == {1}


def test_a_manifest_of_before_tells_no_sizes(finished: Trial) -> None:
    manifest = finished.config.paths.manifest("d")
    old = read_json(manifest)
    del old["schema_version"]
    for entry in old["shards"]:
        del entry["bytes"]
    write_json(manifest, old)
    put_damaged_aside(finished.config)
    assert manifest.exists()


def test_a_part_that_lost_bytes_is_asked_again_and_no_other(finished: Trial) -> None:
    part = finished.shards()[1].part
    part.write_bytes(part.read_bytes()[:-7])
    put_damaged_aside(finished.config)
    assert not part.exists()
    finished.run()
    assert len(finished.table()) == 8
    assert sorted(finished.asked.values()) == [1, 1, 1, 1, 1, 2, 2, 2]


def test_parts_that_came_after_the_verdict_are_no_damage(finished: Trial) -> None:
    """A prompt was edited, new parts are published, and Ctrl-C came before collect."""
    finished.dataset("d", rows(0, 1, 2, 3, 4, 5, 6, 70_000_000))
    finished.prepare()
    finished.enqueue()
    finished.answer(finished.queue())
    before = _below(finished.config.paths.root)
    put_damaged_aside(finished.config)
    assert _below(finished.config.paths.root) == before
    finished.run()
    assert set(finished.asked.values()) == {1}


def test_nothing_is_moved_while_a_snakemake_runs_the_campaign(finished: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    finished.config.paths.pending(MODEL).write_bytes(b"")
    monkeypatch.setattr(lock, "session_token", lambda _: "another")
    put_damaged_aside(finished.config)
    assert finished.config.paths.pending(MODEL).exists()
