"""What the plan asks vLLM about requests, and what it makes of the checks."""

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from campaign.config import CampaignConfig, validate
from campaign.plan.checks.requests.check import AskedRequests, diagnose_requests, requests_to_ask
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.rows.sampled_rows import sample_requests
from campaign.server.check.vllm_answers import RequestCheck, VllmAnswer
from support.pictures import png


@pytest.fixture
def campaign(in_tmp) -> Callable[..., CampaignConfig]:
    """One dataset `d` of the rows, for the model `m`."""

    def make(*rows: dict[str, Any], model: dict[str, Any] | None = None, **dataset: Any) -> CampaignConfig:
        (in_tmp / "d.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        source = {} if "custom_id" in rows[0] else {"prompt": "{{ text }}"}
        return validate(
            {
                "campaign": "c",
                "models": {"m": {"source": "m", **(model or {})}},
                "datasets": {"d": {"files": ["d.jsonl"], "models": ["m"], **source, **dataset}},
            }
        )

    return make


def asked_of(config: CampaignConfig) -> AskedRequests:
    return requests_to_ask({"d": sample_requests(config.datasets["d"])}, ["d"])


def told(
    config: CampaignConfig, check_one: Callable[[dict[str, Any]], RequestCheck] | None = None, **more: Any
) -> list[Diagnostic]:
    """What is told with vLLM's check on each body; without `check_one`, by the rules."""
    asked = asked_of(config)
    answer = None if check_one is None else VllmAnswer(requests=[check_one(dict(each.request.body)) for each in asked.requests])
    return list(diagnose_requests(config, "m", asked, answer, **more))


def text(number: int, size: int = 1) -> dict[str, Any]:
    return {"text": f"w{number} " * size}


def batch(number: int, **fields: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    return {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body}


def refuse(words: str, field: str | None = None) -> Callable[[dict[str, Any]], RequestCheck]:
    return lambda body: RequestCheck(refused=words, field=field)


# --- what is asked ----------------------------------------------------------------------------------------------------------


def test_one_short_request_for_each_form_then_the_rows(campaign) -> None:
    config = campaign(text(1), text(2, 50), text(3), sampling={"max_tokens": 5})
    short, *rows = asked_of(config).requests
    assert short.row is None
    assert short.rows == 3
    assert short.request.body == {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
    assert [each.row.place for each in rows] == ["d.jsonl:1", "d.jsonl:2", "d.jsonl:3"]
    assert asked_of(config).whole == {"d"}


def test_each_form_of_a_batch_file_is_asked(campaign) -> None:
    asked = asked_of(campaign(batch(1, max_tokens=1), batch(2, max_tokens=2), batch(3, max_tokens=1)))
    assert [(each.request.body["max_tokens"], each.rows) for each in asked.requests if each.row is None] == [(1, 2), (2, 1)]


def shows(number: int, *parts: dict[str, Any]) -> dict[str, Any]:
    return batch(number) | {"body": {"messages": [{"role": "user", "content": list(parts)}]}}


def test_images_are_not_fetched_for_a_plan(campaign) -> None:
    """In place of addresses stand a small picture and silence; what else vLLM might fetch is not asked."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}
    sound = {"type": "audio_url", "audio_url": {"url": "http://example.org/a.wav"}}
    video = {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}}
    asked = asked_of(campaign(shows(1, picture, sound), shows(2, video), shows(3, {**picture, "image_url": "https://a.b/c"})))
    (row,) = [each for each in asked.requests if each.row is not None]
    first, second = row.request.body["messages"][0]["content"]
    assert first["image_url"]["url"].startswith("data:image/png;base64,")
    assert first["image_url"]["detail"] == "low"
    assert second["audio_url"]["url"].startswith("data:audio/wav;base64,")
    assert asked.whole == frozenset()


def test_parts_of_other_programs_are_shown_for_vllm_refuses_them_unread(campaign) -> None:
    text, picture = {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    foreign = {"type": "image", "source": {"type": "base64", "data": "aaaa"}}
    hidden = {"type": "image", "image_url": "https://example.org/a.png", "uuid": "1"}
    asked = asked_of(campaign(shows(1, foreign, text), shows(2, foreign, picture), shows(3, hidden, text)))
    first, second = (each.request.body["messages"][0]["content"] for each in asked.requests if each.row is not None)
    assert first == [foreign, text]
    assert second[1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_the_first_images_are_shown_as_they_are(campaign, in_tmp, monkeypatch) -> None:
    monkeypatch.setattr("campaign.plan.checks.requests.shown._FILES", 2)
    for number in range(3):
        (in_tmp / f"{number}.png").write_bytes(png(number))
    rows = [{"text": "a", "image": f"{number}.png"} for number in range(2)]
    within = [{"text": "a", "image": f"data:image/png;base64,{base64.b64encode(png(2)).decode()}"}]
    asked = asked_of(campaign(*rows, *within, images="image")).requests
    shown = [each.request.body["messages"][0]["content"][0]["image_url"]["url"] for each in asked if each.row is not None]
    assert [base64.b64decode(url.partition(",")[2]) == png(number) for number, url in enumerate(shown)] == [True, True, False]
    assert asked[0].request.body["messages"] == [{"role": "user", "content": "Hello"}]


def test_a_text_model_refuses_images(campaign) -> None:
    config = campaign(*({"text": "a", "image": f"https://example.org/{n}.png"} for n in range(3)), images="image")
    said = "m is not a multimodal model"
    (found,) = told(
        config, lambda body: RequestCheck(refused=said if isinstance(body["messages"][0]["content"], list) else None)
    )
    assert not found.warning
    assert str(found) == f'datasets.d: vLLM refuses every row on m: "{said}"; ask a model that reads them'


def test_images_in_what_is_embedded_and_scored_are_not_fetched_either(campaign) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    picture, url = {"content": [part]}, {"embeddings": "/v1/embeddings", "score": "/score"}
    lines = [
        {"custom_id": "1", "url": url["embeddings"], "body": {"input": [{"role": "user", **picture}]}},
        {"custom_id": "2", "url": url["embeddings"], "body": {"messages": [{"role": "user", **picture}]}},
        {"custom_id": "3", "url": url["score"], "body": {"text_1": "a", "text_2": [picture, "b"]}},
        {
            "custom_id": "4",
            "url": url["score"],
            "body": {"text_1": "a", "text_2": {"content": [{"type": "text", "text": "b"}]}},
        },
    ]
    assert [each.row.row_id for each in asked_of(campaign(*lines)).requests if each.row is not None] == [
        "2",
        "4",
    ]  # 2 with a picture of ours


def test_requests_for_vectors_and_scores_are_asked(campaign) -> None:
    config = campaign(text(1), endpoint="score", document="{{ text }}", sampling={"truncate_prompt_tokens": 9})
    short, row = asked_of(config).requests
    assert (short.request.api, short.request.body) == (
        "score",
        {"text_1": "Hello", "text_2": ["Hello"], "truncate_prompt_tokens": 9},
    )
    assert row.request.body == {"text_1": "w1 ", "text_2": "w1 ", "truncate_prompt_tokens": 9}


def test_long_prompts_are_few(campaign) -> None:
    rows = [text(number, 40_000) for number in range(12)]  # 12 of about 120 kB, the last two are the longest
    places = [each.row.place for each in asked_of(campaign(*rows)).requests if each.row is not None]
    assert 5 < len(places) < 12
    assert places[-1] == "d.jsonl:11"


# --- what is told -----------------------------------------------------------------------------------------------------------


def test_what_every_row_meets_is_refused_in_vllms_words(campaign) -> None:
    config = campaign(*map(text, range(3)), sampling={"temperature": 3})
    (found,) = told(config, refuse("temperature must be in [0, 2], got 3.0.", "temperature"))
    assert not found.warning
    assert str(found) == (
        'datasets.d.sampling.temperature: vLLM refuses every row on m: "temperature must be in [0, 2], got 3.0."'
    )


def test_the_key_is_that_of_the_field_which_is_named_first(campaign) -> None:
    config = campaign(text(1), sampling={"max_tokens": 3, "min_tokens": 9})
    (found,) = told(config, refuse("min_tokens must be less than or equal to max_tokens=3, got 9."))
    assert found.config_key == "datasets.d.sampling.min_tokens"


def test_some_rows_of_a_batch_are_a_warning_with_their_place(campaign) -> None:
    config = campaign(batch(1), batch(2, max_tokens=0), batch(3, max_tokens=-1))

    def check_one(body: dict[str, Any]) -> RequestCheck:
        return RequestCheck(refused=f"it must be at least 1, got {body['max_tokens']}." if "max_tokens" in body else None)

    (found,) = told(config, check_one)
    assert found.warning
    assert found.config_key == "datasets.d.files"
    assert "2 of the 3 rows that were looked at, such as d.jsonl:2," in str(found)


def test_all_lines_of_a_batch_file_are_refused_only_if_all_were_seen(campaign, monkeypatch) -> None:
    config = campaign(*(batch(number, temperature=9) for number in range(4)))
    assert [found.warning for found in told(config, refuse("temperature must be"))] == [False]
    monkeypatch.setattr("campaign.requests.rows.sampled_rows.ROWS", 3)
    assert [found.warning for found in told(config, refuse("temperature must be"))] == [True]


def test_a_prompt_that_is_refused_alone_refuses_no_campaign(campaign) -> None:
    """The short prompt with the same fields is taken, so other rows may be."""
    config = campaign(text(1), *(text(number) for number in range(2, 300)))
    check_one = lambda body: RequestCheck(refused="odd text" if "w1 " in str(body) else None)  # noqa: E731
    (found,) = told(config, check_one)
    assert found.warning


def test_what_the_template_makes_of_every_row_is_refused(campaign) -> None:
    """A model whose chat template takes no system message: the short prompt has none."""
    config = campaign(*map(text, range(300)), system="Be brief.")
    check_one = lambda body: RequestCheck(refused="System role not supported" if len(body["messages"]) > 1 else None)  # noqa: E731
    assert [found.warning for found in told(config, check_one)] == [False]


LONG = "max_tokens=4096 cannot be greater than max_model_len=1024."


def test_of_requests_that_are_too_long_the_foretold_words_are_taken(campaign) -> None:
    config = campaign(text(1), sampling={"max_tokens": 4096})
    foretold = [Diagnostic("datasets.d.sampling", "max_tokens", "too many", "use at most 990", warning=True)]
    (found,) = told(config, refuse(LONG, "max_tokens"), foretold=foretold)
    assert (found.reason, found.remedy, found.warning) == ("too many", "use at most 990", False)
    (alone,) = told(config, refuse(LONG, "max_tokens"))
    assert (alone.rule, alone.warning) == ("request", False)


def test_vllms_count_of_tokens_goes_before_the_estimate(campaign) -> None:
    foretold = [
        Diagnostic("datasets.d", "prompt_length", "too long", warning=True),
        Diagnostic("datasets.d.sampling", "answer_length", "cut", warning=True),
        Diagnostic("datasets.other", "prompt_length", "another one's", warning=True),
    ]
    found = told(campaign(text(1)), lambda body: RequestCheck(tokens=9), foretold=foretold)
    assert [each.reason for each in found] == ["cut", "another one's"]


def test_without_vllm_the_rules_speak(campaign) -> None:
    config = campaign(text(1), sampling={"max_tokens": 4096, "structured_outputs": {"choice": [True, False]}})
    (found,) = told(config)
    assert not found.warning
    assert found.config_key == "datasets.d.sampling.structured_outputs"
    assert "hold texts, got True, False; YAML reads yes, no" in str(found)
    long = [Diagnostic("datasets.d.sampling", "max_tokens", "too many", warning=True)]
    (found,) = told(campaign(text(1), sampling={"max_tokens": 4096}), foretold=long, context=1024)
    assert (found.reason, found.warning) == ("too many", False)


def test_an_answer_that_could_not_be_had_of_requests_is_none(campaign) -> None:
    config = campaign(text(1), sampling={"top_p": 0})
    answer = VllmAnswer(max_model_len=1024, requests=None)
    assert "top_p must be in (0, 1]" in str(next(iter(diagnose_requests(config, "m", asked_of(config), answer))))


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ('"auto" tool choice requires --enable-auto-tool-choice', "models.m.vllm: {enable-auto-tool-choice: true, tool-call-parser:"),
        ("max_tokens: Input should be a valid integer, got '{{ n }}'", '"body": {"messages": [...], "max_tokens": 2}}'),
        ("max_tokens: Input should be a valid integer, unable to parse string as an integer, got '{n}'", "OpenAI Batch file"),
        ("structured_outputs.choice.0: Input should be a valid string, got True", "put texts into quotes"),
        ("top_p must be in (0, 1]", ""),
    ],
)  # fmt: skip
def test_a_remedy_where_vllms_words_have_none(words: str, remedy: str, campaign) -> None:
    (found,) = told(campaign(text(1)), refuse(words))
    assert remedy in found.remedy
    assert bool(remedy) is bool(found.remedy)


def test_fields_that_vllm_ignores_are_told_with_what_is_meant(campaign) -> None:
    lines = [batch(1, max_token=5), batch(2, max_token=5), batch(3, guided_choice=["a"])]
    found = {str(each) for each in told(campaign(*lines))}
    assert found == {
        "datasets.d.files: `max_token` is no field of /v1/chat/completions, and vLLM ignores it (d.jsonl:1 and 1 more); did you "
        "mean `max_tokens`?",
        "datasets.d.files: `guided_choice` is no field of /v1/chat/completions, and vLLM ignores it (d.jsonl:3); write "
        "`structured_outputs: {choice: [...]}`",
    }


def test_a_field_of_another_endpoint_is_told(campaign) -> None:
    config = campaign(text(1), endpoint="completions", sampling={"max_completion_tokens": 5})
    (found,) = told(config, lambda body: RequestCheck(ignored=("max_completion_tokens",)))
    assert found.warning
    assert "datasets.d.sampling.max_completion_tokens: `max_completion_tokens` is no field of /v1/completions" in str(found)
    assert found.remedy == "write `max_tokens`"


def test_dimensions_that_a_model_does_not_have_are_refused(campaign) -> None:
    config = campaign(*map(text, range(3)), endpoint="embeddings", sampling={"dimensions": 32})
    (found,) = told(config, refuse("Model 'm' does not support Matryoshka embeddings; dimensions must be unset"))
    assert (found.config_key, found.warning) == ("datasets.d.sampling.dimensions", False)
    assert found.remedy == "remove `dimensions`, or name a model that was trained for it"


def test_prompts_that_no_vector_can_be_made_of_are_refused_where_all_are(campaign) -> None:
    said = "This model's maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens"
    config = campaign(text(1), text(2, 900), endpoint="embeddings")
    (found,) = told(config, lambda body: RequestCheck(refused=said if len(body["input"]) > 900 else None, tokens=1))
    assert found.warning
    (found,) = told(campaign(text(1, 900), text(2, 900), endpoint="embeddings"), refuse(said, "input_tokens"))
    assert not found.warning
    assert "vLLM refuses every row on m" in str(found)


def test_fields_of_other_endpoints_are_told_of_vectors_too(campaign) -> None:
    config = campaign(text(1), endpoint="score", document="a", sampling={"dimensions": 3, "max_token": 5})
    (found,) = told(
        config, lambda body: RequestCheck(ignored=("dimensions", "max_token"))
    )  # plan.run_checks tells of max_token
    assert "`dimensions` is no field of /score, and vLLM ignores it" in str(found)
    (found,) = told(campaign(text(1), endpoint="embeddings", sampling={"normalize": True}))
    assert "`normalize` was removed; use `use_activation`" in str(found)


def test_fields_of_rows_are_told_with_their_places(campaign) -> None:
    """Each form of the fields is asked; what some rows say refuses no campaign."""
    rows = [{**text(number), "limit": limit} for number, limit in enumerate((5, 4096, 5))]
    config = campaign(*rows, sampling={"max_tokens": {"column": "limit"}})
    asked = asked_of(config).requests
    assert [(each.request.body["max_tokens"], each.rows) for each in asked if each.row is None] == [(5, 2), (4096, 1)]

    def check_one(body: dict[str, Any]) -> RequestCheck:
        return RequestCheck(refused="max_tokens=4096 cannot be greater than max_model_len" if body["max_tokens"] > 5 else None)

    (found,) = told(config, check_one)
    assert found.warning
    assert found.config_key == "datasets.d.sampling.max_tokens"
    assert "1 of the 3 rows that were looked at, such as d.jsonl:2," in str(found)


def test_a_column_that_is_wrong_in_all_rows_refuses_the_campaign_only_if_all_were_seen(campaign, monkeypatch) -> None:
    config = campaign(*({**text(n), "heat": 9} for n in range(4)), sampling={"temperature": {"column": "heat"}})
    assert [found.warning for found in told(config, refuse("temperature must be"))] == [False]
    monkeypatch.setattr("campaign.requests.rows.sampled_rows.ROWS", 3)
    assert [found.warning for found in told(config, refuse("temperature must be"))] == [True]
