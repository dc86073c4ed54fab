"""What the templates of a dataset do otherwise than meant, told from their words and the first rows. Warnings."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig
from campaign.core import records, state_files
from campaign.core.text import did_you_mean, listed, nearest
from campaign.plan.checks.compared_check import conditions_of_other_types, texts_as_lists
from campaign.plan.checks.printed_check import (
    empty_system_messages,
    lists_as_one_text,
    missing_values,
    numbers_of_labels,
    numbers_of_periods,
    whole_numbers_with_gaps,
)
from campaign.plan.checks.texts_check import texts_taken_for_other
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.endpoints import APIS
from campaign.requests.files.matching import matching_files
from campaign.requests.files.read import SAMPLED_ROWS, fixed_columns, sampled_rows
from campaign.requests.files.row import Options, Row, options_of
from campaign.requests.problems import RowProblem
from campaign.requests.rows.bodies import Renderer, renderer
from campaign.requests.shards import shard_path
from campaign.requests.templates.columns import as_expression, not_plain
from campaign.requests.templates.environment import GLOBALS
from campaign.requests.templates.template import RowTemplate

# Not the one of \nabla and \neq, or of print("a\n").
_ESCAPED_LETTER = re.compile(r"\\u(?!d[89a-f])[0-9a-f]{4}", re.IGNORECASE)
_ESCAPED_BREAK = re.compile(r"\\n(?=\\n|[A-Z\s]|$)")


@dataclass
class _Sample:
    """First rows of a dataset, and the prompts that they make."""

    rows: list[Row] = field(default_factory=list)
    prompts: list[Any] = field(default_factory=list)
    bodies: set[bytes] = field(default_factory=set)
    endpoint: str = ""

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row.values))

    @property
    def differs(self) -> bool:
        return any(row.values != self.rows[0].values for row in self.rows)


def template_notes(config: CampaignConfig) -> Iterator[Diagnostic]:
    """Check the templates of all datasets."""
    for name, dataset in config.datasets.items():
        if dataset.prompt is None:
            continue
        try:
            render = renderer(dataset)
        except RowProblem:
            continue  # a problem of requests.dataset_check
        files, options = matching_files(dataset.files, dataset.split), options_of(dataset)
        sample = _sampled(render, files, options)
        yield from _maps(name, render, files[:1], options)
        yield from _as_meant(name, render, sample)
        yield from _printed_otherwise(config, name, sample)


def _sampled(render: Renderer, files: list[Path], options: Options) -> _Sample:
    sample = _Sample()
    for row in sampled_rows(files, options):
        try:
            request = render(row)
        except RowProblem:
            continue
        sample.rows.append(row)
        sample.endpoint = request.endpoint
        sample.prompts.append(_prompt(request.endpoint, request.body))
        sample.bodies.add(request.body)  # documents to score differ where the prompt, a query, is the same
    return sample


def _is_blank(prompt: Any) -> bool:
    text = prompt[-1]["content"] if isinstance(prompt, list) else prompt
    return isinstance(text, str) and not text.strip()


def _prompt(endpoint: str, body: bytes) -> Any:
    """Parsed: the order of a message's keys is none of the prompt."""
    return orjson.loads(body)[APIS[endpoint].prompt_field]


def _as_meant(name: str, render: Renderer, sample: _Sample) -> Iterator[Diagnostic]:
    told = False
    for part, template in render.templates.items():
        key = f"datasets.{name}.{part}"
        for written, column in _left_as_they_are(template, sample.columns):
            told = True
            reason = f"`{written}` is no Jinja: it is sent as it stands, and the same to every row"
            yield Diagnostic(key, "template", reason, f"for the column write {{{{ {as_expression(column)} }}}}", warning=True)
        yield from conditions_of_other_types(key, template, sample.rows)
        yield from texts_as_lists(key, template, sample.rows)
        yield from missing_values(key, template, sample.rows)
        yield from texts_taken_for_other(key, template, sample.rows)
        yield from whole_numbers_with_gaps(key, template, sample.rows, sample.prompts)
        yield from _never_there(key, template, sample)
        yield from lists_as_one_text(key, sample.endpoint, template, sample.rows)
        if _ESCAPED_BREAK.search(template.literal) and "\n" not in template.source:
            reason = r"`\n` in it is a backslash and an n, and is sent as these"
            remedy = 'YAML reads it as a line break in double quotes alone; or write the text on lines of its own, behind "|"'
            yield Diagnostic(key, "line_break", reason, remedy, warning=True)
        if found := _ESCAPED_LETTER.search(template.literal):
            reason = rf"`{found[0]}` in it is a backslash and {len(found[0]) - 1} letters, and is sent as these"
            letter = chr(int(found[0][2:], 16))
            remedy = f"write {letter} itself; YAML reads the escape in double quotes alone"
            yield Diagnostic(key, "escape", reason, remedy, warning=True)
        for number in sorted(template.uses.numbers):
            if str(number) not in sample.columns:
                reason = f"{{{{{number}}}}} prints {number} without its braces"
                remedy = f"to send braces write them once, or {{{{ '{{{{{number}}}}}' }}}} for both"
                yield Diagnostic(key, "number", reason, remedy, warning=True)
        for column in not_plain(template.source, sample.columns):
            reason = f"the name of the column {column!r} means something else in a template"
            yield Diagnostic(key, "template", reason, f"for the column write {as_expression(column)}", warning=True)
    yield from empty_system_messages(name, sample.rows, sample.prompts)
    if blank := [row for row, prompt in zip(sample.rows, sample.prompts, strict=True) if _is_blank(prompt)]:
        reason = f"{len(blank)} of the first {len(sample.rows)} rows make an empty prompt, such as {blank[0].place}"
        yield Diagnostic(f"datasets.{name}.prompt", "empty_prompt", reason, "leave them out of the files", warning=True)
    if not told and sample.differs and len(sample.bodies) == 1:
        reason = f"the first {len(sample.rows)} rows differ, and all make the same prompt"
        yield Diagnostic(f"datasets.{name}.prompt", "same_prompt", reason, _other_column(render, sample), warning=True)


def _never_there(key: str, template: RowTemplate, sample: _Sample) -> Iterator[Diagnostic]:
    """Columns that may be missing by the template, and that no row has, beside one of nearly the same name that is not used."""
    for name in sorted(template.names - template.required - {"row", *sample.columns} - GLOBALS.keys()):
        near = nearest(name, [column for column in sample.columns if column not in template.names], 0.8)
        if near is not None:
            reason = f"none of the first {len(sample.rows)} rows has {name!r}, which the template does without then"
            yield Diagnostic(key, "never_there", reason, did_you_mean(near, ""), warning=True)


def _other_column(render: Renderer, sample: _Sample) -> str:
    """Guess the column missing in prompts that are all the same: the one with the longest texts that differ."""
    used = {name for template in render.templates.values() for name in template.names}
    texts = {name: [str(row.values.get(name, "")) for row in sample.rows] for name in sample.columns if name not in used}
    differing = [name for name, values in texts.items() if len(set(values)) > 1]
    longest = max(differing, key=lambda name: sum(map(len, texts[name])), default=None)
    shown = "" if longest is None else f"{{{{ {as_expression(longest)} }}}}"
    if not used & set(sample.columns):
        return f"if it is to hold a column of the files, write it in braces: {shown}" if shown else ""
    same = listed(sorted(used & set(sample.columns)))
    return f"what it holds of them ({same}) is the same in each" + (f"; another column is {shown}" if shown else "")


def _maps(name: str, render: Renderer, files: Sequence[Path], options: Options) -> Iterator[Diagnostic]:
    """Columns that are maps: Arrow reads one as its pairs, for it may have a key twice."""
    columns = (fixed_columns(path, options) or {} for path in files)
    maps = {column for found in columns for column, kind in found.items() if pa.types.is_map(kind)}
    for part, template in render.templates.items():
        yield from numbers_of_labels(f"datasets.{name}.{part}", template, files)
        yield from numbers_of_periods(f"datasets.{name}.{part}", template, files)
        for column in sorted(maps & template.names):
            if not re.search(rf"\bdict\(\s*{re.escape(column)}\b|\bin\s+{re.escape(column)}\b", template.source):
                reason = f"the column {column!r} is a map, and in a template a list of its pairs"
                remedy = f"as an object it is {{{{ dict({column}) }}}}, a value of it {{{{ dict({column})['a key'] }}}}"
                yield Diagnostic(f"datasets.{name}.{part}", "map", reason, remedy, warning=True)


def _left_as_they_are(template: RowTemplate, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`{text}`, `${text}` and `$text` in a template's plain text, with the column each names and the template does not use."""
    told: set[str] = set()
    for column in sorted(columns, key=len, reverse=True):  # {Q1.2} is the column Q1.2, not a field of Q1
        if column in template.names or not re.search(r"\w", column):
            continue
        name = re.escape(column)
        # {text}, {text.title}, {text[0]}, {price:.2f}; not {"text": ...} or {text: a text}, which are JSON or nearly so.
        braces = rf"\$?\{{\s*{name}\s*(?:[.\[!][^{{}}]*|:[-+<>^=.,\d][^{{}}]*)?\}}\}}?"
        if found := re.search(rf"{braces}|\${name}\b|%\({name}\)[sdf]", template.literal):
            if found[0] not in told:
                yield found[0], column
            told.add(found[0])


def _printed_otherwise(config: CampaignConfig, name: str, sample: _Sample) -> Iterator[Diagnostic]:
    """Prompts of earlier requests that the same template on the same rows now prints otherwise: theirs are other requests."""
    before = _asked_before(config, name)
    now = {(row.file, row.number): prompt for row, prompt in zip(sample.rows, sample.prompts, strict=True)}
    both = now.keys() & before.keys()
    changed = sum(now[place] != before[place] for place in both)
    if changed:
        reason = (
            f"{changed} of the first {len(both)} prompts are not what an earlier version made of these rows (it printed lists, "
            "objects, true, false and some numbers as Python writes them); they are asked again"
        )
        remedy = "to keep their answers, finish the campaign with that version"
        yield Diagnostic(f"datasets.{name}.prompt", "printed_otherwise", reason, remedy, warning=True)


def _asked_before(config: CampaignConfig, name: str) -> dict[tuple[str, int], Any]:
    """Prompts of the first shard of an earlier run, by file and row; none where the template or the files changed since."""
    manifest = records.peek(state_files.MANIFEST, config.paths.manifest(name))
    saved = records.peek(state_files.CONFIG, config.paths.config)
    path = shard_path(config.paths.request_shards(name), 0)
    if manifest is None or saved is None or not path.exists() or not _as_then(config, name, saved):
        return {}
    written = config.paths.manifest(name).stat().st_mtime
    if any(not (file := Path(one["path"])).exists() or file.stat().st_mtime > written for one in manifest["files"]):
        return {}
    rows = _first_requests(path)
    known = [row for row in rows if row["endpoint"] in APIS]  # rows set aside have none
    return {(row["source_file"], row["source_row"]): _prompt(row["endpoint"], row["body"]) for row in known}


def _first_requests(path: Path) -> list[dict[str, Any]]:
    columns = ["source_file", "source_row", "endpoint", "body"]
    try:
        with pq.ParquetFile(path) as shard:
            batch = next(shard.iter_batches(SAMPLED_ROWS, columns=columns), None)
    except (OSError, pa.ArrowException):
        return []  # a damaged shard is made again
    rows: list[dict[str, Any]] = [] if batch is None else batch.to_pylist()
    return rows


def _as_then(config: CampaignConfig, name: str, saved: Any) -> bool:
    """Whether the templates are those of the campaign's last run."""
    now, then = config.datasets[name], saved.get("datasets", {}).get(name, {})
    return (now.prompt, now.system, now.endpoint) == (then.get("prompt"), then.get("system"), then.get("endpoint"))
