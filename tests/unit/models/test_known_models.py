"""The table of known models: each file is held against the counts and sizes that are published, or that its config gives."""

import tomllib
from pathlib import Path

import pytest

from campaign.models.known_models import FOLDER, find_known, known_models
from campaign.models.source import HubModel
from campaign.plan.memory.architecture import read_architecture
from campaign.plan.memory.memory_model import estimated_weights
from support import architectures
from support.shipped import ARCHITECTURES

FILES = sorted(FOLDER.glob("*.toml"))
GUIDE = ("meta-llama/Llama-3.1-405B-Instruct", "mistralai/Mixtral-8x22B-Instruct-v0.1", "meta-llama/Llama-3.1-70B-Instruct")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_bytes_and_parameters_are_those_of_the_config(path: Path) -> None:
    row = tomllib.loads(path.read_text())
    counted = estimated_weights(read_architecture(row["config"]))
    assert counted.parameters == pytest.approx(row["parameters"], rel=0.001)
    assert counted.bytes == pytest.approx(row["bytes"], rel=0.001)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_says_where_it_is_from(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert tomllib.loads(text)["dated"].year >= 2026


def test_no_model_is_in_two_files() -> None:
    assert len(known_models()) == sum(len(tomllib.loads(path.read_text())["models"]) for path in FILES)


@pytest.mark.parametrize("source", [*ARCHITECTURES, *GUIDE])
def test_what_is_shipped_and_what_the_guide_names(source: str) -> None:
    assert find_known(HubModel(source, "main")) is not None


@pytest.mark.parametrize("source", ARCHITECTURES)
def test_it_is_the_published_config(source: str) -> None:
    """Of the Mixtral there is only the base model's config, with a smaller vocabulary."""
    known = find_known(HubModel(source, "main"))
    assert known is not None
    published = architectures.architecture(ARCHITECTURES[source])
    found = read_architecture(known.config)
    assert (found.blocks, found.kv_heads, found.context) == (published.blocks, published.kv_heads, published.context)
    assert found.quantization == published.quantization
    assert found.parameters == pytest.approx(published.parameters, rel=0.0001)


def test_a_commit_is_known_and_a_branch_is_not() -> None:
    assert find_known(HubModel(GUIDE[0], "0" * 40)) is not None
    assert find_known(HubModel(GUIDE[0], "int4")) is None
    assert find_known(HubModel("acme/llama", "main")) is None
