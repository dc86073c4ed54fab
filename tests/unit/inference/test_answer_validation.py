"""Answers that are not valid by their dataset's `answer`: asked again within bounds, paid for once, never lost."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from rich.console import Console

from campaign.config.answer import AnswerConfig
from campaign.controller.rerun_trigger import enqueue_trigger
from campaign.core import records, state_files
from campaign.core.errors import Incomplete
from campaign.inference.answer_validation import check_answer
from campaign.models.identity import identity_of
from campaign.queue.answers.invalid_attempts import of_column, read_invalid
from campaign.queue.answers.journal import Journal
from campaign.queue.claimed_shard import PendingRequest
from campaign.queue.collect import collect
from campaign.queue.counts import dataset_counts
from campaign.queue.enqueue import enqueue
from campaign.queue.stages.chain import shards_of
from campaign.report.build import build_report
from campaign.requests.answer.request import asked_again, for_several
from campaign.requests.answer.rule import rule_of
from campaign.requests.replies.reply import Reply
from campaign.status.collect import collect_status
from campaign.status.render import render

from .conftest import Served, refusal

Serve = Callable[..., Served]

CHOICE = {"choice": ["yes", "no"]}


def said(text: str | None, finish: str = "stop", **message: Any) -> web.Response:
    """What an engine answers, at 3 tokens read and 2 written."""
    choice = {"message": {"content": text, **message}, "finish_reason": finish}
    return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})


def one_after_the_other(*texts: str) -> Callable[[str, Served], web.Response]:
    """A server that says these to each prompt, and then the last one for ever."""
    return lambda prompt, server: said(texts[min(server.received[prompt], len(texts)) - 1])


def dataset(answer: dict[str, Any], **keys: Any) -> dict[str, Any]:
    sampling = keys.pop("sampling", {"temperature": 0, "max_tokens": 8})
    base = {"files": ["prompts.jsonl"], "id": "id", "prompt": "Say <{{ id }}>", "models": ["stub"], "shard_rows": 2}
    return {"words": {**base, "sampling": sampling, "answer": answer, **keys}}


def test_an_answer_that_does_not_hold_is_asked_again(serve: Serve) -> None:
    served = serve(one_after_the_other("maybe", "perhaps", "yes"), rows=3, datasets=dataset(CHOICE))
    served.infer()
    rows = served.rows
    assert set(rows.status) == {"ok"}
    assert set(rows.answer) == {"yes"}
    assert set(rows.attempts) == {3}
    for column in rows.invalid_attempts:
        attempts = of_column(column)
        assert [(one["text"], one["reason"]) for one in attempts] == [
            ("maybe", "'maybe' is none of the choices"),
            ("perhaps", "'perhaps' is none of the choices"),
        ]
        assert {(one["prompt_tokens"], one["completion_tokens"], one["job_id"]) for one in attempts} == {(3, 2, "1")}
    assert (served.meter.answered, served.meter.prompt_tokens, served.meter.completion_tokens) == (3, 27, 18)


def test_what_never_holds_is_a_failed_row_that_keeps_its_text(serve: Serve) -> None:
    served = serve(one_after_the_other("a", "b", "c", "d"), rows=2, datasets=dataset({**CHOICE, "retries": 2}))
    served.infer()
    rows = served.rows
    assert set(rows.status) == {"failed"}
    assert set(rows.error_class) == {"invalid_answer"}
    assert set(rows.error_message) == {"'c' is none of the choices (asked 3 times)"}
    assert set(rows.text) == {"c"}
    assert rows.answer.isna().all()
    assert set(rows.completion_tokens) == {2}
    assert [[one["text"] for one in of_column(column)] for column in rows.invalid_attempts] == [["a", "b"]] * 2
    assert served.received == {"p0": 3, "p1": 3}
    assert (served.meter.failed, served.meter.completion_tokens) == (2, 12)


def test_without_retries_it_fails_at_once(serve: Serve) -> None:
    served = serve(one_after_the_other("a", "yes"), rows=1, datasets=dataset({**CHOICE, "retries": 0}))
    served.infer()
    assert list(served.rows.error_message) == ["'a' is none of the choices"]
    assert served.rows.invalid_attempts.isna().all()


def test_each_repetition_is_another_request_under_the_same_key(serve: Serve) -> None:
    served = serve(one_after_the_other("a", "b", "yes"), rows=1, datasets=dataset(CHOICE))
    served.infer()
    first, second, third = served.bodies
    assert "seed" not in first
    assert second["seed"] + 1000 == third["seed"]
    assert [body["temperature"] for body in served.bodies] == [0, 0.4, 0.8]
    assert {json.dumps(body["messages"]) for body in served.bodies} == {json.dumps(first["messages"])}
    assert first["structured_outputs"] == {"choice": ["yes", "no"]}


def test_a_seed_of_the_users_counts_on_and_a_temperature_stays(serve: Serve) -> None:
    sampling = {"temperature": 0.7, "seed": 5}
    served = serve(one_after_the_other("a", "b", "yes"), rows=1, datasets=dataset(CHOICE, sampling=sampling))
    served.infer()
    assert [(body["seed"], body["temperature"]) for body in served.bodies] == [(5, 0.7), (1005, 0.7), (2005, 0.7)]


def test_a_repetition_of_a_sample_is_no_copy_of_the_next_sample(serve: Serve) -> None:
    """Samples count up from the seed of the request."""
    settings = dataset(CHOICE, sampling={"seed": 5}, samples=3)
    served = serve(one_after_the_other("a", "b", "c", "yes"), rows=1, datasets=settings)
    served.infer()
    seeds = [body["seed"] for body in served.bodies]
    assert len(set(seeds)) == len(seeds)
    assert {5, 6, 7} < set(seeds)


def said_at_once(*texts: str) -> web.Response:
    """What an engine answers to a request with `n`."""
    choices = [{"index": at, "message": {"content": text}, "finish_reason": "stop"} for at, text in enumerate(texts)]
    return web.json_response({"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 2 * len(texts)}})


@pytest.mark.parametrize("texts", [("yes", "c"), ("c", "yes"), ("yes", "no")])
def test_the_last_try_asks_for_two_answers_and_takes_the_one_that_holds(serve: Serve, texts: tuple[str, str]) -> None:
    def answer(prompt: str, server: Served) -> web.Response:
        return said("a") if server.received[prompt] < 3 else said_at_once(*texts)

    served = serve(answer, rows=1, datasets=dataset(CHOICE))
    served.infer()
    (row,) = served.rows.to_dict("records")
    assert [body.get("n") for body in served.bodies] == [None, None, 2]
    assert (row["status"], row["answer"], row["attempts"], row["completion_tokens"]) == ("ok", "yes", 3, 4)
    (other,) = json.loads(row["response_extra"])["choices"]
    assert {row["text"], other["message"]["content"]} == set(texts)
    assert (served.meter.prompt_tokens, served.meter.completion_tokens) == (9, 8)


def test_two_answers_that_do_not_hold_are_one_failed_row(serve: Serve) -> None:
    served = serve(lambda *_: said_at_once("b", "c"), rows=1, datasets=dataset({**CHOICE, "retries": 1}))
    served.infer()
    (row,) = served.rows.to_dict("records")
    assert (row["error_class"], row["text"], row["attempts"]) == ("invalid_answer", "b", 2)


def test_a_server_that_refuses_two_answers_is_asked_for_one(serve: Serve) -> None:
    """vLLM: n must be 1 when using greedy sampling, which a model's own defaults can be."""

    def answer(prompt: str, server: Served) -> web.Response:
        return said("a") if server.received[prompt] < 3 else refusal(400) if "n" in server.bodies[-1] else said("yes")

    served = serve(answer, rows=1, datasets=dataset(CHOICE))
    served.infer()
    (row,) = served.rows.to_dict("records")
    assert (row["status"], row["answer"], row["attempts"]) == ("ok", "yes", 3)
    assert [body.get("n") for body in served.bodies] == [None, None, 2, None]
    assert served.bodies[2] == {**served.bodies[3], "n": 2}


@pytest.mark.parametrize("own", ['"n":1', '"best_of":4', '"use_beam_search":true', '"stream":true'])
def test_a_request_that_says_how_many_answers_it_wants_is_left_alone(own: str) -> None:
    assert for_several(b'{"prompt":"x",%s}' % own.encode()) is None
    assert for_several(b'{"prompt":"x"}') == b'{"prompt":"x","n":2}'


def test_the_model_is_told_what_was_wrong(serve: Serve) -> None:
    served = serve(one_after_the_other("a", "b", "yes"), rows=1, datasets=dataset({**CHOICE, "tell_model": True}))
    served.infer()
    first, _, third = (body["messages"] for body in served.bodies)
    assert third[: len(first)] == first
    told, wrong = third[len(first) :]
    assert told == {"role": "assistant", "content": "b"}
    assert wrong["role"] == "user"
    assert "'b' is none of the choices" in wrong["content"]


def test_a_failure_between_two_answers_counts_for_itself(serve: Serve) -> None:
    """HTTP 500 between them: `max_attempts` and `retries` are two bounds, and nothing that was paid for is forgotten."""

    def answer(prompt: str, server: Served) -> web.Response:
        return [said("a"), refusal(500), said("yes")][server.received[prompt] - 1]

    served = serve(answer, rows=1, datasets=dataset(CHOICE))
    served.infer()
    (row,) = served.rows.to_dict("records")
    assert (row["status"], row["attempts"], len(of_column(row["invalid_attempts"]))) == ("ok", 3, 1)


def test_a_row_that_fails_otherwise_keeps_its_invalid_answers(serve: Serve) -> None:
    def answer(prompt: str, server: Served) -> web.Response:
        return said("a") if server.received[prompt] == 1 else refusal(400)

    served = serve(answer, rows=1, datasets=dataset(CHOICE))
    served.infer()
    (row,) = served.rows.to_dict("records")
    assert (row["error_class"], len(of_column(row["invalid_attempts"]))) == ("bad_request", 1)


def test_a_killed_run_goes_on_where_it_was(serve: Serve) -> None:
    """What came back is journalled before the next is asked: a kill loses no token and gives no try again."""
    served = serve(one_after_the_other("b"), rows=1, datasets=dataset(CHOICE))
    (shard,) = shards_of(served.config, "stub")
    (key,) = shard.keys(identity_of(served.config.paths, "stub")["identity"])
    earlier = {
        "reason": "no",
        "text": "a",
        "finish_reason": "stop",
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "latency_s": 0.1,
    }
    killed = {"invalid": key, **earlier, "started_at": 1.0, "job_id": "0", "allocation": 0, "closed": False}
    for _ in range(2):  # a journal that was carried may hold it twice
        journal = Journal(shard.journals)
        journal.append(killed)
        journal.close()
    served.infer()
    (row,) = served.rows.to_dict("records")
    assert served.received == {"p0": 2}
    assert [body["temperature"] for body in served.bodies] == [0.4, 0.8]
    assert row["attempts"] == 3
    assert [one["job_id"] for one in of_column(row["invalid_attempts"])] == ["0", "1"]


def test_failed_rows_that_are_asked_anew_go_on_from_their_answers(serve: Serve) -> None:
    """With other seeds than those that failed, and with their tokens."""
    served = serve(one_after_the_other("a", "b", "c", "d", "yes"), rows=1, datasets=dataset(CHOICE))
    served.infer()
    with pytest.raises(Incomplete, match="1 x invalid_answer"):
        collect(served.config)
    served.config = served.config.model_copy(update={"retry_failed": True})
    enqueue(served.config, "stub", enqueue_trigger(served.config, "stub"))
    served.infer()
    (row,) = served.rows.to_dict("records")
    assert (row["status"], row["answer"], row["attempts"]) == ("ok", "yes", 5)
    assert [one["text"] for one in of_column(row["invalid_attempts"])] == ["a", "b", "c", "d"]
    seeds = [body.get("seed") for body in served.bodies]
    assert seeds[1:] == [seeds[1] + number for number in range(0, 4000, 1000)]


def test_an_answer_that_was_a_row_meanwhile_is_counted_once(tmp_path: Path) -> None:
    """A row holds its time to the microsecond, a journal to the last bit."""
    attempt = {
        **{"invalid": "k", "reason": "no", "text": "a", "finish_reason": "stop", "prompt_tokens": 3, "completion_tokens": 2},
        **{"started_at": 1_700_000_000.1234567, "latency_s": 0.1, "job_id": "0", "allocation": 0, "closed": False},
    }
    for name, record in (("a", attempt), ("b", {**attempt, "started_at": 1_700_000_000.123457, "closed": True})):
        (tmp_path / f"{name}.jsonl").write_bytes(orjson.dumps(record) + b"\n")
    (only,) = read_invalid(tmp_path)["k"]
    assert only["closed"]


@pytest.mark.slow
def test_what_holds_is_counted_everywhere(serve: Serve) -> None:
    """p0 holds at once, p1 after one more, p2 never; 2 tokens an answer."""
    said_by = {"p0": ["yes"], "p1": ["a", "no"], "p2": ["a", "b", "c"]}
    served = serve(lambda p, server: said(said_by[p][server.received[p] - 1]), rows=3, datasets=dataset(CHOICE))
    served.infer()
    with pytest.raises(Incomplete):
        collect(served.config)
    counted = {"valid": 2, "retried": 1, "invalid": 1}
    assert dataset_counts(served.config, "stub")["words"] == {"rows": 3, "done": 3, "failed": 1, **counted}
    collected = records.read(state_files.COLLECTED, served.config.paths.collected)
    assert collected is not None
    share = collected["models"]["stub"]["datasets"]["words"]
    assert share["answers"] == {**counted, "prompt_tokens": 12, "completion_tokens": 8}
    status = Console(width=80, record=True, file=StringIO())
    status.print(render(collect_status(served.config)))
    assert "answers of words: 2 valid (1 of them asked again), 1 invalid" in status.export_text()
    build_report(served.config)
    page = served.config.paths.report.read_text()
    for column, value in {**counted, "invalid_prompt_tokens": 12, "invalid_completion_tokens": 8}.items():
        assert f'data-column="{column}" data-value="{value}"' in page


def reply(text: str | None, finish: str = "stop", reasoning: str | None = None) -> Reply:
    return Reply(text, finish, 3, 2, None, reasoning)


REQUEST = PendingRequest("0" * 32, "chat", b'{"max_tokens":8}')


@pytest.mark.parametrize(
    ("answer", "given", "told", "may_pass"),
    [
        ({"schema": {"type": "object"}}, reply("{}"), None, True),
        ({"schema": {"type": "object"}}, reply("{}", "length"), None, True),  # it was whole when it was cut
        ({"schema": {"type": "object"}}, reply('{"a', "length"), "cut off by max_tokens (8)", False),
        ({"schema": {"type": "object"}}, reply('{"a"' + " \n" * 40, "length"), "cut off by max_tokens (8)", True),
        ({"schema": {"type": "object"}}, reply('{"a'), "it is no JSON", True),
        (CHOICE, reply("yes", "length"), None, True),
        ({"number": True}, reply("12", "length"), "cut off by max_tokens (8): 12 may go on", False),
        ({"number": True}, reply("12"), None, True),
        (CHOICE, reply(None, "length", "hm, is it"), "before the answer began", True),
        (CHOICE, reply(None, "length"), "before the answer began", False),
        (CHOICE, reply(None, "tool_calls"), "there is no text", True),
        (CHOICE, reply("yes", reasoning="no or yes?"), None, True),
    ],
)
def test_the_verdict_on_a_reply(answer: dict[str, Any], given: Reply, told: str | None, may_pass: bool) -> None:
    invalid = check_answer(rule_of(AnswerConfig.model_validate(answer)), given, REQUEST)
    assert (invalid is None) == (told is None)
    if invalid is not None and told is not None:
        assert told in invalid.reason
        assert invalid.may_pass is may_pass


def test_a_limit_that_is_not_the_requests_is_named() -> None:
    invalid = check_answer(
        rule_of(AnswerConfig.model_validate({"number": True})), reply("1", "length"), PendingRequest("0", "chat", b"{}")
    )
    assert invalid is not None
    assert "the end of the model's context" in invalid.reason


def test_whole_numbers_of_any_size_stay_what_they_are() -> None:
    body = b'{"logit_bias":{"1":123456789012345678901234567890},"seed":9223372036854775807}'
    again = json.loads(asked_again(body, "0" * 32, 2, None))
    assert again["logit_bias"] == {"1": 123456789012345678901234567890}
    assert again["seed"] == 2**63 - 2001


def test_the_order_of_a_body_stays() -> None:
    body = b'{"prompt":"x","structured_outputs":{"json":{"properties":{"why":{},"age":{}}}},"max_tokens":1}'
    again = asked_again(body, "f" * 32, 1, None)
    assert again.startswith(body[:-1])
    assert orjson.loads(again)["seed"] == 0xFFFFFFF + 1000
