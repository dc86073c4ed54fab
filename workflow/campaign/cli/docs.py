"""What is made from the code: `python -m campaign.cli.docs` writes it, tests keep it current.

config/README.md                     the part below its marker, from the config's models
workflow/schemas/config.schema.json  from the same (campaign.config.schema)
docs/results.md                      from the table constants
docs/troubleshooting.md              from the failures `campaign explain` knows
docs/retries.md                      from the table of patience
"""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import orjson
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from campaign.config import CampaignConfig, schema
from campaign.config.base import parse_duration
from campaign.core.patience import SECTIONS, Wait
from campaign.core.tables import ERROR_CLASSES, POOLED, TABLES, Table
from campaign.core.text import duration
from campaign.explain import SECTIONS as KNOWN_FAILURES
from campaign.explain import Verdict, signatures_by_cluster

REPOSITORY = Path(__file__).parents[3]
CONFIG_PAGE = REPOSITORY / "config" / "README.md"
RESULTS_PAGE = REPOSITORY / "docs" / "results.md"
TROUBLESHOOTING_PAGE = REPOSITORY / "docs" / "troubleshooting.md"
RETRIES_PAGE = REPOSITORY / "docs" / "retries.md"
MARKER = "<!-- Below: made from the code by `python -m campaign.cli.docs`. -->"

_PLACES = {
    "requests": "results/<campaign>/requests/",
    "responses": "results/<campaign>/responses/",
    POOLED.name: "results/<campaign>/responses/",
    "benchmarks": "results/<campaign>/benchmarks.parquet",
    "accounting": "results/<campaign>/accounting.parquet",
}


def config_reference() -> str:
    """Every key of the config with its default and meaning, section by section (Markdown)."""
    return "\n".join([MARKER, "", *_section(CampaignConfig, "")])


def _section(model: type[BaseModel], path: str) -> Iterator[str]:
    yield f"### {f'`{path}`' if path else 'Top level'}"
    yield ""
    yield (model.__doc__ or "").split("\n")[0]
    yield ""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    below = []
    for name, field in model.model_fields.items():
        yield f"| `{field.alias or name}` | {_default(field)} | {_cell(field.description or '')} |"
        if (section := _section_of(field.annotation)) is not None:
            named = get_origin(field.annotation) is dict
            below.append((section, f"{path}.{field.alias or name}".lstrip(".") + (".<name>" if named else "")))
    yield ""
    for section, at in below:
        yield from _section(section, at)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (dict, list, Union, UnionType):
        return next((found for a in get_args(annotation) if (found := _section_of(a))), None)
    return None


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, BaseModel):
        return "see below"
    if get_origin(field.annotation) is Literal:
        return f"`{field.default}` ({' or '.join(map(str, get_args(field.annotation)))})"
    if any(isinstance(extra, BeforeValidator) and extra.func is parse_duration for extra in field.metadata):
        return f"`{duration(field.default)}`"
    return f"`{_plain(field.default)}`"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def results_reference() -> str:
    """Every column of every table (Markdown)."""
    lines = [
        "# Results",
        "",
        "<!-- Made from workflow/campaign/core/tables.py by `python -m campaign.cli.docs`. -->",
        "",
        "All tables are parquet. Times are UTC, durations are seconds, tokens are counted by the engine.",
        "",
    ]
    for table in TABLES:
        lines += _table(table)
    lines += [
        "## Error classes",
        "",
        "Why a row of `responses` has no answer (`error_class`):",
        "",
        "| class | meaning |",
        "|---|---|",
    ]
    lines += [f"| `{name}` | {_cell(meaning)} |" for name, meaning in ERROR_CLASSES.items()]
    return "\n".join([*lines, ""])


def _table(table: Table) -> list[str]:
    rows = [f"| `{column.name}` | {column.type} | {_cell(column.meaning)} |" for column in table.columns]
    return [
        f"## {table.name}",
        "",
        f"`{_PLACES[table.name]}` {table.meaning}",
        "",
        "| column | type | meaning |",
        "|---|---|---|",
        *rows,
        "",
    ]


def troubleshooting() -> str:
    """Every failure `campaign explain` knows, and how it finds the cause (Markdown)."""
    lines = [
        "# Troubleshooting",
        "",
        "<!-- Made from workflow/campaign/explain/ by `python -m campaign.cli.docs`. -->",
        "",
        "`campaign explain LOG` finds the cause in the logs of one failure: of the server, of Ray, of Slurm or of a phase",
        "(below `logs/<campaign>/` and `.snakemake/slurm_logs/`), several of them or a folder like",
        "`logs/<campaign>/allocations/<model>/0`. A server that dies, the phase that waits for it, `campaign status`,",
        "the report and accounting.parquet show the same sentence.",
        "",
        "What counts is evidence: the first exception of the innermost process that died (a worker before the engine's",
        "core before the API server). What follows it is consequence; INFO and WARNING lines count only where a failure",
        "says so; what the server survived does not count, nor what it says of a single request. An exception that is not",
        "known is shown as it is, with the verdict `again`; one that only the installation or the config decides (an",
        "ImportError, a SyntaxError) is `permanent`.",
        "Exit code: 0 a cause was found, 1 nothing was found, 2 a log cannot be read.",
        "",
        "The verdict says what could help:",
        "",
        *(f"- `{verdict}`: {meaning}." for verdict, meaning in _VERDICTS.items()),
        "",
        "## Failures of your own",
        "",
        "`config/signatures.toml`, in the folder where Snakemake runs, names failures that are not in the tables below;",
        "they go before those. The plan refuses a file that is wrong. A pattern is searched in every exception, and in every",
        "line of no level or of level ERROR, whatever its words; time, level and process are taken off before.",
        "",
        "```toml",
        "[[signatures]]",
        'name = "licence_server"',
        "pattern = 'no licence of (?P<what>\\w+) left'   # a regular expression of Python",
        'cause = "The licence server has no licence of {what} left."',
        'remedy = "wait, or ask the support for more"',
        'verdict = "again"          # permanent, again or another_node; has to be said',
        '# inside = "load_model"    # has to stand in the traceback too',
        "# quiet = true             # INFO and WARNING lines count as well",
        "```",
    ]
    by_cluster = {title: found for title, found in signatures_by_cluster().items() if found}
    for heading, signatures in {**KNOWN_FAILURES, **by_cluster}.items():
        lines += ["", f"## {heading}", "", "| failure | cause | to mend it | verdict |", "|---|---|---|---|"]
        lines += [f"| `{s.name}` | {_cell(s.cause)} | {_cell(s.remedy)} | {s.verdict} |" for s in signatures]
    return "\n".join([*lines, ""])


_VERDICTS: dict[Verdict, str] = {
    "permanent": "the config or the installation has to be mended; it is not tried again",
    "again": "another start can help, and is made by itself",
    "another_node": "this node cannot serve; under Slurm its job ends, and Snakemake submits one that leaves the node out",
}


def retries() -> str:
    """Every wait and retry of the product (Markdown)."""
    lines = [
        "# What is waited for, and how long",
        "",
        "<!-- Made from workflow/campaign/core/patience/ by `python -m campaign.cli.docs`. -->",
        "",
        "What may pass is waited for, and each wait has an end. What cannot pass (a refused flag, a prompt that is too long, a",
        "folder that does not exist) ends at the first try. Nothing that was journalled is asked again, whatever ends a wait.",
    ]
    for heading, waits in SECTIONS.items():
        lines += ["", f"## {heading}", "", "| waited for | how long | then | seen meanwhile | by |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(_cell(text) for text in _wait(wait))} |" for wait in waits]
    return "\n".join([*lines, ""])


def _wait(wait: Wait) -> tuple[str, ...]:
    how_long = wait.bound or duration(wait.seconds)
    if any(wait.pause_s):
        how_long += f", {wait.pause_s[0]:g} to {wait.pause_s[1]:g} s between two tries"
    why = f" ({wait.why})" if wait.why else ""
    return wait.what, how_long + why, wait.then, wait.seen, ", ".join(f"`{module}`" for module in wait.by) or "Snakemake"


def config_page() -> str:
    """config/README.md with its generated part renewed."""
    return CONFIG_PAGE.read_text().split(MARKER)[0] + config_reference()


def main() -> None:
    """Write the generated pages, and the schema of the config."""
    RESULTS_PAGE.parent.mkdir(exist_ok=True)
    RESULTS_PAGE.write_text(results_reference())
    TROUBLESHOOTING_PAGE.write_text(troubleshooting())
    RETRIES_PAGE.write_text(retries())
    CONFIG_PAGE.write_text(config_page())
    schema.main()


if __name__ == "__main__":
    main()
