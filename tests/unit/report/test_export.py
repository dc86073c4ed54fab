"""Answers in one file, as OpenAI Batch output and as tables, and the snippets of the documentation that read the parquet."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import huggingface_hub
import orjson
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from campaign.cli import commands
from campaign.config import CampaignConfig, validate
from campaign.core import records, state_files
from campaign.core.errors import CampaignError
from campaign.core.tables import POOLED, RESPONSES
from campaign.report import export_batch
from campaign.report.export import export
from campaign.report.export_batch import batch_line
from campaign.requests.shards import write_shard
from support.runs import REPOSITORY

MESSAGES = '[{"role":"user","content":"hello"}]'


def row(number: int, **changes: Any) -> dict[str, Any]:
    base = {
        **{
            "request_key": f"{number:032x}",
            "row_id": f"p{number}",
            "prompt": MESSAGES,
            "text": f"answer {number}",
            "status": "ok",
        },
        **{
            "finish_reason": "stop",
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "started_at": 1_790_000_000_000_000,
            "attempts": 1,
        },
    }
    return {**base, **changes}


@pytest.fixture
def answered(stub_campaign: Callable[..., dict[str, Any]]) -> Callable[..., CampaignConfig]:
    def make(rows: list[dict[str, Any]], models: tuple[str, ...] = ("stub",)) -> CampaignConfig:
        raw = stub_campaign()
        raw["models"] = dict.fromkeys(models, raw["models"]["stub"])
        raw["datasets"]["words"]["models"] = list(models)
        config = validate(raw)
        for name in models:
            folder = config.paths.parts(name, "words")
            folder.mkdir(parents=True)
            half = len(rows) // 2
            for index, part in enumerate((rows[:half], rows[half:])):
                pq.write_table(pa.Table.from_pylist(part, schema=RESPONSES.schema()), folder / f"part-{index:05d}.parquet")
        return config

    return make


def exported(config: CampaignConfig, tmp_path: Path, **which: str) -> list[dict[str, Any]]:
    target = tmp_path / "out.jsonl"
    done = export(config, str(target), **which)
    found = [orjson.loads(line) for line in target.read_bytes().splitlines()]
    assert done.rows == len(found)
    return found


def publish(config: CampaignConfig, dataset: str, rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> None:
    """A part of the only model."""
    folder = config.paths.parts("stub", dataset)
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema or RESPONSES.schema()), folder / "part-00000.parquet")


@pytest.fixture
def two_datasets(stub_campaign: Callable[..., dict[str, Any]]) -> CampaignConfig:
    raw = stub_campaign()
    raw["datasets"]["more"] = raw["datasets"]["words"]
    return validate(raw)


def asked(config: CampaignConfig, dataset: str, endpoints: dict[str, str]) -> None:
    """The requests of a dataset's only shard, by their ids."""
    rows = [(bytes(16), row_id, "f", 1, endpoint, b"{}", b"{}") for row_id, endpoint in endpoints.items()]
    write_shard(config.paths.request_shards(dataset), 0, rows)


def test_chat_answers(answered, tmp_path: Path) -> None:
    first, second = exported(answered([row(1), row(2)]), tmp_path)
    assert first["custom_id"] == "p1"
    assert first["error"] is None
    assert first["response"]["status_code"] == 200
    body = second["response"]["body"]
    assert body["object"] == "chat.completion"
    assert body["model"] == "stub"
    assert body["choices"] == [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "answer 2"}}]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_an_answers_form_follows_its_request_and_not_its_prompt(stub_campaign, tmp_path: Path) -> None:
    """A completion whose prompt is JSON of messages is a completion all the same."""
    config = validate(stub_campaign())
    asked(config, "words", {"p1": "completions", "p2": "chat"})
    publish(config, "words", [row(1, prompt=MESSAGES), row(2)])
    bare, chat = (line["response"]["body"] for line in exported(config, tmp_path))
    assert (bare["object"], bare["choices"][0]["text"]) == ("text_completion", "answer 1")
    assert (chat["object"], chat["choices"][0]["message"]["content"]) == ("chat.completion", "answer 2")


@pytest.mark.parametrize(
    ("error_class", "message", "status", "words"),
    [
        ("context_length", "This model's maximum context length is 8", 400, "This model's maximum context length is 8"),
        ("bad_request", "HTTP 422: no such field", 422, "no such field"),
        ("server_error", "HTTP 500: it\nbroke", 500, "it\nbroke"),
    ],
)
def test_what_the_server_refused_is_its_http_answer(
    error_class: str, message: str, status: int, words: str, answered, tmp_path: Path
) -> None:
    failed = row(1, status="failed", text=None, error_class=error_class, error_message=message)
    (line, _) = exported(answered([failed, row(2)]), tmp_path)
    assert line["error"] is None
    assert line["response"]["status_code"] == status
    error = {"message": words, "type": error_class, "param": None, "code": status}
    assert line["response"]["body"] == {"error": error}


def test_what_got_no_answer_is_an_error_of_the_line(answered, tmp_path: Path) -> None:
    failed = row(1, status="failed", text=None, error_class="timeout", error_message="no answer within 600 s")
    (line, _) = exported(answered([failed, row(2)]), tmp_path)
    assert line["response"] is None
    assert line["error"] == {"code": "timeout", "message": "no answer within 600 s"}


def test_ids_that_repeat_in_two_datasets_are_told_apart(two_datasets: CampaignConfig, tmp_path: Path) -> None:
    for dataset in ("words", "more"):
        publish(two_datasets, dataset, [row(1), row(2)])
    target = tmp_path / "out.jsonl"
    done = export(two_datasets, str(target))
    ids = [orjson.loads(line)["custom_id"] for line in target.read_bytes().splitlines()]
    assert ids == ["words:p1", "words:p2", "more:p1", "more:p2"]
    (note,) = done.notes
    assert "custom_ids of words, more repeat" in note
    assert "--dataset NAME" in note
    assert [line["custom_id"] for line in exported(two_datasets, tmp_path, dataset="more")] == ["p1", "p2"]


def test_ids_that_do_not_repeat_stay_as_they_are(two_datasets: CampaignConfig, tmp_path: Path) -> None:
    publish(two_datasets, "words", [row(1)])
    publish(two_datasets, "more", [row(2)])
    assert [line["custom_id"] for line in exported(two_datasets, tmp_path)] == ["p1", "p2"]


def manifest(config: CampaignConfig, dataset: str, rows: int) -> None:
    content = {"dataset": dataset, "rows": rows, "limit": None, "shards": [], "columns": [], "files": []}
    records.write(state_files.MANIFEST, config.paths.manifest(dataset), content)


def test_a_campaign_that_is_not_finished_is_told(two_datasets: CampaignConfig, tmp_path: Path) -> None:
    manifest(two_datasets, "words", 5)
    publish(two_datasets, "words", [row(1), row(2)])
    done = export(two_datasets, str(tmp_path / "out.csv"))
    assert done.rows == 2
    assert done.unfinished == [
        "words of stub: 3 of 5 requests have no row yet",
        "more of stub: its requests are not prepared yet",
    ]
    manifest(two_datasets, "words", 2)
    assert export(two_datasets, str(tmp_path / "out.csv"), dataset="words").unfinished == []


def test_the_command_tells_it_by_its_exit_code(two_datasets: CampaignConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_config_of", lambda _: two_datasets)
    publish(two_datasets, "words", [row(1)])
    result = CliRunner().invoke(commands.app, ["export", "--to", "out.csv"])
    assert result.exit_code == 3
    assert "1 rows in out.csv" in result.output
    assert "Unfinished: more of stub: its requests are not prepared yet" in result.output
    assert CliRunner().invoke(commands.app, ["export", "--dataset", "words"]).exit_code == 0


NESTED = RESPONSES.schema().append(pa.field("tags", pa.list_(pa.string()))).append(pa.field("n", pa.int64()))
PLAIN = RESPONSES.schema().append(pa.field("n", pa.float64())).append(pa.field("tags", pa.string()))


@pytest.fixture
def two_tables(two_datasets: CampaignConfig) -> CampaignConfig:
    publish(two_datasets, "words", [row(1, text='a "b",\nü 😀', tags=["x", "y"], n=3)], NESTED)
    publish(two_datasets, "more", [row(2, n=1.5, tags="z")], PLAIN)
    return two_datasets


def test_a_csv_that_excel_and_pandas_read(two_tables: CampaignConfig, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    done = export(two_tables, str(target))
    assert (done.rows, done.notes) == (2, [])
    assert target.read_bytes().startswith(b"\xef\xbb\xbf")
    read = pandas.read_csv(target)
    assert read["dataset"].tolist() == ["words", "more"]
    assert read["text"].tolist() == ['a "b",\nü 😀', "answer 2"]
    assert read["tags"].tolist() == ['["x","y"]', "z"]
    assert read["started_at"][0] == "2026-09-21T14:13:20+00:00"


FLOATS = pa.schema([*RESPONSES.schema(), pa.field("share", pa.float32()), pa.field("embedding", pa.list_(pa.float32()))])


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_numbers_of_32_bits_have_the_digits_that_they_were_written_with(
    name: str, stub_campaign: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    config = validate(stub_campaign())
    asked(config, "words", {"p1": "embeddings"})
    publish(config, "words", [row(1, text=None, share=0.1, embedding=[0.1, -0.7])], FLOATS)
    export(config, str(tmp_path / name))
    written = (tmp_path / name).read_text()
    assert "[0.1,-0.7]" in written
    assert "0.1000000" not in written


def test_what_excel_shows_otherwise_is_told(answered, tmp_path: Path) -> None:
    config = answered([row(1, text="- a list"), row(2, text="=1+1"), row(3, text="x" * 40_000), row(4, text="-" * 40_000)])
    formulas, long = export(config, str(tmp_path / "out.csv")).notes
    assert formulas.startswith("Excel takes 3 texts for formulas, as they begin with one of = + - @: import the file")
    assert long == "2 texts are longer than what a cell of Excel holds (32,767 characters): it does not show all of them"
    assert pandas.read_csv(tmp_path / "out.csv")["text"][1] == "=1+1"
    assert export(config, str(tmp_path / "out.parquet")).notes == []


def test_one_parquet_file_of_all_datasets(two_tables: CampaignConfig, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    assert export(two_tables, str(target)).rows == 2
    table = pq.read_table(target)
    assert table.column("tags").to_pylist() == ['["x","y"]', "z"]
    assert table.column("n").to_pylist() == [3.0, 1.5]
    assert table.schema.field("started_at").type == RESPONSES.schema().field("started_at").type
    alone = tmp_path / "words.parquet"
    export(two_tables, str(alone), dataset="words")
    assert pq.read_table(alone).column("tags").to_pylist() == [["x", "y"]]


def test_answers_without_a_form_in_batch_output_are_refused(
    two_datasets: CampaignConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that is new: its answers stood there as texts of completions, or as null."""
    publish(two_datasets, "words", [row(1)])
    monkeypatch.setattr(export_batch, "_WRITTEN", ("completions",))
    with pytest.raises(CampaignError, match=r"words: OpenAI Batch output has no form for .* endpoint chat; export it to \.csv"):
        export(two_datasets, str(tmp_path / "out.jsonl"))


def test_an_unknown_kind_of_file_is_refused(two_tables: CampaignConfig, tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"no such kind of export.*\.csv, \.parquet"):
        export(two_tables, str(tmp_path / "out.xlsx"))
    assert list(tmp_path.glob("*.xlsx")) == []


# --- the hub ----------------------------------------------------------------------------------------------------------------


class Hub:
    """What HfApi does, noted."""

    def __init__(self) -> None:
        self.made: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, pa.Table] = {}

    def __call__(self, **access: Any) -> "Hub":
        assert access["token"] == "hf_x"
        return self

    def create_repo(self, repo: str, **options: Any) -> None:
        self.made.append((repo, options))

    def upload_file(self, *, path_or_fileobj: Path, path_in_repo: str, repo_id: str, **_: Any) -> None:
        self.files[f"{repo_id}/{path_in_repo}"] = pq.read_table(path_or_fileobj)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", made)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_x")
    return made


def test_a_dataset_of_the_hub(two_tables: CampaignConfig, hub: Hub) -> None:
    done = export(two_tables, "hf://datasets/me/answers")
    assert (done.rows, done.where) == (2, f"hf://datasets/me/answers/data/{two_tables.campaign}.parquet")
    assert hub.made == [("me/answers", {"repo_type": "dataset", "private": True, "exist_ok": True})]
    assert hub.files[f"me/answers/data/{two_tables.campaign}.parquet"].num_rows == 2
    export(two_tables, "hf://datasets/me/answers@main/a/b.parquet")
    assert "me/answers/a/b.parquet" in hub.files


def test_without_a_token_nothing_is_sent(two_tables: CampaignConfig, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(CampaignError, match=r"no token.*HF_TOKEN"):
        export(two_tables, "hf://datasets/me/answers")
    assert hub.made == []


@pytest.mark.parametrize("address", ["hf://me/answers", "hf://datasets/answers", "hf://datasets/me/answers/x.xlsx"])
def test_an_address_that_is_none(address: str, two_tables: CampaignConfig, hub: Hub) -> None:
    with pytest.raises(CampaignError, match="--to hf://"):
        export(two_tables, address)


def test_the_hubs_library_is_not_loaded_for_files() -> None:
    """It takes a second to import, and a plain install has none."""
    page = (REPOSITORY / "workflow/campaign/report/export_hub.py").read_text()
    assert not re.search(r"^(import|from) huggingface_hub", page, re.MULTILINE)


def test_what_an_answer_holds_beyond_its_text(answered, tmp_path: Path) -> None:
    further = [{"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "or so"}}]
    extra = {"tool_calls": [{"id": "t"}], "logprobs": {"content": []}, "choices": further}
    (_, line) = exported(answered([row(1), row(2, response_extra=orjson.dumps(extra).decode())]), tmp_path)
    first, second = line["response"]["body"]["choices"]
    assert first["message"]["tool_calls"] == [{"id": "t"}]
    assert first["logprobs"] == {"content": []}
    assert second == further[0]


def test_what_was_asked_for_stands_where_vllm_has_it(answered, tmp_path: Path) -> None:
    extra = {"token_ids": [7], "prompt_logprobs": [None], "prompt_token_ids": [1], "prompt_text": "<s>", "refusal": "no",
             "usage": {"prompt_tokens_details": {"created_cache_tokens": 4}}}  # fmt: skip
    told = {"response_extra": orjson.dumps(extra).decode(), "reasoning": "hm", "cached_tokens": 2}
    config = answered([row(1, **told), row(2, prompt="Once", **{**told, "reasoning": None})])
    asked(config, "words", {"p1": "chat"})
    write_shard(config.paths.request_shards("words"), 1, [(bytes(16), "p2", "f", 2, "completions", b"{}", b"{}")])
    chat, bare = (line["response"]["body"] for line in exported(config, tmp_path))
    assert [chat[name] for name in ("prompt_logprobs", "prompt_token_ids", "prompt_text")] == [[None], [1], "<s>"]
    assert chat["choices"][0]["token_ids"] == [7]
    assert chat["choices"][0]["message"] == {"role": "assistant", "content": "answer 1", "reasoning": "hm", "refusal": "no"}
    assert chat["usage"]["prompt_tokens_details"] == {"created_cache_tokens": 4, "cached_tokens": 2}
    assert [bare["choices"][0][name] for name in ("prompt_logprobs", "prompt_token_ids", "token_ids")] == [[None], [1], [7]]
    assert "prompt_logprobs" not in bare


def test_one_model_at_a_time(answered, tmp_path: Path) -> None:
    config = answered([row(1), row(2)], models=("large", "small"))
    with pytest.raises(CampaignError, match=r"name one model with --model \(large, small\)"):
        exported(config, tmp_path)
    assert exported(config, tmp_path, model="small")[0]["response"]["body"]["model"] == "small"
    with pytest.raises(CampaignError, match="no dataset 'nothing'"):
        exported(config, tmp_path, model="small", dataset="nothing")


def test_a_dataset_that_one_model_answers_needs_no_model_named(answered, tmp_path: Path) -> None:
    config = answered([row(1), row(2)], models=("large", "small"))
    words = config.datasets["words"]
    apart = {"words": words.model_copy(update={"models": ["small"]}), "others": words.model_copy(update={"models": ["large"]})}
    config = config.model_copy(update={"datasets": apart})
    assert {line["response"]["body"]["model"] for line in exported(config, tmp_path, dataset="words")} == {"small"}
    with pytest.raises(CampaignError, match=r"name one model with --model \(large, small\)"):
        exported(config, tmp_path)


@pytest.mark.parametrize("engine", ["pandas", "duckdb", "datasets"])
def test_snippets_of_the_documentation_run(engine: str, answered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each snippet of docs/reading.md, as it stands there, counts the rows of a campaign called demo."""
    page = (REPOSITORY / "docs" / "reading.md").read_text()
    (snippet,) = [
        code
        for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        if f"import {engine}" in code or f"from {engine}" in code
    ]
    config = answered([row(1), row(2), row(3, status="failed", text=None)])
    Path("results/demo").symlink_to(config.paths.root.absolute())
    names: dict[str, Any] = {}
    exec(compile(snippet, "docs/reading.md", "exec"), names)
    found = names["answers"]
    assert (found.shape[0] if hasattr(found, "shape") else len(found)) == 3
    assert duckdb.sql("SELECT count(*) FROM read_parquet('results/demo/responses/*/*/*.parquet')").fetchall() == [(3,)]


# --- answers without text, as vLLM's run-batch writes them ------------------------------------------------------------------


def pooled(endpoint: str, **columns: Any) -> dict[str, Any]:
    empty = dict.fromkeys(column.name for column in POOLED.columns)
    made = {**dict.fromkeys(RESPONSES.names), **empty, "row_id": "1", "request_key": "k", "status": "ok", "prompt_tokens": 4}
    body: dict[str, Any] = batch_line("m", {**made, **columns, "endpoint": endpoint})["response"]["body"]
    assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4}
    return body


def test_vectors_and_scores_in_a_batch() -> None:
    assert pooled("embeddings", embedding=[0.5, 1.0])["data"] == [{"index": 0, "object": "embedding", "embedding": [0.5, 1.0]}]
    several = pooled("embeddings", response_extra='{"embeddings": [[1.0], [2.0]]}')["data"]
    assert [(one["index"], one["embedding"]) for one in several] == [(0, [1.0]), (1, [2.0])]
    assert pooled("score", score=0.25)["data"] == [{"index": 0, "object": "score", "score": 0.25}]
    scores = [{"index": 0, "score": 0.25}, {"index": 1, "score": 0.5}]
    assert [one["score"] for one in pooled("score", scores=scores)["data"]] == [0.25, 0.5]


def test_ranks_and_classes_in_a_batch() -> None:
    prompt = '{"query": "a", "documents": ["b", "c"]}'
    ranks = pooled("rerank", prompt=prompt, scores=[{"index": 1, "score": 0.5}])["results"]
    assert ranks == [{"index": 1, "document": {"text": "c"}, "relevance_score": 0.5}]
    (found,) = pooled("classify", label="good", probs=[0.25, 0.75])["data"]
    assert found == {"index": 0, "label": "good", "probs": [0.25, 0.75], "num_classes": 2}
