"""What templates print and most likely do not mean."""

from pathlib import Path
from typing import Any

import datasets
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.config import validate
from campaign.plan.checks.template_check import template_notes
from campaign.requests.files.read import labels_of

ROWS = [{"t": "a", "s": "", "ids": [1, 2], "docs": ["x", "y"]}, {"t": "b", "s": "Be brief.", "ids": [3], "docs": ["z"]}]


def told(**keys: Any) -> list[str]:
    Path("in.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in ROWS))
    dataset = {"files": "in.jsonl", "prompt": "{{ t }}", "models": ["m"], **keys}
    config = validate({"campaign": "c", "models": {"m": {"source": "model"}}, "datasets": {"d": dataset}})
    return [str(note) for note in template_notes(config)]


def test_an_empty_system_message_is_told(in_tmp: Path) -> None:
    (said,) = told(system="{{ s }}")
    assert said.startswith(
        "datasets.d.system: 1 of the first 2 rows make an empty system message, such as in.jsonl:1, and it is sent; "
    )
    assert told(system="{{ s or 'Be kind.' }}") == []


def test_token_ids_that_are_printed_are_told(in_tmp: Path) -> None:
    assert told(prompt="{{ ids }}", endpoint="completions") == [
        "datasets.d.prompt: {{ ids }} prints a list as one text, such as '[1, 2]'; "
        "for token ids use an OpenAI Batch file: {url: /v1/completions, body: {prompt: [1, 2]}}"
    ]


def test_documents_that_are_one_text_are_told(in_tmp: Path) -> None:
    (said,) = told(endpoint="score", document="{{ docs }}")
    assert said.endswith("; to score each of them: endpoint: rerank, documents: docs")


@pytest.mark.parametrize(
    "keys",
    [
        {"prompt": "{{ ids }}"},
        {"prompt": "The ids {{ ids }}", "endpoint": "completions"},
        {"prompt": "{{ docs }}", "endpoint": "completions"},
        {"endpoint": "score", "document": "{{ docs | join(' ') }}"},
    ],
)
def test_what_may_be_meant_is_not_told(in_tmp: Path, keys: dict[str, Any]) -> None:
    assert told(**keys) == []


def _labelled() -> datasets.Dataset:
    label = datasets.ClassLabel(names=["bad", "it's good"])
    features = datasets.Features({"t": datasets.Value("string"), "label": label})
    return datasets.Dataset.from_dict({"t": ["a", "b"], "label": [0, 1]}, features=features)


@pytest.mark.parametrize("files", ["saved", "in.parquet"])
def test_the_number_of_a_label_is_told_with_its_name(in_tmp: Path, files: str) -> None:
    _labelled().save_to_disk("saved")
    _labelled().to_parquet("in.parquet")
    (said,) = told(files=files, prompt="{{ t }} {{ label }}")
    assert "{{ label }} prints the number of a label; the names are bad, it's good; for the name write " in said
    written = said.partition("for the name write ")[2]
    assert written == """{{ ['bad', "it's good"][label] }}"""
    assert told(files=files, prompt="{{ t }} " + written) == []


def test_data_of_others_have_no_labels(in_tmp: Path) -> None:
    schema = pa.schema({"t": pa.string()}, metadata={b"huggingface": b'{"info": {}}'})
    pq.write_table(pa.table({"t": ["a"]}, schema=schema), "in.parquet")
    assert told(files="in.parquet") == []
    assert labels_of(Path("none.parquet")) == labels_of(Path("none.arrow")) == labels_of(Path("in.csv")) == {}


@pytest.mark.parametrize("prompt", [r"Sum up:\n\n{{ t }}", r"Sum up: {{ t }}\nAnswer:", r"{{ t }}\n"])
def test_a_line_break_that_is_none_is_told(in_tmp: Path, prompt: str) -> None:
    (said,) = told(prompt=prompt)
    assert (
        r"`\n` in it is a backslash and an n, and is sent as these; YAML reads it as a line break in double quotes alone"
        in said
    )


@pytest.mark.parametrize(
    "prompt",
    ["Sum up:\n{{ t }}", r"Show \nabla {{ t }} and \neq", r'What does print("{{ t }}\n") do?', "Code:\nprint('\\nA') {{ t }}"],
)
def test_other_backslashes_are_not_told(in_tmp: Path, prompt: str) -> None:
    assert told(prompt=prompt) == []


def _of_texts(*texts: str) -> list[str]:
    Path("in.csv").write_text("t\n" + "".join(f"{text}\n" for text in texts))
    return told(files="in.csv")


@pytest.mark.parametrize("word", ["nan", "NULL", r"\N", "#N/A"])
def test_a_word_for_a_missing_value_is_told(in_tmp: Path, word: str) -> None:
    (said,) = _of_texts("the food was good", word, "the room was cold")
    assert said.startswith(f"datasets.d.prompt: 1 of the first 3 rows print {word!r} for t, such as in.csv row 2 (line 3), ")


def test_codes_and_short_answers_are_not_told(in_tmp: Path) -> None:
    assert _of_texts("DE", "NULL", "FR") == []
    assert _of_texts("the food was good", "NA", "None") == []
    assert _of_texts("the food was good", "nothing") == []


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("in.csv", "t,n\na,3.0\nb,\nc,40.0\n", "n | float | int"),
        ("in.json", '[{"t": "a", "n": 3.0}, {"t": "b", "n": null}, {"t": "c", "n": 40.0}]', "n | int"),
    ],
)
def test_whole_numbers_with_gaps_are_told(in_tmp: Path, name: str, content: str, remedy: str) -> None:
    """pandas makes floats of them."""
    Path(name).write_text(content)
    (said,) = told(files=name, prompt="{{ n or 'no age' }} {{ t }}")
    assert said.startswith("datasets.d.prompt: n is printed as 3.0, as pandas writes whole numbers where some are missing (in.")
    assert said.endswith(f"; for 3 write {remedy}")
    assert told(files=name, prompt=f"{{{{ {remedy} if n else 'no age' }}}} {{{{ t }}}}") == []


@pytest.mark.parametrize("numbers", ["3.0 2.5 none", "3.0 4.0", "3 none 4", "3.0 none"])
def test_other_numbers_are_not_told(in_tmp: Path, numbers: str) -> None:
    Path("in.csv").write_text("t,n\n" + "".join(f"a,{'' if n == 'none' else n}\n" for n in numbers.split()))
    assert told(files="in.csv", prompt="{{ t }} is {{ n or 'unknown' }}") == []


def test_the_numbers_of_a_list_of_labels_are_told(in_tmp: Path) -> None:
    label = datasets.ClassLabel(names=["O", "B"])
    features = datasets.Features({"t": datasets.Value("string"), "tags": datasets.Sequence(label)})
    datasets.Dataset.from_dict({"t": ["a"], "tags": [[0, 1]]}, features=features).to_parquet("in.parquet")
    (said,) = told(files="in.parquet", prompt="{{ t }} {{ tags }}")
    assert "{{ tags }} prints the numbers of labels; the names are O, B; for the names write " in said
    written = said.partition("for the names write ")[2]
    assert written == "{% for each in tags %}{{ ['O', 'B'][each] }} {% endfor %}"
    assert told(files="in.parquet", prompt="{{ t }} " + written) == []


def test_an_escape_that_is_none_is_told(in_tmp: Path) -> None:
    (said,) = told(prompt=r"Un caf\u00e9: {{ t }}")
    assert said.endswith(
        r"`\u00e9` in it is a backslash and 5 letters, and is sent as these; "
        "write \u00e9 itself; YAML reads the escape in double quotes alone"
    )


def test_a_column_that_no_row_has_is_told_beside_one_of_nearly_its_name(in_tmp: Path) -> None:
    (said,) = told(prompt="{% if idss is defined %}{{ idss }}{% endif %}{{ t }}")
    assert said.endswith("none of the first 2 rows has 'idss', which the template does without then; did you mean 'ids'?")
    assert told(prompt="{{ input | default('') }}{{ t }}{{ s }}") == []


@pytest.mark.parametrize("name", ["in.parquet", "in.arrow"])
def test_periods_of_pandas_are_told(in_tmp: Path, name: str) -> None:
    """Their extension type is known only where pandas is imported."""
    extension = {"ARROW:extension:name": "pandas.period", "ARROW:extension:metadata": '{"freq": "M"}'}
    table = pa.table([["a"], [648]], pa.schema([("t", pa.string()), pa.field("month", pa.int64(), metadata=extension)]))
    pq.write_table(table, "in.parquet")
    with pa.OSFile("in.arrow", "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    (said,) = told(files=name, prompt="{{ t }} {{ month }}")
    assert said == (
        "datasets.d.prompt: month holds periods of pandas, which are numbers in the file, such as 648 for 2024-01; "
        "write them as texts: df['month'] = df['month'].astype(str)"
    )
    assert told(files=name, prompt="{{ t }}") == []
