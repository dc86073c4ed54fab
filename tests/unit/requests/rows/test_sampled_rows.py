"""The requests of a dataset's first rows."""

from pathlib import Path

import pytest

from campaign.config import DatasetConfig
from campaign.requests.rows import sampled_rows
from campaign.requests.rows.sampled_rows import Sample, sample_requests


def sampled(trial, *files: str, **keys: object) -> Sample:
    config = trial.config(*files, **keys)
    dataset: DatasetConfig = config.datasets["d"]
    return sample_requests(dataset)


def test_rows_become_requests_with_their_place(trial) -> None:
    name = trial.lines("a.jsonl", {"word": "x", "n": 1}, {"word": "y", "n": 2})
    found = sampled(trial, name, id="n", sampling={"max_tokens": 3})
    assert found.whole
    first, second = found.requests
    assert (first.place, first.row_id, first.columns, first.fields) == ("a.jsonl:1", "1", ("word", "n"), {"max_tokens": 3})
    assert second.body["messages"][0]["content"] == "Say y"


def test_a_batch_line_tells_which_model_it_asks(trial) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (request,) = sampled(trial, trial.lines("a.jsonl", line), batch=True).requests
    assert (request.named, request.row_id, request.fields) == ("gpt-4o", "a", {"max_tokens": 5})


def test_only_the_first_rows_of_each_file(trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled_rows, "ROWS", 6)
    names = [trial.lines(f"{letter}.jsonl", *({"word": f"{letter}{n}"} for n in range(5))) for letter in "ab"]
    found = sampled(trial, *names)
    assert not found.whole
    assert [request.place for request in found.requests] == [f"{letter}.jsonl:{n}" for letter in "ab" for n in (1, 2, 3)]


def test_all_that_a_limit_takes_is_whole(trial) -> None:
    names = [trial.lines(f"{letter}.jsonl", *({"word": f"{letter}{n}"} for n in range(5))) for letter in "ab"]
    found = sampled(trial, *names, limit=6)
    assert found.whole
    assert [request.place for request in found.requests] == [*(f"a.jsonl:{n}" for n in range(1, 6)), "b.jsonl:1"]


def test_rows_that_make_no_request_and_large_ones_are_left_out(trial, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = trial.lines("a.jsonl", {"wrod": "x"}, {"word": "y"}, {"word": "z"})
    found = sampled(trial, rows)
    assert ([request.place for request in found.requests], found.whole) == (["a.jsonl:2", "a.jsonl:3"], False)
    monkeypatch.setattr(sampled_rows, "_BYTES", 10)
    assert [request.place for request in sampled(trial, rows).requests] == ["a.jsonl:2"]


def test_a_template_that_is_none_gives_no_requests(trial, in_tmp: Path) -> None:
    assert sampled(trial, trial.lines("a.jsonl", {"word": "x"}), prompt="{{ word") == Sample()
