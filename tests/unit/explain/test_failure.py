"""The sentence of a failure, and whether another start could help."""

from pathlib import Path

import pytest

from campaign.explain import failure_of, findings_in, logs_of_start, sentence_of, sentence_of_state


def test_the_sentence_names_cause_remedy_and_place(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("torch.OutOfMemoryError: CUDA out of memory.\nvllm.v1.engine.exceptions.EngineDeadError: EngineCore died\n")
    failure = failure_of([log])
    assert failure.sentence.startswith("The GPU's memory is used up. To mend it: lower gpu_memory_utilization")
    assert failure.sentence.endswith(f"(log: {log}:1)")
    assert failure.verdict == "permanent"


def test_an_unknown_exception_is_shown_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("starting\nRuntimeError: something odd\n\n")
    assert failure_of([log]).sentence.startswith("RuntimeError: something odd. To mend it: no known failure")
    assert failure_of([log]).verdict == "again"


def test_without_evidence_the_last_line_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("starting\nsomething odd\n\n")
    failure = failure_of([log])
    assert ("something odd" in failure.sentence, failure.known, failure.verdict) == (True, False, "again")
    log.write_text("")
    assert "it wrote nothing" in failure_of([log]).sentence
    assert "it wrote nothing" in failure_of([]).sentence
    assert "cannot be read" in failure_of([tmp_path / "none.log"]).sentence


@pytest.mark.parametrize(
    "before",
    ["failed: The server of m is failed. ", "2026-11-01 10:00:00,123 ERROR failed: ", "campaign: The server of m is failed. "],
)
def test_a_log_of_our_own_tells_what_was_explained(before: str, tmp_path: Path) -> None:
    engine, ours = tmp_path / "engine.log", tmp_path / "ready.log"
    engine.write_text("RuntimeError: CUDA error: uncorrectable ECC error encountered\n")
    failure = failure_of([engine])
    ours.write_text(f"waiting\n{before}{failure.sentence}\n")
    (told,) = findings_in([ours])
    (first,) = findings_in([engine])
    assert (told.name, told.sentence, told.verdict) == ("ecc", first.sentence, "another_node")


def test_the_logs_of_one_start(tmp_path: Path) -> None:
    for name in ("r-engine-1.log", "r-engine-2.log", "r-2-ray-n1.log", "r-2-srun-n1.log", "r-1-ray-n1.log", "q-engine-2.log"):
        (tmp_path / name).touch()
    assert [path.name for path in logs_of_start(tmp_path, "r", 2)] == ["r-engine-2.log", "r-2-ray-n1.log", "r-2-srun-n1.log"]
    assert logs_of_start(tmp_path, "s", 1) == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("TIMEOUT", "The job reached its walltime."),
        ("OUT_OF_MEMORY", "The job used more of the host's memory"),
        ("NODE_FAIL", "A node of the job failed."),
        ("PREEMPTED", "Slurm took the node away"),
        ("COMPLETED", None),
        ("FAILED", None),
        ("CANCELLED by 1000", None),
    ],
)
def test_a_state_of_slurm_is_explained(state: str, words: str | None) -> None:
    sentence = sentence_of_state(state)
    assert (sentence is None) if words is None else (sentence or "").startswith(words)


@pytest.mark.parametrize(("text", "known"), [("RuntimeError: No CUDA GPUs are available", True), ("RuntimeError: odd", False)])
def test_only_what_is_known_is_added_to_an_answer(text: str, known: bool) -> None:
    assert (sentence_of(text) is not None) is known
