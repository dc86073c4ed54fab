"""What a log tells: its lines with process, level and time, and its incidents (exceptions with their tracebacks, errors).

A log is read bounded, whatever its size: its first and its last megabytes. Only the wiring of the formats is here; what a line
means is in signatures.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

HEAD_BYTES = 1 << 20  # a failure at start
TAIL_BYTES = 4 << 20  # a failure after hours of requests
_COUNTED_BYTES = 1 << 30  # newlines of the part left out are counted up to here, for the line numbers behind it
_LONGEST_LINE = 8_192  # an engine that dies prints its whole batch in one line
_LONGEST_MESSAGE = 60  # lines of one exception

# Depth of the processes of an engine: what happened in a deeper one is the cause of what happened in those around it.
DEPTHS = {"machine": 4, "worker": 3, "engine": 2, "server": 1, "slurm": 0}


@dataclass(frozen=True)
class Line:
    """A line of a log. `text`: what its process said, without prefix, escape codes and the marks of a repetition."""

    number: int | None  # from 1; None behind a part that was too long to count
    text: str
    process: str = ""  # as the log names it: "EngineCore_DP0 pid=12"
    depth: str = "server"  # one of DEPTHS
    level: str = ""  # DEBUG, INFO, WARNING, ERROR; empty where the log names none
    source: str = ""  # file of the logging call
    time: str = ""  # "MM-DD HH:MM:SS", for the order between logs


@dataclass
class Incident:
    """An exception with its traceback, or one line that tells of an error.

    `messages`: the exceptions of a chain, the first one first; each the lines of its message. `after_stop`: the server had
    been told to stop, or was stopping, when it was written.
    """

    line: Line
    messages: list[list[Line]]
    frames: str = ""  # file and code lines of the tracebacks
    exception: bool = True
    direct: bool = True  # "The above exception was the direct cause"; else "During handling of the above"
    after_stop: bool = False

    @property
    def texts(self) -> list[str]:
        """Each exception's message as one text."""
        return ["\n".join(line.text for line in message) for message in self.messages]


# --- reading --------------------------------------------------------------------------------------------------------------


def read_bounded(path: Path) -> list[tuple[int | None, str]]:
    """First and last megabytes of a log as numbered lines. Raises OSError."""
    with path.open("rb") as stream:
        return _numbered(stream)


def _numbered(stream: BinaryIO) -> list[tuple[int | None, str]]:
    head = stream.read(HEAD_BYTES)
    size = stream.seek(0, 2)
    begins = max(len(head), size - TAIL_BYTES)
    stream.seek(len(head))
    if begins == len(head):  # all of it fits
        return split(head + stream.read(TAIL_BYTES), 1)
    skipped = _count_newlines(stream, begins - len(head))
    tail = stream.read(TAIL_BYTES)
    first = None if skipped is None else 1 + head.count(b"\n") + skipped
    return [*split(head, 1)[:-1], *split(tail, first)[1:]]  # without the halves of the lines that were cut


def _count_newlines(stream: BinaryIO, length: int) -> int | None:
    if length > _COUNTED_BYTES:
        stream.seek(length, 1)
        return None
    count = 0
    while length > 0:
        block = stream.read(min(length, 1 << 20))
        count += block.count(b"\n")
        length -= len(block)
        if not block:
            break
    return count


def split(data: bytes, first: int | None) -> list[tuple[int | None, str]]:
    """Lines with their numbers; a progress bar that rewrites its line counts as one line of several texts."""
    found = []
    for offset, raw in enumerate(data.decode(errors="replace").split("\n")):
        number = None if first is None else first + offset
        texts = [part for part in raw.split("\r") if part.strip()] if "\r" in raw else [raw]
        found += [(number, _shortened(part)) for part in texts]
    return found


def _shortened(text: str) -> str:
    half = _LONGEST_LINE // 2
    return text if len(text) <= _LONGEST_LINE else text[:half] + " ... " + text[-half:]


# --- lines ----------------------------------------------------------------------------------------------------------------

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]")
_REPEATED = re.compile(r"\s*\[repeated \d+x across (?:cluster|all processes)\].*$")
# What Ray lists of all that may be is no evidence of any of it.
_GUESSES = re.compile(r" ?(?:There are some potential root causes|Possible reasons include|This can happen when)\b")
_LEVEL_OF = {"D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "F": "ERROR", "C": "ERROR"}

# Prefixes that are taken off a line, again and again until none fits. Groups: process, level, time, source.
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        # (EngineCore_DP0 pid=188893), (VllmWorker rank=1 pid=7), (RayWorkerWrapper pid=933, ip=10.0.0.1), (raylet), (autoscaler +5s)
        r"\((?P<process>[A-Za-z_][^()\n]{0,60}?\bpid=\d+[^()]{0,60}|pid=\d+[^()]{0,60}|raylet[^()]{0,40}|gcs_server|autoscaler[^()]{0,20})\)[ ]?",
        # Aug 19 18:34:27 node vllm[8727]: of journald
        r"[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d [\w.-]+ [\w./-]+\[\d+\]: ",
        # [rank0]: of torch
        r"\[(?P<process>rank\d+)\]:[ ]?",
        # INFO 10-21 09:10:35 [core.py:77] or, before vLLM 0.8, INFO 12-18 19:47:34 engine.py:366]; with the year in debug builds
        r"\s{0,8}(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?:\d{4}-)?(?P<time>\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? "
        r"\[?(?:(?:[\w./-]*/)?(?P<source>[\w.-]+\.py):\d+\]|[\w.]+:\d+\])[ ]?",
        # 2024-09-21 18:15:28,399 INFO worker.py:1786 -- of Ray
        r"\d{4}-(?P<time>\d\d-\d\d \d\d:\d\d:\d\d)[,.]\d+\s+(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<source>\w+\.py):\d+ -- ",
        # [2025-06-01 12:00:00,123 E 123 456] (raylet) node_manager.cc:3193: of Ray's core
        r"\[\d{4}-(?P<time>\d\d-\d\d \d\d:\d\d:\d\d)[,.]\d+ (?P<level>[DIWEFC]) \d+ \d+\] (?:\((?P<process>\w+)\) )?(?P<source>[\w.]+\.cc):\d+: ",
        # 2026-11-01 10:00:00,123 WARNING of Python's logging, as our own
        r"\[?\d{4}-(?P<time>\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:[,.]\d+)?Z?\]?[ |:-]+\[?(?P<level>DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b\]?[ |:-]*",
        # [W1126 02:29:21.381469669 utils.cpp:68], [E ProcessGroupNCCL.cpp:563], W0312 12:00:00.000000 1234 torch/_dynamo/x.py:12]
        r"\[?(?P<level>[IWEF])(?:\d{3,4} \d\d:\d\d:\d\d(?:\.\d+)?)?(?:\s+\d+)? (?P<source>[\w./-]+\.(?:cpp|cc|py|cu|h|hpp)):\d+\][ ]?",
        # host:840:840 [2] NCCL INFO, host:2110:2140 [0] misc/ibvwrap.cc:278 NCCL WARN
        r"(?:\[[\d-]+ [\d:]+\] )?[\w.-]+:\d+:\d+ \[\w+\] (?=(?:[\w./]+:\d+ )?(?:\(\w+\) )?NCCL )",
        # INFO:     of uvicorn, WARNING:root: of logging.basicConfig
        r"(?P<level>DEBUG|INFO|WARNING|CRITICAL):(?:\s+|[\w.]+:\s?)",
        r"(?P<level>ERROR):(?:\s{2,}|[a-z][\w.]*:)",
        # 0: or 12: of srun --label, container | of compose
        r"\d{1,4}: (?=\S)",
        r"[\w.-]+\s+\| ",
        r"\d{4}-(?P<time>\d\d-\d\dT\d\d:\d\d:\d\d)[.\d]*(?:Z|[+-]\d\d:?\d\d) ",
    )
)
_NCCL = re.compile(r"(?:[\w./]+:\d+ )?(?:\(\w+\) )?NCCL (INFO|WARN|TRACE|ERROR)\b")
_SLURM = re.compile(r"(?:\[[\dT:.-]+\] )?(slurmstepd|srun|sbatch|salloc|scancel|squeue|sacct|scontrol|slurmd)(?:-[\w.-]+)?: (?P<level>error:|fatal:)?")
_PYTHON_WARNING = re.compile(r"\S+:\d+: (?:\w+\.)?\w*Warning: |Warning: |warnings?\.warn\(|WARNING: ")
_MACHINE = re.compile(r"(?:\[\s*\d+\.\d+\] |\w{3} +\d+ [\d:]+ [\w.-]+ kernel: |.*\bNVRM: |.*\bkernel: )")
_PROCESS_HEADER = re.compile(r"Process ((?:EngineCore|SpawnProcess|Vllm|Worker|ApiServer|Process|DPCoordinator)[\w-]*):$")


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
    told = {"process": "", "level": "", "source": "", "time": time}
    text = _without_prefixes(text, told)
    if text.endswith("]") or "across cluster" in text:
        text = _REPEATED.sub("", text)
    if len(text) > 60 and (guess := _GUESSES.search(text)):
        text = text[: guess.start()]
    process, level = told["process"], _LEVEL_OF.get(told["level"], told["level"])
    level = {"CRITICAL": "ERROR", "FATAL": "ERROR", "WARN": "WARNING"}.get(level, level)
    depth = _depth_of_process(process)
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
    return Line(number, text.rstrip(), process, depth, level, told["source"], told["time"].replace("T", " "))


def _without_prefixes(text: str, told: dict[str, str]) -> str:
    for _ in range(6):
        for prefix in _PREFIXES:
            if found := prefix.match(text):
                told.update({name: value for name, value in found.groupdict().items() if value})
                text = text[found.end() :]
                break
        else:
            return text
    return text


def _depth_of_process(process: str) -> str:
    name = process.lower()
    if "worker" in name or name.startswith("pid="):
        return "worker"
    if name.startswith(("enginecore", "engine_core", "rank", "dpcoordinator", "raylet", "gcs_server")):
        return "engine"
    return "server"


# --- incidents ------------------------------------------------------------------------------------------------------------

_TRACEBACK = "Traceback (most recent call last):"
_DIRECT = "The above exception was the direct cause of the following exception:"
_HANDLING = "During handling of the above exception, another exception occurred:"
_IGNORED = re.compile(r"Exception ignored (?:in|while)\b|--- Logging error ---")
_EXCEPTION = re.compile(
    r"(?:[A-Za-z_][\w]*\.)*(?:[A-Z]\w*(?:Error|Exception|Interrupt|Exhausted|Timeout|Died|Unavailable|Mismatch|Failure)\w*"
    r"|SystemExit|Exception|StopIteration|GeneratorExit|AssertionError)(?:\(\w+\))?(?::(?: |$)|$)"
)
_EXCEPTION_WORD = re.compile(r"(?:Error|Exception|Interrupt|Exhausted|Timeout|Died|Exit|Failure|Unavailable|Mismatch)")
_ENDS_A_TRACEBACK = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:\(\w+\))?(?::(?: |$)|$)")
_CRASHES = ("Fatal Python error", "*** SIG", "terminate called", "!!!!!!! Segfault")
_CRASH_FRAMES = ('File "', "Current thread 0x", "Thread 0x", "Extension modules:")
_MOST_FRAMES, _MOST_FOREIGN = 400, 5
_SURVIVED = re.compile(r'"POST /v\d\S* HTTP/1\.\d" 200|Application startup complete')
_STEP_STARTED = re.compile(r"srun: Step created for")
_STOPPING = re.compile(r"Shutting down|Received signal|\[shutdown\]|received SIG|Application shutdown complete|Finished server process")
# What can tell of a failure in a line without a level; everything else is passed over.
_ALARM = re.compile(
    r"error|fatal|fail|kill|cannot|can't|can not|could not|couldn't|unable|denied|invalid|not found|no such|exceed|no space|quota|"
    r"time[d]? ?out|abort|segmentation|bus error|\bxid\b|\boom\b|out of memory|terminate|cancelled|refus|dumped|undefined|unsupported|"
    r"not support|violat|unexpected|what\(\)|illegal|ecc |fallen off|missing|must |too |unavailable|disabled|insufficient|unrecognized|"
    r"required|requires|limited to|cuda failure|no route|deadlock|exit code|locked|corrupt|core dump|unhandled",
    re.IGNORECASE,
)


@dataclass
class _Open:
    """A traceback, or the lines of an exception's message, that is being read in one process's stream."""

    incident: Incident
    in_frames: bool
    connected: bool = False  # a connector was read: another traceback of the chain follows
    frames: list[str] = field(default_factory=list)
    foreign: int = 0  # lines of other processes between its own
    ignored: bool = False


def incidents_of(lines: Iterable[Line]) -> list[Incident]:
    """Exceptions and error lines in the order in which they were written; tracebacks of one process are put together.

    What the server survived is left out: it came up, or answered a request, after it.
    """
    reader = _Reader()
    for line in lines:
        reader.take(line)
    return [incident for incident in reader.found if incident.messages]


class _Reader:
    """Keeps the streams of several processes apart."""

    def __init__(self) -> None:
        self.found: list[Incident] = []
        self.open: dict[str, _Open] = {}
        self.header = ""  # "Process EngineCore_0:" names whose traceback follows without a prefix
        self.stopping = False

    def take(self, line: Line) -> None:
        """The next line of the log."""
        if _STEP_STARTED.match(line.text):
            self.found = [incident for incident in self.found if "step creation" not in incident.line.text]
        if line.level in ("", "INFO") and _SURVIVED.search(line.text):
            self.found.clear()
            self.open.clear()
            self.stopping = False
            return
        self.stopping = self.stopping or (line.level in ("", "INFO") and _STOPPING.search(line.text) is not None)
        current = self.open.get(line.process)
        if current is not None and self._continues(current, line):
            return
        self.open.pop(line.process, None)
        self._begin(line)

    def _begin(self, line: Line) -> None:
        text = line.text
        if text.endswith(_TRACEBACK):
            self.open[line.process] = self._traceback(line)
        elif _IGNORED.match(text):
            self.open[line.process] = _Open(Incident(line, []), in_frames=False, ignored=True)
        elif named := _PROCESS_HEADER.match(text):
            self.header = named[1]
        elif text.startswith(_CRASHES):
            crash = line if line.process else replace(line, depth="worker")
            self.open[line.process] = _Open(Incident(crash, [[line]]), in_frames=False)
            self._add(self.open[line.process].incident)
        elif line.level in ("", "ERROR") and _is_exception(text):
            self.open[line.process] = _Open(Incident(line, [[line]]), in_frames=False)
            self._add(self.open[line.process].incident)
        elif line.level == "ERROR" or _ALARM.search(text):
            self._add(Incident(line, [[line]], exception=False))

    def _add(self, incident: Incident) -> None:
        incident.after_stop = self.stopping
        self.found.append(incident)

    def _traceback(self, line: Line) -> _Open:
        if not line.process and self.header:
            named, self.header = self.header, ""
            line = replace(line, process=named, depth=_depth_of_process(named))
        before = line.text.removesuffix(_TRACEBACK).strip(" ,:")
        # An old vLLM's "Exception in worker ... while processing method load_model: WORDS, Traceback (most recent call last):"
        return _Open(Incident(line, [], frames=f"{before}\n" if before else ""), in_frames=True)

    def _continues(self, current: _Open, line: Line) -> bool:
        """Whether the line belongs to what is being read."""
        text = line.text
        if not _same_record(current.incident.line, line):
            return False
        if current.in_frames:
            return self._frame(current, line)
        if text in (_DIRECT, _HANDLING):
            current.connected = True
            current.incident.direct = text == _DIRECT
            return True
        if text.endswith(_TRACEBACK):
            current.in_frames = current.connected or current.ignored
            current.connected = False
            return current.in_frames
        if not text.strip():
            return True
        if current.ignored or current.connected or _starts_anew(text):
            return False
        return _more_of_the_message(current.incident, line)

    def _frame(self, current: _Open, line: Line) -> bool:
        text, incident = line.text, current.incident
        if not text or text[0] in " \t^|+" or text.startswith('File "'):
            if len(current.frames) < _MOST_FRAMES:
                current.frames.append(text.strip())
            return True
        if not _ENDS_A_TRACEBACK.match(text):
            current.foreign += 1
            if current.foreign > _MOST_FOREIGN or text.endswith(_TRACEBACK):
                return False
            if _ALARM.search(text):
                self._add(Incident(line, [[line]], exception=False))
            return True
        current.in_frames = False
        if current.ignored:
            return True
        if not incident.messages:
            self._add(incident)
        incident.messages.append([line])
        incident.frames += "\n".join(current.frames) + "\n"
        current.frames = []
        return True


def _more_of_the_message(incident: Incident, line: Line) -> bool:
    if line.text.lstrip().startswith(_CRASH_FRAMES):
        incident.frames += line.text.strip() + "\n"
        return True
    message = incident.messages[-1]
    if len(message) > _LONGEST_MESSAGE:
        return False
    message.append(line)
    return True


def _is_exception(text: str) -> bool:
    return bool(_EXCEPTION_WORD.search(text[:160]) and _EXCEPTION.match(text))


def _starts_anew(text: str) -> bool:
    """Whether a line without a prefix is something of its own, not more of an exception's message."""
    return bool(_PROCESS_HEADER.match(text) or _IGNORED.match(text) or text.startswith(_CRASHES))


def _same_record(first: Line, line: Line) -> bool:
    same_call = first.source == line.source or not first.level
    return first.level == line.level and same_call and line.depth not in ("slurm", "machine")
