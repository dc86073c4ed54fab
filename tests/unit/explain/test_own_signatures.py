"""Signatures of users in config/signatures.toml: they go before the built-in ones, and a mistake is told with its place."""

from pathlib import Path

import pytest

from campaign.core.errors import ConfigError
from campaign.explain import ServerFailure, failure_of, findings, own_signatures, signature_problems
from campaign.explain.own_signatures import USERS

GOOD = """
[[signatures]]
name = "licence_server"
pattern = 'no licence of (?P<what>\\w+) left'
cause = "The licence server has no licence of {what} left."
remedy = "wait, or ask the support for more"
verdict = "again"

[[signatures]]
name = "our_gpus"
pattern = 'CUDA out of memory'
cause = "Our GPUs are small."
remedy = "take the large ones"
verdict = "another_node"
"""


def write(text: str) -> None:
    USERS.parent.mkdir(exist_ok=True)
    USERS.write_text(text)


def test_they_go_before_the_built_in_ones(in_tmp: Path) -> None:
    write(GOOD)
    own = own_signatures()
    (first,) = findings("RuntimeError: no licence of matlab left", own)
    assert (first.name, first.cause) == ("licence_server", "The licence server has no licence of matlab left.")
    assert findings("torch.OutOfMemoryError: CUDA out of memory.", own)[0].name == "our_gpus"


def test_a_supervisor_takes_them(in_tmp: Path) -> None:
    write(GOOD)
    Path("engine.log").write_text("RuntimeError: no licence of matlab left\n")
    assert failure_of([Path("engine.log")]) == ServerFailure(
        "The licence server has no licence of matlab left. To mend it: wait, or ask the support for more (log: engine.log:1)",
        "again",
    )


@pytest.mark.parametrize("missing", ["name", "pattern", "cause", "remedy", "verdict"])
def test_each_part_has_to_be_there(in_tmp: Path, missing: str) -> None:
    lines = GOOD.split("\n\n")[0].splitlines()
    write("\n".join(line for line in lines if not line.startswith(f"{missing} =")))
    (problem,) = signature_problems()
    assert problem.startswith("config/signatures.toml, signature 1")
    assert f"{missing} is missing" in problem


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('verdict = "again"', "verdict 'perhaps' is none of permanent, again, another_node"),
        ("pattern = 'CUDA out of memory'", "signature 2 (our_gpus): pattern is no regular expression of Python: missing )"),
        ('name = "our_gpus"', "two signatures are called 'licence_server'"),
        ('cause = "Our GPUs are small."', "cause has to be a text"),
        ('remedy = "take the large ones"', "remody is unknown"),
    ],
)
def test_a_mistake_is_told_with_its_place(in_tmp: Path, wrong: str, told: str) -> None:
    mistakes = {
        'verdict = "again"': 'verdict = "perhaps"',
        "pattern = 'CUDA out of memory'": "pattern = 'CUDA ('",
        'name = "our_gpus"': 'name = "licence_server"',
        'cause = "Our GPUs are small."': "cause = 5",
        'remedy = "take the large ones"': 'remedy = "x"\nremody = "x"',
    }
    write(GOOD.replace(wrong, mistakes[wrong]))
    assert any(told in problem for problem in signature_problems())
    with pytest.raises(ConfigError, match="cannot be used"):
        own_signatures()


def test_what_is_no_toml_is_told(in_tmp: Path) -> None:
    write("[[signatures]\n")
    assert "config/signatures.toml cannot be read as TOML" in signature_problems()[0]
    write("[failures]\n")
    assert "each signature begins with [[signatures]]" in signature_problems()[0]


def test_a_pattern_that_fits_everything_is_refused(in_tmp: Path) -> None:
    write(GOOD.replace("CUDA out of memory", "(?:x)*"))
    assert "it fits every line" in signature_problems()[0]


def test_a_mistake_does_not_end_a_server(in_tmp: Path) -> None:
    write("[[signatures]\n")
    Path("engine.log").write_text("RuntimeError: No CUDA GPUs are available\n")
    assert failure_of([Path("engine.log")]).verdict == "permanent"


def test_without_a_file_there_are_those_of_the_sites(in_tmp: Path) -> None:
    assert signature_problems() == []
    assert {signature.name for signature in own_signatures()} >= {"alpine_one_node", "alpine_qos"}
