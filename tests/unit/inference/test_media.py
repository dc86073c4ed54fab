"""Images in requests on their way: what the server gets, what rows keep, and files that went or changed meanwhile."""

import base64
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from campaign.benchmark.prompts import campaign_prompts
from support.pictures import png

from .conftest import Served, good

Serve = Callable[..., Served]


@pytest.fixture
def shown(serve: Serve, in_tmp: Path) -> Callable[..., Served]:
    """A campaign of which each row shows a picture of its own."""

    def make(answer: Callable[[str, Served], web.Response] = lambda _, __: good()) -> Served:
        for number in range(3):
            (in_tmp / f"{number}.png").write_bytes(png(number))
        rows = [{"id": f"p{number}", "image": f"{number}.png"} for number in range(3)]
        (in_tmp / "pictures.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        dataset = {"files": ["pictures.jsonl"], "id": "id", "prompt": "<{{ id }}>", "images": "image", "models": ["stub"]}
        return serve(answer, datasets={"pictures": dataset})

    return make


def seen(served: Served) -> dict[str, bytes]:
    """The pictures that the server got, by prompt."""
    contents = [body["messages"][0]["content"] for body in served.bodies]
    return {text["text"]: base64.b64decode(image["image_url"]["url"].partition(",")[2]) for image, text in contents}


def test_the_server_gets_the_images_and_rows_do_not(shown: Callable[..., Served]) -> None:
    served = shown()
    served.infer()
    assert seen(served) == {f"<p{number}>": png(number) for number in range(3)}
    assert set(served.rows.status) == {"ok"}
    assert list(served.rows.image) == ["0.png", "1.png", "2.png"]
    written = [path.read_bytes() for path in served.config.paths.root.rglob("*") if path.is_file()]
    assert not any(base64.b64encode(png(1)) in content or png(1) in content for content in written)


def test_files_that_went_or_changed_fail_their_rows_alone(shown: Callable[..., Served], in_tmp: Path) -> None:
    served = shown()
    (in_tmp / "0.png").unlink()
    (in_tmp / "1.png").write_bytes(png(9))
    served.infer()
    rows = served.rows
    assert list(rows.error_class.fillna("")) == ["media_gone", "media_gone", ""]
    assert rows.error_message["p0"].startswith("0.png is gone")
    assert rows.error_message["p1"].startswith("1.png has changed")
    assert list(seen(served)) == ["<p2>"]


def test_a_file_that_cannot_be_read_just_now_is_tried_again(
    shown: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, stale = shown(), iter(range(2))
    original = Path.read_bytes

    def read_bytes(self: Path) -> bytes:
        if self.suffix == ".png" and next(stale, None) is not None:
            raise OSError(116, "Stale file handle")
        return original(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    served.infer()
    assert set(served.rows.status) == {"ok"}
    assert served.rows.attempts.sum() == 5


def test_a_benchmark_shows_them_too(shown: Callable[..., Served]) -> None:
    served = shown()
    (prompt, *_) = campaign_prompts(served.config, "stub", 1)
    url = prompt.body["messages"][0]["content"][0]["image_url"]["url"]
    assert base64.b64decode(url.partition(",")[2]) == png(0)
