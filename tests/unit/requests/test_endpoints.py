"""The registry of endpoints: what an entry says is all that is needed to ask one, to read its replies and to know it is ready."""

from dataclasses import replace
from typing import Any, get_args

import orjson
import pytest

from campaign.config import DatasetConfig
from campaign.config.datasets import EndpointName, PoolingEndpoint
from campaign.core.tables import POOLED
from campaign.requests.endpoints import APIS, APIS_BY_ROUTE, Api
from campaign.requests.files.row import Row
from campaign.requests.problems import RowProblem
from campaign.requests.replies.reply import BadReply, Reply, tokens_of
from campaign.requests.rows.bodies import Rendered, renderer
from campaign.server.check.vllm_arguments import load_names


def test_every_endpoint_the_config_knows_has_an_entry() -> None:
    assert set(APIS) == set(get_args(EndpointName))
    assert all(name == api.name for name, api in APIS.items())
    assert len(APIS_BY_ROUTE) == sum(1 + len(api.aliases) for api in APIS.values())


def test_pages_have_endpoints_from_their_names_alone() -> None:
    """A list by hand beside it would lack the next one."""
    texts = (DatasetConfig.model_fields["endpoint"].description, POOLED.name)
    assert not [name for text in texts for name in get_args(PoolingEndpoint) if name in str(text)]


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
def test_the_readiness_question_is_one_that_a_row_may_ask(api: Api) -> None:
    prompt = api.question[api.prompt_field]
    assert api.check_prompt(prompt, "files", "body") == prompt
    assert "Hello" in api.prompt_of(orjson.dumps(api.question))


def _read_vector(payload: bytes) -> Reply:
    answer = orjson.loads(payload)
    prompt_tokens, completion_tokens = tokens_of(answer)
    return Reply(orjson.dumps(answer["data"]).decode(), None, prompt_tokens, completion_tokens, None)


def _check_input(value: Any, key: str, where: str) -> Any:
    if not isinstance(value, str):
        raise RowProblem(key, f"{where} must be a text")
    return value


@pytest.fixture
def vectors(monkeypatch: pytest.MonkeyPatch) -> Api:
    """An endpoint that nobody has heard of, registered."""
    api = Api("vectors", "/v1/vectors", "input", _check_input, _read_vector, columns=("embedding",))
    monkeypatch.setitem(APIS, api.name, api)
    monkeypatch.setitem(APIS_BY_ROUTE, api.route, api)
    return api


def render(values: dict[str, Any], **keys: Any) -> Rendered:
    dataset = DatasetConfig.model_validate({"files": ["f"], "models": ["m"]}).model_copy(update=keys)
    return renderer(dataset)(Row("f", 1, 1, values))


@pytest.mark.parametrize(("columns", "words"), [((), "writes no text: name the columns"), (("tone",), "no column tone")])
def test_an_entry_whose_values_would_be_lost_is_refused(columns: tuple[str, ...], words: str) -> None:
    """Parts have the columns that entries name: rows were `ok` with nothing in them."""
    with pytest.raises(ValueError, match=words):
        Api("vectors", "/v1/vectors", "input", _check_input, _read_vector, columns=columns)


def test_fields_of_the_endpoint_alone_are_known(vectors: Api) -> None:
    names = load_names()
    api = replace(vectors, own_fields=frozenset({"pauses"}))
    assert set(names.unknown_fields(["input", "pauses", "paused"], also_known=api.known_fields)) == {"paused"}
    assert names.unknown_fields(["paused"], also_known=api.known_fields) == {"paused": "pauses"}


@pytest.mark.parametrize("form", ["template", "batch line"])
def test_a_new_endpoint_is_asked_and_read_by_its_entry_alone(form: str, vectors: Api) -> None:
    if form == "template":
        request = render({"word": "tree"}, endpoint="vectors", prompt="{{ word }}", sampling={"dimensions": 8})
    else:
        body = {"input": "tree", "dimensions": 8, "model": "x"}
        request = render({"custom_id": "1", "url": "/v1/vectors", "body": body})
    assert (request.endpoint, orjson.loads(request.body)) == ("vectors", {"input": "tree", "dimensions": 8})
    assert vectors.prompt_of(request.body) == "tree"
    assert vectors.question == {"input": "Hello"}
    reply = vectors.read_reply(b'{"data": [0.5], "usage": {"prompt_tokens": 3}}')
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("[0.5]", 3, 0)


@pytest.mark.parametrize(
    ("values", "keys", "key", "words"),
    [
        ({"custom_id": "1", "url": "/v1/vectors", "body": {"input": 7}}, {}, "files", "body.input must be a text"),
        (
            {"w": "a"},
            {"endpoint": "vectors", "prompt": "{{ w }}", "sampling": {"input": "b"}},
            "sampling",
            "`input` is made from",
        ),
    ],
)
def test_its_rows_are_checked(values: dict[str, Any], keys: dict[str, Any], key: str, words: str, vectors: Api) -> None:
    with pytest.raises(RowProblem, match=words) as caught:
        render(values, **keys)
    assert caught.value.config_key == key


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 3}, (5, 3)),
        ({"prompt_tokens": 5}, (5, 0)),
        ({"prompt_tokens": 5, "completion_tokens": None, "total_tokens": 5}, (5, 0)),
    ],
)
def test_tokens_are_those_read_and_those_written(usage: dict[str, Any], tokens: tuple[int, int]) -> None:
    assert tokens_of({"usage": usage}) == tokens


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": True}, {"prompt_tokens": -1}])
def test_an_answer_without_token_counts_is_none(usage: Any) -> None:
    with pytest.raises(BadReply, match="usage"):
        tokens_of({"usage": usage})
