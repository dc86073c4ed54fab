"""What the plan tells of stages: by the fields of their requests at first, by their rows where answers are there."""

from pathlib import Path
from typing import Any

from campaign.core import records, state_files
from campaign.plan.checks.requests.check import diagnose_requests, requests_to_ask
from campaign.plan.checks.stage_check import stage_rows
from campaign.plan.diagnostic import Diagnostic
from campaign.queue.stages.sample import stage_sample
from support.chained import ChainedTrial
from support.queued import MODEL


def found(trial: ChainedTrial) -> list[Diagnostic]:
    return list(stage_rows(trial.config, {name: stage_sample(trial.config, name) for name in trial.config.stages}))


def ran(**of_judged: Any) -> ChainedTrial:
    """A chain whose answers are there, then with another config."""
    trial = ChainedTrial(4)
    trial.run()
    records.write(state_files.CONFIG, trial.config.paths.config, trial.config.model_dump(mode="json"))
    trial.raw["datasets"]["judged"] |= of_judged
    return trial


def test_requests_of_answers_that_are_there_are_looked_at(in_tmp: Path) -> None:
    trial = ran(prompt="Good? {{ text }} {{ row_id }}")
    sample = stage_sample(trial.config, "judged")
    assert [request.body["messages"][0]["content"] for request in sample.requests][1] == "Good? a draft on w1 drafts.jsonl:2"
    assert (sample.rows, sample.left_out, found(trial)) == (4, 0, [])


def test_a_row_that_makes_no_request_is_refused_where_its_answer_stays(in_tmp: Path) -> None:
    trial = ran(prompt="{{ 1 / (word[1:] | int) }}")
    (told,) = found(trial)
    assert (told.config_key, told.warning) == ("datasets.judged.prompt", False)
    assert "row drafts.jsonl:1 of drafts: the template fails on this row: division by zero" in told.reason
    trial.raw["datasets"]["drafts"]["prompt"] = "Another draft on {{ word }}"  # then its answers will be others
    assert [told.warning for told in found(trial)] == [True]
    trial.raw["datasets"]["judged"]["on_bad_row"] = "set_aside"
    assert found(trial) == []


def test_a_where_that_lets_none_pass_is_told(in_tmp: Path) -> None:
    trial = ran(where="text == 'Yes'")
    (told,) = found(trial)
    assert (str(told.config_key), told.warning) == ("datasets.judged.where", True)
    assert "lets none of the first 4 answers pass" in told.reason


def test_fields_that_vllm_refuses_are_told_before_anything_is_answered(in_tmp: Path) -> None:
    trial = ChainedTrial(4)
    trial.raw["datasets"]["judged"]["sampling"] = {"temperature": 3}
    config = trial.config
    samples = {name: stage_sample(config, name).sample for name in config.stages}
    told = list(diagnose_requests(config, MODEL, requests_to_ask(samples, config.stages), None))
    assert [(one.config_key, one.warning) for one in told] == [("datasets.judged.sampling.temperature", False)]
