"""Config files that YAML does not read as they were meant."""

from pathlib import Path

import pytest

from campaign.config.yaml_file import read_yaml, refuse_keys_twice
from campaign.controller import dag
from campaign.core.errors import ConfigError


def problems_of(text: str, in_tmp: Path) -> list[str]:
    Path("c.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(Path("c.yaml"))
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", ["a stands twice, in lines 1 and 3"]),
        ("models:\n  m: {x: 1}\n  n: {x: 1}\n  m: {x: 2}\n", ["models.m stands twice, in lines 2 and 4"]),
        ("d:\n  - {from: a, from: b}\n", ["d[0].from stands twice, in lines 2 and 2"]),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', ["b.c stands twice"]),
    ],
)
def test_a_key_that_stands_twice_is_refused(text: str, told: list[str], in_tmp: Path) -> None:
    """YAML takes the last one: a model with its own settings would be replaced by another, and nobody told."""
    found = problems_of(text, in_tmp)
    assert [problem.startswith(f"c.yaml: {words}") for problem, words in zip(found, told, strict=True)] == [True]
    with pytest.raises(ConfigError):
        dag.load({"campaign": "c"}, on_slurm=False, main=True, files=[Path("c.yaml")])


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {k: 1}\nb: {<<: *x, l: 2}\nc: *x\n",
        "a: &x {k: 1}\nb: &y {l: 1}\nc:\n  <<: *x\n  <<: *y\n",
        "a: {k: 1}\nb: {k: 1}\n",
        "__use_yte__: true\n?if A:\n  a: 1\n?else:\n  a: 2\na: 1\na: 2\n",
    ],
)
def test_what_stands_once_in_each_place_is_fine(text: str, in_tmp: Path) -> None:
    Path("c.yaml").write_text(text)
    assert read_yaml(Path("c.yaml"))
    refuse_keys_twice([Path("c.yaml")])


def test_what_is_no_yaml_is_left_to_snakemake(in_tmp: Path) -> None:
    Path("c.yaml").write_text("a: [")
    refuse_keys_twice([Path("c.yaml"), Path("none.yaml")])


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("a:\n\tb: 1\n", "put spaces in place of the tab"),
        ("a: {{ text }}\n", "put the template in quotes"),
        ("a: [", "cannot be read"),
        ("", "holds no keys"),
        ("- a\n", "holds no keys"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_remedy(text: str, remedy: str, in_tmp: Path) -> None:
    (problem,) = problems_of(text, in_tmp)
    assert remedy in problem
