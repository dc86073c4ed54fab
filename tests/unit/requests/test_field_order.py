"""Requests that version 0.1 sent with sorted keys: their answers are kept or asked anew, as the user says; he is asked first."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from campaign.config import validate
from campaign.controller import dag
from campaign.core.errors import InputError
from campaign.requests import prepare as module
from campaign.requests.dataset_check import check_dataset
from campaign.requests.keys.key import canonical_json
from campaign.requests.rows.bodies import renderer
from campaign.requests.shards import KEY_DEPENDS_ON_FIELD_ORDER
from support.queued import Trial, rows, trial

__all__ = ["trial"]

SCHEMA = {"type": "object", "properties": {"reasoning": {"type": "string"}, "answer": {"type": "string"}}}
IN_ORDER = {"response_format": {"type": "json_schema", "json_schema": {"name": "v", "schema": SCHEMA}}}


@pytest.fixture
def earlier(trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trial]:
    """Factory of campaigns that version 0.1 ran to their end."""

    def make(*, then: Callable[[Trial], None] | None = None, **settings: Any) -> Trial:
        campaign = trial(4)
        campaign.raw["datasets"]["d"] |= settings
        if then is not None:
            then(campaign)
        with monkeypatch.context() as patched:
            patched.setattr(module, "renderer", sorting)
            campaign.run()
        for path in campaign.find("requests/*/*.parquet"):
            table = pq.read_table(path, partitioning=None)
            metadata = {name: value for name, value in table.schema.metadata.items() if name != KEY_DEPENDS_ON_FIELD_ORDER}
            pq.write_table(table.replace_schema_metadata(metadata), path)
        campaign.asked.clear()
        return campaign

    def sorting(dataset: Any, **_: Any) -> Any:
        render = renderer(dataset, order_in_keys=False)

        class Sorting:
            def __getattr__(self, name: str) -> Any:
                return getattr(render, name)

            def __call__(self, row: Any) -> Any:
                request = render(row)
                return replace(request, content=orjson.loads(request.key_json))

        return Sorting()

    return make


def sent(campaign: Trial) -> list[bytes]:
    """The bodies of all requests."""
    paths = campaign.find("requests/*/*.parquet")
    return [body for path in paths for body in pq.read_table(path, partitioning=None).column("body").to_pylist()]


def test_where_only_names_had_an_order_all_answers_are_found_again(earlier: Callable[..., Trial]) -> None:
    campaign = earlier(sampling={"temperature": 0, "max_tokens": 5, "logit_bias": {9: 1, 10: 1}})
    assert check_dataset(campaign.config, "d") == []
    campaign.dataset("d", rows(*range(5)))
    campaign.run()
    assert campaign.asked == {"w4": 1}


def test_the_user_is_asked_before_anything_is_asked_anew(earlier: Callable[..., Trial]) -> None:
    campaign = earlier(sampling=IN_ORDER)
    (told,) = check_dataset(campaign.config, "d")
    assert told.startswith("datasets.d: an earlier version sent its requests with sorted keys")
    assert "--config earlier_answers=keep" in told
    assert "--config earlier_answers=ask_anew" in told
    with pytest.raises(InputError) as refused:
        campaign.prepare()
    assert refused.value.problems == [told]


def test_kept_answers_are_found_and_only_new_rows_are_asked_as_written(earlier: Callable[..., Trial]) -> None:
    campaign = earlier(sampling=IN_ORDER)
    campaign.raw["earlier_answers"] = "keep"
    campaign.dataset("d", rows(*range(5)))
    assert check_dataset(campaign.config, "d") == []
    campaign.run()
    assert campaign.asked == {"w4": 1}
    assert all(body.index(b'"reasoning"') < body.index(b'"answer"') for body in sent(campaign))
    # In later runs nothing has to be said, and nothing is asked.
    del campaign.raw["earlier_answers"]
    campaign.asked.clear()
    assert check_dataset(campaign.config, "d") == []
    campaign.run()
    assert not campaign.asked
    # Nor can what was kept be asked anew but by saying so.
    campaign.raw["earlier_answers"] = "ask_anew"
    campaign.run()
    assert campaign.asked == {f"w{number}": 1 for number in range(5)}


def test_asked_anew_once(earlier: Callable[..., Trial]) -> None:
    campaign = earlier(sampling=IN_ORDER)
    campaign.raw["earlier_answers"] = "ask_anew"
    campaign.run()
    assert campaign.asked.total() == 4
    del campaign.raw["earlier_answers"]
    assert check_dataset(campaign.config, "d") == []
    campaign.run()
    assert campaign.asked.total() == 4


@pytest.mark.parametrize("said", ["keep", "ask_anew"])
def test_what_it_does_not_concern_stays_as_it_is(said: str, earlier: Callable[..., Trial]) -> None:
    campaign = earlier(sampling={"temperature": 0, "max_tokens": 5})
    parts = {path: path.stat().st_ino for path in campaign.find("responses/*/*/*")}
    campaign.raw["earlier_answers"] = said
    campaign.run()
    assert not campaign.asked
    assert {path: path.stat().st_ino for path in campaign.find("responses/*/*/*")} == parts


def by_column(campaign: Trial, touched: int) -> None:
    """Of 300 rows, only one has a field of its own whose order counts."""
    row_schemas = [IN_ORDER["response_format"] if number == touched else None for number in range(300)]
    numbered = [{"word": f"w{number}", "form": form} for number, form in enumerate(row_schemas)]
    campaign.dataset("d", numbered, shard_rows=50, sampling={"response_format": {"column": "form"}})


def test_the_user_is_asked_about_a_row_behind_those_that_a_plan_looks_at(earlier: Callable[..., Trial]) -> None:
    campaign = earlier(sampling=IN_ORDER, then=lambda campaign: by_column(campaign, touched=250))
    assert check_dataset(campaign.config, "d") == []
    with pytest.raises(InputError) as refused:
        campaign.prepare()
    assert "--config earlier_answers=keep" in refused.value.problems[0]
    campaign.raw["earlier_answers"] = "keep"
    campaign.run()
    assert not campaign.asked


def test_the_user_is_asked_where_the_first_rows_are_new(earlier: Callable[..., Trial]) -> None:
    campaign = earlier(sampling=IN_ORDER)
    campaign.dataset("d", rows(*range(1000, 1300), *range(4)))
    with pytest.raises(InputError) as refused:
        campaign.prepare()
    assert "--config earlier_answers=ask_anew" in refused.value.problems[0]


def test_what_is_kept_stays_kept_when_the_requests_are_made_again(earlier: Callable[..., Trial]) -> None:
    campaign = earlier(sampling=IN_ORDER)
    campaign.raw["earlier_answers"] = "keep"
    campaign.run()
    del campaign.raw["earlier_answers"]
    for path in campaign.find("requests/*/*.parquet"):
        path.unlink()
    campaign.run()
    assert not campaign.asked
    campaign.raw["earlier_answers"] = "ask_anew"
    campaign.run()
    assert campaign.asked.total() == 4
    del campaign.raw["earlier_answers"]
    for path in campaign.find("requests/*/*.parquet"):
        path.unlink()
    campaign.run()
    assert campaign.asked.total() == 4


def test_nobody_is_asked_where_nothing_was_answered(earlier: Callable[..., Trial]) -> None:
    campaign = earlier(sampling=IN_ORDER)
    for path in campaign.find("responses/*/*/*"):
        path.unlink()
    assert check_dataset(campaign.config, "d") == []


def test_other_sampling_asks_all_without_a_question(earlier: Callable[..., Trial]) -> None:
    campaign = earlier(sampling=IN_ORDER)
    campaign.raw["datasets"]["d"]["sampling"] = {**IN_ORDER, "max_tokens": 9}
    assert check_dataset(campaign.config, "d") == []


def spec(sampling: dict[str, Any], **more: Any) -> str:
    datasets = {"d": {"files": ["f"], "models": ["m"], "prompt": "x", "sampling": sampling}}
    return dag.dataset_spec(validate({"campaign": "c", "models": {"m": {"source": "s"}}, "datasets": datasets, **more}), "d")


def test_requests_are_rendered_anew_where_an_order_that_counts_changed() -> None:
    backwards = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}  # type: ignore[attr-defined]
    other = {"response_format": {"type": "json_schema", "json_schema": {"name": "v", "schema": backwards}}}
    assert spec(IN_ORDER) != spec(other)
    assert spec({"seed": 1, "temperature": 0}) == spec({"temperature": 0, "seed": 1})
    assert spec(IN_ORDER) != spec(IN_ORDER, earlier_answers="keep")


def test_a_run_that_differs_by_an_order_keeps_its_own_config(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from campaign.config import keep, kept_config
    from campaign.config.load import CONFIG_VARIABLE

    monkeypatch.setenv(CONFIG_VARIABLE, "")
    for properties in ({"a": {}, "b": {}}, {"b": {}, "a": {}}):
        datasets = {"d": {"files": ["f"], "models": ["m"], "prompt": "x", "sampling": {"schema": properties}}}
        keep(validate({"campaign": "c", "models": {"m": {"source": "s"}}, "datasets": datasets}))
        kept = kept_config()
        assert kept is not None
        assert list(kept.datasets["d"].sampling["schema"]) == list(properties)


def test_sorted_bodies_are_those_of_version_0_1() -> None:
    assert canonical_json(orjson.loads(b'{"b":{"d":1,"c":2},"a":1}')) == b'{"a":1,"b":{"c":2,"d":1}}'
