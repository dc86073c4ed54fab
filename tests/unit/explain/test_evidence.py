"""Which of several exceptions is the cause, and what is no evidence at all."""

from pathlib import Path

import pytest

from campaign.explain import findings, findings_in

WORKER = "(Worker_TP1 pid=3) ERROR 10-21 09:11:40 [multiproc_executor.py:953] "
ENGINE = "(EngineCore_DP0 pid=2) ERROR 10-21 09:11:47 [core.py:708] "
SERVER = "(APIServer pid=1) "


def traceback(prefix: str, *exception: str) -> str:
    lines = [
        "Traceback (most recent call last):",
        '  File "/x/vllm/worker.py", line 5, in load_model',
        "    load()",
        *exception,
    ]
    return "".join(f"{prefix}{line}\n" for line in lines)


def names(text: str) -> list[str]:
    return [finding.name for finding in findings(text)]


def test_the_innermost_process_tells_the_cause() -> None:
    """Whatever the outer ones say, and known or not."""
    text = traceback(SERVER, "RuntimeError: Engine core initialization failed. See root cause above.")
    text += traceback(ENGINE, "torch.OutOfMemoryError: CUDA out of memory.") + traceback(WORKER, "ValueError: something odd")
    (first, *_) = findings(text)
    assert (first.name, first.verdict, first.cause) == ("exception", "again", "ValueError: something odd.")


def test_the_first_of_equal_processes_is_the_cause() -> None:
    text = traceback(WORKER, "OSError: [Errno 28] No space left on device")
    text += traceback(WORKER.replace("TP1 pid=3", "TP0 pid=4"), "ValueError: lost the other one")
    assert names(text)[0] == "disk_full"


def test_tracebacks_of_processes_that_write_at_once_are_kept_apart() -> None:
    first = traceback(WORKER, "ValueError: one").splitlines()
    second = traceback(WORKER.replace("TP1 pid=3", "TP0 pid=4"), "KeyError: 'two'").splitlines()
    text = "\n".join(line for pair in zip(first, second, strict=True) for line in pair)
    assert {finding.cause for finding in findings(text)} == {"ValueError: one.", "KeyError: 'two'."}


def test_a_chain_has_one_cause() -> None:
    direct = "\nThe above exception was the direct cause of the following exception:\n\n"
    handled = "\nDuring handling of the above exception, another exception occurred:\n\n"
    one, two = traceback("", "ValueError: one"), traceback("", "RuntimeError: two")
    assert [finding.cause for finding in findings(one + direct + two)] == ["ValueError: one."]
    assert [finding.cause for finding in findings(one + handled + two)] == ["RuntimeError: two."]
    known = traceback("", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert names(one + handled + known) == ["load_out_of_memory"]  # the frames say where


def test_the_exceptions_of_a_group_are_its_causes() -> None:
    text = """\
  + Exception Group Traceback (most recent call last):
  |   File "/e/starlette/_utils.py", line 87, in collapse_excgroups
  |     yield
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
"""
    within = "    | " + traceback("", "{exception}").rstrip().replace("\n", "\n    | ") + "\n    +--------------\n"
    known, unknown = (text + within.format(exception=words) for words in ("OSError: [Errno 24]", "ValueError: something odd"))
    assert names(known)[0] == "open_files"
    assert findings(unknown)[0].cause == "ValueError: something odd."


def test_an_exception_that_says_nothing_is_shown_with_its_code() -> None:
    (finding,) = findings(traceback(ENGINE, "AssertionError"))
    assert finding.cause == 'AssertionError: load() (File "/x/vllm/worker.py", line 5, in load_model).'


def test_the_exception_of_a_ray_worker_is_told_not_rays_own() -> None:
    text = traceback(
        ENGINE,
        "ray.exceptions.RayTaskError(ValueError): ray::RayWorkerWrapper.execute_method() (pid=9)",
        "  File x",
        "ValueError: odd",
    )
    assert [finding.cause for finding in findings(text)] == ["ValueError: odd."]


def test_several_lines_of_a_message_are_read() -> None:
    text = "torch.distributed.DistBackendError: NCCL error, unhandled cuda error\nLast error:\nCuda failure 802 'system not yet initialized'\n"
    (finding,) = findings(text)
    assert (finding.name, finding.line_number) == ("fabric_manager", 3)


@pytest.mark.parametrize(
    "text",
    [
        "(APIServer pid=1) WARNING 10-21 09:10:40 [arg_utils.py:1197] This may cause OOM errors: CUDA out of memory",
        "INFO 10-21 09:10:40 [core.py:5] No space left on device is what one fears",
        "host:1:1 [0] NCCL INFO NET/Plugin : dlerror=libnccl-net.so: cannot open shared object file: No such file or directory",
        "/x/y.py:5: UserWarning: Bus error is what one fears",
        "Exception ignored in: <function f at 0x1>\nTraceback (most recent call last):\n  File \"x\", line 1, in f\nValueError: odd\n",
        traceback("(APIServer pid=1) ERROR 10-21 09:11:47 [serving_chat.py:708] ", "ValueError: This model's maximum context length is 4096"),
        traceback("(APIServer pid=1) ", "KeyboardInterrupt: terminated"),
        "srun: Job 5 step creation temporarily disabled, retrying (Requested nodes are busy)\nsrun: Step created for StepId=5.1\n",
    ],
)  # fmt: skip
def test_no_evidence(text: str) -> None:
    assert findings(text) == []


@pytest.mark.parametrize(
    "sign", ['INFO:     1.2.3.4:5 - "POST /v1/completions HTTP/1.1" 200 OK', "INFO:     Application startup complete."]
)
def test_what_the_server_survived_does_not_count(sign: str) -> None:
    text = traceback(ENGINE, "OSError: [Errno 28] No space left on device")
    assert names(text + (sign + "\n") * 200) == []
    assert names(sign + "\n" + text) == ["disk_full"]


def test_an_answer_that_was_on_its_way_hides_no_cause() -> None:
    answer = '(APIServer pid=1) INFO:     1.2.3.4:5 - "POST /v1/completions HTTP/1.1" 200 OK\n'
    text = traceback(ENGINE, "RuntimeError: CUDA error: uncorrectable ECC error encountered")
    dead = traceback(SERVER, "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.")
    assert names(text + answer + dead)[0] == "ecc"
    lines = text.splitlines(keepends=True)
    assert names("".join([*lines[:2], answer, *lines[2:], dead]))[0] == "ecc"  # between its lines
    assert names(text + answer * 200) == []


def test_what_is_said_after_a_stop_does_not_count() -> None:
    stop = "INFO:     Application startup complete.\nINFO:     Shutting down\n"
    late = "(EngineCore pid=2) ERROR 10-21 09:11:47 [multiproc_executor.py:9] Worker proc VllmWorker-0 died unexpectedly\n"
    assert names(stop + late) == []
    assert names(stop + "slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch.\n") == ["slurm_memory_limit"]
    assert "worker_died" in names("RuntimeError: odd\n" + stop.splitlines()[1] + "\n" + late)


def test_after_slurm_ended_a_job_everything_is_consequence() -> None:
    end = "slurmstepd: error: *** JOB 17 ON n1 CANCELLED AT 2026-11-01T10:00:00 DUE TO TIME LIMIT ***\n"
    odd = traceback(WORKER, "ValueError: the other end is gone")
    assert names(end + odd)[0] == "slurm_time_limit"
    assert names(odd + end)[0] == "exception"
    full = "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=17.batch. Some of your processes may have been killed\n"
    assert names(end.replace(" DUE TO TIME LIMIT", "") + full)[0] == "slurm_memory_limit"


def test_several_logs_have_one_cause(tmp_path: Path) -> None:
    """The engine's says that a worker died; Slurm's says why."""
    engine, srun = tmp_path / "engine.log", tmp_path / "srun.log"
    engine.write_text(
        traceback(ENGINE, "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.")
    )
    srun.write_text("slurmstepd: error: Detected 1 oom_kill event in StepId=1.2.\n")
    (first, second) = findings_in([engine, srun])
    assert (first.name, first.log, second.name) == ("slurm_memory_limit", srun, "ray_worker_killed")


def test_a_step_that_was_ended_in_one_log_hides_no_cause_in_another(tmp_path: Path) -> None:
    engine, srun = tmp_path / "engine.log", tmp_path / "srun.log"
    srun.write_text("slurmstepd: error: *** STEP 17.0 ON n1 CANCELLED AT 2026-11-01T10:00:00 ***\n")
    engine.write_text(traceback(WORKER, "ValueError: odd"))
    assert findings_in([srun, engine])[0].cause == "ValueError: odd."


def test_of_two_logs_the_earlier_failure_is_the_cause(tmp_path: Path) -> None:
    late, early = tmp_path / "a.log", tmp_path / "b.log"
    late.write_text(traceback(WORKER.replace("09:11:40", "09:11:50"), "ValueError: late"))
    early.write_text(traceback(WORKER, "KeyError: 'early'"))
    assert [finding.cause for finding in findings_in([late, early])] == ["KeyError: 'early'.", "ValueError: late."]


def test_an_exception_whose_words_begin_on_the_next_line_is_shown_whole() -> None:
    (finding,) = findings(traceback("", "RuntimeError: ", "        The thing cannot be done", "        before it is there."))
    assert finding.cause == "RuntimeError: The thing cannot be done before it is there."


@pytest.mark.parametrize(
    ("exception", "verdict"),
    [
        ("ImportError: odd is needed, and is not there", "permanent"),
        ('File "/x.py", line 1\nSyntaxError: invalid syntax', "permanent"),
        ("AttributeError: module 'torch' has no attribute 'odd'", "permanent"),
        ("AttributeError: 'NoneType' object has no attribute 'odd'", "again"),
        ("AttributeError: 'OddModel' object has no attribute 'odd'", "again"),
        ("AssertionError: odd", "again"),
        ("NotImplementedError", "permanent"),
        ("RuntimeError: odd", "again"),
        ("pydantic_core._pydantic_core.ValidationError: 1 validation error for OddConfig", "permanent"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/models/odd'", "again"),
    ],
)
def test_an_unknown_exception_that_only_the_environment_decides_fails_again(exception: str, verdict: str) -> None:
    (finding,) = findings(traceback("", *exception.splitlines()))
    assert finding.verdict == verdict


def test_what_a_site_says_is_one_sentence_and_slurms_code_its_echo() -> None:
    text = "sbatch: error: -------\nsbatch: error:  Give the nodes,\nsbatch: error: with --nodes.\nsbatch: error: -------\n"
    said, code = findings(f"{text}sbatch: error: Batch job submission failed: Node count specification invalid\n")
    assert (said.name, said.cause, said.line_number) == (
        "slurm_refused",
        "Slurm refuses the job: Give the nodes, with --nodes.",
        2,
    )
    assert (code.name, code.role) == ("slurm_no_such_nodes", "echo")


def test_what_stands_before_a_refusal_for_another_reason_is_not_taken_for_it() -> None:
    code = "Unable to allocate resources: Requested node configuration is not available\n"
    for other in ("srun: error: n1: task 0: Exited with exit code 1\n", "srun: error: No account given, defaulting to: mine\n"):
        assert findings(f"{other}srun: error: {code}")[0].name == "slurm_no_such_nodes"


def test_nccls_own_words_go_before_the_exception_that_does_not_say_which() -> None:
    warning = "n1:1:2 [0] NCCL WARN something odd\n"
    failed = traceback(WORKER, "RuntimeError: NCCL error: internal error - please report this issue to the NCCL developers")
    assert next(finding.cause for finding in findings(warning + failed)) == "NCCL says: something odd."
    assert next(finding.cause for finding in findings(failed + warning)) == "NCCL says: something odd."
    assert findings(warning) == []
