"""docs/prompts.md: every example is run as it stands, and asks what the page says."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from campaign.cli.docs import REPOSITORY
from campaign.config import validate
from campaign.requests.endpoints import APIS
from campaign.requests.prepare import prepare
from campaign.requests.rows import bad_rows
from campaign.requests.shards import read_shard, shard_path

PAGE = (REPOSITORY / "docs" / "prompts.md").read_text()
SECTIONS = {text.split("\n")[0]: text for text in re.split(r"(?m)^###? ", PAGE)[1:] if "<!-- asks -->" in text}


def blocks(start: str, section: str) -> list[Any]:
    """What stands in the fenced blocks that begin so; with the groups of `start`, where it has some."""
    return re.findall(rf"{start}\n(.*?)```", section, re.DOTALL)


def lay_out(section: str) -> None:
    """The files of a section."""
    for name, content in blocks(r"<!-- file: (\S+) -->\n```\w+", section):
        Path(name).write_text(content)
    for code in blocks("```python", section):
        exec(code, {})


@pytest.mark.parametrize("name", SECTIONS)
def test_an_example_asks_what_the_page_says(name: str, in_tmp: Path) -> None:
    section = SECTIONS[name]
    lay_out(section)
    shown = yaml.safe_load(blocks("```yaml", section)[0])
    config = validate({"campaign": "c", "models": {"m": {"source": "model"}}, **shown})
    (dataset,) = config.datasets
    asked, beside = [], []
    for shard in prepare(config, dataset)["shards"]:
        for row in read_shard(shard_path(config.paths.request_shards(dataset), shard["index"])).to_pylist():
            if row["endpoint"] == bad_rows.ENDPOINT:
                continue
            prompt = APIS[row["endpoint"]].prompt_of(row["body"])
            messages, body = orjson.loads(prompt), orjson.loads(row["body"])
            beside.append({name: value for name, value in body.items() if name != APIS[row["endpoint"]].prompt_field})
            content = messages[-1]["content"]
            content = content if isinstance(content, str) else orjson.dumps(content).decode()
            asked.append(prompt if config.datasets[dataset].prompt is None else content)
    assert asked == blocks("<!-- asks -->\n```text", section)[0].splitlines()
    for shown_fields in blocks("<!-- beside the prompt -->\n```json", section):
        assert beside == [orjson.loads(line) for line in shown_fields.splitlines()]


def test_the_page_has_an_example_of_every_kind() -> None:
    assert list(SECTIONS) == [
        "JSON",
        "CSV and TSV",
        "Excel",
        "Parquet and Arrow",
        "Compressed files",
        "Plain text",
        "Dataset folders",
        "Chat messages and ShareGPT",
        "OpenAI Batch files",
        "Bad rows",
        "Fields of each row",
        "Images and sounds",
    ]
