"""Signatures of users in config/signatures.toml: they go before the built-in ones, and a mistake is told with its place."""

from pathlib import Path

import pytest

from campaign.core.errors import ConfigError
from campaign.explain import ServerFailure, Signature, failure_of, findings, own_signatures, signature_problems, site_signatures
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


BARE = ("no licence of matlab left", "lmgrd: no licence of matlab left", "lmgrd: ERROR no licence of matlab left")
SOFT = (
    "INFO 10-21 09:10:35 [core.py:77] no licence of matlab left",
    "(Worker_TP0 pid=5) WARNING 10-21 09:10:35 [core.py:77] lmgrd: no licence of matlab left",
    "2026-11-01 10:00:00,123 WARNING no licence of matlab left",
)


def named(text: str, own: tuple[Signature, ...]) -> list[tuple[str, int | None]]:
    return [(finding.name, finding.line_number) for finding in findings(text, own)]


@pytest.mark.parametrize("line", [*BARE, *SOFT])
def test_a_quiet_one_is_found_in_a_line_of_any_level(in_tmp: Path, line: str) -> None:
    write(GOOD.replace('verdict = "again"', 'verdict = "again"\nquiet = true'))
    assert named(f"loading\n{line}\nbye", own_signatures()) == [("licence_server", 2)]


def test_one_that_is_not_quiet_is_found_in_lines_without_a_level_alone(in_tmp: Path) -> None:
    write(GOOD)
    assert [named(line, own_signatures()) for line in BARE] == [[("licence_server", 1)]] * len(BARE)
    assert [named(line, own_signatures()) for line in SOFT] == [[]] * len(SOFT)


def test_the_same_words_of_level_info_before_hide_no_error(in_tmp: Path) -> None:
    write(GOOD.replace("no licence", "cannot get a licence"))
    words = "cannot get a licence of matlab left"
    text = f"INFO 10-21 09:10:35 [core.py:77] {words}\nERROR 10-21 09:10:36 [core.py:78] {words}"
    assert named(text, own_signatures()) == [("licence_server", 2)]


def test_one_is_found_behind_many_lines_that_sound_like_errors(in_tmp: Path) -> None:
    write(GOOD)
    words = ("".join(chr(97 + number // 26**place % 26) for place in range(3)) for number in range(800))
    noise = "\n".join(f"cannot find {word}" for word in words)
    assert named(f"{noise}\nno licence of matlab left", own_signatures()) == [("licence_server", 801)]


def test_one_is_found_between_the_frames_of_another_process(in_tmp: Path) -> None:
    write(GOOD)
    text = 'Traceback (most recent call last):\n  File "x.py", line 1\n[lmgrd] no licence of matlab left\n    f()\nKeyError: 3'
    assert ("licence_server", 3) in named(text, own_signatures())


def test_flags_and_backreferences_of_a_pattern_are_kept(in_tmp: Path) -> None:
    write(GOOD.replace(r"'no licence of (?P<what>\w+) left'", r"'(?i)no (?P<what>\w+) for a (?P=what)'"))
    assert named("No Licence for a LICENCE", own_signatures()) == [("licence_server", 1)]


def test_those_of_a_cluster_are_found_in_lines_without_alarming_words() -> None:
    assert named("You are requesting `64` CPUs, which exceeds the maximum allowed of `21`", site_signatures()) != []
    assert named("All GPU jobs are limited to 1 node", site_signatures()) != []
    assert named("The `aa100` partition accepts the following QoS values: a, b", site_signatures()) != []


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
