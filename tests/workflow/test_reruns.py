"""What a second run does: only what is unanswered is asked, and nothing is started for nothing."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from support.once import made_once
from support.runs import Campaign, wait_for

# Up to the answers: the report, which takes 5 s of a processor with the tables before it, is for the tests that look at it.
ANSWERS = "results/trial/collected.json"


def answer_all(folder: Path) -> None:
    campaign = Campaign(folder, rows=12, shard_rows=5)
    result = campaign.run()
    assert result.returncode == 0, result.stdout[-4000:]
    assert len(campaign.responses()) == 12
    campaign.log.unlink()


@pytest.fixture
def finished(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Campaign:
    """A campaign of 12 prompts, answered, for one test to change."""
    return Campaign.copied(made_once(tmp_path_factory, "answered", answer_all), tmp_path)


def starts(campaign: Campaign) -> int:
    """How often an engine was started."""
    return len(list((campaign.root / "logs").rglob("*-engine-*.log")))


@pytest.mark.quick
def test_everything_answered_sends_nothing_and_starts_no_server(finished: Campaign) -> None:
    before = starts(finished)
    assert "Nothing to be done" in finished.run().stdout
    # A newer prompt file with the same content, a comment in the config, another setting of speed: no work for a server either.
    os.utime(finished.prompts)
    finished.raw["inference"]["concurrency"] = 3
    finished.write_config()
    with (finished.root / "campaign.yaml").open("a") as config:
        config.write("# a comment\n")
    result = finished.run()
    assert result.returncode == 0, result.stdout[-4000:]
    assert not finished.received()
    assert starts(finished) == before


@pytest.mark.quick
def test_one_edited_prompt_is_one_request(finished: Campaign) -> None:
    rows = [{"id": f"p{number}", "word": f"w{number}"} for number in range(12)]
    rows[7]["word"] = "edited"
    finished.write_prompts(rows)
    assert finished.run(ANSWERS).returncode == 0
    assert finished.received() == {"p7": 1}
    answers = finished.responses()
    assert len(answers) == 12
    assert "edited" in answers.set_index("row_id").prompt["p7"]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("failing", ["prepare_requests", "enqueue"])
def test_what_was_refused_once_is_refused_again(failing: str, finished: Campaign) -> None:
    """A campaign that was finished before must not be called finished by the second try."""
    rows = [{"id": f"p{number}", "word": f"w{number}"} for number in range(12)]
    rows[7]["word"] = "edited"
    in_the_way = finished.results / "superseded"
    repeated = []
    if failing == "enqueue":
        in_the_way.write_text("a file where a folder has to be")
    else:  # an id that stands twice below the rows that a run's first look reads
        rows += [{"id": f"q{number}", "word": "further"} for number in range(250)]
        repeated = rows[-1:]
    finished.write_prompts(rows + repeated)
    for _ in range(2):
        result = finished.run()
        assert result.returncode != 0, result.stdout[-3000:]
        assert f"rule {failing}" in result.stdout
        assert "has its row" not in result.stdout
    assert not finished.received()
    in_the_way.unlink(missing_ok=True)
    finished.write_prompts(rows)
    assert finished.run().returncode == 0
    assert finished.received() == dict.fromkeys(["p7", *(row["id"] for row in rows[12:])], 1)


def test_an_inserted_row_moves_the_others_without_asking_them(finished: Campaign) -> None:
    rows = [{"id": "new", "word": "first"}, *({"id": f"p{number}", "word": f"w{number}"} for number in range(12))]
    finished.write_prompts(rows)
    assert finished.run(ANSWERS).returncode == 0
    assert finished.received() == {"new": 1}
    assert finished.responses().set_index("row_id").source_row.to_dict() == {
        row["id"]: place for place, row in enumerate(rows, 1)
    }


def test_a_new_dataset_is_only_its_requests(finished: Campaign) -> None:
    (finished.root / "more.jsonl").write_text('{"id": "q1", "word": "a", "gold": 1}\n{"id": "q2", "word": "b", "gold": 2}\n')
    finished.raw["datasets"]["more"] = finished.dataset("more.jsonl")
    finished.write_config()
    assert finished.run(ANSWERS).returncode == 0
    assert finished.received() == {"q1": 1, "q2": 1}
    answers = finished.responses()
    assert len(answers) == 14
    assert answers.set_index("row_id").gold["q2"] == 2


def test_another_temperature_asks_all_again(finished: Campaign) -> None:
    finished.raw["datasets"]["words"]["sampling"]["temperature"] = 0.5
    finished.write_config()
    assert finished.run(ANSWERS).returncode == 0
    assert sum(finished.received().values()) == 12
    assert len(finished.responses()) == 12


def test_lost_answers_are_asked_again(finished: Campaign) -> None:
    shutil.rmtree(finished.results / "responses")
    assert finished.run(ANSWERS).returncode == 0
    assert len(finished.responses()) == 12


def test_failed_requests_are_asked_again_on_request(tmp_path: Path) -> None:
    notify = {"command": "cat >> told.txt"}
    campaign = Campaign(tmp_path, rows=10, shard_rows=4, env={"STUB_POISON": "<p3>"}, notify=notify)
    result = campaign.run()
    assert result.returncode == 1
    assert "engine_killed" in result.stdout, result.stdout[-4000:]
    title, why, *_ = (tmp_path / "told.txt").read_text().splitlines()
    assert (title, "failed" in why) == ("trial: not finished", True)
    answers = campaign.responses().set_index("row_id")
    assert len(answers) == 10
    assert answers.status.to_dict() == {f"p{n}": "failed" if n == 3 else "ok" for n in range(10)}

    campaign.log.unlink()
    campaign.raw["models"]["stub"]["env"].pop("STUB_POISON")
    campaign.write_config()
    result = campaign.run("--config", "retry_failed=true")
    assert result.returncode == 0, result.stdout[-4000:]
    assert campaign.received() == {"p3": 1}
    assert set(campaign.responses().status) == {"ok"}
    assert "Nothing to be done" in campaign.run().stdout
    told = (tmp_path / "told.txt").read_text()
    assert [told.count(words) for words in ("trial: not finished", "trial: finished", "10 answered, 0 failed")] == [1, 1, 1]


def test_a_second_live_snakemake_is_refused(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, env={"STUB_LATENCY_S": 1})
    with campaign.started():
        wait_for(campaign.received, 60, "the first request")
        second = campaign.run()
        assert second.returncode == 1
        assert "Another Snakemake" in second.stdout
        assert "Traceback" not in second.stdout


@pytest.mark.quick
def test_nothing_outlives_a_killed_snakemake(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, env={"STUB_LATENCY_S": 8})
    with campaign.started() as snakemake:
        wait_for(campaign.received, 60, "the first request")
        os.kill(snakemake.pid, signal.SIGKILL)
        wait_for(lambda: not campaign.processes(), 60, "every process of the campaign is gone")


def test_ctrl_c_keeps_what_was_in_flight(tmp_path: Path) -> None:
    # Few at a time: a drain of all at once would finish the campaign.
    campaign = Campaign(tmp_path, rows=160, env={"STUB_LATENCY_S": 0.3}, inference={"concurrency": 8})
    with campaign.started() as snakemake:
        wait_for(lambda: sum(campaign.received().values()) >= 8, 60, "8 requests")
        os.killpg(snakemake.pid, signal.SIGINT)  # what a terminal does
        assert snakemake.wait(timeout=60) != 0
    wait_for(lambda: not campaign.processes(), 20, "every process of the campaign is gone")
    result = campaign.run(ANSWERS)
    assert result.returncode == 0, result.stdout[-4000:]
    assert set(campaign.received().values()) == {1}
