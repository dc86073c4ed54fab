"""The lines of a log with what their prefixes tell: process, level, time and source."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# Depth of the processes of an engine: what happened in a deeper one is the cause of what happened in those around it.
DEPTHS = {"machine": 4, "worker": 3, "engine": 2, "server": 1, "slurm": 0}


class Line(NamedTuple):
    """A line of a log. `text`: what its process said, without prefix, escape codes and the marks of a repetition."""

    number: int | None  # from 1; None behind a part that was too long to count
    text: str
    process: str = ""  # as the log names it: "EngineCore_DP0 pid=12"
    depth: str = "server"  # one of DEPTHS
    level: str = ""  # DEBUG, INFO, WARNING, ERROR; empty where the log names none
    source: str = ""  # file of the logging call
    time: str = ""  # "MM-DD HH:MM:SS", for the order between logs

    @property
    def loud(self) -> bool:
        """Whether it may be evidence of any failure; DEBUG, INFO and WARNING are that of `quiet` ones alone."""
        return self.level in ("", "ERROR")


_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]"
)
_REPEATED = re.compile(r"\s*\[repeated \d+x across (?:cluster|all processes)\].*$")
# What Ray lists of all that may be is no evidence of any of it.
_GUESSES = re.compile(
    r" ?(?:There are some potential root causes|Some common causes include|Possible reasons include|This can happen when)\b"
)
_LEVEL_OF = {"D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "F": "ERROR", "C": "ERROR"}

# Prefixes that are taken off a line, again and again until none fits. Groups: process, level, time, source.
_DAY, _CLOCK, _WORDS = r"\d\d-\d\d", r"\d\d:\d\d:\d\d", "DEBUG|INFO|WARNING|ERROR|CRITICAL"
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        # (APIServer pid=12) INFO 10-21 09:10:35 [core.py:77] : most lines of vLLM, in one go
        rf"(?:\((?P<process>[A-Za-z_][\w ]{{0,40}}(?:rank=\d+ )?pid=\d+)\) )?(?P<level>{_WORDS}) (?P<time>{_DAY} {_CLOCK}) "
        r"\[(?P<source>[\w.-]+\.py):\d+\][ ]?",
        # (EngineCore_DP0 pid=12), (VllmWorker rank=1 pid=7), (RayWorkerWrapper pid=933, ip=10.0.0.1), (raylet)
        r"\((?P<process>[A-Za-z_][^()\n]{0,60}?\bpid=\d+[^()]{0,60}|pid=\w+[^()]{0,60}|"
        r"raylet[^()]{0,40}|gcs_server|autoscaler[^()]{0,20})\)[ ]?",
        # Aug 19 18:34:27 node vllm[8727]: of journald
        rf"[A-Z][a-z]{{2}} +\d+ {_CLOCK} [\w.-]+ [\w./-]+\[\d+\]: ",
        # [rank0]: of torch
        r"\[(?P<process>rank\d+)\]:[ ]?",
        # INFO 10-21 09:10:35 [core.py:77] of vLLM; before 0.8 INFO 12-18 19:47:34 engine.py:366]
        rf"\s{{0,8}}(?P<level>{_WORDS}) (?:(?:\d{{4}}-)?(?P<time>{_DAY} {_CLOCK})(?:\.\d+)? )?"
        r"\[?(?:(?:[\w./-]*/)?(?P<source>[\w.-]+\.py):\d+\]|[\w.]+:\d+\])[ ]?",
        # 2024-09-21 18:15:28,399 INFO worker.py:1786 -- of Ray
        rf"\d{{4}}-(?P<time>{_DAY} {_CLOCK})[,.]\d+\s+(?P<level>{_WORDS}) (?P<source>\w+\.py):\d+ -- ",
        # [2025-06-01 12:00:00,123 E 123 456] (raylet) node_manager.cc:3193: of Ray's core
        rf"\[\d{{4}}-(?P<time>{_DAY} {_CLOCK})[,.]\d+ (?P<level>[DIWEFC]) \d+ \d+\] "
        r"(?:\((?P<process>\w+)\) )?(?P<source>[\w.]+\.(?:cc|h)):\d+: ",
        # 2026-11-01 10:00:00,123 WARNING of Python's logging, as our own
        rf"\[?\d{{4}}-(?P<time>{_DAY}[ T]{_CLOCK})(?:[,.]\d+)?Z?\]?[ |:-]+"
        rf"\[?(?P<level>{_WORDS}|WARN|FATAL)\b\]?[ |:-]*",
        # 2025-06-27 12:57:45,345 - __main__ - INFO - of programs that repeat what vLLM says
        rf"\d{{4}}-(?P<time>{_DAY} {_CLOCK})[,.]\d+ - [\w.]+ - (?P<level>{_WORDS}) - ",
        # [W1126 02:29:21.38 utils.cpp:68], [E ProcessGroupNCCL.cpp:563], W0312 12:00:00.00 1234 torch/_dynamo/x.py:12] of torch
        rf"\[?(?P<level>[IWEF])(?:\d{{3,4}} {_CLOCK}(?:\.\d+)?)?(?:\s+\d+)? "
        r"(?P<source>[\w./-]+\.(?:cpp|cc|py|cu|h|hpp)):\d+\][ ]?",
        # host:840:840 [2] NCCL INFO, host:2110:2140 [0] misc/ibvwrap.cc:278 NCCL WARN
        r"(?:\[[\d-]+ [\d:]+\] )?[\w.-]+:\d+:\d+ \[\w+\] (?=(?:[\w./]+:\d+ )?(?:\(\w+\) )?NCCL )",
        # INFO:     of uvicorn, WARNING:root: of logging.basicConfig
        r"(?P<level>DEBUG|INFO|WARNING|CRITICAL):(?:\s+|[\w.]+:\s?)",
        r"(?P<level>ERROR):(?:\s{2,}|[a-z][\w.]*:)",
        # 2025-11-04 10:08:01.174646 master-0 >> of launchers of several nodes
        rf"\d{{4}}-(?P<time>{_DAY} {_CLOCK})[,.]\d+ [\w.-]+ >> ",
        # 0: or 12: of srun --label, container | of compose
        r"\d{1,4}: (?=\S)",
        r"[\w.-]+\s+\| ",
        # the margin of an exception group's tracebacks
        r"(?: {2})+\| ",
        rf"\d{{4}}-(?P<time>{_DAY}T{_CLOCK})[.\d]*(?:Z|[+-]\d\d:?\d\d) ",
    )
)
_NCCL = re.compile(r"(?:[\w./]+:\d+ )?(?:\(\w+\) )?NCCL (INFO|WARN|TRACE|ERROR)\b")
_SLURM = re.compile(
    r"(?:\[[\dT:.-]+\] )?(slurmstepd|srun|sbatch|salloc|scancel|squeue|sacct|scontrol|slurmd)(?:-[\w.-]+)?: "
    r"(?P<level>error:|fatal:)?"
)
_PYTHON_WARNING = re.compile(r"\S+:\d+: (?:\w+\.)?\w*Warning: |Warning: |warnings?\.warn\(|WARNING: ")
_MACHINE = re.compile(r"(?:\[\s*\d+\.\d+\] |\w{3} +\d+ [\d:]+ [\w.-]+ kernel: |.*\bNVRM: |.*\bkernel: )")


def lines_of(numbered: Iterable[tuple[int | None, str]]) -> Iterator[Line]:
    """Lines with what their prefixes tell; a line without a time has the one of the last line before it."""
    time = ""
    for number, raw in numbered:
        line = parse(number, raw, time)
        time = line.time
        yield line


def parse(number: int | None, raw: str, time: str = "") -> Line:
    """One line, its prefixes taken off."""
    text = _ESCAPES.sub("", raw) if not raw.isprintable() else raw
    fields = {"process": "", "level": "", "source": "", "time": time}
    text = _without_prefixes(text, fields)
    if text.endswith("]") or "across cluster" in text:
        text = _REPEATED.sub("", text)
    if len(text) > 60 and (guess := _GUESSES.search(text)):
        text = text[: guess.start()]
    process, level = fields["process"], _LEVEL_OF.get(fields["level"], fields["level"])
    level = {"CRITICAL": "ERROR", "FATAL": "ERROR", "WARN": "WARNING"}.get(level, level)
    depth = depth_of_process(process)
    if "NCCL" in text and (nccl := _NCCL.match(text)):
        level = {"WARN": "WARNING", "ERROR": "ERROR"}.get(nccl[1], "INFO")
        depth = "worker"
    elif slurm := _SLURM.match(text):
        process, depth = process or slurm[1], "slurm"
        level = "ERROR" if slurm["level"] else level
    elif not level and _PYTHON_WARNING.match(text):
        level = "WARNING"
    elif _MACHINE.match(text):
        depth = "machine"
    return Line(number, text.rstrip(), process, depth, level, fields["source"], fields["time"].replace("T", " "))


def _without_prefixes(text: str, fields: dict[str, str]) -> str:
    for _ in range(6):
        for prefix in _PREFIXES:
            if found := prefix.match(text):
                named = {name: value for name, value in found.groupdict().items() if value}
                if fields["process"] and named.get("process", "").startswith("rank"):
                    del named["process"]  # the rank of a worker that is named already
                fields.update(named)
                text = text[found.end() :]
                break
        else:
            return text
    return text


def depth_of_process(process: str) -> str:
    """Depth of a process by the name its log gives it."""
    name = process.lower()
    if "worker" in name or name.startswith("pid="):
        return "worker"
    if name.startswith(("enginecore", "engine_core", "rank", "dpcoordinator", "raylet", "gcs_server")):
        return "engine"
    return "server"
