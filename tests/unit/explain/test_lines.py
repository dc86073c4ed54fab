"""Lines of the programs whose logs are read: process, level, time and what is left of the text."""

import pytest

from campaign.explain.lines import Line, parse

LINES = {
    "(APIServer pid=18) INFO 10-21 09:10:35 [api_server.py:1839] vLLM API server": ("APIServer pid=18", "server", "INFO"),
    "(EngineCore_DP0 pid=18) ERROR 10-21 09:11:47 [core.py:708] died": ("EngineCore_DP0 pid=18", "engine", "ERROR"),
    "(EngineCore_DP0 pid=6) (RayWorkerWrapper pid=9, ip=10.0.0.1) ERROR 10-07 12:51:42 [worker_base.py:6] died": (
        "RayWorkerWrapper pid=9, ip=10.0.0.1",
        "worker",
        "ERROR",
    ),
    "(VllmWorker rank=1 pid=7) WARNING 07-29 14:10:52 [multiproc_executor.py:590] slow": (
        "VllmWorker rank=1 pid=7",
        "worker",
        "WARNING",
    ),
    "ERROR 12-18 19:47:34 engine.py:366] died": ("", "server", "ERROR"),
    "(RayWorkerWrapper pid=9) [rank1]:[E528 08:52:46.164295950 ProcessGroupGloo.cpp:145] died": (
        "RayWorkerWrapper pid=9",
        "worker",
        "ERROR",
    ),
    "[rank0]:[W914 04:53:45.615225908 ProcessGroupNCCL.cpp:1476] left": ("rank0", "engine", "WARNING"),
    "c3gpu-1:840:840 [2] NCCL INFO Bootstrap : Using ib0": ("", "worker", "INFO"),
    "c3gpu-1:2110:2140 [0] misc/ibvwrap.cc:278 NCCL WARN Call to ibv_reg_mr failed": ("", "worker", "WARNING"),
    "2024-09-21 18:15:28,399\tINFO worker.py:1786 -- Started a local Ray instance.": ("", "server", "INFO"),
    "[2025-06-01 12:00:00,123 E 123 456] (raylet) node_manager.cc:3193: died": ("raylet", "engine", "ERROR"),
    "slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch.": ("slurmstepd", "slurm", "ERROR"),
    "2026-11-01 10:00:00,123 WARNING slow": ("", "server", "WARNING"),
    "INFO:     Application startup complete.": ("", "server", "INFO"),
    "/x/y.py:24: DeprecationWarning: old": ("", "server", "WARNING"),
    "Aug 19 18:34:27 node vllm[8727]: (EngineCore pid=8727) died": ("EngineCore pid=8727", "engine", ""),
    "2025-11-04 10:08:01.174646 master-0 >> (EngineCore_DP0 pid=29) ERROR 11-04 10:08:01 [core.py:710] died": (
        "EngineCore_DP0 pid=29",
        "engine",
        "ERROR",
    ),
    "died": ("", "server", ""),
}


@pytest.mark.parametrize("raw", LINES)
def test_a_line_has_its_process_and_level(raw: str) -> None:
    line = parse(1, raw)
    assert (line.process, line.depth, line.level) == LINES[raw]


def test_escape_codes_and_marks_of_repetition_are_no_words() -> None:
    raw = "\x1b[36m(RayWorkerWrapper pid=880)\x1b[0m ERROR 04-16 01:01:44 [worker_base.py:620] died\x1b[32m [repeated 6x across cluster]\x1b[0m"
    assert parse(3, raw) == Line(3, "died", "RayWorkerWrapper pid=880", "worker", "ERROR", "worker_base.py", "04-16 01:01:44")


@pytest.mark.parametrize("guess", ["There are some potential root causes.", "Some common causes include:"])
def test_what_may_be_is_no_evidence(guess: str) -> None:
    raw = f"(raylet) A worker died or was killed while executing a task. {guess} (1) SIGSEGV (2) OOM killer"
    assert parse(1, raw).text == "A worker died or was killed while executing a task."
