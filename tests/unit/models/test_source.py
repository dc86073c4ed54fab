"""What `source` means, without looking at a disk."""

from pathlib import Path

import pytest

from campaign.models.source import Folder, HubModel, Source, find_source, shared_models

SHARED = Path("/llm/hf-transformers")


def found(source: str, *there: str, revision: str | None = None) -> Source:
    return find_source(source, revision, SHARED, lambda path: str(path) in there)


def test_a_path_that_exists_is_a_folder_even_if_it_looks_like_a_hub_id() -> None:
    there = ("acme/tiny", "/llm/hf-transformers/acme/tiny/config.json")
    assert found("acme/tiny", *there) == Folder(Path("acme/tiny"))


@pytest.mark.parametrize("copy", ["acme/tiny", "tiny"])
def test_the_clusters_copy_is_used_as_it_is(copy: str) -> None:
    assert found("acme/tiny", f"/llm/hf-transformers/{copy}/config.json") == Folder(SHARED / copy)
    assert found(copy, f"/llm/hf-transformers/{copy}/config.json") == Folder(SHARED / copy)


def test_a_copy_of_unknown_commit_does_not_stand_for_a_named_one() -> None:
    there = "/llm/hf-transformers/tiny/config.json"
    assert found("acme/tiny", there, revision="v2") == HubModel("acme/tiny", "v2")
    assert found("acme/tiny", there, revision="main") == Folder(SHARED / "tiny")


def test_a_hub_id_is_org_and_name() -> None:
    assert found("meta-llama/Llama-3.1-8B-Instruct") == HubModel("meta-llama/Llama-3.1-8B-Instruct", "main")


@pytest.mark.parametrize("source", ["tiny", "./tiny", "../a", "/a/b", "a/b/c", "a//b", "~/models", "a/", "a/../b", "a b/c"])
def test_anything_else_is_a_folder_that_is_missing(source: str) -> None:
    assert found(source) == Folder(Path(source))


def test_shared_copies_are_where_the_cluster_says() -> None:
    assert shared_models({"CURC_LLM_DIR": "/llm"}) == SHARED
    assert shared_models({}) is None
    assert shared_models({"CURC_LLM_DIR": ""}) is None
