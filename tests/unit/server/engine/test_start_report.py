"""What vLLM's log says of memory at a start."""

from pathlib import Path

from campaign.server.engine.start_report import StartReport, read_start_report

GIB = 1 << 30
# vLLM 0.32 with two stages, and the form of 0.11.
LOG = """\
(Worker_PP0 pid=7) INFO 11-26 09:11:45 [gpu_model_runner.py:5149] Model loading took 15.0 GiB memory and 12.345678 seconds
(Worker_PP1 pid=8) INFO 11-26 09:11:45 [gpu_model_runner.py:5149] Model loading took 15.5 GiB memory and 12.345678 seconds
(Worker_PP0 pid=7) INFO 11-26 09:11:57 [gpu_worker.py:759] Available KV cache memory: 55.25 GiB
(Worker_PP1 pid=8) INFO 11-26 09:11:57 [gpu_worker.py:759] Available KV cache memory: 54.75 GiB
(EngineCore pid=5) INFO 11-26 09:11:57 [kv_cache_utils.py:2327] GPU KV cache size: 457,504 tokens, Maximum concurrency
"""
EARLIER = (
    "(EngineCore_DP0 pid=1) INFO 10-21 09:11:45 [gpu_model_runner.py:2653] Model loading took 18.1450 GiB and 40.7 seconds\n"
)


def read(tmp_path: Path, text: str) -> StartReport:
    (tmp_path / "engine.log").write_text(text)
    return read_start_report(tmp_path / "engine.log")


def test_the_fullest_worker_and_the_smallest_cache(tmp_path: Path) -> None:
    assert read(tmp_path, LOG) == StartReport(int(15.5 * GIB), int(54.75 * GIB))


def test_an_earlier_form(tmp_path: Path) -> None:
    assert read(tmp_path, EARLIER) == StartReport(int(18.145 * GIB), None)


def test_what_is_not_said(tmp_path: Path) -> None:
    assert read(tmp_path, "Model loading took 0.0 GiB memory and 1 seconds\n") == StartReport()
    assert read_start_report(tmp_path / "none.log") == StartReport()
