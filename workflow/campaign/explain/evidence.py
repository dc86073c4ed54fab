"""The incidents of a log: exceptions with their tracebacks, and single lines that tell of an error."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from campaign.explain.lines import Line, depth_of_process

_LONGEST_MESSAGE = 60  # lines of one exception


@dataclass
class Incident:
    """An exception with its traceback, or one line that tells of an error.

    `messages`: the exceptions of a chain, the first one first; each the lines of its message. `after_stop`: the server had
    been told to stop, or was stopping, when it was written. `refused`: Slurm's own last line after a site has said why.
    """

    line: Line
    messages: list[list[Line]]
    frames: str = ""  # file and code lines of the tracebacks
    exception: bool = True
    direct: bool = True  # "The above exception was the direct cause"; else "During handling of the above"
    after_stop: bool = False
    order: int = 0  # how many lines stood before it
    refused: bool = False

    @property
    def texts(self) -> list[str]:
        """Each exception's message as one text."""
        return ["\n".join(line.text for line in message) for message in self.messages]


_PROCESS_HEADER = re.compile(r"Process ((?:EngineCore|SpawnProcess|Vllm|Worker|ApiServer|Process|DPCoordinator)[\w-]*):$")
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
_LATE_LINES = 100  # a traceback has about 60
_MOST_KINDS = 600  # of error lines in one log; what comes behind so many is a consequence
_MOST_WANTED = 100  # more, of lines that a user's or site's signature asks for
_NUMBERS = re.compile(r"\d{4,}|0x[0-9a-f]+")
_PARAGRAPH = "Lmod has detected the following error"  # goes on until an empty line, and breaks anywhere
_STEP_STARTED = "srun: Step created for"
_SLURM_SAYS = re.compile(r"(?P<tool>sbatch|salloc|srun): (?:error|lua): *(?P<words>.*)")  # lua: of a site's job_submit.lua
_REFUSED = re.compile(
    r"Batch job submission failed|Unable to allocate resources|Failed to allocate resources|Job submit/allocate failed|"
    r"[Aa]llocation failure"
)
# What a site tells of a job that it takes all the same, before a refusal for another reason; and an earlier step's end.
_NOTICE = re.compile(r"(?i)\bdefault(?:s|ing|ed)?\b|^\W*(?:info|note|notice|warning)\b|^\S+: tasks? \d|^spank: .*not found")
_ORNAMENT = re.compile(r"([-=*#+|_!~])\1{2,}")
_STOPPING = (
    "Shutting down",
    "Received signal",
    "received SIG",
    "[shutdown]",
    "Application shutdown complete",
    "Finished server process",
)
# What can tell of a failure in a line without a level, or one that says INFO; everything else is passed over. Lower case.
_ALARM_WORDS = (
    "error|fatal|fail|kill|cannot|can't|can not|could not|couldn't|unable|denied|invalid|not found|no such|"
    "exceed|no space|quota|timeout|timed out|time limit|abort|segmentation|bus error|xid|oom|out of memory|"
    "terminate|cancelled|refus|dumped|undefined|unsupported|not support|violat|unexpected|what()|illegal|ecc |"
    "fallen off|missing|must |too |limit|fault|unavailable|disabled|insufficient|unrecognized|require|"
    "limited to|no route|deadlock|exit code|locked|corrupt|no solution|unhandled|died|dead|out_of_me|"
    "not responding|preempt|already in use|unbound|not enough|not created|has lost|held|closed by remote|"
    "neversatisfied|ue memory|not compatible|mismatch|uncorrect|gpu is lost|not yet initialized|fabric manager|"
    "nvlsallocatemem|ras |edac |job dependency|job requeue|qos|assocmax|assocgrp|maxsubmitjobs|memory low|"
    "increase the size|forward compat|no socket interface|interface found|interfaces found|no interface|"
    "got completion|ibv_wc_|_exc_err|async event|unreachable|differ|does not allocate any|has no |"
    "placement group|no available node|crashed|connection closed|non-zero status|badconstraints|peraccount|peruser"
)
_ALARMS = tuple(_ALARM_WORDS.split("|"))


def _alarming(text: str) -> bool:
    lower = text.lower()
    return any(word in lower for word in _ALARMS)


def _is_inner(incident: Incident) -> bool:
    return incident.line.depth in ("machine", "worker", "engine")


def _is_up(text: str) -> bool:
    """Whether the server came up, or a batch went through, with this line."""
    return "Application startup complete" in text or "Processed prompts: 100%" in text


def _is_answer(text: str) -> bool:
    """Whether the server answered a request with this line."""
    return '" 200' in text and '"POST /v' in text


@dataclass
class _Open:
    """A traceback, or the lines of an exception's message, that is being read in one process's stream."""

    incident: Incident
    in_frames: bool
    connected: bool = False  # a connector was read: another traceback of the chain follows
    frames: list[str] = field(default_factory=list)
    foreign: int = 0  # lines of other processes between its own
    ignored: bool = False
    paragraph: bool = False  # ends at an empty line


def incidents_of(lines: Iterable[Line], wanted: Callable[[Line], bool] = lambda line: False) -> list[Incident]:
    """Exceptions and error lines in the order in which they were written; tracebacks of one process are put together.

    `wanted`: lines that count whatever their level and words. What the server survived is left out: it came up, or answered
    a request, after it.
    """
    reader = _Reader(wanted)
    for line in lines:
        reader.take(line)
    return [incident for incident in reader.found if incident.messages]


class _Reader:
    """Keeps the streams of several processes apart."""

    def __init__(self, wanted: Callable[[Line], bool]) -> None:
        self.wanted = wanted
        self.found: list[Incident] = []
        self.open: dict[str, _Open] = {}
        self.header = ""  # "Process EngineCore_0:" names whose traceback follows without a prefix
        self.stopping = False
        self.kinds: set[tuple[bool, str]] = set()
        self.count = 0
        self.said: list[Line] = []  # error lines of one Slurm command, one after the other

    def take(self, line: Line) -> None:
        """The next line of the log."""
        if line.text.startswith(_STEP_STARTED):
            self.found = [incident for incident in self.found if "step creation" not in incident.line.text]
        self.count += 1
        if line.level in ("", "INFO") and _is_up(line.text):
            self._forget([], keep_open=False)
            self.stopping = False
            return
        if line.level in ("", "INFO") and _is_answer(line.text):
            self._forget([incident for incident in self.found if self._may_be_late(incident)], keep_open=True)
            return
        self.stopping = self.stopping or (line.level in ("", "INFO") and any(word in line.text for word in _STOPPING))
        current = self.open.get(line.process)
        if current is not None and self._continues(current, line):
            return
        self.open.pop(line.process, None)
        self._begin(line)

    def _forget(self, keep: list[Incident], keep_open: bool) -> None:
        self.found = keep
        self.open = {name: stream for name, stream in self.open.items() if keep_open and _is_inner(stream.incident)}
        self.kinds.clear()

    def _may_be_late(self, incident: Incident) -> bool:
        """Whether an answer may have been on its way when an engine failed: the server tells of it a moment later."""
        return _is_inner(incident) and self.count - incident.order < _LATE_LINES

    def _begin(self, line: Line) -> None:
        text = line.text
        if said := _SLURM_SAYS.match(text):
            self._slurm_says(line, said["tool"], said["words"])
            return
        self.said = []
        if text.endswith(_TRACEBACK):
            self.open[line.process] = self._traceback(line)
        elif _IGNORED.match(text):
            self.open[line.process] = _Open(Incident(line, []), in_frames=False, ignored=True)
        elif named := _PROCESS_HEADER.match(text):
            self.header = named[1]
        elif text.startswith(_CRASHES):
            crash = line if line.process else line._replace(depth="worker")
            self.open[line.process] = _Open(Incident(crash, [[line]]), in_frames=False)
            self._add(self.open[line.process].incident)
        elif text.startswith(_PARAGRAPH):
            self.open[line.process] = _Open(Incident(line, [[line]], exception=False), in_frames=False, paragraph=True)
            self._add(self.open[line.process].incident)
        elif line.level in ("", "ERROR") and _is_exception(text):
            self.open[line.process] = _Open(Incident(line, [[line]]), in_frames=False)
            self._add(self.open[line.process].incident)
        elif line.level == "ERROR" or "NCCL WARN" in text or _alarming(text) or self.wanted(line):
            self._add_line(line)

    def _add(self, incident: Incident) -> None:
        incident.after_stop, incident.order = self.stopping, self.count
        self.found.append(incident)

    def _add_line(self, line: Line, refused: bool = False) -> None:
        """A line of its own, unless one like it was seen: an engine that fails tells it for each of its requests."""
        kind = line.loud, _NUMBERS.sub("0", line.text)
        if kind not in self.kinds and self._has_room(line):
            self.kinds.add(kind)
            self._add(Incident(line, [[line]], exception=False, refused=refused))

    def _has_room(self, line: Line) -> bool:
        known = len(self.kinds)
        return known < _MOST_KINDS or (known < _MOST_KINDS + _MOST_WANTED and self.wanted(line))

    def _slurm_says(self, line: Line, tool: str, words: str) -> None:
        """What a site's job_submit says, over several lines, is one sentence; Slurm's own code for the refusal follows it."""
        if self.said and self.said[0].process != line.process:
            self.said = []
        if not _REFUSED.match(words):
            if any(letter.isalnum() for letter in words):
                self.said += [] if _NOTICE.search(words) else [line]
                self._add_line(line)
            return
        said, self.said = self.said, []
        others = [incident for incident in self.found if incident.line not in said]
        if len(others) < len(self.found):
            sentence = " ".join(_ORNAMENT.sub("", _SLURM_SAYS.sub(r"\g<words>", other.text)) for other in said)
            joined = said[0]._replace(text=f"{tool}: error: {' '.join(sentence.split())}")
            self.found = others
            self._add(Incident(joined, [[joined]], exception=False))
        self._add_line(line, refused=bool(said))

    def _traceback(self, line: Line) -> _Open:
        if not line.process and self.header:
            named, self.header = self.header, ""
            line = line._replace(process=named, depth=depth_of_process(named))
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
            return not current.paragraph
        if current.ignored or current.connected or _starts_anew(text):
            return False
        if _is_exception(text) and not _repeats_another(current.incident):
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
            if _alarming(text) or self.wanted(line):
                self._add_line(line)
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


def _repeats_another(incident: Incident) -> bool:
    """Whether the exceptions in a message are those of another process, or those that it was raised from."""
    if not incident.messages:
        return False
    message = incident.messages[-1]
    return "ray::" in message[0].text or "RayTaskError(" in message[0].text or message[-1].text.endswith(":")


def _same_record(first: Line, line: Line) -> bool:
    same_call = first.source == line.source or not first.level
    return first.level == line.level and same_call and line.depth not in ("slurm", "machine")
