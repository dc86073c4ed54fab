"""What stands where a campaign's folders go is refused by name, before anything is started."""

import os
from pathlib import Path

import pytest

from campaign.core.paths import CampaignPaths
from campaign.plan.checks.folders import check_folders


@pytest.fixture
def paths(in_tmp: Path) -> CampaignPaths:
    return CampaignPaths("c", Path("results"))


def test_nothing_is_there_or_all_of_it(paths: CampaignPaths) -> None:
    assert check_folders(paths) == []
    for folder in (paths.root, paths.logs, Path("resources"), Path(".snakemake")):
        folder.mkdir(parents=True)
    assert check_folders(paths) == []


def test_read_only_folders(paths: CampaignPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere, so the answer of the kernel is given here.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert check_folders(paths) == [
        "campaign: . cannot be written; make it writable or run from another folder",
        "logs: . cannot be written; make it writable or run from another folder",
    ]


def test_models_may_lie_in_a_folder_that_others_may_only_read(paths: CampaignPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("resources").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != Path("resources"))
    assert check_folders(paths) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("results", "campaign: results is a file where the results folder goes; move it away or name the campaign otherwise"),
        ("logs", "logs: logs is a file where the logs folder goes; move it away"),
        ("resources", "resources: resources is a file where the resources folder goes; move it away"),
        (".snakemake", ".snakemake: .snakemake is a file where the .snakemake folder goes; move it away"),
    ],
)
def test_a_file_in_the_way(name: str, said: str, paths: CampaignPaths) -> None:
    Path(name).write_text("")
    assert check_folders(paths) == [said]


@pytest.mark.parametrize("name", ["results", "logs", "resources"])
def test_a_link_to_what_is_gone(name: str, paths: CampaignPaths) -> None:
    """Of a scratch file system that was purged, or is not mounted here."""
    Path(name).symlink_to("/scratch/gone")
    (said,) = check_folders(paths)
    assert f"{name} is a link to /scratch/gone, which is not there" in said
