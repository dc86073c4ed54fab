"""From a column of images to what is sent: what shards keep, what keys hold, and what happens to files meanwhile."""

import base64
import os
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

from campaign.config import validate
from campaign.controller.damage import put_damaged_aside
from campaign.core.errors import ConfigError
from campaign.requests.media.sending import MediaGone, MediaReader
from campaign.requests.media.store import edited_file
from support.pictures import WAV, png

from ..conftest import Trial

WEB = "https://example.org/a.png"
ASKED = {"prompt": "What is it?", "images": "image", "id": "id"}


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def write(trial: Trial, **values: Any) -> str:
    return trial.lines("in/d.jsonl", *({"id": name, "image": value} for name, value in values.items()))


def sent(trial: Trial) -> dict[str, Any]:
    """The contents of the messages that would be sent, by id."""
    reader = MediaReader(trial.config("in/d.jsonl", **ASKED).paths.media("d"))
    bodies = {row["row_id"]: orjson.loads(reader.filled(orjson.dumps(row["body"]))) for row in trial.rows()}
    return {row_id: body["messages"][-1]["content"] for row_id, body in bodies.items()}


def keys(trial: Trial) -> dict[str, bytes]:
    return {row["row_id"]: row["content_key"] for row in trial.rows()}


@pytest.fixture
def pictures(trial: Trial) -> Trial:
    trial.write("in/a.png", png(1))
    write(trial, file="a.png", web=WEB, within=data_url(png(2)), none=None, two=["a.png", WEB])
    return trial


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


TEXT = {"type": "text", "text": "What is it?"}


def test_images_are_shown_before_the_text(pictures: Trial) -> None:
    pictures.prepare("in/d.jsonl", **ASKED)
    assert sent(pictures) == {
        "file": [image(data_url(png(1))), TEXT],
        "web": [image(WEB), TEXT],
        "within": [image(data_url(png(2))), TEXT],
        "none": "What is it?",
        "two": [image(data_url(png(1))), image(WEB), TEXT],
    }


def test_shards_and_columns_keep_no_content(pictures: Trial) -> None:
    manifest = pictures.prepare("in/d.jsonl", **ASKED)
    rows = {row["row_id"]: row for row in pictures.rows()}
    assert all("base64" not in str(row) for row in rows.values())
    assert rows["file"]["columns"] == {"id": "file", "image": "a.png"}
    assert rows["within"]["columns"] == {"id": "within", "image": None}
    assert {column["name"]: column["type"] for column in manifest["columns"]}["id"] == "string"


def test_the_key_holds_content_and_not_its_place(pictures: Trial) -> None:
    pictures.prepare("in/d.jsonl", **ASKED)
    before = keys(pictures)
    pictures.write("in/moved.png", png(1))
    write(pictures, file="moved.png", web=WEB, within=png_struct(png(2)), none=None, two=["moved.png", WEB])
    pictures.prepare("in/d.jsonl", **ASKED)
    assert keys(pictures) == before
    pictures.write("in/moved.png", png(3))
    pictures.prepare("in/d.jsonl", **ASKED)
    changed = {row_id for row_id, key in keys(pictures).items() if key != before[row_id]}
    assert changed == {"file", "two"}


def png_struct(data: bytes) -> dict[str, Any]:
    return {"path": None, "url": data_url(data)}


def test_images_of_hugging_face_in_parquet(trial: Trial) -> None:
    trial.write("in/a.png", png(1))
    rows = [{"bytes": png(2), "path": "b.png"}, {"bytes": None, "path": "a.png"}]
    pd.DataFrame({"id": ["x", "y"], "image": rows, "raw": [png(3), None]}).to_parquet(trial.root / "in/d.parquet")
    manifest = trial.prepare("in/d.parquet", **{**ASKED, "images": ["image", "raw"]})
    assert {column["name"]: column["type"] for column in manifest["columns"]} == dict.fromkeys(("id", "image", "raw"), "string")
    assert [row["columns"] for row in trial.rows()] == [
        {"id": "x", "image": "b.png", "raw": None},
        {"id": "y", "image": "a.png", "raw": None},
    ]
    shown = sent(trial)
    assert shown["x"] == [image(data_url(png(2))), image(data_url(png(3))), TEXT]
    assert shown["y"] == [image(data_url(png(1))), TEXT]


def test_sounds(trial: Trial) -> None:
    trial.write("in/a.wav", WAV)
    trial.lines("in/d.jsonl", {"id": "a", "sound": "a.wav"}, {"id": "b", "sound": "http://example.org/b.mp3"})
    trial.prepare("in/d.jsonl", prompt="What is said?", audio="sound", id="id")
    text = {"type": "text", "text": "What is said?"}
    whole = base64.b64encode(WAV).decode()
    assert sent(trial) == {
        "a": [{"type": "input_audio", "input_audio": {"data": whole, "format": "wav"}}, text],
        "b": [{"type": "audio_url", "audio_url": {"url": "http://example.org/b.mp3"}}, text],
    }


def test_each_sample_shows_the_image(pictures: Trial) -> None:
    write(pictures, file="a.png")
    pictures.prepare("in/d.jsonl", **ASKED, samples=2, sampling={"seed": 1})
    assert [row["body"]["seed"] for row in pictures.rows()] == [1, 2]
    assert len({str(row["body"]["messages"]) for row in pictures.rows()}) == 1


def test_a_missing_file_is_a_bad_row(pictures: Trial) -> None:
    write(pictures, file="a.png", gone="gone.png")
    (problem,) = pictures.refusal("in/d.jsonl", **ASKED)
    assert problem.startswith("in/d.jsonl:2: the column 'image' names 'gone.png', and there is no such file")
    pictures.prepare("in/d.jsonl", **ASKED, on_bad_row="set_aside")
    assert [row["endpoint"] for row in pictures.rows()] == ["chat", "bad_row"]


def test_content_of_a_bad_row_is_not_kept_either(pictures: Trial) -> None:
    write(pictures, good=WEB, bad=[data_url(png(2)), "gone.png"])
    pictures.prepare("in/d.jsonl", **ASKED, on_bad_row="set_aside")
    assert "base64" not in str(pictures.rows())


def test_a_column_that_is_not_there_is_told(pictures: Trial) -> None:
    assert "images" in str(pictures.refusal("in/d.jsonl", **{**ASKED, "images": "imgae"})) + "images"
    (problem, *_) = pictures.refusal("in/d.jsonl", **{**ASKED, "images": "imgae"})
    assert "did you mean 'image'" in problem


def test_a_file_that_went_or_changed_before_it_was_sent_is_told(pictures: Trial) -> None:
    pictures.prepare("in/d.jsonl", **ASKED)
    pictures.write("in/a.png", png(7))
    with pytest.raises(MediaGone, match=r"in/a.png has changed since its request was made; run the same command again"):
        sent(pictures)
    (pictures.root / "in/a.png").unlink()
    with pytest.raises(MediaGone, match=r"in/a.png is gone; put it back, and run with --config retry_failed=true"):
        sent(pictures)


def test_a_store_that_went_is_told(pictures: Trial) -> None:
    pictures.prepare("in/d.jsonl", **ASKED)
    (pictures.root / "results/c/media/d.sqlite").unlink()
    with pytest.raises(OSError, match=r"d.sqlite cannot be read"):
        sent(pictures)


def test_an_edited_image_has_its_requests_made_again(pictures: Trial) -> None:
    """Also where nothing of the prompt file changed, which is all that Snakemake looks at."""
    config = pictures.config("in/d.jsonl", **ASKED)
    pictures.prepare("in/d.jsonl", **ASKED)
    store, manifest = config.paths.media("d"), config.paths.manifest("d")
    assert edited_file(store) is None
    put_damaged_aside(config)
    assert manifest.exists()
    (pictures.root / "in/a.png").write_bytes(png(8))
    os.utime(pictures.root / "in/a.png", ns=(1, 1))
    assert edited_file(store) == "in/a.png"
    put_damaged_aside(config)
    assert not manifest.exists()


def test_a_store_that_went_is_made_again(pictures: Trial) -> None:
    config = pictures.config("in/d.jsonl", **ASKED)
    pictures.prepare("in/d.jsonl", **ASKED)
    config.paths.media("d").unlink()
    put_damaged_aside(config)
    assert not config.paths.manifest("d").exists()


def test_an_image_that_is_gone_makes_nothing_anew(pictures: Trial) -> None:
    config = pictures.config("in/d.jsonl", **ASKED)
    pictures.prepare("in/d.jsonl", **ASKED)
    (pictures.root / "in/a.png").unlink()
    put_damaged_aside(config)
    assert config.paths.manifest("d").exists()


@pytest.mark.parametrize("named", ["image", ["image"], {"column": "image"}, [{"column": "image"}]])
def test_the_forms_of_the_key(named: Any, trial: Trial) -> None:
    assert trial.config("d.jsonl", prompt="a", images=named).datasets["d"].images == ["image"]


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ({"messages": "m"}, "put them into the messages"),
        ({}, "put them into the messages"),
        ({"prompt": "a", "endpoint": "completions"}, "this is endpoint `completions`"),
        ({"prompt": "a", "files": [], "from": {"dataset": "e"}}, "which is of prompt files: remove `images`"),
    ],
)
def test_where_images_do_not_go(dataset: dict[str, Any], words: str, in_tmp: Path) -> None:
    raw = {"files": ["d.jsonl"], "models": ["m"], "images": "image", **dataset}
    with pytest.raises(ConfigError, match=words):
        validate({"campaign": "c", "models": {"m": {"source": "m"}}, "datasets": {"d": raw}})


def test_many_files_cost_no_memory(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of files their digests are not remembered."""
    monkeypatch.setattr("campaign.requests.media.finding._KEPT_DIGESTS", 1)
    for number in range(3):
        trial.write(f"in/{number}.png", png(number))
    write(trial, **{f"r{number}": f"{number}.png" for number in range(3)})
    trial.prepare("in/d.jsonl", **ASKED)
    assert len(set(keys(trial).values())) == 3
