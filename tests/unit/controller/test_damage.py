"""Outputs that are no more what their phase made are put aside before Snakemake looks; whole ones stay."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign.config import CampaignConfig
from campaign.controller import damage, run
from campaign.controller.damage import put_damaged_aside
from campaign.core import lock
from campaign.core.errors import ClusterError, StorageError
from campaign.core.files import write_atomic, write_json
from campaign.requests.shards import shard_path
from campaign.slurm import client as slurm
from campaign.slurm import snakemake_runs
from support.files import read_json
from support.queued import MODEL, Trial, rows


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


@pytest.mark.parametrize("name", ["manifest", "pending", "collected", "plan", "report"])
def test_a_link_to_nothing_is_removed(name: str, finished: Trial, caplog: pytest.LogCaptureFixture) -> None:
    path = _outputs(finished.config)[name]
    path.unlink()
    path.symlink_to("/scratch/gone")
    put_damaged_aside(finished.config)
    assert not path.is_symlink()
    assert f"{path} is a link to /scratch/gone" in caplog.text


def test_a_part_that_is_a_link_to_nothing_is_not_asked_again_unsaid(finished: Trial) -> None:
    """Snakemake took it for there: the run ended well, with fewer rows."""
    part = next(finished.config.paths.responses.rglob("part-*"))
    part.unlink()
    part.symlink_to("/archive/gone")
    with pytest.raises(StorageError, match="is a link to /archive/gone, which is not there"):
        put_damaged_aside(finished.config)
    assert part.is_symlink()


def _files(config: CampaignConfig) -> dict[str, Path]:
    """One file of each kind that decides nothing by itself: whoever made it makes it again."""
    paths, one = config.paths, config.paths.allocation(MODEL, 0)
    return {
        **_outputs(config),
        **{"lock": paths.lock, "config": paths.config, "last_collected": paths.last_collected, "runs": paths.snakemake_runs},
        **{"server": one.server_state, "key": one.api_key, "events": one.events, "info": one.connection_info},
        **{
            "holder": one.holder(3),
            "ready": one.marker("ready"),
            "gpus": one.gpus / "n.json",
            "awaited": paths.awaited("m", 1),
        },
        **{"lease": paths.leases(MODEL) / "d-00001.g1", "shard": shard_path(paths.request_shards("d"), 1)},
    }


_NO_FILES: dict[str, Callable[[Path], object]] = {
    "folder": Path.mkdir,
    "folder that is not empty": lambda path: (path / "in").mkdir(parents=True),
    "circle": lambda path: path.symlink_to(path.name),
    "link to a folder": lambda path: path.symlink_to("/tmp"),
    "pipe": os.mkfifo,
}


@pytest.mark.parametrize("what", _NO_FILES)
def test_what_is_no_file_is_put_aside(what: str, finished: Trial, caplog: pytest.LogCaptureFixture) -> None:
    """A sync tool or a slip of the mouse: reading failed, or never ended, and the same command with it."""
    for path in (files := _files(finished.config)).values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        _NO_FILES[what](path)
    put_damaged_aside(finished.config)
    assert [name for name, path in files.items() if os.path.lexists(path)] == []
    assert [name for name, path in files.items() if str(path) not in caplog.text] == []
    before = finished.asked.total()
    finished.run()
    assert finished.asked.total() == before


def test_what_was_put_aside_twice_is_kept_twice(finished: Trial) -> None:
    plan = finished.config.paths.plan
    for _ in range(2):
        plan.unlink(missing_ok=True)
        (plan / "in").mkdir(parents=True)
        put_damaged_aside(finished.config)
    plan.write_bytes(b"")
    put_damaged_aside(finished.config)
    assert len(list(plan.parent.glob(".plan.json.*damaged"))) == 3


def test_folders_that_belong_there_and_links_to_files_stay(finished: Trial, tmp_path: Path) -> None:
    paths = finished.config.paths
    paths.plan.rename(tmp_path / "elsewhere.json")
    paths.plan.symlink_to(tmp_path / "elsewhere.json")
    (paths.root / "mine.parquet").mkdir()
    before = sorted(paths.root.rglob("*"))
    put_damaged_aside(finished.config)
    assert sorted(paths.root.rglob("*")) == before


def test_a_second_copy_of_a_part_is_put_aside(finished: Trial, caplog: pytest.LogCaptureFixture) -> None:
    """As sync tools leave it: whoever read the folder had these rows twice, and the campaign was called finished."""
    part = finished.shards()[1].part
    copy = part.with_name(f"{part.stem} (conflicted copy).parquet")
    other = finished.config.paths.responses / f"model={MODEL} (1)" / "dataset=d" / part.name
    other.parent.mkdir(parents=True)
    for path in (copy, other):
        path.write_bytes(part.read_bytes())
    put_damaged_aside(finished.config)
    assert len(finished.table()) == 8
    assert str(copy) in caplog.text
    assert str(other) in caplog.text
    finished.run()
    assert (len(finished.table()), set(finished.asked.values())) == (8, {1})


def test_parts_stay_where_collect_did_not_note_what_it_saw(finished: Trial) -> None:
    """As in results of earlier versions."""
    path = finished.config.paths.last_collected
    content = read_json(path)
    for counts in content["models"].values():
        del counts["part_bytes"]
    write_json(path, content)
    put_damaged_aside(finished.config)
    assert len(finished.table()) == 8


def test_answers_of_a_model_that_left_the_config_stay_until_the_next_run_of_collect(finished: Trial) -> None:
    finished.raw["models"]["other"] = {"source": "s"}
    finished.identities["other"] = "other"
    finished.raw["datasets"]["d"]["models"] = [MODEL, "other"]
    finished.run()
    finished.raw["datasets"]["d"]["models"] = [MODEL]
    put_damaged_aside(finished.config)
    assert len(finished.table()) == 16


@pytest.mark.parametrize("kind", ["folder", "circle", "pipe"])
def test_what_is_no_part_and_no_journal_is_put_aside(kind: str, trial: Callable[..., Trial]) -> None:
    campaign = trial(8)
    campaign.prepare()
    campaign.enqueue()
    campaign.answer(campaign.queue(), at_most=4)
    part, journal = campaign.find("responses/*/*/*.parquet")[0], campaign.find("journals/*/*/*/*.jsonl")[0]
    for path in (part, journal):
        path.unlink()
        _NO_FILES[kind](path)
    put_damaged_aside(campaign.config)
    assert campaign.run()["rows"] == 8
    assert sorted(campaign.asked.values()) == [1, 1, 1, 1, 2, 2, 2, 2]
    assert len(campaign.table()) == 8


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


@pytest.mark.parametrize("told", ["running_token", "is_taken"])
def test_nothing_is_moved_while_a_snakemake_runs_the_campaign(
    told: str, finished: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, or on a host to which the file system carries no lock."""
    finished.config.paths.pending(MODEL).write_bytes(b"")
    monkeypatch.setattr(lock, told, lambda _: "another")
    put_damaged_aside(finished.config)
    assert finished.config.paths.pending(MODEL).exists()


@pytest.mark.parametrize("jobs", [["one"], ClusterError("no answer"), []], ids=["alive", "silent", "none"])
def test_nothing_is_moved_beside_jobs_of_an_earlier_run(jobs: Any, finished: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def jobs_named(names: list[str], _: float) -> list[str]:
        asked.append(names)
        if isinstance(jobs, ClusterError):
            raise jobs
        found: list[str] = jobs
        return found

    monkeypatch.setattr(slurm, "jobs_named", jobs_named)
    on_slurm = finished.config.model_copy(update={"site": "alpine"})
    snakemake_runs.remember_run(on_slurm.paths, {"t": 1.0, "slurm_run": "run", "host": "h", "pid": 1})
    put_damaged_aside(on_slurm)
    assert not asked  # nothing is damaged
    part = finished.shards()[1].part
    part.write_bytes(part.read_bytes()[:-7])
    on_slurm.paths.plan.write_bytes(b"")
    put_damaged_aside(on_slurm)
    assert asked == [["run"]]
    assert (part.exists(), on_slurm.paths.plan.exists()) == (bool(jobs), bool(jobs))


@pytest.mark.parametrize(("error", "stays"), [(OSError(errno.EIO, "I/O error"), True), (OSError("no footer"), False)])
def test_a_table_that_cannot_be_read_just_now_is_no_damage(
    error: OSError, stays: bool, finished: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_metadata(path: Path) -> None:
        raise error if path.exists() else FileNotFoundError

    finished.config.paths.benchmarks.write_bytes(b"PAR1 and so on PAR1")
    monkeypatch.setattr(damage.pq, "read_metadata", read_metadata)
    put_damaged_aside(finished.config)
    assert finished.config.paths.benchmarks.exists() is stays


def test_leases_that_name_nobody_go_once_the_campaign_is_taken(finished: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    leases = finished.config.paths.leases(MODEL)
    write_atomic(leases / "d-00001.g7", b"")
    put_damaged_aside(finished.config)
    assert (leases / "d-00001.g7").exists()
    monkeypatch.setattr(run, "check_plan", lambda _, profile: None)
    monkeypatch.setenv(run.ROOT_VARIABLE, "")  # given back as it was
    monkeypatch.setattr(lock, "acquire", lambda _: "token")
    run.start_campaign(finished.config)
    assert not (leases / "d-00001.g7").exists()
