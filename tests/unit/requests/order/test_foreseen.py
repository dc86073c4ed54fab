"""What the plan says of a dataset's order, before anything is prepared."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign.config import CampaignConfig, validate
from campaign.requests.order.foreseen import foreseen_order
from campaign.requests.prepare import prepare


@pytest.fixture
def config(in_tmp: Path) -> Callable[..., CampaignConfig]:
    """Factory of campaigns with one dataset `d` of these prompts."""

    def make(words: list[str], **settings: Any) -> CampaignConfig:
        Path("d.jsonl").write_bytes(b"".join(orjson.dumps({"word": word}) + b"\n" for word in words))
        dataset = {"files": ["d.jsonl"], "prompt": "{{ word }}", "models": ["m"], **settings}
        return validate({"campaign": "c", "models": {"m": {"source": "s"}}, "datasets": {"d": dataset}})

    return make


def shuffled(count: int) -> list[str]:
    words = [f"Document {n % 30}. " + f"{n % 30} is what this is about. " * 20 + f"Question {n}" for n in range(count)]
    random.Random(1).shuffle(words)
    return words


def test_the_plan_says_what_prepare_requests_finds(config: Callable[..., CampaignConfig]) -> None:
    campaign = config(shuffled(300))
    foreseen = foreseen_order(campaign, "d")
    assert foreseen is not None and foreseen.rows is None
    assert str(foreseen).endswith(" %.") and "of its prompt tokens are shared; grouping saves about" in str(foreseen)
    assert prepare(campaign, "d")["order"] == foreseen.order
    assert foreseen_order(campaign, "d") == foreseen


def test_of_many_rows_it_says_by_how_many_it_judges(config: Callable[..., CampaignConfig]) -> None:
    assert str(foreseen_order(config(shuffled(1500)), "d")).endswith("(by its first 1,000 rows).")


def test_nothing_is_said_where_nothing_begins_alike_or_the_order_is_given(config: Callable[..., CampaignConfig]) -> None:
    assert foreseen_order(config([f"{n} " * 100 for n in range(100)]), "d") is None
    assert foreseen_order(config(shuffled(300), order="input"), "d") is None


def test_what_all_rows_share_needs_no_order(config: Callable[..., CampaignConfig]) -> None:
    told = str(foreseen_order(config([f"{n}" for n in range(100)], system="Answer as briefly as you can. " * 20), "d"))
    assert told.endswith("of its prompt tokens are shared; the order of the files stays.")
