"""Answers that are spoilt at random, and for ever, while processes are killed: each row as it should be, each token accounted."""

import os
import random
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from campaign.queue.answers.invalid_attempts import of_column
from support.runs import Campaign, wait_for

ROWS = 6000
ANSWER = '{"why": "it says so", "age": 36}'
SCHEMA = {
    "type": "object",
    "properties": {"why": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["why", "age"],
    "additionalProperties": False,
}


def answered(campaign: Campaign) -> pd.DataFrame:
    """What the server answered, each request once: one that was in flight at a kill comes twice, and gets the same."""
    lines = [line.split() for line in (campaign.root / "answered.log").read_text().splitlines()]
    frame = pd.DataFrame(lines, columns=["prompt", "seed", "whole", "read", "written"])
    return frame.astype({"whole": int, "read": int, "written": int}).drop_duplicates(["prompt", "seed"])


def has_received(campaign: Campaign, requests: int) -> bool:
    return sum(campaign.received().values()) >= requests


@pytest.mark.timeout(240)
def test_answers_are_valid_or_told_and_every_token_is_accounted(tmp_path: Path) -> None:
    """12 % of the answers are spoilt at random, all answers to 1 % of the prompts.

    Of the rows that are not spoilt for ever 0.12 ** 4 = 0.02 % fail by chance: the second repetition has two answers.
    """
    env = {"STUB_ANSWER": ANSWER, "STUB_CORRUPT": "0.12 0.01", "STUB_ANSWERED": "answered.log", "STUB_LATENCY_S": 0.03}
    inference = {"concurrency": 32, "drain": "20s", "max_failed_fraction": 0.05}
    campaign = Campaign(tmp_path, ROWS, shard_rows=400, env=env, inference=inference)
    campaign.raw["datasets"]["words"]["answer"] = {"schema": SCHEMA}
    campaign.write_config()
    with campaign.started("results/trial/accounting.parquet") as snakemake:
        for victim, moment in (("infer", ROWS // 4), ("snakemake", 2 * ROWS // 3)):
            wait_for(partial(has_received, campaign, moment), 60, f"{moment} requests")
            for pid in [snakemake.pid] if victim == "snakemake" else campaign.find(victim):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    result = campaign.run("results/trial/accounting.parquet")
    assert result.returncode == 0, result.stdout[-3000:]

    rows, sent = campaign.responses().set_index("row_id"), answered(campaign)
    whole = sent.groupby("prompt").whole.max()
    assert dict(rows.status == "ok") == dict(whole == 1)  # of the curable every one is valid, of the others none
    assert set(rows[rows.status == "failed"].error_class) == {"invalid_answer"}
    assert {answer["age"] for answer in rows[rows.status == "ok"].answer} == {36}
    assert rows[rows.status == "failed"].text.notna().all()

    asked = sent.groupby("prompt").size()
    invalid = rows.invalid_attempts.map(of_column)
    assert dict(invalid.map(len) + 1) == dict(asked)
    assert asked[whole[whole == 0].index].unique().tolist() == [3]
    curable = pd.Series({prompt: random.Random(prompt).random() >= 0.01 for prompt in whole.index})
    assert whole[curable].mean() >= 0.999  # 6 may fail by chance; 1.2 do, and more than 6 in one of 4,000 runs

    accounted = pd.read_parquet(campaign.results / "accounting.parquet")
    for name, column in (("prompt_tokens", "read"), ("completion_tokens", "written")):
        in_rows = rows[name].sum() + sum(one[name] for attempts in invalid for one in attempts)
        assert accounted[name].sum() == in_rows == sent[column].sum()
    assert accounted.answered.sum() == (rows.status == "ok").sum()
