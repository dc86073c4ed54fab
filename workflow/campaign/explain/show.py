"""What `campaign explain` prints, for people and as plain values."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from campaign.core.errors import ConfigError, Unreadable
from campaign.explain import cause
from campaign.explain.cause import Finding, findings_in
from campaign.explain.logs import failures_in
from campaign.explain.own_signatures import own_signatures
from campaign.explain.signature import MEANINGS, Signature

_FOLLOWED = 5  # consequences that are listed below a cause


def explain_paths(paths: Sequence[Path]) -> list[Finding]:
    """What logs tell of one failure, the cause first; of a folder its newest failure. `-` is standard input.

    Raises Unreadable when one of them, or the user's signatures, cannot be read.
    """
    try:
        own = own_signatures()
    except ConfigError as error:
        raise Unreadable("\n".join(error.problems)) from None
    if [str(path) for path in paths] == ["-"]:
        return cause.findings(sys.stdin.read(), own)
    if len(paths) == 1 and paths[0].is_dir():
        return _newest_failure(paths[0], own)
    files = [file for path in paths for file in (_all_of(path) if path.is_dir() else [path])]
    return _read(files, own)


def _newest_failure(folder: Path, own: Sequence[Signature]) -> list[Finding]:
    groups = failures_in(folder)
    if not groups:
        raise Unreadable(f"{folder} holds no logs. Logs lie below logs/<campaign>/.")
    return next((causes for group in groups if (causes := _read(group, own))), [])


def _all_of(folder: Path) -> list[Path]:
    return [path for group in failures_in(folder) for path in group]


def _read(files: Sequence[Path], own: Sequence[Signature]) -> list[Finding]:
    try:
        return findings_in(files, own)
    except OSError as error:
        raise Unreadable(f"{error.filename} cannot be read ({error.strerror}). Logs lie below logs/<campaign>/.") from None


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings as plain values; the first is the cause."""
    return [
        {
            "name": finding.name,
            "cause": finding.cause,
            "remedy": finding.remedy,
            "verdict": finding.verdict,
            "line": finding.line,
            "line_number": finding.line_number,
            "log": None if finding.log is None else str(finding.log),
        }
        for finding in findings
    ]


def render(findings: Sequence[Finding], paths: Sequence[Path]) -> RenderableType:
    """The findings for a terminal."""
    if not findings:
        return Text(f"No failure in {', '.join(map(str, paths))}. If there was one, its last lines usually say what happened.")
    return Group(*_cause(findings[0]), *_consequences(findings[1:]))


def _cause(finding: Finding) -> Iterator[Text]:
    yield Text(finding.place or "standard input", style="bold")
    yield Text(f"  {finding.line}", style="dim")
    yield Text(f"  cause:   {finding.cause}")
    yield Text(f"  remedy:  {finding.remedy}")
    yield Text(f"  verdict: {finding.verdict} ({MEANINGS[finding.verdict]})")


def _consequences(findings: Sequence[Finding]) -> Iterator[Text]:
    if findings:
        yield Text("What followed, or came with it:", style="dim")
    for finding in findings[:_FOLLOWED]:
        yield Text(f"  {finding.place}: {finding.name}: {finding.line[:160]}", style="dim")
    if len(findings) > _FOLLOWED:
        yield Text(f"  and {len(findings) - _FOLLOWED} more (--json lists all)", style="dim")
