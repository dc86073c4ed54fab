"""Embeddings, score, rerank, classify: what is sent for a row or a batch line, and what is kept of vLLM's replies."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from campaign.config import DatasetConfig
from campaign.plan.checks.runner_check import runner_problems
from campaign.requests.asked_endpoints import asked_endpoints, two_kinds
from campaign.requests.dataset_check import check_dataset
from campaign.requests.endpoints import APIS
from campaign.requests.files.row import Row
from campaign.requests.problems import RowProblem
from campaign.requests.replies.pooled_reply import PooledReply
from campaign.requests.replies.reply import BadReply
from campaign.requests.rows.bodies import renderer

USAGE = {"prompt_tokens": 4, "total_tokens": 4, "completion_tokens": 0}  # of vLLM 0.32


def rendered(values: dict[str, Any], **keys: Any) -> tuple[str, dict[str, Any]]:
    request = renderer(DatasetConfig.model_validate({"files": ["f"], "models": ["m"], **keys}))(Row("f", 1, 1, values))
    return request.endpoint, orjson.loads(request.body)


def line(url: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": "1", "method": "POST", "url": url, "body": {"model": "m", **body}}


# --- rows of a dataset -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "keys", "body"),
    [
        ({"t": "a"}, {"endpoint": "embeddings", "prompt": "query: {{ t }}"}, {"input": "query: a"}),
        ({"t": "a"}, {"endpoint": "classify", "prompt": "{{ t }}"}, {"input": "a"}),
        (
            {"q": "a", "d": "b"},
            {"endpoint": "score", "prompt": "{{ q }}", "document": "about {{ d }}"},
            {"text_1": "a", "text_2": "about b"},
        ),
        (
            {"q": "a", "ds": ["b", "c"]},
            {"endpoint": "rerank", "prompt": "{{ q }}", "documents": "ds"},
            {"query": "a", "documents": ["b", "c"]},
        ),
        (
            {"q": "a", "ds": '["b", "c"]'},
            {"endpoint": "rerank", "prompt": "{{ q }}", "documents": "ds"},
            {"query": "a", "documents": ["b", "c"]},
        ),
        (
            {"chat": [{"role": "user", "content": "a"}]},
            {"endpoint": "embeddings", "messages": "chat"},
            {"messages": [{"role": "user", "content": "a"}]},
        ),
    ],
)
def test_a_row_becomes_the_fields_of_its_endpoint(values: dict[str, Any], keys: dict[str, Any], body: dict[str, Any]) -> None:
    assert rendered(values, **keys) == (keys["endpoint"], body)


def test_fields_pass_but_for_those_that_only_say_how_vectors_travel() -> None:
    sampling = {"truncate_prompt_tokens": 512, "dimensions": 64, "encoding_format": "float"}
    asked = rendered({"t": "a"}, endpoint="embeddings", prompt="{{ t }}", sampling=sampling)
    assert asked == ("embeddings", {"input": "a", "truncate_prompt_tokens": 512, "dimensions": 64})


@pytest.mark.parametrize("documents", [None, "no JSON", [], ["a", 1], {"a": "b"}])
def test_documents_must_be_texts(documents: Any) -> None:
    with pytest.raises(RowProblem, match=r"documents|ds") as caught:
        rendered({"q": "a", "ds": documents}, endpoint="rerank", prompt="{{ q }}", documents="ds")
    assert caught.value.config_key == "documents"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"endpoint": "score", "prompt": "x"}, "add document:"),
        ({"endpoint": "rerank", "prompt": "x"}, "add documents:"),
        ({"endpoint": "embeddings", "prompt": "x", "document": "y"}, "`document` is of endpoint `score`"),
        ({"endpoint": "score", "prompt": "x", "documents": "y"}, "`documents` is of endpoint `rerank`"),
        ({"endpoint": "score", "document": "y"}, "`document` without `prompt`"),
        ({"endpoint": "embeddings", "prompt": "x", "system": "y"}, "takes a `prompt` only"),
        ({"endpoint": "score", "messages": "x"}, "takes a `prompt` only"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DatasetConfig.model_validate({"files": ["f"], "models": ["m"], **keys})


def test_documents_that_are_no_list_are_told_with_what_is_wanted() -> None:
    with pytest.raises(RowProblem, match=r"a list of texts, or its JSON text like \[.*\], and holds 'one plain text'"):
        rendered({"q": "a", "ds": "one plain text"}, endpoint="rerank", prompt="{{ q }}", documents="ds")


# --- lines of batch files, as vLLM's run-batch takes them ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "body", "endpoint"),
    [
        ("/v1/embeddings", {"input": "You are a helpful assistant."}, "embeddings"),
        ("/v1/embeddings", {"input": ["a", "b"], "dimensions": 8}, "embeddings"),
        ("/v1/embeddings", {"input": [1, 2, 3]}, "embeddings"),
        ("/v1/embeddings", {"messages": [{"role": "user", "content": "a"}]}, "embeddings"),
        ("/v1/embeddings", {"input": [{"role": "user", "content": "a"}]}, "embeddings"),
        ("/v1/score", {"queries": "a", "documents": ["b", "c"]}, "score"),
        ("/score", {"text_1": "a", "text_2": "b"}, "score"),
        ("/score", {"data_1": "a", "data_2": ["b"]}, "score"),
        ("/score", {"queries": "a", "items": ["b"]}, "score"),
        ("/v1/rerank", {"query": "a", "documents": ["b", "c"], "top_n": 1}, "rerank"),
        ("/rerank", {"query": "a", "documents": ["b"]}, "rerank"),
        ("/v2/rerank", {"query": "a", "documents": ["b"]}, "rerank"),
        ("/classify", {"input": "a"}, "classify"),
    ],
)
def test_a_batch_line_is_sent_as_written(url: str, body: dict[str, Any], endpoint: str) -> None:
    assert rendered(line(url, **body)) == (endpoint, body)


def test_the_encoding_of_a_batch_line_is_left_out() -> None:
    assert rendered(line("/v1/embeddings", input="a", encoding_format="base64", embed_dtype="float16"))[1] == {"input": "a"}


def test_nor_is_that_of_the_config_sent_in_batch_lines() -> None:
    sampling = {"encoding_format": "float", "embed_dtype": "float16", "dimensions": 8}
    assert rendered(line("/v1/embeddings", input="a"), sampling=sampling)[1] == {"input": "a", "dimensions": 8}
    chat = line("/v1/chat/completions", messages=[{"role": "user", "content": "a"}])
    assert rendered(chat, sampling={"encoding_format": "float"})[1]["encoding_format"] == "float"


@pytest.mark.parametrize(
    ("url", "body", "words"),
    [
        ("/v1/embeddings", {}, "body.input must be a text"),
        ("/v1/embeddings", {"input": []}, "body.input must be a text"),
        ("/v1/embeddings", {"input": ["a", None]}, "body.input must be a text"),
        ("/v1/embeddings", {"messages": []}, "body.messages must be a text"),
        ("/v1/score", {"text_1": "a"}, "body has no text_2"),
        ("/v1/rerank", {"documents": ["a"]}, "body has no query"),
        ("/v1/rerank", {"query": 3, "documents": ["a"]}, "body.query must be a text"),
    ],
)
def test_a_batch_line_that_asks_nothing_is_refused(url: str, body: dict[str, Any], words: str) -> None:
    with pytest.raises(RowProblem, match=words):
        rendered(line(url, **body))


@pytest.mark.parametrize(
    ("endpoint", "body", "prompt"),
    [
        ("embeddings", {"input": "a"}, "a"),
        ("embeddings", {"input": ["a", "b"]}, '["a","b"]'),
        ("score", {"queries": "a", "items": ["b"]}, '{"queries":"a","items":["b"]}'),
        ("rerank", {"query": "a", "documents": ["b"]}, '{"query":"a","documents":["b"]}'),
    ],
)
def test_the_prompt_shows_all_that_is_asked(endpoint: str, body: dict[str, Any], prompt: str) -> None:
    assert APIS[endpoint].prompt_of(orjson.dumps(body)) == prompt


# --- which endpoints a dataset asks ----------------------------------------------------------------------------------------


def test_batch_files_tell_their_endpoint_before_and_after_they_are_made_requests(trial: Any) -> None:
    trial.lines("b.jsonl", line("/v1/score", text_1="a", text_2="b"))
    assert asked_endpoints(trial.config("b.jsonl", batch=True), "d") == ("score",)
    assert trial.prepare("b.jsonl", batch=True)["endpoints"] == ["score"]
    (trial.root / "b.jsonl").unlink()
    assert asked_endpoints(trial.config("b.jsonl", batch=True), "d") == ("score",)
    assert asked_endpoints(trial.config("b.jsonl", endpoint="embeddings", prompt="x"), "d") == ("embeddings",)


def test_one_batch_file_does_not_need_two_servers(trial: Any, batch_row: Callable[..., dict[str, Any]]) -> None:
    trial.lines("b.jsonl", batch_row("a"), {**line("/v1/embeddings", input="x"), "custom_id": "b"})
    assert "ask for chat and embeddings" in trial.refusal("b.jsonl", batch=True)[0]
    (problem,) = check_dataset(trial.config("b.jsonl", batch=True), "d")  # the plan, before anything is prepared
    assert problem.startswith("datasets.d.files: lines ask for chat and embeddings")
    assert list(runner_problems(trial.config("b.jsonl", batch=True))) == []
    assert list(two_kinds({"embeddings", "score"})) == []


# --- replies ---------------------------------------------------------------------------------------------------------------


def read(endpoint: str, **answer: Any) -> dict[str, Any]:
    reply = APIS[endpoint].read_reply(orjson.dumps({"usage": USAGE, **answer}))
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == (None, 4, 0)
    assert isinstance(reply, PooledReply)
    assert set(reply.columns) <= set(APIS[endpoint].columns)  # what a part has room for
    return reply.fields()


@pytest.mark.parametrize("packed", [True, False])
def test_a_vector_is_kept_to_the_bit(packed: bool) -> None:
    vector = np.array([0.1, -1e-30, 3.4e38], np.float32)
    text = base64.b64encode(vector.tobytes()).decode()
    data = [{"index": 0, "embedding": text if packed else vector.tolist()}]
    assert read("embeddings", data=data)["embedding"] == text


def test_several_vectors_stand_in_their_order() -> None:
    kept = read("embeddings", data=[{"index": 1, "embedding": [3.0]}, {"index": 0, "embedding": [1.5]}])
    assert orjson.loads(kept["extra"]) == {"embeddings": [[1.5], [3.0]]}
    assert "embedding" not in kept


def test_scores() -> None:
    assert read("score", data=[{"index": 0, "score": 0.25}])["score"] == 0.25
    several = read("score", data=[{"index": 0, "score": 0.25}, {"index": 1, "score": 1}])
    assert several["scores"] == [{"index": 0, "score": 0.25}, {"index": 1, "score": 1.0}]


def test_ranks_are_kept_best_first() -> None:
    results = [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}, {"index": 0, "relevance_score": 0.1}]
    assert read("rerank", results=results)["scores"] == [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}]


def test_classes() -> None:
    one = {"index": 0, "label": "good", "probs": [0.25, 0.75], "num_classes": 2}
    kept = read("classify", data=[one])
    assert (kept["label"], kept["probs"]) == ("good", [0.25, 0.75])
    assert orjson.loads(read("classify", data=[one, {**one, "index": 1}])["extra"])["classes"][1]["label"] == "good"


NAN = base64.b64encode(np.array([1, np.nan], np.float32).tobytes()).decode()


@pytest.mark.parametrize(
    ("endpoint", "answer", "words"),
    [
        ("embeddings", {"data": [{"embedding": NAN}]}, "not finite"),
        ("embeddings", {"data": [{"embedding": "AAA="}]}, "no 32-bit numbers"),
        ("embeddings", {"data": [{"embedding": "AAAA AAAA"}]}, "no base64"),
        ("embeddings", {"data": [{"embedding": []}]}, "no list of numbers"),
        ("embeddings", {"data": [{"embedding": [1, None]}]}, "no list of numbers"),
        ("embeddings", {"data": []}, "data is no list"),
        ("embeddings", {}, "data is no list"),
        ("score", {"data": [{"index": 0, "score": None}]}, "score is no list of numbers"),
        ("score", {"data": [{"score": 1.0}, {"score": 1.0}]}, "index is no number"),
        ("rerank", {"results": [{"index": True, "relevance_score": 1.0}]}, "index is no number"),
        ("classify", {"data": [{"label": 3, "probs": [1.0]}]}, "label is no text"),
        ("classify", {"data": [{"label": "a", "probs": "x"}]}, "probs is no list"),
        ("score", {"data": [{"index": 0, "score": 1.0}], "usage": None}, "usage"),
    ],
)
def test_what_is_no_answer_is_told(endpoint: str, answer: dict[str, Any], words: str) -> None:
    with pytest.raises(BadReply, match=words):
        read(endpoint, **answer)


@pytest.mark.parametrize("endpoint", ["embeddings", "score", "rerank", "classify"])
def test_what_is_no_json_is_told(endpoint: str) -> None:
    with pytest.raises(BadReply, match="no JSON"):
        APIS[endpoint].read_reply(b"<html>")
