"""Every file below results/ and logs/ damaged in every way, then the same command: it ends well, and asks only what is lost.

A finished and a half-done campaign are made once and copied. Each run of the walk damages every file of the campaign: state files
each in another way, so that after as many runs as there are ways each file was damaged in each; of the files that hold answers
one in three, for what they held has to be asked again, and nothing else may be.
"""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from campaign.queue.answers.journal import iter_answers
from support.once import made_once
from support.runs import Campaign, wait_for

ROWS = 24
IN_FLIGHT = 4


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def garbage(path: Path) -> None:
    path.write_bytes(b"\x00\xff{]" * 50)


def older(path: Path) -> None:
    """Of the time before files had a version, with a key nobody knows."""
    if path.suffix == ".json" and path.stat().st_size:
        content = orjson.loads(path.read_bytes())
        content.pop("schema_version", None)
        path.write_bytes(orjson.dumps({**content, "of_another_time": 1}))


def ahead(path: Path) -> None:
    """Of a clock that was set back since."""
    month = time.time() + 30 * 86400
    os.utime(path, (month, month))


WAYS: list[Callable[[Path], None]] = [missing, empty, cut, garbage, older, ahead]


def holds_answers(path: Path) -> bool:
    return bool({"responses", "journals", "superseded"} & set(path.parts))


def files_of(campaign: Campaign) -> list[Path]:
    found = [path for folder in ("results", "logs") for path in (campaign.root / folder).rglob("*") if path.is_file()]
    return sorted(found)


def keys_in(path: Path) -> set[str]:
    if path.suffix == ".jsonl":
        return {answer["key"] for answer in iter_answers(path)}
    return set(pq.read_table(path, columns=["request_key"], partitioning=None).column(0).to_pylist())


def answered(campaign: Campaign) -> dict[Path, set[str]]:
    return {path: keys_in(path) for path in files_of(campaign) if holds_answers(path) and path.suffix in (".jsonl", ".parquet")}


def finish(folder: Path) -> None:
    result = Campaign(folder, ROWS, shard_rows=5).run()
    assert result.returncode == 0, result.stdout[-3000:]


def kill_half_way(folder: Path) -> None:
    """When half of the prompts were asked."""
    half = Campaign(folder, ROWS, shard_rows=5, env={"STUB_LATENCY_S": 0.5})
    with half.started() as snakemake:
        wait_for(lambda: sum(half.received().values()) >= ROWS // 2 or snakemake.poll() is not None, 120, "half is asked")
        assert snakemake.poll() is None, (half.root / "snakemake.log").read_text()[-3000:]
        snakemake.kill()
    wait_for(lambda: not half.processes(), 60, "all gone")
    assert sum(map(len, answered(half).values())) >= IN_FLIGHT


MAKERS = {"finished": finish, "half": kill_half_way}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("shift", range(len(WAYS)))
@pytest.mark.parametrize("state", MAKERS)
def test_damaged_everywhere_it_goes_on(
    state: str, shift: int, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    campaign = Campaign.copied(made_once(tmp_path_factory, f"walk-{state}", MAKERS[state]), tmp_path)
    campaign.raw["models"]["stub"]["env"] = {"STUB_LOG": str(campaign.log)}
    campaign.write_config()
    campaign.log.unlink(missing_ok=True)

    before = answered(campaign)
    kept = {key: row for key, row in rows_of(campaign).items() if key in set().union(*before.values())}
    for number, path in enumerate(files_of(campaign)):
        if not holds_answers(path) or (number + shift) % 3 == 0:
            WAYS[(number + shift) % len(WAYS)](path)
    left = set().union(*(keys_in(path) for path in before if path.exists() and is_whole(path)))

    result = campaign.run(timeout=200)
    assert result.returncode == 0, result.stdout[-5000:]
    rows = campaign.responses()
    assert sorted(rows.row_id) == sorted(f"p{number}" for number in range(ROWS))
    assert rows.request_key.is_unique
    assert set(rows.status) == {"ok"}
    asked = campaign.received()
    assert max(Counter(asked).values(), default=0) <= 1
    assert not {kept[key] for key in left & kept.keys()} & set(asked)
    assert "Traceback" not in result.stdout
    wait_for(lambda: not campaign.processes(), 30, "no process is left")


def is_whole(path: Path) -> bool:
    try:
        keys_in(path)
    except Exception:
        return False
    return True


def rows_of(campaign: Campaign) -> dict[str, str]:
    """Row id of each request key, by the requests."""
    from campaign.requests.keys.key import request_key

    identity = orjson.loads((campaign.results / "models" / "stub.json").read_bytes())["identity"]
    found = {}
    for path in sorted((campaign.results / "requests").rglob("*.parquet")):
        table = pq.read_table(path, columns=["content_key", "row_id"], partitioning=None).to_pydict()
        pairs = zip(table["content_key"], table["row_id"], strict=True)
        found |= {request_key(identity, key): row_id for key, row_id in pairs}
    return found
