"""The cause of a failure: the first exception of the innermost process that died, with what its signature says of it."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from campaign.explain.evidence import Incident, incidents_of
from campaign.explain.lines import DEPTHS, Line, lines_of
from campaign.explain.logs import read_bounded
from campaign.explain.origins import fails_each_start, origin_of
from campaign.explain.signature import ROLES, Role, Signature, Verdict
from campaign.explain.signatures import SIGNATURES

_SHOWN = 300  # characters of a line
_MOST_KINDS = 1_000  # of exceptions and error lines that are looked at in one log; the cause is not behind so many
_UNKNOWN_REMEDY = "no known failure: read the lines around it in the log, and search its words in the issues of vLLM"
_MEND = " To mend it: "
_BEFORE_A_SENTENCE = ("campaign: ", "failed: ", "Error: ", " is failed. ", "without an answer. ", "ended with: ")
# Exceptions of a process that somebody else ends.
_STOPPED = ("KeyboardInterrupt", "SystemExit", "asyncio.exceptions.CancelledError", "CancelledError", "GeneratorExit")
# Sources that log errors of a single request: the server goes on.
_OF_A_REQUEST = re.compile(
    r"serving\w*|\w*(?:tool|reasoning)_parser\w*|chat_utils|preprocess|protocol|detokenizer|renderer\w*|hf|connection"
)
# Errors that only the installation and the config decide. A missing file is not among them: this node may lack a mount.
_FAILS_AGAIN = re.compile(
    r"(?:\w+\.)*(?:SyntaxError|IndentationError|TabError|ImportError|ModuleNotFoundError)\b|"
    r"AttributeError: (?:partially initialized )?module '|(?:_?pickle\.)?PicklingError: |"
    r"TypeError: .*unexpected keyword argument|"
    r"(?:\w+\.)*ValidationError: \d+ validation errors? for |(?:argparse\.)?ArgumentError: "
)
# A process or task that was started ended badly: what it said itself tells why.
_OF_A_CHILD = re.compile(r"(?:subprocess\.)?CalledProcessError: |(?:\w+\.)*(?:Base)?ExceptionGroup: ")
# Raised when processes are listed (Ray's agent, by psutil) on a machine whose hidepid closes those of other users.
_OF_ANOTHER_PROCESS = re.compile(r"PermissionError: .*'/proc/\d+/|psutil\.\S*AccessDenied")
_ENGINE_GONE = ("EngineDead", "EngineCore", "Background loop")


@dataclass(frozen=True)
class Finding:
    """Something in a log that tells of a failure. Without a signature it is an exception that is shown as it is."""

    name: str
    cause: str
    remedy: str
    verdict: Verdict
    line: str  # cut around what was matched
    line_number: int | None
    log: Path | None
    role: Role
    depth: int
    time: str

    @property
    def sentence(self) -> str:
        """Cause and remedy, as every place shows them."""
        return f"{self.cause}{_MEND}{self.remedy}"

    @property
    def place(self) -> str:
        """ "log:line", as far as both are known."""
        return ":".join(str(part) for part in (self.log, self.line_number) if part is not None)


def findings(text: str, own: Sequence[Signature] = ()) -> list[Finding]:
    """What a text tells of a failure: the cause first, what followed behind it. `own`: signatures of the user or site."""
    return _ordered(_of_lines(lines_of(enumerate(text.splitlines(), 1)), own, None))


def findings_in(logs: Iterable[Path], own: Sequence[Signature] = ()) -> list[Finding]:
    """What several logs tell of one failure: the cause first, whichever log it stands in. Raises OSError."""
    return _ordered([finding for log in logs for finding in _of_lines(lines_of(read_bounded(log)), own, log)])


def _of_lines(lines: Iterable[Line], own: Sequence[Signature], log: Path | None) -> list[Finding]:
    table = (*own, *SIGNATURES)
    present: set[str] = set()  # names of the signatures whose `beside` stands in the log
    watched = _watched(lines, [signature for signature in table if signature.beside], present)
    incidents = [incident for incident in incidents_of(watched, _wanted_by(own)) if not _harmless(incident)]
    find = _finder([signature for signature in table if not signature.beside or signature.name in present], log)
    by_cause: dict[tuple[str, str], Finding] = {}
    before_stop = False
    for incident in incidents:
        finding = find(incident)
        if finding is None:
            continue
        if incident.after_stop and not before_stop and finding.depth not in (DEPTHS["slurm"], DEPTHS["machine"]):
            continue  # whoever is told to stop says many things
        before_stop = before_stop or not incident.after_stop
        by_cause.setdefault((finding.name, finding.cause), finding)
    return list(by_cause.values())


def _watched(lines: Iterable[Line], signatures: Sequence[Signature], present: set[str]) -> Iterator[Line]:
    """The lines as they are, while `present` takes the names of signatures whose `beside` stands in one of them."""
    for line in lines:
        present.update(s.name for s in signatures if s.name not in present and s.beside_regex.search(line.text))
        yield line


def _wanted_by(own: Sequence[Signature]) -> Callable[[Line], bool]:
    """Whether a line is evidence for one of these signatures, whatever its words: who wrote a pattern wants it found.

    They are searched one after the other: joined into one expression, nine take as long, and flags and backreferences break.
    """
    loud = [signature.regex.search for signature in own if not signature.inside]  # a line has no traceback
    quiet = [signature.regex.search for signature in own if not signature.inside and signature.quiet]
    return lambda line: any(search(line.text) for search in (loud if line.loud else quiet))


def _harmless(incident: Incident) -> bool:
    words = incident.messages[-1][0].text
    if incident.exception and (words.startswith(_STOPPED) or _OF_ANOTHER_PROCESS.match(words)):
        return True
    if incident.line.source == "dump_input.py":  # whatever the prompts of the batch say
        return True
    return _OF_A_REQUEST.fullmatch(incident.line.source.removesuffix(".py")) is not None and not any(
        gone in words for gone in _ENGINE_GONE
    )


def _finder(table: Sequence[Signature], log: Path | None) -> Callable[[Incident], Finding | None]:
    seen: set[tuple[bool, str]] = set()  # an error that is told for every request is looked at once

    def find(incident: Incident) -> Finding | None:
        key = incident.line.loud, "\n".join(incident.texts)
        if key in seen or len(seen) > _MOST_KINDS:
            return None
        seen.add(key)
        finding = (
            _explained_before(incident, table, log) or _by_signature(incident, table, log) or _without_signature(incident, log)
        )
        # "Unable to contact slurm controller" stays what it is: that is no code for what a site has said.
        echoes = finding is not None and incident.refused and finding.verdict == "permanent"
        return replace(finding, role="echo") if finding is not None and echoes else finding

    return find


def _explained_before(incident: Incident, table: Sequence[Signature], log: Path | None) -> Finding | None:
    """The sentence of a failure that was explained when it happened, where one of our own logs repeats it."""
    line = next((line for message in incident.messages for line in message if _MEND in line.text), None)
    if line is None or not incident.line.loud:
        return None
    cause, _, remedy = line.text.partition(_MEND)
    for before in _BEFORE_A_SENTENCE:
        cause = cause.rpartition(before)[2]
    remedy = remedy.partition(" (log: ")[0]
    known = next((signature for signature in table if signature.remedy == remedy), None)
    name, verdict = (known.name, known.verdict) if known else ("told", "again")
    shown, depth = cut_around(line.text, cause), DEPTHS[incident.line.depth]
    return Finding(name, cause, remedy, verdict, shown, line.number, log, "cause", depth, line.time)


def _by_signature(incident: Incident, table: Sequence[Signature], log: Path | None) -> Finding | None:
    """Find the first exception of the chain that has a signature; one that tells the cause goes before one that does not."""
    best: tuple[int, Finding] | None = None
    for message, text in zip(incident.messages, incident.texts, strict=True):
        for signature in table:
            if not incident.line.loud and not signature.quiet:
                continue
            rank = ROLES.index(signature.role)
            if best is not None and rank >= best[0]:
                continue
            matched = signature.regex.search(text)
            if matched is None or (signature.inside and not signature.inside_regex.search(incident.frames)):
                continue
            at = text.count("\n", 0, matched.start())
            best = rank, _finding(signature, incident, message[at], matched.group(), _named(matched.groupdict()), log)
            if rank == 0:
                return best[1]
    return best[1] if best else None


def _named(groups: dict[str, str | None]) -> dict[str, str]:
    return {f"{{{name}}}": (value or "").strip() for name, value in groups.items()}


def _finding(
    signature: Signature, incident: Incident, line: Line, matched: str, named: dict[str, str], log: Path | None
) -> Finding:
    cause, remedy = signature.cause, signature.remedy
    for name, value in named.items():
        cause, remedy = cause.replace(name, value), remedy.replace(name, value)
    depth = DEPTHS[signature.depth or incident.line.depth]
    shown = cut_around(line.text, matched.split("\n")[0])
    return Finding(
        signature.name,
        _as_sentence(cause),
        remedy,
        signature.verdict,
        shown,
        line.number,
        log,
        signature.role,
        depth,
        line.time,
    )


def _without_signature(incident: Incident, log: Path | None) -> Finding | None:
    """An exception without a signature: the first of a chain whose exceptions cause each other, else the last."""
    if not incident.exception or not incident.line.loud:
        return None
    message = incident.messages[0 if incident.direct else -1]
    line = _remote_exception(message) or message[0]
    text = _whole(message) if line is message[0] else line.text
    shown = cut_around(text, text[:_SHOWN]) + _where(text, incident.frames)
    origin, depth = origin_of(incident.frames), DEPTHS[incident.line.depth]
    cause = _as_sentence(f"An exception in {origin.words}: {shown}" if origin else shown)
    stays = _FAILS_AGAIN.match(text) or fails_each_start(text, incident.frames)
    verdict: Verdict = "permanent" if stays else "again"
    role: Role = "death" if _OF_A_CHILD.match(text) else "cause"
    remedy = origin.remedy if origin else _UNKNOWN_REMEDY
    return Finding("exception", cause, remedy, verdict, shown, line.number, log, role, depth, line.time)


def _whole(message: Sequence[Line]) -> str:
    """An exception whose words begin on the line after its name, with those lines."""
    first, *more = (line.text.strip() for line in message)
    return " ".join((first, *more)) if first.endswith(":") and more else first


def _where(text: str, frames: str) -> str:
    """The code that raised an exception which says nothing itself."""
    if ":" in text and not text.endswith(":"):
        return ""
    code = [frame for frame in frames.splitlines() if frame.strip(" ^~|+")]
    place = next((frame for frame in reversed(code) if frame.startswith("File ")), None)
    words = f": {code[-1]}" if code and not code[-1].startswith("File ") else ""
    return f"{words} ({place})" if place else ""


def _as_sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?", "...")) else text.rstrip(" :,;") + "."


def _remote_exception(message: Sequence[Line]) -> Line | None:
    """The exception of the remote process, which Ray prints below its own: RayTaskError(ValueError): ray::..."""
    if "RayTaskError(" not in message[0].text:
        return None
    kind = message[0].text.partition("RayTaskError(")[2].partition(")")[0]
    return next((line for line in reversed(message[1:]) if _is_a(kind, line.text)), None)


def _is_a(kind: str, text: str) -> bool:
    return text.partition(":")[0].rpartition(".")[2] == kind


def _ordered(found: Sequence[Finding]) -> list[Finding]:
    """The cause first. The others as they came: within a log by line, between logs by time."""
    placed = [_rank(finding, found[:index]) for index, finding in enumerate(found)]
    timed = {finding.log for finding in found if finding.time}
    order = sorted(range(len(found)), key=lambda i: (*placed[i], _time(found[i], timed), i))
    return [found[i] for i in order]


def _time(finding: Finding, timed: Collection[Path | None]) -> str:
    """For the order: what stands above the first time of its log is early, a log without times is late."""
    return finding.time or ("" if finding.log in timed else "~")


def _rank(finding: Finding, before: Sequence[Finding]) -> tuple[int, int]:
    """Smallest first: what it tells, then how deep its process is."""
    rank = ROLES.index(finding.role)
    unknown = finding.name == "exception"
    if unknown and any(other.depth > finding.depth for other in before):
        rank = ROLES.index("echo")  # a process further out fails after one further in
    ended = any(other.name in _ENDINGS and other.log == finding.log for other in before)
    if ended and finding.name not in _ENDINGS and finding.depth != DEPTHS["machine"]:
        rank = ROLES.index("echo")  # Slurm had ended the job; a memory that was full it tells of afterwards
    return rank, -finding.depth


_ENDINGS = frozenset({"slurm_time_limit", "slurm_preempted", "slurm_node_failed", "slurm_cancelled"})


def cut_around(text: str, matched: str) -> str:
    """At most 300 characters of a line, with what was matched in the middle."""
    text, matched = text.strip(), matched.strip()
    if len(text) <= _SHOWN:
        return text
    start = max(0, text.find(matched[:_SHOWN]))
    first = max(0, min(start - (_SHOWN - min(len(matched), _SHOWN)) // 2, len(text) - _SHOWN))
    shown = text[first : first + _SHOWN]
    return ("..." if first else "") + shown.strip() + ("..." if first + _SHOWN < len(text) else "")
