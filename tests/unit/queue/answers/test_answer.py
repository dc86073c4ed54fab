"""Whatever stands in a journal can be published, that of an earlier version included, which checked no reply."""

from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core.tables import RESPONSES
from campaign.queue.answers.answer import conversion, is_answer, publishable
from support.queued import Trial, make_answer

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted(make_answer("k").keys() - {"key", "status"})


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING), st.sets(st.sampled_from(FIELDS), max_size=3))
def test_any_journalled_answer_has_the_types_of_its_row(changes: dict[str, Any], missing: set[str]) -> None:
    record = orjson.loads(orjson.dumps({k: v for k, v in make_answer("k", **changes).items() if k not in missing}))
    if not is_answer(record):
        return
    answer = publishable([record])[0]
    schema = RESPONSES.schema()
    for name, value in answer.items():
        if name in schema.names and name != "started_at":
            assert pa.array([value], schema.field(name).type).to_pylist() == [value]
    pa.array([round(answer["started_at"] * 1e6)], pa.int64()).cast(schema.field("started_at").type).to_pylist()


def test_one_odd_answer_changes_no_other() -> None:
    good, odd = make_answer("a", text="yes", prompt_tokens=7), make_answer("b", text=[1], prompt_tokens=-7)
    assert publishable([good, odd]) == [good, {**odd, "text": "[1]", "prompt_tokens": None}]


def test_a_good_answer_is_published_as_it_is() -> None:
    answer = make_answer("k", text="yes", prompt_tokens=7, latency_s=0.25)
    assert publishable([answer]) == [answer]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ([{"type": "text", "text": "yes"}], '[{"type":"text","text":"yes"}]'),
        (7, "7"),
        ({"a": 1}, '{"a":1}'),
        (False, "false"),
        (None, None),
    ],
)
def test_what_was_paid_for_is_published(trial: Callable[..., Trial], text: Any, shown: str | None) -> None:
    campaign = trial(prompts=2)
    campaign.prepare()
    campaign.enqueue()
    queue = campaign.queue()
    claimed = queue.claim_next()
    assert claimed is not None
    for request in claimed.requests:
        claimed.journal.append(make_answer(request.key, text=text, prompt_tokens="12", completion_tokens=-1, finish_reason=[1]))
    queue.publish(claimed)
    (row, _) = campaign.table()
    assert (row["text"], row["status"], row["prompt_tokens"], row["completion_tokens"]) == (shown, "ok", 12, None)
    assert row["finish_reason"] == "[1]"


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        (pa.list_(pa.float32()), [0.5, 1.5], [0.5, 1.5]),
        (pa.list_(pa.float32()), "no vector", None),
        (pa.bool_(), True, True),
        (pa.bool_(), 7, None),
        (pa.uint8(), 2**70, None),
    ],
)
def test_a_column_of_another_type_holds_what_fits_it(kind: pa.DataType, value: Any, kept: Any) -> None:
    assert conversion(kind)(value) == kept
